//! Judging signatures by their tenant's policy: what is sent, what is stored, and what was found before.

use chrono::Utc;
use serde_json::Value;

use super::model::{Format, SignatureBody, StoredVerdict, ThreadKey};
use super::report::{Judging, report, summary};
use crate::app::App;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::policy;
use crate::policy::model::{Accept, InForce};

/// Most verdicts that are recorded on one version.
const MAX_VERDICTS: i64 = 1_000;

/// What is said of a signature; with `verifies` also whether it holds, by those whom the caller's tenant trusts. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn examine(
    app: &App,
    context: &Context,
    body: &SignatureBody,
    document: Option<&[u8]>,
    verifies: bool,
) -> Result<Value> {
    if !verifies {
        return Ok(report(body, None));
    }
    let policy = policy::in_force(app, context.tenant()?)?;
    Ok(judge(&policy, body, document))
}

/// Verifies a stored version, the current one where none is named, and records what is found. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], [`Error::Refused`] where the version has verdicts enough, and those of the store.
pub fn verify(
    app: &App,
    context: &Context,
    key: &ThreadKey,
    version: Option<u32>,
    document: Option<&[u8]>,
) -> Result<StoredVerdict> {
    let tenant = context.tenant()?;
    let stored = super::get(app, context, key, version)?;
    let policy = policy::in_force(app, tenant)?;
    let body = stored
        .body
        .as_ref()
        .ok_or_else(|| Error::internal("a version was read without its signature"))?;
    let verdict = summary(&judge(&policy, body, document));
    let recorded =
        app.store
            .verdict_insert(tenant, stored.id, stored.version, MAX_VERDICTS, &verdict)?;
    match recorded {
        Some(recorded) => Ok(recorded),
        // Somebody may have deleted it meanwhile.
        None => match super::get(app, context, key, Some(stored.version)) {
            Ok(_) => Err(Error::refused(format!(
                "This version has {MAX_VERDICTS} verdicts, the most that are recorded. `POST /verify` judges without recording."
            ))),
            Err(error) => Err(error),
        },
    }
}

/// Verdicts that were recorded on a thread's versions, or on one of them, the newest version and verdict first. Blocks.
///
/// # Errors
///
/// [`Error::SignatureNotFound`], and those of the store.
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

/// Lets only through what the policy accepts; gives the verdict to record with it, where that is wanted.
pub(super) fn check_draft(policy: &InForce, body: &SignatureBody) -> Result<Option<Value>> {
    let wanted = policy.policy;
    if wanted.accept == Accept::Any && !wanted.record_verdicts {
        return Ok(None);
    }
    let told = if wanted.record_verdicts {
        judge(policy, body, None)
    } else {
        report(body, None)
    };
    let format = match told["format"].as_str() {
        Some("cms") => Format::Cms,
        Some("xml") => Format::Xml,
        _ => Format::Unknown,
    };
    let problem = told["problem"].as_str();
    let accepted = match wanted.accept {
        Accept::Any => true,
        Accept::Cms => format == Format::Cms && problem.is_none(),
        Accept::Xml => format == Format::Xml && problem.is_none(),
        Accept::Readable => problem.is_none(),
    };
    if !accepted {
        return Err(Error::SignatureNotAccepted {
            accept: wanted.accept,
            format: format.as_str(),
            problem: problem.map(ToOwned::to_owned),
        });
    }
    Ok(wanted.record_verdicts.then(|| summary(&told)))
}

fn judge(policy: &InForce, body: &SignatureBody, document: Option<&[u8]>) -> Value {
    let judging = Judging {
        document,
        anchors: &policy.anchors,
        now: Utc::now(),
    };
    report(body, Some(&judging))
}
