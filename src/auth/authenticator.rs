//! From a bearer token to a caller.

use std::sync::Arc;

use jsonwebtoken::DecodingKey;

use super::Vault;
use super::key::{Algorithm, StoredKey};
use super::token;
use crate::cache::Cache;
use crate::config::AuthConfig;
use crate::context::{Caller, PLATFORM, Tenancy, TenantId};
use crate::error::{Error, Result};
use crate::tenants::quotas::Quotas;

/// Keys kept ready, and names of keys that do not exist, so that guessing does not reach the database each time.
const CACHED_KEYS: usize = 10_000;

/// Verifies tokens with the keys of the database, which it keeps ready.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthConfig,
    vault: Option<Arc<Vault>>,
    keys: Cache<String, Option<Arc<ReadyKey>>>,
}

struct ReadyKey {
    /// None for the platform's own keys.
    tenant: Option<Tenancy>,
    tenant_suspended: bool,
    kid: Arc<str>,
    quotas: Quotas<Option<u64>>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl std::fmt::Debug for ReadyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReadyKey of {:?}", self.tenant)
    }
}

impl ReadyKey {
    fn owner(&self) -> TenantId {
        self.tenant.as_ref().map_or(PLATFORM, |tenant| tenant.id)
    }
}

impl Authenticator {
    /// Without a vault, only public keys work.
    pub fn new(config: AuthConfig, vault: Option<Arc<Vault>>) -> Self {
        Self {
            config,
            vault,
            keys: Cache::new(CACHED_KEYS),
        }
    }

    /// Verifies a token where its key is ready; nothing where the key must be loaded first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidToken`], [`Error::ExpiredToken`] or [`Error::TenantSuspended`].
    pub fn authenticate_ready(&self, token: &str) -> Result<Option<Caller>> {
        match self.keys.get(&token::key_id(token)?) {
            Some(key) => self.verify(token, key.as_deref()).map(Some),
            None => Ok(None),
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
    ) -> Result<Caller> {
        let key = self.keys.get_or_load(&token::key_id(token)?, || {
            // The name as the token spells it; asking again costs nothing.
            match load(&token::key_id(token)?)? {
                Some((stored, quotas)) => Ok(Some(Arc::new(ReadyKey {
                    tenant: stored.tenant.clone(),
                    tenant_suspended: stored.tenant_suspended,
                    kid: stored.kid.as_str().into(),
                    quotas,
                    algorithm: stored.algorithm,
                    key: stored
                        .decoding_key(self.vault.as_deref())
                        .map_err(Error::internal)?,
                }))),
                None => Ok::<_, Error>(None),
            }
        })?;
        self.verify(token, key.as_deref())
    }

    fn verify(&self, token: &str, key: Option<&ReadyKey>) -> Result<Caller> {
        let key = key.ok_or(Error::InvalidToken("its `kid` names no active key"))?;
        let claims = token::verify(
            token,
            key.algorithm,
            &key.key,
            key.tenant.as_ref().map(|tenant| &*tenant.slug),
            &self.config,
        )?;
        if key.tenant_suspended {
            return Err(Error::TenantSuspended);
        }
        Ok(Caller {
            tenant: key.tenant.clone(),
            quotas: key.quotas,
            subject: claims.subject,
            key: Some(Arc::clone(&key.kid)),
            scopes: claims.scopes,
        })
    }

    /// Forgets the keys of a tenant and the names of keys that did not exist; of all tenants where none is named.
    pub fn invalidate(&self, tenant: Option<TenantId>) {
        self.keys.invalidate(|_, key| {
            key.as_ref()
                .is_none_or(|key| tenant.is_none_or(|tenant| key.owner() == tenant))
        });
    }
}
