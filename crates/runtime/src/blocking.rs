//! Work that blocks, on threads of its own, and giving it up.
//!
//! Such work goes on to its end even if nobody waits for it any more. But what waits for a database that does not answer
//! may have no end: the store gives it up then, so that whoever asked is told, and what it held goes to others.

use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sigpersist_model::error::{Error, Result};
use tokio::sync::Notify;
use tracing::Span;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Work>>> = const { RefCell::new(None) };
}

/// A piece of work under way.
#[derive(Debug)]
pub struct Work {
    /// Turns and the like, which go back when the work is done or given up.
    held: Mutex<Vec<Box<dyn Any + Send>>>,
    given_up: AtomicBool,
    told: Notify,
}

impl Work {
    /// The work that the calling thread does, where it was started by [`run`].
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Has the work keep something more until it is done or given up.
    pub fn hold(&self, thing: impl Send + 'static) {
        self.held().push(Box::new(thing));
        if self.given_up.load(Ordering::SeqCst) {
            self.let_go();
        }
    }

    /// Answers who waits for this work, and gives back what it holds. The thread is left to itself, and is to begin nothing
    /// more: whoever was told that it was given up may have asked again.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.let_go();
        self.told.notify_one();
    }

    /// Whether the work that the calling thread does was given up.
    pub fn is_given_up() -> bool {
        CURRENT.with_borrow(|work| {
            let work = work.as_ref();
            work.is_some_and(|work| work.given_up.load(Ordering::SeqCst))
        })
    }

    fn held(&self) -> MutexGuard<'_, Vec<Box<dyn Any + Send>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self) {
        // What goes back may wake others, who need no lock of this work's.
        let held = std::mem::take(&mut *self.held());
        drop(held);
    }
}

/// Makes a piece of work the thread's, until this is dropped.
struct Doing;

impl Doing {
    fn new(work: Arc<Work>) -> Self {
        CURRENT.set(Some(work));
        Self
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some(work) = CURRENT.take() {
            work.let_go();
        }
    }
}

/// Runs blocking work on a thread of its own, which keeps `held` until it is done or given up.
///
/// # Errors
///
/// [`Error::DatabaseUnavailable`] where it was given up, [`Error::Internal`] where it panicked.
pub async fn run<T: Send + 'static>(
    held: impl Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let under_way = Arc::new(Work {
        held: Mutex::new(vec![Box::new(held)]),
        given_up: AtomicBool::new(false),
        told: Notify::new(),
    });
    let doing = Arc::clone(&under_way);
    let done = spawn(move || {
        let _doing = Doing::new(doing);
        work()
    });
    tokio::select! {
        biased;
        done = done => done.map_err(Error::internal),
        () = under_way.told.notified() => Err(Error::DatabaseUnavailable("it does not answer".into())),
    }
}

/// Runs blocking work on a thread of its own, within the span of the request that asked for it.
///
/// The work goes on to its end even if the caller is dropped: a client that hangs up cannot cancel half a save.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that keeps the span"
)]
pub async fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work)).await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn who_waits_for_work_that_is_given_up_is_told_and_gets_back_what_it_held() {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let (begun, begins) = mpsc::channel();
        let (end, ends) = mpsc::channel::<()>();
        let (over, is_over) = mpsc::channel();
        let turn = Arc::new(());
        let running = runtime.spawn(run(Arc::clone(&turn), move || {
            assert!(!Work::is_given_up());
            begun.send(Work::current().unwrap()).unwrap();
            ends.recv().unwrap();
            assert!(Work::is_given_up());
            over.send(()).unwrap();
        }));
        let work = begins.recv().unwrap();
        assert_eq!(Arc::strong_count(&turn), 2);
        work.hold(Arc::clone(&turn));
        assert_eq!(Arc::strong_count(&turn), 3);
        work.give_up();
        let given_up = runtime.block_on(running).unwrap();
        assert!(matches!(given_up, Err(Error::DatabaseUnavailable(_))));
        assert_eq!(Arc::strong_count(&turn), 1);
        // Nor does it keep anything from now on.
        work.hold(Arc::clone(&turn));
        assert_eq!(Arc::strong_count(&turn), 1);
        // It is still at work, and knows.
        end.send(()).unwrap();
        is_over.recv().unwrap();
    }

    #[test]
    fn work_that_ends_gives_back_what_it_held_and_its_thread_is_free_of_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let turn = Arc::new(());
        let done = runtime.block_on(run(Arc::clone(&turn), || 7));
        assert_eq!(done.unwrap(), 7);
        assert_eq!(Arc::strong_count(&turn), 1);
        let panicked = runtime.block_on(run(Arc::clone(&turn), || panic!("as it is told")));
        assert!(matches!(panicked, Err(Error::Internal(_))));
        assert_eq!(Arc::strong_count(&turn), 1);
        let free = runtime.block_on(spawn(|| Work::current().is_none()));
        assert!(free.unwrap());
    }
}
