//! What the audit trail says of signatures: which thread was deleted, and that there is one of its name again.

use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_model::digest::to_hex;
use sigpersist_model::signature::ThreadKey;

/// A thread by one word, and no other thread by the same. The database finds deletes by it (`not_deleted_before`).
fn name(key: &ThreadKey) -> String {
    let escaped = |name: &str| name.replace('%', "%25").replace('/', "%2F");
    format!("{}/{}", escaped(&key.document), escaped(&key.thread))
}

/// The last version of a thread, as an event tells it.
fn facts(key: &ThreadKey, version: u32, sha256: &[u8]) -> Value {
    json!({
        "document": key.document,
        "thread": key.thread,
        "version": version,
        "sha256": to_hex(sha256),
    })
}

/// A delete of a thread.
pub(super) fn deleted(
    actor: Actor,
    tenant: TenantId,
    key: &ThreadKey,
    version: u32,
    sha256: &[u8],
) -> Event {
    Event::new(Some(tenant), actor, "signature.delete", name(key))
        .before(facts(key, version, sha256))
}

/// A thread that is new, and whose name was deleted before; an import makes several versions of it at once.
pub fn recreated(
    actor: Actor,
    tenant: TenantId,
    key: &ThreadKey,
    version: u32,
    sha256: &[u8],
) -> Event {
    Event::new(Some(tenant), actor, "signature.recreate", name(key))
        .after(facts(key, version, sha256))
}
