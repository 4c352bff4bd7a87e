//! Reading the entries of a log: for proofs, and for those who follow what happens.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Binary, Bool, CChar, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Logged, Numbered, Queued, VersionName};
use sigpersist_model::signature::{SignatureId, ThreadKey};
use sigpersist_tlog::Kind;

use super::log_epochs::epochs;
use super::log_sequence::{broken, hash};
use super::pool::Store;
use super::prepared::{Value, prepared};
use super::signatures::{encoding_from_code, version_from_column, version_to_column};

#[derive(QueryableByName)]
pub(super) struct EntryRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = CChar)]
    kind: u8,
    #[diesel(sql_type = Timestamptz)]
    at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<BigInt>)]
    signature_id: Option<i64>,
    #[diesel(sql_type = Nullable<Integer>)]
    version: Option<i32>,
    #[diesel(sql_type = Binary)]
    seal: Vec<u8>,
    #[diesel(sql_type = Binary)]
    leaf: Vec<u8>,
    #[diesel(sql_type = Nullable<Binary>)]
    salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    event: Option<String>,
    #[diesel(sql_type = Nullable<Array<BigInt>>)]
    refs: Option<Vec<i64>>,
    #[diesel(sql_type = Nullable<Text>)]
    document: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    thread: Option<String>,
    #[diesel(sql_type = Nullable<Binary>)]
    sha256: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<CChar>)]
    encoding: Option<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    stage: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    created_by: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    comment: Option<String>,
    #[diesel(sql_type = Nullable<Array<Text>>)]
    tags: Option<Vec<String>>,
    #[diesel(sql_type = Nullable<Binary>)]
    version_salt: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    created_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub(super) is_intact: Option<bool>,
}

#[derive(QueryableByName)]
struct OfThreadRow {
    #[diesel(embed)]
    entry: EntryRow,
    #[diesel(sql_type = Bool)]
    has_witnesses: bool,
}

/// The entry of a version, and the log that it is in.
#[derive(Debug)]
pub struct LoggedVersion {
    /// The entry.
    pub logged: Logged,
    /// The trees of the log.
    pub epochs: Vec<Epoch>,
    /// Whether the log has witnesses.
    pub has_witnesses: bool,
}

/// A statement that selects entries, each with the version that it is about if that is stored. `$said` is what was said about
/// the version, and `$intact` whether its bytes have its SHA-256.
macro_rules! select_entries {
    ($said:literal, $intact:literal, $rest:literal) => {
        select_entries!(
            $said,
            $intact,
            "log_entries e \
             LEFT JOIN signature_versions v \
                 ON v.tenant_id = e.tenant_id AND v.signature_id = e.signature_id AND v.version = e.version \
             LEFT JOIN signatures s ON s.tenant_id = v.tenant_id AND s.id = v.signature_id ",
            $rest
        )
    };
    ($said:literal, $intact:literal, $from:literal, $rest:literal) => {
        concat!(
            "SELECT e.number, e.kind, e.at, e.signature_id, e.version, e.seal, e.leaf, e.salt, e.event, e.refs, \
                    s.document, s.thread, v.sha256, v.encoding, v.stage, v.tags, v.salt AS version_salt, v.created_at, ",
            $said,
            ", ",
            $intact,
            " AS is_intact FROM ",
            $from,
            $rest
        )
    };
}

