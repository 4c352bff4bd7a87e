//! The handlers of tenants and of what they use.

use serde::{Deserialize, Serialize};

use super::operators::parsed;
use super::reply::Reply;
use super::respond::Call;
use crate::app::App;
use crate::error::{Error, Result};
use crate::tenants::meters::Reading;
use crate::tenants::model::{Tenant, TenantState, check_slug};
use crate::tenants::quotas::{Change, Quotas};
use crate::tenants::{self, NewTenant, TenantFilter, Usage};
use crate::time;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1_000;

#[derive(Serialize)]
struct TenantContent {
    slug: String,
    name: String,
    state: TenantState,
    suspended_at: Option<String>,
    delete_after: Option<String>,
    created_at: String,
    quotas: Quotas<Option<u64>>,
    quotas_in_force: Quotas<u64>,
}

impl TenantContent {
    fn new(app: &App, tenant: Tenant) -> Self {
        Self {
            state: tenant.state(),
            slug: tenant.slug,
            name: tenant.name,
            suspended_at: tenant.suspended_at.map(time::to_text),
            delete_after: tenant.delete_after.map(time::to_text),
            created_at: time::to_text(tenant.created_at),
            quotas: tenant.quotas,
            quotas_in_force: app.meters.in_force(tenant.quotas),
        }
    }
}

#[derive(Serialize)]
struct TenantsContent {
    tenants: Vec<TenantContent>,
    next: Option<String>,
}

#[derive(Serialize)]
struct OneTenant {
    tenant: TenantContent,
}

fn one(call: &Call, tenant: Tenant) -> Result<Reply> {
    Reply::content(&OneTenant {
        tenant: TenantContent::new(&call.app, tenant),
    })
}

/// `GET /tenants`.
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters(&["state", "limit", "cursor"])?;
    let after = parameters.text("cursor")?;
    if let Some(after) = &after {
        check_slug("tenant", after)
            .map_err(|_| Error::invalid("cursor", "`cursor` is no cursor of this list."))?;
    }
    let filter = TenantFilter {
        state: parsed(&parameters, "state")?,
        after,
    };
    let limit = parameters.integer("limit", 1, MAX_LIMIT)?;
    let page = tenants::list(&call.app, &filter, limit.unwrap_or(DEFAULT_LIMIT))?;
    let tenants = page.tenants.into_iter();
    Reply::content(&TenantsContent {
        tenants: tenants
            .map(|tenant| TenantContent::new(&call.app, tenant))
            .collect(),
        next: page.next,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateForm {
    slug: String,
    name: Option<String>,
    #[serde(default)]
    quotas: Quotas<Change>,
}

/// `POST /tenants`.
pub(super) fn create(call: Call) -> Result<Reply> {
    let form: CreateForm = call.json()?;
    let new = NewTenant {
        slug: form.slug,
        name: form.name,
        quotas: Quotas::default().changed(form.quotas),
    };
    let (tenant, created) = tenants::create(&call.app, &call.context.actor(), &new)?;
    let reply = one(&call, tenant)?;
    Ok(if created {
        reply.created_at(&call.location(&["tenants", &new.slug]))
    } else {
        reply
    })
}

/// `GET /tenants/{name}`.
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    one(&call, tenants::get(&call.app, call.name())?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateForm {
    name: Option<String>,
    #[serde(default)]
    quotas: Quotas<Change>,
}

/// `PATCH /tenants/{name}`.
pub(super) fn update(call: Call) -> Result<Reply> {
    let form: UpdateForm = call.json()?;
    let tenant = tenants::update(
        &call.app,
        &call.context.actor(),
        call.name(),
        form.name.as_deref(),
        form.quotas,
    )?;
    one(&call, tenant)
}

/// `DELETE /tenants/{name}`.
pub(super) fn delete(call: Call) -> Result<Reply> {
    let confirmation = call.parameters(&["confirm"])?.text("confirm")?;
    let tenant = tenants::delete(
        &call.app,
        &call.context.actor(),
        call.name(),
        confirmation.as_deref(),
    )?;
    Ok(one(&call, tenant)?.accepted())
}

/// `POST /tenants/{tenant}/suspend`.
pub(super) fn suspend(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let slug = &call.context.tenancy()?.slug;
    let tenant = tenants::suspend(&call.app, &call.context.actor(), slug)?;
    one(&call, tenant)
}

/// `POST /tenants/{tenant}/resume`.
pub(super) fn resume(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let slug = &call.context.tenancy()?.slug;
    let tenant = tenants::resume(&call.app, &call.context.actor(), slug)?;
    one(&call, tenant)
}

#[derive(Serialize)]
struct UsageContent {
    usage: Usage,
    this_server: Reading,
    quotas_in_force: Quotas<u64>,
}

/// `GET /usage`.
pub(super) fn usage(call: Call) -> Result<Reply> {
    call.parameters(&[])?;
    let tenancy = call.context.tenancy()?;
    let tenant = tenants::get(&call.app, &tenancy.slug)?;
    Reply::content(&UsageContent {
        usage: tenants::usage(&call.app, tenancy.id)?,
        this_server: call.app.meters.read(tenancy.id),
        quotas_in_force: call.app.meters.in_force(tenant.quotas),
    })
}
