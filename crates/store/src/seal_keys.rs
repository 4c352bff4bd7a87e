//! The key that seals the audit trail. It is opened when a server or command starts, and made if there is none yet.

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::error::Result;
use sigpersist_runtime::seal::{SealKey, StoredSealKey};
use sigpersist_runtime::vault::Vault;
use tracing::warn;

use super::pool::Store;

impl Store {
    /// The key that seals events, or none if the master key does not open it. Blocks.
    ///
    /// Without a key, a warning is logged, events are added without a seal, and a check of the audit trail reports them.
    ///
    /// # Errors
    ///
    /// Any error of the store, or of making a key.
    pub fn seal_key_open(&self, vault: &Vault) -> Result<Option<SealKey>> {
        loop {
            let stored = self.seal_keys()?.pop();
            let key = match stored {
                None => self.seal_key_make(vault, &Actor::server(), None)?,
                Some(stored) => match stored.open(vault) {
                    Ok(key) => Some(key),
                    Err(cause) => {
                        warn!(
                            %cause,
                            "The master key does not decrypt the seal key of the audit trail, so events are not sealed: use the master key that was in use before, or run `sigpersist audit seal --all --new-key`"
                        );
                        return Ok(None);
                    }
                },
            };
            // `seal_key_make` returns none if another process made a key first: then read that one.
            if key.is_some() {
                return Ok(key);
            }
        }
    }

    /// Makes a key that seals from now on. `last` is the newest key so far. Returns none if somebody else made one
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// Any error of the database, or of making a key.
    pub fn seal_key_make(
        &self,
        vault: &Vault,
        actor: &Actor,
        last: Option<i32>,
    ) -> Result<Option<SealKey>> {
        let mut sealed = 0;
        let made = self.seal_key_insert(
            last,
            |number, current| {
                let stored = StoredSealKey::make(number, vault, current)?;
                let key = stored.open(vault)?;
                Ok((stored, key))
            },
            |key, chains| {
                sealed = chains;
                let after = json!({ "key": key.number, "chains": chains });
                Event::new(None, actor.clone(), "audit.key", key.number.to_string()).after(after)
            },
        )?;
        // A new database has no events to vouch for.
        if let Some(key) = made.as_ref().filter(|_| sealed > 0) {
            warn!(
                key = key.number,
                chains = sealed,
                "Made a key that seals the audit trail from now on; earlier events are sealed in their present state"
            );
        }
        Ok(made)
    }
}
