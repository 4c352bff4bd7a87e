//! Queries that read and delete threads and their versions.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer, Text};
use sigpersist_model::audit::Event;
use sigpersist_model::context::TenantId;
use sigpersist_model::decision::{Judgement, Outcome};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::signature::{Encoding, Signature, SignatureBody, SignatureId, ThreadKey};
use sigpersist_model::time;

use super::decisions;
use super::log_queue::enqueue_deletion;
use super::pool::Store;
use super::schema::{signature_versions, signatures};
use super::usage;

/// Result of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The thread is deleted.
    Done,
    /// The thread does not exist, or its current version may not be deleted.
    Refused {
        /// Its current version; 0 if the thread does not exist.
        current_version: u32,
    },
}

/// The columns of a [`Signature`], in the order that all queries select them. The digest is used only if the bytes
/// are selected.
#[derive(Debug, Queryable)]
pub(super) struct SignatureRow {
    id: i64,
    document: String,
    thread: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: i32,
    version_created_at: DateTime<Utc>,
    stage: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    tags: Vec<String>,
    encoding: u8,
    sha256: Vec<u8>,
    signature: Option<Vec<u8>>,
}

impl SignatureRow {
    pub(super) fn into_signature(self) -> Result<Signature> {
        let body = match self.signature {
            Some(bytes) => Some(SignatureBody {
                encoding: encoding_from_code(self.encoding)?,
                bytes: bytes.into(),
                sha256: sha256_from_column(self.sha256)?,
            }),
            None => None,
        };
        Ok(Signature {
            id: SignatureId(self.id),
            key: ThreadKey {
                document: self.document,
                thread: self.thread,
            },
            version: version_from_column(self.version)?,
            stage: self.stage,
            created_by: self.created_by,
            comment: self.comment,
            tags: self.tags,
            version_created_at: self.version_created_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            body,
        })
    }
}

pub(super) fn sha256_from_column(bytes: Vec<u8>) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|_| Error::internal("a stored SHA-256 has not 32 bytes"))
}

pub(super) fn version_from_column(version: i32) -> Result<u32> {
    u32::try_from(version).map_err(Error::internal)
}

/// Converts a version. If no `integer` column can hold it, it becomes one that no thread has.
pub(super) fn version_to_column(version: u32) -> i32 {
    i32::try_from(version).unwrap_or(i32::MAX)
}

pub(super) fn encoding_to_code(encoding: Encoding) -> u8 {
    match encoding {
        Encoding::Base64 => b'b',
        Encoding::Text => b't',
    }
}

pub(super) fn encoding_from_code(code: u8) -> Result<Encoding> {
    match code {
        b'b' => Ok(Encoding::Base64),
        b't' => Ok(Encoding::Text),
        _ => Err(Error::internal(format!("a stored encoding is {code}"))),
    }
}

/// The stored versions to read; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct StoredRange {
    /// Only versions of this document.
    pub document: Option<String>,
    /// Only versions of threads created at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only versions of threads created before this time.
    pub until: Option<DateTime<Utc>>,
    /// Only the current version of each thread.
    pub current_only: bool,
    /// Only versions after this place.
    pub after: Option<StoredPlace>,
}

/// A version's place among all versions of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredPlace {
    /// The time when its thread was created.
    pub created_at: DateTime<Utc>,
    /// The id of its thread.
    pub id: SignatureId,
    /// Its number.
    pub version: u32,
}

impl std::fmt::Display for StoredPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, version, .. } = self;
        write!(
            f,
            "{}-{}-{version}",
            self.created_at.timestamp_micros(),
            id.0
        )
    }
}

impl std::str::FromStr for StoredPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut next = || parts.next().ok_or(());
        Ok(Self {
            created_at: next()?.parse().ok().and_then(time::from_micros).ok_or(())?,
            id: SignatureId(next()?.parse().map_err(drop)?),
            version: next()?.parse().map_err(drop)?,
        })
    }
}

/// A stored version, and its place.
#[derive(Debug)]
pub struct Stored {
    /// The place after which the next page begins.
    pub place: StoredPlace,
    /// The version.
    pub signature: Signature,
}

/// A thread joined with one of its versions.
macro_rules! thread_with_versions {
    () => {
        signatures::table.inner_join(
            signature_versions::table.on(signature_versions::tenant_id
                .eq(signatures::tenant_id)
                .and(signature_versions::signature_id.eq(signatures::id))),
        )
    };
}

macro_rules! signature_columns {
    ($bytes:expr) => {
        (
            signatures::id,
            signatures::document,
            signatures::thread,
            signatures::created_at,
            signatures::updated_at,
            signature_versions::version,
            signature_versions::created_at,
            signature_versions::stage,
            signature_versions::created_by,
            signature_versions::comment,
            signature_versions::tags,
            signature_versions::encoding,
            signature_versions::sha256,
            $bytes,
        )
    };
}

