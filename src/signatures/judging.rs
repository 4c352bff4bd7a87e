//! Judging of stored signatures, for hooks that ask for verdicts.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sigpersist_hooks::VerdictSource;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::signature::Signature;
use sigpersist_runtime::verification::Verification;

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
) -> Result<VerdictSource> {
    let Some(body) = stored.body.clone() else {
        return Ok(VerdictSource::default());
    };
    let policy = policy::in_force(app, tenant)?;
    Ok(VerdictSource::now(Arc::new(Verification::new(
        body,
        Attachments::default(),
        policy,
        now,
    ))))
}
