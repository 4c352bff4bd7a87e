//! Handlers for the witnesses of logs.

use serde::{Deserialize, Serialize};
use sigpersist_model::error::Result;
use sigpersist_model::view::WitnessView;
use utoipa::ToSchema;

use super::log::owner;
use super::openapi::WitnessUrl;
use super::parameter;
use super::reply::{BareEnvelope, Envelope, Reply};
use super::respond::Call;
use crate::log::{self, NewWitness};

#[derive(Serialize, ToSchema)]
struct WitnessesContent {
    /// The witnesses of the log, by name.
    witnesses: Vec<WitnessView>,
}

/// Lists the witnesses of the tenant's log, and how far each has signed it.
///
/// A token of the platform that names no tenant sees those of the platform's own log.
#[utoipa::path(
    get,
    path = "/log/witnesses",
    operation_id = "list_witnesses",
    responses((status = 200, description = "The witnesses", body = Envelope<WitnessesContent>))
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    call.parameters()?;
    let witnesses = log::witnesses(&call.app, owner(&call))?.into_iter();
    Reply::content(&WitnessesContent {
        witnesses: witnesses.map(WitnessView::from).collect(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WitnessForm {
    /// The name of its key.
    #[schema(example = "witness.example.com/w1")]
    name: String,
    /// Its submission prefix (C2SP tlog-witness), with which its addresses begin: `https`, port 443, at a public address,
    /// unless the operator of the server allows others.
    #[schema(value_type = WitnessUrl)]
    url: String,
    /// Its public key, of the type 0x04 (C2SP tlog-cosignature).
    #[schema(
        example = "witness.example.com/w1+7e6f4aaa+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
    )]
    key: String,
}

#[derive(Serialize, ToSchema)]
struct OneWitness {
    /// The witness.
    witness: WitnessView,
}

/// Adds a witness to the tenant's log: somebody else's server, which signs checkpoints if they continue those that it signed
/// before.
///
/// Its operator must add the log, too: its name and key, as `GET /log/keys` gives them.
#[utoipa::path(
    post,
    path = "/log/witnesses",
    operation_id = "add_witness",
    request_body = WitnessForm,
    responses(
        (status = 201, description = "The witness", body = Envelope<OneWitness>),
        (status = 200, description = "The witness was there already", body = Envelope<OneWitness>),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn add(call: Call) -> Result<Reply> {
    let form: WitnessForm = call.json()?;
    let new = NewWitness {
        name: form.name,
        url: form.url,
        key: form.key,
    };
    let added = log::add_witness(&call.app, &call.context.actor(), owner(&call), new)?;
    let reply = Reply::content(&OneWitness {
        witness: added.witness.into(),
    })?;
    Ok(match added.is_new {
        true => reply.with_status_created(),
        false => reply,
    })
}

/// Removes a witness of the tenant's log. Proofs that have its signature stay as they are.
#[utoipa::path(
    delete,
    path = "/log/witnesses",
    operation_id = "remove_witness",
    responses(
        (status = 200, description = "Done", body = BareEnvelope),
        (status = 404, description = "witness_not_found"),
    )
)]
pub(super) fn remove(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let name = parameters.required_text(&parameter::WITNESS)?;
    log::remove_witness(&call.app, &call.context.actor(), owner(&call), name)?;
    Reply::done()
}
