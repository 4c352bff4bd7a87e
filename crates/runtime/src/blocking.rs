//! Blocking work on its own threads, and a way to abandon it.
//!
//! Such work runs to its end even if nobody waits for it any more. But work that waits for a database that does not
//! answer may never end. The store then abandons it: the waiting request gets an error, and the work's permits are
//! released for others.

use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sigpersist_model::error::{Error, Result};
use tokio::sync::Notify;
use tracing::Span;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Task>>> = const { RefCell::new(None) };
}

/// A piece of blocking work in progress.
#[derive(Debug)]
pub struct Task {
    /// Permits and the like, released when the work is done or abandoned.
    held: Mutex<Vec<Box<dyn Any + Send>>>,
    given_up: AtomicBool,
    told: Notify,
}

impl Task {
    /// The work that the calling thread does, if [`run`] started it.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Adds something that the work holds until it is done or abandoned.
    pub fn hold(&self, thing: impl Send + 'static) {
        self.held().push(Box::new(thing));
        if self.given_up.load(Ordering::SeqCst) {
            self.let_go();
        }
    }

    /// Abandons this work: releases what it holds, and returns an error to whoever waits. The thread keeps running, but
    /// must not begin anything new, since the client may have retried already.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        self.let_go();
        self.told.notify_one();
    }

    /// Whether the work of the calling thread was abandoned.
    pub fn is_given_up() -> bool {
        CURRENT.with_borrow(|task| {
            let task = task.as_ref();
            task.is_some_and(|task| task.given_up.load(Ordering::SeqCst))
        })
    }

    fn held(&self) -> MutexGuard<'_, Vec<Box<dyn Any + Send>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn let_go(&self) {
        // Dropping a permit may wake other tasks; none of them needs a lock of this work.
        let held = std::mem::take(&mut *self.held());
        drop(held);
    }
}

/// Registers a piece of work as the thread's current one, until this is dropped.
struct Current;

impl Current {
    fn set(task: Arc<Task>) -> Self {
        CURRENT.set(Some(task));
        Self
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        if let Some(task) = CURRENT.take() {
            task.let_go();
        }
    }
}

/// Runs blocking work on its own thread. The work holds `held` until it is done or abandoned.
///
/// # Errors
///
/// [`Error::DatabaseUnavailable`] if the work was abandoned, [`Error::Internal`] if it panicked.
pub async fn run<T: Send + 'static>(
    held: impl Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let task = Arc::new(Task {
        held: Mutex::new(vec![Box::new(held)]),
        given_up: AtomicBool::new(false),
        told: Notify::new(),
    });
    let current = Arc::clone(&task);
    let done = spawn(move || {
        let _current = Current::set(current);
        work()
    });
    tokio::select! {
        biased;
        done = done => done.map_err(Error::internal),
        () = task.told.notified() => Err(Error::DatabaseUnavailable("it does not answer".into())),
    }
}

/// Runs blocking work on its own thread, within the span of the request that started it.
///
/// The work runs to its end even if the caller is dropped: a client that hangs up cannot cancel half a save.
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
        let permit = Arc::new(());
        let running = runtime.spawn(run(Arc::clone(&permit), move || {
            assert!(!Task::is_given_up());
            begun.send(Task::current().unwrap()).unwrap();
            ends.recv().unwrap();
            assert!(Task::is_given_up());
            over.send(()).unwrap();
        }));
        let task = begins.recv().unwrap();
        assert_eq!(Arc::strong_count(&permit), 2);
        task.hold(Arc::clone(&permit));
        assert_eq!(Arc::strong_count(&permit), 3);
        task.give_up();
        let given_up = runtime.block_on(running).unwrap();
        assert!(matches!(given_up, Err(Error::DatabaseUnavailable(_))));
        assert_eq!(Arc::strong_count(&permit), 1);
        // Abandoned work keeps nothing that it is given later.
        task.hold(Arc::clone(&permit));
        assert_eq!(Arc::strong_count(&permit), 1);
        // The thread is still running, and sees that its work was abandoned.
        end.send(()).unwrap();
        is_over.recv().unwrap();
    }

    #[test]
    fn work_that_ends_gives_back_what_it_held_and_its_thread_is_free_of_it() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let permit = Arc::new(());
        let done = runtime.block_on(run(Arc::clone(&permit), || 7));
        assert_eq!(done.unwrap(), 7);
        assert_eq!(Arc::strong_count(&permit), 1);
        let panicked = runtime.block_on(run(Arc::clone(&permit), || panic!("as it is told")));
        assert!(matches!(panicked, Err(Error::Internal(_))));
        assert_eq!(Arc::strong_count(&permit), 1);
        let free = runtime.block_on(spawn(|| Task::current().is_none()));
        assert!(free.unwrap());
    }
}
