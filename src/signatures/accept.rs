//! Whether a draft is a signature that its tenant accepts.

use std::sync::Arc;

use sigpersist_verify::{Format, report};

use super::Judged;
use super::model::SignatureBody;
use super::summary::summary;
use crate::app::App;
use crate::context::TenantId;
use crate::error::{Error, Result};
use crate::policy::model::Accept;

/// Lets only through what the policy accepts; gives the verdict to record with it, as JSON, where that is wanted.
pub(super) fn check_draft(
    app: &App,
    tenant: TenantId,
    judged: &Judged,
    body: &SignatureBody,
) -> Result<Option<String>> {
    let wanted = judged.policy().policy;
    if wanted.accept == Accept::Any && !wanted.record_verdicts {
        return Ok(None);
    }
    let turn = || app.examinations.turn_blocking(tenant);
    let told = if wanted.record_verdicts {
        judged.report(turn)?
    } else {
        let _turn = turn()?;
        Arc::new(report(&body.as_sent(), None))
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
            problem: told.problem.clone(),
        });
    }
    let kept = wanted.record_verdicts.then(|| summary(&told));
    let kept = kept.map(|kept| serde_json::to_string(&kept));
    kept.transpose().map_err(Error::internal)
}
