//! Queries about tenants.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use sigpersist_model::audit::Event;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::quotas::Quotas;
use sigpersist_model::tenant::{Tenant, TenantFilter, TenantState};

use super::changes::Change;
use super::log_arrivals::expect_log;
use super::pool::Store;
use super::schema::tenants;

#[derive(Queryable, Selectable)]
#[diesel(table_name = tenants)]
struct TenantRow {
    id: i32,
    slug: String,
    name: String,
    suspended_at: Option<DateTime<Utc>>,
    delete_after: Option<DateTime<Utc>>,
    removing_since: Option<DateTime<Utc>>,
    incomplete: Option<String>,
    created_at: DateTime<Utc>,
    #[diesel(embed)]
    quotas: QuotasRow,
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = tenants, treat_none_as_null = true)]
struct QuotasRow {
    max_bytes: Option<i64>,
    max_threads: Option<i64>,
    max_signature_bytes: Option<i64>,
    requests_per_second: Option<i64>,
    request_burst: Option<i64>,
    max_concurrent_requests: Option<i64>,
    hook_ms_per_second: Option<i64>,
}

impl From<QuotasRow> for Quotas<Option<u64>> {
    fn from(row: QuotasRow) -> Self {
        let columns = Quotas {
            max_bytes: row.max_bytes,
            max_threads: row.max_threads,
            max_signature_bytes: row.max_signature_bytes,
            requests_per_second: row.requests_per_second,
            request_burst: row.request_burst,
            max_concurrent_requests: row.max_concurrent_requests,
            hook_ms_per_second: row.hook_ms_per_second,
        };
        columns.map(|column| column.map(i64::unsigned_abs))
    }
}

impl From<Quotas<Option<u64>>> for QuotasRow {
    fn from(quotas: Quotas<Option<u64>>) -> Self {
        let columns =
            quotas.map(|quota| quota.map(|quota| i64::try_from(quota).unwrap_or(i64::MAX)));
        Self {
            max_bytes: columns.max_bytes,
            max_threads: columns.max_threads,
            max_signature_bytes: columns.max_signature_bytes,
            requests_per_second: columns.requests_per_second,
            request_burst: columns.request_burst,
            max_concurrent_requests: columns.max_concurrent_requests,
            hook_ms_per_second: columns.hook_ms_per_second,
        }
    }
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            id: TenantId(row.id),
            slug: row.slug,
            name: row.name,
            suspended_at: row.suspended_at,
            delete_after: row.delete_after,
            removing_since: row.removing_since,
            incomplete: row.incomplete,
            quotas: row.quotas.into(),
            created_at: row.created_at,
        }
    }
}

/// Locks a tenant, so that one operator at a time changes its settings. Saves go on, since they lock only the
/// tenant's key.
pub(super) fn lock_tenant(connection: &mut PgConnection, tenant: TenantId) -> QueryResult<()> {
    tenants::table
        .find(tenant.0)
        .select(tenants::id)
        .for_no_key_update()
        .first::<i32>(connection)?;
    Ok(())
}

impl Store {
    /// Creates a tenant; none if the slug is taken. An `incomplete` tenant is suspended from the first moment. With
    /// `expects_log`, its log comes with an import, so nothing of it gets a number before.
    pub fn tenant_insert(
        &self,
        slug: &str,
        name: &str,
        quotas: Quotas<Option<u64>>,
        incomplete: Option<&str>,
        expects_log: bool,
        event: impl Fn(&Tenant) -> Event,
    ) -> Result<Option<Tenant>> {
        self.transaction(PLATFORM, |connection| {
            let row = diesel::insert_into(tenants::table)
                .values((
                    tenants::slug.eq(slug),
                    tenants::name.eq(name),
                    tenants::suspended_at.eq(incomplete.map(|_| Utc::now())),
                    tenants::incomplete.eq(incomplete),
                    QuotasRow::from(quotas),
                ))
                .on_conflict(tenants::slug)
                .do_nothing()
                .returning(TenantRow::as_returning())
                .get_result(connection)
                .optional()?;
            let tenant = row.map(Tenant::from);
            if let Some(tenant) = &tenant {
                if expects_log {
                    expect_log(connection, tenant.id)?;
                }
                self.audit(connection, &event(tenant))?;
            }
            Ok(tenant)
        })
    }

