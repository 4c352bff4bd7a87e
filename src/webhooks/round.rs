//! A round: some events of one webhook are delivered, each thread's in order, different threads beside one another.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::error::Result;
use sigpersist_model::log::{Epoch, Logged};
use sigpersist_model::view::HappeningView;
use sigpersist_model::webhook::{Pending, Settlement, Webhook, is_wanted};
use sigpersist_outbound::Outbound;
use sigpersist_outbound::retry::{Outcome, pause_as_asked, random};
use sigpersist_outbound::webhook::Secret;
use sigpersist_runtime::metrics;

use super::call::{Called, call};
use crate::app::App;

/// Events that a round looks at.
const PAGE: i64 = 64;
/// Calls that a round makes beside one another.
const AT_ONCE: usize = 4;
/// Time after which a round begins no further call. With the time of one call it is shorter than a lease.
const BUDGET: Duration = Duration::from_secs(10);
/// The most pending events of a webhook. At this limit it takes no new ones: the log has them.
const MAX_PENDING: i64 = 1_000;
/// The time for which every call may fail before the webhook is disabled.
const PATIENCE: TimeDelta = TimeDelta::days(5);

/// An event on its way to a webhook.
struct Delivery {
    number: i64,
    /// The thread that it is about.
    signature: Option<i64>,
    at: DateTime<Utc>,
    event: HappeningView,
    /// The number of attempts so far.
    attempts: u32,
    /// Whether it is a pending one.
    was_pending: bool,
}

/// Delivers some events of a webhook, and records what came of it. Returns whether there may be more at once. Blocks.
pub(super) fn round(
    app: &App,
    outbound: &Outbound,
    webhook: &Webhook,
    secrets: &[Secret],
    server: &str,
) -> Result<bool> {
    let (tenant, id) = (webhook.tenant, webhook.id);
    let due = app.store.webhook_due(tenant, id, PAGE)?;
    let mut settlement = Settlement::default();
    let deliveries = if due.is_empty() {
        if webhook.pending >= MAX_PENDING || webhook.cursor >= webhook.head {
            return Ok(false);
        }
        new_events(app, webhook, &mut settlement)?
    } else {
        let threads: Vec<_> = due.iter().map(|pending| pending.signature).collect();
        let pending = app.store.webhook_held_back(tenant, id, &threads)?;
        pending_events(app, webhook, pending, &mut settlement)?
    };
    deliver(outbound, webhook, secrets, deliveries, &mut settlement);
    let has_failed_long = webhook
        .failing_since
        .is_some_and(|since| Utc::now() - since > PATIENCE);
    if has_failed_long && !settlement.attempts.is_empty() && !settlement.has_delivered() {
        settlement.disabled = Some("Every call has failed for five days.".to_owned());
    }
    for attempt in &settlement.attempts {
        metrics::webhook_called(&attempt.outcome);
    }
    let disabled = |why: &str| {
        Event::new(
            Some(tenant),
            Actor::server(),
            "webhook.disable",
            id.to_string(),
        )
        .after(serde_json::json!({ "url": webhook.url, "why": why }))
    };
    app.store
        .webhook_settle(tenant, id, server, &settlement, disabled)
}

/// The next events of the log, in order. Those that come after a pending one about the same thread become pending, too.
fn new_events(app: &App, webhook: &Webhook, settlement: &mut Settlement) -> Result<Vec<Delivery>> {
    let (entries, epochs) = app
        .store
        .log_happenings(webhook.tenant, webhook.cursor, PAGE)?;
    settlement.cursor = entries.last().map(|logged| logged.numbered.number);
    let mut deliveries: Vec<_> = entries
        .into_iter()
        .map(|logged| delivery(logged, &epochs, 0, false))
        .filter(|delivery| is_told(webhook, delivery))
        .collect();
    if webhook.pending > 0 {
        let threads: Vec<_> = deliveries
            .iter()
            .map(|delivery| delivery.signature)
            .collect();
        let held = app
            .store
            .webhook_held_back(webhook.tenant, webhook.id, &threads)?;
        let held: HashSet<_> = held.iter().map(|pending| pending.signature).collect();
        let (waiting, free): (Vec<_>, _) = deliveries
            .into_iter()
            .partition(|delivery| held.contains(&delivery.signature));
        settlement.pending.extend(waiting.iter().map(waits));
        deliveries = free;
    }
    Ok(deliveries)
}

