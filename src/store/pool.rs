//! The pool of connections, and what its errors mean.

use std::sync::Arc;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::r2d2::{ManageConnection, Pool};
use diesel::result::{ConnectionError, DatabaseErrorKind, Error as DieselError, QueryResult};
use diesel::{Connection as _, ConnectionResult};
use tracing::debug;

use super::role::SERVER_ROLE;
use super::url::with_defaults;
use crate::config::DatabaseConfig;
use crate::context::TenantId;
use crate::error::{Error, Noun, Result};
use crate::telemetry::metrics;

/// A connection that was idle for longer than this is tried before it is used: one round trip that a busy connection
/// is spared.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The database, as a pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool<Manager>,
    /// The database for libpq, for connections beside the pool.
    pub(super) url: Arc<str>,
}

impl Store {
    /// A store on this database. Connections are made when they are needed, so this does not fail.
    pub fn new(url: &str, config: &DatabaseConfig) -> Self {
        let manager = Manager {
            url: with_defaults(url),
            statement_timeout_ms: config.statement_timeout_ms,
        };
        let pool = Pool::builder()
            .max_size(config.pool_size)
            .min_idle(Some(config.pool_size.min(2)))
            .connection_timeout(Duration::from_millis(config.pool_timeout_ms))
            .error_handler(Box::new(LogConnectionErrors))
            .build_unchecked(manager);
        Self {
            pool,
            url: url.into(),
        }
    }

    /// Runs queries for a tenant, or for [`PLATFORM`](crate::context::PLATFORM), on a connection of the pool.
    ///
    /// The rows that they find are those that row-level security gives to that tenant, whatever they ask for.
    pub(super) fn run<T>(
        &self,
        tenant: TenantId,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        let since = Instant::now();
        let session = self.pool.get();
        metrics::connected(since.elapsed());
        let mut session = session.map_err(|error| {
            metrics::query_failed("unavailable");
            Error::DatabaseUnavailable(error.into())
        })?;
        let result = session
            .act_for(tenant)
            .and_then(|()| queries(&mut session.connection));
        session.used_at = Instant::now();
        result.map_err(|error| {
            session.broken = is_connection_lost(&error);
            let error = query_error(error);
            match &error {
                Error::DatabaseUnavailable(_) => metrics::query_failed("unavailable"),
                Error::Internal(_) => metrics::query_failed("internal"),
                _ => {}
            }
            error
        })
    }

    /// Connections that are idle, and that are used.
    pub fn connections(&self) -> (u32, u32) {
        let state = self.pool.state();
        let idle = state.idle_connections;
        (idle, state.connections.saturating_sub(idle))
    }

    /// Like [`Self::run`], as one transaction.
    pub(super) fn transaction<T>(
        &self,
        tenant: TenantId,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        self.run(tenant, |connection| connection.transaction(queries))
    }
}

/// Opens a connection outside the pool, for migrations and notifications.
pub(super) fn connect(url: &str) -> ConnectionResult<PgConnection> {
    PgConnection::establish(&with_defaults(url))
}

fn is_connection_lost(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, information) => {
            matches!(
                kind,
                DatabaseErrorKind::ClosedConnection
                    | DatabaseErrorKind::UnableToSendCommand
                    // It leads to what was the primary: a new one leads to what is.
                    | DatabaseErrorKind::ReadOnlyTransaction
            ) || is_shutdown_message(information.message())
        }
        DieselError::BrokenTransactionManager => true,
        _ => false,
    }
}

/// Diesel does not pass on SQLSTATE 57P01 to 57P03 (shutting down, crashed, starting up), only their words; and libpq's
/// own words for a lost connection arrive as an unknown kind of error.
fn is_shutdown_message(message: &str) -> bool {
    [
        "terminating connection",
        "the database system is",
        "server closed the connection",
        "no connection to the server",
        "could not receive data from server",
        "could not send data to server",
        "SSL connection has been closed",
        "SSL SYSCALL error",
    ]
    .iter()
    .any(|words| message.contains(words))
}

