//! Writers that save through several servers and retry until they succeed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Client;
use super::Program;
use super::Response;
use super::eventually_within;

/// Time after which a client stops retrying.
const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: usize = 8;

/// A round-robin client of several servers, like a load balancer. Retries on the next server if one is unavailable.
pub(crate) struct Balancer {
    servers: Vec<Client>,
    next: AtomicUsize,
    /// Answers to saves and reads, counted by status; 0 means no answer.
    statuses: Mutex<BTreeMap<(&'static str, u16), u32>>,
}

impl Balancer {
    pub(crate) fn new(servers: &[Program], token: &str) -> Self {
        Self {
            servers: servers.iter().map(|server| server.client(token)).collect(),
            next: AtomicUsize::new(0),
            statuses: Mutex::default(),
        }
    }

    /// Retries until the answer is not 503, and returns that answer.
    #[track_caller]
    fn ask(&self, method: &'static str, path: &str, body: Option<&[u8]>) -> Response {
        let headers = [("content-type", "application/json")];
        let since = Instant::now();
        loop {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let server = &self.servers[next % self.servers.len()];
            let answer = server.try_send(method, path, &headers, body.map(<[u8]>::to_vec));
            let status = answer.as_ref().map_or(0, |response| response.status);
            let count = (method, status);
            *self.statuses.lock().unwrap().entry(count).or_default() += 1;
            match answer {
                Ok(response) if status != 503 => return response,
                other => assert!(since.elapsed() < PATIENCE, "still no answer: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Saves until the save is acknowledged: 201, or 200 if an earlier attempt was saved but its answer was lost.
    #[track_caller]
    fn save(&self, thread: &str, over: u32) {
        let body = json!({ "document": "d", "thread": thread, "version": over, "cms": text(thread, over) });
        let body = body.to_string();
        let saved = self.ask("POST", "/signature", Some(body.as_bytes()));
        assert!(
            [200, 201].contains(&saved.status),
            "{}: {}",
            saved.status,
            saved.text
        );
        assert_eq!(saved.signature()["version"], over + 1);
    }

    /// Asserts that a thread has exactly this many versions, with the expected bytes.
    #[track_caller]
    pub(crate) fn check(&self, thread: &str, versions: u32) {
        let path = format!("/signature/versions?document=d&thread={thread}");
        let history = self.ask("GET", &path, None).expect(200);
        let stored: Vec<_> = history.versions().iter().rev().collect();
        assert_eq!(stored.len(), usize::try_from(versions).unwrap(), "{thread}");
        for (over, saved) in (0..).zip(stored) {
            assert_eq!(saved["version"], over + 1);
            assert_eq!(saved["signature"], text(thread, over));
        }
    }

    /// Runs writers, each saving three versions per thread, before, during and after `done`. Returns the names of the
    /// complete threads.
    pub(crate) fn load<T>(&self, name: &str, done: impl FnOnce() -> T) -> (Vec<String>, T) {
        let stop = AtomicBool::new(false);
        let threads = Mutex::new(Vec::new());
        let result = std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (stop, threads) = (&stop, &threads);
                scope.spawn(move || {
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let thread = format!("{name}-{writer}-{number}");
                        for over in 0..3 {
                            self.save(&thread, over);
                        }
                        // Read through another server: it must show the new versions at once.
                        self.check(&thread, 3);
                        threads.lock().unwrap().push(thread);
                    }
                });
            }
            // Stops the writers even if this thread panics; otherwise they would go on for ever.
            let _stop = Stop(&stop);
            let saved = || threads.lock().unwrap().len();
            eventually_within(PATIENCE, || saved() >= WRITERS);
            let result = done();
            let before = saved();
            eventually_within(PATIENCE, || saved() >= before + WRITERS);
            result
        });
        (threads.into_inner().unwrap(), result)
    }

    /// Time until every server has acknowledged a save.
    pub(crate) fn recovery(&self, name: &str) -> Duration {
        let since = Instant::now();
        for (number, server) in self.servers.iter().enumerate() {
            eventually_within(PATIENCE, || {
                // Uses a new thread each time, since a refused save may have been stored.
                let thread = format!("{name}-{number}-{:?}", since.elapsed());
                server.save("recovery", &thread, 0, "x").status == 201
            });
        }
        since.elapsed()
    }

    /// Asserts that every save and read succeeded or got a 503, and returns the counts as text.
    pub(crate) fn check_statuses(&self) -> String {
        let statuses = self.statuses.lock().unwrap();
        let expected = |(_, status): &(_, u16)| [200, 201, 503].contains(status);
        assert!(statuses.keys().all(expected), "{statuses:?}");
        let counts = statuses
            .iter()
            .map(|((method, status), count)| format!("{count} {method} {status}"));
        counts.collect::<Vec<_>>().join(", ")
    }
}

/// Tells the writers to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn text(thread: &str, over: u32) -> String {
    format!("{thread} over {over} {}", "x".repeat(6000))
}
