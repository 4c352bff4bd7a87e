//! Queries about the keys that verify tokens. Keys of tenants and of the platform are stored in two tables and read
//! as one.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Bool, Integer, Nullable, Text, Timestamptz};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, Tenancy, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::key::{KeyMaterial, MasterKeyId, StoredKey};

use super::changes::Change;
use super::pool::Store;
use super::schema::master_key;

/// All keys of all owners; the platform's keys have tenant 0. Conditions can use the indexes of both tables.
pub(super) const KEYS: &str = "(SELECT t.id AS tenant_id, t.slug, t.suspended_at IS NOT NULL AS tenant_suspended, \
         k.kid, k.algorithm, k.encrypted_secret, k.public_key, k.created_at, k.not_before, k.expires_at, k.revoked_at \
     FROM tenant_keys k JOIN tenants t ON t.id = k.tenant_id \
     UNION ALL \
     SELECT 0, NULL, false, kid, algorithm, encrypted_secret, public_key, created_at, not_before, expires_at, revoked_at \
     FROM platform_keys) AS keys";

/// The condition for an active key (`StoredKey::state`).
const ACTIVE: &str = "revoked_at IS NULL AND (not_before IS NULL OR not_before <= now()) AND (expires_at IS NULL OR expires_at > now())";

/// The advisory lock under which keys are added, so that a name is taken only once, in either table.
const ADDING: i64 = i64::from_be_bytes(*b"sigpkeys");
#[derive(QueryableByName)]
pub(super) struct KeyRow {
    #[diesel(sql_type = Integer)]
    tenant_id: i32,
    #[diesel(sql_type = Nullable<Text>)]
    slug: Option<String>,
    #[diesel(sql_type = Bool)]
    tenant_suspended: bool,
    #[diesel(sql_type = Text)]
    kid: String,
    #[diesel(sql_type = Text)]
    algorithm: String,
    #[diesel(sql_type = Nullable<Binary>)]
    encrypted_secret: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    public_key: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    not_before: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    expires_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    revoked_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    fn into_key(self) -> QueryResult<StoredKey> {
        let material = match (self.encrypted_secret, self.public_key) {
            (Some(encrypted), None) => KeyMaterial::EncryptedSecret(encrypted),
            (None, Some(pem)) => KeyMaterial::PublicKey(pem),
            (Some(encrypted_private), Some(public)) => KeyMaterial::KeyPair {
                public,
                encrypted_private,
            },
            (None, None) => {
                let what = "a stored key has neither a secret nor a public key";
                return Err(DieselError::DeserializationError(what.into()));
            }
        };
        let algorithm = self.algorithm.parse();
        let id = TenantId(self.tenant_id);
        Ok(StoredKey {
            tenant: self.slug.map(|slug| Tenancy {
                id,
                slug: slug.into(),
            }),
            tenant_suspended: self.tenant_suspended,
            kid: self.kid,
            algorithm: algorithm
                .map_err(|error: String| DieselError::DeserializationError(error.into()))?,
            material,
            created_at: self.created_at,
            not_before: self.not_before,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        })
    }
}

fn one(row: QueryResult<KeyRow>) -> QueryResult<Option<StoredKey>> {
    row.optional()?.map(KeyRow::into_key).transpose()
}

pub(super) fn all(rows: Vec<KeyRow>) -> QueryResult<Vec<StoredKey>> {
    rows.into_iter().map(KeyRow::into_key).collect()
}

/// The table of an owner's keys, and the condition that selects them, in which `$1` is the owner.
pub(super) fn table(owner: TenantId) -> (&'static str, &'static str) {
    if owner == PLATFORM {
        ("platform_keys", "$1 = 0")
    } else {
        ("tenant_keys", "tenant_id = $1")
    }
}

