//! Audit events of signatures: a thread was deleted, or a thread with the name of a deleted one was created.

use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::to_hex;
use sigpersist_model::signature::ThreadKey;

/// The name of a thread as a single text, different for each thread. The database finds deletes by it
/// (`not_deleted_before`).
fn name(key: &ThreadKey) -> String {
    let escaped = |name: &str| name.replace('%', "%25").replace('/', "%2F");
    format!("{}/{}", escaped(&key.document), escaped(&key.thread))
}

/// The last version of a thread, as an event describes it.
fn state(key: &ThreadKey, version: u32, sha256: &[u8]) -> Value {
    json!({
        "document": key.document,
        "thread": key.thread,
        "version": version,
        "sha256": to_hex(sha256),
    })
}

/// The event of a deleted thread.
pub(super) fn deleted(
    actor: Actor,
    tenant: TenantId,
    key: &ThreadKey,
    version: u32,
    sha256: &[u8],
) -> Event {
    Event::new(Some(tenant), actor, "signature.delete", name(key))
        .before(state(key, version, sha256))
}

/// The event of a new thread whose name was deleted before. An import creates several versions of it at once.
pub fn recreated(
    actor: Actor,
    tenant: TenantId,
    key: &ThreadKey,
    version: u32,
    sha256: &[u8],
) -> Event {
    Event::new(Some(tenant), actor, "signature.recreate", name(key))
        .after(state(key, version, sha256))
}
