//! The schema's migrations, embedded in the binary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, anyhow, bail};
use diesel::connection::{InstrumentationEvent, SimpleConnection as _};
use diesel::dsl::sql;
use diesel::migration::MigrationSource;
use diesel::pg::{Pg, PgConnection};
use diesel::sql_types::{Array, Bool, Integer, Text};
use diesel::{Connection as _, QueryDsl as _, QueryResult, QueryableByName, RunQueryDsl as _};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use sigpersist_postgres::role::{self, SERVER_ROLE};
use tracing::warn;

use super::failure::is_lock_timeout;
use super::kept;
use super::schema;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// The key of the advisory lock under which replicas migrate one after another: "sigpersi" in ASCII, read as a
/// number.
const LOCK_KEY: i64 = 0x7369_6770_6572_7369;

/// The oldest supported version of Postgres.
const OLDEST_VERSION: i32 = 140_000;
/// The most time that a migration waits for a lock on a table. Requests that come meanwhile wait behind it.
const LOCK_TIMEOUT: &str = "2s";
const UNREADABLE: &str = "The database's migrations can't be read";

/// A failure that may not occur again later.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The database can't be reached.
    #[error("The database can't be reached; check DATABASE_URL and that Postgres is running")]
    Unreachable,
    /// The database takes no writes.
    #[error(
        "The database takes no writes: it is a standby, or was made read-only. Name all hosts in DATABASE_URL, as in \
         postgres://HOST1,HOST2/NAME, so that the primary is found"
    )]
    ReadOnly,
    /// A table that a migration changes is in use.
    #[error(
        "A migration waited too long for a table that is in use, for example by an export or pg_dump; it changed nothing. Try again"
    )]
    Locked,
}

/// Brings the schema up to date and returns the names of the migrations that ran.
///
/// Many processes may call this at once: one works, and the others wait and find nothing left to do. A login that
/// does not own the tables changes nothing: either nothing is left to do, or it is refused.
///
/// # Errors
///
/// If the database can't be reached or written to, is older than Postgres 14, has a schema newer than this program,
/// or has tables that Sigpersist did not make.
pub fn migrate(url: &str) -> anyhow::Result<Vec<String>> {
    let mut connection = open(url)?;
    if is_others(&mut connection).context(UNREADABLE)? {
        return check(&mut connection).map(|()| Vec::new());
    }
    lock(&mut connection).context("The lock for migrations can't be taken")?;
    let applied = applied(&mut connection).context(UNREADABLE)?;
    refuse_unknown_schema(&applied)?;
    if applied.is_empty() {
        refuse_tables_of_others(&mut connection)?;
    }
    role::make(&mut connection, None)?;
    // Diesel's error of a migration does not show the error of its query.
    let is_locked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_locked);
    connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::FinishQuery {
            error: Some(error), ..
        } = event
        {
            seen.store(is_lock_timeout(error), Ordering::Relaxed);
        }
    });
    let run = connection
        .run_pending_migrations(MIGRATIONS)
        .map_err(|error| {
            let error = anyhow!(error);
            if is_locked.load(Ordering::Relaxed) {
                error.context(Unavailable::Locked)
            } else {
                error.context("A migration failed; it changed nothing")
            }
        })?;
    let run = run.iter().map(ToString::to_string).collect();
    let_server_read(&mut connection).context(UNREADABLE)?;
    refuse_incomplete_schema(&mut connection)?;
    // The connection is closed here, which releases the lock.
    Ok(run)
}

/// Takes the lock for migrations. Logs a warning if another process holds it.
fn lock(connection: &mut PgConnection) -> QueryResult<()> {
    let is_free: bool = diesel::select(sql::<Bool>(&format!("pg_try_advisory_lock({LOCK_KEY})")))
        .get_result(connection)?;
    if !is_free {
        warn!("Waiting for another process that migrates the database");
        connection.batch_execute(&format!("SELECT pg_advisory_lock({LOCK_KEY})"))?;
    }
    connection.batch_execute(&format!("SET lock_timeout = '{LOCK_TIMEOUT}'"))
}

/// Checks that the schema is the one of this program, without changing it.
///
/// # Errors
///
/// As [`migrate`], and if migrations are pending.
pub fn check_schema(url: &str) -> anyhow::Result<()> {
    check(&mut open(url)?)
}

/// Like [`check_schema`], on a connection. It works under the server's role from then on: a login may have no other
/// right.
fn check(connection: &mut PgConnection) -> anyhow::Result<()> {
    role::take(connection)?;
    let applied = applied(connection).context(UNREADABLE)?;
    refuse_unknown_schema(&applied)?;
    if known()?.iter().any(|version| !applied.contains(version)) {
        bail!(
            "The database's schema is older than this program. Run `sigpersist migrate` as the owner of its tables, or start the server as the owner without --no-migrate."
        );
    }
    refuse_incomplete_schema(connection)
}

/// Whether the schema belongs to a role whose rights the login lacks.
fn is_others(connection: &mut PgConnection) -> QueryResult<bool> {
    diesel::select(sql::<Bool>(
        "EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('__diesel_schema_migrations') AND NOT pg_has_role(relowner, 'USAGE'))",
    ))
    .get_result(connection)
}

