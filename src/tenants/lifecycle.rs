//! The life of a tenant: creation, changes, suspension, resumption, and deletion in two steps. The first step can be
//! undone.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::key::StoredKey;
use sigpersist_model::page::Page;
use sigpersist_model::quotas::{QuotaPatch, Quotas};
use sigpersist_model::tenant::{Tenant, TenantFilter, TenantState, check_name, check_slug};
use sigpersist_model::time;

use crate::app::App;

/// Attempts to apply a change while others change the same tenant.
const ATTEMPTS: usize = 5;

/// A tenant to create.
#[derive(Debug, Clone, Default)]
pub struct NewTenant {
    /// Its name in commands, tokens and URLs.
    pub slug: String,
    /// Its name for people; the slug if none.
    pub name: Option<String>,
    /// Quotas set for the tenant.
    pub quotas: Quotas<Option<u64>>,
    /// Missing parts of an import; the tenant is suspended until they are there.
    pub incomplete: Option<String>,
    /// Whether its log comes with an import.
    pub expects_log: bool,
}

impl NewTenant {
    /// A tenant with default settings.
    pub fn new(slug: &str) -> Self {
        Self {
            slug: slug.to_owned(),
            ..Self::default()
        }
    }
}

/// Creates a tenant; returns it, and whether it is new. If a tenant exists that matches everything given, returns that
/// one. Blocks.
///
/// # Errors
///
/// [`Error::TenantExists`] if the existing tenant differs, [`Error::TenantDeleting`] if it is being deleted,
/// [`Error::Refused`] for an invalid slug or name.
pub fn create(app: &App, actor: &Actor, new: &NewTenant) -> Result<(Tenant, bool)> {
    let NewTenant {
        slug,
        name,
        quotas,
        incomplete,
        expects_log,
    } = new;
    check_slug("tenant", slug)?;
    if let Some(name) = name {
        check_name(name)?;
    }
    for _ in 0..ATTEMPTS {
        let Some(tenant) = app.store.tenant_get(slug)? else {
            let name = name.as_deref().unwrap_or(slug);
            let event = |tenant: &Tenant| {
                Event::new(Some(tenant.id), actor.clone(), "tenant.create", slug)
                    .after(audited(tenant))
            };
            let incomplete = incomplete.as_deref();
            match app
                .store
                .tenant_insert(slug, name, *quotas, incomplete, *expects_log, event)?
            {
                Some(tenant) => return Ok((tenant, true)),
                // Another request created it first.
                None => continue,
            }
        };
        if let Some(when) = tenant.delete_after {
            return Err(Error::TenantDeleting(match tenant.state() {
                TenantState::Removing => format!(
                    "The tenant `{slug}` is being removed; its name is free when all its data is removed."
                ),
                _ => format!(
                    "The tenant `{slug}` exists and will be removed after {} UTC. Resume it to keep it.",
                    time::to_text(when)
                ),
            }));
        }
        let same_name = name.as_ref().is_none_or(|name| *name == tenant.name);
        // Quotas that are not given are not compared.
        let asked = tenant.quotas.zip(*quotas, |own, given| given.or(own));
        if !same_name || asked != tenant.quotas {
            return Err(Error::TenantExists { slug: slug.clone() });
        }
        return Ok((tenant, false));
    }
    Err(Error::Overloaded)
}

/// Lists tenants, sorted by slug. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn list(app: &App, filter: &TenantFilter, limit: u32) -> Result<Page<Tenant, String>> {
    // One more than the limit, to see whether there is a next page.
    let tenants = app.store.tenant_list(filter, i64::from(limit) + 1)?;
    let limit = usize::try_from(limit).map_err(Error::internal)?;
    Ok(Page::cut(tenants, limit, |last| last.slug.clone()))
}

/// Finds a tenant by its slug. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none.
pub fn get(app: &App, slug: &str) -> Result<Tenant> {
    app.store
        .tenant_get(slug)?
        .ok_or(Error::NotFound(Noun::Tenant))
}

/// Changes a tenant's name and quotas; values that are not given remain. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::TenantDeleting`], [`Error::Refused`] for an invalid name.
pub fn update(
    app: &App,
    actor: &Actor,
    slug: &str,
    name: Option<&str>,
    quotas: Quotas<QuotaPatch>,
) -> Result<Tenant> {
    if let Some(name) = name {
        check_name(name)?;
    }
    change(app, actor, "tenant.update", slug, |tenant| {
        check_not_removing(tenant)?;
        Ok(Tenant {
            name: name.unwrap_or(&tenant.name).to_owned(),
            quotas: tenant.quotas.changed(quotas),
            ..tenant.clone()
        })
    })
}

/// Suspends a tenant: its requests are refused from now on, on all servers within a second. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none.
pub fn suspend(app: &App, actor: &Actor, slug: &str) -> Result<Tenant> {
    change(app, actor, "tenant.suspend", slug, |tenant| {
        Ok(Tenant {
            suspended_at: tenant.suspended_at.or(Some(Utc::now())),
            ..tenant.clone()
        })
    })
}

/// Resumes a tenant, and cancels a scheduled deletion. A tenant with an incomplete import is resumed only if
/// `incomplete` is true. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::TenantDeleting`] if the removal has begun, [`Error::Refused`] if the import is
/// incomplete.
pub fn resume(app: &App, actor: &Actor, slug: &str, incomplete: bool) -> Result<Tenant> {
    change(app, actor, "tenant.resume", slug, |tenant| {
        check_not_removing(tenant)?;
        if let Some(missing) = tenant.incomplete.as_deref().filter(|_| !incomplete) {
            let what = if missing.contains("import:") {
                "its import has not ended. Run the import again".to_owned()
            } else {
                let hooks = missing.replace(' ', "`, `");
                format!(
                    "these enforcing hooks are missing: `{hooks}`. Upload their plugins and run the import again"
                )
            };
            return Err(Error::refused(format!(
                "The tenant `{slug}` is suspended because {what}. To resume it without that, run `sigpersist tenant resume {slug} --incomplete`."
            )));
        }
        if tenant.incomplete.is_some() {
            // Its log does not arrive any more.
            app.store.log_arrival_forget(tenant.id, true)?;
        }
        Ok(Tenant {
            suspended_at: None,
            delete_after: None,
            incomplete: None,
            ..tenant.clone()
        })
    })
}

