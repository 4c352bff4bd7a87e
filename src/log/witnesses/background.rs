//! Asks witnesses in the background. Every server does: a lease in the database says which server asks a witness, and ends by
//! itself if that server goes away.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sigpersist_model::audit::Actor;
use sigpersist_model::context::{PLATFORM, TenantId};
use sigpersist_model::error::Result;
use sigpersist_model::witness::WitnessState;
use sigpersist_outbound::Outbound;
use sigpersist_outbound::retry::{doubling, random};
use sigpersist_runtime::vault::random_name;
use sigpersist_runtime::{blocking, metrics};
use sigpersist_store::Asked;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, info, warn};

use super::super::owner::named;
use super::ask::{Outcome, ask};
use super::manage::event;
use crate::app::App;

/// The most witnesses that one server asks at once: of the platform's log, and of all tenants' logs. So no tenant's witness
/// makes the platform's wait.
const AT_ONCE: [(bool, usize); 2] = [(true, 4), (false, 12)];
/// Time between two looks for witnesses that are to be asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Time between two looks how far behind they are.
const MEASURED_EVERY: Duration = Duration::from_secs(10);
/// Longest time after which a witness that did not sign is asked again, if `evidence.witness_interval_s` is not longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Starts to ask the witnesses of all logs. The task is stopped when the result is dropped.
pub fn keep_witnessing(app: Arc<App>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if !app.config.evidence.log {
            return;
        }
        let outbound = match app.outbound() {
            Ok(outbound) => outbound.clone(),
            Err(cause) => {
                warn!(
                    cause = format!("{cause:#}"),
                    "Witnesses of logs can't be asked"
                );
                return;
            }
        };
        let Ok(server) = random_name() else { return };
        let server: Arc<str> = server.into();
        let places =
            AT_ONCE.map(|(of_platform, most)| (of_platform, Arc::new(Semaphore::new(most))));
        let mut lags = Lags::default();
        let mut is_known = false;
        loop {
            match look(&app, &outbound, &server, &places).await {
                Ok(()) => is_known = false,
                Err(cause) if is_known => debug!(%cause, "Witnesses could not be looked up"),
                Err(cause) => {
                    is_known = true;
                    warn!(%cause, "Witnesses could not be looked up; trying again");
                }
            }
            lags.measure(&app).await;
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

/// Keeps checkpoints for witnesses, and begins to ask those that are to be asked.
async fn look(
    app: &Arc<App>,
    outbound: &Outbound,
    server: &Arc<str>,
    places: &[(bool, Arc<Semaphore>)],
) -> Result<()> {
    let of = Arc::clone(app);
    let interval = interval(app);
    blocking::run((), move || of.store.witness_keep_checkpoints(interval)).await??;
    for (of_platform, places) in places {
        let room = i64::try_from(places.available_permits()).unwrap_or(0);
        if room == 0 {
            continue;
        }
        let (of, me, of_platform) = (Arc::clone(app), Arc::clone(server), *of_platform);
        let lease = move || of.store.witness_lease(&me, of_platform, room);
        for (tenant, name) in blocking::run((), lease).await?? {
            let Ok(place) = Arc::clone(places).try_acquire_owned() else {
                break;
            };
            let (app, outbound, server) = (Arc::clone(app), outbound.clone(), Arc::clone(server));
            tokio::spawn(async move {
                let work = move || serve(&app, &outbound, tenant, &name, &server);
                if let Err(cause) = blocking::run(place, work).await.and_then(|done| done) {
                    debug!(%cause, %tenant, "A witness could not be asked; another server or a later look does");
                }
            });
        }
    }
    Ok(())
}

fn interval(app: &App) -> Duration {
    Duration::from_secs(app.config.evidence.witness_interval_s.max(1))
}

/// Asks one witness, and records what came of it. Blocks.
fn serve(app: &App, outbound: &Outbound, tenant: TenantId, name: &str, server: &str) -> Result<()> {
    let Some(asking) = app.store.witness_asking(tenant, name, server)? else {
        return app.store.witness_release(tenant, name, server);
    };
    let outcome = ask(app, outbound, &asking)?;
    metrics::witness_asked(tenant == PLATFORM, outcome.word);
    let pause = match outcome.state {
        // It is asked again when there is another checkpoint.
        WitnessState::Signing => Duration::ZERO,
        _ => pause(interval(app), asking.witness.failures, &outcome),
    };
    let is_refusal = outcome.state == WitnessState::Refused;
    // Whatever happens after a refusal, only a signature shows that it is over.
    let stays_refused = asking.witness.state == WitnessState::Refused
        && outcome.state != WitnessState::Signing
        && !is_refusal;
    let (state, why) = match stays_refused {
        true => (WitnessState::Refused, asking.witness.why),
        false => (outcome.state, outcome.why),
    };
    let asked = Asked {
        key: asking.witness.key,
        state,
        why,
        cosigned: outcome.cosigned,
        pause,
    };
    let refused = || {
        event(tenant, &Actor::server(), "witness.refuse", name)
            .after(json!({ "url": asking.witness.url, "why": asked.why }))
    };
    let before = app
        .store
        .witness_settle(tenant, name, server, &asked, refused)?;
    if let Some(before) = before {
        report(&named(app, tenant), name, before, &asked, is_refusal);
    }
    Ok(())
}

/// The time after which a witness that did not sign is asked again.
fn pause(interval: Duration, failures: u32, outcome: &Outcome) -> Duration {
    let longest = LONGEST_PAUSE.max(interval);
    let pause = doubling(failures.saturating_add(1), interval, longest, random());
    pause.max(outcome.retry_after.unwrap_or_default())
}

fn report(tenant: &str, witness: &str, before: WitnessState, asked: &Asked, is_refusal: bool) {
    let why = asked.why.as_deref().unwrap_or_default();
    match asked.state {
        WitnessState::Refused if is_refusal && before != WitnessState::Refused => error!(
            tenant,
            witness,
            why,
            "A witness refuses to sign a log, because it signed another history of it. Find out what happened; then run `sigpersist log reopen`"
        ),
        WitnessState::Signing if before != WitnessState::Signing => {
            info!(tenant, witness, "A witness signs a log");
        }
        WitnessState::Signing | WitnessState::New => {}
        state if state != before => warn!(tenant, witness, why, "A witness does not sign a log"),
        _ => debug!(tenant, witness, why, "A witness does not sign a log"),
    }
}

/// How far behind witnesses are, for metrics.
#[derive(Default)]
struct Lags {
    measured_at: Option<Instant>,
    /// The witnesses that there were last time.
    known: HashSet<Option<String>>,
}

impl Lags {
    async fn measure(&mut self, app: &Arc<App>) {
        let is_recent = |at: Instant| at.elapsed() < MEASURED_EVERY;
        if self.measured_at.is_some_and(is_recent) {
            return;
        }
        let of = Arc::clone(app);
        let lags = blocking::run((), move || of.store.witness_lags()).await;
        // Whoever could not be looked up is told by `look`.
        let Ok(Ok(lags)) = lags else { return };
        self.measured_at = Some(Instant::now());
        let now: HashSet<_> = lags.iter().map(|lag| lag.witness.clone()).collect();
        for gone in self.known.difference(&now) {
            metrics::witness_lag(gone.as_deref(), 0.0);
        }
        for lag in lags {
            metrics::witness_lag(lag.witness.as_deref(), lag.seconds);
        }
        self.known = now;
    }
}
