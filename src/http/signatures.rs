//! Handlers for signatures: from parameters to a use-case, and from its result to the API's schemas.

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer};
use sigpersist_model::attachments::{Attachments, Sent};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{
    Draft, Encoding, Signature, SignatureBody, ThreadKey, check_comment, check_label, fold_tags,
};
use sigpersist_model::time;
use sigpersist_verify::Report;
use utoipa::ToSchema;

use super::logged::{AwaitsLog, Evidence, patience};
use super::openapi::{Binary, Location, SignatureTag, Time, VersionTag};
use super::parameter::{self, Parameter};
use super::parameters::Parameters;
use super::preconditions::{has_copy, preconditions};
use super::reply::{BareEnvelope, Envelope, Reply};
use super::representation::{extension, file_asked};
use super::respond::Call;
use super::verdicts::attachments;
use crate::signatures::{self, Saved};

/// A version of a signature.
#[derive(Serialize, ToSchema)]
pub(super) struct SignatureContent {
    /// The thread's stable id.
    #[schema(example = 42)]
    id: i64,
    /// The version's number.
    #[schema(example = 1)]
    version: u32,
    /// The document's id.
    #[schema(example = "doc_12")]
    document: String,
    /// The thread: the process in which the document is signed.
    #[schema(example = "ticket_42")]
    thread: String,
    /// Same as `thread`; only in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "ticket_42")]
    chain: Option<String>,
    /// The stage of the version.
    #[schema(example = "approval")]
    stage: Option<String>,
    /// The signature exactly as it was sent; left out if you ask for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "MIIHUgYJKoZIhvcNAQcCoIIHQzCCBz8CAQExDzANBglghkgBZQMEAgEFADAU")]
    #[schema(value_type = Option<String>)]
    pub(super) signature: Option<Text>,
    /// The version that it was signed over; null for the first version.
    #[schema(example = json!(null))]
    parent: Option<u32>,
    /// The creator of the version.
    #[schema(example = "33")]
    version_created_by: Option<String>,
    /// Time at which the version was saved.
    #[schema(value_type = Time)]
    version_created_at: String,
    /// Comment on the version.
    #[schema(example = "The first signature")]
    version_comment: Option<String>,
    /// Its tags.
    #[schema(example = json!(["customer_1", "signed"]))]
    tags: Vec<String>,
    /// Time at which the first version was saved.
    #[schema(value_type = Time)]
    created_at: String,
    /// Time at which the current version was saved.
    #[schema(value_type = Time)]
    updated_at: String,
}

impl From<Signature> for SignatureContent {
    fn from(signature: Signature) -> Self {
        Self {
            id: signature.id.0,
            version: signature.version,
            chain: None,
            parent: signature.parent(),
            document: signature.key.document,
            thread: signature.key.thread,
            stage: signature.stage,
            signature: signature.body.map(Text),
            version_created_by: signature.created_by,
            version_created_at: time::to_text(signature.version_created_at),
            version_comment: signature.comment,
            tags: signature.tags,
            created_at: time::to_text(signature.created_at),
            updated_at: time::to_text(signature.updated_at),
        }
    }
}

/// A signature in the form in which it was sent. Bytes are base64 in all responses.
pub(super) struct Text(SignatureBody);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.encoding {
            Encoding::Base64 => serializer.serialize_bytes(&self.0.bytes),
            Encoding::Text => serializer.serialize_str(&self.0.to_text()),
        }
    }
}

impl SignatureContent {
    pub(super) fn with_chain(mut self) -> Self {
        self.chain = Some(self.thread.clone());
        self
    }
}

#[derive(Serialize, ToSchema)]
struct OneContent {
    /// The version.
    signature: SignatureContent,
    /// The result of `inspect` or `verify`, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    inspection: Option<Report>,
    /// After a save that prefers to wait, the place of the version in the tenant's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<Evidence>,
}

impl OneContent {
    fn new(signature: &Signature) -> Self {
        Self {
            signature: signature.clone().into(),
            inspection: None,
            evidence: None,
        }
    }
}