/// The entries after a number, in order, without what was said about the versions, which may be long.
const AFTER: &str = select_entries!(
    "NULL::text AS created_by, NULL::text AS comment",
    "NULL::boolean",
    "WHERE e.tenant_id = $1 AND e.number > $2 ORDER BY e.number LIMIT $3"
);
/// The entries with these numbers, as those after a number. Not in order: sessions avoid sorts, so Postgres would rather walk
/// through all entries of the log.
const NUMBERED: &str = select_entries!(
    "NULL::text AS created_by, NULL::text AS comment",
    "NULL::boolean",
    "WHERE e.tenant_id = $1 AND e.number = ANY ($2)"
);
/// The entries after a number, in order, with all about the versions.
pub(super) const AFTER_CHECKED: &str = select_entries!(
    "v.created_by, v.comment",
    "sha256(v.signature) = v.sha256",
    "WHERE e.tenant_id = $1 AND e.number > $2 ORDER BY e.number LIMIT $3"
);
/// The entries after a number, in order, with what is sealed of the versions.
pub(super) const AFTER_SEALED: &str = select_entries!(
    "v.created_by, v.comment",
    "NULL::boolean",
    "WHERE e.tenant_id = $1 AND e.number > $2 ORDER BY e.number LIMIT $3"
);
/// The entry of a version of a thread: of the current one if its number is -1.
const OF_THREAD: &str = select_entries!(
    "v.created_by, v.comment, EXISTS (SELECT FROM log_witnesses w WHERE w.tenant_id = $1) AS has_witnesses",
    "NULL::boolean",
    "signatures s \
     JOIN signature_versions v \
         ON v.tenant_id = s.tenant_id AND v.signature_id = s.id \
        AND v.version = CASE $4 WHEN -1 THEN s.version ELSE $4 END \
     CROSS JOIN LATERAL ( \
         SELECT * FROM log_entries l \
         WHERE l.tenant_id = v.tenant_id AND l.signature_id = v.signature_id AND l.version = v.version \
           AND l.kind IN ('v', 'b', 'i') \
         ORDER BY l.tenant_id, l.signature_id, l.version, l.number LIMIT 1) AS e ",
    "WHERE s.tenant_id = $1 AND s.document = $2 AND s.thread = $3"
);

impl EntryRow {
    pub(super) fn into_logged(self, tenant: TenantId) -> QueryResult<Logged> {
        let kind =
            Kind::from_code(self.kind).ok_or_else(|| broken("the log has an unknown kind"))?;
        let number =
            |version| version_from_column(version).map_err(|_| broken("a version is negative"));
        let named = self.document.zip(self.thread).zip(self.created_at);
        let version = match (named, self.version, self.sha256) {
            (Some(((document, thread), created_at)), Some(version), Some(sha256)) => {
                Some(VersionName {
                    created_at,
                    key: ThreadKey { document, thread },
                    version: number(version)?,
                    sha256: hash(sha256)?,
                    encoding: self
                        .encoding
                        .and_then(|code| encoding_from_code(code).ok())
                        .ok_or_else(|| broken("a version has an unknown encoding"))?,
                    stage: self.stage,
                    created_by: self.created_by,
                    comment: self.comment,
                    tags: self.tags.unwrap_or_default(),
                    salt: self.version_salt,
                })
            }
            _ => None,
        };
        Ok(Logged {
            numbered: Numbered {
                what: Queued {
                    id: 0,
                    tenant,
                    kind,
                    at: self.at,
                    signature: self.signature_id,
                    version: self.version,
                    seal: hash(self.seal)?,
                    salt: self.salt,
                    event: self.event,
                },
                number: self.number,
                leaf: hash(self.leaf)?,
                refs: self.refs.unwrap_or_default(),
            },
            version,
        })
    }
}

/// The rows after a number, in order.
pub(super) fn rows_after(
    connection: &mut PgConnection,
    statement: &'static str,
    tenant: TenantId,
    after: i64,
    limit: i64,
) -> QueryResult<Vec<EntryRow>> {
    let values = [
        Value::Integer(tenant.0),
        Value::BigInt(after),
        Value::BigInt(limit),
    ];
    prepared(statement, &values).load(connection)
}