fn find(
    connection: &mut PgConnection,
    owner: TenantId,
    kid: &str,
) -> QueryResult<Option<StoredKey>> {
    one(sql_query(format!(
        "SELECT * FROM {KEYS} WHERE tenant_id = $1 AND kid = $2"
    ))
    .bind::<Integer, _>(owner.0)
    .bind::<Text, _>(kid)
    .get_result(connection))
}

fn find_anybodys(connection: &mut PgConnection, kid: &str) -> QueryResult<Option<StoredKey>> {
    one(sql_query(format!("SELECT * FROM {KEYS} WHERE kid = $1"))
        .bind::<Text, _>(kid)
        .get_result(connection))
}

/// Prevents others from adding a key, or changing the current master key, until the transaction ends.
pub(super) fn add_alone(connection: &mut PgConnection) -> QueryResult<()> {
    sql_query("SELECT pg_advisory_xact_lock($1)")
        .bind::<BigInt, _>(ADDING)
        .execute(connection)?;
    Ok(())
}

/// The current master key, under which secrets are encrypted; none if it was never rotated.
pub(super) fn current_master_key(
    connection: &mut PgConnection,
) -> QueryResult<Option<MasterKeyId>> {
    let current = master_key::table
        .select(master_key::current)
        .first::<Vec<u8>>(connection)
        .optional()?;
    let id = current.map(|name| name.as_slice().try_into().map(MasterKeyId));
    id.transpose().map_err(|_| {
        DieselError::DeserializationError("the name of a master key has 8 bytes".into())
    })
}

/// The result of adding a key.
#[derive(Debug)]
pub enum KeyInsertion {
    /// The key was added.
    Added(StoredKey),
    /// There is a key with this name, maybe of another owner.
    Taken(StoredKey),
    /// The owner has the most keys that it may have.
    TooMany,
}

impl Store {
    /// Adds a key, unless its name is taken or its owner has `most` that are not revoked.
    ///
    /// `seal` makes the key's material. It receives the current master key, if that was ever rotated; it can't change
    /// before the key is stored. `created_at` is the time of creation, if that is not now.
    pub fn key_insert(
        &self,
        mut key: StoredKey,
        created_at: Option<DateTime<Utc>>,
        most: i64,
        seal: impl FnOnce(Option<MasterKeyId>) -> Result<KeyMaterial>,
        event: impl FnOnce(&StoredKey) -> Event,
    ) -> Result<KeyInsertion> {
        let owner = key.owner();
        let (table, _) = table(owner);
        self.changing(Change::Keys(owner), |connection| {
            add_alone(connection)?;
            if let Some(taken) = find_anybodys(connection, &key.kid)? {
                return Ok(Ok(KeyInsertion::Taken(taken)));
            }
            let count = count(
                connection,
                &format!("{KEYS} WHERE tenant_id = $1 AND revoked_at IS NULL"),
                owner,
            )?;
            if count >= most {
                return Ok(Ok(KeyInsertion::TooMany));
            }
            key.material = match seal(current_master_key(connection)?) {
                Ok(material) => material,
                Err(error) => return Ok(Err(error)),
            };
            let (column, value) = match owner {
                PLATFORM => ("", ""),
                _ => ("tenant_id, ", "$1, "),
            };
            sql_query(format!(
                "INSERT INTO {table} ({column}kid, algorithm, encrypted_secret, public_key, not_before, expires_at, created_at) \
                 SELECT {value}$2, $3, $4, $5, $6, $7, coalesce($8, now()) WHERE $1 >= 0"
            ))
            .bind::<Integer, _>(owner.0)
            .bind::<Text, _>(&key.kid)
            .bind::<Text, _>(key.algorithm.as_str())
            .bind::<Nullable<Binary>, _>(key.encrypted())
            .bind::<Nullable<Text>, _>(key.public_key())
            .bind::<Nullable<Timestamptz>, _>(key.not_before)
            .bind::<Nullable<Timestamptz>, _>(key.expires_at)
            .bind::<Nullable<Timestamptz>, _>(created_at)
            .execute(connection)?;
            let key = find(connection, owner, &key.kid)?.ok_or(DieselError::NotFound)?;
            self.audit(connection, &event(&key))?;
            Ok(Ok(KeyInsertion::Added(key)))
        })?
    }