/// Reads the current version of a signature, or an earlier one.
///
/// With `inspect` it also reports who signed, and with `verify` whether each signature holds.
///
/// With `Accept: application/pkcs7-signature`, `application/pkcs7-mime`, `application/xml`, `text/xml` or
/// `application/octet-stream`, the answer is the signature as a file instead: the DER or BER of CMS, or the XML as it was sent.
#[utoipa::path(
    get,
    path = "/signature",
    operation_id = "get_signature",
    responses(
        (
            status = 200,
            description = "The version",
            content(
                (Envelope<OneContent> = "application/json"),
                (Binary = "application/pkcs7-signature"),
                (Binary = "application/pkcs7-mime"),
                (Binary = "application/xml"),
                (Binary = "text/xml"),
                (Binary = "application/octet-stream"),
            ),
            headers(("etag" = SignatureTag)),
        ),
        (
            status = 206,
            description = "The part of the file that `Range` names",
            content(
                (Binary = "application/pkcs7-signature"),
                (Binary = "application/pkcs7-mime"),
                (Binary = "application/xml"),
                (Binary = "text/xml"),
                (Binary = "application/octet-stream"),
            ),
            headers(("etag" = SignatureTag)),
        ),
        (status = 304, description = "You have this version already"),
        (status = 404, description = "signature_not_found"),
        (status = 406, description = "not_acceptable"),
        (status = 416, description = "range_not_satisfiable"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let preconditions = preconditions(&call.headers)?;
    let version = parameters.integer(&parameter::VERSION)?;
    let signature = signatures::get(&call.app, &call.context, &thread_key(&parameters)?, version)?;
    if !preconditions.match_holds(signature.version) {
        return Err(Error::PreconditionFailed {
            current_version: signature.version,
        });
    }
    if let Some(body) = &signature.body
        && let Some((kind, file)) = file_asked(&call.headers, body)?
    {
        // A thread of the same name may be saved anew, and JSON has the version alone as its tag.
        let tag = format!("{}-{}", signature.version, to_hex(&body.sha256));
        let reply = if has_copy(&call.headers, &tag)? {
            Reply::not_modified().with_etag(tag)
        } else {
            call.reserve(read_and_shown(file.len()))?;
            Reply::part(kind, file, &tag, &call.headers)?.named(&file_name(&signature, kind))
        };
        return Ok(reply.varying_by_accept());
    }
    if !preconditions.none_match_holds(signature.version) {
        return Ok(Reply::not_modified()
            .with_etag(signature.version)
            .varying_by_accept());
    }
    // Reserves memory now, so that a request that cannot be answered now holds none.
    let bytes = signature.body.as_ref().map_or(0, |body| body.bytes.len());
    call.reserve(read_and_shown(bytes))?;
    let verifies = parameters.flag(&parameter::VERIFY)?;
    let inspects = parameters.flag(&parameter::INSPECT)?;
    let mut content = OneContent::new(&signature);
    if let Some(body) = signature.body.as_ref().filter(|_| verifies || inspects) {
        let told = signatures::examine(
            &call.app,
            &call.context,
            body,
            Attachments::default(),
            verifies,
        )?;
        content.inspection = Some(told);
    }
    Ok(Reply::content(&content)?
        .with_etag(signature.version)
        .varying_by_accept())
}

/// The name of a version as a file.
fn file_name(signature: &Signature, kind: &str) -> String {
    let ThreadKey { document, thread } = &signature.key;
    format!(
        "{document}-{thread}-{}.{}",
        signature.version,
        extension(kind)
    )
}

/// Saves a new version of a signature.
///
/// `version` is the version that you signed over: 0, or left out, for the first. If two clients sign over the same
/// version, exactly one succeeds; the other gets 409 `version_conflict` with the current version. If you lose a
/// response, send the same request again: a request identical to the version that it would have created is answered
/// with 200.
///
/// With the header `Prefer: wait=5`, the answer waits up to that many seconds, 25 at most, until the version is in the
/// tenant's log, and tells the number of its entry. The version is stored in any case.
///
/// `content` is the signed content of a detached signature. The signature is verified against it, and its digest is
/// recorded with the verdict; the content itself is not stored. `certificates` are used in the verification:
/// certificates of signers and authorities that the signature does not contain.
///
/// The signature may also be the body itself, with one of the media types below and the other parameters in the query; or a
/// part `cms` of a form, where `content` and `certificates` may be files, too.
#[utoipa::path(
    post,
    path = "/signature",
    operation_id = "save_signature",
    params(
        ("Prefer" = Option<String>, Header, description = "How many seconds the answer may wait for the version to be in the log", pattern = "^wait=[0-9]{1,3}$", example = "wait=5"),
    ),
    responses(
        (
            status = 201,
            description = "The version was saved",
            body = Envelope<OneContent>,
            headers(("etag" = VersionTag), ("location" = Location)),
        ),
        (
            status = 200,
            description = "This version was saved already",
            body = Envelope<OneContent>,
            headers(("etag" = VersionTag)),
        ),
        (status = 409, description = "version_conflict"),
        (status = 422, description = "signature_not_accepted"),
    )
)]
pub(super) fn post(mut call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let draft = draft(&parameters, max_signature_bytes(&call))?;
    let attachments = attachments(&parameters)?;
    drop(parameters);
    drop(call.take_body());
    let preconditions = preconditions(&call.headers)?;
    let ready_chain = call.take_chain()?;
    let saved = signatures::save(
        &call.app,
        &call.context,
        ready_chain,
        &draft,
        attachments,
        &preconditions,
    )?;
    let (signature, is_new) = match saved {
        Saved::New(signature) => (signature, true),
        Saved::Before(signature) => (signature, false),
    };
    let (id, version) = (signature.id, signature.version);
    let answer = move |evidence: Option<Evidence>| {
        let mut content = OneContent::new(&signature);
        content.evidence = evidence;
        let reply = Reply::content(&content)?.with_etag(version);
        Ok(match is_new {
            true => reply.created_at(&location(&signature)),
            false => reply,
        })
    };
    if !call.app.config.evidence.log {
        return answer(None);
    }
    match patience(&call.headers) {
        Some(patience) => Ok(Reply::once_logged(AwaitsLog {
            tenant: call.context.tenant()?,
            signature: id,
            version,
            patience,
            answer: Box::new(move |evidence| answer(Some(evidence))),
        })),
        // The reference shows what is answered otherwise.
        None => answer(None),
    }
}

