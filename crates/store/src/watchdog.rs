//! Gives up on a database that does not answer.
//!
//! libpq waits for an answer as long as the connection exists, and Diesel keeps the socket private, so a waiting
//! thread can't be woken. But it can be given up: its request is answered, and its place in the pool goes to another
//! connection. The thread is free again when the answer arrives after all, or when the kernel finds that the peer is
//! gone. Until then, the number of such threads is limited to the number of places in the pool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use diesel::connection::{Instrumentation, InstrumentationEvent};
use sigpersist_runtime::blocking::Task;
use tracing::{error, warn};

/// The interval between checks.
const TICK: Duration = Duration::from_millis(100);

/// The time since which a connection waits for an answer.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Milliseconds of a monotonic clock; 0 if it does not wait.
    asked_at_ms: AtomicU64,
}

/// Milliseconds of a monotonic clock, from 1 on.
fn now_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let ms = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
    ms.saturating_add(1)
}

impl Pulse {
    /// Observes the queries of a connection.
    pub(super) fn instrumentation(self: &Arc<Self>) -> impl Instrumentation + use<> {
        let pulse = Arc::clone(self);
        move |event: InstrumentationEvent<'_>| match event {
            InstrumentationEvent::StartQuery { .. } => pulse.asked(),
            InstrumentationEvent::FinishQuery { .. } => pulse.answered(),
            _ => {}
        }
    }

    fn asked(&self) {
        self.asked_at_ms.store(now_ms(), Ordering::Relaxed);
    }

    fn answered(&self) {
        self.asked_at_ms.store(0, Ordering::Relaxed);
    }

    /// The time that it has waited for an answer; none if it does not wait.
    fn silence(&self) -> Option<Duration> {
        match self.asked_at_ms.load(Ordering::Relaxed) {
            0 => None,
            asked_at_ms => Some(Duration::from_millis(now_ms().saturating_sub(asked_at_ms))),
        }
    }
}

/// A connection in use.
#[derive(Debug)]
struct Use<P> {
    place: P,
    pulse: Arc<Pulse>,
    /// The most time that an answer may take; none for no limit.
    patience: Option<Duration>,
    /// The task that is given up together with the connection.
    task: Option<Arc<Task>>,
}

/// All connections in use, each with its place in the pool.
#[derive(Debug)]
pub(super) struct Watchdog<P> {
    uses: Mutex<Uses<P>>,
    /// The most threads that may be given up at the same time.
    most_given_up: u32,
}

#[derive(Debug)]
struct Uses<P> {
    by_ticket: HashMap<u64, Use<P>>,
    next_ticket: u64,
    given_up: u32,
}

