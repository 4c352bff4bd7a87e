//! A registry of artefacts, as the OCI distribution specification 1.1 describes it, with the tokens of Docker's registry. A test
//! may have it answer otherwise.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sigpersist_model::digest::{sha256, to_hex};

/// A request that a registry got.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    accept: String,
    content_type: String,
    body: Vec<u8>,
}

impl Asked {
    /// The value of a parameter in the query, decoded as far as scopes and digests need it.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(known, _)| *known == name);
        let value = found.next()?.1;
        let value = value.replace("%3A", ":").replace("%2C", ",");
        Some(value.replace("%2F", "/"))
    }
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let error = json!({ "errors": [{ "code": code, "message": message }] });
        Self::status(status).body(error.to_string())
    }
}

/// Callers that a registry serves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Login {
    /// Everybody.
    None,
    /// Holders of its tokens. It makes tokens to pull for everybody, others for its user only.
    Token,
    /// Its user.
    Basic,
}

/// The name and password of the only user.
pub(crate) const USER: (&str, &str) = ("olga", "pa:ss");

type Otherwise = Box<dyn Fn(&Asked) -> Option<Answer> + Send>;

struct State {
    login: Login,
    blobs: HashMap<(String, String), Vec<u8>>,
    manifests: HashMap<(String, String), (String, Vec<u8>)>,
    uploads: HashSet<String>,
    /// The scopes of tokens.
    tokens: HashMap<String, String>,
    asked: Vec<Asked>,
    otherwise: Otherwise,
}

pub(crate) struct Registry {
    /// Host and port.
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub(crate) fn start(login: Login) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            login,
            blobs: HashMap::new(),
            manifests: HashMap::new(),
            uploads: HashSet::new(),
            tokens: HashMap::new(),
            asked: Vec::new(),
            otherwise: Box::new(|_| None),
        }));
        let (shared, own) = (Arc::clone(&state), host.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                let (state, host) = (Arc::clone(&shared), own.clone());
                thread::spawn(move || serve(client.unwrap(), &host, &state));
            }
        });
        Self { host, state }
    }

    /// A reference to an artefact here.
    pub(crate) fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host)
    }

    /// Requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// Has it answer otherwise from now on, where the closure does.
    pub(crate) fn otherwise(&self, answer: impl Fn(&Asked) -> Option<Answer> + Send + 'static) {
        self.state.lock().unwrap().otherwise = Box::new(answer);
    }

    /// A manifest that it stores under a tag or digest.
    pub(crate) fn manifest(&self, repository: &str, name: &str) -> Value {
        let state = self.state.lock().unwrap();
        let key = (repository.to_owned(), name.to_owned());
        serde_json::from_slice(&state.manifests[&key].1).unwrap()
    }

    /// Bytes that it stores.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        state.blobs[&(repository.to_owned(), digest.to_owned())].clone()
    }

    /// Stores bytes behind its back, and returns their digest.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest_of(bytes);
        let mut state = self.state.lock().unwrap();
        let key = (repository.to_owned(), digest.clone());
        state.blobs.insert(key, bytes.to_vec());
        digest
    }

    /// Stores a manifest behind its back, and returns its digest.
    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        tag: &str,
        kind: &str,
        manifest: &Value,
    ) -> String {
        let text = manifest.to_string().into_bytes();
        let digest = digest_of(&text);
        let mut state = self.state.lock().unwrap();
        for name in [tag, &digest] {
            let key = (repository.to_owned(), name.to_owned());
            state.manifests.insert(key, (kind.to_owned(), text.clone()));
        }
        digest
    }
}

pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", to_hex(&sha256(bytes)))
}

fn serve(client: TcpStream, host: &str, state: &Mutex<State>) {
    let mut client = BufReader::new(client);
    let Some(asked) = read(&mut client) else {
        return;
    };
    let answer = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        match (state.otherwise)(&asked) {
            Some(answer) => answer,
            None => state.answer(&asked, host),
        }
    };
    let mut text = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !answer
        .headers
        .iter()
        .any(|(name, _)| *name == "content-length")
    {
        text.push_str(&format!("content-length: {}\r\n", answer.body.len()));
    }
    text.push_str("\r\n");
    let client = client.get_mut();
    // A test may be over already.
    drop(client.write_all(text.as_bytes()));
    if asked.method != "HEAD" {
        drop(client.write_all(&answer.body));
    }
}

fn read(client: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    client.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        client.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or("0", String::as_str);
    let mut body = vec![0; length.parse().ok()?];
    client.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Asked {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        authorization: headers.get("authorization").cloned(),
        accept: headers.get("accept").cloned().unwrap_or_default(),
        content_type: headers.get("content-type").cloned().unwrap_or_default(),
        body,
    })
}

