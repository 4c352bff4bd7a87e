//! The keys that sign checkpoints: Ed25519, encrypted under the master key like other secrets. A new key signs beside the
//! old one for a while, so that whoever verifies with either of them can go on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::MasterKeyId;
use sigpersist_model::log::{Epoch, StoredLogKey};
use sigpersist_model::transfer::ImportedKey;
use sigpersist_runtime::vault::Vault;
use sigpersist_store::NewLogKey;
use sigpersist_tlog::{Checkpoint, SigningKey};
use tracing::warn;

use crate::app::App;

/// Time after which the keys are read again: another server may have made a new one.
const READ_EVERY: Duration = Duration::from_secs(5);

/// The keys that sign now, ready to use.
#[derive(Debug, Default)]
pub(super) struct LogKeys {
    read: Mutex<Option<(Instant, Arc<Vec<SigningKey>>)>>,
}

impl LogKeys {
    /// The keys that sign now. Makes the first one if there is none. Empty without a master key, or if it opens none of
    /// them. Blocks.
    ///
    /// # Errors
    ///
    /// The errors of the store.
    pub(super) fn signing(&self, app: &App) -> Result<Arc<Vec<SigningKey>>> {
        let lock = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, keys)) = lock().as_ref()
            && at.elapsed() < READ_EVERY
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(open(app)?);
        *lock() = Some((Instant::now(), Arc::clone(&keys)));
        Ok(keys)
    }
}

fn open(app: &App) -> Result<Vec<SigningKey>> {
    let Some(vault) = app.vault.as_deref() else {
        return Ok(Vec::new());
    };
    let mut stored = app.store.log_keys()?;
    if stored.is_empty() {
        make(app, vault, &Actor::server(), None)?;
        stored = app.store.log_keys()?;
    }
    let now = Utc::now();
    let in_force = stored
        .into_iter()
        .filter(|key| key.not_after.is_none_or(|until| until > now));
    let mut keys = Vec::new();
    for key in in_force {
        match open_one(vault, &key) {
            Ok(key) => keys.push(key),
            Err(cause) => warn!(
                key = key.id,
                %cause,
                "The master key does not decrypt a key of the logs, so it does not sign checkpoints: use the master key that was in use before, or make a new key with `sigpersist log rotate-key`"
            ),
        }
    }
    Ok(keys)
}

fn open_one(vault: &Vault, key: &StoredLogKey) -> Result<SigningKey> {
    let secret = vault.decrypt(&key.encrypted_secret, StoredLogKey::BINDING)?;
    SigningKey::from_bytes(&secret).map_err(Error::internal)
}

/// Makes a key that signs from now on; none if somebody else made one meanwhile.
fn make(
    app: &App,
    vault: &Vault,
    actor: &Actor,
    last: Option<i32>,
) -> Result<Option<StoredLogKey>> {
    let until = Utc::now() + TimeDelta::days(app.config.evidence.key_overlap_days.into());
    app.store.log_key_insert(
        last,
        until,
        |current: Option<MasterKeyId>| {
            let (key, secret) = SigningKey::generate();
            Ok(NewLogKey {
                public_key: key.public_key(),
                encrypted_secret: vault.encrypt(&secret, StoredLogKey::BINDING, current)?,
            })
        },
        |id| Event::new(None, actor.clone(), "log.key", id.to_string()),
    )
}

/// Makes a new key for checkpoints. The one before it signs beside it for `evidence.key_overlap_days`. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] without a master key, or if somebody else made a key at the same time; the errors of the store.
pub fn rotate(app: &App, actor: &Actor) -> Result<StoredLogKey> {
    let vault = app.vault()?;
    let last = app.store.log_keys()?.last().map(|key| key.id);
    let made = make(app, vault, actor, last)?;
    made.ok_or_else(|| {
        Error::refused(
            "Somebody else made a key at the same time. Look at the keys, then decide again.",
        )
    })
}

