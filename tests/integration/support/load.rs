//! Writers that save in parallel while something fails, and a check of what is stored afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Client;
use super::Stopwatch;
use super::eventually;

/// Number of rounds: `SIGPERSIST_TEST_ROUNDS`, or the usual number if it is not set.
pub(crate) fn rounds(usual: u64) -> u64 {
    std::env::var("SIGPERSIST_TEST_ROUNDS").map_or(usual, |rounds| {
        rounds.parse().expect("SIGPERSIST_TEST_ROUNDS is a number")
    })
}

/// Tells the writers to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers to the writers.
#[derive(Default)]
pub(crate) struct Load {
    /// The last acknowledged version of each thread; 0 if there is none.
    threads: Mutex<HashMap<String, u32>>,
    /// Answers counted by status; 0 means no answer.
    pub(crate) statuses: Mutex<BTreeMap<u16, u32>>,
    /// Refusals with 503, counted by code.
    pub(crate) codes: Mutex<BTreeMap<String, u32>>,
    /// The time of the slowest answer.
    pub(crate) slowest: Mutex<Duration>,
}

impl Load {
    fn body(thread: &str, over: u32) -> String {
        format!("{thread} over {over} {}", "x".repeat(6000))
    }

    /// Starts eight writers, and calls `done` after a while and at least one acknowledged save. A writer begins another
    /// thread after three versions or a refusal, and ends when it gets no answer.
    pub(crate) fn run<T>(&self, client: &Client, round: u64, done: impl FnOnce() -> T) -> T {
        let acknowledged = self.acknowledged();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let stop = &stop;
                scope.spawn(move || {
                    let mut number = 0;
                    let mut saved = true;
                    while saved && !stop.load(Ordering::Relaxed) {
                        saved = self.save_thread(client, &format!("{round}-{writer}-{number}"));
                        number += 1;
                    }
                });
            }
            // Stops the writers even if this thread panics; otherwise they would go on for ever.
            let _stop = Stop(&stop);
            std::thread::sleep(Duration::from_millis(300 + 37 * (round % 10)));
            eventually(|| self.acknowledged() > acknowledged);
            done()
        })
    }

    /// Saves three versions of a thread. Returns false if the server did not answer.
    fn save_thread(&self, client: &Client, thread: &str) -> bool {
        self.threads.lock().unwrap().insert(thread.to_owned(), 0);
        for over in 0..3 {
            let body = json!({
                "document": "d", "thread": thread, "version": over, "cms": Self::body(thread, over),
            });
            let headers = [("content-type", "application/json")];
            let body = body.to_string().into_bytes();
            let since = Stopwatch::start();
            let answer = client.try_send("POST", "/signature", &headers, Some(body));
            let mut slowest = self.slowest.lock().unwrap();
            *slowest = (*slowest).max(since.elapsed());
            drop(slowest);
            let status = answer.as_ref().map_or(0, |response| response.status);
            if let Ok(refused) = answer
                && status == 503
            {
                assert!(refused.header("retry-after").is_some());
                *self
                    .codes
                    .lock()
                    .unwrap()
                    .entry(refused.json["code"].to_string())
                    .or_default() += 1;
            }
            *self.statuses.lock().unwrap().entry(status).or_default() += 1;
            if status != 201 {
                // Waits a little before the next attempt, since a refusal may come at once.
                std::thread::sleep(Duration::from_millis(5));
                return status != 0;
            }
            self.threads
                .lock()
                .unwrap()
                .insert(thread.to_owned(), over + 1);
        }
        true
    }

    /// Asserts that every thread has what was acknowledged, byte for byte and without gaps, and at most `more` further
    /// versions whose acknowledgement was lost. Returns the number of these.
    #[track_caller]
    pub(crate) fn check(&self, client: &Client, more: u32) -> u32 {
        let mut unacknowledged = 0;
        for (thread, version) in self.threads.lock().unwrap().iter() {
            let history = client.get(&format!("/signature/versions?document=d&thread={thread}"));
            if history.status == 404 {
                assert_eq!(*version, 0, "{thread} is lost");
                continue;
            }
            let versions = history.expect(200).versions().to_vec();
            let stored = u32::try_from(versions.len()).unwrap();
            assert!(
                (*version..=version + more).contains(&stored),
                "{thread}: {version} acknowledged, {stored} stored"
            );
            unacknowledged += stored - version;
            for (over, saved) in (0..stored).rev().zip(versions) {
                assert_eq!(saved["version"], over + 1);
                assert_eq!(saved["signature"], Self::body(thread, over));
            }
        }
        unacknowledged
    }

    pub(crate) fn acknowledged(&self) -> u32 {
        self.statuses
            .lock()
            .unwrap()
            .get(&201)
            .copied()
            .unwrap_or_default()
    }
}
