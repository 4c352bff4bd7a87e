//! Authenticates callers by their bearer tokens.
//!
//! A verified token is cached by its SHA-256 until it expires or a key of its tenant changes: verifying an ECDSA
//! signature takes more than a hundred times as long as finding the token in the cache.
//!
//! The `iss` of a token decides who verifies it: if a tenant trusts a provider with this `iss`, only the provider's keys do,
//! whatever keys of ours have the same `kid`. Its other claims decide for which tenant.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use jsonwebtoken::DecodingKey;
use serde_json::{Map, Value};
use sigpersist_model::context::{Caller, TenantId};
use sigpersist_model::digest::sha256;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::issuer::{Issuer, KeySource};
use sigpersist_model::key::{KeyMaterial, KeyState, StoredKey};
use sigpersist_model::quotas::Quotas;
use sigpersist_runtime::cache::Cache;
use sigpersist_runtime::vault::Vault;
use tracing::warn;

use super::decoy;
use super::key::decoding_key;
use super::key_set::KeySet;
use super::key_sets::{Fetch, Fetched, Flight, Found, KeySets, Place};
use super::token::{self, Chosen, Header};
use crate::config::AuthConfig;

/// Greatest number of cached keys. Names of keys that do not exist are cached too, so that guesses do not reach the
/// database each time.
const CACHED_KEYS: usize = 10_000;
/// Greatest number of cached tokens.
const CACHED_TOKENS: usize = 10_000;
/// Greatest number of cached issuers, those that nobody trusts included.
const CACHED_ISSUERS: usize = 10_000;

/// Verifies tokens with the keys of the database and of identity providers, and caches all of them.
#[derive(Debug)]
pub struct Authenticator {
    config: AuthConfig,
    vault: Option<Arc<Vault>>,
    keys: Cache<String, Option<Arc<ReadyKey>>>,
    issuers: Cache<String, Arc<Vec<ReadyIssuer>>>,
    key_sets: KeySets,
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

/// An identity provider that a tenant trusts.
#[derive(Debug)]
struct ReadyIssuer {
    issuer: Issuer,
    quotas: Quotas<Option<u64>>,
    /// Its keys, if they were given.
    given: Option<KeySet>,
}

/// A caller whose token was verified, and the time until which that is valid.
#[derive(Debug, Clone)]
struct Verified {
    owner: TenantId,
    caller: Arc<Caller>,
    until: DateTime<Utc>,
    /// The place of the key set that verified it, if that was fetched.
    place: Option<Place>,
}

/// The next step for a token.
#[derive(Debug)]
pub enum Step {
    /// It is verified.
    Caller(Arc<Caller>),
    /// Its key, or its issuer, must be loaded from the database.
    Load,
    /// The keys of its issuer must be fetched.
    Fetch(Fetch),
}

/// Loads a value by a name.
type Load<'a, T, E = Error> = &'a dyn Fn(&str) -> Result<T, E>;

/// The queries that load what a token needs. They block.
pub struct Loaded<'a> {
    /// Loads a key and its tenant's quotas.
    pub key: Load<'a, Option<(StoredKey, Quotas<Option<u64>>)>>,
    /// Loads the providers with an `iss`, with the quotas of their tenants.
    pub issuers: Load<'a, Vec<(Issuer, Quotas<Option<u64>>)>>,
}

impl std::fmt::Debug for Loaded<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loaded")
    }
}

/// The reason why a token is not verified.
enum Unverified {
    /// Its key or issuer is not cached.
    NotReady,
    /// The keys of its issuer must be fetched first.
    Needs(Fetch),
    Failed(Error),
}

impl From<Error> for Unverified {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Lookups of the parts that a token needs.
struct Lookups<'a> {
    key: Load<'a, Option<Arc<ReadyKey>>, Unverified>,
    issuers: Load<'a, Arc<Vec<ReadyIssuer>>, Unverified>,
    /// Whether a fetch may be waited for.
    may_wait: bool,
}

impl Authenticator {
    /// Creates an authenticator. Without a vault, only public keys work.
    pub fn new(config: AuthConfig, vault: Option<Arc<Vault>>) -> Self {
        Self {
            key_sets: KeySets::new(&config),
            config,
            vault,
            keys: Cache::new(CACHED_KEYS),
            issuers: Cache::new(CACHED_ISSUERS),
            tokens: Cache::new(CACHED_TOKENS),
        }
    }

