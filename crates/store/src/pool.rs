//! The pool of connections, and the errors of its queries.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use diesel::Connection as _;
use diesel::pg::PgConnection;
use diesel::r2d2::{Pool, PoolError, PooledConnection};
use diesel::result::{Error as DieselError, QueryResult};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_postgres::with_defaults;
use sigpersist_runtime::blocking::Task;
use sigpersist_runtime::metrics;
use sigpersist_runtime::seal::SealKey;
use tracing::debug_span;

use super::batches::Batches;
use super::changes::Change;
use super::connection::{LogConnectionErrors, Manager, Session};
use super::failure::{is_connection_lost, query_error};
use super::kept::Forgotten;
use super::signature_create::{Fate, FirstVersion};
use super::watchdog::{Watchdog, Watched};
use crate::config::DatabaseConfig;

/// The time that an answer may be on its way, beyond the statement's own timeout.
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// Batches of one tenant's first versions use at most a quarter of the connections, or two if that is more.
const PARTS: usize = 4;

/// The cause of the error for a query of work that was already given up.
const GIVEN_UP: &str = "it did not answer in time earlier";

/// The database, as a pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool<Manager>,
    watchdog: Arc<Watchdog<PooledConnection<Manager>>>,
    /// The most time that the answer to a statement may take; none for no limit.
    patience: Option<Duration>,
    /// First versions that wait to be saved together.
    pub(super) firsts: Arc<Batches<FirstVersion, Fate>>,
    /// The key that seals events of the audit trail; none without a master key.
    pub(super) seal_key: Option<Arc<SealKey>>,
    /// Whether what happens is added to the queue of the log.
    pub(super) logs: bool,
    /// The database for libpq, for connections beside the pool.
    pub(super) url: Arc<str>,
    /// Whether a pooler between server and database was seen to lose session settings. Then queries are refused until
    /// it was seen to keep them.
    pub(super) forgets: Arc<AtomicBool>,
    /// Hears of every change, of this store's own at once.
    listener: Listener,
}

