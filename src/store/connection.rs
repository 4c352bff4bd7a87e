//! Connections: how they are made, and what must be known of each.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::r2d2::{HandleError, ManageConnection};
use diesel::result::{ConnectionError, Error as DieselError, QueryResult};
use diesel::{Connection as _, ConnectionResult};
use sigpersist_model::context::TenantId;
use tracing::debug;

use super::kept::Mark;
use super::role::SERVER_ROLE;
use super::url::{with_defaults, without_password};
use super::watchdog::Pulse;

/// A connection that was idle for longer than this is tried before it is used: one round trip that a busy connection
/// is spared.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long connecting may take in all. Where nobody is there, libpq gives up earlier by itself.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// Settings of every session that serves requests, beside the role and the limits of time.
///
/// The queries of lists leave Postgres one plan where it neither sorts what an index yields in order nor shares the work out to
/// other processes, of which one tenant's requests would take a whole machine's. A sort that it can't do without has a
/// forbidding cost then, for which compiling the plan would seem worth the while, and never is.
pub const SESSION_SETTINGS: &str = "SET timezone = 'UTC'; SET enable_sort = off; SET enable_incremental_sort = off; \
     SET max_parallel_workers_per_gather = 0; SET jit = off";

/// Opens a connection outside the pool, for migrations and notifications.
pub(super) fn connect(url: &str) -> ConnectionResult<PgConnection> {
    establish(&with_defaults(url))
}

/// Connects to what the URL says, defaults and all.
fn establish(url: &str) -> ConnectionResult<PgConnection> {
    PgConnection::establish(url).map_err(|error| match error {
        ConnectionError::BadConnection(message) => {
            ConnectionError::BadConnection(without_password(&message, url))
        }
        error => error,
    })
}

/// A connection and what must be known of it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: SharedDebug<PgConnection>,
    pub(super) pulse: Arc<Pulse>,
    /// Whose rows row-level security lets it see; nobody knows after a failure to set it.
    tenant: Option<TenantId>,
    mark: Mark,
    /// Whether the mark was looked for in a later transaction.
    is_proven: bool,
    pub(super) used_at: Instant,
    pub(super) broken: bool,
}

impl Session {
    /// Tells Postgres whose rows the queries from now on are about: a round trip only where that was somebody else before.
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

    /// Whether it works, which is asked only where it is new or was idle for long.
    pub(super) fn works(&mut self) -> bool {
        if self.is_proven && self.used_at.elapsed() <= TRUSTED_FOR {
            return true;
        }
        let proven = self.connection.batch_execute(&self.mark.prove());
        if let Err(cause) = &proven {
            debug!(%cause, "A connection to the database is of no use");
        }
        self.is_proven = proven.is_ok();
        self.is_proven
    }
}

/// What the pool counts: a connection, or while that is in use, the place that it comes back to.
pub(super) type Place = Option<Session>;

/// `PgConnection` has no `Debug`; the pool asks for none of its content.
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

    /// Opens a connection on a thread that may be left behind: the pool has few.
    fn connect(&self) -> Result<Place, ConnectError> {
        let (made, making) = mpsc::sync_channel(1);
        let manager = self.clone();
        std::thread::Builder::new()
            .name("connect".to_owned())
            // Where nobody waits any more, it is closed again.
            .spawn(move || drop(made.send(manager.open())))?;
        let opened = making.recv_timeout(CONNECT_PATIENCE);
        opened.map_err(|_| ConnectError::Silent)?.map(Some)
    }

    fn is_valid(&self, _: &mut Place) -> Result<(), ConnectError> {
        // `Store::lease` asks.
        Ok(())
    }

    fn has_broken(&self, place: &mut Place) -> bool {
        place.as_ref().is_none_or(|session| session.broken)
    }
}

/// Why the pool could not make a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("The database refused a connection")]
    Refused(#[from] ConnectionError),
    #[error("A connection to the database was lost")]
    Lost(#[from] DieselError),
    #[error("The database does not finish making a connection")]
    Silent,
    #[error("There is no thread to make a connection")]
    NoThread(#[from] std::io::Error),
}

#[derive(Debug)]
pub(super) struct LogConnectionErrors;

impl HandleError<ConnectError> for LogConnectionErrors {
    fn handle_error(&self, error: ConnectError) {
        debug!(cause = ?error, "The pool could not make a connection");
    }
}
