//! Tells of saves and deletes that a hook or the tenant's policy refused, in the tenant's log, if the tenant wants that.
//!
//! A client that is refused a thousand times a second does not fill the log: a server adds a few of a tenant in each minute,
//! and counts the others in the next one. None of this changes what the client is answered.

use std::time::Instant;

use serde_json::json;
use sigpersist_model::context::Context;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::log::LogSettings;
use sigpersist_model::plugin::Operation;
use sigpersist_model::signature::ThreadKey;
use sigpersist_model::view::{RefusalReason, RefusalView, RefusedBy};
use tracing::warn;

use crate::app::App;

/// The most reasons of a refusal, and the most characters of a text in it.
const MOST_REASONS: usize = 10;
const MOST_CHARS: usize = 300;

/// Adds the refusal of a save or delete to the log of its tenant, if the tenant wants that. Other errors are not told. Blocks.
pub(crate) fn tell(
    app: &App,
    context: &Context,
    operation: Operation,
    key: &ThreadKey,
    error: &Error,
) {
    let Some(refusal) = refusal(operation, error) else {
        return;
    };
    if let Err(cause) = add(app, context, key, refusal) {
        warn!(%cause, "A refusal could not be added to the log of its tenant; the next one counts it");
    }
}

fn add(app: &App, context: &Context, key: &ThreadKey, mut refusal: RefusalView) -> Result<()> {
    let tenant = context.tenant()?;
    let settings: LogSettings = app
        .caches
        .log_settings
        .get_or_load(&tenant, || app.store.log_settings_get(tenant))?;
    if !settings.refusals || !app.config.evidence.log {
        return Ok(());
    }
    let Some(omitted) = app.refusals.pass(tenant, Instant::now()) else {
        return Ok(());
    };
    refusal.omitted = omitted;
    let event = json!({
        "type": "version.refused",
        "document": key.document,
        "thread": key.thread,
        "refusal": refusal,
    });
    let added = app.store.log_refusal(tenant, key, &event.to_string());
    if added.is_err() {
        app.refusals.leave_out(tenant, omitted + 1);
    }
    added
}

/// The refusal that an error is; none if it is another one.
fn refusal(operation: Operation, error: &Error) -> Option<RefusalView> {
    let message = || cut(&error.to_string());
    let code = error.code().to_owned();
    let reasons = match error {
        Error::SignatureNotAccepted(refused) => vec![RefusalReason {
            by: RefusedBy::Policy,
            name: refused.accept.as_str().to_owned(),
            code: code.clone(),
            message: message(),
        }],
        Error::HookRejected(rejections) => rejections
            .iter()
            .take(MOST_REASONS)
            .map(|rejection| RefusalReason {
                by: RefusedBy::Hook,
                name: rejection.hook.clone(),
                code: cut(&rejection.code),
                message: cut(&rejection.message),
            })
            .collect(),
        Error::HookFailed { hook, .. } => vec![RefusalReason {
            by: RefusedBy::Hook,
            name: hook.clone(),
            code: code.clone(),
            message: message(),
        }],
        _ => return None,
    };
    Some(RefusalView {
        operation,
        code,
        message: message(),
        reasons,
        omitted: 0,
    })
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
