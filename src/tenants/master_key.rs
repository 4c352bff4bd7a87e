//! Rotation of the master key while servers run. A new key takes over in the key file, all secrets are encrypted again
//! in batches, and the old key is removed. Nothing changes until every secret is known to decrypt. If interrupted, run
//! it again; it continues.

use anyhow::{Context as _, bail};
use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::{MasterKeyId, StoredKey};
use sigpersist_runtime::vault::{MasterKeyIds, Vault};
use sigpersist_store::{Reencrypted, Rotation, Secrets};
use zeroize::Zeroizing;

use crate::app::App;

/// Secrets in one batch, which is one short transaction.
const BATCH: i64 = 500;
/// Maximum number of keys that a message names.
const MAX_NAMED: usize = 20;
/// Name in messages for the key that seals the audit trail, which has none. Names of other keys contain no spaces.
const SEALING: &str = "the audit trail's own";

/// The master keys, and the number of secrets encrypted with them.
#[derive(Debug)]
pub struct MasterKeys {
    /// The keys in the file.
    pub ids: MasterKeyIds,
    /// Number of stored secrets.
    pub secrets: u64,
    /// Number of secrets encrypted with the current key.
    pub under_current: u64,
}

/// Reads the master keys, and the number of secrets encrypted with them. Blocks.
///
/// # Errors
///
/// A sentence about the file, or the errors of the store.
pub fn master_keys(app: &App) -> anyhow::Result<MasterKeys> {
    let ids = app.vault()?.key_ids()?;
    let (secrets, under_current) = app.store.secret_count(ids.current)?;
    Ok(MasterKeys {
        ids,
        secrets,
        under_current,
    })
}

/// Adds a new key to the file, with which servers can decrypt but do not encrypt yet. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if the file does not decrypt every secret; a sentence about the file.
pub fn prepare_master_key(app: &App) -> anyhow::Result<MasterKeyIds> {
    let vault = app.vault()?;
    let _alone = alone(app)?;
    app.store.secrets(|secrets| {
        check(vault, &Looked::new(vault, secrets)?)?;
        vault.prepare_key()?;
        vault.key_ids()
    })
}

/// Result of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The key that encrypts now.
    pub current: MasterKeyId,
    /// Number of secrets that were encrypted again.
    pub secrets: u64,
    /// Keys whose secrets could not be decrypted and were abandoned.
    pub abandoned: Vec<String>,
}

/// Makes the next key the current one, encrypts all secrets with it, and removes the old keys.
///
/// If no next key was prepared, makes one. Continues an interrupted rotation. `abandon` rotates even if some secrets
/// cannot be decrypted. Calls `told` with the number of secrets under the new key, and the total. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if the file does not decrypt every secret: then nothing was changed. Otherwise a sentence about
/// the file, or the errors of the store.
pub fn rotate_master_key(
    app: &App,
    actor: &Actor,
    abandon: bool,
    mut told: impl FnMut(u64, u64),
) -> anyhow::Result<Rotated> {
    let vault = app.vault()?;
    let _alone = alone(app)?;
    // From here on, no secret is stored under another key.
    let (ids, abandoned) = promote(app, vault, actor, abandon)?;
    let seals_abandoned = abandoned.iter().any(|name| name == SEALING);
    reencrypt_seal_keys(app, vault, ids.current, seals_abandoned)?;
    reencrypt_others(app, vault, ids.current, &abandoned)?;
    let (mut secrets, mut unreadable, mut after) = (0, Vec::new(), String::new());
    loop {
        let keys = app.store.secrets_not_under(ids.current, &after, BATCH)?;
        let Some(last) = keys.last() else { break };
        after.clone_from(&last.kid);
        secrets += reencrypt(app, vault, ids.current, keys, &mut unreadable)?;
        let (all, under) = app.store.secret_count(ids.current)?;
        told(under, all);
    }
    unreadable.retain(|kid| !abandoned.contains(kid));
    if !unreadable.is_empty() {
        // They could be decrypted when the rotation began.
        bail!(
            "{secrets} secrets are encrypted with the new key {}, but those of the keys {} were changed meanwhile and can't be decrypted: the old master keys stay in the file. Revoke these keys, then rotate again.",
            ids.current,
            named(&unreadable)
        );
    }
    app.engine.retag();
    vault.drop_old_keys().context(
        "All secrets are encrypted with the new key, but the old ones are still in the file: remove the lines that begin with `old` by hand",
    )?;
    let after = json!({
        "keys": [ids.current.to_string()],
        "secrets": secrets,
        "abandoned": abandoned,
    });
    app.store
        .audit_insert(&event(actor, "master_key.rotate", &ids).after(after))?;
    Ok(Rotated {
        current: ids.current,
        secrets,
        abandoned,
    })
}

