//! Queries about secrets that are encrypted under the master key, for its rotation.

use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool};
use sigpersist_model::audit::Event;
use sigpersist_model::context::PLATFORM;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::{MasterKeyId, StoredKey};
use sigpersist_postgres::connect;
use sigpersist_runtime::seal::StoredSealKey;

use super::audit::seal_keys;
use super::failure::query_error;
use super::keys::{add_alone, all, current_master_key, stored};
use super::pool::Store;
use super::schema::{keys, master_key};

/// The advisory lock of a rotation of the master key.
const ROTATING: i64 = i64::from_be_bytes(*b"sigprota");

/// A rotation in progress: a connection of its own, which holds the lock.
pub struct Rotation(PgConnection);

impl Drop for Rotation {
    /// Releases the lock. Postgres itself would do so only when it notices that the connection was closed, which may
    /// be after the next rotation asks for the lock.
    fn drop(&mut self) {
        let unlock = format!("SELECT pg_advisory_unlock({ROTATING})");
        // If the connection is lost, so is the lock.
        drop(self.0.batch_execute(&unlock));
    }
}

impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rotation")
    }
}

/// A stored secret and its replacement.
#[derive(Debug)]
pub struct Reencrypted {
    /// The key that it belongs to.
    pub key: StoredKey,
    /// The secret, encrypted under another master key.
    pub encrypted: Vec<u8>,
}

/// All secrets, in a transaction during which nobody else adds a secret or changes the current master key.
pub struct Secrets<'a> {
    store: &'a Store,
    pub(super) connection: &'a mut PgConnection,
}

impl std::fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets<'_> {
    /// The current master key; none if it was never rotated.
    pub fn current_master_key(&mut self) -> Result<Option<MasterKeyId>> {
        current_master_key(self.connection).map_err(query_error)
    }

    /// Keys that have a secret, after the key with this name.
    pub fn page(&mut self, after: &str, limit: i64) -> Result<Vec<StoredKey>> {
        stored()
            .filter(keys::encrypted_secret.is_not_null())
            .filter(keys::kid.gt(after))
            .order(keys::kid)
            .limit(limit)
            .load(self.connection)
            .and_then(all)
            .map_err(query_error)
    }

    /// The keys that seal the audit trail, in the order of their numbers.
    pub fn seal_keys(&mut self) -> Result<Vec<StoredSealKey>> {
        seal_keys(self.connection).map_err(query_error)
    }

    /// Makes this the current master key, from the end of the transaction on.
    pub fn set_master_key(&mut self, current: MasterKeyId, event: &Event) -> Result<()> {
        diesel::insert_into(master_key::table)
            .values(master_key::current.eq(current.0.as_slice()))
            .on_conflict(master_key::id)
            .do_update()
            .set(master_key::current.eq(current.0.as_slice()))
            .execute(self.connection)
            .and_then(|_| self.store.audit(self.connection, event))
            .map_err(query_error)
    }
}

impl Store {
    /// The number of stored secrets, and how many of them are under this master key.
    pub fn secret_count(&self, under: MasterKeyId) -> Result<(u64, u64)> {
        self.run(PLATFORM, |connection| {
            let row: Counts = sql_query(
                "SELECT count(*) AS secrets, count(*) FILTER (WHERE substr(encrypted_secret, 1, 9) = $1) AS under \
                 FROM keys WHERE encrypted_secret IS NOT NULL",
            )
            .bind::<Binary, _>(under.prefix())
            .get_result(connection)?;
            Ok((row.secrets.unsigned_abs(), row.under.unsigned_abs()))
        })
    }

    /// Works on all secrets while nobody else adds one or changes the current master key. If `work` fails, nothing is
    /// changed.
    pub fn secrets<T>(
        &self,
        work: impl FnOnce(&mut Secrets<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut failure = None;
        let done = self.transaction(PLATFORM, |connection| {
            add_alone(connection)?;
            let mut secrets = Secrets {
                store: self,
                connection,
            };
            work(&mut secrets).map_err(|error| {
                failure = Some(error);
                DieselError::RollbackTransaction
            })
        });
        match failure {
            Some(failure) => Err(failure),
            None => Ok(done?),
        }
    }

    /// Prevents others from rotating the master key until the result is dropped; none if somebody else is rotating
    /// it.
    pub fn rotation_begin(&self) -> Result<Option<Rotation>> {
        let mut connection =
            connect(&self.url).map_err(|error| Error::DatabaseUnavailable(error.into()))?;
        let lock = sql::<Bool>(&format!("pg_try_advisory_lock({ROTATING})"));
        let taken: bool = diesel::select(lock)
            .get_result(&mut connection)
            .map_err(query_error)?;
        Ok(taken.then_some(Rotation(connection)))
    }

    /// Keys whose secrets are not under this master key, after the key with this name.
    pub fn secrets_not_under(
        &self,
        current: MasterKeyId,
        after: &str,
        limit: i64,
    ) -> Result<Vec<StoredKey>> {
        let differs = sql::<Bool>("substr(encrypted_secret, 1, 9) <> ");
        let query = stored()
            .filter(keys::encrypted_secret.is_not_null())
            .filter(differs.bind::<Binary, _>(current.prefix()))
            .filter(keys::kid.gt(after))
            .order(keys::kid)
            .limit(limit);
        self.run(PLATFORM, |connection| query.load(connection).and_then(all))
    }

    /// Stores secrets that were encrypted again, each unless the stored one changed since it was read.
    pub fn secrets_reencrypt(&self, secrets: &[Reencrypted]) -> Result<()> {
        self.transaction(PLATFORM, |connection| {
            for secret in secrets {
                diesel::update(keys::table)
                    .filter(keys::kid.eq(&secret.key.kid))
                    .filter(keys::encrypted_secret.eq(secret.key.encrypted()))
                    .set(keys::encrypted_secret.eq(&secret.encrypted))
                    .execute(connection)?;
            }
            Ok(())
        })
    }
}

#[derive(QueryableByName)]
struct Counts {
    #[diesel(sql_type = BigInt)]
    secrets: i64,
    #[diesel(sql_type = BigInt)]
    under: i64,
}
