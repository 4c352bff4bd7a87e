//! Handlers for logs that are open to the public: checkpoints, tiles and keys for anybody, without a token.
//!
//! A log that is not public, one that does not exist, and an id that is none get the same answer, after the same query.

use sigpersist_model::error::Result;
use sigpersist_model::log::Epoch;

use super::log::{BYTES, ConsistencyContent, LogKeysContent, TEXT, consistency_of, keys_reply};
use super::openapi::Binary;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::log;

/// Time for which a checkpoint may be cached, in seconds: C2SP's tlog-tiles wants no more than a few.
const CHECKPOINT_MAX_AGE_S: u32 = 1;
/// Time for which keys may be cached, in seconds.
const KEYS_MAX_AGE_S: u32 = 60;
/// Time for which tiles may be cached, in seconds. They never change, but a log may be closed to the public.
const TILE_MAX_AGE_S: u32 = 7 * 24 * 60 * 60;

/// The tree that the path names.
fn tree(call: &Call) -> Result<Epoch> {
    log::public(&call.app, call.name())
}

/// The last signed checkpoint of a public log (C2SP tlog-checkpoint).
///
/// `/logs/{origin}` is the prefix of a log as C2SP's tlog-tiles describes it. `origin` is the last part of the log's name:
/// 32 hexadecimal digits.
#[utoipa::path(
    get,
    path = "/logs/{origin}/checkpoint",
    operation_id = "get_public_checkpoint",
    responses(
        (status = 200, description = "The checkpoint", body = String, content_type = "text/plain", example = "sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233\n1\nXokTvnGVBDU/CgBVHj0UtBEBd7ZBpqMxfS9DZTc7mTc=\n\n— sigpersist/5c1b0d9f8e7a4b32a1c0ffee00112233 AAAAAA==\n"),
        (status = 404, description = "log_not_found"),
    )
)]
pub(super) fn checkpoint(call: Call) -> Result<Reply> {
    call.parameters()?;
    let given = log::newest(&call.app, &tree(&call)?)?;
    Ok(Reply::bytes(TEXT, given.note.into_bytes())
        .cached_by_anybody(CHECKPOINT_MAX_AGE_S)
        .for_any_page())
}

/// A tile of a public log (C2SP tlog-tiles): `tile` is `LEVEL/NUMBER`, or `entries/NUMBER` for the entries themselves, with
/// `.p/WIDTH` for a tile that is not full.
#[utoipa::path(
    get,
    path = "/logs/{origin}/tile/{tile}",
    operation_id = "get_public_tile",
    responses(
        (status = 200, description = "The tile", body = Binary, content_type = "application/octet-stream"),
        (status = 404, description = "tile_not_found, log_not_found"),
    )
)]
pub(super) fn tile(call: Call) -> Result<Reply> {
    call.parameters()?;
    let tile = log::tile(&call.app, &tree(&call)?, call.segment(1))?;
    Ok(Reply::bytes(BYTES, tile)
        .cached_by_anybody(TILE_MAX_AGE_S)
        .for_any_page())
}

/// Lists the public keys that sign or signed the checkpoints of a public log. Get them from a source that you trust, too.
#[utoipa::path(
    get,
    path = "/logs/{origin}/keys",
    operation_id = "list_public_log_keys",
    responses(
        (status = 200, description = "The keys", body = Envelope<LogKeysContent>),
        (status = 404, description = "log_not_found"),
    )
)]
pub(super) fn keys(call: Call) -> Result<Reply> {
    call.parameters()?;
    // Not those of other trees of the same log, which the public need not connect with it.
    let trees = [tree(&call)?];
    let keys = log::keys_of_log(&call.app, trees[0].tenant)?;
    let mut keys = keys.with_epochs(&trees);
    keys.retain(|(_, verified)| !verified.is_empty());
    Ok(keys_reply(keys)?
        .cached_by_anybody(KEYS_MAX_AGE_S)
        .for_any_page())
}

/// Proves that a public log only grew since it had `from` entries (RFC 6962 section 2.1.2): until it had `to`, or until the
/// last checkpoint.
#[utoipa::path(
    get,
    path = "/logs/{origin}/consistency",
    operation_id = "prove_public_consistency",
    responses(
        (status = 200, description = "The proof", body = Envelope<ConsistencyContent>),
        (status = 404, description = "log_not_found"),
    )
)]
pub(super) fn consistency(call: Call) -> Result<Reply> {
    call.parameters()?;
    Ok(consistency_of(&call, &tree(&call)?)?.for_any_page())
}
