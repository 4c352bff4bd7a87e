//! Writers that save through several servers, and never give up.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Client;
use super::Program;
use super::Response;
use super::eventually_within;

/// How long a client asks again.
const PATIENCE: Duration = Duration::from_secs(60);
const WRITERS: usize = 8;

/// Asks one server after another, as who balances load does, and asks again where one is not available.
pub(crate) struct Balancer {
    servers: Vec<Client>,
    next: AtomicUsize,
    /// How many answers to saves and reads had each status; 0 is no answer.
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

    /// The first answer that is no 503.
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

    /// Saves until that is acknowledged: 201, or 200 where it was saved before and the answer lost.
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

    /// The versions of a thread, oldest first, are these many, byte for byte.
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

    /// Writers save, three versions in a thread, before something is done to what they save in, meanwhile and after it. Gives
    /// their threads, each of which is whole.
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
                        // Another server has it at once.
                        self.check(&thread, 3);
                        threads.lock().unwrap().push(thread);
                    }
                });
            }
            // Also where it fails, or the writers would go on for good.
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

    /// How long until something is saved, on each server.
    pub(crate) fn recovery(&self, name: &str) -> Duration {
        let since = Instant::now();
        for (number, server) in self.servers.iter().enumerate() {
            eventually_within(PATIENCE, || {
                // A thread of its own each time, since what was refused may have been stored.
                let thread = format!("{name}-{number}-{:?}", since.elapsed());
                server.save("recovery", &thread, 0, "x").status == 201
            });
        }
        since.elapsed()
    }

    /// Saves and reads were answered, or refused with the advice to try again, and nothing else.
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

/// Tells writers to stop when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn text(thread: &str, over: u32) -> String {
    format!("{thread} over {over} {}", "x".repeat(6000))
}
