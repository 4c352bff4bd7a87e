//! Compiles or loads plugins before any request needs them.

use std::sync::Weak;
use std::time::Instant;

use sigpersist_model::error::Result;
use sigpersist_model::plugin::Digest;
use tracing::{info, warn};

use super::candidate::load;
use crate::app::App;

/// Makes the plugins of all hooks ready, most used first, and then tidies the folder of compiled plugins.
///
/// It makes one plugin ready at a time, since requests go first. It ends early if the server stops. Blocks.
pub fn preload(app: &Weak<App>) {
    make_ready(app);
    if let Some(app) = app.upgrade() {
        app.readiness.plugins_are_ready();
        app.engine.sweep();
    }
}

fn make_ready(app: &Weak<App>) {
    let since = Instant::now();
    let revisions = match bound(app) {
        Ok(revisions) => revisions,
        Err(error) => {
            warn!(cause = %error, "Hooks could not be listed to preload their plugins; each plugin is loaded when it is first needed");
            return;
        }
    };
    let (mut ready, mut untrusted) = (0, 0);
    for (plugin_id, sha256) in revisions {
        let Some(app) = app.upgrade() else { return };
        untrusted += usize::from(is_untrusted(&app, plugin_id, sha256));
        match load(&app, None, plugin_id, sha256) {
            Ok(_) => ready += 1,
            Err(error) => {
                warn!(revision = %sha256, cause = %error, "A plugin could not be preloaded");
            }
        }
    }
    let ms = since.elapsed().as_millis();
    info!(plugins = ready, ms, "The plugins of all hooks are ready");
    if untrusted > 0 {
        warn!(
            plugins = untrusted,
            "Hooks run plugins that nobody signed whom plugins.require_signature names; `sigpersist plugin list` and `plugin show` say which"
        );
    }
}

/// Whether the server trusts publishers, and none of them signed this revision. They may have been uploaded before.
fn is_untrusted(app: &App, plugin_id: i32, sha256: Digest) -> bool {
    if app.publishers.is_empty() {
        return false;
    }
    let revision = app.store.plugin_revision(None, plugin_id, Some(sha256));
    let revision = revision.ok().flatten();
    revision.is_some_and(|revision| {
        let publisher = app.publishers.trusting(revision).publisher;
        publisher.is_none_or(|publisher| !publisher.is_trusted)
    })
}

fn bound(app: &Weak<App>) -> Result<Vec<(i32, Digest)>> {
    match app.upgrade() {
        Some(app) => app.store.hook_revisions(app.engine.capacity()),
        None => Ok(Vec::new()),
    }
}
