//! A receiver of webhooks, as an application of a tenant has one.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver as Channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sigpersist_outbound::webhook::{self, Received, Secret};

/// Longest time to wait for a call.
const PATIENCE: Duration = Duration::from_secs(30);
/// How old a call may be.
const TOLERANCE: Duration = Duration::from_secs(300);
/// The largest call that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// A call as it came.
struct Call {
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// Receives calls on this machine, one after the other.
pub(super) struct Receiver {
    /// The URL to call.
    pub(super) url: String,
    calls: Channel<Call>,
}

impl Receiver {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/signatures", listener.local_addr()?);
        let (told, calls) = mpsc::channel();
        thread::spawn(move || {
            for client in listener.incoming() {
                // A call that is not taken is made again.
                let Ok(call) = client.and_then(taken) else {
                    continue;
                };
                if told.send(call).is_err() {
                    return;
                }
            }
        });
        Ok(Self { url, calls })
    }

    /// Waits for so many calls, and verifies that they are signed with the secret. Returns what they told.
    pub(super) fn calls(&self, count: usize, secret: &str) -> anyhow::Result<Vec<Value>> {
        let secret = Secret::parse(secret)?;
        let until = Instant::now() + PATIENCE;
        let mut told = Vec::new();
        while told.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            let call = self
                .calls
                .recv_timeout(left)
                .context("The webhook was not called")?;
            let header = |name: &str| call.headers.get(name).map_or("", String::as_str);
            let received = Received {
                id: header(webhook::ID_HEADER),
                timestamp: header(webhook::TIMESTAMP_HEADER),
                signature: header(webhook::SIGNATURE_HEADER),
                body: &call.body,
            };
            let now = chrono::Utc::now().timestamp();
            webhook::verify(&[&secret], received, now, TOLERANCE)?;
            let event: Value = serde_json::from_slice(&call.body)?;
            ensure!(
                event.get("data").is_some(),
                "The webhook was called without an event"
            );
            told.push(event);
        }
        Ok(told)
    }
}

/// Reads a call, and answers that it was taken.
fn taken(client: TcpStream) -> std::io::Result<Call> {
    client.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(client.try_clone()?).take(MAX_BYTES);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.trim().split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
    }
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    (&client)
        .write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    Ok(Call { headers, body })
}
