//! A receiver of webhooks.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use sigpersist_outbound::webhook::{Received, Secret, verify};

/// A call that a receiver got.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// By their names in lower case.
    pub(crate) headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Call {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The body as it was received.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The event's document and version, or its type.
    pub(crate) fn told(&self) -> String {
        let event = self.json();
        let data = &event["data"];
        match data["document"].as_str() {
            Some(document) => format!("{document} {}", data["version"]),
            None => event["type"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn verifies(&self, secret: &str) -> bool {
        let header = |name: &str| self.headers[name].as_str();
        let received = Received {
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp"),
            signature: header("webhook-signature"),
            body: &self.body,
        };
        let now = chrono::Utc::now().timestamp();
        let secret = Secret::parse(secret).unwrap();
        verify(&[&secret], received, now, Duration::from_secs(300)).is_ok()
    }
}

/// A receiver of webhooks, whose answers a closure decides.
pub(crate) struct Receiver {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Receiver {
    pub(crate) fn start(answer: impl Fn(&Call) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&calls), Arc::new(answer));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                let client = client.unwrap();
                thread::spawn(move || {
                    let mut client = BufReader::new(client);
                    let (mut headers, mut line) = (HashMap::new(), String::new());
                    client.read_line(&mut line).unwrap();
                    loop {
                        let mut line = String::new();
                        client.read_line(&mut line).unwrap();
                        let Some((name, value)) = line.trim().split_once(": ") else {
                            break;
                        };
                        headers.insert(name.to_lowercase(), value.to_owned());
                    }
                    let mut body = vec![0; headers["content-length"].parse().unwrap()];
                    client.read_exact(&mut body).unwrap();
                    let call = Call { headers, body };
                    let status = answer(&call);
                    kept.lock().unwrap().push(call);
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                    // A test may be over already.
                    drop(client.get_mut().write_all(answer.as_bytes()));
                });
            }
        });
        Self { url, calls }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.calls().iter().map(Call::told).collect()
    }
}
