//! Facts about a database that must be the same before and after an upgrade.

use anyhow::{Context as _, ensure};
use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::sql_types::{Bool, Text};
use diesel::{QueryResult, RunQueryDsl as _};

use super::super::cluster::Cluster;
use crate::connection;

/// The compared tables, each with a query for the compared value. Hashes of rows are the same in each version of
/// Postgres, since hash partitions rely on them, and their sum does not depend on the order.
const COMPARED: [(&str, &str); 3] = [
    ("tenants", "(SELECT count(*)::text FROM tenants)"),
    ("signatures", "(SELECT count(*)::text FROM signatures)"),
    (
        "audit_events",
        "(SELECT count(*) || ':' || coalesce(sum(hashtextextended(event::text, 0)), 0) FROM audit_events event)",
    ),
];
const ABSENT: &str = "absent";

/// The compared values of a database: a text for each table.
#[derive(Debug, Default)]
pub(super) struct Facts([String; COMPARED.len()]);

impl Facts {
    /// Reads the values as a superuser, from whom row-level security hides nothing. The cluster must run.
    pub(super) fn read(cluster: &Cluster) -> anyhow::Result<Self> {
        let mut connection = connect(cluster)?;
        let mut facts = Self::default();
        for ((table, query), fact) in COMPARED.iter().zip(&mut facts.0) {
            *fact = read(&mut connection, table, query)
                .with_context(|| format!("The table {table} can't be read"))?;
        }
        Ok(facts)
    }

    /// Checks that a copy has the same values.
    pub(super) fn compare(&self, copy: &Self) -> anyhow::Result<()> {
        for (((table, _), before), after) in COMPARED.iter().zip(&self.0).zip(&copy.0) {
            ensure!(
                before == after,
                "The copy differs from the database: {table} had {before}, and has {after} in the copy."
            );
        }
        Ok(())
    }
}

/// Recreates the planner's statistics, which upgrades to versions before 18 do not copy.
pub(super) fn analyze(cluster: &Cluster) -> anyhow::Result<()> {
    connect(cluster)?
        .batch_execute("ANALYZE")
        .context("The statistics of the copy can't be collected")
}

fn connect(cluster: &Cluster) -> anyhow::Result<PgConnection> {
    let mut connection = connection::connect(&cluster.url_as("postgres", "sigpersist"))
        .context("The database can't be reached")?;
    // Times are converted to text under these settings.
    connection.batch_execute("SET timezone = 'UTC'; SET datestyle = 'ISO'")?;
    Ok(connection)
}

fn read(connection: &mut PgConnection, table: &str, query: &str) -> QueryResult<String> {
    let is_there = format!("to_regclass('{table}') IS NOT NULL");
    if !diesel::select(sql::<Bool>(&is_there)).get_result::<bool>(connection)? {
        return Ok(ABSENT.to_owned());
    }
    diesel::select(sql::<Text>(query)).get_result(connection)
}