/// The entries of these rows, and the trees of the log. Rows that are in no tree are no entries.
fn in_trees(
    connection: &mut PgConnection,
    tenant: TenantId,
    rows: Vec<EntryRow>,
) -> QueryResult<(Vec<Logged>, Vec<Epoch>)> {
    let entries = rows.into_iter().map(|row| row.into_logged(tenant));
    let mut entries = entries.collect::<QueryResult<Vec<_>>>()?;
    let epochs = match entries.as_slice() {
        [] => Vec::new(),
        _ => epochs(connection, tenant)?,
    };
    entries.retain(|logged| Epoch::of(&epochs, logged.numbered.number).is_some());
    Ok((entries, epochs))
}

impl Store {
    /// A tenant's entries after this number, in order, and the trees of its log. The versions are without creators and
    /// comments. Rows that are in no tree are no entries.
    pub fn log_happenings(
        &self,
        tenant: TenantId,
        number: i64,
        limit: i64,
    ) -> Result<(Vec<Logged>, Vec<Epoch>)> {
        self.run(tenant, |connection| {
            let rows = rows_after(connection, AFTER, tenant, number, limit)?;
            in_trees(connection, tenant, rows)
        })
    }

    /// A tenant's entries with these numbers, in any order, as [`Self::log_happenings`] reads them.
    pub fn log_happenings_of(
        &self,
        tenant: TenantId,
        numbers: &[i64],
    ) -> Result<(Vec<Logged>, Vec<Epoch>)> {
        let values = [Value::Integer(tenant.0), Value::BigInts(numbers.to_vec())];
        self.run(tenant, |connection| {
            let rows = prepared(NUMBERED, &values).load(connection)?;
            in_trees(connection, tenant, rows)
        })
    }

    /// The entry that says that a version of a thread (the current one if none is named) was saved or imported, or stored
    /// before there was a log. None if it is not in the log yet, or not stored.
    pub fn log_entry_of(
        &self,
        tenant: TenantId,
        key: &ThreadKey,
        version: Option<u32>,
    ) -> Result<Option<LoggedVersion>> {
        let values = [
            Value::Integer(tenant.0),
            Value::Text(key.document.clone()),
            Value::Text(key.thread.clone()),
            Value::Integer(version.map_or(-1, version_to_column)),
        ];
        self.run(tenant, |connection| {
            let row: Option<OfThreadRow> = prepared(OF_THREAD, &values)
                .get_result(connection)
                .optional()?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(LoggedVersion {
                logged: row.entry.into_logged(tenant)?,
                epochs: epochs(connection, tenant)?,
                has_witnesses: row.has_witnesses,
            }))
        })
    }

    /// The number of the entry of a version, as [`Self::log_entry_of`] finds it.
    pub fn log_number_of_version(
        &self,
        tenant: TenantId,
        signature: SignatureId,
        version: u32,
    ) -> Result<Option<i64>> {
        #[derive(QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            number: i64,
        }
        let found: Option<Number> = self.run(tenant, |connection| {
            prepared(
                "SELECT number FROM log_entries \
                 WHERE tenant_id = $1 AND signature_id = $2 AND version = $3 AND kind IN ('v', 'b', 'i') \
                 ORDER BY signature_id, version, number LIMIT 1",
                &[
                    Value::Integer(tenant.0),
                    Value::BigInt(signature.0),
                    Value::Integer(version_to_column(version)),
                ],
            )
            .get_result(connection)
            .optional()
        })?;
        Ok(found.map(|found| found.number))
    }

    /// The number of the last entry in a tree of a tenant's log; 0 if it has none.
    pub fn log_head(&self, tenant: TenantId) -> Result<i64> {
        #[derive(QueryableByName)]
        struct Last {
            #[diesel(sql_type = BigInt)]
            number: i64,
        }
        let last: Last = self.run(tenant, |connection| {
            sql_query(
                "SELECT coalesce(max(first + size - 1), 0) AS number FROM log_epochs WHERE tenant_id = $1",
            )
            .bind::<Integer, _>(tenant.0)
            .get_result(connection)
        })?;
        Ok(last.number)
    }
}
