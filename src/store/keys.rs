//! Queries about the keys that verify tokens.

use diesel::prelude::*;

use super::pool::Store;
use super::schema::{platform_keys, tenant_keys, tenants};
use crate::auth::key::{KeyMaterial, StoredKey};
use crate::context::{PLATFORM, Tenancy, TenantId};
use crate::error::{Error, Result};

/// The tenant's id, slug and suspension, where the key is a tenant's; then the key.
type KeyRow = (
    Option<(i32, String, bool)>,
    String,
    String,
    Option<Vec<u8>>,
    Option<String>,
);

fn into_key((tenant, kid, algorithm, secret, public): KeyRow) -> Result<StoredKey> {
    let material = match (secret, public) {
        (Some(encrypted), None) => KeyMaterial::EncryptedSecret(encrypted),
        (None, Some(pem)) => KeyMaterial::PublicKey(pem),
        _ => {
            return Err(Error::internal(
                "a stored key has both a secret and a public key, or neither",
            ));
        }
    };
    Ok(StoredKey {
        tenant_suspended: tenant.as_ref().is_some_and(|(_, _, suspended)| *suspended),
        tenant: tenant.map(|(id, slug, _)| Tenancy {
            id: TenantId(id),
            slug: slug.into(),
        }),
        kid,
        algorithm: algorithm
            .parse()
            .map_err(|error: String| Error::internal(error))?,
        material,
    })
}

macro_rules! active_tenant_keys {
    () => {
        tenant_keys::table
            .inner_join(tenants::table)
            .filter(tenant_keys::revoked_at.is_null())
            .select((
                (
                    tenants::id,
                    tenants::slug,
                    tenants::suspended_at.is_not_null(),
                )
                    .nullable(),
                tenant_keys::kid,
                tenant_keys::algorithm,
                tenant_keys::encrypted_secret,
                tenant_keys::public_key,
            ))
    };
}

macro_rules! active_platform_keys {
    () => {
        platform_keys::table
            .filter(platform_keys::revoked_at.is_null())
            .select((
                platform_keys::kid,
                platform_keys::algorithm,
                platform_keys::encrypted_secret,
                platform_keys::public_key,
            ))
    };
}

type PlatformKeyRow = (String, String, Option<Vec<u8>>, Option<String>);

fn into_platform_key((kid, algorithm, secret, public): PlatformKeyRow) -> Result<StoredKey> {
    into_key((None, kid, algorithm, secret, public))
}

impl Store {
    /// Adds a key to a tenant, or to the platform.
    pub fn key_insert(&self, key: &StoredKey) -> Result<()> {
        let (secret, public) = match &key.material {
            KeyMaterial::EncryptedSecret(encrypted) => (Some(encrypted), None),
            KeyMaterial::PublicKey(pem) => (None, Some(pem)),
        };
        self.run(PLATFORM, |connection| match &key.tenant {
            Some(tenant) => diesel::insert_into(tenant_keys::table)
                .values((
                    tenant_keys::tenant_id.eq(tenant.id.0),
                    tenant_keys::kid.eq(&key.kid),
                    tenant_keys::algorithm.eq(key.algorithm.as_str()),
                    tenant_keys::encrypted_secret.eq(secret),
                    tenant_keys::public_key.eq(public),
                ))
                .execute(connection),
            None => diesel::insert_into(platform_keys::table)
                .values((
                    platform_keys::kid.eq(&key.kid),
                    platform_keys::algorithm.eq(key.algorithm.as_str()),
                    platform_keys::encrypted_secret.eq(secret),
                    platform_keys::public_key.eq(public),
                ))
                .execute(connection),
        })?;
        Ok(())
    }

    /// The active key of this name, whoever's: the key decides the tenant.
    pub fn key_get(&self, kid: &str) -> Result<Option<StoredKey>> {
        let row = self.run(PLATFORM, |connection| {
            active_tenant_keys!()
                .filter(tenant_keys::kid.eq(kid))
                .first::<KeyRow>(connection)
                .optional()
        })?;
        if let Some(row) = row {
            return into_key(row).map(Some);
        }
        let row = self.run(PLATFORM, |connection| {
            active_platform_keys!()
                .filter(platform_keys::kid.eq(kid))
                .first::<PlatformKeyRow>(connection)
                .optional()
        })?;
        row.map(into_platform_key).transpose()
    }

    /// The newest active shared secret of a tenant, or of the platform, which the server can sign tokens with.
    pub fn key_newest_secret(&self, tenant: Option<TenantId>) -> Result<Option<StoredKey>> {
        match tenant {
            Some(tenant) => {
                let row = self.run(PLATFORM, |connection| {
                    active_tenant_keys!()
                        .filter(tenant_keys::tenant_id.eq(tenant.0))
                        .filter(tenant_keys::encrypted_secret.is_not_null())
                        .order((tenant_keys::created_at.desc(), tenant_keys::kid))
                        .first::<KeyRow>(connection)
                        .optional()
                })?;
                row.map(into_key).transpose()
            }
            None => {
                let row = self.run(PLATFORM, |connection| {
                    active_platform_keys!()
                        .filter(platform_keys::encrypted_secret.is_not_null())
                        .order((platform_keys::created_at.desc(), platform_keys::kid))
                        .first::<PlatformKeyRow>(connection)
                        .optional()
                })?;
                row.map(into_platform_key).transpose()
            }
        }
    }
}
