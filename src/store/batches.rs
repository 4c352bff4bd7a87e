//! Doing together what many want at once: while one batch is under way, those who come gather for the next.
//!
//! Nobody waits for others to come. Who finds no batch of the tenant under way leads one at once, alone; who finds one waits,
//! and when it is done the first of those who wait leads them all. The more there are at once, the larger are the batches, and
//! the less each costs. A batch that takes long, since somebody keeps a thread locked, say, does not keep others waiting: they
//! begin another beside it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sigpersist_model::context::TenantId;
use sigpersist_runtime::blocking::Work;

/// Most items of a batch.
const MOST: usize = 16;
/// So many that wait are worth a batch beside those that are under way.
const ENOUGH: usize = 8;
/// After this time, one that waits is worth it too.
const LONG: Duration = Duration::from_millis(50);

/// What each tenant's callers want at the moment: items `T`, each with a result `R`.
#[derive(Debug)]
pub(super) struct Batches<T: Send + 'static, R: Send + 'static> {
    /// Most batches of one tenant under way.
    most_at_once: usize,
    /// How long those wait who would be too few for another.
    long: Duration,
    /// How long anybody waits for a batch to begin.
    patience: Duration,
    lines: Mutex<HashMap<TenantId, Line<T, R>>>,
    next_ticket: AtomicU64,
}

#[derive(Debug)]
struct Line<T: Send + 'static, R: Send + 'static> {
    under_way: usize,
    waiting: VecDeque<Waiting<T, R>>,
}

#[derive(Debug)]
struct Waiting<T: Send + 'static, R: Send + 'static> {
    ticket: u64,
    item: T,
    tell: SyncSender<Told<T, R>>,
}

/// What becomes of an item.
#[derive(Debug)]
pub(super) enum Told<T: Send + 'static, R: Send + 'static> {
    /// The caller is to do these, of which the first is its own.
    Lead(Lead<T, R>, Vec<T>),
    /// Another caller did it.
    Done(R),
}

impl<T: Send + 'static, R: Send + 'static> Batches<T, R> {
    /// `most_at_once` batches of each tenant, at least one, for which an item waits no longer than `patience`.
    pub(super) fn new(most_at_once: usize, patience: Duration) -> Arc<Self> {
        Self::with(most_at_once, LONG, patience)
    }

    fn with(most_at_once: usize, long: Duration, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            most_at_once: most_at_once.max(1),
            long,
            patience,
            lines: Mutex::default(),
            next_ticket: AtomicU64::new(0),
        })
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<TenantId, Line<T, R>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an item is done, or the caller's to do. Nothing where that takes too long, or whoever did it failed to say what
    /// became of it.
    pub(super) fn join(self: &Arc<Self>, tenant: TenantId, item: T) -> Option<Told<T, R>> {
        let told = {
            let mut lines = self.lines();
            let line = lines.entry(tenant).or_insert_with(|| Line {
                under_way: 0,
                waiting: VecDeque::new(),
            });
            let is_worth_it =
                line.under_way < self.most_at_once && line.waiting.len() + 1 >= ENOUGH;
            if line.under_way == 0 || is_worth_it {
                line.under_way += 1;
                self.gather(tenant, line, item)
            } else {
                let (tell, told) = sync_channel(1);
                let ticket = self.next_ticket.fetch_add(1, Ordering::Relaxed);
                line.waiting.push_back(Waiting { ticket, item, tell });
                drop(lines);
                self.wait(tenant, ticket, &told)?
            }
        };
        if let (Told::Lead(lead, _), Some(work)) = (&told, Work::current()) {
            // The watchdog gives up only whoever asks the database.
            work.hold(lead.share());
        }
        Some(told)
    }

    /// Waits for one's turn, or to be told.
    fn wait(
        self: &Arc<Self>,
        tenant: TenantId,
        ticket: u64,
        told: &Receiver<Told<T, R>>,
    ) -> Option<Told<T, R>> {
        let deadline = Instant::now() + self.patience;
        loop {
            match told.recv_timeout(self.long) {
                Ok(told) => return Some(told),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let mut lines = self.lines();
            let Some(line) = lines.get_mut(&tenant) else {
                continue;
            };
            let has_room = line.under_way < self.most_at_once;
            if !has_room && Instant::now() < deadline {
                continue;
            }
            // Who is not there any more is in a batch under way.
            let place = line.waiting.iter().position(|it| it.ticket == ticket);
            if let Some(own) = place.and_then(|place| line.waiting.remove(place)) {
                if !has_room {
                    return None;
                }
                line.under_way += 1;
                return Some(self.gather(tenant, line, own.item));
            }
        }
    }

    /// A batch of an item and others that wait.
    fn gather(self: &Arc<Self>, tenant: TenantId, line: &mut Line<T, R>, first: T) -> Told<T, R> {
        let others = line.waiting.len().min(MOST - 1);
        let (mut items, mut tell) = (vec![first], Vec::with_capacity(others));
        for other in line.waiting.drain(..others) {
            items.push(other.item);
            tell.push(other.tell);
        }
        let led = Led {
            batches: Arc::clone(self),
            tenant,
            tell,
        };
        Told::Lead(Lead(Arc::new(Mutex::new(Some(led)))), items)
    }

    /// Lets the next batch begin, where somebody waits.
    fn pass_on(self: &Arc<Self>, tenant: TenantId) {
        let next = {
            let mut lines = self.lines();
            let Some(line) = lines.get_mut(&tenant) else {
                return;
            };
            if let Some(first) = line.waiting.pop_front() {
                Some((first.tell, self.gather(tenant, line, first.item)))
            } else {
                line.under_way = line.under_way.saturating_sub(1);
                if line.under_way == 0 {
                    lines.remove(&tenant);
                }
                None
            }
        };
        if let Some((tell, told)) = next {
            // What can't be told is dropped, and passes it on in turn.
            drop(tell.send(told));
        }
    }
}