impl State {
    fn answer(&mut self, asked: &Asked, host: &str) -> Answer {
        let basic = BASE64.encode(format!("{}:{}", USER.0, USER.1));
        let is_user = asked.authorization.as_deref() == Some(&format!("Basic {basic}"));
        if asked.path == "/token" {
            return self.token(asked, is_user);
        }
        let Some((repository, rest)) = parted(&asked.path) else {
            return Answer::error(404, "NAME_INVALID", "no such path");
        };
        let right = if matches!(asked.method.as_str(), "GET" | "HEAD") {
            "pull"
        } else {
            "push"
        };
        match self.login {
            Login::None => {}
            Login::Basic if is_user => {}
            Login::Basic => {
                return Answer::error(401, "UNAUTHORIZED", "log in")
                    .with("www-authenticate", "Basic realm=\"tests\"");
            }
            Login::Token => {
                let token = asked.authorization.as_deref();
                let token = token.and_then(|text| text.strip_prefix("Bearer "));
                let scope = token.and_then(|token| self.tokens.get(token));
                let may = scope.is_some_and(|scope| {
                    let actions = scope.strip_prefix(&format!("repository:{repository}:"));
                    actions.is_some_and(|actions| actions.split(',').any(|it| it == right))
                });
                if !may {
                    let challenge = format!(
                        "Bearer realm=\"http://{host}/token\",service=\"tests\",scope=\"repository:{repository}:{right}\""
                    );
                    return Answer::error(401, "UNAUTHORIZED", "authentication required")
                        .with("www-authenticate", challenge);
                }
            }
        }
        let repository = repository.to_owned();
        match (asked.method.as_str(), rest) {
            ("POST", "blobs/uploads/") => {
                let place = format!("/v2/{repository}/blobs/uploads/{}", self.uploads.len());
                self.uploads.insert(place.clone());
                Answer::status(202).with("location", format!("{place}?state=1"))
            }
            ("PUT", rest) if rest.starts_with("blobs/uploads/") => {
                let digest = digest_of(&asked.body);
                if asked.parameter("state").as_deref() != Some("1")
                    || !self.uploads.remove(&asked.path)
                {
                    return Answer::error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
                }
                if asked.parameter("digest") != Some(digest.clone()) {
                    return Answer::error(400, "DIGEST_INVALID", "other bytes");
                }
                self.blobs.insert((repository, digest), asked.body.clone());
                Answer::status(201)
            }
            ("GET" | "HEAD", rest) if rest.starts_with("blobs/") => {
                let digest = rest.trim_start_matches("blobs/").to_owned();
                match self.blobs.get(&(repository, digest)) {
                    Some(bytes) => Answer::status(200).body(bytes.clone()),
                    None => Answer::error(404, "BLOB_UNKNOWN", "no such blob"),
                }
            }
            ("PUT", rest) if rest.starts_with("manifests/") => {
                let name = rest.trim_start_matches("manifests/");
                self.put_manifest(&repository, name, asked)
            }
            ("GET" | "HEAD", rest) if rest.starts_with("manifests/") => {
                let name = rest.trim_start_matches("manifests/").to_owned();
                match self.manifests.get(&(repository, name)) {
                    Some((kind, text)) if asked.accept.contains(kind) => Answer::status(200)
                        .with("content-type", kind)
                        .with("docker-content-digest", digest_of(text))
                        .body(text.clone()),
                    _ => Answer::error(404, "MANIFEST_UNKNOWN", "no such manifest"),
                }
            }
            _ => Answer::error(405, "UNSUPPORTED", "not here"),
        }
    }

    fn put_manifest(&mut self, repository: &str, name: &str, asked: &Asked) -> Answer {
        let manifest: Value = serde_json::from_slice(&asked.body).unwrap();
        if manifest["mediaType"] != asked.content_type.as_str() {
            return Answer::error(400, "MANIFEST_INVALID", "two media types");
        }
        let layers = manifest["layers"].as_array().unwrap().iter();
        for described in layers.chain([&manifest["config"]]) {
            let digest = described["digest"].as_str().unwrap().to_owned();
            let stored = self.blobs.get(&(repository.to_owned(), digest));
            if stored.map(|bytes| json!(bytes.len())) != Some(described["size"].clone()) {
                return Answer::error(404, "MANIFEST_BLOB_UNKNOWN", "push blobs first");
            }
        }
        let digest = digest_of(&asked.body);
        for name in [name, &digest] {
            let key = (repository.to_owned(), name.to_owned());
            let value = (asked.content_type.clone(), asked.body.clone());
            self.manifests.insert(key, value);
        }
        Answer::status(201).with("docker-content-digest", digest)
    }

    fn token(&mut self, asked: &Asked, is_user: bool) -> Answer {
        let scope = asked.parameter("scope").unwrap_or_default();
        if asked.parameter("service").as_deref() != Some("tests")
            || (!is_user && (asked.authorization.is_some() || !scope.ends_with(":pull")))
        {
            return Answer::error(401, "DENIED", "no such user");
        }
        let token = format!("token-{}", self.tokens.len());
        self.tokens.insert(token.clone(), scope);
        Answer::status(200).body(json!({ "token": token, "expires_in": 300 }).to_string())
    }
}

/// The repository that a path is about, and the rest of the path.
fn parted(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix("/v2/")?;
    let at = path
        .rfind("/blobs/")
        .or_else(|| path.rfind("/manifests/"))?;
    Some((&path[..at], &path[at + 1..]))
}
