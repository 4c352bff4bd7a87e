//! Authenticates callers by their bearer tokens.
//!
//! A verified token is cached by its SHA-256 until it expires or a key of its tenant changes: verifying an ECDSA
//! signature takes more than a hundred times as long as finding the token in the cache.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::DecodingKey;
use sigpersist_model::context::{Caller, TenantId};
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::{KeyMaterial, KeyState, StoredKey};
use sigpersist_model::quotas::Quotas;
use sigpersist_runtime::cache::Cache;
use sigpersist_runtime::vault::Vault;
use tracing::warn;

use super::decoy;
use super::key::decoding_key;
use super::token::{self, Header};
use crate::config::AuthConfig;

/// Greatest number of cached keys. Names of keys that do not exist are cached too, so that guesses do not reach the
/// database each time.
const CACHED_KEYS: usize = 10_000;
/// Greatest number of cached tokens.
const CACHED_TOKENS: usize = 10_000;

/// Verifies tokens with the keys of the database, and caches both.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthConfig,
    vault: Option<Arc<Vault>>,
    keys: Cache<String, Option<Arc<ReadyKey>>>,
    tokens: Cache<[u8; 32], Verified>,
}

struct ReadyKey {
    stored: StoredKey,
    kid: Arc<str>,
    quotas: Quotas<Option<u64>>,
    key: DecodingKey,
}

impl std::fmt::Debug for ReadyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReadyKey of {:?}", self.stored.owner)
    }
}

/// A caller whose token was verified, and the time until which that is valid.
#[derive(Debug, Clone)]
struct Verified {
    owner: TenantId,
    caller: Arc<Caller>,
    until: DateTime<Utc>,
}

/// The reason why a token is not verified.
enum Unverified {
    /// Its key is not cached.
    NotReady,
    Failed(Error),
}

impl From<Error> for Unverified {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Authenticator {
    /// Creates an authenticator. Without a vault, only public keys work.
    pub fn new(config: AuthConfig, vault: Option<Arc<Vault>>) -> Self {
        Self {
            config,
            vault,
            keys: Cache::new(CACHED_KEYS),
            tokens: Cache::new(CACHED_TOKENS),
        }
    }

    /// Verifies a token if its key is cached; none if the key must be loaded first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidToken`], [`Error::ExpiredToken`] or [`Error::TenantSuspended`].
    pub fn authenticate_ready(&self, token: &str) -> Result<Option<Arc<Caller>>> {
        let ready = |kid: &str| {
            let key = self.keys.get(&kid.to_owned());
            key.ok_or(Unverified::NotReady)
        };
        match self.verified(token, ready) {
            Ok(caller) => Ok(Some(caller)),
            Err(Unverified::NotReady) => Ok(None),
            Err(Unverified::Failed(error)) => Err(error),
        }
    }

    /// Verifies a token. `load` reads a key and its tenant's quotas from the database, and blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::authenticate_ready`], and the errors of `load`.
    pub fn authenticate(
        &self,
        token: &str,
        load: impl Fn(&str) -> Result<Option<(StoredKey, Quotas<Option<u64>>)>>,
    ) -> Result<Arc<Caller>> {
        let loaded = |kid: &str| {
            let key = self.keys.get_or_load(&kid.to_owned(), || match load(kid)? {
                Some((stored, quotas)) => {
                    let key = match decoding_key(&stored, self.vault.as_deref()) {
                        // A server with weaker checks registered this key.
                        Err(Error::Refused(why))
                            if matches!(stored.material, KeyMaterial::PublicKey(_)) =>
                        {
                            warn!(kid = stored.kid, why, "Refused a stored public key");
                            return Ok(None);
                        }
                        key => key.map_err(Error::internal)?,
                    };
                    Ok(Some(Arc::new(ReadyKey {
                        kid: stored.kid.as_str().into(),
                        quotas,
                        key,
                        stored,
                    })))
                }
                None => Ok::<_, Error>(None),
            });
            key.map_err(Unverified::Failed)
        };
        match self.verified(token, loaded) {
            Ok(caller) => Ok(caller),
            Err(Unverified::Failed(error)) => Err(error),
            Err(Unverified::NotReady) => Err(Error::internal("a key was loaded and is not ready")),
        }
    }

    /// The caller of a token that is cached, or that verifies with the key from `find`.
    fn verified(
        &self,
        token: &str,
        find: impl Fn(&str) -> Result<Option<Arc<ReadyKey>>, Unverified>,
    ) -> Result<Arc<Caller>, Unverified> {
        // The key is looked up within the load, so that an invalidation of the key also drops the token, whichever
        // comes first.
        let verify = || {
            let header = token::header(token)?;
            self.verify(token, &header, find(&header.kid)?.as_deref())
        };
        if token.len() > token::MAX_TOKEN_BYTES {
            return verify().map(|verified| verified.caller);
        }
        let known = sha256(token.as_bytes());
        let verified = self.tokens.get_or_load(&known, verify)?;
        if Utc::now() < verified.until {
            return Ok(verified.caller);
        }
        // The token has expired since. Verifying it again gives the right error.
        self.tokens.remove(&known);
        verify().map(|verified| verified.caller)
    }

    fn verify(
        &self,
        token: &str,
        header: &Header,
        key: Option<&ReadyKey>,
    ) -> Result<Verified, Unverified> {
        let fits = |key: &&ReadyKey| {
            key.stored.revoked_at.is_none() && header.algorithm == Some(key.stored.algorithm)
        };
        let Some(ReadyKey {
            stored,
            kid,
            quotas,
            key,
        }) = key.filter(fits)
        else {
            // Neither the message nor the time reveals whether a key of this name exists.
            if let Some(algorithm) = header.algorithm {
                decoy::verify(token, algorithm);
            }
            return Err(token::UNVERIFIED.into());
        };
        let claims = token::verify(
            token,
            stored.algorithm,
            key,
            stored.owner.slug(),
            &self.config,
        )?;
        // Only a caller who has the key learns its state.
        match stored.state(Utc::now()) {
            KeyState::Active => {}
            KeyState::Pending => return Err(Error::InvalidToken("its key is not valid yet").into()),
            KeyState::Expired | KeyState::Revoked => {
                return Err(Error::InvalidToken("its key is not valid any more").into());
            }
        }
        if stored.tenant_suspended {
            return Err(Error::TenantSuspended.into());
        }
        let until = stored
            .expires_at
            .map_or(claims.valid_until, |end| end.min(claims.valid_until));
        let caller = Caller {
            tenant: stored.owner.tenancy().cloned(),
            quotas: *quotas,
            subject: claims.subject,
            key: Some(Arc::clone(kid)),
            scopes: claims.scopes,
            bound_to: claims.bound_to,
            is_command_line: false,
        };
        Ok(Verified {
            owner: stored.owner.id(),
            caller: Arc::new(caller),
            until,
        })
    }

    /// Invalidates the keys of a tenant, the tokens that they verified, and the names of keys that did not exist.
    /// Without a tenant, invalidates those of all tenants.
    pub fn invalidate(&self, tenant: Option<TenantId>) {
        let stale = |owner: TenantId| tenant.is_none_or(|tenant| owner == tenant);
        self.keys
            .invalidate(|_, key| key.as_ref().is_none_or(|key| stale(key.stored.owner.id())));
        // Tokens come last, so that a token verified with an old key meanwhile is not kept.
        self.tokens.invalidate(|_, verified| stale(verified.owner));
    }
}
