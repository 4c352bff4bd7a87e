//! Queries about hooks: the present hooks of tenants, and their earlier bindings.

use chrono::{DateTime, Utc};
use diesel::dsl::{count_star, max, min, now};
use diesel::pg::PgConnection;
use diesel::prelude::*;
use serde_json::Value;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::plugin::{Binding, CallLimits, Digest, Hook, Operation, Quarantine, Shadow};

use super::changes::Change;
use super::plugins::digest_from_column;
use super::pool::Store;
use super::schema::{hook_bindings, hooks};
use super::signatures::{version_from_column, version_to_column};
use super::tenants::lock_tenant;

/// The columns of a binding, except its key, author and time.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = hook_bindings)]
pub(super) struct BindingRow {
    plugin: String,
    pub(super) plugin_id: i32,
    pub(super) sha256: Vec<u8>,
    position: i32,
    operations: Vec<String>,
    mode: String,
    on_failure: String,
    timeout_ms: i32,
    memory_bytes: i64,
    fuel: i64,
    settings: Value,
    enabled: bool,
    pub(super) shadow_sha256: Option<Vec<u8>>,
    shadow_settings: Option<Value>,
}

impl BindingRow {
    pub(super) fn new(binding: &Binding) -> Result<Self> {
        let operations = binding.operations.iter();
        Ok(Self {
            plugin: binding.plugin.clone(),
            plugin_id: binding.plugin_id,
            sha256: binding.sha256.0.to_vec(),
            position: binding.order,
            operations: operations
                .map(|operation| operation.as_str().to_owned())
                .collect(),
            mode: binding.mode.as_str().to_owned(),
            on_failure: binding.on_failure.as_str().to_owned(),
            timeout_ms: i32::try_from(binding.limits.timeout_ms).map_err(Error::internal)?,
            memory_bytes: i64::try_from(binding.limits.memory_bytes).map_err(Error::internal)?,
            fuel: i64::try_from(binding.limits.fuel).map_err(Error::internal)?,
            settings: binding.settings.clone(),
            enabled: binding.enabled,
            shadow_sha256: binding
                .shadow
                .as_ref()
                .map(|shadow| shadow.sha256.0.to_vec()),
            shadow_settings: binding
                .shadow
                .as_ref()
                .map(|shadow| shadow.settings.clone()),
        })
    }

    pub(super) fn into_binding(self) -> Result<Binding> {
        let unreadable = |error: String| Error::internal(error);
        let operations = self.operations.iter();
        Ok(Binding {
            plugin: self.plugin,
            plugin_id: self.plugin_id,
            sha256: digest_from_column(self.sha256)?,
            order: self.position,
            operations: operations
                .map(|word| word.parse::<Operation>().map_err(unreadable))
                .collect::<Result<_>>()?,
            mode: self.mode.parse().map_err(unreadable)?,
            on_failure: self.on_failure.parse().map_err(unreadable)?,
            limits: CallLimits {
                timeout_ms: u32::try_from(self.timeout_ms).map_err(Error::internal)?,
                memory_bytes: u64::try_from(self.memory_bytes).map_err(Error::internal)?,
                fuel: u64::try_from(self.fuel).map_err(Error::internal)?,
            },
            settings: self.settings,
            enabled: self.enabled,
            shadow: match (self.shadow_sha256, self.shadow_settings) {
                (Some(sha256), Some(settings)) => Some(Shadow {
                    sha256: digest_from_column(sha256)?,
                    settings,
                }),
                _ => None,
            },
        })
    }
}

type HookRow = (
    String,
    i32,
    Option<DateTime<Utc>>,
    Option<String>,
    Option<String>,
    DateTime<Utc>,
    BindingRow,
);

fn into_hook(
    (name, number, quarantined_at, reason, set_by, set_at, binding): HookRow,
) -> Result<Hook> {
    Ok(Hook {
        name,
        number: version_from_column(number)?,
        binding: binding.into_binding()?,
        set_by,
        set_at,
        quarantine: quarantined_at
            .zip(reason)
            .map(|(since, reason)| Quarantine { since, reason }),
    })
}

