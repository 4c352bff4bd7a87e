//! Queries about tenants.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::pool::Store;
use super::schema::tenants;
use crate::context::{PLATFORM, TenantId};
use crate::error::Result;
use crate::tenants::model::Tenant;

#[derive(Queryable, Selectable)]
#[diesel(table_name = tenants)]
struct TenantRow {
    id: i32,
    slug: String,
    name: String,
    suspended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<TenantRow> for Tenant {
    fn from(row: TenantRow) -> Self {
        Self {
            id: TenantId(row.id),
            slug: row.slug,
            name: row.name,
            suspended_at: row.suspended_at,
            created_at: row.created_at,
        }
    }
}

impl Store {
    /// Creates a tenant; nothing where the slug is taken.
    pub fn tenant_insert(&self, slug: &str, name: &str) -> Result<Option<Tenant>> {
        let row = self.run(PLATFORM, |connection| {
            diesel::insert_into(tenants::table)
                .values((tenants::slug.eq(slug), tenants::name.eq(name)))
                .on_conflict(tenants::slug)
                .do_nothing()
                .returning(TenantRow::as_returning())
                .get_result(connection)
                .optional()
        })?;
        Ok(row.map(Into::into))
    }

    /// The tenants after this one, in the order of their creation.
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
}