/// What a failed query means to the caller.
pub(super) fn query_error(error: DieselError) -> Error {
    let out_of_time = matches!(&error, DieselError::DatabaseError(_, information)
        if information.message().contains("statement timeout") || information.message().contains("lock timeout"));
    // What a hook is to run was deleted meanwhile.
    if let DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) = &error
        && matches!(
            information.constraint_name(),
            Some("hooks_shadow_fkey" | "hooks_plugin_id_sha256_fkey")
        )
    {
        return Error::NotFound(Noun::Revision);
    }
    // The tenant was removed meanwhile: it was suspended before.
    if let DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, information) = &error
        && information
            .constraint_name()
            .is_some_and(|name| name.ends_with("_tenant_id_fkey"))
    {
        return Error::TenantSuspended;
    }
    if out_of_time || is_connection_lost(&error) {
        Error::DatabaseUnavailable(error.into())
    } else {
        Error::internal(error)
    }
}

/// A pooled connection and what the pool must know of it.
#[derive(Debug)]
struct Session {
    connection: SharedDebug<PgConnection>,
    /// Whose rows row-level security lets it see; nobody knows after a failure to set it.
    tenant: Option<TenantId>,
    used_at: Instant,
    broken: bool,
}

impl Session {
    /// Tells Postgres whose rows the queries from now on are about: a round trip only where that was somebody else before.
    fn act_for(&mut self, tenant: TenantId) -> QueryResult<()> {
        if self.tenant != Some(tenant) {
            self.tenant = None;
            self.connection
                .batch_execute(&format!("SET sigpersist.tenant = '{tenant}'"))?;
            self.tenant = Some(tenant);
        }
        Ok(())
    }
}

/// `PgConnection` has no `Debug`; the pool asks for none of its content.
struct SharedDebug<T>(T);

impl<T> std::fmt::Debug for SharedDebug<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::any::type_name::<T>())
    }
}

impl<T> std::ops::Deref for SharedDebug<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> std::ops::DerefMut for SharedDebug<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[derive(Debug)]
struct Manager {
    url: String,
    statement_timeout_ms: u64,
}

impl ManageConnection for Manager {
    type Connection = Session;
    type Error = PoolError;

    fn connect(&self) -> Result<Session, PoolError> {
        let mut connection = PgConnection::establish(&self.url)?;
        connection.batch_execute(&format!(
            "SET ROLE {SERVER_ROLE}; SET statement_timeout = {0}; SET idle_in_transaction_session_timeout = {0}; \
             SET timezone = 'UTC'",
            self.statement_timeout_ms
        ))?;
        Ok(Session {
            connection: SharedDebug(connection),
            tenant: None,
            used_at: Instant::now(),
            broken: false,
        })
    }

    fn is_valid(&self, session: &mut Session) -> Result<(), PoolError> {
        if session.used_at.elapsed() > TRUSTED_FOR {
            session.connection.batch_execute("SELECT 1")?;
        }
        Ok(())
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.broken || std::thread::panicking()
    }
}

