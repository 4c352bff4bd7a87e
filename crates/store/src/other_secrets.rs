//! Secrets other than those of keys for tokens, for the rotation of the master key: those of the logs' keys and of webhooks.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Binary, Text};
use sigpersist_model::context::PLATFORM;
use sigpersist_model::error::Result;
use sigpersist_model::key::MasterKeyId;

use super::failure::query_error;
use super::pool::Store;
use super::secrets::Secrets;

/// A stored secret that belongs to no key for tokens.
#[derive(Debug, QueryableByName)]
pub struct OtherSecret {
    /// What it belongs to, for people.
    #[diesel(sql_type = Text)]
    pub name: String,
    /// What it is bound to.
    #[diesel(sql_type = Text)]
    pub binding: String,
    /// The secret, encrypted under the master key.
    #[diesel(sql_type = Binary)]
    pub encrypted: Vec<u8>,
}

impl OtherSecret {
    /// Whether it is encrypted under this master key.
    pub fn is_under(&self, master_key: MasterKeyId) -> bool {
        self.encrypted.starts_with(&master_key.prefix())
    }
}

/// Those that are still needed.
fn all(connection: &mut PgConnection) -> QueryResult<Vec<OtherSecret>> {
    sql_query(
        "SELECT 'key ' || id || ' of the logs' AS name, 'log' AS binding, encrypted_secret AS encrypted FROM log_keys \
         WHERE not_after IS NULL OR not_after > now() \
         UNION ALL SELECT 'webhook ' || id, 'webhook of ' || tenant_id, encrypted_secret FROM webhooks \
         UNION ALL SELECT 'webhook ' || id, 'webhook of ' || tenant_id, encrypted_old_secret FROM webhooks \
         WHERE old_secret_until > now()",
    )
    .load(connection)
}

impl Secrets<'_> {
    /// Secrets that belong to no key for tokens.
    pub fn others(&mut self) -> Result<Vec<OtherSecret>> {
        all(self.connection).map_err(query_error)
    }
}

impl Store {
    /// Secrets that belong to no key for tokens.
    pub fn other_secrets(&self) -> Result<Vec<OtherSecret>> {
        self.run(PLATFORM, all)
    }

    /// Stores a secret that was encrypted again, unless the stored one changed since it was read.
    pub fn other_secret_reencrypt(&self, before: &OtherSecret, after: &[u8]) -> Result<()> {
        self.transaction(PLATFORM, |connection| {
            // Encrypted texts are random, so they are different everywhere.
            for update in [
                "UPDATE log_keys SET encrypted_secret = $2 WHERE encrypted_secret = $1",
                "UPDATE webhooks SET encrypted_secret = $2 WHERE encrypted_secret = $1",
                "UPDATE webhooks SET encrypted_old_secret = $2 WHERE encrypted_old_secret = $1",
            ] {
                sql_query(update)
                    .bind::<Binary, _>(&before.encrypted)
                    .bind::<Binary, _>(after)
                    .execute(connection)?;
            }
            Ok(())
        })
    }
}
