//! Whether a draft is a signature that its tenant accepts.

use super::model::SignatureBody;
use super::report::report;
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
        report(body, None)
    };
    let format = told["format"].as_str().unwrap_or_default();
    let problem = told["problem"].as_str();
    let fits = match wanted.accept {
        Accept::Any | Accept::Readable => true,
        Accept::Cms | Accept::Xml => format == wanted.accept.as_str(),
    };
    let accepted = wanted.accept == Accept::Any || (fits && problem.is_none());
    if !accepted {
        return Err(Error::SignatureNotAccepted {
            accept: wanted.accept,
            format: format.to_owned(),
            problem: problem.map(ToOwned::to_owned),
        });
    }
    Ok(wanted.record_verdicts.then(|| summary(&told).to_string()))
}
