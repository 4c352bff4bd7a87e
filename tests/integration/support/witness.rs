//! A witness of logs, as c2sp.org/tlog-witness describes it, and what else may be found at its address.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sigpersist_tlog::{
    AddCheckpoint, Checkpoint, EMPTY_ROOT, Hash, Note, SigningKey, VerifierKey, cosign,
    verify_consistency,
};

use super::{Client, eventually};

/// A way to answer requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    /// It plays by c2sp.org/tlog-witness.
    Honest,
    /// It does that, and answers after a while.
    Slow(Duration),
    /// It closes the connection.
    Down,
    /// It reads, and does not answer.
    Hanging,
    /// It answers with this status and text.
    Answering(u16, &'static str),
    /// Its answer never ends.
    Endless,
    /// It signs another checkpoint.
    Lying,
}

/// The memory of a witness.
struct State {
    manner: Manner,
    /// The keys of the logs that it knows.
    logs: HashMap<String, Vec<VerifierKey>>,
    /// The size and root that it signed last.
    seen: HashMap<String, (u64, Hash)>,
    /// The old sizes and sizes of requests, and the status of each.
    asked: Vec<(u64, u64, u16)>,
}

/// A witness that plays by c2sp.org/tlog-witness, unless it is told to do something else.
pub(crate) struct Witness {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) key: Arc<SigningKey>,
    state: Arc<Mutex<State>>,
}

impl Witness {
    pub(crate) fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/w", listener.local_addr().unwrap());
        let (key, _) = SigningKey::generate();
        let witness = Self {
            name: name.to_owned(),
            url,
            key: Arc::new(key),
            state: Arc::new(Mutex::new(State {
                manner: Manner::Honest,
                logs: HashMap::new(),
                seen: HashMap::new(),
                asked: Vec::new(),
            })),
        };
        let (name, key) = (witness.name.clone(), Arc::clone(&witness.key));
        let state = Arc::clone(&witness.state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (name, key) = (name.clone(), Arc::clone(&key));
                let (state, client) = (Arc::clone(&state), client.unwrap());
                thread::spawn(move || serve(client, &name, &key, &state));
            }
        });
        witness
    }

    pub(crate) fn vkey(&self) -> VerifierKey {
        VerifierKey::witness(&self.name, self.key.public_key())
    }

    /// Adds it to the log of a caller, and the log to it.
    pub(crate) fn join(&self, operator: &Client) {
        self.know(operator);
        operator
            .json("POST", "/log/witnesses", &self.form())
            .expect(201);
    }

    pub(crate) fn form(&self) -> Value {
        json!({ "name": self.name, "url": self.url, "key": self.vkey().to_string() })
    }

    /// Tells it the keys of a log.
    pub(crate) fn know(&self, operator: &Client) {
        let keys = operator.get("/log/keys").expect(200);
        let mut logs: HashMap<String, Vec<VerifierKey>> = HashMap::new();
        for key in keys.json["content"]["keys"].as_array().unwrap() {
            for key in key["verifier_keys"].as_array().unwrap() {
                let key: VerifierKey = key.as_str().unwrap().parse().unwrap();
                logs.entry(key.name.clone()).or_default().push(key);
            }
        }
        assert!(!logs.is_empty());
        self.state.lock().unwrap().logs.extend(logs);
    }

    pub(crate) fn set(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    pub(crate) fn asked(&self) -> Vec<(u64, u64, u16)> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Its entry in the list of a log's witnesses.
    pub(crate) fn shown(&self, operator: &Client) -> Value {
        let list = operator.get("/log/witnesses").expect(200);
        let list = list.json["content"]["witnesses"].as_array().unwrap();
        list.iter()
            .find(|witness| witness["name"] == self.name)
            .unwrap()
            .clone()
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, operator: &Client, state: &str) -> Value {
        eventually(|| self.shown(operator)["state"] == state);
        self.shown(operator)
    }

    /// Waits until it has signed all of the log.
    #[track_caller]
    pub(crate) fn catch_up(&self, operator: &Client) {
        eventually(|| self.shown(operator)["behind"] == 0);
    }
}

fn serve(client: TcpStream, name: &str, key: &SigningKey, state: &Mutex<State>) {
    let mut client = BufReader::new(client);
    let (mut line, mut length) = (String::new(), 0);
    client.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    loop {
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    let request: AddCheckpoint = body.parse().unwrap();
    let note = Note::parse(&request.checkpoint).unwrap();
    let checkpoint = Checkpoint::parse(&note.text).unwrap();
    let manner = state.lock().unwrap().manner;
    let (status, answer) = match manner {
        _ if path != "/w/add-checkpoint" => (404, String::new()),
        Manner::Honest | Manner::Slow(_) => judge(&request, &checkpoint, name, key, state),
        Manner::Answering(status, text) => (status, text.to_owned()),
        Manner::Lying => (200, cosign(key, name, "a\n1\nAAAA\n", 1)),
        Manner::Down | Manner::Hanging | Manner::Endless => (0, String::new()),
    };
    let asked = (request.old_size, checkpoint.size, status);
    state.lock().unwrap().asked.push(asked);
    if let Manner::Slow(pause) = manner {
        thread::sleep(pause);
    }
    let client = client.get_mut();
    match manner {
        Manner::Down => {}
        Manner::Hanging => thread::sleep(Duration::from_mins(1)),
        Manner::Endless => {
            drop(client.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n"));
            while client.write_all(&[b'a'; 4096]).is_ok() {}
        }
        _ => {
            let length = answer.len();
            let head = format!(
                "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            // A test may be over already.
            drop(client.write_all((head + &answer).as_bytes()));
        }
    }
}

/// The answer of an honest witness.
fn judge(
    request: &AddCheckpoint,
    checkpoint: &Checkpoint,
    name: &str,
    key: &SigningKey,
    state: &Mutex<State>,
) -> (u16, String) {
    let mut state = state.lock().unwrap();
    let origin = &checkpoint.origin;
    let Some(keys) = state.logs.get(origin) else {
        return (404, String::new());
    };
    if Checkpoint::open(&request.checkpoint, origin, keys).is_err() {
        return (403, String::new());
    }
    if request.old_size > checkpoint.size {
        return (400, String::new());
    }
    let (size, root) = *state.seen.get(origin).unwrap_or(&(0, EMPTY_ROOT));
    let is_other = checkpoint.size == size && checkpoint.root != root;
    if request.old_size != size || is_other {
        return (409, format!("{size}\n"));
    }
    let verified = verify_consistency(
        size,
        checkpoint.size,
        &request.proof,
        &root,
        &checkpoint.root,
    );
    if verified.is_err() {
        return (422, String::new());
    }
    let now = (checkpoint.size, checkpoint.root);
    state.seen.insert(origin.clone(), now);
    let at_s = u64::try_from(chrono::Utc::now().timestamp()).unwrap();
    let stranger = SigningKey::generate().0;
    // Signatures of other keys are ignored.
    let lines = cosign(&stranger, "stranger", &checkpoint.to_text(), at_s)
        + &cosign(key, name, &checkpoint.to_text(), at_s);
    (200, lines)
}