/// Maximum size of a signature that the caller's tenant may send, in bytes of its text.
pub(super) fn max_signature_bytes(call: &Call) -> usize {
    let of_server = call.app.config.http.max_signature_bytes;
    let quotas = call.app.meters.in_force(call.context.caller.quotas);
    match usize::try_from(quotas.max_signature_bytes) {
        Ok(of_tenant) if of_tenant > 0 => of_tenant.min(of_server),
        _ => of_server,
    }
}

/// Deletes a signature with all its versions.
///
/// The audit trail keeps the signature's name, the SHA-256 of its last version and who deleted it. If a signature of
/// the same name is saved later, the audit trail records that too.
#[utoipa::path(
    delete,
    path = "/signature",
    operation_id = "delete_signature",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "signature_not_found"),
    )
)]
pub(super) fn delete(mut call: Call) -> Result<Reply> {
    let key = thread_key(&call.parameters()?)?;
    let preconditions = preconditions(&call.headers)?;
    let ready_chain = call.take_chain()?;
    signatures::delete(&call.app, &call.context, &ready_chain, &key, &preconditions)?;
    Reply::done()
}

#[derive(Serialize, ToSchema)]
struct HistoryContent {
    /// Versions, newest first.
    versions: Vec<SignatureContent>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = "3")]
    next: Option<String>,
}

