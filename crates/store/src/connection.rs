//! Connections of the pool: how they are made, and their state.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::r2d2::{HandleError, ManageConnection};
use diesel::result::{ConnectionError, Error as DieselError, QueryResult};
use sigpersist_model::context::TenantId;
use sigpersist_postgres::establish;
use sigpersist_postgres::role::SERVER_ROLE;
use tracing::debug;

use super::kept::Mark;
use super::watchdog::Pulse;

/// A connection that was idle for longer than this is tested before use. A busy connection is spared this round trip.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// The most time that connecting may take in all. If no host answers, libpq gives up earlier by itself.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// Settings of every session that serves requests, beside the role and the timeouts.
///
/// They leave Postgres only one plan for the queries of lists: it neither sorts rows that an index yields in order,
/// nor uses parallel workers, with which one tenant's requests would take a whole machine. A sort that can't be
/// avoided then has a prohibitive estimated cost. JIT compilation would seem worthwhile at this cost, but never is.
pub const SESSION_SETTINGS: &str = "SET timezone = 'UTC'; SET enable_sort = off; SET enable_incremental_sort = off; \
     SET max_parallel_workers_per_gather = 0; SET jit = off";

/// A connection and its state.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: SharedDebug<PgConnection>,
    pub(super) pulse: Arc<Pulse>,
    /// The tenant whose rows row-level security shows; none if it was never set, or setting it failed.
    tenant: Option<TenantId>,
    mark: Mark,
    /// Whether the mark was found in a later transaction.
    is_proven: bool,
    pub(super) used_at: Instant,
    pub(super) broken: bool,
}

impl Session {
    /// Sets the tenant for the queries that follow. This takes a round trip only if the tenant was another one
    /// before.
    pub(super) fn act_for(&mut self, tenant: TenantId) -> QueryResult<()> {
        if self.tenant != Some(tenant) {
            self.tenant = None;
            self.connection.batch_execute(&format!(
                "{}; SET sigpersist.tenant = '{tenant}'",
                self.mark.prove()
            ))?;
            self.tenant = Some(tenant);
        }
        Ok(())
    }

    /// Whether the connection works. The database is asked only if the connection is new or was idle for long.
    pub(super) fn works(&mut self) -> bool {
        if self.is_proven && self.used_at.elapsed() <= TRUSTED_FOR {
            return true;
        }
        let proven = self.connection.batch_execute(&self.mark.prove());
        if let Err(cause) = &proven {
            debug!(%cause, "A connection to the database can't be used");
        }
        self.is_proven = proven.is_ok();
        self.is_proven
    }
}

/// A place in the pool: a connection, or nothing while the connection is in use.
pub(super) type Place = Option<Session>;

/// Adds a `Debug` to `PgConnection`, which has none. It shows only the type.
pub(super) struct SharedDebug<T>(T);

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

#[derive(Debug, Clone)]
pub(super) struct Manager {
    pub(super) url: String,
    pub(super) statement_timeout_ms: u64,
}

impl Manager {
    fn open(&self) -> Result<Session, ConnectError> {
        let mut connection = establish(&self.url)?;
        let mark = Mark::new();
        connection.batch_execute(&format!(
            "SET ROLE {SERVER_ROLE}; SET statement_timeout = {0}; SET idle_in_transaction_session_timeout = {0}; \
             {SESSION_SETTINGS}; {1}",
            self.statement_timeout_ms,
            mark.set()
        ))?;
        let pulse = Arc::<Pulse>::default();
        connection.set_instrumentation(pulse.instrumentation());
        Ok(Session {
            connection: SharedDebug(connection),
            pulse,
            tenant: None,
            mark,
            is_proven: false,
            used_at: Instant::now(),
            broken: false,
        })
    }
}

impl ManageConnection for Manager {
    type Connection = Place;
    type Error = ConnectError;

    /// Opens a connection on a thread of its own, which may be left behind: the pool has few threads.
    fn connect(&self) -> Result<Place, ConnectError> {
        let (made, making) = mpsc::sync_channel(1);
        let manager = self.clone();
        std::thread::Builder::new()
            .name("connect".to_owned())
            // If nobody waits any more, the connection is closed again.
            .spawn(move || drop(made.send(manager.open())))?;
        let opened = making.recv_timeout(CONNECT_PATIENCE);
        opened.map_err(|_| ConnectError::Silent)?.map(Some)
    }

    fn is_valid(&self, _: &mut Place) -> Result<(), ConnectError> {
        // `Store::lease` tests connections.
        Ok(())
    }

    fn has_broken(&self, place: &mut Place) -> bool {
        place.as_ref().is_none_or(|session| session.broken)
    }
}

/// The reason why the pool could not make a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("The database refused a connection")]
    Refused(#[from] ConnectionError),
    #[error("A connection to the database was lost")]
    Lost(#[from] DieselError),
    #[error("The database does not complete a connection")]
    Silent,
    #[error("A thread for a new connection can't be started")]
    NoThread(#[from] std::io::Error),
}

#[derive(Debug)]
pub(super) struct LogConnectionErrors;

impl HandleError<ConnectError> for LogConnectionErrors {
    fn handle_error(&self, error: ConnectError) {
        debug!(cause = ?error, "The pool could not make a connection");
    }
}
