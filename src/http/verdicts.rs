//! Handlers for inspection and verification, of signatures that are sent and of stored ones.

use serde::Serialize;
use serde_json::Value;
use sigpersist_model::attachments::Attachments;
use sigpersist_model::error::Result;
use sigpersist_model::signature::StoredVerdict;
use sigpersist_model::time;
use sigpersist_verify::Report;
use utoipa::ToSchema;

use super::openapi::Time;
use super::parameter;
use super::parameters::Parameters;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use super::signatures::{cms_parameter, invalid_cursor, thread_key};
use crate::signatures;
use crate::signatures::summary::Summary;

#[derive(Serialize, ToSchema)]
struct InspectionContent {
    /// The result.
    inspection: Report,
}

/// Reports who signed a signature that you send, with what and when. Nothing is stored.
#[utoipa::path(
    post,
    path = "/inspect",
    operation_id = "inspect",
    responses(
        (status = 200, description = "The contents of the signature", body = Envelope<InspectionContent>),
    )
)]
pub(super) fn inspect(call: Call) -> Result<Reply> {
    examine(call, false)
}

/// Verifies a signature that you send, for each signer. Also reports what `inspect` does. Nothing is stored.
#[utoipa::path(
    post,
    path = "/verify",
    operation_id = "verify",
    responses(
        (
            status = 200,
            description = "The contents of the signature, and its verification",
            body = Envelope<InspectionContent>,
        ),
    )
)]
pub(super) fn verify(call: Call) -> Result<Reply> {
    examine(call, true)
}

fn examine(mut call: Call, verifies: bool) -> Result<Reply> {
    call.context.tenant()?;
    let parameters = call.parameters()?;
    let body = cms_parameter(&parameters, call.app.config.http.max_signature_bytes)?;
    let attachments = attachments(&parameters)?;
    drop(parameters);
    drop(call.take_body());
    Reply::content(&InspectionContent {
        inspection: signatures::examine(&call.app, &call.context, &body, attachments, verifies)?,
    })
}

/// Content and certificates that come with a signature.
pub(super) fn attachments(parameters: &Parameters<'_>) -> Result<Attachments> {
    Attachments::read(
        parameters.sent(&parameter::CONTENT)?,
        parameters.sent(&parameter::CERTIFICATES)?,
    )
}

#[derive(Serialize, ToSchema)]
struct VerdictContent {
    /// The version.
    #[schema(example = 1)]
    version: u32,
    /// Time of the verification.
    #[schema(value_type = Time)]
    verified_at: String,
    /// The result of the verification.
    #[serde(flatten)]
    #[schema(value_type = Summary<'_>)]
    verdict: Value,
}

impl From<StoredVerdict> for VerdictContent {
    fn from(mut stored: StoredVerdict) -> Self {
        if let Some(members) = stored.verdict.as_object_mut() {
            for later in Summary::LATER {
                members.entry(later).or_insert(Value::Null);
            }
        }
        Self {
            version: stored.version,
            verified_at: time::to_text(stored.at),
            verdict: stored.verdict,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct OneVerdict {
    /// The verdict.
    verdict: VerdictContent,
}

/// Verifies a stored version again, and records the verdict.
#[utoipa::path(
    post,
    path = "/signature/verify",
    operation_id = "verify_signature",
    responses(
        (status = 201, description = "The verdict was recorded", body = Envelope<OneVerdict>),
        (status = 404, description = "signature_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn record(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let version = parameters.integer(&parameter::VERSION)?;
    let attachments = attachments(&parameters)?;
    let recorded = signatures::verify(
        &call.app,
        &call.context,
        &thread_key(&parameters)?,
        version,
        attachments,
    )?;
    let reply = Reply::content(&OneVerdict {
        verdict: recorded.into(),
    })?;
    Ok(reply.with_status_created())
}

#[derive(Serialize, ToSchema)]
struct VerdictsContent {
    /// Verdicts, those of the newest version first.
    verdicts: Vec<VerdictContent>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = "1-1")]
    next: Option<String>,
}

/// Lists the verdicts on a signature's versions, newest first.
#[utoipa::path(
    get,
    path = "/signature/verdicts",
    operation_id = "list_verdicts",
    responses(
        (status = 200, description = "A page of verdicts", body = Envelope<VerdictsContent>),
        (status = 404, description = "signature_not_found"),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let version = parameters.integer(&parameter::VERSION_OF_VERDICTS)?;
    let before = parameters
        .text(&parameter::CURSOR_OF_VERDICTS)?
        .map(|cursor| read_cursor(cursor).ok_or_else(invalid_cursor))
        .transpose()?;
    let limit = parameters.limit(&parameter::LIMIT_OF_VERDICTS)?;
    let verdicts = signatures::verdicts(
        &call.app,
        &call.context,
        &thread_key(&parameters)?,
        version,
        before,
        limit,
    )?;
    let last = verdicts.last().filter(|_| verdicts.len() == limit as usize);
    Reply::content(&VerdictsContent {
        next: last.map(|last| format!("{}-{}", last.version, last.id)),
        verdicts: verdicts.into_iter().map(Into::into).collect(),
    })
}

/// Decodes a position in the list: a version and the id of a verdict.
fn read_cursor(cursor: &str) -> Option<(u32, i64)> {
    let (version, id) = cursor.split_once('-')?;
    Some((version.parse().ok()?, id.parse().ok()?))
}
