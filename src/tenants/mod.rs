//! Tenants, what they may use, and their keys: what admins do over REST and on the command line.

mod lifecycle;
pub mod meters;
pub mod model;
pub mod quotas;
mod removal;
mod usage;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::app::App;
use crate::auth::key::{Algorithm, KeyMaterial, StoredKey, public_key};
use crate::auth::token;
use crate::context::{Scope, Tenancy};
use crate::error::{Error, Noun, Result};
use model::Tenant;

pub use lifecycle::{
    NewTenant, Page, TenantFilter, create, delete, get, key_and_quotas, list, resume, suspend,
    update,
};
pub use removal::Removal;
pub use usage::{Room, Usage, forget as forget_usage, room, usage};

/// Longest lifetime of a token that the server issues.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(366 * 24 * 3600);

/// The tenant of this slug.
///
/// # Errors
///
/// [`Error::Refused`] where there is none.
pub fn find(app: &App, slug: &str) -> Result<Tenant> {
    app.store.tenant_get(slug)?.ok_or_else(|| {
        Error::refused(format!(
            "There is no tenant `{slug}`. Create it with `sigpersist tenant create {slug}`."
        ))
    })
}

/// The tenant that a caller of the platform acts for.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn acted_for(app: &App, slug: &str) -> Result<Tenancy> {
    let tenant = app.store.tenant_get(slug)?;
    let tenant = tenant.ok_or(Error::NotFound(Noun::Tenant))?;
    Ok(Tenancy {
        id: tenant.id,
        slug: tenant.slug.into(),
    })
}

/// A new key, and its secret where it is a shared one: this is the only time that it can be read.
#[derive(Debug)]
pub struct NewKey {
    /// The key's name in the headers of tokens.
    pub kid: String,
    /// The one algorithm it may be used with.
    pub algorithm: Algorithm,
    /// The shared secret: the HMAC key is this text itself, byte for byte.
    pub secret: Option<Zeroizing<String>>,
}

/// Whose keys and tokens a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A tenant, by its slug.
    Tenant(String),
    /// The platform, whose operators act for any tenant.
    Platform,
}

impl Holder {
    /// The tenant's slug, if it is one.
    pub fn slug(&self) -> Option<&str> {
        match self {
            Self::Tenant(slug) => Some(slug),
            Self::Platform => None,
        }
    }

    fn tenant(&self, app: &App) -> Result<Option<Tenant>> {
        match self {
            Self::Tenant(slug) => find(app, slug).map(Some),
            Self::Platform => Ok(None),
        }
    }
}

/// Adds a key to a tenant or the platform: registers the public key that is given, or makes a shared secret.
///
/// # Errors
///
/// [`Error::Refused`] where key and algorithm do not fit, or a shared secret is asked for without a master key.
pub fn add_key(
    app: &App,
    holder: &Holder,
    algorithm: Algorithm,
    public_key_pem: Option<&str>,
) -> Result<NewKey> {
    let tenant = holder.tenant(app)?;
    let kid = crate::auth::random_name()?;
    let mut key = StoredKey {
        tenant_suspended: tenant
            .as_ref()
            .is_some_and(|tenant| tenant.suspended_at.is_some()),
        tenant: tenant.map(|tenant| Tenancy {
            id: tenant.id,
            slug: tenant.slug.into(),
        }),
        kid,
        algorithm,
        material: KeyMaterial::PublicKey(String::new()),
    };
    let secret = match (public_key_pem, algorithm.secret_bytes()) {
        (Some(pem), _) => {
            public_key(algorithm, pem)?;
            key.material = KeyMaterial::PublicKey(pem.to_owned());
            None
        }
        (None, Some(length)) => {
            let random = crate::auth::random_bytes(length)?;
            let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*random));
            let encrypted = app.vault()?.encrypt(secret.as_bytes(), &key.binding())?;
            key.material = KeyMaterial::EncryptedSecret(encrypted);
            Some(secret)
        }
        (None, None) => {
            return Err(Error::refused(format!(
                "{} works with a key pair of yours: give the public one with --public-key FILE.",
                algorithm.as_str()
            )));
        }
    };
    app.store.key_insert(&key)?;
    Ok(NewKey {
        kid: key.kid,
        algorithm,
        secret,
    })
}

/// Issues a token that the newest shared secret of a tenant or of the platform signs.
///
/// # Errors
///
/// [`Error::Refused`] where there is no shared secret, or the lifetime is out of range.
pub fn issue_token(
    app: &App,
    holder: &Holder,
    scopes: &[Scope],
    subject: Option<String>,
    lifetime: Duration,
) -> Result<String> {
    if lifetime.as_secs() == 0 || lifetime > MAX_TOKEN_LIFETIME {
        return Err(Error::refused(
            "A token's lifetime is between 1 second and 366 days.",
        ));
    }
    let tenant = holder.tenant(app)?;
    let key = app
        .store
        .key_newest_secret(tenant.map(|tenant| tenant.id))?
        .ok_or_else(|| {
            Error::refused(match holder {
                Holder::Tenant(slug) => format!(
                    "The tenant `{slug}` has no shared secret to sign with. Add one with `sigpersist key add {slug}`."
                ),
                Holder::Platform => "The platform has no shared secret to sign with. Add one with `sigpersist key add --platform`.".to_owned(),
            })
        })?;
    token::issue(
        &key,
        app.vault.as_deref(),
        subject,
        scopes,
        lifetime,
        &app.config.auth,
    )
}