/// Lets the server's role read which migrations ran. The table is Diesel's, so no migration can grant this.
fn let_server_read(connection: &mut PgConnection) -> QueryResult<()> {
    let may: bool = diesel::select(sql::<Bool>(&format!(
        "has_table_privilege('{SERVER_ROLE}', '__diesel_schema_migrations', 'SELECT')"
    )))
    .get_result(connection)?;
    if !may {
        connection.batch_execute(&format!(
            "GRANT SELECT ON __diesel_schema_migrations TO {SERVER_ROLE}"
        ))?;
    }
    Ok(())
}

/// Whether this program can work with the schema: all of its migrations ran. More may have run, since a newer program
/// runs beside this one during an upgrade.
pub(super) fn is_ours(connection: &mut PgConnection) -> anyhow::Result<bool> {
    let applied = applied(connection)?;
    Ok(known()?.iter().all(|version| applied.contains(version)))
}

fn applied(connection: &mut PgConnection) -> QueryResult<Vec<String>> {
    // Diesel's own query creates its table first, which a check must not do. If the server may not read the table,
    // `sigpersist migrate` of this release never ran.
    let readable: bool = diesel::select(sql::<Bool>(
        "coalesce(has_table_privilege(to_regclass('__diesel_schema_migrations')::oid, 'SELECT'), false)",
    ))
    .get_result(connection)?;
    if !readable {
        return Ok(Vec::new());
    }
    diesel::select(sql::<Array<Text>>(
        "ARRAY (SELECT version::text FROM __diesel_schema_migrations)",
    ))
    .get_result(connection)
}

fn open(url: &str) -> anyhow::Result<PgConnection> {
    let mut connection = sigpersist_postgres::connect(url).map_err(|error| {
        // libpq's message names the host, the reason, and whether TLS was asked for but not available.
        let words = error.to_string();
        let unavailable = if words.contains("session is read-only") {
            Unavailable::ReadOnly
        } else {
            Unavailable::Unreachable
        };
        anyhow!(words).context(unavailable)
    })?;
    kept::mark(&mut connection, url)?;
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

/// The versions of the migrations in this program.
fn known() -> anyhow::Result<Vec<String>> {
    let migrations = MigrationSource::<Pg>::migrations(&MIGRATIONS)
        .map_err(|error| anyhow!(error).context("The program's own migrations can't be read"))?;
    Ok(migrations
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect())
}

fn refuse_unknown_schema(applied: &[String]) -> anyhow::Result<()> {
    let known = known()?;
    let Some(unknown) = applied.iter().find(|version| !known.contains(version)) else {
        return Ok(());
    };
    if !applied.iter().any(|version| known.contains(version)) {
        bail!(
            "The database has the migrations of another program. Give Sigpersist a database of its own."
        );
    }
    bail!(
        "The database's schema has the migration {unknown}, which this program does not know: the program is too old for this database."
    );
}

/// Checks that no table with one of our names exists if no migration ran: it would be somebody else's.
fn refuse_tables_of_others(connection: &mut PgConnection) -> anyhow::Result<()> {
    let names = TABLES.join(",");
    let found: Vec<String> = diesel::select(sql::<Array<Text>>(&format!(
        "ARRAY (SELECT name FROM unnest('{{{names}}}'::text[]) name WHERE to_regclass(name) IS NOT NULL)"
    )))
    .get_result(connection)
    .context(UNREADABLE)?;
    if let Some(table) = found.first() {
        bail!(
            "The database has a table `{table}` that Sigpersist did not create. Give Sigpersist a database of its own."
        );
    }
    Ok(())
}

/// Checks that the tables of the migrations exist, and that the server's role may read them. A copy of the database
/// that was made without the role has neither.
fn refuse_incomplete_schema(connection: &mut PgConnection) -> anyhow::Result<()> {
    connection
        .transaction(|connection| {
            connection.batch_execute(&format!("SET LOCAL ROLE {SERVER_ROLE}"))?;
            read_nothing(connection)
        })
        .context(
            "The database's schema differs from its migrations: tables, columns or grants are missing. Restore the whole database from a backup",
        )
}

macro_rules! tables {
    ($($table:ident),* $(,)?) => {
        const TABLES: &[&str] = &[$(stringify!($table)),*];

        /// Selects all columns of all tables, but no row.
        fn read_nothing(connection: &mut PgConnection) -> QueryResult<()> {
            $(schema::$table::table.limit(0).execute(connection)?;)*
            Ok(())
        }
    };
}

tables!(
    audit_events,
    audit_heads,
    audit_imported,
    audit_keys,
    audit_seals,
    change_counter,
    hook_bindings,
    hook_inputs,
    hook_judgements,
    hooks,
    issuers,
    keys,
    log_arrivals,
    log_checkpoints,
    log_cosignatures,
    log_entries,
    log_epochs,
    log_imported_keys,
    log_keys,
    log_nodes,
    log_queue,
    log_settings,
    log_witnesses,
    master_key,
    plugin_revisions,
    plugins,
    policies,
    signature_tags,
    signature_terms,
    signature_verdicts,
    signature_versions,
    signatures,
    tenant_usage,
    tenants,
    trust_anchors,
    webhook_attempts,
    webhook_pending,
    webhooks,
);

#[derive(QueryableByName)]
struct ServerVersion {
    #[diesel(sql_type = Integer)]
    number: i32,
    #[diesel(sql_type = Text)]
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_schema_is_looked_at() {
        let source = include_str!("schema.rs");
        let tables = source
            .lines()
            .filter_map(|line| line.strip_suffix(") {")?.trim().split_once(" ("));
        let tables: Vec<_> = tables.map(|(name, _)| name).collect();
        assert_eq!(tables, TABLES);
    }
}