/// Takes the lock that prevents concurrent changes to the file.
fn alone(app: &App) -> anyhow::Result<Rotation> {
    app.store
        .rotation_begin()?
        .context("Another rotation of the master key is running; wait until it has ended.")
}

fn event(actor: &Actor, action: &'static str, ids: &MasterKeyIds) -> Event {
    let old: Vec<_> = ids.old.iter().map(ToString::to_string).collect();
    Event::new(None, actor.clone(), action, ids.current.to_string()).before(json!({ "keys": old }))
}

/// Makes the next key the current one, after checking that every secret decrypts. Returns the keys that the file then
/// has, and the names of the keys whose secrets are abandoned.
fn promote(
    app: &App,
    vault: &Vault,
    actor: &Actor,
    abandon: bool,
) -> anyhow::Result<(MasterKeyIds, Vec<String>)> {
    app.store.secrets(|secrets| {
        let looked = Looked::new(vault, secrets)?;
        if !abandon {
            check(vault, &looked)?;
        }
        let mut ids = vault.key_ids()?;
        if ids.next.is_some() || ids.old.is_empty() {
            vault.prepare_key()?;
            ids = vault.key_ids()?;
        }
        if let Some(next) = ids.next.take() {
            ids.old.insert(0, ids.current);
            ids.current = next;
        }
        secrets.set_master_key(ids.current, &event(actor, "master_key.promote", &ids))?;
        // The last step, so that the file is unchanged if anything before fails. If the transaction then fails to
        // commit, the file holds both keys and the database continues with the old one: the next rotation continues.
        vault.promote_key()?;
        Ok((ids, looked.unreadable))
    })
}

/// Result of comparing the keys in the file with the secrets in the database.
struct Looked {
    /// Number of secrets. Secrets of revoked keys are not needed, and not counted.
    secrets: usize,
    /// Keys whose secrets cannot be decrypted.
    unreadable: Vec<String>,
    /// The current master key according to the database, if the file does not contain it.
    lacking: Option<MasterKeyId>,
}

impl Looked {
    fn new(vault: &Vault, stored: &mut Secrets<'_>) -> anyhow::Result<Self> {
        let ids = vault.key_ids()?;
        let in_file = |id: &MasterKeyId| {
            *id == ids.current || ids.next.as_ref() == Some(id) || ids.old.contains(id)
        };
        let lacking = stored.current_master_key()?.filter(|id| !in_file(id));
        let (mut secrets, mut unreadable, mut after) = (0, Vec::new(), String::new());
        loop {
            let keys = stored.page(&after, BATCH)?;
            let Some(last) = keys.last() else { break };
            after.clone_from(&last.kid);
            for key in keys.into_iter().filter(|key| key.revoked_at.is_none()) {
                secrets += 1;
                if decrypt(vault, &key).is_err() {
                    unreadable.push(key.kid);
                }
            }
        }
        // Of the seal keys, only the last one is needed.
        if let Some(sealing) = stored.seal_keys()?.last() {
            secrets += 1;
            if sealing.open(vault).is_err() {
                unreadable.push(SEALING.to_owned());
            }
        }
        for other in stored.others()? {
            secrets += 1;
            if vault.decrypt(&other.encrypted, &other.binding).is_err() {
                unreadable.push(other.name);
            }
        }
        Ok(Self {
            secrets,
            unreadable,
            lacking,
        })
    }
}

