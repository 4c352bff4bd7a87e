//! Rotating the master key while servers run: a new one takes over in its file, all secrets are put under it in batches, and
//! the old one goes. Whatever breaks it off, doing it again goes on where it was.

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::app::App;
use crate::audit::{Actor, Event};
use crate::auth::key::StoredKey;
use crate::auth::{MasterKeyId, MasterKeyIds, Vault};
use crate::error::Result;
use crate::store::{Reencrypted, Rotation};

/// Secrets of one batch: one short transaction.
const BATCH: i64 = 500;

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
    let _alone = alone(app)?;
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
/// A sentence about the file, secrets that can't be decrypted, or those of the store.
pub fn rotate_master_key(
    app: &App,
    actor: &Actor,
    mut told: impl FnMut(u64, u64),
) -> anyhow::Result<Rotated> {
    let vault = app.vault()?;
    let _alone = alone(app)?;
    let ids = vault.key_ids()?;
    if ids.next.is_some() || ids.old.is_empty() {
        vault.prepare_key()?;
        vault.promote_key()?;
    }
    let ids = vault.key_ids()?;
    let names = |ids: &[MasterKeyId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let event = |action| {
        Event::new(None, actor.clone(), action, ids.current.to_string())
            .before(json!({ "keys": names(&ids.old) }))
    };
    // From here on no secret is added under another one.
    app.store
        .master_key_set(ids.current, &event("master_key.promote"))?;
    reencrypt_seal_keys(app, vault, ids.current)?;
    let (mut secrets, mut unreadable, mut after) = (0, Vec::new(), String::new());
    loop {
        let keys = app.store.secrets_not_under(ids.current, &after, BATCH)?;
        let Some(last) = keys.last() else { break };
        after.clone_from(&last.kid);
        secrets += reencrypt(app, vault, ids.current, keys, &mut unreadable)?;
        let (all, under) = app.store.secret_count(ids.current)?;
        told(under, all);
    }
    if !unreadable.is_empty() {
        bail!(
            "{secrets} secrets are under the new key {}, and those of the keys {} can't be decrypted: the old keys stay in the file. Add new keys in their place and revoke them, then rotate again.",
            ids.current,
            unreadable.join(", ")
        );
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

/// Makes sure that nobody else changes the file meanwhile.
fn alone(app: &App) -> anyhow::Result<Rotation> {
    app.store
        .rotation_begin()?
        .context("Somebody else rotates the master key; wait until that has ended.")
}

/// Puts the keys that seal the audit trail under the current key. Nobody needs one that can't be read, unless it is the last.
fn reencrypt_seal_keys(app: &App, vault: &Vault, current: MasterKeyId) -> anyhow::Result<()> {
    let keys = app.store.seal_keys()?;
    let last = keys.last().map(|key| key.number);
    for key in keys.iter().filter(|key| !key.is_under(current)) {
        match key.reencrypt(vault, current) {
            Ok(reencrypted) => app.store.seal_key_reencrypt(key, &reencrypted)?,
            Err(_) if Some(key.number) != last => {}
            Err(_) => bail!(
                "The key that seals the audit trail can't be decrypted: the old keys stay in the file. Make a new one with `sigpersist audit seal --all --new-key`, then rotate again."
            ),
        }
    }
    Ok(())
}

/// Puts secrets under the current key; gives how many. Those that can't be read are named; where they are revoked, nobody
/// needs them.
fn reencrypt(
    app: &App,
    vault: &Vault,
    current: MasterKeyId,
    keys: Vec<StoredKey>,
    unreadable: &mut Vec<String>,
) -> Result<u64> {
    let mut secrets = Vec::with_capacity(keys.len());
    for key in keys {
        let binding = key.binding();
        match vault.decrypt(key.encrypted().unwrap_or_default(), &binding) {
            Ok(secret) => {
                let encrypted = vault.encrypt(&secret, &binding, Some(current))?;
                secrets.push(Reencrypted { key, encrypted });
            }
            Err(_) if key.revoked_at.is_some() => {}
            Err(_) => unreadable.push(key.kid),
        }
    }
    app.store.secrets_reencrypt(&secrets)?;
    Ok(secrets.len() as u64)
}
