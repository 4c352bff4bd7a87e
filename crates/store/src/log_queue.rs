//! The queue of the log: what happened, added in the transaction in which it happened.
//!
//! A row comes after another write of its transaction. So the transaction has its id before it draws the row's, which the
//! sequencer relies on (`log_sequence`).

use aws_lc_rs::rand;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, CChar, Integer, Nullable, Text};
use serde_json::{Value, json};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::digest::to_hex;
use sigpersist_model::signature::{Draft, SignatureBody, ThreadKey};
use sigpersist_tlog::{Hash, Kind, SALT_BYTES, Salt, VersionMetadata, other_blind, seal, sha256};

/// Events of the audit trail that have entries of their own kind.
const OTHER_ENTRIES: &str = "signature.";

/// A seal, with the salt in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sealed {
    pub(super) salt: Salt,
    pub(super) seal: Hash,
}

impl Sealed {
    /// The seal of an event, which is JSON.
    pub(super) fn of_event(event: &str) -> QueryResult<Self> {
        let salt = salt()?;
        let seal = seal(&sha256(event.as_bytes()), &other_blind(&salt, event));
        Ok(Self { salt, seal })
    }
}

/// A version, as its seal covers it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SealedVersion<'a> {
    pub(super) key: &'a ThreadKey,
    pub(super) body: &'a SignatureBody,
    pub(super) stage: Option<&'a str>,
    pub(super) created_by: Option<&'a str>,
    pub(super) comment: Option<&'a str>,
    pub(super) tags: &'a [String],
}

impl<'a> SealedVersion<'a> {
    pub(super) fn of_draft(draft: &'a Draft, tags: &'a [String]) -> Self {
        Self {
            key: &draft.key,
            body: &draft.body,
            stage: draft.stage.as_deref(),
            created_by: draft.created_by.as_deref(),
            comment: draft.comment.as_deref(),
            tags,
        }
    }

    /// Its seal with this salt, as the version with this number.
    pub(super) fn seal(&self, salt: &Salt, version: u32) -> Hash {
        let metadata = VersionMetadata {
            document: &self.key.document,
            thread: &self.key.thread,
            version,
            encoding: self.body.encoding.as_str(),
            stage: self.stage,
            created_by: self.created_by,
            comment: self.comment,
            tags: self.tags,
        };
        seal(&self.body.sha256, &metadata.blind(salt))
    }
}

/// A new salt.
pub(super) fn salt() -> QueryResult<Salt> {
    let mut salt = [0; SALT_BYTES];
    rand::fill(&mut salt)
        .map_err(|_| DieselError::SerializationError("there is no randomness".into()))?;
    Ok(salt)
}

/// A row of the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewRow<'a> {
    pub(super) tenant: TenantId,
    pub(super) kind: Kind,
    /// The thread that it is about.
    pub(super) signature: Option<i64>,
    /// Its object.
    pub(super) event: &'a str,
}

/// Adds an event.
pub(super) fn enqueue(connection: &mut PgConnection, row: NewRow<'_>) -> QueryResult<()> {
    let Sealed { salt, seal } = Sealed::of_event(row.event)?;
    sql_query(
        "INSERT INTO log_queue (tenant_id, kind, signature_id, seal, salt, event) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind::<Integer, _>(row.tenant.0)
    .bind::<CChar, _>(row.kind.code())
    .bind::<Nullable<BigInt>, _>(row.signature)
    .bind::<Binary, _>(&seal[..])
    .bind::<Binary, _>(&salt[..])
    .bind::<Text, _>(row.event)
    .execute(connection)
    .map(drop)
}

/// Adds a change that the audit trail records, unless it has an entry of its own kind.
pub(super) fn enqueue_change(connection: &mut PgConnection, event: &Event) -> QueryResult<()> {
    if event.action.starts_with(OTHER_ENTRIES) {
        return Ok(());
    }
    let object = json!({
        "type": event.action,
        "target": event.target,
        "actor": { "kind": event.actor.kind, "subject": event.actor.subject },
    });
    enqueue(
        connection,
        NewRow {
            tenant: event.tenant.unwrap_or(PLATFORM),
            kind: Kind::Change,
            signature: None,
            event: &object.to_string(),
        },
    )
}

/// Erases what the queue and the log say about a deleted thread, beside its versions, and adds its deletion.
pub(super) fn enqueue_deletion(
    connection: &mut PgConnection,
    tenant: TenantId,
    signature: i64,
    key: &ThreadKey,
    version: i32,
    sha256: &[u8],
) -> QueryResult<()> {
    // In this order, since rows move only in this direction.
    for erase in [
        "UPDATE log_queue SET salt = NULL, event = NULL \
         WHERE tenant_id = $1 AND signature_id = $2 AND event IS NOT NULL",
        "UPDATE log_entries SET salt = NULL, event = NULL \
         WHERE tenant_id = $1 AND signature_id = $2 AND event IS NOT NULL",
    ] {
        sql_query(erase)
            .bind::<Integer, _>(tenant.0)
            .bind::<BigInt, _>(signature)
            .execute(connection)?;
    }
    let object = json!({
        "type": "signature.deleted",
        "document": key.document,
        "thread": key.thread,
        "version": version,
        "sha256": to_hex(sha256),
    });
    enqueue(
        connection,
        NewRow {
            tenant,
            kind: Kind::Deleted,
            signature: Some(signature),
            event: &object.to_string(),
        },
    )
}

/// A recorded verdict as an event: what it is about, and the indication for each signer.
pub(super) fn verdict_event(sha256: &[u8], verdict: &str) -> String {
    let summary: Value = serde_json::from_str(verdict).unwrap_or_default();
    let signers = summary["signers"].as_array().map(Vec::as_slice);
    let indications = signers
        .unwrap_or_default()
        .iter()
        .map(|signer| signer["verdict"]["indication"].clone());
    json!({
        "type": "verdict.recorded",
        "sha256": to_hex(sha256),
        "indications": indications.collect::<Vec<_>>(),
    })
    .to_string()
}
