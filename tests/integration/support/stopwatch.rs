//! Elapsed time, corrected for the load of the machine.
//!
//! A time limit ("within a second") is about the server, not about other work on the machine. A suite that shares its
//! processors with other programs must not fail because of them, but must still enforce the limit. So a thread works
//! part of the time and compares the wall-clock time of its work with its processor time.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Periods of work, long enough that the thread must share a processor, and of rest after each.
const WORK: Duration = Duration::from_millis(10);
const REST: Duration = Duration::from_millis(30);

pub(crate) struct Stopwatch {
    since: Instant,
    sample: Arc<Mutex<Sample>>,
}

/// The total work of the thread so far.
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

    /// The time since the start, reduced by the share that the machine spent on others.
    pub(crate) fn elapsed(&self) -> Duration {
        self.since.elapsed().mul_f64(self.share())
    }

    /// The share of wall-clock time in which a busy thread had a processor.
    pub(crate) fn share(&self) -> f64 {
        let sample = self.sample.lock().unwrap();
        if sample.by_the_clock.is_zero() {
            return 1.0;
        }
        let share = sample.on_a_processor.as_secs_f64() / sample.by_the_clock.as_secs_f64();
        share.min(1.0)
    }
}

/// Samples until the stopwatch is dropped.
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

/// Processor time of this thread.
fn on_a_processor() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .unwrap()
        .into()
}
