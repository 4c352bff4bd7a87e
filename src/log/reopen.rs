//! Lets a log go on that was frozen because the database went back in time, or that a witness refuses for that reason.

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::digest::to_hex;
use sigpersist_model::error::{Error, Result};

use crate::app::App;

/// Closes a tree that is frozen, or that a witness refuses, and begins another one. Blocks.
///
/// The first entry of the new one says what it continues. Numbers that the old tree had given, and that are lost, are not given
/// again.
///
/// # Errors
///
/// [`Error::InvalidParameter`] without a reason, [`Error::Refused`] if the log is neither frozen nor refused, and the errors of
/// the store.
pub fn reopen(app: &App, actor: Actor, owner: TenantId, reason: &str) -> Result<()> {
    if reason.trim().is_empty() {
        return Err(Error::invalid("reason", "`reason` is required."));
    }
    let origin = &app.config.evidence.origin;
    let tenant = (owner != PLATFORM).then_some(owner);
    let reopened = app.store.log_reopen(
        owner,
        origin,
        |closed| {
            json!({
                "type": "log.continues",
                "origin": closed.origin,
                "size": closed.size,
                "root": to_hex(&closed.root),
                "reason": reason,
            })
            .to_string()
        },
        |closed| {
            Event::new(tenant, actor.clone(), "log.reopen", &*closed.origin).after(json!({
                "size": closed.size,
                "root": to_hex(&closed.root),
                "reason": reason,
            }))
        },
    )?;
    if reopened {
        return Ok(());
    }
    Err(Error::refused(
        "The log is not frozen, and no witness refuses it: it goes on by itself.",
    ))
}
