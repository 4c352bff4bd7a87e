//! Handlers for the log of a tenant, or the platform's: checkpoints, tiles and keys, its check, and its settings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sigpersist_model::context::{Owner, PLATFORM, TenantId};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::log::{Epoch, LogSettingsPatch};
use sigpersist_model::time;
use sigpersist_model::view::{LogCheckView, LogHead, LogKeyView, LogView};
use sigpersist_tlog::VerifierKey;
use utoipa::ToSchema;

use super::openapi::Binary;
use super::operators::parsed;
use super::parameter::{self, Parameter};
use super::parameters::Parameters;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::log::{self, VerifyingKey};

/// Media types of checkpoints and tiles.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const BYTES: &str = "application/octet-stream";

/// Shows the state of the tenant's log.
///
/// A token of the platform that names no tenant sees the platform's own log, which has the heads of the tenants' logs.
#[utoipa::path(
    get,
    path = "/log",
    operation_id = "get_log",
    responses((status = 200, description = "The log", body = Envelope<LogView>))
)]
pub(super) fn show(call: Call) -> Result<Reply> {
    call.parameters()?;
    Reply::content(&log::show(&call.app, owner(&call))?)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogChange {
    /// Whether anybody may read its checkpoints and tiles without a token, below `/logs/{id}`.
    #[schema(example = true)]
    public: Option<bool>,
    /// Whether saves and deletes that a hook or the policy refused are added to it, as `version.refused`. A server adds at
    /// most 20 in a minute, and counts the others in the next one.
    #[schema(example = true)]
    refusals: Option<bool>,
}

/// Changes what is set for the tenant's log. Members that you leave out keep their value.
///
/// The checkpoints and tiles of a public log name nobody, but show how much happens, and when.
#[utoipa::path(
    patch,
    path = "/log",
    operation_id = "update_log",
    request_body = LogChange,
    responses(
        (status = 200, description = "The log", body = Envelope<LogView>),
    )
)]
pub(super) fn update(call: Call) -> Result<Reply> {
    let change: LogChange = call.json()?;
    let change = LogSettingsPatch {
        public: change.public,
        refusals: change.refusals,
    };
    let owner = owner(&call);
    log::set(&call.app, &call.context.actor(), owner, change)?;
    Reply::content(&log::show(&call.app, owner)?)
}

#[derive(Serialize, ToSchema)]
pub(super) struct LogKeysContent {
    /// The keys, in the order in which they were made; those of other servers, which signed imported trees, come first.
    keys: Vec<LogKeyView>,
}

/// Lists the public keys that sign or signed the log's checkpoints, also those of the server from which it was imported.
#[utoipa::path(
    get,
    path = "/log/keys",
    operation_id = "list_log_keys",
    responses((status = 200, description = "The keys", body = Envelope<LogKeysContent>))
)]
pub(super) fn keys(call: Call) -> Result<Reply> {
    call.parameters()?;
    let epochs = call.app.store.log_epochs(owner(&call))?;
    let keys = log::keys_of_log(&call.app, owner(&call))?;
    keys_reply(keys.with_epochs(&epochs))
}

/// The answer with these keys, each with the trees that it verifies.
pub(super) fn keys_reply(keys: Vec<(VerifyingKey, Vec<&Epoch>)>) -> Result<Reply> {
    let keys = keys.into_iter().map(|(key, epochs)| LogKeyView {
        id: key.id,
        imported: key.id.is_none(),
        public_key: BASE64.encode(key.public_key),
        verifier_keys: epochs
            .iter()
            .map(|epoch| VerifierKey::new(&epoch.origin, key.public_key).to_string())
            .collect(),
        created_at: time::to_text(key.created_at),
        not_after: key.not_after.map(time::to_text),
    });
    Reply::content(&LogKeysContent {
        keys: keys.collect(),
    })
}