/// Lists the versions of a signature, newest first.
#[utoipa::path(
    get,
    path = "/signature/versions",
    operation_id = "list_versions",
    responses(
        (status = 200, description = "A page of versions", body = Envelope<HistoryContent>),
        (status = 404, description = "signature_not_found"),
    )
)]
pub(super) fn versions(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let before = match parameters.text(&parameter::CURSOR_OF_VERSIONS)? {
        Some(cursor) => Some(cursor.parse().map_err(|_| invalid_cursor())?),
        None => None,
    };
    let (versions, next) = signatures::history(
        &call.app,
        &call.context,
        &thread_key(&parameters)?,
        before,
        parameters.limit(&parameter::LIMIT)?,
        !omits_signature(&parameters)?,
        |bytes| call.reserve(read_and_shown(bytes)),
    )?;
    Reply::content(&HistoryContent {
        versions: versions.into_iter().map(Into::into).collect(),
        next: next.map(|version| version.to_string()),
    })
}

/// Memory for signatures of this many bytes: as read, and as base64 in a response.
pub(super) fn read_and_shown(bytes: usize) -> usize {
    bytes.saturating_add(bytes.div_ceil(3).saturating_mul(4))
}

/// The URL of a version.
fn location(signature: &Signature) -> String {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    format!(
        "/signature?document={}&thread={}&version={}",
        encode(&signature.key.document),
        encode(&signature.key.thread),
        signature.version
    )
}

pub(super) fn thread_key(parameters: &Parameters<'_>) -> Result<ThreadKey> {
    let label = |parameter: &Parameter| {
        let text = parameters.required_text(parameter)?;
        check_label(parameter.name, text)?;
        Ok::<_, Error>(text.to_owned())
    };
    Ok(ThreadKey {
        document: label(&parameter::DOCUMENT)?,
        thread: label(&parameter::THREAD)?,
    })
}

pub(super) fn draft(parameters: &Parameters<'_>, max_signature_bytes: usize) -> Result<Draft> {
    let key = thread_key(parameters)?;
    let signed_over = parameters.integer(&parameter::SIGNED_OVER)?;
    let body = cms_parameter(parameters, max_signature_bytes)?;
    let created_by = parameters.text_or_integer(&parameter::VERSION_CREATED_BY)?;
    if let Some(created_by) = &created_by {
        check_label("version_created_by", created_by)?;
    }
    let comment = parameters.text(&parameter::VERSION_COMMENT)?;
    if let Some(comment) = comment {
        check_comment("version_comment", comment)?;
    }
    Ok(Draft {
        key,
        signed_over,
        stage: parameters.label(&parameter::STAGE)?,
        created_by: created_by.map(Cow::into_owned),
        comment: comment.map(str::to_owned),
        tags: fold_tags(
            "tags",
            parameters.list(&parameter::TAGS)?.unwrap_or_default(),
        )?,
        body,
    })
}

pub(super) fn cms_parameter(
    parameters: &Parameters<'_>,
    max_signature_bytes: usize,
) -> Result<SignatureBody> {
    let cms = parameters.sent(&parameter::CMS)?;
    let cms = cms.ok_or_else(|| Error::invalid("cms", "`cms` is required."))?;
    let (bytes, body) = match cms {
        Sent::Text(text) => (text.len(), SignatureBody::from_text(text)),
        Sent::File(file) => {
            let body = SignatureBody::from_file(file);
            // The limit is for the text of a signature, which is what JSON has.
            (body.text_bytes(), body)
        }
    };
    if bytes == 0 {
        return Err(Error::invalid("cms", "`cms` must not be empty."));
    }
    if bytes > max_signature_bytes {
        return Err(Error::PayloadTooLarge {
            limit_bytes: max_signature_bytes,
        });
    }
    Ok(body)
}

/// Whether `omit=signature` is given, which leaves the signatures' bytes out.
pub(super) fn omits_signature(parameters: &Parameters<'_>) -> Result<bool> {
    match parameters
        .list(&parameter::OMIT)?
        .unwrap_or_default()
        .as_slice()
    {
        [] => Ok(false),
        all if all.iter().all(|name| name == "signature") => Ok(true),
        _ => Err(Error::invalid(
            "omit",
            "`omit` can only leave out `signature`.",
        )),
    }
}

pub(super) fn invalid_cursor() -> Error {
    Error::invalid(
        "cursor",
        "`cursor` must be the `next` of an earlier answer.",
    )
}
