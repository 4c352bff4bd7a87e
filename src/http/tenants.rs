//! Handlers for tenants and their usage.

use serde::{Deserialize, Serialize};
use sigpersist_model::error::{Error, Result};
use sigpersist_model::quotas::{QuotaPatch, Quotas};
use sigpersist_model::tenant::{Tenant, TenantFilter, check_slug};
use sigpersist_model::view::{TenantView, UsageView};
use utoipa::ToSchema;

use super::openapi::{Location, Slug};
use super::operators::parsed;
use super::parameter;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::tenants::{self, NewTenant};

#[derive(Serialize, ToSchema)]
struct TenantsContent {
    /// Tenants, sorted by slug.
    tenants: Vec<TenantView>,
    /// Cursor of the next page: pass it as `cursor`. Null on the last page.
    #[schema(example = "acme")]
    next: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct OneTenant {
    /// The tenant.
    tenant: TenantView,
}

fn one(call: &Call, tenant: Tenant) -> Result<Reply> {
    Reply::content(&OneTenant {
        tenant: TenantView::new(tenant, call.app.config.quotas),
    })
}

/// Lists tenants, sorted by slug.
#[utoipa::path(
    get,
    path = "/tenants",
    operation_id = "list_tenants",
    responses(
        (status = 200, description = "A page of tenants", body = Envelope<TenantsContent>),
    )
)]
pub(super) fn list(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let after = parameters.text(&parameter::CURSOR_OF_TENANTS)?;
    if let Some(after) = after {
        check_slug("tenant", after).map_err(|_| {
            Error::invalid(
                "cursor",
                "`cursor` must be the `next` of an earlier answer.",
            )
        })?;
    }
    let filter = TenantFilter {
        state: parsed(&parameters, &parameter::STATE)?,
        after: after.map(str::to_owned),
    };
    let limit = parameters.limit(&parameter::LIMIT)?;
    let page = tenants::list(&call.app, &filter, limit)?;
    let tenants = page.items.into_iter();
    Reply::content(&TenantsContent {
        tenants: tenants
            .map(|tenant| TenantView::new(tenant, call.app.config.quotas))
            .collect(),
        next: page.next,
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantForm)]
struct CreateForm {
    /// Its name in commands and paths.
    #[schema(value_type = Slug)]
    slug: String,
    /// Its name for people; the slug if left out.
    #[schema(min_length = 1, max_length = 255, example = "Acme Ltd")]
    name: Option<String>,
    /// Quotas for the tenant; null means the server's default.
    #[schema(value_type = Quotas<Option<u64>>)]
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize"
    )]
    quotas: Quotas<QuotaPatch>,
}

/// Creates a tenant; an identical request changes nothing.
#[utoipa::path(
    post,
    path = "/tenants",
    operation_id = "create_tenant",
    request_body = CreateForm,
    responses(
        (
            status = 201,
            description = "The tenant was created",
            body = Envelope<OneTenant>,
            headers(("location" = Location)),
        ),
        (status = 200, description = "The tenant already exists", body = Envelope<OneTenant>),
        (status = 409, description = "tenant_exists, tenant_deleting"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn create(call: Call) -> Result<Reply> {
    let form: CreateForm = call.json()?;
    let new = NewTenant {
        incomplete: None,
        expects_log: false,
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

/// Reads a tenant's details and quotas.
#[utoipa::path(
    get,
    path = "/tenants/{name}",
    operation_id = "get_tenant",
    responses(
        (status = 200, description = "The tenant", body = Envelope<OneTenant>),
        (status = 404, description = "tenant_not_found"),
    )
)]
pub(super) fn get(call: Call) -> Result<Reply> {
    call.parameters()?;
    one(&call, tenants::get(&call.app, call.name())?)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange)]
struct UpdateForm {
    /// Its name for people.
    #[schema(min_length = 1, max_length = 255, example = "Acme Ltd")]
    name: Option<String>,
    /// Quotas to change; null means the server's default.
    #[schema(value_type = Quotas<Option<u64>>)]
    #[serde(
        default,
        deserialize_with = "sigpersist_model::json_object::deserialize"
    )]
    quotas: Quotas<QuotaPatch>,
}

/// Changes a tenant's name or quotas. Members that you leave out keep their value; null means the server's default.
#[utoipa::path(
    patch,
    path = "/tenants/{name}",
    operation_id = "update_tenant",
    request_body = UpdateForm,
    responses(
        (status = 200, description = "The tenant", body = Envelope<OneTenant>),
        (status = 404, description = "tenant_not_found"),
        (status = 409, description = "tenant_deleting"),
        (status = 422, description = "refused"),
    )
)]
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

/// Suspends a tenant and schedules the removal of all its data: after a grace period of some days, or at once if you
/// repeat its name in `confirm`.
#[utoipa::path(
    delete,
    path = "/tenants/{name}",
    operation_id = "delete_tenant",
    responses(
        (status = 202, description = "The tenant is suspended and will be removed", body = Envelope<OneTenant>),
        (status = 404, description = "tenant_not_found"),
    )
)]
pub(super) fn delete(call: Call) -> Result<Reply> {
    let parameters = call.parameters()?;
    let tenant = tenants::delete(
        &call.app,
        &call.context.actor(),
        call.name(),
        parameters.text(&parameter::CONFIRM)?,
    )?;
    Ok(one(&call, tenant)?.accepted())
}

/// Refuses all requests of a tenant until it is resumed.
#[utoipa::path(
    post,
    path = "/suspend",
    operation_id = "suspend_tenant",
    responses(
        (status = 200, description = "The tenant", body = Envelope<OneTenant>),
    )
)]
pub(super) fn suspend(call: Call) -> Result<Reply> {
    call.parameters()?;
    let slug = &call.context.tenancy()?.slug;
    let tenant = tenants::suspend(&call.app, &call.context.actor(), slug)?;
    one(&call, tenant)
}

/// Ends a tenant's suspension, and cancels its scheduled removal.
///
/// While parts of an import are missing, this is refused unless you set `incomplete`.
#[utoipa::path(
    post,
    path = "/resume",
    operation_id = "resume_tenant",
    responses(
        (status = 200, description = "The tenant", body = Envelope<OneTenant>),
        (status = 409, description = "tenant_deleting"),
        (status = 422, description = "refused"),
    )
)]
pub(super) fn resume(call: Call) -> Result<Reply> {
    let incomplete = call.parameters()?.flag(&parameter::INCOMPLETE)?;
    let slug = &call.context.tenancy()?.slug;
    let tenant = tenants::resume(&call.app, &call.context.actor(), slug, incomplete)?;
    one(&call, tenant)
}

/// Reports a tenant's stored data, and this server's counts against its quotas.
#[utoipa::path(
    get,
    path = "/usage",
    operation_id = "get_usage",
    responses(
        (status = 200, description = "The usage of the tenant", body = Envelope<UsageView>),
    )
)]
pub(super) fn usage(call: Call) -> Result<Reply> {
    call.parameters()?;
    let tenancy = call.context.tenancy()?;
    let tenant = tenants::get(&call.app, &tenancy.slug)?;
    Reply::content(&UsageView {
        usage: tenants::usage(&call.app, tenancy.id)?,
        this_server: call.app.meters.read(tenancy.id),
        quotas_in_force: call.app.meters.in_force(tenant.quotas),
    })
}
