//! Quarantines hooks that keep failing, on all servers at once.

use serde_json::json;
use sigpersist_hooks::FailingHook;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_runtime::metrics;
use tracing::error;

use crate::app::App;

/// Quarantines hooks until an operator releases them or sets them again. Blocks.
///
/// A quarantined hook that lets requests pass on failure runs in monitor mode. Otherwise it refuses everything without
/// running.
///
/// Errors are only logged, since the request has its own answer. The next failure tries again.
pub fn set_aside(app: &App, tenant: TenantId, slug: &str, sick: &[FailingHook]) {
    for FailingHook {
        hook,
        binding,
        reason,
    } in sick
    {
        let event = Event::new(
            Some(tenant),
            Actor::server(),
            "hook.quarantine",
            hook.to_string(),
        )
        .before(json!({ "number": binding, "quarantine": null }))
        .after(json!({ "number": binding, "quarantine": reason }));
        match app
            .store
            .hook_quarantine(tenant, hook, *binding, reason, &event)
        {
            Ok(true) => {
                metrics::hook_set_aside();
                error!(tenant = slug, %hook, reason, "A hook is quarantined because it keeps failing; release it when it is fixed");
            }
            Ok(false) => {}
            Err(cause) => {
                error!(tenant = slug, %hook, %cause, "A hook that keeps failing could not be quarantined");
            }
        }
    }
}
