//! Queries about plugins and their revisions.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Timestamptz;

use super::pool::Store;
use super::schema::{plugin_revisions, plugins};
use crate::context::TenantId;
use crate::error::{Error, Result};
use crate::plugins::model::{Digest, Revision};

type RevisionRow = (
    i32,
    Vec<u8>,
    Vec<String>,
    Vec<String>,
    String,
    DateTime<Utc>,
);

pub(super) fn digest_from_column(bytes: Vec<u8>) -> Result<Digest> {
    let digest = bytes
        .try_into()
        .map_err(|_| Error::internal("a stored SHA-256 has not 32 bytes"))?;
    Ok(Digest(digest))
}

fn into_revision(
    (plugin_id, sha256, exports, imports, description, uploaded_at): RevisionRow,
) -> Result<Revision> {
    Ok(Revision {
        plugin_id,
        sha256: digest_from_column(sha256)?,
        exports,
        imports,
        description,
        uploaded_at,
    })
}

const REVISION_COLUMNS: (
    plugin_revisions::plugin_id,
    plugin_revisions::sha256,
    plugin_revisions::exports,
    plugin_revisions::imports,
    plugin_revisions::description,
    plugin_revisions::uploaded_at,
) = (
    plugin_revisions::plugin_id,
    plugin_revisions::sha256,
    plugin_revisions::exports,
    plugin_revisions::imports,
    plugin_revisions::description,
    plugin_revisions::uploaded_at,
);

impl Store {
    /// Stores a component as the newest revision of a plugin, which is made where it does not exist. Bytes that are
    /// there already become the newest again.
    pub fn plugin_upload(
        &self,
        owner: Option<TenantId>,
        name: &str,
        component: &[u8],
        revision: &NewRevision<'_>,
    ) -> Result<Revision> {
        let row: RevisionRow = self.transaction(|connection| {
            // The index is on an expression, which Diesel can't name as a conflict target.
            diesel::insert_into(plugins::table)
                .values((
                    plugins::tenant_id.eq(owner.map(|owner| owner.0)),
                    plugins::name.eq(name),
                ))
                .on_conflict_do_nothing()
                .execute(connection)?;
            let plugin_id = plugins::table
                .filter(plugins::tenant_id.is_not_distinct_from(owner.map(|owner| owner.0)))
                .filter(plugins::name.eq(name))
                .select(plugins::id)
                .first::<i32>(connection)?;
            diesel::insert_into(plugin_revisions::table)
                .values((
                    plugin_revisions::plugin_id.eq(plugin_id),
                    plugin_revisions::sha256.eq(&revision.sha256.0[..]),
                    plugin_revisions::component.eq(component),
                    plugin_revisions::exports.eq(revision.exports),
                    plugin_revisions::imports.eq(revision.imports),
                    plugin_revisions::description.eq(revision.description),
                ))
                .on_conflict((plugin_revisions::plugin_id, plugin_revisions::sha256))
                .do_update()
                .set(plugin_revisions::uploaded_at.eq(sql::<Timestamptz>("clock_timestamp()")))
                .returning(REVISION_COLUMNS)
                .get_result(connection)
        })?;
        into_revision(row)
    }

    /// The newest revision of the plugin of this name that the tenant may bind: its own before the platform's.
    pub fn plugin_newest(&self, tenant: TenantId, name: &str) -> Result<Option<Revision>> {
        let row = self.run(|connection| {
            plugin_revisions::table
                .inner_join(plugins::table)
                .filter(plugins::name.eq(name))
                .filter(
                    plugins::tenant_id
                        .eq(tenant.0)
                        .or(plugins::tenant_id.is_null()),
                )
                .order((
                    plugins::tenant_id.asc().nulls_last(),
                    plugin_revisions::uploaded_at.desc(),
                ))
                .select(REVISION_COLUMNS)
                .first::<RevisionRow>(connection)
                .optional()
        })?;
        row.map(into_revision).transpose()
    }

    /// The bytes of a revision.
    pub fn plugin_component(&self, plugin_id: i32, sha256: Digest) -> Result<Vec<u8>> {
        self.run(|connection| {
            plugin_revisions::table
                .find((plugin_id, &sha256.0[..]))
                .select(plugin_revisions::component)
                .first(connection)
        })
    }
}

/// What is stored of a component beside its bytes.
#[derive(Debug)]
pub struct NewRevision<'a> {
    /// Its digest.
    pub sha256: Digest,
    /// Interfaces of the contract that it exports.
    pub exports: &'a [String],
    /// Interfaces of the contract that it imports.
    pub imports: &'a [String],
    /// What it says of itself.
    pub description: &'a str,
}
