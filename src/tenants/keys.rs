//! Keys of tenants and of the platform: added, listed and revoked.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::{Owner, PLATFORM, Tenancy};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::key::{Algorithm, KeyMaterial, KeyState, MasterKeyId, StoredKey};
use sigpersist_model::page::Page;
use sigpersist_model::time;
use sigpersist_model::transfer;
use sigpersist_runtime::vault::{random_bytes, random_name};
use sigpersist_store::KeyInsertion;
use zeroize::Zeroizing;

use super::find;
use crate::app::App;
use crate::auth::GivenKey;
use crate::auth::key::{new_key_pair, open_secret};
use crate::auth::public_key::PublicKey;
use crate::auth::token::{MAX_KID_BYTES, is_key_id};

/// Maximum number of keys of one tenant that are not revoked.
const MAX_KEYS: i64 = 100;

/// The tenant with this slug; the platform if there is no slug.
///
/// # Errors
///
/// [`Error::Refused`] if there is no such tenant.
pub fn owner(app: &App, slug: Option<&str>) -> Result<Owner> {
    let tenant = slug.map(|slug| find(app, slug)).transpose()?;
    Ok(tenant.map_or(Owner::Platform, |tenant| {
        Owner::Tenant(Tenancy {
            id: tenant.id,
            slug: tenant.slug.into(),
        })
    }))
}

/// An audit event about something that this owner has.
pub(super) fn owners_event(
    owner: &Owner,
    actor: &Actor,
    action: &'static str,
    target: &str,
) -> Event {
    let tenant = owner.tenancy().map(|tenancy| tenancy.id);
    Event::new(tenant, actor.clone(), action, target)
}

/// A key to add.
#[derive(Debug, Clone, PartialEq)]
pub struct NewKey {
    /// The only algorithm that it may be used with; none for HS256, or for the one that a JSON Web Key names.
    pub algorithm: Option<Algorithm>,
    /// Its name in the headers of tokens; none for the one in a JSON Web Key, or a random one.
    pub kid: Option<String>,
    /// The public key; without one, the server generates a shared secret or a key pair.
    pub public_key: Option<GivenKey>,
    /// Start of its validity.
    pub not_before: Option<DateTime<Utc>>,
    /// End of its validity.
    pub expires_at: Option<DateTime<Utc>>,
}

impl NewKey {
    /// A key that the server generates.
    pub fn made(algorithm: Algorithm) -> Self {
        Self {
            algorithm: Some(algorithm),
            kid: None,
            public_key: None,
            not_before: None,
            expires_at: None,
        }
    }

    /// A text member of the JSON Web Key.
    fn jwk_member(&self, name: &str) -> Option<&str> {
        self.public_key.as_ref()?.member(name)
    }

    fn algorithm(&self) -> Result<Algorithm> {
        let named = self.jwk_member("alg").map(str::parse).transpose();
        let named = named.map_err(|message| Error::refused(format!("{message}.")))?;
        match (self.algorithm.or(named), &self.public_key) {
            (Some(algorithm), _) => Ok(algorithm),
            (None, None) => Ok(Algorithm::Hs256),
            (None, Some(_)) => Err(Error::refused(
                "A public key can be used with only one algorithm: give it, such as ES256.",
            )),
        }
    }

    fn kid(&self) -> Result<String> {
        let given = self.kid.as_deref().or_else(|| self.jwk_member("kid"));
        let Some(kid) = given else {
            return random_name();
        };
        if is_key_id(kid) {
            return Ok(kid.to_owned());
        }
        Err(Error::refused(format!(
            "The name of a key has 1 to {MAX_KID_BYTES} printable ASCII characters and no spaces, and is neither `.` nor `..`."
        )))
    }

