//! Batches work: while one batch runs, new callers gather for the next.
//!
//! Nobody waits for others to come. A caller that finds no running batch of its tenant leads one at once, alone. A
//! caller that finds one waits. When that batch is done, the first waiting caller leads a batch of them all. The more
//! callers there are, the larger the batches, and the lower the cost of each item. A slow batch, for example one that
//! waits for a locked thread, does not keep others waiting: they begin another beside it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sigpersist_model::context::TenantId;
use sigpersist_runtime::blocking::Task;

/// The most items of a batch.
const MOST: usize = 16;
/// If this many callers wait, they begin another batch beside the running ones.
const ENOUGH: usize = 8;
/// After this time, a single waiting caller begins another batch, too.
const LONG: Duration = Duration::from_millis(50);

/// The running and waiting batches of each tenant: items `T`, each with a result `R`.
#[derive(Debug)]
pub(super) struct Batches<T: Send + 'static, R: Send + 'static> {
    /// The most batches of one tenant that run at a time.
    most_at_once: usize,
    /// The time after which a waiting caller begins another batch, even if few callers wait.
    long: Duration,
    /// The most time that a caller waits for a batch to begin.
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
    tell: SyncSender<Joined<T, R>>,
}

/// The outcome for a caller.
#[derive(Debug)]
pub(super) enum Joined<T: Send + 'static, R: Send + 'static> {
    /// The caller must process these items, of which the first is its own.
    Lead(Lead<T, R>, Vec<T>),
    /// Another caller processed the item.
    Done(R),
}

impl<T: Send + 'static, R: Send + 'static> Batches<T, R> {
    /// Runs at most `most_at_once` batches of each tenant, but at least one. An item waits at most `patience` for a
    /// batch.
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

    /// Waits until another caller has processed the item, or until this caller must lead a batch. Returns none if
    /// that takes too long, or if the leader of the batch did not report a result.
    pub(super) fn join(self: &Arc<Self>, tenant: TenantId, item: T) -> Option<Joined<T, R>> {
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
        if let (Joined::Lead(lead, _), Some(work)) = (&told, Task::current()) {
            // The watchdog gives up only work that waits for the database, and only leaders do.
            work.hold(lead.share());
        }
        Some(told)
    }

    /// Waits for a result, or for a batch to lead.
    fn wait(
        self: &Arc<Self>,
        tenant: TenantId,
        ticket: u64,
        told: &Receiver<Joined<T, R>>,
    ) -> Option<Joined<T, R>> {
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
            // An item that is not in the queue any more is in a running batch.
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

    /// Makes a batch of an item and of waiting items.
    fn gather(self: &Arc<Self>, tenant: TenantId, line: &mut Line<T, R>, first: T) -> Joined<T, R> {
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
        Joined::Lead(Lead(Arc::new(Mutex::new(Some(led)))), items)
    }

    /// Lets the next batch begin, if somebody waits.
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
            // If the caller is gone, its lead is dropped, which passes the turn on again.
            drop(tell.send(told));
        }
    }
}

/// The lead of a running batch. If it is dropped or given up before [`Self::tell`], the other callers get no results.
/// In any case the next batch begins.
#[derive(Debug)]
pub(super) struct Lead<T: Send + 'static, R: Send + 'static>(Arc<Mutex<Option<Led<T, R>>>>);

#[derive(Debug)]
struct Led<T: Send + 'static, R: Send + 'static> {
    batches: Arc<Batches<T, R>>,
    tenant: TenantId,
    tell: Vec<SyncSender<Joined<T, R>>>,
}

impl<T: Send + 'static, R: Send + 'static> Lead<T, R> {
    fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn end(&self) -> Option<Led<T, R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives the other callers their results, in the order of the items, and lets the next batch begin.
    pub(super) fn tell(self, results: impl IntoIterator<Item = R>) {
        if let Some(mut led) = self.end() {
            for (tell, result) in led.tell.drain(..).zip(results) {
                drop(tell.send(Joined::Done(result)));
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

    /// The lead and items of a caller that must lead a batch.
    fn leads(told: Option<Joined<usize, usize>>) -> (Lead<usize, usize>, Vec<usize>) {
        match told {
            Some(Joined::Lead(lead, items)) => (lead, items),
            other => panic!("{other:?}"),
        }
    }

    /// Starts callers one after another while a batch runs.
    fn come(
        batches: &Arc<Numbers>,
        items: std::ops::Range<usize>,
    ) -> Vec<JoinHandle<Option<Joined<usize, usize>>>> {
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
        // Another tenant does not wait for this one.
        let (of_other, items) = leads(batches.join(TenantId(2), 7));
        assert_eq!(items, [7]);
        drop(of_other);
        lead.tell([]);
        let (lead, items) = leads(callers.next().unwrap().join().unwrap());
        assert_eq!(items, (1..=MOST).collect::<Vec<_>>());
        lead.tell(items[1..].iter().map(|item| 10 * item));
        for item in 2..=MOST {
            let told = callers.next().unwrap().join().unwrap();
            assert!(matches!(told, Some(Joined::Done(result)) if result == 10 * item));
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
        // At most two batches run.
        let more = come(&batches, 100..100 + 2 * ENOUGH);
        assert!(more.iter().all(|caller| !caller.is_finished()));
        second.tell(1..);
        for (caller, number) in waiting.into_iter().zip(1..) {
            let told = caller.join().unwrap();
            assert!(matches!(told, Some(Joined::Done(result)) if result == number));
        }
        drop(first);
        for caller in more {
            if let Some(Joined::Lead(lead, items)) = caller.join().unwrap() {
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
        // At most two batches run.
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
        // A caller whose item is in a running batch goes on waiting.
        let mut waiting = come(&batches, 2..4).into_iter();
        drop(first);
        let (lead, _) = leads(waiting.next().unwrap().join().unwrap());
        thread::sleep(25 * LONG);
        lead.tell([7]);
        let told = waiting.next().unwrap().join().unwrap();
        assert!(matches!(told, Some(Joined::Done(7))));
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
            to_test.send(Task::current().unwrap()).unwrap();
            ends.recv().unwrap();
            // The result is ignored, and harms nobody.
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
