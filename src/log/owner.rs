//! Whose log it is, for people who read the server's own log.

use sigpersist_model::context::{PLATFORM, TenantId};

use crate::app::App;

/// The owner of a log as commands take it: a tenant's slug, or `--platform`. Blocks.
pub(super) fn named(app: &App, owner: TenantId) -> String {
    if owner == PLATFORM {
        return "--platform".to_owned();
    }
    let slug = app.store.tenant_slug(owner).ok().flatten();
    slug.unwrap_or_else(|| owner.to_string())
}
