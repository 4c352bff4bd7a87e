//! Writers who save in parallel while something fails, and what must be there afterwards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::Client;
use super::Stopwatch;
use super::eventually;

/// How often something fails: as often as `SIGPERSIST_TEST_ROUNDS` says.
pub(crate) fn rounds(usual: u64) -> u64 {
    std::env::var("SIGPERSIST_TEST_ROUNDS").map_or(usual, |rounds| {
        rounds.parse().expect("SIGPERSIST_TEST_ROUNDS is a number")
    })
}

/// Tells writers to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What writers were told.
#[derive(Default)]
pub(crate) struct Load {
    /// The version that was acknowledged last, by thread: 0 for none.
    threads: Mutex<HashMap<String, u32>>,
    /// How many answers had each status; 0 is no answer.
    pub(crate) statuses: Mutex<BTreeMap<u16, u32>>,
    /// How many refusals with 503 had each code.
    pub(crate) codes: Mutex<BTreeMap<String, u32>>,
    /// The answer that took longest.
    pub(crate) slowest: Mutex<Duration>,
}

impl Load {
    fn body(thread: &str, over: u32) -> String {
        format!("{thread} over {over} {}", "x".repeat(6000))
    }

    /// Eight writers save, and after a while and an acknowledged save something is done to what they save in. A writer begins another thread when
    /// it has three versions or its save was refused, and ends when there is no answer.
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
            // Also where it fails, or the writers would go on for good.
            let _stop = Stop(&stop);
            std::thread::sleep(Duration::from_millis(300 + 37 * (round % 10)));
            eventually(|| self.acknowledged() > acknowledged);
            done()
        })
    }

    /// Whether there were answers.
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
                // What refuses at once is not asked at once again.
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

    /// Every thread has what was acknowledged, byte for byte, under numbers without a gap, and at most so many versions
    /// more: those whose acknowledgement was lost. Says how many those are.
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
