//! Queries about hooks: which plugin revisions judge a tenant's saves and deletes.

use diesel::dsl::now;
use diesel::prelude::*;

use super::plugins::digest_from_column;
use super::pool::Store;
use super::schema::hooks;
use crate::context::TenantId;
use crate::error::{Error, Result};
use crate::plugins::model::Hook;

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = hooks)]
struct HookRow {
    tenant_id: i32,
    name: String,
    plugin_id: i32,
    sha256: Vec<u8>,
    position: i32,
    mode: String,
    on_failure: String,
    timeout_ms: i32,
    settings: serde_json::Value,
}

impl HookRow {
    fn into_hook(self) -> Result<Hook> {
        Ok(Hook {
            tenant: TenantId(self.tenant_id),
            name: self.name,
            plugin_id: self.plugin_id,
            sha256: digest_from_column(self.sha256)?,
            position: self.position,
            mode: self
                .mode
                .parse()
                .map_err(|error: String| Error::internal(error))?,
            on_failure: self
                .on_failure
                .parse()
                .map_err(|error: String| Error::internal(error))?,
            timeout_ms: u32::try_from(self.timeout_ms).map_err(Error::internal)?,
            settings: self.settings,
        })
    }
}

impl Store {
    /// Sets a hook, new or in place of the one of its name.
    pub fn hook_set(&self, hook: &Hook) -> Result<()> {
        let row = HookRow {
            tenant_id: hook.tenant.0,
            name: hook.name.clone(),
            plugin_id: hook.plugin_id,
            sha256: hook.sha256.0.to_vec(),
            position: hook.position,
            mode: hook.mode.as_str().to_owned(),
            on_failure: hook.on_failure.as_str().to_owned(),
            timeout_ms: i32::try_from(hook.timeout_ms).map_err(Error::internal)?,
            settings: hook.settings.clone(),
        };
        self.run(|connection| {
            diesel::insert_into(hooks::table)
                .values(&row)
                .on_conflict((hooks::tenant_id, hooks::name))
                .do_update()
                .set((&row, hooks::updated_at.eq(now)))
                .execute(connection)
        })?;
        Ok(())
    }

    /// A tenant's hooks in the order in which they run.
    pub fn hook_list(&self, tenant: TenantId) -> Result<Vec<Hook>> {
        let rows = self.run(|connection| {
            hooks::table
                .filter(hooks::tenant_id.eq(tenant.0))
                .order((hooks::position, hooks::name))
                .select(HookRow::as_select())
                .load(connection)
        })?;
        rows.into_iter().map(HookRow::into_hook).collect()
    }
}
