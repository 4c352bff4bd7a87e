//! Queries about plugins and their revisions.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde_json::{Value, json};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Digest, Plugin, Revision};
use sigpersist_model::publisher::{Publisher, key_id};

use super::pool::Store;
use super::schema::{hooks, plugin_revisions, plugins, tenants};
use super::signatures::sha256_from_column;

#[derive(Queryable)]
pub(super) struct RevisionRow {
    plugin_id: i32,
    pub(super) sha256: Vec<u8>,
    size: i64,
    exports: Vec<String>,
    imports: Vec<String>,
    description: String,
    cases: i64,
    uploaded_by: Option<String>,
    uploaded_at: DateTime<Utc>,
    origin: Option<String>,
    signature: Option<String>,
    signed_version: Option<String>,
    publisher_key: Option<String>,
}

/// The columns of a [`RevisionRow`]. The component itself is not read.
macro_rules! revision_columns {
    () => {
        (
            plugin_revisions::plugin_id,
            plugin_revisions::sha256,
            sql::<BigInt>("octet_length(plugin_revisions.component)::bigint"),
            plugin_revisions::exports,
            plugin_revisions::imports,
            plugin_revisions::description,
            sql::<BigInt>("jsonb_array_length(plugin_revisions.cases)::bigint"),
            plugin_revisions::uploaded_by,
            plugin_revisions::uploaded_at,
            plugin_revisions::origin,
            plugin_revisions::signature,
            plugin_revisions::signed_version,
            plugin_revisions::publisher_key,
        )
    };
}
pub(super) use revision_columns;

pub(super) fn digest_from_column(bytes: Vec<u8>) -> Result<Digest> {
    sha256_from_column(bytes).map(Digest)
}

impl RevisionRow {
    /// The revision as the audit trail records it.
    pub(super) fn audited(&self) -> Value {
        let mut facts =
            json!({ "sha256": to_hex(&self.sha256), "size": self.size, "cases": self.cases });
        if let Some(origin) = &self.origin {
            facts["origin"] = json!(origin);
        }
        if let Some(signature) = &self.signature {
            facts["publisher"] = json!({
                "key_id": key_id(signature),
                "version": self.signed_version,
                "verified": self.publisher_key.is_some(),
            });
        }
        facts
    }

    /// The publisher's signature, if there is one.
    fn publisher(&self) -> Option<Publisher> {
        let signature = self.signature.clone()?;
        Some(Publisher {
            key_id: key_id(&signature)?,
            version: self.signed_version.as_ref()?.parse().ok()?,
            key: self.publisher_key.clone(),
            is_trusted: false,
            signature,
        })
    }

    pub(super) fn into_revision(self) -> Result<Revision> {
        let publisher = self.publisher();
        Ok(Revision {
            plugin_id: self.plugin_id,
            sha256: digest_from_column(self.sha256)?,
            size: u64::try_from(self.size).map_err(Error::internal)?,
            exports: self.exports,
            imports: self.imports,
            description: self.description,
            cases: self.cases,
            uploaded_by: self.uploaded_by,
            uploaded_at: self.uploaded_at,
            origin: self.origin,
            publisher,
        })
    }
}

/// The result of deleting a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginDeletion {
    /// The plugin was deleted with all its revisions.
    Done,
    /// There is no such plugin.
    NotFound,
    /// These hooks run the plugin, so it was not deleted.
    Bound(Vec<BoundBy>),
}

/// A hook that runs a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundBy {
    /// The hook's tenant.
    pub tenant: String,
    /// The hook.
    pub hook: String,
}

/// The tenant for which an owner's plugins are read and written.
pub(super) fn acting(owner: Option<TenantId>) -> TenantId {
    owner.unwrap_or(PLATFORM)
}

impl Store {
    /// An owner's plugins by name; for a tenant also the platform's plugins, which it may bind.
    pub fn plugin_list(&self, owner: Option<TenantId>) -> Result<Vec<Plugin>> {
        let rows = self.run(acting(owner), |connection| {
            plugin_revisions::table
                .inner_join(plugins::table)
                .filter(
                    plugins::tenant_id
                        .is_null()
                        .or(plugins::tenant_id.is_not_distinct_from(owner.map(|owner| owner.0))),
                )
                .distinct_on((plugins::name, plugins::id))
                .order((
                    plugins::name,
                    plugins::id,
                    plugin_revisions::uploaded_at.desc(),
                ))
                .select((
                    plugins::tenant_id,
                    plugins::name,
                    sql::<BigInt>(
                        "(SELECT count(*) FROM plugin_revisions r WHERE r.plugin_id = plugins.id)",
                    ),
                    revision_columns!(),
                ))
                .load::<(Option<i32>, String, i64, RevisionRow)>(connection)
        })?;
        rows.into_iter()
            .map(|(owner, name, revisions, newest)| {
                let newest = newest.into_revision()?;
                Ok(Plugin {
                    id: newest.plugin_id,
                    owner: owner.map(TenantId),
                    name,
                    revisions,
                    newest,
                })
            })
            .collect()
    }

