//! Queries about the keys that verify tokens.

use diesel::prelude::*;

use super::pool::Store;
use super::schema::{tenant_keys, tenants};
use crate::auth::key::{KeyMaterial, StoredKey};
use crate::context::TenantId;
use crate::error::{Error, Result};

type KeyRow = (
    i32,
    String,
    bool,
    String,
    String,
    Option<Vec<u8>>,
    Option<String>,
);

fn into_key(
    (tenant, slug, suspended, kid, algorithm, secret, public): KeyRow,
) -> Result<StoredKey> {
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
        tenant: TenantId(tenant),
        tenant_slug: slug,
        tenant_suspended: suspended,
        kid,
        algorithm: algorithm
            .parse()
            .map_err(|error: String| Error::internal(error))?,
        material,
    })
}

macro_rules! active_keys {
    () => {
        tenant_keys::table
            .inner_join(tenants::table)
            .filter(tenant_keys::revoked_at.is_null())
            .select((
                tenants::id,
                tenants::slug,
                tenants::suspended_at.is_not_null(),
                tenant_keys::kid,
                tenant_keys::algorithm,
                tenant_keys::encrypted_secret,
                tenant_keys::public_key,
            ))
    };
}

impl Store {
    /// Adds a key to a tenant.
    pub fn key_insert(&self, key: &StoredKey) -> Result<()> {
        let (secret, public) = match &key.material {
            KeyMaterial::EncryptedSecret(encrypted) => (Some(encrypted), None),
            KeyMaterial::PublicKey(pem) => (None, Some(pem)),
        };
        self.run(|connection| {
            diesel::insert_into(tenant_keys::table)
                .values((
                    tenant_keys::tenant_id.eq(key.tenant.0),
                    tenant_keys::kid.eq(&key.kid),
                    tenant_keys::algorithm.eq(key.algorithm.as_str()),
                    tenant_keys::encrypted_secret.eq(secret),
                    tenant_keys::public_key.eq(public),
                ))
                .execute(connection)
        })?;
        Ok(())
    }

    /// The active key of this name, whatever its tenant: the key decides the tenant.
    pub fn key_get(&self, kid: &str) -> Result<Option<StoredKey>> {
        let row = self.run(|connection| {
            active_keys!()
                .filter(tenant_keys::kid.eq(kid))
                .first::<KeyRow>(connection)
                .optional()
        })?;
        row.map(into_key).transpose()
    }

    /// The tenant's newest active shared secret, which the server can sign tokens with.
    pub fn key_newest_secret(&self, tenant: TenantId) -> Result<Option<StoredKey>> {
        let row = self.run(|connection| {
            active_keys!()
                .filter(tenant_keys::tenant_id.eq(tenant.0))
                .filter(tenant_keys::encrypted_secret.is_not_null())
                .order((tenant_keys::created_at.desc(), tenant_keys::kid))
                .first::<KeyRow>(connection)
                .optional()
        })?;
        row.map(into_key).transpose()
    }
}
