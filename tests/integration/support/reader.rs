//! A reader of events that keeps nothing but its cursor, however often the server goes away.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::{Client, eventually_within};

/// Time for the log to have everything after the last crash.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a reader has been told.
#[derive(Default)]
pub(crate) struct Reader {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    after: i64,
    /// The last version of each thread.
    versions: HashMap<(String, String), i64>,
}

impl Reader {
    /// Reads while something is done, for as long as the server answers.
    pub(crate) fn during<T>(&self, client: &Client, done: impl FnOnce() -> T) -> T {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let goes_on = || !is_over.load(Ordering::SeqCst);
                while goes_on() && self.read(client, 1).is_some() {
                    std::thread::yield_now();
                }
            });
            let result = done();
            is_over.store(true, Ordering::SeqCst);
            result
        })
    }

    /// Reads a page. Returns the number of its events; none if the server does not answer.
    fn read(&self, client: &Client, wait: u32) -> Option<usize> {
        let mut state = self.state.lock().unwrap();
        let path = format!("/events?after={}&limit=50&wait={wait}", state.after);
        let answer = client.try_send("GET", &path, &[], None).ok()?;
        if answer.status != 200 {
            return None;
        }
        let content = &answer.json["content"];
        let events = content["events"].as_array().unwrap();
        for event in events {
            state.after += 1;
            assert_eq!(
                event["number"], state.after,
                "a number is missing, or told twice"
            );
            if event["type"] == "version.saved" {
                let name = |member: &str| event[member].as_str().unwrap().to_owned();
                let version = state
                    .versions
                    .entry((name("document"), name("thread")))
                    .or_default();
                *version += 1;
                assert_eq!(event["version"], *version, "{event}");
            }
        }
        assert_eq!(content["next"], state.after);
        Some(events.len())
    }

    /// Checks that the log holds, and that it told of every stored version, once and in order. `run` runs a command on the
    /// database.
    #[track_caller]
    pub(crate) fn check(&self, client: &Client, run: impl Fn(&[&str]) -> String) {
        check_log(&run);
        while self.read(client, 0).is_some_and(|events| events > 0) {}
        let usage: Value =
            serde_json::from_str(&run(&["tenant", "usage", "acme", "--json"])).unwrap();
        let told: i64 = self.state.lock().unwrap().versions.values().sum();
        assert_eq!(usage["usage"]["versions"], told);
    }
}

/// Waits until everything is in the log of the tenant `acme`, and checks that it holds.
#[track_caller]
pub(crate) fn check_log(run: impl Fn(&[&str]) -> String) {
    let verify =
        || -> Value { serde_json::from_str(&run(&["log", "verify", "acme", "--json"])).unwrap() };
    eventually_within(PATIENCE, || verify()["waiting"] == 0);
    let checked = verify();
    assert_eq!(checked["whole"], true, "{checked}");
}
