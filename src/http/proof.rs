//! The handler for proofs that a version is in its tenant's log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::view::{ProofState, ProofView};
use utoipa::ToSchema;

use super::log::TEXT;
use super::openapi::Binary;
use super::parameter;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use super::signatures::thread_key;
use crate::{log, signatures};

/// Seconds after which a proof that is not there yet is asked for again.
const LOGGED_WITHIN_S: u32 = 1;

#[derive(Serialize, ToSchema)]
struct OneProof {
    /// The proof.
    proof: ProofView,
}

/// Proves that a version (the current one if `version` is left out) is in the tenant's log.
///
/// The proof can be verified offline, with the public key of the log and nothing else: `sigpersist proof verify`, or any
/// program that verifies C2SP's proofs. `format=tlog-proof` gives the proof alone, and `format=bundle` a ZIP file with
/// everything that a verification needs. A version is usually in the log within half a second; until then the answer is 202.
#[utoipa::path(
    get,
    path = "/signature/proof",
    operation_id = "prove_signature",
    tag = "log",
    responses(
        (
            status = 200,
            description = "The proof",
            content((Envelope<OneProof> = "application/json"), (String = "text/plain", example = "c2sp.org/tlog-proof@v1\nindex 8122\n"), (Binary = "application/zip")),
        ),
        (status = 202, description = "It is not in the log yet: ask again in a second", body = Envelope<OneProof>),
        (status = 404, description = "signature_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn prove(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let version = parameters.integer(&parameter::VERSION)?;
    let format = parameters.text(&parameter::FORMAT)?;
    let key = thread_key(&parameters)?;
    let proof = match log::prove(&call.app, &call.context, &key, version)? {
        log::ProofState::Logged(proof) => proof,
        log::ProofState::Queued => {
            let reply = Reply::content(&OneProof { proof: queued() })?;
            return Ok(reply.accepted().with_retry_after(LOGGED_WITHIN_S));
        }
    };
    match format {
        None | Some("json") => Reply::content(&OneProof {
            proof: ProofView {
                state: ProofState::Logged,
                number: Some(proof.number),
                origin: Some(proof.checkpoint.origin.clone()),
                index: Some(proof.proof.index),
                size: Some(proof.checkpoint.size),
                sha256: Some(to_hex(&proof.version.sha256)),
                metadata: Some(BASE64.encode(&proof.metadata)),
                entry: Some(proof.entry.clone()),
                tlog_proof: Some(proof.proof.to_string()),
                witnessed: proof.witnesses.as_ref().map(|_| proof.is_witnessed),
                witnesses: proof.witnesses.clone(),
            },
        }),
        Some("tlog-proof") => Ok(Reply::bytes(TEXT, proof.proof.to_string().into_bytes())),
        Some("bundle") => {
            let version = Some(proof.version.version);
            let stored = signatures::get(&call.app, &call.context, &key, version)?;
            let bytes = stored.body.map(|body| body.bytes).unwrap_or_default();
            Ok(Reply::bytes("application/zip", proof.bundle(&bytes)?))
        }
        Some(_) => Err(Error::invalid(
            "format",
            "`format` must be `json`, `tlog-proof` or `bundle`.".to_owned(),
        )),
    }
}

fn queued() -> ProofView {
    ProofView {
        state: ProofState::Queued,
        number: None,
        origin: None,
        index: None,
        size: None,
        sha256: None,
        metadata: None,
        entry: None,
        tlog_proof: None,
        witnesses: None,
        witnessed: None,
    }
}
