//! Tenants, their quotas and their keys: the use-cases of admins, over REST and on the command line.

mod keys;
mod lifecycle;
mod master_key;
mod removal;
mod tokens;
mod usage;
mod walk;

use sigpersist_model::context::{Caller, Tenancy};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::tenant::Tenant;

use crate::app::App;

pub use keys::{
    AddedKey, NewKey, add_key, key, key_of_anybody, keys, owner, published, revoke_key,
};
pub(crate) use keys::{import_key, taken};
pub(crate) use lifecycle::hold;
pub use lifecycle::{
    NewTenant, create, delete, get, key_and_quotas, list, resume, suspend, update,
};
pub use master_key::{MasterKeys, Rotated, master_keys, prepare_master_key, rotate_master_key};
pub use removal::keep_removing;
pub use tokens::{IssuedToken, NewToken, issue_token};
pub use usage::{forget as forget_usage, room, usage};
pub use walk::{Step, walk};

/// Finds a tenant by its slug.
///
/// # Errors
///
/// [`Error::Refused`] if there is none.
pub fn find(app: &App, slug: &str) -> Result<Tenant> {
    app.store.tenant_get(slug)?.ok_or_else(|| {
        Error::refused(format!(
            "There is no tenant `{slug}`. Create it with `sigpersist tenant create {slug}`."
        ))
    })
}

/// Finds the tenant that a caller of the platform acts for.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none.
pub fn acted_for(app: &App, slug: &str) -> Result<Tenancy> {
    let tenant = app.store.tenant_get(slug)?;
    let tenant = tenant.ok_or(Error::NotFound(Noun::Tenant))?;
    Ok(Tenancy {
        id: tenant.id,
        slug: tenant.slug.into(),
    })
}

/// The command line as a caller of a tenant. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is no such tenant, [`Error::TenantSuspended`] as for its tokens.
pub fn command_line_as(app: &App, slug: &str) -> Result<Caller> {
    let tenant = get(app, slug)?;
    if tenant.suspended_at.is_some() {
        return Err(Error::TenantSuspended);
    }
    let tenancy = Tenancy {
        id: tenant.id,
        slug: tenant.slug.into(),
    };
    Ok(Caller::command_line_as(tenancy, tenant.quotas))
}
