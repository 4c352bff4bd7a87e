//! How long something took, as on a machine that does nothing else.
//!
//! A promise of time ("within a second") is about the server, not about what else the machine does: a suite that shares its
//! processors with others must neither fail for that nor forget the promise. So a thread works a part of the while, and compares
//! the time that this took with the time that it had a processor.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// How long the thread works at once, so that it must share a processor, and how long it rests then.
const WORK: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_millis(30);

pub(crate) struct Stopwatch {
    since: Instant,
    sample: Arc<Mutex<Sample>>,
}

/// How long the thread has worked.
#[derive(Default)]
struct Sample {
    by_the_clock: Duration,
    on_a_processor: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let sample = Arc::<Mutex<Sample>>::default();
        let measured = Arc::downgrade(&sample);
        std::thread::spawn(move || measure(&measured));
        Self {
            since: Instant::now(),
            sample,
        }
    }

    /// The time since the start, less the part that the machine worked for others.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed().mul_f64(self.share())
    }

    /// The part of the time that somebody who wants a processor has one.
    pub(crate) fn share(&self) -> f64 {
        let sample = self.sample.lock().unwrap();
        if sample.by_the_clock.is_zero() {
            return 1.0;
        }
        let share = sample.on_a_processor.as_secs_f64() / sample.by_the_clock.as_secs_f64();
        share.min(1.0)
    }
}

/// Measures until nobody asks any more.
fn measure(sample: &Weak<Mutex<Sample>>) {
    while let Some(sample) = sample.upgrade() {
        let (since, before) = (Instant::now(), on_a_processor());
        while on_a_processor() - before < WORK {}
        let mut sample = sample.lock().unwrap();
        sample.by_the_clock += since.elapsed();
        sample.on_a_processor += on_a_processor() - before;
        drop(sample);
        std::thread::sleep(REST);
    }
}

/// How long this thread had a processor.
fn on_a_processor() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}
