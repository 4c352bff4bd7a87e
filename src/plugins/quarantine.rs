//! Setting hooks aside that keep failing, on all servers at once.

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::TenantId;
use sigpersist_runtime::metrics;
use tracing::error;

use crate::app::App;
use crate::hooks::Sick;

/// Sets hooks aside: from now on they only watch where their failure allows, and refuse everything without running where
/// it rejects, until an operator releases them or sets them anew. Blocks.
///
/// What goes wrong here is logged and tried again at the next failure: the request that noticed has its own answer.
pub fn set_aside(app: &App, tenant: TenantId, slug: &str, sick: &[Sick]) {
    for Sick {
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
                error!(tenant = slug, %hook, reason, "A hook is set aside because it keeps failing; release it when it is mended");
            }
            Ok(false) => {}
            Err(cause) => {
                error!(tenant = slug, %hook, %cause, "A hook that keeps failing could not be set aside");
            }
        }
        app.forget_hooks(tenant);
    }
}