    fn check_times(&self) -> Result<()> {
        if let (Some(begin), Some(end)) = (self.not_before, self.expires_at)
            && begin >= end
        {
            return Err(Error::refused("A key must begin before it expires."));
        }
        if self.expires_at.is_some_and(|end| end <= Utc::now()) {
            return Err(Error::refused("A key must expire in the future."));
        }
        Ok(())
    }
}

/// A key, with its shared secret if one was just generated. The secret cannot be read later.
#[derive(Debug)]
pub struct AddedKey {
    /// The key.
    pub key: StoredKey,
    /// The shared secret. The HMAC key is this text itself, byte for byte.
    pub secret: Option<Zeroizing<String>>,
    /// Whether the key is new.
    pub created: bool,
}

/// Adds a key: registers the given public key, or generates a shared secret or a key pair. If the same public key
/// exists under the same name, returns that one. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if key and algorithm do not fit, or a secret is needed and there is no master key;
/// [`Error::KeyExists`] if the name is taken.
pub fn add_key(app: &App, actor: &Actor, owner: &Owner, new: &NewKey) -> Result<AddedKey> {
    if let Some(given) = &new.public_key {
        // First of all: if a private key was sent, its owner must learn that it has leaked.
        given.refuse_other_things()?;
    }
    let algorithm = new.algorithm()?;
    new.check_times()?;
    let given = new.public_key.as_ref();
    let public_key = given.map(|given| given.read(algorithm)).transpose()?;
    let key = StoredKey {
        owner: owner.clone(),
        tenant_suspended: false,
        kid: new.kid()?,
        algorithm,
        material: KeyMaterial::PublicKey(String::new()),
        created_at: Utc::now(),
        not_before: new.not_before,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    let (binding, new) = (key.binding(), key.clone());
    let made = Made::new(app, algorithm, public_key)?;
    let seal = |current| made.seal(app, &binding, current);
    let event =
        |key: &StoredKey| owners_event(owner, actor, "key.add", &key.kid).after(audited(key));
    match app.store.key_insert(key, None, MAX_KEYS, seal, event)? {
        KeyInsertion::Added(key) => Ok(AddedKey {
            key,
            secret: made.into_secret(),
            created: true,
        }),
        KeyInsertion::Taken(there) if is_same(&there, &new, made.public_key()) => Ok(AddedKey {
            key: there,
            secret: None,
            created: false,
        }),
        KeyInsertion::Taken(_) => Err(Error::KeyExists { kid: new.kid }),
        KeyInsertion::TooMany => Err(Error::refused(format!(
            "There are {MAX_KEYS} keys already that are not revoked; revoke those that are no longer used."
        ))),
    }
}

/// Adds a key from another server, unless it exists; returns whether it is new. Encrypts its secret with this server's
/// master key. Blocks.
///
/// # Errors
///
/// [`Error::Refused`] if the name is taken, or the key is not valid.
pub(crate) fn import_key(
    app: &App,
    actor: &Actor,
    tenant: Tenancy,
    line: &transfer::Key,
    secret: Option<Zeroizing<Vec<u8>>>,
) -> Result<bool> {
    let kid = &line.kid;
    let broken = |why: &str| Error::refused(format!("The key `{kid}` of the file {why}."));
    if !is_key_id(kid) {
        return Err(broken("has an invalid name"));
    }
    let algorithm: Algorithm = line.algorithm.parse().map_err(|why: String| broken(&why))?;
    let public = line.public_key.clone().map(GivenKey::Pem);
    let public = public.map(|given| given.read(algorithm)).transpose()?;
    let public = public.map(|key| key.to_pem());
    let made = match (algorithm.secret_bytes(), public, secret) {
        (Some(least), None, Some(secret)) => {
            let text = String::from_utf8(secret.to_vec()).map_err(|_| broken("has no text"))?;
            let text = Zeroizing::new(text);
            if text.len() < least {
                return Err(broken("is too short"));
            }
            Made::Secret(text)
        }
        (None, Some(public), Some(private)) => Made::Pair { public, private },
        (None, Some(public), None) => Made::Public(public),
        _ => return Err(broken("does not fit its algorithm")),
    };
    let owner = Owner::Tenant(tenant);
    let key = StoredKey {
        owner: owner.clone(),
        tenant_suspended: false,
        kid: kid.clone(),
        algorithm,
        material: KeyMaterial::PublicKey(String::new()),
        created_at: line.created_at,
        not_before: line.not_before,
        expires_at: line.expires_at,
        revoked_at: None,
    };
    let binding = key.binding();
    let seal = |current| made.seal(app, &binding, current);
    let event =
        |key: &StoredKey| owners_event(&owner, actor, "key.add", &key.kid).after(audited(key));
    let inserted = app
        .store
        .key_insert(key, Some(line.created_at), MAX_KEYS, seal, event)?;
    match inserted {
        KeyInsertion::Added(_) => Ok(true),
        KeyInsertion::Taken(there) => {
            let is_own = there.owner == owner && there.algorithm == algorithm;
            let same_secret = || match (&made, there.encrypted()) {
                (Made::Public(_), None) => true,
                (Made::Secret(text), Some(_)) => {
                    let stored = open_secret(&there, app.vault.as_deref());
                    stored.is_ok_and(|secret| *secret == text.as_bytes())
                }
                (Made::Pair { private, .. }, Some(_)) => {
                    let stored = open_secret(&there, app.vault.as_deref());
                    stored.is_ok_and(|secret| *secret == **private)
                }
                _ => false,
            };
            let public = match &made {
                Made::Public(public) | Made::Pair { public, .. } => Some(public.as_str()),
                Made::Secret(_) => None,
            };
            if is_own && there.public_key() == public && same_secret() {
                return Ok(false);
            }
            Err(taken(kid))
        }
        KeyInsertion::TooMany => Err(Error::refused(format!(
            "There are {MAX_KEYS} keys already that are not revoked; revoke those that are no longer used."
        ))),
    }
}

/// The error for an imported key whose name belongs to another key here.
pub(crate) fn taken(kid: &str) -> Error {
    Error::refused(format!(
        "Another key here has the name `{kid}` already, and tokens name their keys: export without --keys and add new keys, or remove the tenant that has it."
    ))
}

/// Material of a new key, before it is stored.
enum Made {
    Public(String),
    Secret(Zeroizing<String>),
    Pair {
        public: String,
        private: Zeroizing<Vec<u8>>,
    },
}

impl Made {
    fn new(app: &App, algorithm: Algorithm, given: Option<PublicKey>) -> Result<Self> {
        if let Some(given) = given {
            return Ok(Self::Public(given.to_pem()));
        }
        app.vault()?;
        Ok(if let Some(length) = algorithm.secret_bytes() {
            let text = URL_SAFE_NO_PAD.encode(&*random_bytes(length)?);
            Self::Secret(Zeroizing::new(text))
        } else {
            let (public, private) = new_key_pair(algorithm)?;
            let public = public.to_pem();
            Self::Pair { public, private }
        })
    }

    fn seal(&self, app: &App, binding: &str, current: Option<MasterKeyId>) -> Result<KeyMaterial> {
        let encrypt = |secret: &[u8]| app.vault()?.encrypt(secret, binding, current);
        Ok(match self {
            Self::Public(pem) => KeyMaterial::PublicKey(pem.clone()),
            Self::Secret(text) => KeyMaterial::EncryptedSecret(encrypt(text.as_bytes())?),
            Self::Pair { public, private } => KeyMaterial::KeyPair {
                public: public.clone(),
                encrypted_private: encrypt(private)?,
            },
        })
    }

    /// The public key, if it was given.
    fn public_key(&self) -> Option<&str> {
        match self {
            Self::Public(pem) => Some(pem),
            _ => None,
        }
    }

    fn into_secret(self) -> Option<Zeroizing<String>> {
        match self {
            Self::Secret(text) => Some(text),
            _ => None,
        }
    }
}

/// Whether adding `new` with this public key would change nothing. Times that are not given are not compared.
fn is_same(there: &StoredKey, new: &StoredKey, public_key: Option<&str>) -> bool {
    let same_time = |there: Option<DateTime<Utc>>, new: Option<DateTime<Utc>>| {
        new.is_none_or(|new| {
            there.map(|time| time.timestamp_micros()) == Some(new.timestamp_micros())
        })
    };
    matches!(&there.material, KeyMaterial::PublicKey(pem) if Some(pem.as_str()) == public_key)
        && there.owner == new.owner
        && there.algorithm == new.algorithm
        && there.revoked_at.is_none()
        && same_time(there.not_before, new.not_before)
        && same_time(there.expires_at, new.expires_at)
}

/// Lists an owner's keys, newest first, including revoked ones. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn keys(
    app: &App,
    owner: &Owner,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<StoredKey, String>> {
    // One more than the limit, to see whether there is a next page.
    let keys = app.store.key_list(owner, after, i64::from(limit) + 1)?;
    let limit = usize::try_from(limit).map_err(Error::internal)?;
    Ok(Page::cut(keys, limit, |last| last.kid.clone()))
}

/// Finds an owner's key by its name. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none.
pub fn key(app: &App, owner: &Owner, kid: &str) -> Result<StoredKey> {
    let key = app.store.key_of(owner, kid)?;
    key.ok_or(Error::NotFound(Noun::Key))
}

/// Finds a key by its name, with its owner. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none.
pub fn key_of_anybody(app: &App, kid: &str) -> Result<(Owner, StoredKey)> {
    let key = app.store.key_get(kid)?.ok_or(Error::NotFound(Noun::Key))?;
    Ok((key.owner.clone(), key))
}

/// Revokes a key: tokens that it signed are refused from now on, on all servers within a second. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none.
pub fn revoke_key(app: &App, actor: &Actor, owner: &Owner, kid: &str) -> Result<StoredKey> {
    let event = |key: &StoredKey| {
        let before = StoredKey {
            revoked_at: None,
            ..key.clone()
        };
        let state = |key: &StoredKey| json!({ "state": key.state(Utc::now()) });
        owners_event(owner, actor, "key.revoke", kid)
            .before(state(&before))
            .after(state(key))
    };
    let key = app.store.key_revoke(owner, kid, event)?;
    let key = key.ok_or(Error::NotFound(Noun::Key))?;
    Ok(key)
}

/// The public keys of key pairs with which the server signs, as JSON Web Keys (RFC 7517).
///
/// Keys that are not valid yet are included, so that verifiers have them before the first token. Empty if there is no
/// such tenant. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn published(app: &App, slug: Option<&str>) -> Result<Vec<Value>> {
    let slug = slug.map(ToOwned::to_owned);
    let pairs = app.caches.published.get_or_load(&slug, || {
        let owner = match &slug {
            None => Some(PLATFORM),
            Some(slug) => app.store.tenant_get(slug)?.map(|tenant| tenant.id),
        };
        let pairs = owner.map(|owner| app.store.key_pairs(owner)).transpose()?;
        Ok::<_, Error>(Arc::new(pairs.unwrap_or_default()))
    })?;
    let now = Utc::now();
    let live = pairs
        .iter()
        .filter(|key| matches!(key.state(now), KeyState::Active | KeyState::Pending));
    live.map(|key| {
        let pem = key.public_key().unwrap_or_default();
        PublicKey::from_pem(key.algorithm, pem)?.to_jwk(&key.kid)
    })
    .collect()
}

/// A key's properties for the audit trail.
fn audited(key: &StoredKey) -> Value {
    json!({
        "algorithm": key.algorithm.as_str(),
        "kind": key.kind(),
        "not_before": key.not_before.map(time::to_text),
        "expires_at": key.expires_at.map(time::to_text),
    })
}