/// Refuses a file that does not decrypt every secret.
fn check(vault: &Vault, looked: &Looked) -> Result<()> {
    const ABANDON: &str = "If it is lost for good, `sigpersist master-key rotate --abandon-unreadable` goes on without the secrets that it encrypted.";
    let Looked {
        secrets,
        unreadable,
        lacking,
    } = looked;
    let file = vault.path().display();
    let sentence = if let Some(lacking) = lacking {
        format!(
            "lacks the current key {lacking}: it is another file, or a copy from before a rotation. Replace it with the right one, then rotate. {ABANDON}"
        )
    } else if unreadable.is_empty() {
        return Ok(());
    } else if unreadable.len() == *secrets {
        format!(
            "decrypts none of the {secrets} stored secrets: they were encrypted with another file. Replace it with that one, then rotate. {ABANDON}"
        )
    } else {
        let mut sentence = format!(
            "does not decrypt {} of the {secrets} stored secrets, those of the keys: {}. Replace it with the file that does; or if the secrets are lost for good, revoke these keys",
            unreadable.len(),
            named(unreadable)
        );
        if unreadable.iter().any(|name| name == SEALING) {
            sentence.push_str(" and make a new one for the audit trail with `sigpersist audit seal --all --new-key`");
        }
        sentence + ". Then rotate."
    };
    Err(Error::refused(format!(
        "Nothing was changed: the master key file {file} {sentence}"
    )))
}

/// Lists names of keys for a message, shortened if there are many.
fn named(kids: &[String]) -> String {
    let mut names = kids.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>();
    if kids.len() > MAX_NAMED {
        names.push(format!("and {} more", kids.len() - MAX_NAMED));
    }
    names.join(", ")
}

fn decrypt(vault: &Vault, key: &StoredKey) -> Result<Zeroizing<Vec<u8>>> {
    vault.decrypt(key.encrypted().unwrap_or_default(), &key.binding())
}

/// Encrypts the seal keys of the audit trail with the current key. An unreadable one is an error only if it is the last
/// one and not abandoned.
fn reencrypt_seal_keys(
    app: &App,
    vault: &Vault,
    current: MasterKeyId,
    abandoned: bool,
) -> anyhow::Result<()> {
    let keys = app.store.seal_keys()?;
    let last = keys.last().map(|key| key.number);
    for key in keys.iter().filter(|key| !key.is_under(current)) {
        match key.reencrypt(vault, current) {
            Ok(reencrypted) => app.store.seal_key_reencrypt(key, &reencrypted)?,
            Err(_) if abandoned || Some(key.number) != last => {}
            Err(_) => bail!(
                "The seal key of the audit trail can't be decrypted: the old keys stay in the file. Make a new seal key with `sigpersist audit seal --all --new-key`, then rotate again."
            ),
        }
    }
    Ok(())
}

/// Encrypts the secrets of the logs and of webhooks with the current key. An unreadable one is an error, unless it is
/// abandoned.
fn reencrypt_others(
    app: &App,
    vault: &Vault,
    current: MasterKeyId,
    abandoned: &[String],
) -> anyhow::Result<()> {
    let others = app.store.other_secrets()?.into_iter();
    for other in others.filter(|other| !other.is_under(current)) {
        match vault.decrypt(&other.encrypted, &other.binding) {
            Ok(secret) => {
                let encrypted = vault.encrypt(&secret, &other.binding, Some(current))?;
                app.store.other_secret_reencrypt(&other, &encrypted)?;
            }
            Err(_) if abandoned.contains(&other.name) => {}
            Err(_) => bail!(
                "The secret of {} can't be decrypted: the old keys stay in the file. Make a new one, then rotate again.",
                other.name
            ),
        }
    }
    Ok(())
}

/// Encrypts secrets with the current key and returns their number. Unreadable ones are added to `unreadable`, unless
/// they are revoked and no longer needed.
fn reencrypt(
    app: &App,
    vault: &Vault,
    current: MasterKeyId,
    keys: Vec<StoredKey>,
    unreadable: &mut Vec<String>,
) -> Result<u64> {
    let mut secrets = Vec::with_capacity(keys.len());
    for key in keys {
        match decrypt(vault, &key) {
            Ok(secret) => {
                let encrypted = vault.encrypt(&secret, &key.binding(), Some(current))?;
                secrets.push(Reencrypted { key, encrypted });
            }
            Err(_) if key.revoked_at.is_some() => {}
            Err(_) => unreadable.push(key.kid),
        }
    }
    app.store.secrets_reencrypt(&secrets)?;
    Ok(secrets.len() as u64)
}
