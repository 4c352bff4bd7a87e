//! Load from a separate process, so that it takes no threads from the measured server: saves or reads over connections
//! that are kept open, without a pause or at a pace.
//!
//! The process is the benchmark itself, started again with [`ARGUMENT`]. It reads a [`Load`] from its standard input and
//! writes [`Figures`] to its standard output, as JSON.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::support::{SIGNATURE, connect};

pub(crate) const ARGUMENT: &str = "load";
/// Concurrent connections.
pub(crate) const CONNECTIONS: u64 = 16;

/// The kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// First versions of new documents, with two tags.
    Save,
    /// Current versions of documents that were saved before, at random.
    Read,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) address: String,
    pub(crate) token: String,
    pub(crate) kind: Kind,
    /// The names of documents are this and a number.
    pub(crate) name: String,
    /// The maximum number of documents to save, or the number of documents that were saved before.
    pub(crate) documents: u64,
    /// Duration of the load in seconds; `None`: until the last document is saved.
    pub(crate) seconds: Option<f64>,
    /// Requests per second over all connections; `None`: each connection sends as soon as it has its answer.
    pub(crate) pace: Option<f64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Load {
    /// Runs the load in a separate process.
    pub(crate) fn run(&self) -> Figures {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(child.stdin.take().unwrap(), self).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "the load of {} failed", self.name);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Entry point of the process that [`Self::run`] starts.
    pub(crate) fn main() {
        let load: Self = serde_json::from_reader(std::io::stdin()).unwrap();
        serde_json::to_writer(std::io::stdout(), &load.send()).unwrap();
    }

    fn send(&self) -> Figures {
        // Opens connections one after another, since several processes that accept simultaneous ones share them
        // unevenly.
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let mut connection = Connection::new(self, number);
                connection.check();
                connection
            })
            .collect();
        let start = Instant::now();
        let mut taken_ms: Vec<f64> = std::thread::scope(|scope| {
            let sending: Vec<_> = connections
                .into_iter()
                .map(|connection| scope.spawn(move || connection.send(start)))
                .collect();
            sending
                .into_iter()
                .flat_map(|connection| connection.join().unwrap())
                .collect()
        });
        let seconds = start.elapsed().as_secs_f64();
        taken_ms.sort_by(f64::total_cmp);
        let percentile =
            |percent: usize| taken_ms[(taken_ms.len() * percent / 100).min(taken_ms.len() - 1)];
        Figures {
            per_second: taken_ms.len() as f64 / seconds,
            p50_ms: percentile(50),
            p99_ms: percentile(99),
        }
    }
}

/// One connection and its requests.
struct Connection<'a> {
    load: &'a Load,
    number: u64,
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
    line: String,
    random: u64,
}

impl<'a> Connection<'a> {
    fn new(load: &'a Load, number: u64) -> Self {
        Self {
            load,
            number,
            stream: connect(&load.address),
            request: Vec::new(),
            answer: Vec::new(),
            line: String::new(),
            // A different sequence for each connection, never starting with zero.
            random: (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// Sends one request that is not counted, and asserts that its answer has the saved signature.
    fn check(&mut self) {
        let document = match self.load.kind {
            Kind::Save => format!("{}-check-{}", self.load.name, self.number),
            Kind::Read => format!("{}-{}", self.load.name, self.random_document()),
        };
        self.exchange(&document);
        let answer: serde_json::Value = serde_json::from_slice(&self.answer).unwrap();
        let signature = &answer["content"]["signature"];
        assert_eq!(signature["document"], document.as_str());
        assert_eq!(signature["signature"], SIGNATURE.trim());
        assert_eq!(signature["tags"].as_array().unwrap().len(), 2);
    }

    /// Sends the requests. Returns their times in milliseconds.
    fn send(mut self, start: Instant) -> Vec<f64> {
        let end = self
            .load
            .seconds
            .map_or(Duration::MAX, Duration::from_secs_f64);
        let mut taken_ms = Vec::new();
        // Documents to save and moments of a pace are dealt out to the connections in turn.
        for number in (self.number..).step_by(CONNECTIONS as usize) {
            let due = match self.load.pace {
                Some(pace) => Duration::from_secs_f64(number as f64 / pace),
                None => start.elapsed(),
            };
            let saved_all = self.load.kind == Kind::Save && number >= self.load.documents;
            if saved_all || due.max(start.elapsed()) >= end {
                break;
            }
            let document = match self.load.kind {
                Kind::Save => number,
                Kind::Read => self.random_document(),
            };
            let document = format!("{}-{document}", self.load.name);
            // A request that is late because of the answer before it has waited since it was due. After a sleep, only
            // the time from waking counts: the rest is the clock's delay and not the server's.
            let since = match due.checked_sub(start.elapsed()) {
                Some(pause) => {
                    std::thread::sleep(pause);
                    start.elapsed()
                }
                None => due,
            };
            self.exchange(&document);
            taken_ms.push((start.elapsed() - since).as_secs_f64() * 1e3);
        }
        taken_ms
    }

    /// Sends a request and reads its whole answer.
    fn exchange(&mut self, document: &str) {
        let (load, cms) = (self.load, SIGNATURE.trim());
        let (token, number) = (&load.token, self.number);
        self.request.clear();
        let (written, expected) = match load.kind {
            Kind::Save => {
                let start = format!(
                    r#"{{"document":"{document}","thread":"bench","version":0,"tags":["customer_{number}","process_1"],"cms":""#
                );
                let length = start.len() + cms.len() + 2;
                let written = write!(
                    self.request,
                    "POST /signature HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{start}{cms}\"}}"
                );
                (written, 201)
            }
            Kind::Read => {
                let written = write!(
                    self.request,
                    "GET /signature?document={document}&thread=bench HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n"
                );
                (written, 200)
            }
        };
        written.unwrap();
        self.stream.get_mut().write_all(&self.request).unwrap();
        assert_eq!(self.read_answer(), expected, "{document}");
        assert!(self.answer.len() > cms.len(), "{document}");
    }

    /// Reads an answer. Returns its status, and leaves its body in `answer`.
    fn read_answer(&mut self) -> u16 {
        self.next_line();
        let status = self.line.split(' ').nth(1).unwrap().parse().unwrap();
        let mut length = None;
        loop {
            self.next_line();
            match self.line.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse().unwrap());
                }
                Some(_) => {}
                None => break,
            }
        }
        self.answer.resize(length.unwrap(), 0);
        self.stream.read_exact(&mut self.answer).unwrap();
        status
    }

    fn next_line(&mut self) {
        self.line.clear();
        let read = self.stream.read_line(&mut self.line).unwrap();
        assert!(read > 0, "the connection was closed");
    }

    /// Xorshift is good enough to spread reads over all documents.
    fn random_document(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % self.load.documents
    }
}
