//! Faults between a server and its database, and of what both stand on: clients are told to come back, within bounds that
//! follow from the settings; nothing acknowledged is lost; and all is well soon after. `tests/crashes.sh` does it more often.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::support::{Load, Response};

mod clock;
mod disk;
mod locks;
mod network;

/// What a machine that is busy with other tests may add.
const BUSY: Duration = Duration::from_secs(3);
const SECOND: Duration = Duration::from_secs(1);

impl Response {
    /// Makes sure that it says to come back, for want of the database or a turn.
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

    /// Makes sure that it says when to come back.
    #[track_caller]
    fn expect_retry(&self) {
        assert!(self.header("retry-after").is_some());
    }
}

/// Says so loudly that this machine lacks what a test needs, past the test harness that keeps what tests print.
fn not_run(what: &str, why: &str) {
    let told = writeln!(std::io::stderr(), "NOT TESTED: {what}: {why}");
    told.unwrap();
}

/// Nothing but saves and refusals for want of the database or a turn.
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

/// What writers were told, in a line for people.
fn summary(load: &Load) -> String {
    format!(
        "answers by status {:?}, refusals by code {:?}, the slowest after {:?}",
        load.statuses.lock().unwrap(),
        load.codes.lock().unwrap(),
        load.slowest.lock().unwrap()
    )
}