/// Hears of changes.
#[derive(Clone)]
struct Listener(Arc<dyn Fn(Change) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Store {
    /// Makes a store on this database. This does not fail, since connections are made only when they are needed.
    pub fn new(url: &str, config: &DatabaseConfig) -> Self {
        let manager = Manager {
            url: with_defaults(url),
            statement_timeout_ms: config.statement_timeout_ms,
        };
        let pool = Pool::builder()
            .max_size(config.pool_size)
            // A pool of one belongs to a command, which may end before its first query. If a connection were being
            // made at that moment, libpq would report the end of the database on the command's standard error.
            .min_idle(Some(config.pool_size.saturating_sub(1).min(2)))
            .connection_timeout(Duration::from_millis(config.pool_timeout_ms))
            // The test may take as long as a query, so `lease` makes it under the watchdog.
            .test_on_check_out(false)
            .error_handler(Box::new(LogConnectionErrors))
            .build_unchecked(manager);
        let limit = Duration::from_millis(config.statement_timeout_ms);
        let pool_size = config.pool_size as usize;
        Self {
            pool,
            watchdog: Watchdog::start(config.pool_size),
            // 0 means no limit in Postgres.
            patience: (!limit.is_zero()).then(|| limit + ANSWER_GRACE),
            firsts: Batches::new(
                (pool_size / PARTS).max(2).min(pool_size),
                Duration::from_millis(config.pool_timeout_ms),
            ),
            seal_key: None,
            logs: false,
            url: url.into(),
            forgets: Arc::default(),
            listener: Listener(Arc::new(|_| ())),
        }
    }

    /// Sets the listener. It hears of a change that this store makes before the method that makes it returns, and of
    /// changes by others while [`Changes`](super::Changes) listen.
    #[must_use]
    pub fn telling(self, listener: impl Fn(Change) + Send + Sync + 'static) -> Self {
        Self {
            listener: Listener(Arc::new(listener)),
            ..self
        }
    }

    /// Tells the listener of changes, without keeping the pool.
    pub(super) fn teller(&self) -> impl Fn(Change) + Send + 'static {
        let listener = self.listener.clone();
        move |change| (listener.0)(change)
    }

    /// Sets whether what happens is added to the queue of the log.
    #[must_use]
    pub fn logging(self, logs: bool) -> Self {
        Self { logs, ..self }
    }

    /// Sets the key that seals each event which this store adds to the audit trail.
    #[must_use]
    pub fn sealing(self, key: Option<SealKey>) -> Self {
        Self {
            seal_key: key.map(Arc::new),
            ..self
        }
    }

    /// Runs queries for a tenant, or for [`PLATFORM`], on a connection of the pool.
    ///
    /// Row-level security shows them that tenant's rows only, whatever they select.
    pub(super) fn run<T>(
        &self,
        tenant: TenantId,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        self.run_within(self.patience, tenant, queries)
    }

    /// Like [`Self::run`], but the watchdog never gives up on these queries.
    pub(super) fn run_patiently<T>(
        &self,
        tenant: TenantId,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        self.run_within(None, tenant, queries)
    }

    fn run_within<T>(
        &self,
        patience: Option<Duration>,
        tenant: TenantId,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        let _span = debug_span!("database").entered();
        if self.forgets.load(Ordering::Relaxed) {
            metrics::query_failed("unavailable");
            return Err(Error::DatabaseUnavailable(Forgotten.into()));
        }
        let since = Instant::now();
        let lease = self.lease(patience);
        metrics::connected(since.elapsed());
        let mut lease = lease.map_err(|error| {
            metrics::query_failed("unavailable");
            Error::DatabaseUnavailable(error.into())
        })?;
        if Task::is_given_up() {
            lease.end();
            return Err(Error::DatabaseUnavailable(GIVEN_UP.into()));
        }
        let result = lease
            .session
            .act_for(tenant)
            .and_then(|()| queries(&mut lease.session.connection));
        lease.session.broken = result.as_ref().is_err_and(is_connection_lost);
        lease.end();
        result.map_err(|error| {
            let error = query_error(error);
            match &error {
                Error::DatabaseUnavailable(_) => metrics::query_failed("unavailable"),
                Error::Internal(_) => metrics::query_failed("internal"),
                _ => {}
            }
            error
        })
    }

    /// Waits for a working connection.
    fn lease(&self, patience: Option<Duration>) -> Result<Lease, PoolError> {
        let deadline = Instant::now() + self.pool.connection_timeout();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut place = self.pool.get_timeout(left)?;
            let Some(session) = place.take() else {
                continue;
            };
            let mut lease = Lease {
                watched: self.watchdog.begin(place, &session.pulse, patience),
                session,
            };
            if lease.session.works() {
                return Ok(lease);
            }
            // The lease is dropped, and the pool makes another connection in its place.
        }
    }

    /// Like [`Self::run`], as one transaction.
    pub(super) fn transaction<T>(
        &self,
        tenant: TenantId,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        self.run(tenant, |connection| {
            connection.transaction(|connection| {
                let done = queries(connection)?;
                // The caller was already told that it failed.
                if Task::is_given_up() {
                    return Err(DieselError::RollbackTransaction);
                }
                Ok(done)
            })
        })
    }

    /// Like [`Self::transaction`], and tells the listener of the change. It does so after a failure too, since the
    /// answer to a commit may be all that was lost.
    pub(super) fn changing<T>(
        &self,
        change: Change,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        let tenant = match change {
            Change::Hooks(tenant) | Change::Policy(tenant) => tenant,
            Change::Keys(_) | Change::Logged(_) | Change::Everything => PLATFORM,
        };
        let result = self.transaction(tenant, queries);
        self.tell(change);
        result
    }

    /// Tells the listener of a change.
    pub(super) fn tell(&self, change: Change) {
        (self.listener.0)(change);
    }

    /// The number of idle connections, and of connections in use.
    pub fn connections(&self) -> (u32, u32) {
        let state = self.pool.state();
        let idle = state.idle_connections;
        (idle, state.connections.saturating_sub(idle))
    }
}

/// A connection in use. If it is dropped without [`Self::end`], it is closed.
struct Lease {
    session: Session,
    watched: Watched<PooledConnection<Manager>>,
}

impl Lease {
    /// Returns the connection to its place, unless the place was given to another connection meanwhile.
    fn end(mut self) {
        if let Some(mut place) = self.watched.end() {
            self.session.used_at = Instant::now();
            *place = Some(self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use diesel::connection::SimpleConnection as _;
    use diesel::dsl::sql;
    use diesel::sql_types::Text;
    use diesel::{ExpressionMethods as _, QueryDsl as _, RunQueryDsl as _};

    use super::super::schema::tenants;
    use super::*;
    use sigpersist_model::context::PLATFORM;
    use sigpersist_postgres::embedded::{Embedded, Purpose};
    use sigpersist_postgres::role::SERVER_ROLE;

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

    /// The rows that a tenant sees when it selects all.
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

    /// The value of a setting in the database, whatever libpq was told.
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
    fn a_session_that_a_pooler_gave_away_is_of_no_use() {
        let (_folder, _postgres, store) = pool_of_one();
        // As another session would do that gets the same connection meanwhile.
        let taken = |connection: &mut PgConnection| {
            connection
                .batch_execute("SET sigpersist.session = 'of another'; SET sigpersist.tenant = '2'")
        };
        store.run(TenantId(1), taken).unwrap();
        let seen = store.run(TenantId(2), |_| Ok(()));
        let Err(Error::DatabaseUnavailable(cause)) = seen else {
            panic!("{seen:?}");
        };
        assert!(cause.to_string().contains("pool_mode"), "{cause}");
        store.run(TenantId(2), |_| Ok(())).unwrap();
        // A connection that was idle for long is tested before it is used again, and replaced.
        store.run(TenantId(1), taken).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
        store
            .run(TenantId(1), |connection| {
                connection.batch_execute("SELECT 1 / (current_tenant() = 1)::integer")
            })
            .unwrap();
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
