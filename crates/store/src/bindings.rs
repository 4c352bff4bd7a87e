//! Queries about the history of hooks: all bindings that they ever had. `hooks` has the bindings in force.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{KeptBinding, Shadow};

use super::hooks::BindingRow;
use super::pool::Store;
use super::schema::hook_bindings;
use super::signatures::{version_from_column, version_to_column};

type KeptRow = (i32, Option<String>, DateTime<Utc>, bool, bool, BindingRow);

fn into_kept(
    (number, set_by, set_at, is_in_force, is_stored, row): KeptRow,
) -> Result<KeptBinding> {
    Ok(KeptBinding {
        number: version_from_column(number)?,
        binding: row.into_binding()?,
        set_by,
        set_at,
        is_in_force,
        is_stored,
    })
}

/// The bindings that a hook of a tenant had.
macro_rules! bindings_of {
    ($tenant:expr, $name:expr) => {
        hook_bindings::table
            .filter(hook_bindings::tenant_id.eq($tenant.0))
            .filter(hook_bindings::hook.eq($name))
            .select((
                hook_bindings::number,
                hook_bindings::set_by,
                hook_bindings::set_at,
                sql::<Bool>(
                    "EXISTS (SELECT FROM hooks h WHERE h.tenant_id = hook_bindings.tenant_id \
                     AND h.name = hook_bindings.hook AND h.binding = hook_bindings.number)",
                ),
                sql::<Bool>(
                    "EXISTS (SELECT FROM plugin_revisions r WHERE r.plugin_id = hook_bindings.plugin_id \
                     AND r.sha256 = hook_bindings.sha256) \
                     AND (hook_bindings.shadow_sha256 IS NULL OR EXISTS (SELECT FROM plugin_revisions r \
                     WHERE r.plugin_id = hook_bindings.plugin_id AND r.sha256 = hook_bindings.shadow_sha256))",
                ),
                BindingRow::as_select(),
            ))
    };
}

impl Store {
    /// The bindings of a hook with lower numbers than `before`, newest first. They outlive the hook.
    pub fn binding_list(
        &self,
        tenant: TenantId,
        name: &str,
        before: Option<u32>,
        limit: usize,
    ) -> Result<Vec<KeptBinding>> {
        let before = before.map_or(i32::MAX, version_to_column);
        let limit = i64::try_from(limit).map_err(Error::internal)?;
        let rows = self.run(tenant, |connection| {
            bindings_of!(tenant, name)
                .filter(hook_bindings::number.lt(before))
                .order(hook_bindings::number.desc())
                .limit(limit)
                .load::<KeptRow>(connection)
        })?;
        rows.into_iter().map(into_kept).collect()
    }

    /// The binding of a hook with this number.
    pub fn binding_get(
        &self,
        tenant: TenantId,
        name: &str,
        number: u32,
    ) -> Result<Option<KeptBinding>> {
        let row = self.run(tenant, |connection| {
            bindings_of!(tenant, name)
                .filter(hook_bindings::number.eq(version_to_column(number)))
                .first::<KeptRow>(connection)
                .optional()
        })?;
        row.map(into_kept).transpose()
    }

    /// The numbers of a hook's bindings that have this shadow, each with the time when it was set.
    pub fn bindings_with_shadow(
        &self,
        tenant: TenantId,
        name: &str,
        shadow: &Shadow,
    ) -> Result<Vec<(u32, DateTime<Utc>)>> {
        let rows: Vec<(i32, DateTime<Utc>)> = self.run(tenant, |connection| {
            hook_bindings::table
                .filter(hook_bindings::tenant_id.eq(tenant.0))
                .filter(hook_bindings::hook.eq(name))
                .filter(hook_bindings::shadow_sha256.eq(&shadow.sha256.0[..]))
                .filter(hook_bindings::shadow_settings.eq(&shadow.settings))
                .order(hook_bindings::number)
                .select((hook_bindings::number, hook_bindings::set_at))
                .load(connection)
        })?;
        let rows = rows.into_iter();
        rows.map(|(number, set_at)| Ok((version_from_column(number)?, set_at)))
            .collect()
    }
}
