//! The handlers of what a tenant accepts, and whom it trusts.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::operators::digest;
use super::reply::Reply;
use super::respond::Call;
use crate::error::Result;
use crate::policy;
use crate::policy::model::{Accept, Policy, TrustAnchor};

#[derive(Serialize)]
struct PolicyContent {
    policy: Policy,
}

/// `GET /policy`.
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let policy = policy::in_force(&call.app, call.context.tenant()?)?.policy;
    Reply::content(&PolicyContent { policy })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyForm {
    accept: Option<Accept>,
    record_verdicts: Option<bool>,
}

/// `PATCH /policy`.
pub(super) fn update(call: Call) -> Result<Reply> {
    let form: PolicyForm = call.json()?;
    let policy = policy::update(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        form.accept,
        form.record_verdicts,
    )?;
    Reply::content(&PolicyContent { policy })
}

#[derive(Serialize)]
struct AnchorsContent {
    trust_anchors: Vec<Value>,
}

impl From<Vec<TrustAnchor>> for AnchorsContent {
    fn from(anchors: Vec<TrustAnchor>) -> Self {
        Self {
            trust_anchors: anchors.iter().map(TrustAnchor::facts).collect(),
        }
    }
}

/// `GET /trust-anchors`.
pub(super) fn anchors(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let anchors = policy::anchors(&call.app, call.context.tenant()?)?;
    Reply::content(&AnchorsContent::from(anchors))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddForm {
    pem: String,
}

/// `POST /trust-anchors`.
pub(super) fn add_anchors(call: Call) -> Result<Reply> {
    let form: AddForm = call.json()?;
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

/// `GET /trust-anchors/{sha256}`.
pub(super) fn anchor(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let anchor = policy::anchor(&call.app, call.context.tenant()?, digest(call.name())?)?;
    let mut facts = anchor.facts();
    facts["pem"] = anchor.pem().into();
    Reply::content(&json!({ "trust_anchor": facts }))
}

/// `DELETE /trust-anchors/{sha256}`.
pub(super) fn remove_anchor(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    policy::remove_anchor(
        &call.app,
        call.context.tenant()?,
        &call.context.actor(),
        digest(call.name())?,
    )?;
    Reply::done()
}
