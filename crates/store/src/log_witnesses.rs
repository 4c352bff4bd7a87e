//! Queries about the witnesses of logs, for those who manage them.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Timestamptz};
use sigpersist_model::audit::Event;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_model::witness::{LastSigned, Witness};

use super::log_sequence::broken;
use super::pool::Store;

/// The advisory lock of who adds a witness, so that they are counted rightly.
const LOCK: i64 = i64::from_be_bytes(*b"sigwitns");

#[derive(QueryableByName)]
pub(super) struct WitnessRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Text)]
    url: String,
    #[diesel(sql_type = Text)]
    key: String,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Timestamptz)]
    since: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Text>)]
    why: Option<String>,
    #[diesel(sql_type = Integer)]
    failures: i32,
    #[diesel(sql_type = Nullable<SmallInt>)]
    epoch: Option<i16>,
    #[diesel(sql_type = Nullable<BigInt>)]
    size: Option<i64>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    signed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    behind: i64,
}

impl WitnessRow {
    pub(super) fn into_witness(self) -> QueryResult<Witness> {
        let signed = match (self.epoch, self.size, self.signed_at) {
            (Some(epoch), Some(size), Some(at)) => Some(LastSigned { epoch, size, at }),
            _ => None,
        };
        Ok(Witness {
            tenant: TenantId(self.tenant_id),
            name: self.name,
            created_at: self.created_at,
            url: self.url,
            key: self.key,
            state: self
                .state
                .parse()
                .map_err(|_| broken("a witness has an unknown state"))?,
            since: self.since,
            why: self.why,
            failures: self.failures.unsigned_abs(),
            signed,
            behind: self.behind,
        })
    }
}

/// A statement that selects witnesses.
macro_rules! select_witnesses {
    ($rest:literal) => {
        concat!(
            "SELECT w.tenant_id, w.name, w.created_at, w.url, w.key, w.state, w.since, w.why, w.failures, w.epoch, w.size, \
                    w.signed_at, \
                    coalesce((SELECT e.size - CASE WHEN e.epoch = w.epoch THEN w.size ELSE 0 END FROM log_epochs e \
                              WHERE e.tenant_id = w.tenant_id AND e.closed_at IS NULL), 0) AS behind \
             FROM log_witnesses w ",
            $rest
        )
    };
}

pub(super) use select_witnesses;

/// A witness that is to be stored.
#[derive(Debug)]
pub struct NewWitness<'a> {
    /// The name of its key.
    pub name: &'a str,
    /// Its submission prefix.
    pub url: &'a str,
    /// Its public key.
    pub key: &'a str,
}

impl Store {
    /// Adds a witness, if `check` allows it beside those that are there already. Returns none if it does not.
    pub fn witness_insert(
        &self,
        tenant: TenantId,
        new: &NewWitness<'_>,
        check: impl FnOnce(&[Witness]) -> Result<bool>,
        event: &Event,
    ) -> Result<Option<Witness>> {
        self.transaction(tenant, |connection| {
            sql_query("SELECT pg_advisory_xact_lock($1)")
                .bind::<BigInt, _>(LOCK)
                .execute(connection)?;
            match check(&list(connection, tenant)?) {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(None)),
                Err(error) => return Ok(Err(error)),
            }
            sql_query(
                "INSERT INTO log_witnesses (tenant_id, name, url, key) VALUES ($1, $2, $3, $4)",
            )
            .bind::<Integer, _>(tenant.0)
            .bind::<Text, _>(new.name)
            .bind::<Text, _>(new.url)
            .bind::<Text, _>(new.key)
            .execute(connection)?;
            self.audit(connection, event)?;
            get(connection, tenant, new.name).map(Ok)
        })?
    }

    /// The witnesses of a log, by name.
    pub fn witness_list(&self, tenant: TenantId) -> Result<Vec<Witness>> {
        self.run(tenant, |connection| list(connection, tenant))
    }

    /// Removes a witness with its signatures. Returns whether there was one.
    pub fn witness_delete(
        &self,
        tenant: TenantId,
        name: &str,
        event: impl FnOnce(&Witness) -> Event,
    ) -> Result<bool> {
        self.transaction(tenant, |connection| {
            let Some(before) = get(connection, tenant, name)? else {
                return Ok(false);
            };
            sql_query("DELETE FROM log_witnesses WHERE tenant_id = $1 AND name = $2")
                .bind::<Integer, _>(tenant.0)
                .bind::<Text, _>(name)
                .execute(connection)?;
            self.audit(connection, &event(&before))?;
            Ok(true)
        })
    }
}

fn list(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<Vec<Witness>> {
    let rows: Vec<WitnessRow> =
        sql_query(select_witnesses!("WHERE w.tenant_id = $1 ORDER BY w.name"))
            .bind::<Integer, _>(tenant.0)
            .load(connection)?;
    rows.into_iter().map(WitnessRow::into_witness).collect()
}

fn get(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> QueryResult<Option<Witness>> {
    let row: Option<WitnessRow> =
        sql_query(select_witnesses!("WHERE w.tenant_id = $1 AND w.name = $2"))
            .bind::<Integer, _>(tenant.0)
            .bind::<Text, _>(name)
            .get_result(connection)
            .optional()?;
    row.map(WitnessRow::into_witness).transpose()
}