/// The public half of a key of the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    /// Counts the keys, from 1; none for one of another server, which signed imported trees.
    pub id: Option<i32>,
    /// The public key (RFC 8032).
    pub public_key: [u8; 32],
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Until when it signs; none for the newest.
    pub not_after: Option<DateTime<Utc>>,
}

/// The public halves of the keys that sign or signed the trees of a log.
#[derive(Debug)]
pub struct KeysOfLog {
    own: Vec<VerifyingKey>,
    imported: Vec<(i16, ImportedKey)>,
}

impl KeysOfLog {
    /// This server's keys, and those of other servers that signed imported trees.
    pub(crate) fn new(own: Vec<VerifyingKey>, imported: Vec<(i16, ImportedKey)>) -> Self {
        Self { own, imported }
    }

    /// The keys of a tree, in the order in which they were made. A key of another server signs no tree of this one, and the
    /// other way round.
    pub(crate) fn of(&self, epoch: i16) -> Vec<ImportedKey> {
        let mut keys: Vec<_> = match self.is_imported(epoch) {
            true => {
                let imported = self.imported.iter().filter(|(of, _)| *of == epoch);
                imported.map(|(_, key)| key.clone()).collect()
            }
            false => {
                let own = self.own.iter().map(|key| ImportedKey {
                    public_key: key.public_key,
                    created_at: key.created_at,
                    not_after: key.not_after,
                });
                own.collect()
            }
        };
        keys.sort_by_key(|key| key.created_at);
        keys
    }

    /// Whether a tree came from another server.
    pub(crate) fn is_imported(&self, epoch: i16) -> bool {
        self.imported.iter().any(|(of, _)| *of == epoch)
    }

    /// Each key with the trees that it verifies: those of other servers first.
    pub fn with_epochs<'a>(&self, epochs: &'a [Epoch]) -> Vec<(VerifyingKey, Vec<&'a Epoch>)> {
        let mut keys: Vec<(VerifyingKey, Vec<&Epoch>)> = Vec::new();
        for epoch in epochs.iter().filter(|epoch| self.is_imported(epoch.epoch)) {
            for key in self.of(epoch.epoch) {
                match keys
                    .iter_mut()
                    .find(|(found, _)| found.public_key == key.public_key)
                {
                    Some((found, of)) => {
                        found.not_after = found.not_after.max(key.not_after);
                        of.push(epoch);
                    }
                    None => {
                        let key = VerifyingKey {
                            id: None,
                            public_key: key.public_key,
                            created_at: key.created_at,
                            not_after: key.not_after,
                        };
                        keys.push((key, vec![epoch]));
                    }
                }
            }
        }
        let own = self.own.iter().map(|key| {
            let own = epochs.iter().filter(|epoch| !self.is_imported(epoch.epoch));
            (key.clone(), own.collect())
        });
        keys.extend(own);
        keys
    }
}

/// The public halves of the keys of a tenant's log, or the platform's. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn keys_of_log(app: &App, owner: TenantId) -> Result<KeysOfLog> {
    let imported = app.store.log_imported_keys(owner)?;
    Ok(KeysOfLog::new(verifying_keys(app)?, imported))
}

/// The public halves of all keys of this server that sign or signed checkpoints, in the order in which they were made. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn verifying_keys(app: &App) -> Result<Vec<VerifyingKey>> {
    let keys = app.store.log_keys()?.into_iter();
    let keys = keys.map(|key| VerifyingKey {
        id: Some(key.id),
        public_key: key.public_key,
        created_at: key.created_at,
        not_after: key.not_after,
    });
    Ok(keys.collect())
}

/// Signs a checkpoint with all keys; none without keys.
pub(super) fn sign(checkpoint: &Checkpoint, keys: &[SigningKey]) -> Option<String> {
    if keys.is_empty() {
        return None;
    }
    Some(checkpoint.sign(&keys.iter().collect::<Vec<_>>()))
}