    /// The key sets of identity providers.
    pub fn key_sets(&self) -> &KeySets {
        &self.key_sets
    }

    /// Stores the result of a flight. Tokens are verified again if keys are gone that verified tokens before.
    pub fn land(&self, place: &Place, flight: Flight, fetched: Result<Fetched, String>) {
        if self.key_sets.land(flight, fetched) {
            self.tokens
                .invalidate(|_, verified| verified.place.as_ref() == Some(place));
        }
    }

    /// Verifies a token by what is cached. If not `may_wait`, keys that were fetched before have to do.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidToken`], [`Error::ExpiredToken`], [`Error::TenantSuspended`] or [`Error::IssuerUnavailable`].
    pub fn authenticate_ready(&self, token: &str, may_wait: bool) -> Result<Step> {
        let key = |kid: &str| {
            let key = self.keys.get(&kid.to_owned());
            key.ok_or(Unverified::NotReady)
        };
        let issuers = |issuer: &str| {
            let issuers = self.issuers.get(&issuer.to_owned());
            issuers.ok_or(Unverified::NotReady)
        };
        self.step(
            token,
            &Lookups {
                key: &key,
                issuers: &issuers,
                may_wait,
            },
        )
    }

    /// Verifies a token, and loads what it needs from the database. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::authenticate_ready`], and the errors of `load`.
    pub fn authenticate(&self, token: &str, may_wait: bool, load: &Loaded<'_>) -> Result<Step> {
        let key = |kid: &str| {
            let key = self
                .keys
                .get_or_load(&kid.to_owned(), || self.load_key(kid, load));
            key.map_err(Unverified::Failed)
        };
        let issuers = |issuer: &str| {
            let issuers = self.issuers.get_or_load(&issuer.to_owned(), || {
                let ready = (load.issuers)(issuer)?.into_iter();
                let ready = ready.map(|(issuer, quotas)| ReadyIssuer::new(issuer, quotas));
                Ok::<_, Error>(Arc::new(ready.collect()))
            });
            issuers.map_err(Unverified::Failed)
        };
        self.step(
            token,
            &Lookups {
                key: &key,
                issuers: &issuers,
                may_wait,
            },
        )
    }

