//! Identity providers that tenants trust: what admins do with them, and the fetching of their keys.
//!
//! Whoever may add a provider decides who gets in, so only the platform may, as with keys. `auth` verifies the tokens, and says
//! when it needs a fetch. Read next: `fetch.rs` for what a provider can do to us, and `auth/key_sets.rs` for when it is asked.

mod fetch;
mod manage;

use sigpersist_model::error::Result;
use sigpersist_model::issuer::Issuer;
use sigpersist_model::quotas::Quotas;

use crate::app::App;

pub use fetch::fetch;
pub(crate) use manage::import;
pub use manage::{Added, NewIssuer, add, get, known, list, refresh, remove};

/// The providers with this `iss`, with the quotas of their tenants. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn trusted(app: &App, issuer: &str) -> Result<Vec<(Issuer, Quotas<Option<u64>>)>> {
    let issuers = app.store.issuers_of(issuer)?.into_iter();
    issuers
        .map(|issuer| {
            let quotas = app.store.tenant_quotas(issuer.tenancy.id)?;
            Ok((issuer, quotas))
        })
        .collect()
}
