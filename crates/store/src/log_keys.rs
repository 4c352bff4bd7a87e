//! The keys that sign checkpoints.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use sigpersist_model::audit::Event;
use sigpersist_model::context::PLATFORM;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::key::MasterKeyId;
use sigpersist_model::log::StoredLogKey;

use super::keys::{add_alone, current_master_key};
use super::log_sequence::broken;
use super::pool::Store;
use super::schema::log_keys;

/// A new key, to be stored.
#[derive(Debug)]
pub struct NewLogKey {
    /// The public key (RFC 8032).
    pub public_key: [u8; 32],
    /// The secret key, encrypted under the master key.
    pub encrypted_secret: Vec<u8>,
}

type KeyRow = (i32, DateTime<Utc>, Option<DateTime<Utc>>, Vec<u8>, Vec<u8>);

impl Store {
    /// The keys that sign or signed checkpoints, in the order in which they were made.
    pub fn log_keys(&self) -> Result<Vec<StoredLogKey>> {
        self.run(PLATFORM, log_keys)
    }

    /// Adds a key. The one before it, `last`, signs beside it until then. Returns none if somebody else added one
    /// meanwhile.
    ///
    /// `make` makes the key; if the master key was ever rotated, it receives the id of the one that encrypts.
    pub fn log_key_insert(
        &self,
        last: Option<i32>,
        until: DateTime<Utc>,
        make: impl FnOnce(Option<MasterKeyId>) -> Result<NewLogKey>,
        event: impl FnOnce(i32) -> Event,
    ) -> Result<Option<StoredLogKey>> {
        self.transaction(PLATFORM, |connection| {
            add_alone(connection)?;
            let keys = log_keys(connection)?;
            if keys.last().map(|key| key.id) != last {
                return Ok(Ok(None));
            }
            let made = match make(current_master_key(connection)?) {
                Ok(made) => made,
                Err(error) => return Ok(Err(error)),
            };
            diesel::update(log_keys::table.filter(log_keys::not_after.is_null()))
                .set(log_keys::not_after.eq(until))
                .execute(connection)?;
            let id: i32 = diesel::insert_into(log_keys::table)
                .values((
                    log_keys::public_key.eq(&made.public_key[..]),
                    log_keys::encrypted_secret.eq(&made.encrypted_secret),
                ))
                .returning(log_keys::id)
                .get_result(connection)?;
            self.audit(connection, &event(id))?;
            let made = log_keys(connection)?.pop();
            Ok(made
                .map(Some)
                .ok_or_else(|| Error::internal("the new key of the log is not there")))
        })?
    }

    /// Stores a key that was encrypted again, unless the stored one changed since it was read.
    pub fn log_key_reencrypt(&self, before: &StoredLogKey, encrypted_secret: &[u8]) -> Result<()> {
        self.run(PLATFORM, |connection| {
            diesel::update(log_keys::table.find(before.id))
                .filter(log_keys::encrypted_secret.eq(&before.encrypted_secret))
                .set(log_keys::encrypted_secret.eq(encrypted_secret))
                .execute(connection)
        })?;
        Ok(())
    }
}

pub(super) fn log_keys(connection: &mut PgConnection) -> QueryResult<Vec<StoredLogKey>> {
    let rows: Vec<KeyRow> = log_keys::table
        .order(log_keys::id)
        .select((
            log_keys::id,
            log_keys::created_at,
            log_keys::not_after,
            log_keys::public_key,
            log_keys::encrypted_secret,
        ))
        .load(connection)?;
    let keys = rows.into_iter().map(
        |(id, created_at, not_after, public_key, encrypted_secret)| {
            Ok(StoredLogKey {
                id,
                created_at,
                not_after,
                public_key: public_key
                    .try_into()
                    .map_err(|_| broken("a public key of the log has another length"))?,
                encrypted_secret,
            })
        },
    );
    keys.collect()
}