/// The last signed checkpoint of the log's current tree (C2SP tlog-checkpoint).
///
/// It has the signatures of the witnesses that signed just this one. With `witnessed` it is the last one that enough
/// witnesses have signed (`evidence.witness_quorum`).
#[utoipa::path(
    get,
    path = "/log/checkpoint",
    operation_id = "get_checkpoint",
    responses(
        (status = 200, description = "The checkpoint", body = String, content_type = "text/plain", example = "sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233\n1\nXokTvnGVBDU/CgBVHj0UtBEBd7ZBpqMxfS9DZTc7mTc=\n\n— sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233 AAAAAA==\n"),
        (status = 404, description = "log_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn checkpoint(call: Call) -> Result<Reply> {
    given(&call, &current(&call)?)
}

/// The checkpoint of a tree that a request asks for.
fn given(call: &Call, epoch: &Epoch) -> Result<Reply> {
    let given = match call.parameters()?.flag(&parameter::WITNESSED)? {
        true => log::newest_witnessed(&call.app, epoch)?,
        false => log::newest(&call.app, epoch)?,
    };
    Ok(Reply::bytes(TEXT, given.note.into_bytes()))
}

/// The last signed checkpoint of a tree of the log, or with `witnessed`, the last one that enough witnesses have signed.
#[utoipa::path(
    get,
    path = "/log/epochs/{epoch}/checkpoint",
    operation_id = "get_checkpoint_of_epoch",
    responses(
        (status = 200, description = "The checkpoint", body = String, content_type = "text/plain", example = "sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233\n1\nXokTvnGVBDU/CgBVHj0UtBEBd7ZBpqMxfS9DZTc7mTc=\n\n— sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233 AAAAAA==\n"),
        (status = 404, description = "log_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn checkpoint_of_epoch(call: Call) -> Result<Reply> {
    given(&call, &named(&call)?)
}

/// A tile of the log's current tree (C2SP tlog-tiles): `tile` is `LEVEL/NUMBER`, or `entries/NUMBER` for the entries
/// themselves, with `.p/WIDTH` for a tile that is not full.
#[utoipa::path(
    get,
    path = "/log/tile/{tile}",
    operation_id = "get_tile",
    responses(
        (status = 200, description = "The tile", body = Binary, content_type = "application/octet-stream"),
        (status = 404, description = "tile_not_found, log_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn tile(call: Call) -> Result<Reply> {
    call.parameters()?;
    let epoch = current(&call)?;
    let tile = log::tile(&call.app, &epoch, call.segment(0))?;
    Ok(Reply::bytes(BYTES, tile))
}

/// A tile of a tree of the log.
#[utoipa::path(
    get,
    path = "/log/epochs/{epoch}/tile/{tile}",
    operation_id = "get_tile_of_epoch",
    responses(
        (status = 200, description = "The tile", body = Binary, content_type = "application/octet-stream"),
        (status = 404, description = "tile_not_found, log_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn tile_of_epoch(call: Call) -> Result<Reply> {
    call.parameters()?;
    let epoch = named(&call)?;
    let tile = log::tile(&call.app, &epoch, call.segment(1))?;
    Ok(Reply::bytes(BYTES, tile))
}

#[derive(Serialize, ToSchema)]
pub(super) struct ConsistencyContent {
    /// The hashes of the proof (RFC 6962 section 2.1.2), in base64.
    #[schema(example = json!(["XokTvnGVBDU/CgBVHj0UtBEBd7ZBpqMxfS9DZTc7mTc="]))]
    proof: Vec<String>,
    /// The last signed checkpoint.
    #[schema(
        example = "sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233\n1\nXokTvnGVBDU/CgBVHj0UtBEBd7ZBpqMxfS9DZTc7mTc=\n\n— sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233 AAAAAA==\n"
    )]
    checkpoint: String,
}

/// Proves that the log's current tree only grew since it had `from` entries (RFC 6962 section 2.1.2): until it had `to`,
/// or until the last checkpoint.
#[utoipa::path(
    get,
    path = "/log/consistency",
    operation_id = "prove_consistency",
    responses(
        (status = 200, description = "The proof", body = Envelope<ConsistencyContent>),
        (status = 404, description = "log_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn consistency(call: Call) -> Result<Reply> {
    call.parameters()?;
    consistency_of(&call, &current(&call)?)
}

/// Proves that a tree only grew, between the sizes that the parameters name.
pub(super) fn consistency_of(call: &Call, epoch: &Epoch) -> Result<Reply> {
    let parameters = call.parameters()?;
    let (checkpoint, note) = log::signed(epoch)?;
    parameters.required_text(&parameter::FROM_SIZE)?;
    let from = parsed_size(&parameters, &parameter::FROM_SIZE)?.unwrap_or_default();
    let to = parsed_size(&parameters, &parameter::TO_SIZE)?.unwrap_or(checkpoint.size);
    if from > to || to > checkpoint.size {
        let size = checkpoint.size;
        return Err(Error::invalid(
            "to",
            format!(
                "`from` must not be greater than `to`, and `to` not greater than the size {size} of the log."
            ),
        ));
    }
    let hashes = call.app.store.log_consistency(epoch, from, to)?;
    Reply::content(&ConsistencyContent {
        proof: hashes.iter().map(|hash| BASE64.encode(hash)).collect(),
        checkpoint: note,
    })
}

#[derive(Serialize, ToSchema)]
struct LogCheckedContent {
    /// The result.
    log: LogCheckView,
}

/// Compares the tenant's log with everything that is stored. It reads all versions, so it takes a while.
///
/// Whoever has rights on the database can take away the end of a log unnoticed, together with what it is about: keep the
/// `head` elsewhere, and pass it as `expect`.
#[utoipa::path(
    get,
    path = "/log/verify",
    operation_id = "verify_log",
    responses(
        (status = 200, description = "The check was made; `whole` has its result", body = Envelope<LogCheckedContent>),
    )
)]
pub(super) fn verify(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let expected: Option<LogHead> = parsed(&parameters, &parameter::EXPECTED_LOG)?;
    let of = Owner::from(call.context.tenancy.clone());
    let log = log::verify(&call.app, &of, expected.as_ref(), |_, _| {})?;
    Reply::content(&LogCheckedContent { log })
}

#[derive(Serialize, ToSchema)]
struct OneLogKey {
    /// The new key.
    key: LogKeyView,
}

/// Makes a new key for the checkpoints of all logs. The key before it signs beside it for `evidence.key_overlap_days`.
#[utoipa::path(
    post,
    path = "/log/keys",
    operation_id = "rotate_log_key",
    responses(
        (status = 201, description = "The new key", body = Envelope<OneLogKey>),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn rotate_key(call: Call) -> Result<Reply> {
    call.parameters()?;
    let key = log::rotate(&call.app, &call.context.actor())?;
    let key = LogKeyView {
        id: Some(key.id),
        imported: false,
        public_key: BASE64.encode(key.public_key),
        verifier_keys: Vec::new(),
        created_at: time::to_text(key.created_at),
        not_after: key.not_after.map(time::to_text),
    };
    Ok(Reply::content(&OneLogKey { key })?.with_status_created())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reopening {
    /// Why the log may go on. It is recorded in the audit trail.
    #[schema(
        min_length = 1,
        pattern = "\\S",
        example = "A backup of 03:00 was restored"
    )]
    reason: String,
}

/// Lets a log that is frozen, or that a witness refuses, go on in a new tree.
///
/// The old tree stays as it is, with its checkpoints.
#[utoipa::path(
    post,
    path = "/log/reopen",
    operation_id = "reopen_log",
    request_body = Reopening,
    responses(
        (status = 200, description = "The log goes on", body = Envelope<LogView>),
        (status = 404, description = "log_not_found"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn reopen(call: Call) -> Result<Reply> {
    let reopening: Reopening = call.json()?;
    let owner = owner(&call);
    log::reopen(&call.app, call.context.actor(), owner, &reopening.reason)?;
    Reply::content(&log::show(&call.app, owner)?)
}

/// The owner of the log that a request is about: the tenant's, or the platform's own.
pub(super) fn owner(call: &Call) -> TenantId {
    call.context.owner().unwrap_or(PLATFORM)
}

fn parsed_size(parameters: &Parameters<'_>, parameter: &Parameter) -> Result<Option<u64>> {
    let size = parameters.text(parameter)?.map(str::parse).transpose();
    size.map_err(|_| {
        let name = parameter.name;
        Error::invalid(name, format!("`{name}` must be a number of entries."))
    })
}

/// The tree that things are added to.
fn current(call: &Call) -> Result<Epoch> {
    let epochs = call.app.store.log_epochs(owner(call))?;
    epochs
        .into_iter()
        .next_back()
        .ok_or(Error::NotFound(Noun::Log))
}

/// The tree that the path names.
fn named(call: &Call) -> Result<Epoch> {
    let number: Option<i16> = call.segment(0).parse().ok();
    let epochs = call.app.store.log_epochs(owner(call))?;
    let named = epochs.into_iter().find(|epoch| Some(epoch.epoch) == number);
    named.ok_or(Error::NotFound(Noun::Log))
}
