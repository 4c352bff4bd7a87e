//! Load from a separate process: this program, started again. It has one thread and prepares its requests, so that it
//! takes as little as possible from the server on the same machine.

#[path = "client.rs"]
mod client;

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

/// The argument that makes this program the load.
const ARGUMENT: &str = "offer-load";
/// A placeholder in a request for a number of ten digits.
pub(crate) const NUMBER: &str = "NNNNNNNNNN";

/// A request to a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) address: String,
    /// The whole request; [`NUMBER`] in it is replaced.
    pub(crate) request: String,
    pub(crate) numbers: Numbers,
}

/// The numbers of requests.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Numbers {
    /// Consecutive numbers from this one on.
    From(u64),
    /// Random numbers below this one.
    Below(u64),
}

/// The timing of requests.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Pace {
    /// Each connection sends a request when its previous one is answered.
    Closed,
    /// Like [`Self::Closed`], up to this many requests.
    Times(u64),
    /// This many requests per second, whatever the answers.
    Open(f64),
}

/// A load to offer to servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Each connection sends these in turn.
    pub(crate) targets: Vec<Target>,
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    pub(crate) seconds: f64,
    /// Whether connections are closed at the end without waiting for answers.
    pub(crate) hangs_up: bool,
}

/// An answer, with times in microseconds since the load began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// The index of the target.
    pub(crate) target: usize,
    /// The status; 0 if the connection broke, 1 if the client closed it.
    pub(crate) status: u16,
    /// Whether the answer has `Retry-After`.
    pub(crate) retry_after: bool,
    /// Time when the request was due.
    pub(crate) due: u64,
    /// Time when the whole request had been sent.
    pub(crate) sent: u64,
    pub(crate) answered: u64,
}

impl Answer {
    /// Milliseconds from when the request was due.
    pub(crate) fn ms(&self) -> f64 {
        as_ms(self.answered - self.due)
    }

    /// Milliseconds from when the whole request had been sent.
    pub(crate) fn ms_since_sent(&self) -> f64 {
        as_ms(self.answered - self.sent)
    }
}

fn as_ms(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

/// The result of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) answers: Vec<Answer>,
    /// Requests that were due while all connections were busy.
    pub(crate) unsent: u64,
}

impl Outcome {
    /// Successful answers per second, from the first to the last.
    pub(crate) fn successes_per_second(&self) -> f64 {
        let times = self.answers.iter().filter(|answer| is_success(answer));
        let (mut count, mut first, mut last) = (0_u32, u64::MAX, 0);
        for answer in times {
            count += 1;
            first = first.min(answer.answered);
            last = last.max(answer.answered);
        }
        f64::from(count) / Duration::from_micros(last.saturating_sub(first)).as_secs_f64()
    }

    /// The times of a target's successful answers, in milliseconds, sorted.
    pub(crate) fn times(&self, target: usize) -> Vec<f64> {
        let answers = self.answers.iter();
        let mut times: Vec<_> = answers
            .filter(|answer| answer.target == target && is_success(answer))
            .map(Answer::ms)
            .collect();
        times.sort_by(f64::total_cmp);
        times
    }

    /// Asserts that all answers were successful.
    #[track_caller]
    pub(crate) fn all_succeeded(self) -> Self {
        let wrong = self.answers.iter().find(|answer| !is_success(answer));
        assert!(wrong.is_none(), "{wrong:?}");
        assert!(!self.answers.is_empty(), "nothing was answered");
        self
    }
}

pub(crate) fn is_success(answer: &Answer) -> bool {
    (200..300).contains(&answer.status)
}

/// A percentile of sorted values, or 0 if there are none.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((sorted.len() * percent / 100).min(last))
        .copied()
        .unwrap_or(0.0)
}

/// A load that is running.
#[derive(Debug)]
pub(crate) struct Offer(Child);

impl Load {
    /// Starts the load.
    pub(crate) fn start(&self) -> Offer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), self).unwrap();
        Offer(child)
    }

    /// Runs the load from beginning to end.
    pub(crate) fn run(&self) -> Outcome {
        self.start().finish()
    }
}

impl Offer {
    /// Waits for the end and returns the result.
    pub(crate) fn finish(self) -> Outcome {
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success(), "the load failed");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        let unsent = lines.next().unwrap().parse().unwrap();
        let answers = lines.map(|line| {
            let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
            let mut next = || -> u64 { numbers.next().unwrap() };
            Answer {
                target: usize::try_from(next()).unwrap(),
                status: u16::try_from(next()).unwrap(),
                retry_after: next() == 1,
                due: next(),
                sent: next(),
                answered: next(),
            }
        });
        Outcome {
            answers: answers.collect(),
            unsent,
        }
    }
}

/// Runs the load if this process was started for that. Returns whether it was.
pub(crate) fn was_the_load() -> bool {
    if std::env::args().nth(1).as_deref() != Some(ARGUMENT) {
        return false;
    }
    let load: Load = serde_json::from_reader(std::io::stdin()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = LocalSet::new().block_on(&runtime, client::offer(load));
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    writeln!(out, "{}", outcome.unsent).unwrap();
    for answer in outcome.answers {
        let Answer {
            target,
            status,
            retry_after,
            due,
            sent,
            answered,
        } = answer;
        let retry_after = u8::from(retry_after);
        writeln!(
            out,
            "{target} {status} {retry_after} {due} {sent} {answered}"
        )
        .unwrap();
    }
    out.flush().unwrap();
    true
}

/// A request with a token, and with JSON unless that is empty.
pub(crate) fn request(method: &str, path: &str, token: &str, json: &str) -> String {
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n");
    if json.is_empty() {
        return head + "\r\n";
    }
    let length = json.len();
    format!("{head}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}")
}