impl Store {
    /// One version of a thread; the current one if `version` is none.
    pub fn signature_get(
        &self,
        tenant: TenantId,
        key: &ThreadKey,
        version: Option<u32>,
    ) -> Result<Option<Signature>> {
        let thread = thread_with_versions!()
            .filter(signatures::tenant_id.eq(tenant.0))
            .filter(signatures::document.eq(&key.document))
            .filter(signatures::thread.eq(&key.thread))
            .select(signature_columns!(signature_versions::signature.nullable()));
        let row = self.run(tenant, |connection| match version {
            Some(version) => thread
                .filter(signature_versions::version.eq(version_to_column(version)))
                .first::<SignatureRow>(connection)
                .optional(),
            None => thread
                .filter(signature_versions::version.eq(signatures::version))
                .first::<SignatureRow>(connection)
                .optional(),
        })?;
        row.map(SignatureRow::into_signature).transpose()
    }

    /// A thread's id; none if the thread does not exist.
    pub fn signature_id(&self, tenant: TenantId, key: &ThreadKey) -> Result<Option<SignatureId>> {
        let id = self.run(tenant, |connection| {
            signatures::table
                .filter(signatures::tenant_id.eq(tenant.0))
                .filter(signatures::document.eq(&key.document))
                .filter(signatures::thread.eq(&key.thread))
                .select(signatures::id)
                .first(connection)
                .optional()
        })?;
        Ok(id.map(SignatureId))
    }

    /// A thread's current version; 0 if the thread does not exist.
    pub fn signature_current_version(&self, tenant: TenantId, key: &ThreadKey) -> Result<u32> {
        let version = self.run(tenant, |connection| {
            signatures::table
                .filter(signatures::tenant_id.eq(tenant.0))
                .filter(signatures::document.eq(&key.document))
                .filter(signatures::thread.eq(&key.thread))
                .select(signatures::version)
                .first::<i32>(connection)
                .optional()
        })?;
        version.map_or(Ok(0), version_from_column)
    }

    /// A thread's history, newest first: at most `limit` versions before `before`; none if the thread does not exist.
    ///
    /// If all signatures of the page together have more than `max_bytes`, or `max_bytes` is none, each version comes
    /// without its body.
    pub fn signature_history(
        &self,
        tenant: TenantId,
        key: &ThreadKey,
        before: Option<u32>,
        limit: i64,
        max_bytes: Option<i64>,
    ) -> Result<Option<Vec<Signature>>> {
        let bytes = diesel::dsl::sql::<diesel::sql_types::Nullable<diesel::sql_types::Binary>>(
            "CASE WHEN sum(octet_length(signature_versions.signature)) OVER () <= ",
        )
        .bind::<diesel::sql_types::BigInt, _>(max_bytes.unwrap_or(-1))
        .sql(" THEN signature_versions.signature END");
        let page = signature_versions::table
            .filter(signature_versions::tenant_id.eq(tenant.0))
            .filter(signature_versions::version.lt(before.map_or(i32::MAX, version_to_column)));
        let rows = self.run(tenant, |connection| {
            // Two steps, since the window of the sum must be the page and not the whole history.
            let Some(id) = signatures::table
                .filter(signatures::tenant_id.eq(tenant.0))
                .filter(signatures::document.eq(&key.document))
                .filter(signatures::thread.eq(&key.thread))
                .select(signatures::id)
                .first::<i64>(connection)
                .optional()?
            else {
                return Ok(None);
            };
            let versions: Vec<i32> = page
                .filter(signature_versions::signature_id.eq(id))
                .order(signature_versions::version.desc())
                .limit(limit)
                .select(signature_versions::version)
                .load(connection)?;
            thread_with_versions!()
                .filter(signatures::tenant_id.eq(tenant.0))
                .filter(signatures::id.eq(id))
                .filter(signature_versions::version.eq_any(versions))
                .order(signature_versions::version.desc())
                .select(signature_columns!(bytes))
                .load::<SignatureRow>(connection)
                .map(Some)
        })?;
        rows.map(|rows| rows.into_iter().map(SignatureRow::into_signature).collect())
            .transpose()
    }

