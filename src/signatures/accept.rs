//! Whether a draft is a signature that its tenant accepts.

use sigpersist_verify::{Format, report};

use super::model::SignatureBody;
use super::summary::summary;
use super::verify::judge;
use crate::app::App;
use crate::context::TenantId;
use crate::error::{Error, Result};
use crate::policy::model::{Accept, InForce};

/// Lets only through what the policy accepts; gives the verdict to record with it, as JSON, where that is wanted.
pub(super) fn check_draft(
    app: &App,
    tenant: TenantId,
    policy: &InForce,
    body: &SignatureBody,
) -> Result<Option<String>> {
    let wanted = policy.policy;
    if wanted.accept == Accept::Any && !wanted.record_verdicts {
        return Ok(None);
    }
    let _turn = app.examinations.turn_blocking(tenant)?;
    let told = if wanted.record_verdicts {
        judge(policy, body, None)
    } else {
        report(&body.as_sent(), None)
    };
    let is_read = told.problem.is_none();
    let accepted = match wanted.accept {
        Accept::Any => true,
        Accept::Readable => is_read,
        Accept::Cms => is_read && told.format == Format::Cms,
        Accept::Xml => is_read && told.format == Format::Xml,
    };
    if !accepted {
        return Err(Error::SignatureNotAccepted {
            accept: wanted.accept,
            format: told.format,
            problem: told.problem,
        });
    }
    let kept = wanted.record_verdicts.then(|| summary(&told));
    let kept = kept.map(|kept| serde_json::to_string(&kept));
    kept.transpose().map_err(Error::internal)
}
