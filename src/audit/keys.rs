//! The key that seals the audit trail. It is opened when a server or command starts, and made if there is none yet.

use serde_json::json;
use sigpersist_model::audit::{Actor, Event, EventOwner, Fault};
use sigpersist_model::context::PLATFORM;
use sigpersist_model::error::{Error, Result};
use sigpersist_runtime::seal::{SealKey, StoredSealKey};
use sigpersist_runtime::vault::Vault;
use sigpersist_store::Store;
use tracing::warn;

use super::verify::verify;
use crate::app::App;

/// The key that seals events, or none if the master key does not open it. Blocks.
///
/// Without a key, a warning is logged, events are added without a seal, and [`verify`] reports them.
///
/// # Errors
///
/// Any error of the store, or of making a key.
pub fn seal_key(store: &Store, vault: &Vault) -> Result<Option<SealKey>> {
    loop {
        let stored = store.seal_keys()?.pop();
        let key = match stored {
            None => make(store, vault, &Actor::server(), None)?,
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
        // `make` returns none if another process made a key first: then read that one.
        if key.is_some() {
            return Ok(key);
        }
    }
}

/// Makes a key that seals from now on. `last` is the newest key so far. Returns none if somebody else made one
/// meanwhile.
fn make(store: &Store, vault: &Vault, actor: &Actor, last: Option<i32>) -> Result<Option<SealKey>> {
    let mut sealed = 0;
    let made = store.seal_key_insert(
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

/// Seals chains as they are: from then on, earlier events may be without a seal. Returns the number of chains.
/// Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if there is no master key, if it does not open the key that seals and `new_key` is false, or if
/// a chain has other faults than missing seals and seals whose key can't be opened.
pub fn seal(app: &App, actor: &Actor, whose: &EventOwner, new_key: bool) -> Result<usize> {
    let vault = app.vault()?;
    let mut chains = verify(app, whose, None, |_, _| {})?;
    // The tenant's own chain vouches for imported chains.
    chains.retain(|chain| chain.events > 0 && chain.part.is_none());
    let is_missing =
        |fault: &&Fault| matches!(fault, Fault::NotSealed { .. } | Fault::NoKey { .. });
    for chain in &chains {
        if let Some(fault) = chain.faults.iter().find(|fault| !is_missing(fault)) {
            let whose = chain.tenant.as_deref().unwrap_or("the platform");
            return Err(Error::refused(format!(
                "Nothing was sealed: the audit trail of {whose} is not intact: {fault}."
            )));
        }
    }
    let last = app.store.seal_keys()?.pop();
    let key = match &last {
        _ if new_key => make(
            &app.store,
            vault,
            actor,
            last.as_ref().map(|key| key.number),
        )?,
        Some(last) => last.open(vault).ok(),
        None => None,
    };
    let key = key.ok_or_else(|| {
        Error::refused(
            "The master key does not decrypt the seal key of the audit trail. Use the master key that was in use before, or if it is lost, seal with --new-key.",
        )
    })?;
    let events: Vec<_> = chains
        .iter()
        .map(|chain| {
            let owner = (chain.chain != PLATFORM).then_some(chain.chain);
            let target = chain.tenant.as_deref().unwrap_or("platform");
            Event::new(owner, actor.clone(), "audit.seal", target).before(json!({
                "head": chain.head.to_string(),
                "unsealed": chain.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }))
        })
        .collect();
    app.store.audit_insert_baselines(&events, &key)?;
    Ok(events.len())
}
