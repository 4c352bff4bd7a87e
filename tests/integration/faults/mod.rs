//! Faults in and between a server and its database. Clients are told to retry, within bounds that follow from the
//! settings; no acknowledged save is lost; and the server soon recovers. `tests/crashes.sh` runs more rounds.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::support::{Load, Response};

mod clock;
mod disk;
mod locks;
mod network;

/// Extra time for a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(1);

impl Response {
    /// Asserts a 503 with `Retry-After`, because the database or a turn is not available.
    #[track_caller]
    fn expect_unavailable(&self) {
        assert_eq!(self.status, 503, "{}", self.text);
        assert!(
            ["database_unavailable", "overloaded"]
                .iter()
                .any(|code| self.json["code"] == json!(code)),
            "{}",
            self.text
        );
        self.expect_retry();
    }

    /// Asserts that there is a `Retry-After`.
    #[track_caller]
    fn expect_retry(&self) {
        assert!(self.header("retry-after").is_some());
    }
}

/// Reports on standard error that this machine lacks what a test needs. Bypasses the test harness, which captures
/// output.
fn not_run(what: &str, why: &str) {
    let told = writeln!(std::io::stderr(), "NOT TESTED: {what}: {why}");
    told.unwrap();
}

/// Asserts that all answers are saves, or refusals because the database or a turn is not available.
#[track_caller]
fn assert_only_refusals(load: &Load) {
    let statuses = load.statuses.lock().unwrap();
    assert!(
        statuses.keys().all(|status| [201, 503].contains(status)),
        "{statuses:?}"
    );
    let codes = load.codes.lock().unwrap();
    assert!(
        codes
            .keys()
            .all(|code| ["\"database_unavailable\"", "\"overloaded\""].contains(&code.as_str())),
        "{codes:?}"
    );
}

/// A line that sums up the answers to the writers.
fn summary(load: &Load) -> String {
    format!(
        "answers by status {:?}, refusals by code {:?}, the slowest after {:?}",
        load.statuses.lock().unwrap(),
        load.codes.lock().unwrap(),
        load.slowest.lock().unwrap()
    )
}
