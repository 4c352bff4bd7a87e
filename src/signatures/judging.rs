//! Judging of stored signatures, for hooks that ask for verdicts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sigpersist_hooks::Judging;
use sigpersist_model::beside::Beside;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::Signature;
use sigpersist_runtime::judged::Judged;

use crate::app::App;
use crate::policy;

/// Prepares the judging of a stored version with its body, under the tenant's policy and at this time. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn judging(
    app: &App,
    tenant: TenantId,
    stored: &Signature,
    now: DateTime<Utc>,
) -> Result<Judging> {
    let Some(body) = stored.body.clone() else {
        return Ok(Judging::default());
    };
    let policy = policy::in_force(app, tenant)?;
    Ok(Judging::now(Arc::new(Judged::new(
        body,
        Beside::default(),
        policy,
        now,
    ))))
}