/// Hooks of a tenant with their bindings in force.
macro_rules! hooks_of {
    ($tenant:expr) => {
        hooks::table
            .inner_join(
                hook_bindings::table.on(hook_bindings::tenant_id
                    .eq(hooks::tenant_id)
                    .and(hook_bindings::hook.eq(hooks::name))
                    .and(hook_bindings::number.eq(hooks::binding))),
            )
            .filter(hooks::tenant_id.eq($tenant.0))
            .select((
                hooks::name,
                hooks::binding,
                hooks::quarantined_at,
                hooks::quarantine_reason,
                hook_bindings::set_by,
                hook_bindings::set_at,
                BindingRow::as_select(),
            ))
    };
}

impl Store {
    /// A tenant's hooks in the order in which they run.
    pub fn hook_list(&self, tenant: TenantId) -> Result<Vec<Hook>> {
        let rows = self.run(tenant, |connection| {
            hooks_of!(tenant)
                .order((hook_bindings::position, hooks::name))
                .load::<HookRow>(connection)
        })?;
        rows.into_iter().map(into_hook).collect()
    }

    /// A tenant's hook of this name.
    pub fn hook_get(&self, tenant: TenantId, name: &str) -> Result<Option<Hook>> {
        let row = self.run(tenant, |connection| {
            hooks_of!(tenant)
                .filter(hooks::name.eq(name))
                .first::<HookRow>(connection)
                .optional()
        })?;
        row.map(into_hook).transpose()
    }

    /// A hook's binding with this number, also if the hook was deleted.
    pub fn hook_binding(
        &self,
        tenant: TenantId,
        name: &str,
        number: u32,
    ) -> Result<Option<Binding>> {
        let row = self.run(tenant, |connection| {
            hook_bindings::table
                .find((tenant.0, name, version_to_column(number)))
                .select(BindingRow::as_select())
                .first(connection)
                .optional()
        })?;
        row.map(BindingRow::into_binding).transpose()
    }