    fn load_key(&self, kid: &str, load: &Loaded<'_>) -> Result<Option<Arc<ReadyKey>>> {
        let Some((stored, quotas)) = (load.key)(kid)? else {
            return Ok(None);
        };
        let key = match decoding_key(&stored, self.vault.as_deref()) {
            // A server with weaker checks registered this key.
            Err(Error::Refused(why)) if matches!(stored.material, KeyMaterial::PublicKey(_)) => {
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

    fn step(&self, token: &str, lookups: &Lookups<'_>) -> Result<Step> {
        match self.verified(token, lookups) {
            Ok(caller) => Ok(Step::Caller(caller)),
            Err(Unverified::NotReady) => Ok(Step::Load),
            Err(Unverified::Needs(fetch)) => Ok(Step::Fetch(fetch)),
            Err(Unverified::Failed(error)) => Err(error),
        }
    }

    /// The caller of a token that is cached, or that verifies by these lookups.
    fn verified(&self, token: &str, lookups: &Lookups<'_>) -> Result<Arc<Caller>, Unverified> {
        // The key is looked up within the load, so that an invalidation of the key also drops the token, whichever
        // comes first.
        let verify = || self.verify_with(token, lookups);
        if token.len() > token::MAX_TOKEN_BYTES {
            return verify().map(|verified| verified.caller);
        }
        let known = sha256(token.as_bytes());
        let verified = self.tokens.get_or_load(&known, verify)?;
        if Utc::now() < verified.until {
            return Ok(verified.caller);
        }
        // The token has expired since, or its key is to be looked at again. Verifying it again gives the right error.
        self.tokens.remove(&known);
        verify().map(|verified| verified.caller)
    }

    fn verify_with(&self, token: &str, lookups: &Lookups<'_>) -> Result<Verified, Unverified> {
        let header = token::header(token)?;
        let issued = token::unverified_issuer(token);
        // Tokens that this server issues are verified by its own keys; a provider can't be added with their `iss`.
        let own = self.config.issuer.as_deref();
        if let Some((issuer, claims)) = issued.filter(|(issuer, _)| Some(&**issuer) != own) {
            let issuers = (lookups.issuers)(&issuer)?;
            if !issuers.is_empty() {
                return self.verify_issued(token, &header, &claims, &issuers, lookups.may_wait);
            }
        }
        self.verify(token, &header, (lookups.key)(&header.kid)?.as_deref())
    }

    /// Verifies a token of an identity provider that at least one tenant trusts.
    fn verify_issued(
        &self,
        token: &str,
        header: &Header,
        claims: &Map<String, Value>,
        issuers: &[ReadyIssuer],
        may_wait: bool,
    ) -> Result<Verified, Unverified> {
        let mut matching = issuers
            .iter()
            .filter(|ready| ready.issuer.rules.match_claims(claims));
        // If none or several match, the keys of the first one decide who learns that.
        let (ready, chosen) = match (matching.next(), matching.next()) {
            (Some(one), None) => (Some(one), Chosen::One(&one.issuer.rules, claims)),
            (Some(one), Some(_)) => (Some(one), Chosen::Several),
            (None, _) => (issuers.first(), Chosen::None),
        };
        let ready = ready.ok_or(token::UNVERIFIED)?;
        let issuer = &ready.issuer;
        let place = Place::of(issuer);
        let (key, until) = match (&ready.given, &place) {
            (None, Some(place)) => {
                let fetch = Fetch {
                    place: place.clone(),
                    tenant: issuer.tenancy.id,
                    refreshed_at: issuer.refreshed_at,
                };
                match self.key_sets.find(fetch, &header.kid, may_wait) {
                    Found::Key(key, until) => (Some(key), until),
                    Found::Unknown => (None, DateTime::<Utc>::MAX_UTC),
                    Found::Needs(fetch) => return Err(Unverified::Needs(fetch)),
                    Found::Unavailable => return Err(Error::IssuerUnavailable.into()),
                }
            }
            (given, _) => {
                let key = given.as_ref().and_then(|set| set.get(&header.kid));
                (key.cloned(), DateTime::<Utc>::MAX_UTC)
            }
        };
        let Some(key) = key.filter(|key| key.fits(header.jwt)) else {
            decoy::verify(token, header.jwt);
            return Err(token::UNVERIFIED.into());
        };
        let claims = token::verify_issued(
            token,
            header.jwt,
            &key.key,
            &issuer.issuer,
            chosen,
            &self.config,
        )?;
        if issuer.tenant_suspended {
            return Err(Error::TenantSuspended.into());
        }
        let caller = Caller {
            tenant: Some(issuer.tenancy.clone()),
            quotas: ready.quotas,
            subject: claims.subject,
            key: Some(format!("{}/{}", issuer.name, header.kid).into()),
            scopes: claims.scopes,
            bound_to: claims.bound_to,
            is_command_line: false,
        };
        Ok(Verified {
            owner: issuer.tenancy.id,
            caller: Arc::new(caller),
            until: claims.valid_until.min(until),
            place,
        })
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
            if header.algorithm.is_some() {
                decoy::verify(token, header.jwt);
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
            place: None,
        })
    }

    /// Invalidates the keys and issuers of a tenant, the tokens that they verified, and the names of keys that did not
    /// exist. Without a tenant, invalidates those of all tenants.
    pub fn invalidate(&self, tenant: Option<TenantId>) {
        let stale = |owner: TenantId| tenant.is_none_or(|tenant| owner == tenant);
        self.keys
            .invalidate(|_, key| key.as_ref().is_none_or(|key| stale(key.stored.owner.id())));
        // Others may trust the same issuer, or nobody may have until now.
        self.issuers.invalidate(|_, _| true);
        // Tokens come last, so that a token verified with an old key meanwhile is not kept.
        self.tokens.invalidate(|_, verified| stale(verified.owner));
    }
}

impl ReadyIssuer {
    fn new(issuer: Issuer, quotas: Quotas<Option<u64>>) -> Self {
        let given = match &issuer.keys {
            KeySource::Given(text) => {
                let set = KeySet::stored(text.as_bytes());
                if let Err(why) = &set {
                    warn!(tenant.id = %issuer.tenancy.id, why, "Refused the stored keys of `{}`", issuer.name);
                }
                Some(set.unwrap_or_default())
            }
            KeySource::Discovery | KeySource::Url(_) => None,
        };
        Self {
            issuer,
            quotas,
            given,
        }
    }
}
