//! Queries about the keys that verify tokens, of tenants and of the platform.

use chrono::{DateTime, Utc};
use diesel::dsl::{auto_type, now, sql};
use diesel::expression::SqlLiteral;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Integer};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{Owner, PLATFORM, Tenancy, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::key::{KeyMaterial, MasterKeyId, StoredKey};

use super::changes::Change;
use super::pool::Store;
use super::schema::{keys, master_key, tenants};

/// The advisory lock under which keys are added, so that two of the same name do not meet, and the
/// master key does not change meanwhile.
const ADDING: i64 = i64::from_be_bytes(*b"sigpkeys");

/// A key with its tenant's slug, and whether the tenant is suspended; both are none for the platform.
#[derive(Queryable)]
pub(super) struct KeyRow {
    tenant_id: Option<i32>,
    slug: Option<String>,
    suspended: Option<bool>,
    kid: String,
    algorithm: String,
    encrypted_secret: Option<Vec<u8>>,
    public_key: Option<String>,
    created_at: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
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
        let tenancy = self.tenant_id.zip(self.slug).map(|(id, slug)| Tenancy {
            id: TenantId(id),
            slug: slug.into(),
        });
        Ok(StoredKey {
            owner: tenancy.into(),
            tenant_suspended: self.suspended.unwrap_or(false),
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

/// All keys of all owners, as [`KeyRow`]s.
#[auto_type(no_type_alias)]
pub(super) fn stored() -> _ {
    keys::table.left_join(tenants::table).select((
        keys::tenant_id,
        tenants::slug.nullable(),
        tenants::suspended_at.is_not_null().nullable(),
        keys::kid,
        keys::algorithm,
        keys::encrypted_secret,
        keys::public_key,
        keys::created_at,
        keys::not_before,
        keys::expires_at,
        keys::revoked_at,
    ))
}

/// The owner's id, 0 for the platform's. The index on owners is on this expression.
pub(super) fn owner() -> SqlLiteral<Integer> {
    sql("coalesce(keys.tenant_id, 0)")
}

fn find(connection: &mut PgConnection, of: TenantId, kid: &str) -> QueryResult<Option<StoredKey>> {
    let query = stored().filter(keys::kid.eq(kid)).filter(owner().eq(of.0));
    one(query.first(connection))
}

fn find_anybodys(connection: &mut PgConnection, kid: &str) -> QueryResult<Option<StoredKey>> {
    one(stored().filter(keys::kid.eq(kid)).first(connection))
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
        let of = key.owner.id();
        self.changing(Change::Keys(of), |connection| {
            add_alone(connection)?;
            if let Some(taken) = find_anybodys(connection, &key.kid)? {
                return Ok(Ok(KeyInsertion::Taken(taken)));
            }
            let count: i64 = keys::table
                .filter(owner().eq(of.0))
                .filter(keys::revoked_at.is_null())
                .count()
                .get_result(connection)?;
            if count >= most {
                return Ok(Ok(KeyInsertion::TooMany));
            }
            key.material = match seal(current_master_key(connection)?) {
                Ok(material) => material,
                Err(error) => return Ok(Err(error)),
            };
            diesel::insert_into(keys::table)
                .values((
                    keys::tenant_id.eq(key.owner.tenancy().map(|tenancy| tenancy.id.0)),
                    keys::kid.eq(&key.kid),
                    keys::algorithm.eq(key.algorithm.as_str()),
                    keys::encrypted_secret.eq(key.encrypted()),
                    keys::public_key.eq(key.public_key()),
                    keys::not_before.eq(key.not_before),
                    keys::expires_at.eq(key.expires_at),
                    created_at.map(|time| keys::created_at.eq(time)),
                ))
                .execute(connection)?;
            let key = find(connection, of, &key.kid)?.ok_or(DieselError::NotFound)?;
            self.audit(connection, &event(&key))?;
            Ok(Ok(KeyInsertion::Added(key)))
        })?
    }

    /// The key with this name, of any owner: the key decides the tenant.
    pub fn key_get(&self, kid: &str) -> Result<Option<StoredKey>> {
        self.run(PLATFORM, |connection| find_anybodys(connection, kid))
    }

    /// An owner's key with this name.
    pub fn key_of(&self, of: &Owner, kid: &str) -> Result<Option<StoredKey>> {
        self.run(PLATFORM, |connection| find(connection, of.id(), kid))
    }

    /// An owner's keys, newest first, after the key with this name.
    pub fn key_list(&self, of: &Owner, after: Option<&str>, limit: i64) -> Result<Vec<StoredKey>> {
        let query = stored()
            .filter(owner().eq(of.id().0))
            .order((keys::created_at.desc(), keys::kid.desc()))
            .limit(limit)
            .into_boxed();
        self.run(PLATFORM, |connection| {
            let Some(after) = after else {
                return query.load(connection).and_then(all);
            };
            // Keys are never deleted, so the last key of a page is always there.
            let Some(last) = find(connection, of.id(), after)? else {
                return Ok(Vec::new());
            };
            let earlier = keys::created_at.lt(last.created_at);
            let same_time = keys::created_at.eq(last.created_at);
            query
                .filter(earlier.or(same_time.and(keys::kid.lt(last.kid))))
                .load(connection)
                .and_then(all)
        })
    }

    /// The newest active key of an owner with which the server can sign tokens.
    pub fn key_newest_signing(&self, of: &Owner) -> Result<Option<StoredKey>> {
        // As in `StoredKey::state`.
        let has_begun = keys::not_before.is_null().or(keys::not_before.le(now));
        let has_not_ended = keys::expires_at.is_null().or(keys::expires_at.gt(now));
        let query = stored()
            .filter(owner().eq(of.id().0))
            .filter(keys::encrypted_secret.is_not_null())
            .filter(keys::revoked_at.is_null())
            .filter(has_begun)
            .filter(has_not_ended)
            .order((keys::created_at.desc(), keys::kid.desc()));
        self.run(PLATFORM, |connection| one(query.first(connection)))
    }

    /// An owner's key pairs whose private part the server has, and that are not revoked; none while the tenant is
    /// suspended. The owner is a tenant's id, or [`PLATFORM`].
    pub fn key_pairs(&self, of: TenantId) -> Result<Vec<StoredKey>> {
        let query = stored()
            .filter(owner().eq(of.0))
            .filter(keys::encrypted_secret.is_not_null())
            .filter(keys::public_key.is_not_null())
            .filter(keys::revoked_at.is_null())
            .filter(tenants::suspended_at.is_null())
            .order((keys::created_at.desc(), keys::kid.desc()));
        self.run(PLATFORM, |connection| query.load(connection).and_then(all))
    }

    /// Revokes an owner's key with this name. A key that was revoked before stays as it is.
    pub fn key_revoke(
        &self,
        of: &Owner,
        kid: &str,
        event: impl FnOnce(&StoredKey) -> Event,
    ) -> Result<Option<StoredKey>> {
        self.changing(Change::Keys(of.id()), |connection| {
            let revoked = diesel::update(keys::table)
                .filter(keys::kid.eq(kid))
                .filter(owner().eq(of.id().0))
                .filter(keys::revoked_at.is_null())
                .set(keys::revoked_at.eq(now))
                .execute(connection)?;
            let key = find(connection, of.id(), kid)?;
            if let Some(key) = key.as_ref().filter(|_| revoked > 0) {
                self.audit(connection, &event(key))?;
            }
            Ok(key)
        })
    }
}
