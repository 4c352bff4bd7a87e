//! The schema's migrations, embedded in the binary.

use anyhow::{Context as _, anyhow, bail};
use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::migration::MigrationSource;
use diesel::pg::{Pg, PgConnection};
use diesel::sql_types::{Array, Bool, Integer, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::role;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Key of the advisory lock that lets several replicas start at once: "sigpersi" in ASCII, read as a number.
const LOCK_KEY: i64 = 0x7369_6770_6572_7369;

/// Oldest Postgres that the queries are written for.
const OLDEST_VERSION: i32 = 140_000;
const UNREADABLE: &str = "The database's migrations can't be read";

/// There is no database to talk to; later there may be.
#[derive(Debug, thiserror::Error)]
#[error("The database can't be reached; check DATABASE_URL and that Postgres is running")]
pub struct Unreachable;

/// Brings the schema up to date and returns the names of the migrations that were run.
///
/// Safe to call from many processes at once: one works, the others wait and find nothing left to do.
///
/// # Errors
///
/// Where the database can't be reached, is older than Postgres 14, or has a schema newer than this program.
pub fn migrate(url: &str) -> anyhow::Result<Vec<String>> {
    let mut connection = open(url)?;
    connection
        .batch_execute(&format!("SELECT pg_advisory_lock({LOCK_KEY})"))
        .context("The lock for migrations can't be taken")?;
    let applied: Vec<_> = MigrationHarness::<Pg>::applied_migrations(&mut connection)
        .map_err(|error| anyhow!(error).context(UNREADABLE))?
        .iter()
        .map(ToString::to_string)
        .collect();
    refuse_newer_schema(&applied)?;
    role::make(&mut connection, None)?;
    let applied = connection
        .run_pending_migrations(MIGRATIONS)
        .map_err(|error| {
            anyhow!(error).context("A migration failed; the database is as it was before it")
        })?;
    // The lock goes with the connection, here.
    Ok(applied.iter().map(ToString::to_string).collect())
}

/// Makes sure that the schema is the one this program works with, without changing it.
///
/// # Errors
///
/// As [`migrate`], and where migrations are pending.
pub fn check_schema(url: &str) -> anyhow::Result<()> {
    let mut connection = open(url)?;
    let applied = applied(&mut connection).context(UNREADABLE)?;
    refuse_newer_schema(&applied)?;
    if known()?.iter().any(|version| !applied.contains(version)) {
        bail!(
            "The database's schema is older than this program. Run `sigpersist migrate`, or serve without --no-migrate."
        );
    }
    Ok(())
}

/// Whether the schema is one that this program works with: all of its migrations were run. Others may have been, by a newer
/// program that runs beside this one during an upgrade.
pub(super) fn is_ours(connection: &mut PgConnection) -> anyhow::Result<bool> {
    let applied = applied(connection)?;
    Ok(known()?.iter().all(|version| applied.contains(version)))
}

fn applied(connection: &mut PgConnection) -> QueryResult<Vec<String>> {
    // Diesel's own way of asking creates its table first, which a check must not.
    let exists: bool = diesel::select(sql::<Bool>(
        "to_regclass('__diesel_schema_migrations') IS NOT NULL",
    ))
    .get_result(connection)?;
    if !exists {
        return Ok(Vec::new());
    }
    diesel::select(sql::<Array<Text>>(
        "ARRAY (SELECT version::text FROM __diesel_schema_migrations)",
    ))
    .get_result(connection)
}

fn open(url: &str) -> anyhow::Result<PgConnection> {
    let mut connection = super::pool::connect(url).map_err(|error| {
        // libpq's words name the host, the reason, and whether TLS was asked for and could not be had.
        anyhow!("{error}").context(Unreachable)
    })?;
    let version = diesel::sql_query("SELECT current_setting('server_version_num')::integer AS number, current_setting('server_version') AS name")
        .get_result::<ServerVersion>(&mut connection)
        .context("The database does not tell its version")?;
    if version.number < OLDEST_VERSION {
        bail!(
            "The database is Postgres {}; Sigpersist needs 14 or later.",
            version.name
        );
    }
    Ok(connection)
}

/// Versions of the migrations in this program.
fn known() -> anyhow::Result<Vec<String>> {
    let migrations = MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .map_err(|error| anyhow!(error).context("The program's own migrations can't be read"))?;
    Ok(migrations
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect())
}

fn refuse_newer_schema(applied: &[String]) -> anyhow::Result<()> {
    let known = known()?;
    if let Some(unknown) = applied.iter().find(|version| !known.contains(version)) {
        bail!(
            "The database's schema has the migration {unknown}, which this program does not know: it is too old for this database."
        );
    }
    Ok(())
}

#[derive(QueryableByName)]
struct ServerVersion {
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = Text)]
    name: String,
}