/// Pending events, in order, with what the log says of them now.
fn pending_events(
    app: &App,
    webhook: &Webhook,
    pending: Vec<Pending>,
    settlement: &mut Settlement,
) -> Result<Vec<Delivery>> {
    let numbers: Vec<_> = pending.iter().map(|pending| pending.number).collect();
    let (entries, epochs) = app.store.log_happenings_of(webhook.tenant, &numbers)?;
    let entries = entries.into_iter();
    let mut entries: HashMap<_, _> = entries
        .map(|logged| (logged.numbered.number, logged))
        .collect();
    let mut deliveries = Vec::new();
    for pending in pending {
        let logged = entries.remove(&pending.number);
        let delivery = logged.map(|logged| delivery(logged, &epochs, pending.attempts, true));
        match delivery.filter(|delivery| is_told(webhook, delivery)) {
            Some(delivery) => deliveries.push(delivery),
            // It was erased meanwhile.
            None => settlement.done.push(pending.number),
        }
    }
    Ok(deliveries)
}

fn delivery(logged: Logged, epochs: &[Epoch], attempts: u32, was_pending: bool) -> Delivery {
    Delivery {
        number: logged.numbered.number,
        signature: logged.numbered.what.signature,
        at: logged.numbered.what.at,
        event: HappeningView::new(logged, epochs),
        attempts,
        was_pending,
    }
}

fn is_told(webhook: &Webhook, delivery: &Delivery) -> bool {
    delivery.event.kind != HappeningView::ERASED && is_wanted(&webhook.types, &delivery.event.kind)
}

/// The pending event of one that was not tried.
fn waits(delivery: &Delivery) -> Pending {
    Pending {
        number: delivery.number,
        signature: delivery.signature,
        attempts: delivery.attempts,
        next_at: Utc::now(),
    }
}

/// Makes the calls, and notes what came of them.
fn deliver(
    outbound: &Outbound,
    webhook: &Webhook,
    secrets: &[Secret],
    deliveries: Vec<Delivery>,
    settlement: &mut Settlement,
) {
    let mut threads: BTreeMap<Option<i64>, VecDeque<Delivery>> = BTreeMap::new();
    for delivery in deliveries {
        threads
            .entry(delivery.signature)
            .or_default()
            .push_back(delivery);
    }
    let until = Instant::now() + BUDGET;
    let threads = Mutex::new(threads);
    let settled = Mutex::new(settlement);
    let work = || {
        loop {
            let thread = threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_first();
            let Some((_, thread)) = thread else { return };
            of_thread(outbound, webhook, secrets, thread, until, &settled);
        }
    };
    thread::scope(|scope| {
        for _ in 1..AT_ONCE {
            // Without another thread, this one makes all calls.
            drop(
                thread::Builder::new()
                    .name("webhook".to_owned())
                    .spawn_scoped(scope, work),
            );
        }
        work();
    });
}

/// Delivers events about one thread, one after the other, until one fails.
fn of_thread(
    outbound: &Outbound,
    webhook: &Webhook,
    secrets: &[Secret],
    mut thread: VecDeque<Delivery>,
    until: Instant,
    settled: &Mutex<&mut Settlement>,
) {
    let settled = || settled.lock().unwrap_or_else(PoisonError::into_inner);
    while let Some(delivery) = thread.pop_front() {
        if Instant::now() >= until || settled().disabled.is_some() {
            thread.push_front(delivery);
            break;
        }
        let Called {
            attempt,
            outcome,
            retry_after,
        } = call(
            outbound,
            webhook,
            secrets,
            &delivery.event,
            delivery.at,
            Some(delivery.number),
        );
        let mut settled = settled();
        settled.attempts.push(attempt);
        let attempts = delivery.attempts + 1;
        let pause = match outcome {
            Outcome::Delivered => None,
            Outcome::Gone => {
                settled.disabled = Some("The receiver answered 410: it is gone.".to_owned());
                Some(Duration::ZERO)
            }
            Outcome::Failed => pause_as_asked(attempts, random(), retry_after),
        };
        match pause {
            // Delivered, or tried often enough: others about the thread go on.
            None if delivery.was_pending => settled.done.push(delivery.number),
            None => {}
            Some(pause) => {
                settled.pending.push(Pending {
                    number: delivery.number,
                    signature: delivery.signature,
                    attempts,
                    next_at: Utc::now() + pause,
                });
                break;
            }
        }
    }
    settled()
        .pending
        .extend(thread.iter().filter(|left| !left.was_pending).map(waits));
}