/// Suspends a tenant whose import is incomplete. If `incomplete` is none, resumes it, unless it was suspended for
/// another reason or is to be deleted. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`] if there is none.
pub(crate) fn hold(
    app: &App,
    actor: &Actor,
    slug: &str,
    incomplete: Option<&str>,
) -> Result<Tenant> {
    let action = match incomplete {
        Some(_) => "tenant.suspend",
        None => "tenant.resume",
    };
    change(app, actor, action, slug, |tenant| {
        Ok(match (incomplete, &tenant.incomplete) {
            (None, None) => tenant.clone(),
            (None, Some(_)) => Tenant {
                suspended_at: tenant
                    .suspended_at
                    .filter(|_| tenant.delete_after.is_some()),
                incomplete: None,
                ..tenant.clone()
            },
            (Some(missing), _) => Tenant {
                suspended_at: tenant.suspended_at.or_else(|| Some(Utc::now())),
                incomplete: Some(missing.to_owned()),
                ..tenant.clone()
            },
        })
    })
}

/// Suspends a tenant and schedules the removal of all its data: after the grace period, or with its slug as
/// `confirmation`, as soon as a server gets to it. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::InvalidParameter`] if the confirmation is not the slug.
pub fn delete(app: &App, actor: &Actor, slug: &str, confirmation: Option<&str>) -> Result<Tenant> {
    if confirmation.is_some_and(|confirmation| confirmation != slug) {
        return Err(Error::invalid(
            "confirm",
            format!("To remove the tenant at once, `confirm` must be its slug, `{slug}`."),
        ));
    }
    let now = Utc::now();
    let grace = TimeDelta::days(app.config.tenants.delete_grace_days.into());
    change(app, actor, "tenant.delete", slug, |tenant| {
        let due = match (confirmation, tenant.delete_after) {
            (Some(_), scheduled) => scheduled.map_or(now, |scheduled| scheduled.min(now)),
            (None, Some(scheduled)) => scheduled,
            (None, None) => now
                .checked_add_signed(grace)
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        };
        Ok(Tenant {
            suspended_at: tenant.suspended_at.or(Some(now)),
            delete_after: Some(due),
            ..tenant.clone()
        })
    })
}

fn check_not_removing(tenant: &Tenant) -> Result<()> {
    match tenant.state() {
        TenantState::Removing => Err(Error::TenantDeleting(format!(
            "The removal of the tenant `{}` has begun; it can't be undone.",
            tenant.slug
        ))),
        _ => Ok(()),
    }
}

/// Stores a tenant as changed by `becomes`, if that changes anything. Tries again if somebody else changes it
/// concurrently.
fn change(
    app: &App,
    actor: &Actor,
    action: &'static str,
    slug: &str,
    becomes: impl Fn(&Tenant) -> Result<Tenant>,
) -> Result<Tenant> {
    for _ in 0..ATTEMPTS {
        let before = get(app, slug)?;
        let after = becomes(&before)?;
        if after == before {
            return Ok(before);
        }
        let (old, new) = differences(&audited(&before), &audited(&after));
        let event = Event::new(Some(before.id), actor.clone(), action, slug)
            .before(old)
            .after(new);
        if app.store.tenant_update(&before, &after, &event)? {
            return get(app, slug);
        }
    }
    Err(Error::Overloaded)
}

/// A tenant's properties for the audit trail.
fn audited(tenant: &Tenant) -> Value {
    let text = |time: Option<DateTime<Utc>>| time.map(time::to_text);
    json!({
        "name": tenant.name,
        "state": tenant.state(),
        "suspended_at": text(tenant.suspended_at),
        "delete_after": text(tenant.delete_after),
        "incomplete": tenant.incomplete,
        "quotas": tenant.quotas,
    })
}

/// The members in which two objects differ, with the values of each.
fn differences(before: &Value, after: &Value) -> (Value, Value) {
    let (mut old, mut new) = (json!({}), json!({}));
    for (name, value) in before.as_object().into_iter().flatten() {
        let other = &after[name];
        if value.is_object() && other.is_object() {
            (old[name], new[name]) = differences(value, other);
        } else if value != other {
            (old[name], new[name]) = (value.clone(), other.clone());
        }
    }
    (old, new)
}

/// The active key with this name, with the quotas set for its tenant. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn key_and_quotas(app: &App, kid: &str) -> Result<Option<(StoredKey, Quotas<Option<u64>>)>> {
    let Some(key) = app.store.key_get(kid)? else {
        return Ok(None);
    };
    let quotas = match key.owner.tenancy() {
        Some(tenancy) => app.store.tenant_quotas(tenancy.id)?,
        None => Quotas::default(),
    };
    Ok(Some((key, quotas)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_changed_is_written_down() {
        let before = json!({"name": "a", "state": "active", "quotas": {"x": 1, "y": null}});
        let after = json!({"name": "a", "state": "suspended", "quotas": {"x": 2, "y": null}});
        assert_eq!(
            differences(&before, &after),
            (
                json!({"state": "active", "quotas": {"x": 1}}),
                json!({"state": "suspended", "quotas": {"x": 2}})
            )
        );
    }
}
