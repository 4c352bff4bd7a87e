//! Queries about the settings of logs, and about logs that are open to the public.

use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::Text;
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, LogSettings};

use super::changes::Change;
use super::log_epochs::{EpochRow, with_epoch_columns};
use super::pool::Store;
use super::schema::log_settings;
use super::tenants::lock_tenant;

#[derive(Queryable, Selectable)]
#[diesel(table_name = log_settings)]
struct SettingsRow {
    public: bool,
    refusals: bool,
}

impl From<SettingsRow> for LogSettings {
    fn from(row: SettingsRow) -> Self {
        Self {
            public: row.public,
            refusals: row.refusals,
        }
    }
}

fn get(connection: &mut PgConnection, owner: TenantId) -> QueryResult<LogSettings> {
    let row = log_settings::table
        .find(owner.0)
        .select(SettingsRow::as_select())
        .first(connection)
        .optional()?;
    Ok(row.map(Into::into).unwrap_or_default())
}

impl Store {
    /// Settings of the log of a tenant, or of the platform.
    pub fn log_settings_get(&self, owner: TenantId) -> Result<LogSettings> {
        self.run(owner, |connection| get(connection, owner))
    }

    /// Changes what is set for a log to the result of `becomes`.
    pub fn log_settings_update(
        &self,
        owner: TenantId,
        becomes: impl Fn(LogSettings) -> LogSettings,
        event: impl Fn(LogSettings, LogSettings) -> Event,
    ) -> Result<()> {
        self.changing(Change::Policy(owner), |connection| {
            if owner != PLATFORM {
                lock_tenant(connection, owner)?;
            }
            let before = get(connection, owner)?;
            let after = becomes(before);
            if after == before {
                return Ok(());
            }
            let columns = (
                log_settings::public.eq(after.public),
                log_settings::refusals.eq(after.refusals),
            );
            diesel::insert_into(log_settings::table)
                .values((log_settings::tenant_id.eq(owner.0), columns))
                .on_conflict(log_settings::tenant_id)
                .do_update()
                .set(columns)
                .execute(connection)?;
            self.audit(connection, &event(before, after))
        })
    }

    /// The tree whose name ends with this id, of a log that is public and whose tenant is active.
    pub fn log_public(&self, id: &str) -> Result<Option<Epoch>> {
        self.run(PLATFORM, |connection| {
            let row: Option<EpochRow> = sql_query(with_epoch_columns!(
                "SELECT",
                "FROM log_epochs e WHERE public_id = $1 \
                 AND EXISTS (SELECT FROM log_settings s WHERE s.tenant_id = e.tenant_id AND s.public) \
                 AND (tenant_id = 0 OR EXISTS (SELECT FROM tenants t WHERE t.id = e.tenant_id AND t.suspended_at IS NULL))"
            ))
            .bind::<Text, _>(id)
            .get_result(connection)
            .optional()?;
            row.map(EpochRow::into_epoch).transpose()
        })
    }
}
