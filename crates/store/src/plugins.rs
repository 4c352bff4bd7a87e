//! Queries about plugins and their revisions.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Timestamptz};
use serde_json::{Value, json};
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Digest, Plugin, Revision};

use super::pool::Store;
use super::schema::{hooks, plugin_revisions, plugins, tenants};
use super::signatures::sha256_from_column;

#[derive(Queryable)]
struct RevisionRow {
    plugin_id: i32,
    sha256: Vec<u8>,
    size: i64,
    exports: Vec<String>,
    imports: Vec<String>,
    description: String,
    cases: i64,
    uploaded_by: Option<String>,
    uploaded_at: DateTime<Utc>,
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
        )
    };
}

pub(super) fn digest_from_column(bytes: Vec<u8>) -> Result<Digest> {
    sha256_from_column(bytes).map(Digest)
}

impl RevisionRow {
    /// The revision as the audit trail records it.
    fn audited(&self) -> Value {
        json!({ "sha256": to_hex(&self.sha256), "size": self.size, "cases": self.cases })
    }

    fn into_revision(self) -> Result<Revision> {
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
        })
    }
}

/// A component that is to be stored.
#[derive(Debug)]
pub struct NewRevision<'a> {
    /// Its digest.
    pub sha256: Digest,
    /// Its bytes.
    pub component: &'a [u8],
    /// Interfaces of the contract that it exports.
    pub exports: &'a [String],
    /// Interfaces of the contract that it imports.
    pub imports: &'a [String],
    /// Its own description.
    pub description: &'a str,
    /// Test cases that it passed.
    pub cases: Value,
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
fn acting(owner: Option<TenantId>) -> TenantId {
    owner.unwrap_or(PLATFORM)
}

impl Store {
    /// Stores a component as the newest revision of a plugin, and returns whether anything changed.
    ///
    /// The plugin is made if it does not exist. Bytes that are stored already become the newest revision again. The
    /// event gets the newest revisions before and after the upload.
    pub fn plugin_upload(
        &self,
        owner: Option<TenantId>,
        name: &str,
        revision: &NewRevision<'_>,
        event: &Event,
    ) -> Result<(Revision, bool)> {
        let (row, changed) = self.transaction(acting(owner), |connection| {
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
                .for_no_key_update()
                .first::<i32>(connection)?;
            let newest = newest(connection, plugin_id)?;
            let before = newest.as_ref().map_or(Value::Null, RevisionRow::audited);
            let has_cases = revision
                .cases
                .as_array()
                .is_some_and(|cases| !cases.is_empty());
            let stored = plugin_revisions::table
                .filter(plugin_revisions::plugin_id.eq(plugin_id))
                .filter(plugin_revisions::sha256.eq(&revision.sha256.0[..]))
                .select(plugin_revisions::cases)
                .first::<Value>(connection)
                .optional()?;
            // An upload without cases keeps the stored ones.
            let cases = stored
                .clone()
                .filter(|_| !has_cases)
                .unwrap_or_else(|| revision.cases.clone());
            if let Some(newest) = newest.filter(|row| row.sha256 == revision.sha256.0)
                && stored.as_ref() == Some(&cases)
            {
                return Ok((newest, false));
            }
            let row: RevisionRow = diesel::insert_into(plugin_revisions::table)
                .values((
                    plugin_revisions::plugin_id.eq(plugin_id),
                    plugin_revisions::sha256.eq(&revision.sha256.0[..]),
                    plugin_revisions::component.eq(revision.component),
                    plugin_revisions::exports.eq(revision.exports),
                    plugin_revisions::imports.eq(revision.imports),
                    plugin_revisions::description.eq(revision.description),
                    plugin_revisions::cases.eq(&cases),
                    plugin_revisions::uploaded_by.eq(&event.actor.subject),
                ))
                .on_conflict((plugin_revisions::plugin_id, plugin_revisions::sha256))
                .do_update()
                .set((
                    plugin_revisions::cases.eq(&cases),
                    plugin_revisions::uploaded_by.eq(&event.actor.subject),
                    plugin_revisions::uploaded_at.eq(sql::<Timestamptz>("clock_timestamp()")),
                ))
                .returning(revision_columns!())
                .get_result(connection)?;
            let event = event.clone().before(before).after(row.audited());
            self.audit(connection, &event)?;
            Ok((row, true))
        })?;
        Ok((row.into_revision()?, changed))
    }

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

fn newest(connection: &mut PgConnection, plugin_id: i32) -> QueryResult<Option<RevisionRow>> {
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