    /// The number of the plugin with this name: the owner's own, otherwise the platform's.
    pub fn plugin_find(&self, owner: Option<TenantId>, name: &str) -> Result<Option<i32>> {
        self.run(acting(owner), |connection| {
            plugins::table
                .filter(plugins::name.eq(name))
                .filter(
                    plugins::tenant_id
                        .is_null()
                        .or(plugins::tenant_id.is_not_distinct_from(owner.map(|owner| owner.0))),
                )
                .order(plugins::tenant_id.asc().nulls_last())
                .select(plugins::id)
                .first(connection)
                .optional()
        })
    }

    /// A plugin's revisions, newest first.
    pub fn plugin_revisions(
        &self,
        owner: Option<TenantId>,
        plugin_id: i32,
    ) -> Result<Vec<Revision>> {
        let rows = self.run(acting(owner), |connection| {
            plugin_revisions::table
                .filter(plugin_revisions::plugin_id.eq(plugin_id))
                .order((
                    plugin_revisions::uploaded_at.desc(),
                    plugin_revisions::sha256,
                ))
                .select(revision_columns!())
                .load::<RevisionRow>(connection)
        })?;
        rows.into_iter().map(RevisionRow::into_revision).collect()
    }

    /// One revision of a plugin; the newest if `sha256` is none.
    pub fn plugin_revision(
        &self,
        owner: Option<TenantId>,
        plugin_id: i32,
        sha256: Option<Digest>,
    ) -> Result<Option<Revision>> {
        let row = self.run(acting(owner), |connection| match sha256 {
            None => newest(connection, plugin_id),
            Some(sha256) => plugin_revisions::table
                .find((plugin_id, &sha256.0[..]))
                .select(revision_columns!())
                .first::<RevisionRow>(connection)
                .optional(),
        })?;
        row.map(RevisionRow::into_revision).transpose()
    }

    /// The bytes of a revision, if it exists.
    pub fn plugin_component(
        &self,
        owner: Option<TenantId>,
        plugin_id: i32,
        sha256: Digest,
    ) -> Result<Option<Vec<u8>>> {
        self.run(acting(owner), |connection| {
            plugin_revisions::table
                .find((plugin_id, &sha256.0[..]))
                .select(plugin_revisions::component)
                .first(connection)
                .optional()
        })
    }

    /// Deletes an owner's plugin with all its revisions, unless a hook runs one of them. The event gets the
    /// revisions.
    pub fn plugin_delete(
        &self,
        owner: Option<TenantId>,
        name: &str,
        event: &Event,
    ) -> Result<PluginDeletion> {
        self.transaction(acting(owner), |connection| {
            let plugin_id = plugins::table
                .filter(plugins::tenant_id.is_not_distinct_from(owner.map(|owner| owner.0)))
                .filter(plugins::name.eq(name))
                .select(plugins::id)
                // Nobody can bind the plugin meanwhile: the foreign keys of a new hook would have to lock its
                // revision.
                .for_update()
                .first::<i32>(connection)
                .optional()?;
            let Some(plugin_id) = plugin_id else {
                return Ok(PluginDeletion::NotFound);
            };
            let revisions: Vec<Vec<u8>> = plugin_revisions::table
                .filter(plugin_revisions::plugin_id.eq(plugin_id))
                .order(plugin_revisions::sha256)
                .select(plugin_revisions::sha256)
                .for_update()
                .load(connection)?;
            let bound: Vec<(String, String)> = hooks::table
                .inner_join(tenants::table)
                .filter(hooks::plugin_id.eq(plugin_id))
                .order((tenants::slug, hooks::name))
                .select((tenants::slug, hooks::name))
                .load(connection)?;
            if !bound.is_empty() {
                let bound = bound.into_iter();
                return Ok(PluginDeletion::Bound(
                    bound
                        .map(|(tenant, hook)| BoundBy { tenant, hook })
                        .collect(),
                ));
            }
            diesel::delete(plugins::table.find(plugin_id)).execute(connection)?;
            let revisions: Vec<_> = revisions.iter().map(|sha256| to_hex(sha256)).collect();
            let event = event.clone().before(json!({ "revisions": revisions }));
            self.audit(connection, &event)?;
            Ok(PluginDeletion::Done)
        })
    }
}

pub(super) fn newest(
    connection: &mut PgConnection,
    plugin_id: i32,
) -> QueryResult<Option<RevisionRow>> {
    plugin_revisions::table
        .filter(plugin_revisions::plugin_id.eq(plugin_id))
        .order((
            plugin_revisions::uploaded_at.desc(),
            plugin_revisions::sha256,
        ))
        .select(revision_columns!())
        .first(connection)
        .optional()
}
