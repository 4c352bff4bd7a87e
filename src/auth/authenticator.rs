//! From a bearer token to a caller.
//!
//! A token that was verified is known again, by its SHA-256, until it expires or anything of its tenant's keys changes:
//! verifying an ECDSA signature takes more than a hundred times as long as finding it again.

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

/// Keys kept ready, and names of keys that do not exist, so that guessing does not reach the database each time.
const CACHED_KEYS: usize = 10_000;
/// Verified tokens that are known again.
const CACHED_TOKENS: usize = 10_000;

/// Verifies tokens with the keys of the database, which it keeps ready.
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
        write!(f, "ReadyKey of {:?}", self.stored.tenant)
    }
}

/// A caller whose token was verified, and for how long that holds.
#[derive(Debug, Clone)]
struct Verified {
    owner: TenantId,
    caller: Arc<Caller>,
    until: DateTime<Utc>,
}

/// Why a token is not verified yet.
enum Unverified {
    /// Its key is not ready.
    NotReady,
    Failed(Error),
}

impl From<Error> for Unverified {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Authenticator {
    /// Without a vault, only public keys work.
    pub fn new(config: AuthConfig, vault: Option<Arc<Vault>>) -> Self {
        Self {
            config,
            vault,
            keys: Cache::new(CACHED_KEYS),
            tokens: Cache::new(CACHED_TOKENS),
        }
    }

    /// Verifies a token where its key is ready; nothing where the key must be loaded first.
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

    /// Verifies a token; `load` asks the database for a key and its tenant's quotas, and blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::authenticate_ready`], and those of `load`.
    pub fn authenticate(
        &self,
        token: &str,
        load: impl Fn(&str) -> Result<Option<(StoredKey, Quotas<Option<u64>>)>>,
    ) -> Result<Arc<Caller>> {
        let loaded = |kid: &str| {
            let key = self.keys.get_or_load(&kid.to_owned(), || match load(kid)? {
                Some((stored, quotas)) => {
                    let key = match decoding_key(&stored, self.vault.as_deref()) {
                        // It was registered by a server that looked less closely.
                        Err(Error::Refused(why))
                            if matches!(stored.material, KeyMaterial::PublicKey(_)) =>
                        {
                            warn!(kid = stored.kid, why, "Refused a public key that is stored");
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

    /// The caller of a token that is known, or that verifies with the key that `find` finds.
    fn verified(
        &self,
        token: &str,
        find: impl Fn(&str) -> Result<Option<Arc<ReadyKey>>, Unverified>,
    ) -> Result<Arc<Caller>, Unverified> {
        // The key is asked for within the load, so that news of it forget the token too, whichever comes first.
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
        // It has expired since; who says so best is who verifies it.
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
            // Neither the sentence nor the time tells whether there is a key of this name.
            if let Some(algorithm) = header.algorithm {
                decoy::verify(token, algorithm);
            }
            return Err(token::UNVERIFIED.into());
        };
        let tenant = stored.tenant.as_ref();
        let claims = token::verify(
            token,
            stored.algorithm,
            key,
            tenant.map(|tenant| &*tenant.slug),
            &self.config,
        )?;
        // Only who has the key is told of its life.
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
            tenant: stored.tenant.clone(),
            quotas: *quotas,
            subject: claims.subject,
            key: Some(Arc::clone(kid)),
            scopes: claims.scopes,
        };
        Ok(Verified {
            owner: stored.owner(),
            caller: Arc::new(caller),
            until,
        })
    }

    /// Forgets the keys of a tenant, the tokens that they verified, and the names of keys that did not exist; of all
    /// tenants where none is named.
    pub fn invalidate(&self, tenant: Option<TenantId>) {
        let stale = |owner: TenantId| tenant.is_none_or(|tenant| owner == tenant);
        self.keys
            .invalidate(|_, key| key.as_ref().is_none_or(|key| stale(key.stored.owner())));
        // The tokens last: one that is verified with an old key meanwhile is not kept.
        self.tokens.invalidate(|_, verified| stale(verified.owner));
    }
}
