//! The life of a tenant: created, changed, suspended and resumed, and deleted in two steps, of which the first can be
//! taken back.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::key::StoredKey;
use sigpersist_model::quotas::{Change, Quotas};
use sigpersist_model::tenant::{Tenant, TenantFilter, TenantState, check_name, check_slug};
use sigpersist_model::time;

use crate::app::App;

/// How often a change is tried again because somebody else made one meanwhile.
const ATTEMPTS: usize = 5;

/// A tenant that is to be.
#[derive(Debug, Clone, Default)]
pub struct NewTenant {
    /// Its name in commands, tokens and URLs.
    pub slug: String,
    /// Its name for people; the slug where there is none.
    pub name: Option<String>,
    /// Its own quotas.
    pub quotas: Quotas<Option<u64>>,
    /// What an import has yet to bring: until then it is suspended.
    pub incomplete: Option<String>,
}

impl NewTenant {
    /// One with nothing of its own but the slug.
    pub fn new(slug: &str) -> Self {
        Self {
            slug: slug.to_owned(),
            ..Self::default()
        }
    }
}

/// Some tenants, by their slugs.
#[derive(Debug)]
pub struct Page {
    /// The tenants.
    pub tenants: Vec<Tenant>,
    /// The slug after which the next ones come; none at the end.
    pub next: Option<String>,
}

/// Creates a tenant, and says whether it is new. Asking again for the same, or for less, gives the one that is there.
/// Blocks.
///
/// # Errors
///
/// [`Error::TenantExists`] where that one is different, [`Error::TenantDeleting`] where it is being deleted,
/// [`Error::Refused`] for a slug or name against the rules.
pub fn create(app: &App, actor: &Actor, new: &NewTenant) -> Result<(Tenant, bool)> {
    let NewTenant {
        slug,
        name,
        quotas,
        incomplete,
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
                    .after(facts(tenant))
            };
            match app
                .store
                .tenant_insert(slug, name, *quotas, incomplete.as_deref(), event)?
            {
                Some(tenant) => return Ok((tenant, true)),
                // Somebody else was faster.
                None => continue,
            }
        };
        if let Some(when) = tenant.delete_after {
            return Err(Error::TenantDeleting(match tenant.state() {
                TenantState::Removing => format!(
                    "The tenant `{slug}` is being removed; its name is free when nothing of it is left."
                ),
                _ => format!(
                    "The tenant `{slug}` is there and will be removed after {} UTC. Resume it to keep it.",
                    time::to_text(when)
                ),
            }));
        }
        let same_name = name.as_ref().is_none_or(|name| *name == tenant.name);
        // Of quotas that are not given nothing is asked.
        let asked = tenant.quotas.zip(*quotas, |own, given| given.or(own));
        if !same_name || asked != tenant.quotas {
            return Err(Error::TenantExists { slug: slug.clone() });
        }
        return Ok((tenant, false));
    }
    Err(Error::Overloaded)
}

/// Tenants in the order of their slugs. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn list(app: &App, filter: &TenantFilter, limit: u32) -> Result<Page> {
    // One more tells whether there is a next page.
    let mut tenants = app.store.tenant_list(filter, i64::from(limit) + 1)?;
    let limit = usize::try_from(limit).map_err(Error::internal)?;
    let more = tenants.len() > limit;
    tenants.truncate(limit);
    let next = tenants.last().filter(|_| more);
    Ok(Page {
        next: next.map(|last| last.slug.clone()),
        tenants,
    })
}

/// The tenant of this slug. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn get(app: &App, slug: &str) -> Result<Tenant> {
    app.store
        .tenant_get(slug)?
        .ok_or(Error::NotFound(Noun::Tenant))
}

/// Changes a tenant's name and quotas; what is not given stays. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::TenantDeleting`], [`Error::Refused`] for a name against the rules.
pub fn update(
    app: &App,
    actor: &Actor,
    slug: &str,
    name: Option<&str>,
    quotas: Quotas<Change>,
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

/// Refuses a tenant's requests from now on, on all servers within a second. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
pub fn suspend(app: &App, actor: &Actor, slug: &str) -> Result<Tenant> {
    change(app, actor, "tenant.suspend", slug, |tenant| {
        Ok(Tenant {
            suspended_at: tenant.suspended_at.or(Some(Utc::now())),
            ..tenant.clone()
        })
    })
}

/// Answers a tenant's requests again; takes its deletion back if that was only scheduled. One that an import left incomplete
/// is answered only if it is told to go without. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::TenantDeleting`] where the removal has begun, [`Error::Refused`] for one that is incomplete.
pub fn resume(app: &App, actor: &Actor, slug: &str, incomplete: bool) -> Result<Tenant> {
    change(app, actor, "tenant.resume", slug, |tenant| {
        check_not_removing(tenant)?;
        if let Some(missing) = tenant.incomplete.as_deref().filter(|_| !incomplete) {
            let what = if missing.contains("import:") {
                "its import has not ended. Run the import again".to_owned()
            } else {
                let hooks = missing.replace(' ', "`, `");
                format!(
                    "these hooks, which refuse what is not allowed, are missing: `{hooks}`. Upload their plugins and run the import again"
                )
            };
            return Err(Error::refused(format!(
                "The tenant `{slug}` is suspended because {what}. To answer its requests without that, run `sigpersist tenant resume {slug} --incomplete`."
            )));
        }
        Ok(Tenant {
            suspended_at: None,
            delete_after: None,
            incomplete: None,
            ..tenant.clone()
        })
    })
}

/// Keeps a tenant suspended for what an import has not brought, or without that lets it go, if it was suspended for that and
/// is not to be deleted. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`].
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

/// Suspends a tenant, and schedules that all that is its own is removed: when the time to take it back is over, or with its
/// slug as `confirmation`, as soon as a server comes to it. Blocks.
///
/// # Errors
///
/// [`Error::NotFound`], [`Error::InvalidParameter`] for a confirmation that is not its slug.
pub fn delete(app: &App, actor: &Actor, slug: &str, confirmation: Option<&str>) -> Result<Tenant> {
    if confirmation.is_some_and(|confirmation| confirmation != slug) {
        return Err(Error::invalid(
            "confirm",
            format!("`confirm` must be the tenant's own name, `{slug}`, to remove it at once."),
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
            "The removal of the tenant `{}` has begun; nothing takes it back.",
            tenant.slug
        ))),
        _ => Ok(()),
    }
}

/// Writes down what `become` makes of a tenant, where that is a change, as nobody else has changed it meanwhile.
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
        let (old, new) = differences(&facts(&before), &facts(&after));
        let event = Event::new(Some(before.id), actor.clone(), action, slug)
            .before(old)
            .after(new);
        if app.store.tenant_update(&before, &after, &event)? {
            // Other servers hear of it; this one forgets at once.
            app.forget_keys(before.id);
            return get(app, slug);
        }
    }
    Err(Error::Overloaded)
}

/// A tenant for the audit trail.
fn facts(tenant: &Tenant) -> Value {
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

/// The members in which two objects differ, as they are in each.
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

/// The active key of this name, with the quotas that are set for its tenant. Blocks.
///
/// # Errors
///
/// Those of the store.
pub fn key_and_quotas(app: &App, kid: &str) -> Result<Option<(StoredKey, Quotas<Option<u64>>)>> {
    let Some(key) = app.store.key_get(kid)? else {
        return Ok(None);
    };
    let quotas = match &key.tenant {
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
