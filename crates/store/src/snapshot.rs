//! Snapshots of the database, for readers of more data than fits into memory.

use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::result::QueryResult;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;

use super::failure::query_error;
use super::pool::Store;

/// A consistent view of the database at one moment, however long it is read. Its queries are methods, as those of
/// [`Store`] are.
pub struct Snapshot<'a> {
    connection: &'a mut PgConnection,
    pub(super) tenant: TenantId,
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot for {}", self.tenant)
    }
}

impl Snapshot<'_> {
    pub(super) fn run<T>(
        &mut self,
        queries: impl FnOnce(&mut PgConnection) -> QueryResult<T>,
    ) -> Result<T> {
        queries(self.connection).map_err(query_error)
    }
}

impl Store {
    /// Reads one moment of the database for a tenant, or for [`PLATFORM`](sigpersist_model::context::PLATFORM). Holds a connection
    /// until it is done.
    pub fn snapshot<T>(
        &self,
        tenant: TenantId,
        read: impl FnOnce(&mut Snapshot<'_>) -> Result<T>,
    ) -> Result<T> {
        // The consumer of the data may be slow, and the first counts may take long.
        self.run_patiently(tenant, |connection| {
            let transaction = connection.build_transaction();
            transaction.repeatable_read().read_only().run(|connection| {
                connection.batch_execute(
                    "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0",
                )?;
                // An error of the reader does not fail the transaction, which changes nothing.
                Ok(read(&mut Snapshot { connection, tenant }))
            })
        })?
    }
}