    /// The ids of the tenants after this one, in the order of their creation.
    pub fn tenant_ids(&self, after: TenantId, limit: i64) -> Result<Vec<TenantId>> {
        let ids: Vec<i32> = self.run(PLATFORM, |connection| {
            tenants::table
                .filter(tenants::id.gt(after.0))
                .order(tenants::id)
                .limit(limit)
                .select(tenants::id)
                .load(connection)
        })?;
        Ok(ids.into_iter().map(TenantId).collect())
    }

    /// Tenants in the order of their slugs.
    pub fn tenant_list(&self, filter: &TenantFilter, limit: i64) -> Result<Vec<Tenant>> {
        let mut query = tenants::table
            .order(tenants::slug)
            .limit(limit)
            .select(TenantRow::as_select())
            .into_boxed();
        if let Some(after) = &filter.after {
            query = query.filter(tenants::slug.gt(after));
        }
        // The same conditions as in `Tenant::state`.
        query = match filter.state {
            None => query,
            Some(TenantState::Active) => query.filter(tenants::suspended_at.is_null()),
            Some(TenantState::Suspended) => query
                .filter(tenants::suspended_at.is_not_null())
                .filter(tenants::delete_after.is_null()),
            Some(TenantState::Deleting) => query
                .filter(tenants::delete_after.is_not_null())
                .filter(tenants::removing_since.is_null()),
            Some(TenantState::Removing) => query.filter(tenants::removing_since.is_not_null()),
        };
        let rows = self.run(PLATFORM, |connection| query.load::<TenantRow>(connection))?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// The tenant with this slug.
    pub fn tenant_get(&self, slug: &str) -> Result<Option<Tenant>> {
        let row = self.run(PLATFORM, |connection| {
            tenants::table
                .filter(tenants::slug.eq(slug))
                .select(TenantRow::as_select())
                .first(connection)
                .optional()
        })?;
        Ok(row.map(Into::into))
    }

    /// The slug of a tenant; none if it does not exist.
    pub fn tenant_slug(&self, tenant: TenantId) -> Result<Option<String>> {
        self.run(PLATFORM, |connection| {
            tenants::table
                .filter(tenants::id.eq(tenant.0))
                .select(tenants::slug)
                .first(connection)
                .optional()
        })
    }

    /// The quotas that are set for a tenant; no quotas if the tenant does not exist.
    pub fn tenant_quotas(&self, tenant: TenantId) -> Result<Quotas<Option<u64>>> {
        let row = self.run(PLATFORM, |connection| {
            tenants::table
                .filter(tenants::id.eq(tenant.0))
                .select(QuotasRow::as_select())
                .first(connection)
                .optional()
        })?;
        Ok(row.map(Into::into).unwrap_or_default())
    }

    /// Changes a tenant, if it is still as it was read. Returns whether it did.
    pub fn tenant_update(&self, before: &Tenant, after: &Tenant, event: &Event) -> Result<bool> {
        self.changing(Change::Keys(before.id), |connection| {
            let current = tenants::table
                .filter(tenants::id.eq(before.id.0))
                .select(TenantRow::as_select())
                .for_no_key_update()
                .first(connection)
                .optional()?;
            if current.map(Tenant::from).as_ref() != Some(before) {
                return Ok(false);
            }
            diesel::update(tenants::table.filter(tenants::id.eq(before.id.0)))
                .set((
                    tenants::name.eq(&after.name),
                    tenants::suspended_at.eq(after.suspended_at),
                    tenants::delete_after.eq(after.delete_after),
                    tenants::incomplete.eq(&after.incomplete),
                    QuotasRow::from(after.quotas),
                ))
                .execute(connection)?;
            self.audit(connection, event)?;
            Ok(true)
        })
    }
}
