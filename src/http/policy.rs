//! Handlers for a tenant's policy and trust anchors.

use serde::{Deserialize, Serialize};
use sigpersist_model::error::Result;
use sigpersist_model::policy::{Accept, Detached, PolicyPatch, Revocation, TrustAnchor};
use sigpersist_model::view::{AnchorView, PolicyView};
use utoipa::ToSchema;

use super::openapi::PageOrigin;
use super::operators::digest;
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::policy;

/// Reads the tenant's policy: the signatures that it accepts.
#[utoipa::path(
    get,
    path = "/policy",
    operation_id = "get_policy",
    responses(
        (status = 200, description = "The policy in force", body = Envelope<PolicyView>),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    let in_force = policy::in_force(&call.app, call.context.tenant()?)?;
    Reply::content(&PolicyView::from(&*in_force))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PolicyChange)]
struct PolicyForm {
    /// Condition for saving a signature.
    accept: Option<Accept>,
    /// Treatment of detached signatures, whose content is not in them.
    detached: Option<Detached>,
    /// Required evidence about the revocation of certificates.
    revocation: Option<Revocation>,
    /// Whether a verdict is recorded with each saved version.
    #[schema(example = true)]
    record_verdicts: Option<bool>,
    /// Whether signatures can be found by who signed them. If it is switched on, signatures that are stored already are
    /// indexed in the background.
    #[schema(example = true)]
    index_signers: Option<bool>,
    /// Origins whose pages may use the API with tokens of the tenant; `[]` for none.
    #[serde(default)]
    #[schema(value_type = Option<Vec<PageOrigin>>, max_items = 20, example = json!(["https://app.example.com"]))]
    cors_origins: Option<Vec<String>>,
}

/// Changes the tenant's policy. Members that you leave out keep their value.
#[utoipa::path(
    patch,
    path = "/policy",
    operation_id = "update_policy",
    request_body = PolicyForm,
    responses(
        (status = 200, description = "The new policy", body = Envelope<PolicyView>),
    )
)]
pub(super) fn update(call: Call) -> Result<Reply> {
    let form: PolicyForm = call.json()?;
    let in_force = policy::update(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        PolicyPatch {
            accept: form.accept,
            detached: form.detached,
            revocation: form.revocation,
            record_verdicts: form.record_verdicts,
            index_signers: form.index_signers,
            cors_origins: form.cors_origins,
        },
    )?;
    Reply::content(&PolicyView::from(&*in_force))
}

/// A single trust anchor.
#[derive(Serialize, ToSchema)]
struct OneAnchor {
    /// The certificate.
    trust_anchor: AnchorView,
}

#[derive(Serialize, ToSchema)]
struct AnchorsContent {
    /// The certificates.
    trust_anchors: Vec<AnchorView>,
}

impl From<Vec<TrustAnchor>> for AnchorsContent {
    fn from(anchors: Vec<TrustAnchor>) -> Self {
        Self {
            trust_anchors: anchors.iter().map(AnchorView::from).collect(),
        }
    }
}

/// Lists the certificates that the tenant trusts.
#[utoipa::path(
    get,
    path = "/trust-anchors",
    operation_id = "list_trust_anchors",
    responses(
        (status = 200, description = "The trusted certificates", body = Envelope<AnchorsContent>),
    )
)]
pub(super) fn anchors(call: Call) -> Result<Reply> {
    call.parameters()?;
    let anchors = policy::anchors(&call.app, call.context.tenant()?)?;
    Reply::content(&AnchorsContent::from(anchors))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TrustAnchorsForm)]
struct AddForm {
    /// Certificates in PEM, one after another.
    pem: String,
}

/// Adds one or more trust anchors, from certificates in PEM.
#[utoipa::path(
    post,
    path = "/trust-anchors",
    operation_id = "add_trust_anchors",
    request_body = AddForm,
    responses(
        (status = 201, description = "The certificates are trusted now", body = Envelope<AnchorsContent>),
        (status = 200, description = "All these certificates were trusted already", body = Envelope<AnchorsContent>),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn add_anchors(mut call: Call) -> Result<Reply> {
    let form: AddForm = call.json()?;
    drop(call.take_body());
    let (anchors, is_new) = policy::add_anchors(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        form.pem.as_bytes(),
    )?;
    let reply = Reply::content(&AnchorsContent::from(anchors))?;
    Ok(if is_new {
        reply.with_status_created()
    } else {
        reply
    })
}

/// Reads a certificate that the tenant trusts.
#[utoipa::path(
    get,
    path = "/trust-anchors/{sha256}",
    operation_id = "get_trust_anchor",
    responses(
        (status = 200, description = "The certificate", body = Envelope<OneAnchor>),
        (status = 404, description = "trust_anchor_not_found"),
    )
)]
pub(super) fn anchor(call: Call) -> Result<Reply> {
    call.parameters()?;
    let anchor = policy::anchor(&call.app, call.context.tenant()?, digest(call.name())?)?;
    Reply::content(&OneAnchor {
        trust_anchor: AnchorView::whole(&anchor),
    })
}

/// Removes a trust anchor: the tenant no longer trusts this certificate.
#[utoipa::path(
    delete,
    path = "/trust-anchors/{sha256}",
    operation_id = "remove_trust_anchor",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "trust_anchor_not_found"),
    )
)]
pub(super) fn remove_anchor(call: Call) -> Result<Reply> {
    call.parameters()?;
    policy::remove_anchor(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        digest(call.name())?,
    )?;
    Reply::done()
}
