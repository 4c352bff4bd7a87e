//! Tenants as answers, tables and the OpenAPI document show them.

use serde::{Deserialize, Serialize};
use sigpersist_verify::Time;
use utoipa::ToSchema;

use crate::quotas::{Quotas, Reading};
use crate::tenant::{Tenant, TenantState, Usage};

/// A tenant.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = TenantContent)]
pub struct TenantView {
    /// Its name in commands and paths.
    #[schema(example = "acme")]
    pub slug: String,
    /// Its name for people.
    #[schema(example = "Acme Ltd")]
    pub name: String,
    /// State of the tenant.
    pub state: TenantState,
    /// Time at which it was suspended; null if it is not.
    #[schema(example = json!(null))]
    pub suspended_at: Option<Time>,
    /// Time after which all its data will be removed; null if it is not being deleted.
    #[schema(example = json!(null))]
    pub delete_after: Option<Time>,
    /// Missing parts of an import: names of hooks, or a note that the import is still running. Until they are there,
    /// the tenant is suspended.
    #[schema(example = json!(null))]
    pub incomplete: Option<String>,
    /// When it was created.
    pub created_at: Time,
    /// Quotas that are set for the tenant; null means the server's default.
    pub quotas: Quotas<Option<u64>>,
    /// Quotas in force; 0 means no limit.
    pub quotas_in_force: Quotas<u64>,
}

/// A tenant's usage, as one server knows it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[schema(as = UsageContent)]
pub struct UsageView {
    /// Stored data of the tenant.
    pub usage: Usage,
    /// Current counts of this server against the tenant's quotas.
    pub this_server: Reading,
    /// Quotas in force; 0 means no limit.
    pub quotas_in_force: Quotas<u64>,
}

impl TenantView {
    /// Shows a tenant; `defaults` are the quotas of the server.
    pub fn new(tenant: Tenant, defaults: Quotas<u64>) -> Self {
        Self {
            state: tenant.state(),
            slug: tenant.slug,
            name: tenant.name,
            suspended_at: tenant.suspended_at.map(Into::into),
            delete_after: tenant.delete_after.map(Into::into),
            incomplete: tenant.incomplete,
            created_at: tenant.created_at.into(),
            quotas: tenant.quotas,
            quotas_in_force: tenant.quotas.in_force(defaults),
        }
    }
}
