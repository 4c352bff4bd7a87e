//! Servers on loopback that behave as badly as a test wants.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use http::{HeaderMap, Method};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use sigpersist_outbound::{Answer, Failure, Limits, Outbound, Request, Roots, Rules, Step};

/// The whole time of an exchange in tests.
pub(crate) const WHOLE: Duration = Duration::from_millis(300);

pub(crate) const LIMITS: Limits = Limits {
    connect: Duration::from_millis(250),
    whole: WHOLE,
    max_answer: 1000,
};

/// Heads and bodies of requests, in the order in which they arrived.
pub(crate) type Seen = Mutex<Vec<(String, Vec<u8>)>>;

/// Limits for peers that hold up the connection.
pub(crate) const LONG_AFTER_CONNECTING: Limits = Limits {
    whole: Duration::from_secs(30),
    ..LIMITS
};

/// A server that handles each connection with a function, in a thread of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1:0", handle)
    }

    pub(crate) fn at(address: &str, handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, handle) = (Arc::clone(&connections), Arc::new(handle));
        thread::spawn(move || {
            for client in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let handle = Arc::clone(&handle);
                thread::spawn(move || handle(client.unwrap()));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// A server that reads the head of each request, then writes so much of an answer.
    pub(crate) fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::start(move |mut client| {
            read_head(&client);
            // The client may hang up before it has read everything.
            drop(client.write_all(answer.as_ref()));
        })
    }

    /// A server with TLS and a certificate for the names. Returns its authority in PEM, too.
    pub(crate) fn secure(names: &[&str]) -> (Self, Vec<u8>) {
        let (config, pem) = certificate(names, |_| ());
        (Self::with_tls(config), pem)
    }

    /// A server with TLS that answers 200 with the name that the client asked for, and the kind of handshake.
    pub(crate) fn with_tls(config: Arc<ServerConfig>) -> Self {
        Self::start(move |client| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut client = StreamOwned::new(session, client);
            let mut seen = [0; 4096];
            if client.read(&mut seen).is_ok_and(|seen| seen > 0) {
                let name = client.conn.server_name().unwrap_or("none").to_owned();
                let body = format!("{name} {:?}", client.conn.handshake_kind().unwrap());
                let length = body.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                drop(client.write_all(answer.as_bytes()));
                drop(client.flush());
            }
        })
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A client that may reach this server only, and finds it under each name.
    pub(crate) fn outbound(&self) -> Outbound {
        let address = self.address.ip();
        Outbound::with_resolver(self.rules(), roots(), move |_| Ok(vec![address])).unwrap()
    }

    pub(crate) fn rules(&self) -> Rules {
        let allow = vec![self.address.to_string().parse().unwrap()];
        Rules { allow }
    }
}

/// An authority that signed nothing.
pub(crate) fn roots() -> Roots {
    Roots::Pem(certificate(&["unused.example"], |_| ()).1)
}

/// A self-signed certificate, changed before it is signed, and the settings of a server that has it.
pub(crate) fn certificate(
    names: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (Arc<ServerConfig>, Vec<u8>) {
    let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.pem().into_bytes())
}

/// Reads a request up to the empty line.
pub(crate) fn read_head(client: &TcpStream) -> String {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    head
}

/// Reads a request whose body has a length, and remembers it.
pub(crate) fn remember(client: &TcpStream, seen: &Seen) {
    let mut reader = BufReader::new(client);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let length = head
        .lines()
        .find_map(|line| {
            line.to_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    seen.lock().unwrap().push((head, body));
}

pub(crate) fn post<'a>(url: &'a str, body: &'a [u8]) -> Request<'a> {
    Request {
        method: Method::POST,
        url,
        headers: HeaderMap::new(),
        body,
    }
}

/// Sends a small request and tells how long it took.
#[track_caller]
pub(crate) fn timed(
    outbound: &Outbound,
    request: Request<'_>,
) -> (Result<Answer, Failure>, Duration) {
    timed_within(outbound, request, LIMITS)
}

#[track_caller]
pub(crate) fn timed_within(
    outbound: &Outbound,
    request: Request<'_>,
    limits: Limits,
) -> (Result<Answer, Failure>, Duration) {
    let begin = std::time::Instant::now();
    let result = outbound.send(request, limits);
    let took = begin.elapsed();
    println!("{took:?}: {result:?}");
    (result, took)
}

/// Fails unless an exchange ended in this step, at the deadline of the step.
#[track_caller]
pub(crate) fn assert_timeout(result: &Result<Answer, Failure>, took: Duration, step: Step) {
    assert_eq!(result, &Err(Failure::Timeout(step)));
    let deadline = match step {
        Step::Answer => LIMITS.whole,
        Step::Lookup | Step::Connect | Step::Tls => LIMITS.connect,
    };
    assert!(took >= deadline, "{took:?}");
    // Other work on the machine may delay the thread, but not by seconds.
    assert!(took < deadline + Duration::from_millis(700), "{took:?}");
}