    /// A tenant's versions with their bytes: newest threads first, and of each thread the newest version first.
    pub fn signature_range(
        &self,
        tenant: TenantId,
        range: &StoredRange,
        limit: i64,
    ) -> Result<Vec<Stored>> {
        let mut query = thread_with_versions!()
            .filter(signatures::tenant_id.eq(tenant.0))
            .order((
                signatures::created_at.desc(),
                signatures::id.desc(),
                signature_versions::version.desc(),
            ))
            .limit(limit)
            .select(signature_columns!(signature_versions::signature.nullable()))
            .into_boxed();
        if let Some(document) = &range.document {
            // The collation of the index on documents.
            query = query.filter(sql::<Text>(r#"signatures.document COLLATE "C""#).eq(document));
        }
        if let Some(since) = range.since {
            query = query.filter(signatures::created_at.ge(since));
        }
        if let Some(until) = range.until {
            query = query.filter(signatures::created_at.lt(until));
        }
        if range.current_only {
            query = query.filter(signature_versions::version.eq(signatures::version));
        }
        if let Some(after) = range.after {
            // The index can use only the first condition.
            query = query
                .filter(signatures::created_at.le(after.created_at))
                .filter(
                    signatures::created_at
                        .lt(after.created_at)
                        .or(signatures::id.lt(after.id.0))
                        .or(signatures::id
                            .eq(after.id.0)
                            .and(signature_versions::version.lt(version_to_column(after.version)))),
                );
        }
        let rows = self.run(tenant, |connection| query.load::<SignatureRow>(connection))?;
        rows.into_iter()
            .map(|row| {
                let signature = row.into_signature()?;
                Ok(Stored {
                    place: StoredPlace {
                        created_at: signature.created_at,
                        id: signature.id,
                        version: signature.version,
                    },
                    signature,
                })
            })
            .collect()
    }

    /// Deletes a thread with all its versions and tags, if `may_delete` allows that for its current version.
    ///
    /// Records the decisions of hooks about the delete, and the event that `event` makes from the last version and
    /// its SHA-256.
    pub fn signature_delete(
        &self,
        tenant: TenantId,
        key: &ThreadKey,
        judgement: Option<&Judgement>,
        may_delete: impl FnOnce(u32) -> bool,
        event: impl FnOnce(u32, &[u8]) -> Event,
    ) -> Result<Deletion> {
        let current = signatures::table
            .filter(signatures::tenant_id.eq(tenant.0))
            .filter(signatures::document.eq(&key.document))
            .filter(signatures::thread.eq(&key.thread))
            .select(signatures::version)
            .for_update();
        let current_version = self.transaction(tenant, |connection| {
            // The lock makes sure that the next statement sees the last version, even if somebody is saving one now.
            let version = current.first::<i32>(connection).optional()?.unwrap_or(0);
            let kept = version == 0 || !may_delete(version.unsigned_abs());
            let deleted = if kept {
                None
            } else {
                Some(delete(connection, tenant, key)?)
            };
            if let Some(judgement) = judgement {
                let outcome = if kept {
                    Outcome::NotStored
                } else {
                    Outcome::Accepted
                };
                decisions::insert(connection, tenant, judgement, outcome)?;
            }
            if let Some(Deleted { id, sha256 }) = deleted {
                if self.logs {
                    enqueue_deletion(connection, tenant, id, key, version, &sha256)?;
                }
                self.audit(connection, &event(version.unsigned_abs(), &sha256))?;
            }
            Ok(kept.then_some(version))
        })?;
        match current_version {
            None => Ok(Deletion::Done),
            Some(version) => Ok(Deletion::Refused {
                current_version: version_from_column(version)?,
            }),
        }
    }
}

/// A deleted thread.
#[derive(QueryableByName)]
struct Deleted {
    #[diesel(sql_type = BigInt)]
    id: i64,
    /// The digest of its last version.
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
}

/// Deletes a locked thread, and subtracts its size from the tenant's usage.
fn delete(
    connection: &mut PgConnection,
    tenant: TenantId,
    key: &ThreadKey,
) -> QueryResult<Deleted> {
    sql_query(delete_sql())
        .bind::<Integer, _>(tenant.0)
        .bind::<Text, _>(&key.document)
        .bind::<Text, _>(&key.thread)
        .get_result(connection)
}

/// The statement of [`delete`]. Versions are deleted after the statement, by the cascade, so the statement still sees
/// them.
pub(super) fn delete_sql() -> String {
    format!(
        "WITH deleted AS ( \
             DELETE FROM signatures WHERE tenant_id = $1 AND document = $2 AND thread = $3 \
             RETURNING tenant_id, id, version), \
         counted AS ( \
             {} SELECT d.tenant_id, -sum(octet_length(v.signature)) - coalesce(( \
                        SELECT sum(x.bytes) FROM signature_verdicts x \
                        WHERE x.tenant_id = d.tenant_id AND x.signature_id = d.id), 0), -1, -count(*), {} \
             FROM deleted d JOIN signature_versions v ON v.tenant_id = d.tenant_id AND v.signature_id = d.id \
             GROUP BY d.tenant_id, d.id {}) \
         SELECT d.id, v.sha256 FROM deleted d \
         JOIN signature_versions v ON v.tenant_id = d.tenant_id AND v.signature_id = d.id AND v.version = d.version",
        usage::INSERT,
        usage::SHARD,
        usage::OR_ADD
    )
}