/// A batch under way. Where this is dropped, or given up, before [`Self::tell`], the others learn nothing of their items; either
/// way the next batch begins.
#[derive(Debug)]
pub(super) struct Lead<T: Send + 'static, R: Send + 'static>(Arc<Mutex<Option<Led<T, R>>>>);

#[derive(Debug)]
struct Led<T: Send + 'static, R: Send + 'static> {
    batches: Arc<Batches<T, R>>,
    tenant: TenantId,
    tell: Vec<SyncSender<Told<T, R>>>,
}

impl<T: Send + 'static, R: Send + 'static> Lead<T, R> {
    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn end(&self) -> Option<Led<T, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tells the others what became of their items, in their order, and lets the next batch begin.
    pub(super) fn tell(self, results: impl IntoIterator<Item = R>) {
        if let Some(mut led) = self.end() {
            for (tell, result) in led.tell.drain(..).zip(results) {
                drop(tell.send(Told::Done(result)));
            }
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Drop for Lead<T, R> {
    fn drop(&mut self) {
        drop(self.end());
    }
}

impl<T: Send + 'static, R: Send + 'static> Drop for Led<T, R> {
    fn drop(&mut self) {
        self.batches.pass_on(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{self, JoinHandle};

    use super::*;

    const TENANT: TenantId = TenantId(1);

    type Numbers = Batches<usize, usize>;

    const NEVER: Duration = Duration::from_secs(3600);

    /// Leads a batch, or fails the test.
    fn leads(told: Option<Told<usize, usize>>) -> (Lead<usize, usize>, Vec<usize>) {
        match told {
            Some(Told::Lead(lead, items)) => (lead, items),
            other => panic!("{other:?}"),
        }
    }

    /// Callers that come one after another while a batch is under way.
    fn come(
        batches: &Arc<Numbers>,
        items: std::ops::Range<usize>,
    ) -> Vec<JoinHandle<Option<Told<usize, usize>>>> {
        items
            .map(|item| {
                let before = waiting(batches);
                let of_caller = Arc::clone(batches);
                let caller = thread::spawn(move || of_caller.join(TENANT, item));
                let since = Instant::now();
                while waiting(batches) == before && !caller.is_finished() {
                    assert!(since.elapsed() < Duration::from_secs(10));
                    thread::yield_now();
                }
                caller
            })
            .collect()
    }

    fn waiting(batches: &Numbers) -> usize {
        batches
            .lines()
            .get(&TENANT)
            .map_or(0, |line| line.waiting.len())
    }

    #[test]
    fn who_comes_meanwhile_goes_together_and_is_told_by_the_first() {
        let batches = Numbers::with(1, NEVER, NEVER);
        let (lead, items) = leads(batches.join(TENANT, 0));
        assert_eq!(items, [0]);
        let mut callers = come(&batches, 1..1 + MOST + 2).into_iter();
        // Nobody else's tenant waits for this one.
        let (of_other, items) = leads(batches.join(TenantId(2), 7));
        assert_eq!(items, [7]);
        drop(of_other);
        lead.tell([]);
        let (lead, items) = leads(callers.next().unwrap().join().unwrap());
        assert_eq!(items, (1..=MOST).collect::<Vec<_>>());
        lead.tell(items[1..].iter().map(|item| 10 * item));
        for item in 2..=MOST {
            let told = callers.next().unwrap().join().unwrap();
            assert!(matches!(told, Some(Told::Done(result)) if result == 10 * item));
        }
        let (lead, items) = leads(callers.next().unwrap().join().unwrap());
        assert_eq!(items, [MOST + 1, MOST + 2]);
        lead.tell([0]);
        assert!(batches.lines().is_empty());
    }

    #[test]
    fn many_that_wait_begin_beside_those_under_way() {
        let batches = Numbers::with(2, NEVER, NEVER);
        let first = leads(batches.join(TENANT, 0));
        let waiting = come(&batches, 1..ENOUGH);
        let (second, items) = leads(batches.join(TENANT, ENOUGH));
        assert_eq!(items.len(), ENOUGH);
        // Two are the most.
        let more = come(&batches, 100..100 + 2 * ENOUGH);
        assert!(more.iter().all(|caller| !caller.is_finished()));
        second.tell(1..);
        for (caller, number) in waiting.into_iter().zip(1..) {
            let told = caller.join().unwrap();
            assert!(matches!(told, Some(Told::Done(result)) if result == number));
        }
        drop(first);
        for caller in more {
            if let Some(Told::Lead(lead, items)) = caller.join().unwrap() {
                lead.tell(items);
            }
        }
        assert!(batches.lines().is_empty());
    }

    #[test]
    fn a_batch_that_takes_long_keeps_nobody_waiting() {
        let batches = Numbers::new(2, NEVER);
        let first = leads(batches.join(TENANT, 0));
        let (lead, items) = leads(batches.join(TENANT, 1));
        assert_eq!(items, [1]);
        // More than two there are not.
        let waiting = come(&batches, 2..3).remove(0);
        thread::sleep(3 * LONG);
        assert!(!waiting.is_finished());
        drop(first);
        let (_lead, items) = leads(waiting.join().unwrap());
        assert_eq!(items, [2]);
        lead.tell([]);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let batches = Numbers::with(1, LONG, 20 * LONG);
        let first = leads(batches.join(TENANT, 0));
        let since = Instant::now();
        assert!(batches.join(TENANT, 1).is_none());
        assert!(since.elapsed() >= 20 * LONG);
        assert_eq!(waiting(&batches), 0);
        // Whose batch is under way stays with it.
        let mut waiting = come(&batches, 2..4).into_iter();
        drop(first);
        let (lead, _) = leads(waiting.next().unwrap().join().unwrap());
        thread::sleep(25 * LONG);
        lead.tell([7]);
        let told = waiting.next().unwrap().join().unwrap();
        assert!(matches!(told, Some(Told::Done(7))));
    }

    #[test]
    fn whoever_leads_and_fails_leaves_the_others_untold_and_lets_the_next_begin() {
        let batches = Numbers::with(1, NEVER, NEVER);
        let (lead, _) = leads(batches.join(TENANT, 0));
        let mut callers = come(&batches, 1..3).into_iter();
        drop(lead);
        let (lead, items) = leads(callers.next().unwrap().join().unwrap());
        assert_eq!(items, [1, 2]);
        let next = come(&batches, 3..4);
        drop(lead);
        assert!(callers.next().unwrap().join().unwrap().is_none());
        let (_lead, items) = leads(next.into_iter().next().unwrap().join().unwrap());
        assert_eq!(items, [3]);
    }

    #[test]
    fn work_that_is_given_up_leads_no_more() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let batches = Numbers::with(1, NEVER, NEVER);
        let (to_test, from_work) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let of_work = Arc::clone(&batches);
        let working = runtime.spawn(sigpersist_runtime::blocking::run((), move || {
            let (lead, _) = leads(of_work.join(TENANT, 0));
            to_test.send(Work::current().unwrap()).unwrap();
            ends.recv().unwrap();
            // It learns nothing of that, and harms nobody.
            lead.tell([9]);
        }));
        let work = from_work.recv().unwrap();
        let waiting = come(&batches, 1..2);
        work.give_up();
        let (lead, items) = leads(waiting.into_iter().next().unwrap().join().unwrap());
        assert_eq!(items, [1]);
        assert!(runtime.block_on(working).unwrap().is_err());
        end.send(()).unwrap();
        drop(lead);
        assert!(batches.lines().is_empty());
    }
}
