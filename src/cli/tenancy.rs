//! The tenant that a command acts for, and advice for errors about things that do not exist.

use std::sync::Arc;

use sigpersist_model::context::{Caller, Context, Scope, Tenancy, TenantId};
use sigpersist_model::error::{Error, Noun};
use sigpersist_runtime::vault::random_name;

use crate::app::App;
use crate::tenants;

/// The command line acts for a tenant as an operator of the platform would.
pub(super) fn context(app: &App, slug: &str) -> anyhow::Result<Context> {
    let tenant = tenants::find(app, slug)?;
    Ok(Context {
        caller: Arc::new(Caller {
            subject: Some("command line".to_owned()),
            scopes: Scope::ALL.to_vec(),
            ..Caller::nobody()
        }),
        tenancy: Some(Tenancy {
            id: tenant.id,
            slug: tenant.slug.into(),
        }),
        request_id: random_name()?.into(),
    })
}

/// The owner of a plugin: the tenant with this slug, or the platform without one.
pub(super) fn owner(app: &App, slug: Option<&str>) -> anyhow::Result<Option<TenantId>> {
    let tenant = slug.map(|slug| tenants::find(app, slug)).transpose()?;
    Ok(tenant.map(|tenant| tenant.id))
}

/// An error that says what to do next.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub(super) struct Advised {
    sentence: String,
    pub(super) error: Error,
}

/// An error with what to do next, where its sentence alone does not say; without a tenant it is about the platform's
/// plugins.
pub(super) fn advise(error: Error, tenant: Option<&str>) -> anyhow::Error {
    let of_tenant = tenant.map(|slug| format!(" --tenant {slug}"));
    let of_tenant = of_tenant.as_deref().unwrap_or_default();
    let slug = tenant.unwrap_or("TENANT");
    let advice = match &error {
        Error::NotFound(Noun::Tenant) => "`sigpersist tenant list` shows all tenants".to_owned(),
        Error::NotFound(Noun::Plugin) => {
            format!("`sigpersist plugin list{of_tenant}` shows all plugins")
        }
        Error::NotFound(Noun::Revision) => {
            format!("`sigpersist plugin show NAME{of_tenant}` shows all revisions")
        }
        Error::NotFound(Noun::Hook) => {
            format!("`sigpersist hook list {slug}` shows all hooks")
        }
        Error::NotFound(Noun::Binding) => {
            format!(
                "`sigpersist hook show {slug} NAME` shows the hook's number; the first binding has no previous one"
            )
        }
        Error::NotFound(Noun::Key) => {
            format!("`sigpersist key list {slug}` shows all keys")
        }
        Error::NotFound(Noun::TrustAnchor) => {
            format!("`sigpersist policy show {slug}` shows all trusted certificates")
        }
        Error::NotFound(Noun::Decision) => {
            format!("`sigpersist decision list {slug}` shows the recorded ones")
        }
        Error::PreconditionFailed { current_version: 0 } => {
            let sentence = format!(
                "Nothing was changed: the hook does not exist. `sigpersist hook list {slug}` shows all hooks."
            );
            return Advised { sentence, error }.into();
        }
        Error::PreconditionFailed { current_version } => {
            let sentence = format!(
                "Nothing was changed: the hook's number is now {current_version}. Look at it with `sigpersist hook show {slug} NAME`, then decide again."
            );
            return Advised { sentence, error }.into();
        }
        Error::SettingsRefused(_) => "fix the settings and try again".to_owned(),
        Error::SignatureNotFound => {
            "to try a delete, give the `document` and `thread` of a stored signature, or its `cms`"
                .to_owned()
        }
        _ => return error.into(),
    };
    let sentence = error.to_string();
    let sentence = format!("{}; {advice}.", sentence.trim_end_matches('.'));
    Advised { sentence, error }.into()
}
