//! Detects sessions whose settings are lost before their next transaction.
//!
//! This happens if a pooler gives the connection to another session in between (`pool_mode = transaction` of
//! `PgBouncer`): role, tenant and prepared statements are then another session's. Each session sets a mark of its
//! own, and checks it wherever that costs no extra round trip.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::result::Error as DieselError;
use sigpersist_runtime::readiness::FORGETS;

/// The number of checks for a mark: under load, the right connection may be returned by chance.
const LOOKS: usize = 4;

/// The session loses its settings. The message is for operators.
#[derive(Debug, thiserror::Error)]
#[error("{FORGETS}")]
pub(super) struct Forgotten;

/// The mark of one session, which is unique.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Servers on other machines may have the same process id.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(format!(
            "{}-{}-{}",
            std::process::id(),
            since.unwrap_or_default().as_nanos(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ))
    }

    /// The statement that sets the mark.
    pub(super) fn set(&self) -> String {
        format!("SET sigpersist.session = '{}'", self.0)
    }

    /// The statement that fails, as [`is_forgotten`] detects, if the mark is not set.
    ///
    /// The message of a failed cast quotes its text in every language, so no function of ours is needed to raise an
    /// error.
    pub(super) fn prove(&self) -> String {
        format!(
            "SELECT CASE WHEN mark <> '{0}' THEN ('{FORGOTTEN}' || mark)::integer END \
             FROM coalesce(current_setting('sigpersist.session', true), '') AS mark",
            self.0
        )
    }
}

const FORGOTTEN: &str = "sigpersist.session was forgotten: ";

/// Whether this error says that a [`Mark`] was lost.
pub(super) fn is_forgotten(error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(_, information) if information.message().contains(FORGOTTEN))
}

/// Marks a session, and proves that the mark stays while another session is in a transaction.
///
/// A pooler that shares connections gives the other session the marked connection. Under load it gives the marked
/// session any connection.
///
/// # Errors
///
/// [`Forgotten`], or any error of the database.
pub(super) fn mark(connection: &mut PgConnection, url: &str) -> anyhow::Result<Mark> {
    let mark = Mark::new();
    connection.batch_execute(&mark.set())?;
    let mut other = sigpersist_postgres::connect(url)?;
    other.batch_execute("BEGIN; SELECT 1")?;
    for _ in 0..LOOKS {
        look(connection, &mark)?;
    }
    Ok(mark)
}

/// Checks the mark again, and fails as [`mark`] does.
pub(super) fn look(connection: &mut PgConnection, mark: &Mark) -> anyhow::Result<()> {
    connection.batch_execute(&mark.prove()).map_err(|error| {
        if is_forgotten(&error) {
            Forgotten.into()
        } else {
            error.into()
        }
    })
}
