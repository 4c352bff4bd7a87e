//! Settings of a log, and finding one that is open to the public.

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::{Error, Noun, Result};
use sigpersist_model::log::{Epoch, LogSettings, LogSettingsPatch};
use sigpersist_model::view::LogView;

use super::witnesses::list as witnesses;
use crate::app::App;

/// The trees of a log, what is set for it, and its witnesses. Blocks.
///
/// # Errors
///
/// The errors of the store.
pub fn show(app: &App, owner: TenantId) -> Result<LogView> {
    let settings = app.store.log_settings_get(owner)?;
    let epochs = app.store.log_epochs(owner)?;
    Ok(LogView::new(epochs, settings, witnesses(app, owner)?))
}

/// Changes what is set for a log. Members that are not given stay as they are. Blocks.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if it makes no sense for the platform's log, and the errors of the store.
pub fn set(app: &App, actor: &Actor, owner: TenantId, change: LogSettingsPatch) -> Result<()> {
    if owner == PLATFORM && change.refusals.is_some() {
        return Err(Error::invalid(
            "refusals",
            "Nothing is refused to the platform: name a tenant in the path, as in `/tenants/{tenant}/log`.",
        ));
    }
    let tenant = (owner != PLATFORM).then_some(owner);
    let event = |before: LogSettings, after: LogSettings| {
        Event::new(tenant, actor.clone(), "log.set", "log")
            .before(json!(before))
            .after(json!(after))
    };
    app.store
        .log_settings_update(owner, |before| change.of(before), event)
}

/// The tree with this id, if its log is public. Blocks.
///
/// Nothing is cached, so a log that is not public any more is gone at once. A log without a checkpoint is not found
/// either: strangers are not told why a server does not sign.
///
/// # Errors
///
/// [`Error::NotFound`], and the errors of the store.
pub fn public(app: &App, id: &str) -> Result<Epoch> {
    let found = app.store.log_public(id)?;
    found
        .filter(|epoch| epoch.checkpoint.is_some())
        .ok_or(Error::NotFound(Noun::Log))
}
