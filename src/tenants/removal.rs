//! Removal of tenants whose deletion is due, in the background. Every server looks for them. A lock in the database
//! ensures that only one works on a tenant; the lock is released if that server goes away.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::tenant::Usage;
use sigpersist_runtime::blocking;
use sigpersist_store::Removed;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use crate::app::App;

/// Interval of the search for tenants to remove.
const INTERVAL: Duration = Duration::from_secs(2);
/// Pause between two batches, which leaves the database to others.
const PAUSE: Duration = Duration::from_millis(100);

/// Starts to remove due tenants periodically, including those whose removal another server left unfinished. The task is
/// stopped when the result is dropped.
pub fn keep_removing(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            remove(&app).await;
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

/// State of the removal loop.
#[derive(Debug, Clone)]
enum Step {
    /// Look for the next due tenant after this one.
    After(TenantId),
    /// Remove a batch of this tenant's data.
    Of(TenantId, Arc<str>),
}

/// Removes all tenants that are due.
async fn remove(app: &Arc<App>) {
    let mut step = Step::After(PLATFORM);
    loop {
        let app = Arc::clone(app);
        let rests = matches!(step, Step::Of(..));
        // A tenant that cannot be removed now must not block the others.
        let others = match &step {
            Step::After(_) => None,
            Step::Of(tenant, _) => Some(Step::After(*tenant)),
        };
        match blocking::run((), move || take(&app, step)).await {
            Ok(Ok(None)) => return,
            Ok(Ok(Some(next))) => step = next,
            Ok(Err(cause)) => {
                warn!(%cause, "A tenant could not be removed; trying again later");
                match others {
                    Some(others) => step = others,
                    None => return,
                }
            }
            // The database does not answer, or the server is stopping.
            Err(cause) => {
                warn!(%cause, "Tenants could not be removed; trying again later");
                return;
            }
        }
        if rests {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Takes one step and returns the next one.
fn take(app: &App, step: Step) -> Result<Option<Step>> {
    match step {
        Step::After(tenant) => {
            let next = app.store.removal_begin(tenant)?;
            Ok(next.map(|(tenant, slug)| Step::Of(tenant, slug.into())))
        }
        Step::Of(tenant, slug) => match app.store.removal_step(tenant)? {
            Removed::Some => Ok(Some(Step::Of(tenant, slug))),
            Removed::Elsewhere => Ok(Some(Step::After(tenant))),
            Removed::Everything => {
                if app
                    .store
                    .removal_end(tenant, |stored| removed(&slug, stored))?
                {
                    info!(tenant = &*slug, "Removed a tenant");
                }
                Ok(Some(Step::After(tenant)))
            }
        },
    }
}

/// The event in the platform's audit trail for a removed tenant.
fn removed(slug: &str, stored: Usage) -> Event {
    Event::new(None, Actor::server(), "tenant.removed", slug).before(json!(stored))
}
