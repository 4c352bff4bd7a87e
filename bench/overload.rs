//! Ten times the load that the server can handle: `make bench`.
//!
//! First the maximum rate of saves is measured. Then ten times as many saves come on a schedule, over thousands of
//! connections. At the end, these disconnect without waiting for answers, and at that moment a normal load begins. The
//! client takes processor time from the server and Postgres, since all share one machine. `SECONDS` and `TIMES` in the
//! environment make it longer and harder; `WAIT_MS` lets requests wait longer, so that fewer are refused.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/offer.rs"]
mod offer;
#[path = "support/programs.rs"]
mod programs;
#[expect(dead_code, reason = "other benchmarks use the rest")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use offer::{Answer, Load, NUMBER, Numbers, Outcome, Pace, Target, is_success, percentile};
use support::{SIGNATURE, Server, folder, new_tenant, setting};

/// Maximum time from a request's deadline to its refusal.
const LATENESS_MS: f64 = 50.0;
/// Numbers of connections that are tried to find the maximum rate.
const CONNECTIONS: [usize; 4] = [8, 16, 32, 64];
/// Connections of the overload: fewer than the server's `http.max_connections`, so that a normal load can still
/// connect.
const MANY: usize = 4_000;
/// Memory limit per connection: a request three times, as text, as bytes and as an answer, and buffers.
const BYTES_OF_CONNECTION: usize = 3 * 17_000 + 64 * 1024;
/// Memory limit for everything else in the server.
const BYTES_OF_SERVER: usize = 256 * 1024 * 1024;

fn main() {
    if offer::was_the_load() {
        return;
    }
    let (seconds, times) = (setting("SECONDS", 10) as f64, setting("TIMES", 10) as f64);
    // The time that a request may wait for its turn: a quarter of the default, so that not all of so many connections
    // are served in time.
    let wait_ms = setting("WAIT_MS", 500);
    let folder = folder();
    let data_dir = folder.path().join("data");
    let token = new_tenant(&data_dir, "acme");
    let queue_timeout = wait_ms.to_string();
    let server = Server::start(
        &data_dir,
        &[
            ("SIGPERSIST_HTTP_QUEUE_TIMEOUT_MS", &queue_timeout),
            // All connections come from one address.
            ("SIGPERSIST_HTTP_MAX_CONNECTIONS_PER_PEER", "4096"),
        ],
    );
    let mut first = 0;
    let mut load = |connections, pace, seconds, hangs_up| {
        let save = save(&server.address, &token, first);
        // Far more numbers than one load can use.
        first += 10_000_000;
        Load {
            targets: vec![save],
            connections,
            pace,
            seconds,
            hangs_up,
        }
    };
    load(16, Pace::Closed, 2.0, false).run().all_succeeded();
    let mut peak = 0.0;
    for connections in CONNECTIONS {
        checkpoint(&data_dir);
        let outcome = load(connections, Pace::Closed, seconds / 2.0, false).run();
        let rate = outcome.all_succeeded().successes_per_second();
        println!("{connections:4} connections without a pause  {rate:6.0} saves a second");
        peak = f64::max(peak, rate);
    }
    let normal = load(64, Pace::Open(peak / 4.0), seconds / 2.0, false)
        .run()
        .all_succeeded()
        .times(0);
    let before = memory_bytes(&server, "VmRSS");
    checkpoint(&data_dir);

    let offered = load(MANY, Pace::Open(peak * times), seconds, true);
    let after = load(64, Pace::Open(peak / 4.0), 3.0, false);
    let outcome = offered.run();
    let after = after.run();
    let most = memory_bytes(&server, "VmHWM");

    let answered = outcome.answers.len();
    println!(
        "\n{:.0} saves a second were sent for {seconds} s over {MANY} connections: {answered} answered, {} had no free connection",
        peak * times,
        outcome.unsent
    );
    for (what, count) in statuses(&outcome) {
        println!("       {count:7} {what}");
    }
    let successes = outcome.successes_per_second();
    verdict(
        successes >= 0.9 * peak,
        &format!(
            "{successes:.0} saves a second, {:.2} of the maximum (target 0.9)",
            successes / peak
        ),
    );
    let mut late: Vec<_> = outcome
        .answers
        .iter()
        .filter(|answer| !is_success(answer))
        .map(|answer| answer.ms_since_sent() - wait_ms as f64)
        .collect();
    late.sort_by(f64::total_cmp);
    let unexplained = outcome.answers.iter().filter(|answer| !is_refusal(answer));
    verdict(
        unexplained.filter(|answer| !is_success(answer)).count() == 0,
        "everything else was refused with 503 or 429 and Retry-After",
    );
    verdict(
        late.last().is_none_or(|latest| *latest <= LATENESS_MS),
        &format!(
            "refusals came at most {:.0} ms after the deadline of {wait_ms} ms, 99% at most {:.0} ms, half at most {:.0} ms (target {LATENESS_MS})",
            percentile(&late, 100),
            percentile(&late, 99),
            percentile(&late, 50)
        ),
    );
    let bound = BYTES_OF_SERVER + MANY * BYTES_OF_CONNECTION;
    verdict(
        most <= bound,
        &format!(
            "at most {} MB of memory, {} MB before; {MANY} connections may take {} MB",
            most >> 20,
            before >> 20,
            bound >> 20
        ),
    );
    let mut first_second: Vec<_> = after
        .answers
        .iter()
        .filter(|answer| answer.due < 1_000_000)
        .map(Answer::ms)
        .collect();
    first_second.sort_by(f64::total_cmp);
    let [was, is] = [&normal, &first_second].map(|times| percentile(times, 99));
    verdict(
        is <= 3.0 * was && after.answers.iter().all(is_success),
        &format!(
            "in the first second afterwards, 99% of saves took at most {is:.1} ms, half {:.1}; before: {was:.1} and {:.1} (target 3 times)",
            percentile(&first_second, 50),
            percentile(&normal, 50),
        ),
    );
}

/// Makes Postgres write its dirty buffers now, and not during the next measurement.
fn checkpoint(data_dir: &Path) {
    let status = Command::new(programs::postgres_program("psql"))
        .args([
            "--quiet",
            "--username=postgres",
            "--command=CHECKPOINT",
            "--host",
        ])
        .arg(data_dir.join("run"))
        .arg("sigpersist")
        .status();
    assert!(status.unwrap().success());
}

fn save(address: &str, token: &str, first: u64) -> Target {
    let cms = SIGNATURE.trim();
    let json = format!(
        r#"{{"document":"{NUMBER}","thread":"bench","version":0,"cms":"{cms}","tags":["iin:123456789011","bin:123456789021"]}}"#
    );
    Target {
        address: address.to_owned(),
        request: offer::request("POST", "/signature", token, &json),
        numbers: Numbers::From(first),
    }
}

/// A value of the server's memory from `/proc`: `VmRSS` is the current one, `VmHWM` the peak.
fn memory_bytes(server: &Server, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

fn is_refusal(answer: &Answer) -> bool {
    matches!(answer.status, 429 | 503) && answer.retry_after
}

fn statuses(outcome: &Outcome) -> BTreeMap<String, u32> {
    let mut statuses = BTreeMap::new();
    for answer in &outcome.answers {
        let what = match (answer.status, answer.retry_after) {
            (0, _) => "broken connections".to_owned(),
            (status, true) => format!("{status} with Retry-After"),
            (status, false) => status.to_string(),
        };
        *statuses.entry(what).or_default() += 1;
    }
    statuses
}

fn verdict(holds: bool, what: &str) {
    println!("{} {what}", if holds { "met   " } else { "MISSED" });
}
