//! Calls webhooks in the background. Every server does: a lease in the database says which server calls a webhook, and ends
//! by itself if that server goes away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sigpersist_model::context::TenantId;
use sigpersist_model::error::Result;
use sigpersist_outbound::Outbound;
use sigpersist_runtime::blocking;
use sigpersist_runtime::vault::random_name;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};

use super::call::secrets;
use super::round::round;
use crate::app::App;

/// The most webhooks that one server calls at once, each with a few calls.
const AT_ONCE: usize = 16;
/// Time between two looks for webhooks that are due, if nothing happens.
const INTERVAL: Duration = Duration::from_secs(1);
/// Shortest time between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Time after which a webhook makes room for others.
const TURN: Duration = Duration::from_secs(30);

/// Starts to call the webhooks of all tenants. The task is stopped when the result is dropped.
pub fn keep_dispatching(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !app.config.evidence.log || app.vault.is_none() {
            return;
        }
        let outbound = match app.outbound() {
            Ok(outbound) => outbound.clone(),
            Err(cause) => {
                warn!(cause = format!("{cause:#}"), "Webhooks can't be called");
                return;
            }
        };
        let Ok(server) = random_name() else { return };
        let server: Arc<str> = server.into();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        // Notified when a webhook has been served: others may wait for its place.
        let free = Arc::new(Notify::new());
        let mut is_known = false;
        loop {
            // Listens before it looks, so that nothing is missed in between.
            let happening = app.waiters.anything(INTERVAL);
            let room = i64::try_from(places.available_permits()).unwrap_or(0);
            let (of, me) = (Arc::clone(&app), Arc::clone(&server));
            let leased = blocking::run((), move || of.store.webhook_lease(&me, room)).await;
            let mut is_full = false;
            match leased.and_then(|leased| leased) {
                Ok(leased) => {
                    is_known = false;
                    is_full = i64::try_from(leased.len()).is_ok_and(|leased| leased >= room);
                    for (tenant, id) in leased {
                        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                            break;
                        };
                        let (app, outbound) = (Arc::clone(&app), outbound.clone());
                        let (server, free) = (Arc::clone(&server), Arc::clone(&free));
                        let work = move || serve(&app, &outbound, tenant, id, &server);
                        tokio::spawn(async move {
                            let done = blocking::run(place, work).await;
                            free.notify_one();
                            if let Err(cause) = done.and_then(|done| done) {
                                debug!(%cause, id, "A webhook could not be served; another server or a later look does");
                            }
                        });
                    }
                }
                Err(cause) if is_known => debug!(%cause, "Webhooks could not be looked up"),
                Err(cause) => {
                    is_known = true;
                    warn!(%cause, "Webhooks could not be looked up; trying again");
                }
            }
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                _ = happening => {}
                () = free.notified(), if is_full => {}
            }
        }
    }))
}

/// Calls a webhook round by round, until nothing is due or its turn is over. Blocks.
fn serve(app: &App, outbound: &Outbound, tenant: TenantId, id: i64, server: &str) -> Result<()> {
    let until = Instant::now() + TURN;
    loop {
        let Some(webhook) = app.store.webhook_renew(tenant, id, server)? else {
            // Another server calls it, or nobody does any more.
            return app.store.webhook_release(tenant, id, server);
        };
        // After a failure the lease stays until it ends, so that nobody tries again at once.
        let secrets = secrets(app.vault()?, &webhook)?;
        let may_have_more = round(app, outbound, &webhook, &secrets, server)?;
        if !may_have_more || Instant::now() >= until {
            return app.store.webhook_release(tenant, id, server);
        }
    }
}
