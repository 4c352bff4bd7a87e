//! Judges sent and stored signatures by their tenant's policy, and lists recorded verdicts.

use std::sync::Arc;

use chrono::Utc;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::context::Context;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{SignatureBody, StoredVerdict, ThreadKey};
use sigpersist_runtime::verification::Verification;
use sigpersist_verify::pki::Budget;
use sigpersist_verify::{Report, report_within};

use super::summary::Summary;
use crate::app::App;
use crate::policy;
use crate::tenants;

/// Greatest number of verdicts that are recorded on one version.
pub const MAX_VERDICTS: u32 = 100;

/// Reports on a signature. With `verifies`, also judges it by the policy of the caller's tenant. Blocks.
///
/// # Errors
///
/// Those of the store, and of [`FairSemaphore::acquire`](sigpersist_runtime::fair_semaphore::FairSemaphore::acquire).
pub fn examine(
    app: &App,
    context: &Context,
    body: &SignatureBody,
    attachments: Attachments,
    verifies: bool,
) -> Result<Report> {
    let tenant = context.tenant()?;
    if verifies {
        let policy = policy::in_force(app, tenant)?;
        let told = Verification::new(body.clone(), attachments, policy, Utc::now())
            .report(|body, look| app.examinations.look(tenant, body, look))?;
        return Ok(Arc::unwrap_or_clone(told));
    }
    let look = |budget: &Budget| report_within(&body.as_sent(), None, budget);
    app.examinations.look(tenant, body, look)
}

/// Verifies a stored version (the current one if none is named), and records the verdict. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], [`Error::QuotaExceeded`], [`Error::Refused`] if the version has too many verdicts
/// already, and the errors of the store.
pub fn verify(
    app: &App,
    context: &Context,
    key: &ThreadKey,
    version: Option<u32>,
    attachments: Attachments,
) -> Result<StoredVerdict> {
    let tenant = context.tenant()?;
    let stored = super::get(app, context, key, version)?;
    let policy = policy::in_force(app, tenant)?;
    let body = stored
        .body
        .ok_or_else(|| Error::internal("a version was read without its signature"))?;
    let sha256 = body.sha256;
    let verification = Verification::new(body, attachments, policy, Utc::now());
    let told = verification.report(|body, look| app.examinations.look(tenant, body, look))?;
    let verdict =
        serde_json::to_string(&Summary::new(&told, &verification)).map_err(Error::internal)?;
    let room = tenants::room(app, context, verdict.len(), false)?;
    let recorded = app.store.verdict_insert(
        tenant,
        stored.id,
        stored.version,
        &sha256,
        i64::from(MAX_VERDICTS),
        &verdict,
    )?;
    match recorded {
        Some(recorded) => {
            room.used(false);
            Ok(recorded)
        }
        // The version may have been deleted meanwhile.
        None => match super::get(app, context, key, Some(stored.version)) {
            Ok(_) => Err(Error::refused(format!(
                "This version has {MAX_VERDICTS} verdicts, the maximum. `POST /verify` verifies without recording."
            ))),
            Err(error) => Err(error),
        },
    }
}

/// The verdicts recorded on a thread's versions, or on one of them, newest version and verdict first. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], and the errors of the store.
pub fn verdicts(
    app: &App,
    context: &Context,
    key: &ThreadKey,
    version: Option<u32>,
    before: Option<(u32, i64)>,
    limit: u32,
) -> Result<Vec<StoredVerdict>> {
    let tenant = context.tenant()?;
    let thread = app.store.signature_id(tenant, key)?;
    let thread = thread.ok_or(Error::SignatureNotFound)?;
    app.store
        .verdict_list(tenant, thread, version, before, i64::from(limit))
}