impl<P: Send + 'static> Watchdog<P> {
    /// Starts a watchdog, which runs until it is dropped.
    pub(super) fn start(most_given_up: u32) -> Arc<Self> {
        let watchdog = Arc::new(Self::new(most_given_up));
        let watched = Arc::downgrade(&watchdog);
        let watching = std::thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                while let Some(watchdog) = watched.upgrade() {
                    watchdog.look();
                    drop(watchdog);
                    std::thread::sleep(TICK);
                }
            });
        if let Err(cause) = watching {
            error!(%cause, "The database can't be watched: no thread can be started for it");
        }
        watchdog
    }

    /// Makes a watchdog that checks only when `look` is called.
    fn new(most_given_up: u32) -> Self {
        Self {
            uses: Mutex::new(Uses {
                by_ticket: HashMap::new(),
                next_ticket: 0,
                given_up: 0,
            }),
            most_given_up,
        }
    }

    fn uses(&self) -> MutexGuard<'_, Uses<P>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a connection until the result is ended or dropped.
    pub(super) fn begin(
        self: &Arc<Self>,
        place: P,
        pulse: &Arc<Pulse>,
        patience: Option<Duration>,
    ) -> Watched<P> {
        // No query has been sent yet.
        pulse.answered();
        let mut uses = self.uses();
        let ticket = uses.next_ticket;
        uses.next_ticket += 1;
        let begun = Use {
            place,
            pulse: Arc::clone(pulse),
            patience,
            task: Task::current(),
        };
        uses.by_ticket.insert(ticket, begun);
        Watched {
            watchdog: Arc::clone(self),
            ticket: Some(ticket),
        }
    }

    /// Gives up on connections that have waited for too long.
    fn look(&self) {
        let mut uses = self.uses();
        let mut room = self.most_given_up.saturating_sub(uses.given_up);
        let given_up = uses.by_ticket.extract_if(|_, used| {
            let (Some(patience), Some(silence)) = (used.patience, used.pulse.silence()) else {
                return false;
            };
            if silence < patience {
                return false;
            }
            if let Some(task) = used.task.take() {
                let ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                warn!(
                    ms,
                    "The database does not answer; requests that wait for it fail"
                );
                task.give_up();
            }
            let has_room = room > 0;
            room = room.saturating_sub(1);
            has_room
        });
        let places: Vec<_> = given_up.map(|(_, used)| used.place).collect();
        uses.given_up += u32::try_from(places.len()).unwrap_or(u32::MAX);
        drop(uses);
        // The pool now makes other connections in these places, which takes locks of its own.
        drop(places);
    }
}

/// A connection that is being watched.
#[derive(Debug)]
pub(super) struct Watched<P: Send + 'static> {
    watchdog: Arc<Watchdog<P>>,
    ticket: Option<u64>,
}

impl<P: Send + 'static> Watched<P> {
    /// Stops watching. Returns the place in the pool, unless it was given up meanwhile.
    pub(super) fn end(&mut self) -> Option<P> {
        let ticket = self.ticket.take()?;
        let mut uses = self.watchdog.uses();
        let ended = uses.by_ticket.remove(&ticket);
        if ended.is_none() {
            uses.given_up = uses.given_up.saturating_sub(1);
        }
        Some(ended?.place)
    }
}

impl<P: Send + 'static> Drop for Watched<P> {
    fn drop(&mut self) {
        drop(self.end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn only_what_waits_for_too_long_loses_its_place() {
        let watchdog = Arc::new(Watchdog::<()>::new(9));
        let pulses: [Arc<Pulse>; 4] = Default::default();
        let patience = [NO_TIME, Some(Duration::from_secs(60)), None, NO_TIME];
        let mut watched: Vec<_> = pulses
            .iter()
            .zip(patience)
            .map(|(pulse, patience)| watchdog.begin((), pulse, patience))
            .collect();
        for pulse in &pulses {
            pulse.asked();
        }
        pulses[3].answered();
        watchdog.look();
        assert_eq!(watchdog.uses().given_up, 1);
        let kept = watched.iter_mut().map(|watched| watched.end().is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [false, true, true, true]);
        // The first connection's thread has come back.
        assert_eq!(watchdog.uses().given_up, 0);
    }

    #[test]
    fn no_more_lose_their_places_than_may_until_some_come_back() {
        let watchdog = Arc::new(Watchdog::new(2));
        let pulses: [Arc<Pulse>; 3] = Default::default();
        let place = Arc::new(());
        let mut watched: Vec<_> = pulses
            .iter()
            .map(|pulse| watchdog.begin(Arc::clone(&place), pulse, NO_TIME))
            .collect();
        for pulse in &pulses {
            pulse.asked();
        }
        let kept = || Arc::strong_count(&place) - 1;
        watchdog.look();
        watchdog.look();
        assert_eq!(kept(), 1);
        // One of the given-up connections comes back.
        let lost = |watched: &Watched<_>| {
            let ticket = watched.ticket.unwrap();
            !watchdog.uses().by_ticket.contains_key(&ticket)
        };
        let number = watched.iter().position(lost).unwrap();
        drop(watched.remove(number));
        watchdog.look();
        assert_eq!(kept(), 0);
    }
}
