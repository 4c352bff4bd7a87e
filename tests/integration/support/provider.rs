//! An identity provider by https, and what else may be found at its address.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Jwt, EncodingKey};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sigpersist::auth::key::new_key_pair;
use sigpersist::config::Config;
use sigpersist_model::key::Algorithm;
use sigpersist_verify::pki::to_pem;
use tempfile::TempDir;

use super::temp_dir;

/// An answer of a provider.
#[derive(Debug, Clone)]
pub(crate) enum Page {
    /// This text, with the status 200.
    Text(String),
    /// These bytes after the request, whatever they are.
    Raw(String),
    /// The text, after a while.
    Slow(Duration, String),
    /// Nothing, ever.
    Hanging,
    /// A body without end.
    Endless,
}

#[derive(Default)]
struct State {
    pages: HashMap<String, Page>,
    asked: Vec<String>,
}

/// An identity provider with a certificate for 127.0.0.1.
pub(crate) struct Provider {
    /// Its host and port.
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
    authority: PathBuf,
    _folder: TempDir,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let folder = temp_dir();
        let authority = folder.path().join("authority.pem");
        std::fs::write(&authority, made.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], key)
            .unwrap();
        let (tls, state) = (Arc::new(tls), Arc::new(Mutex::new(State::default())));
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (tls, state) = (Arc::clone(&tls), Arc::clone(&served));
                let client = client.unwrap();
                thread::spawn(move || serve(&tls, client, &state));
            }
        });
        Self {
            host,
            state,
            authority,
            _folder: folder,
        }
    }

    /// Lets a server ask it.
    pub(crate) fn trust(&self, config: &mut Config) {
        config.auth.jwks_hosts = format!("id.example.com, {}", self.host);
        config.auth.jwks_allow = self.host.clone();
        config.auth.jwks_ca_file = Some(self.authority.clone());
        // A busy machine must not make a fetch fail. Tests about time set their own.
        config.auth.jwks_timeout_ms = 30_000;
        config.http.queue_timeout_ms = 30_000;
    }

    /// The `iss` of a realm of its.
    pub(crate) fn issuer(&self, realm: &str) -> String {
        format!("https://{}/realms/{realm}", self.host)
    }

    pub(crate) fn keys_url(&self, realm: &str) -> String {
        format!("{}/certs", self.issuer(realm))
    }

    /// Publishes the configuration and the keys of a realm.
    pub(crate) fn publish(&self, realm: &str, keys: &[&TestKey]) {
        let configuration = json!({
            "issuer": self.issuer(realm),
            "jwks_uri": self.keys_url(realm),
            "token_endpoint": "https://example.com/token",
        });
        let page = format!("/realms/{realm}/.well-known/openid-configuration");
        self.page(&page, Page::Text(configuration.to_string()));
        self.page(
            &format!("/realms/{realm}/certs"),
            Page::Text(set(keys).to_string()),
        );
    }

    /// Sets the answer at a path.
    pub(crate) fn page(&self, path: &str, page: Page) {
        let mut state = self.state.lock().unwrap();
        state.pages.insert(path.to_owned(), page);
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|asked| *asked == path).count()
    }
}

fn serve(tls: &Arc<ServerConfig>, client: TcpStream, state: &Mutex<State>) {
    let session = ServerConnection::new(Arc::clone(tls)).unwrap();
    let mut client = BufReader::new(StreamOwned::new(session, client));
    let mut first = String::new();
    if client.read_line(&mut first).is_err() {
        return;
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut line = String::new();
    while client.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    let page = {
        let mut state = state.lock().unwrap();
        state.asked.push(path.clone());
        state.pages.get(&path).cloned()
    };
    let ok = |text: &str| {
        let length = text.len();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{text}"
        )
    };
    let answer = match page {
        Some(Page::Text(text)) => ok(&text),
        Some(Page::Raw(answer)) => answer,
        Some(Page::Slow(delay, text)) => {
            thread::sleep(delay);
            ok(&text)
        }
        Some(Page::Hanging) => {
            thread::sleep(Duration::from_secs(60));
            return;
        }
        Some(Page::Endless) => {
            let client = client.get_mut();
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n{\"keys\": [";
            let mut sent = client.write_all(head);
            while sent.is_ok() {
                sent = client.write_all(&[b' '; 65_536]);
            }
            return;
        }
        None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
    };
    let client = client.get_mut();
    // The server may hang up before it has read everything.
    drop(client.write_all(answer.as_bytes()));
    drop(client.flush());
    client.conn.send_close_notify();
    drop(client.flush());
}

/// A key set with these keys.
pub(crate) fn set(keys: &[&TestKey]) -> Value {
    let keys: Vec<_> = keys.iter().map(|key| key.public.clone()).collect();
    json!({ "keys": keys })
}

/// A key pair of a provider.
pub(crate) struct TestKey {
    pub(crate) kid: String,
    pub(crate) algorithm: Jwt,
    /// The public key as a JSON Web Key.
    pub(crate) public: Value,
    signer: EncodingKey,
}

impl TestKey {
    pub(crate) fn new(kid: &str, algorithm: Jwt) -> Self {
        let of = match algorithm {
            Jwt::ES256 => Algorithm::Es256,
            Jwt::ES384 => Algorithm::Es384,
            Jwt::EdDSA => Algorithm::EdDsa,
            _ => Algorithm::Rs256,
        };
        let (public, private) = new_key_pair(of).unwrap();
        let pem = to_pem("PRIVATE KEY", &private);
        let signer = match of {
            Algorithm::Rs256 => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Algorithm::EdDsa => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        let mut public = public.to_jwk(kid).unwrap();
        public["alg"] = json!(algorithm);
        Self {
            kid: kid.to_owned(),
            algorithm,
            public,
            signer: signer.unwrap(),
        }
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm, "kid": self.kid, "typ": "JWT"});
        self.sign_with(&header, claims)
    }

    /// A token with this header and these claims.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    /// A token with the texts of a header and of claims.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = signed.join(".");
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.signer, self.algorithm);
        format!("{signed}.{}", signature.unwrap())
    }
}

/// Claims of a token that is valid for five minutes, with these more.
pub(crate) fn claims(issuer: &str, audience: &str, more: &Value) -> Value {
    let now = jsonwebtoken::get_current_timestamp();
    let mut claims = json!({
        "iss": issuer, "aud": audience, "sub": "crm", "iat": now, "nbf": now, "exp": now + 300,
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}