    /// Sets several hooks at once. A change names the number of the binding that it replaces; 0 if there must be no
    /// hook.
    ///
    /// Returns false and changes nothing if a hook has another binding. A quarantined hook is released, unless
    /// `keeps_quarantine` is set.
    pub fn hook_set(
        &self,
        tenant: TenantId,
        changes: &[(&str, u32, Binding)],
        events: &[Event],
        keeps_quarantine: bool,
    ) -> Result<bool> {
        let rows = changes
            .iter()
            .map(|(name, expected, binding)| {
                Ok((
                    *name,
                    version_to_column(*expected),
                    BindingRow::new(binding)?,
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        self.changing(Change::Hooks(tenant), |connection| {
            lock_tenant(connection, tenant)?;
            for (name, expected, _) in &rows {
                let current = hooks::table
                    .find((tenant.0, name))
                    .select(hooks::binding)
                    .first::<i32>(connection)
                    .optional()?;
                if current.unwrap_or(0) != *expected {
                    return Ok(false);
                }
            }
            let mut events = events.to_vec();
            for ((name, _, row), event) in rows.iter().zip(&mut events) {
                let number = set(connection, tenant, name, row, &event.actor)?;
                event.after["number"] = number.into();
                if !keeps_quarantine {
                    lift_quarantine(connection, tenant, name)?;
                }
            }
            for event in &events {
                self.audit(connection, event)?;
            }
            Ok(true)
        })
    }

    /// Deletes a hook, if the binding with this number is in force. Its bindings stay, for the record.
    pub fn hook_delete(
        &self,
        tenant: TenantId,
        name: &str,
        number: u32,
        event: &Event,
    ) -> Result<bool> {
        self.changing(Change::Hooks(tenant), |connection| {
            lock_tenant(connection, tenant)?;
            let deleted = diesel::delete(
                hooks::table
                    .find((tenant.0, name))
                    .filter(hooks::binding.eq(version_to_column(number))),
            )
            .execute(connection)?;
            if deleted > 0 {
                self.audit(connection, event)?;
            }
            Ok(deleted > 0)
        })
    }

    /// Quarantines a hook, if the binding that failed is still in force and nobody else did. Returns whether it did.
    pub fn hook_quarantine(
        &self,
        tenant: TenantId,
        name: &str,
        number: u32,
        reason: &str,
        event: &Event,
    ) -> Result<bool> {
        self.changing(Change::Hooks(tenant), |connection| {
            let changed = diesel::update(
                hooks::table
                    .find((tenant.0, name))
                    .filter(hooks::binding.eq(version_to_column(number)))
                    .filter(hooks::quarantined_at.is_null()),
            )
            .set((
                hooks::quarantined_at.eq(now),
                hooks::quarantine_reason.eq(reason),
            ))
            .execute(connection)?;
            if changed > 0 {
                self.audit(connection, event)?;
            }
            Ok(changed > 0)
        })
    }

    /// Releases a hook from quarantine. Returns whether it was quarantined.
    pub fn hook_release(&self, tenant: TenantId, name: &str, event: &Event) -> Result<bool> {
        self.changing(Change::Hooks(tenant), |connection| {
            let changed = lift_quarantine(connection, tenant, name)?;
            if changed > 0 {
                self.audit(connection, event)?;
            }
            Ok(changed > 0)
        })
    }

    /// The revisions that hooks run, the most used first. Each comes with a plugin that has it.
    pub fn hook_revisions(&self, limit: usize) -> Result<Vec<(i32, Digest)>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Vec<(Option<i32>, Vec<u8>)> = self.run(PLATFORM, |connection| {
            hooks::table
                .group_by(hooks::sha256)
                .order((count_star().desc(), hooks::sha256))
                .limit(limit)
                .select((min(hooks::plugin_id), hooks::sha256))
                .load(connection)
        })?;
        rows.into_iter()
            .filter_map(|(plugin, digest)| Some((plugin?, digest)))
            .map(|(plugin, digest)| Ok((plugin, digest_from_column(digest)?)))
            .collect()
    }
}

/// Releases a hook from quarantine. Returns the number of changed rows.
fn lift_quarantine(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
) -> QueryResult<usize> {
    diesel::update(
        hooks::table
            .find((tenant.0, name))
            .filter(hooks::quarantined_at.is_not_null()),
    )
    .set((
        hooks::quarantined_at.eq(None::<DateTime<Utc>>),
        hooks::quarantine_reason.eq(None::<String>),
    ))
    .execute(connection)
}

/// Sets a hook. Returns the number of its new binding.
fn set(
    connection: &mut PgConnection,
    tenant: TenantId,
    name: &str,
    row: &BindingRow,
    actor: &Actor,
) -> QueryResult<i32> {
    // Bindings outlive their hook, so a new hook with the same name continues the numbers.
    let last: Option<i32> = hook_bindings::table
        .filter(hook_bindings::tenant_id.eq(tenant.0))
        .filter(hook_bindings::hook.eq(name))
        .select(max(hook_bindings::number))
        .first(connection)?;
    let number = last.unwrap_or(0) + 1;
    diesel::insert_into(hook_bindings::table)
        .values((
            hook_bindings::tenant_id.eq(tenant.0),
            hook_bindings::hook.eq(name),
            hook_bindings::number.eq(number),
            row,
            hook_bindings::set_by.eq(&actor.subject),
        ))
        .execute(connection)?;
    let in_force = (
        hooks::binding.eq(number),
        hooks::plugin_id.eq(row.plugin_id),
        hooks::sha256.eq(&row.sha256),
        hooks::shadow_sha256.eq(row.shadow_sha256.as_ref()),
    );
    diesel::insert_into(hooks::table)
        .values((
            hooks::tenant_id.eq(tenant.0),
            hooks::name.eq(name),
            in_force,
        ))
        .on_conflict((hooks::tenant_id, hooks::name))
        .do_update()
        .set(in_force)
        .execute(connection)?;
    Ok(number)
}