/// Why the pool could not make or keep a connection.
#[derive(Debug, thiserror::Error)]
enum PoolError {
    #[error("The database refused a connection")]
    Connect(#[from] ConnectionError),
    #[error("A connection to the database was lost")]
    Query(#[from] DieselError),
}

#[derive(Debug)]
struct LogConnectionErrors;

impl diesel::r2d2::HandleError<PoolError> for LogConnectionErrors {
    fn handle_error(&self, error: PoolError) {
        debug!(cause = ?error, "The pool lost or could not make a connection");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use diesel::dsl::sql;
    use diesel::sql_types::Text;
    use diesel::{ExpressionMethods as _, QueryDsl as _, RunQueryDsl as _};

    use super::super::embedded::{Embedded, Purpose};
    use super::super::schema::tenants;
    use super::*;
    use crate::context::PLATFORM;

    /// A pool of one connection, on a Postgres of its own with two tenants.
    fn pool_of_one() -> (tempfile::TempDir, Embedded, Store) {
        let folder = tempfile::tempdir().unwrap();
        let everybody = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), everybody).unwrap();
        let embedded = Embedded::open(&folder.path().join("data"), Purpose::Serve, &[]).unwrap();
        super::super::migrate(embedded.url()).unwrap();
        let config = DatabaseConfig {
            pool_size: 1,
            statement_timeout_ms: 200,
            ..DatabaseConfig::default()
        };
        let store = Store::new(embedded.url(), &config);
        for slug in ["one", "two"] {
            let row = (tenants::slug.eq(slug), tenants::name.eq(slug));
            let query = diesel::insert_into(tenants::table).values(row);
            store
                .run(PLATFORM, |connection| query.execute(connection))
                .unwrap();
        }
        (folder, embedded, store)
    }

    /// What a tenant sees that asks for everything.
    fn seen(store: &Store, tenant: TenantId) -> Vec<(i32, String)> {
        store
            .run(tenant, |connection| {
                tenants::table
                    .select((
                        tenants::id,
                        sql::<Text>("current_user || ' ' || current_tenant()"),
                    ))
                    .load(connection)
            })
            .unwrap()
    }

    #[test]
    fn a_pooled_connection_forgets_whom_it_acted_for_whatever_happens() {
        let (_folder, _postgres, store) = pool_of_one();
        let (one, two) = (TenantId(1), TenantId(2));
        let stumbles: [fn(&mut PgConnection) -> QueryResult<()>; 6] = [
            |_| Ok(()),
            |connection| connection.batch_execute("SELECT 1 / 0"),
            |connection| connection.batch_execute("SELECT pg_sleep(10)"),
            |connection| {
                connection
                    .transaction(|connection| connection.batch_execute("SELECT 1; SELECT 1 / 0"))
            },
            |_| panic!("in the middle"),
            |connection| {
                connection.transaction(|connection| {
                    connection.batch_execute("SELECT 1").unwrap();
                    panic!("in the middle of a transaction")
                })
            },
        ];
        for (number, stumble) in stumbles.into_iter().enumerate() {
            let stumbled = catch_unwind(AssertUnwindSafe(|| store.run(one, stumble)));
            assert_eq!(matches!(stumbled, Ok(Ok(()))), number == 0, "{number}");
            for tenant in [two, one, two] {
                let expected = [(tenant.0, format!("{SERVER_ROLE} {tenant}"))];
                assert_eq!(seen(&store, tenant), expected, "after {number}");
            }
        }
    }

    /// The database's own word, whatever libpq was told.
    fn setting(store: &Store, name: &str) -> String {
        let query = diesel::select(sql::<Text>(&format!("current_setting('{name}')")));
        store
            .run(PLATFORM, |connection| query.get_result(connection))
            .unwrap()
    }

    #[test]
    fn libpq_takes_the_users_own_values() {
        let (_folder, postgres, store) = pool_of_one();
        assert_eq!(setting(&store, "application_name"), "sigpersist");
        let host = postgres.url().split(['\'', ' ']).nth(1).unwrap();
        for url in [
            format!("{} application_name=mine", postgres.url()),
            format!("postgres://sigpersist@/sigpersist?host={host}&application_name=mine"),
        ] {
            let store = Store::new(&url, &DatabaseConfig::default());
            assert_eq!(setting(&store, "application_name"), "mine");
        }
    }

    #[test]
    fn a_connection_that_may_not_write_is_replaced() {
        let (_folder, _postgres, store) = pool_of_one();
        let write = "UPDATE change_counter SET changes = changes";
        let read_only = store.run(PLATFORM, |connection| {
            connection.batch_execute("SET default_transaction_read_only = on")?;
            connection.batch_execute(write)
        });
        assert!(matches!(read_only, Err(Error::DatabaseUnavailable(_))));
        store
            .run(PLATFORM, |connection| connection.batch_execute(write))
            .unwrap();
    }
}