    /// The key with this name, of any owner: the key decides the tenant.
    pub fn key_get(&self, kid: &str) -> Result<Option<StoredKey>> {
        self.run(PLATFORM, |connection| find_anybodys(connection, kid))
    }

    /// An owner's key with this name.
    pub fn key_of(&self, owner: TenantId, kid: &str) -> Result<Option<StoredKey>> {
        self.run(PLATFORM, |connection| find(connection, owner, kid))
    }

    /// An owner's keys, newest first, after the key with this name.
    pub fn key_list(
        &self,
        owner: TenantId,
        after: Option<&str>,
        limit: i64,
    ) -> Result<Vec<StoredKey>> {
        self.run(PLATFORM, |connection| {
            // Keys are never deleted, so the last key of a page is always there.
            sql_query(format!(
                "SELECT * FROM {KEYS} WHERE tenant_id = $1 AND ($2 IS NULL OR (created_at, kid) < ( \
                     SELECT created_at, kid FROM {KEYS} WHERE tenant_id = $1 AND kid = $2)) \
                 ORDER BY created_at DESC, kid DESC LIMIT $3"
            ))
            .bind::<Integer, _>(owner.0)
            .bind::<Nullable<Text>, _>(after)
            .bind::<BigInt, _>(limit)
            .load(connection)
            .and_then(all)
        })
    }

    /// The newest active key of an owner with which the server can sign tokens.
    pub fn key_newest_signing(&self, owner: TenantId) -> Result<Option<StoredKey>> {
        self.run(PLATFORM, |connection| {
            one(sql_query(format!(
                "SELECT * FROM {KEYS} WHERE tenant_id = $1 AND encrypted_secret IS NOT NULL AND {ACTIVE} \
                 ORDER BY created_at DESC, kid DESC LIMIT 1"
            ))
            .bind::<Integer, _>(owner.0)
            .get_result(connection))
        })
    }

    /// An owner's key pairs whose private part the server has, and that are not revoked; none while the tenant is
    /// suspended.
    pub fn key_pairs(&self, owner: TenantId) -> Result<Vec<StoredKey>> {
        self.run(PLATFORM, |connection| {
            sql_query(format!(
                "SELECT * FROM {KEYS} WHERE tenant_id = $1 AND encrypted_secret IS NOT NULL AND public_key IS NOT NULL \
                 AND revoked_at IS NULL AND NOT tenant_suspended ORDER BY created_at DESC, kid DESC"
            ))
            .bind::<Integer, _>(owner.0)
            .load(connection)
            .and_then(all)
        })
    }

    /// Revokes an owner's key with this name. A key that was revoked before stays as it is.
    pub fn key_revoke(
        &self,
        owner: TenantId,
        kid: &str,
        event: impl FnOnce(&StoredKey) -> Event,
    ) -> Result<Option<StoredKey>> {
        let (table, theirs) = table(owner);
        self.changing(Change::Keys(owner), |connection| {
            let revoked = sql_query(format!(
                "UPDATE {table} SET revoked_at = now() WHERE {theirs} AND kid = $2 AND revoked_at IS NULL"
            ))
            .bind::<Integer, _>(owner.0)
            .bind::<Text, _>(kid)
            .execute(connection)?;
            let key = find(connection, owner, kid)?;
            if let Some(key) = key.as_ref().filter(|_| revoked > 0) {
                self.audit(connection, &event(key))?;
            }
            Ok(key)
        })
    }
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Counts an owner's rows.
fn count(connection: &mut PgConnection, rows: &str, owner: TenantId) -> QueryResult<i64> {
    let row: Count = sql_query(format!("SELECT count(*) AS count FROM {rows}"))
        .bind::<Integer, _>(owner.0)
        .get_result(connection)?;
    Ok(row.count)
}
