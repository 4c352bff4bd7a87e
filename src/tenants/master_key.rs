//! Rotating the master key while servers run: a new one takes over in its file, all secrets are put under it in batches, and
//! the old one goes. Whatever breaks it off, doing it again goes on where it was.

use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use crate::app::App;
use crate::audit::{Actor, Event};
use crate::auth::{MasterKeyId, MasterKeyIds, Vault};
use crate::error::Error;
use crate::store::Reencrypted;

/// Secrets of one batch: one short transaction.
const BATCH: i64 = 500;
/// How long a server may take from encrypting a secret to storing it: one that began under the old key is found after that.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// The master keys, and what is under them.
#[derive(Debug)]
pub struct MasterKeys {
    /// The keys in the file.
    pub ids: MasterKeyIds,
    /// Secrets that are stored.
    pub secrets: u64,
    /// How many of them are under the current key.
    pub under_current: u64,
}

/// The master keys, and what is under them. Blocks.
///
/// # Errors
///
/// A sentence about the file, or those of the store.
pub fn master_keys(app: &App) -> anyhow::Result<MasterKeys> {
    let ids = app.vault()?.key_ids()?;
    let (secrets, under_current) = app.store.secret_count(ids.current)?;
    Ok(MasterKeys {
        ids,
        secrets,
        under_current,
    })
}

/// Puts a new key into the file that servers can read secrets under and that encrypts nothing yet. Blocks.
///
/// # Errors
///
/// A sentence about the file.
pub fn prepare_master_key(app: &App) -> anyhow::Result<MasterKeyIds> {
    let vault = app.vault()?;
    vault.prepare_key()?;
    vault.key_ids()
}

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// The key that encrypts now.
    pub current: MasterKeyId,
    /// How many secrets were put under it.
    pub secrets: u64,
}

/// Lets the next key encrypt, making one where none was prepared; puts all secrets under it; and takes the old keys away.
///
/// A rotation that was broken off is brought to its end. `told` is called with how many secrets are under the new key, of how
/// many. Blocks.
///
/// # Errors
///
/// A sentence about the file, a secret that can't be decrypted, or those of the store.
pub fn rotate_master_key(
    app: &App,
    actor: &Actor,
    mut told: impl FnMut(u64, u64),
) -> anyhow::Result<Rotated> {
    let vault = app.vault()?;
    let ids = vault.key_ids()?;
    if ids.next.is_some() || ids.old.is_empty() {
        vault.prepare_key()?;
        vault.promote_key()?;
    }
    let ids = vault.key_ids()?;
    let event = |action| {
        Event::new(None, actor.clone(), action, ids.current.to_string())
            .before(json!({ "keys": ids.old.iter().map(ToString::to_string).collect::<Vec<_>>() }))
    };
    app.store.audit_insert(&event("master_key.promote"))?;
    let mut secrets = 0;
    // A second time, for what was under way.
    for last in [false, true] {
        if last {
            std::thread::sleep(UNDER_WAY);
        }
        loop {
            let batch = reencrypt(app, vault, ids.current)?;
            if batch == 0 {
                break;
            }
            secrets += batch;
            let (all, under) = app.store.secret_count(ids.current)?;
            told(under, all);
        }
    }
    vault.drop_old_keys().context(
        "All secrets are under the new key, but the old ones are still in the file: take the lines that begin with `old` away by hand",
    )?;
    let after = json!({ "keys": [ids.current.to_string()], "secrets": secrets });
    app.store
        .audit_insert(&event("master_key.rotate").after(after))?;
    Ok(Rotated {
        current: ids.current,
        secrets,
    })
}

/// Puts some secrets under the current key; gives how many.
fn reencrypt(app: &App, vault: &Vault, current: MasterKeyId) -> Result<u64, Error> {
    let keys = app.store.secrets_not_under(current, BATCH)?;
    let mut secrets = Vec::with_capacity(keys.len());
    for key in keys {
        let binding = key.binding();
        let secret = vault.decrypt(key.encrypted().unwrap_or_default(), &binding)?;
        let encrypted = vault.encrypt(&secret, &binding)?;
        if !encrypted.starts_with(&current.prefix()) {
            return Err(Error::refused(
                "The master key file was changed by somebody else meanwhile; look at it and try again.",
            ));
        }
        secrets.push(Reencrypted { key, encrypted });
    }
    app.store.secrets_reencrypt(&secrets)?;
    Ok(secrets.len() as u64)
}
