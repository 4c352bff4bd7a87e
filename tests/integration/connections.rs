//! Many connections of unauthenticated clients: idle ones are closed first, and those with a request are kept.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use sigpersist::http;

use crate::support::{Client, Stopwatch, TestApp};

/// Maximum number of connections of a server in these tests.
const MOST: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);

fn app(configure: impl FnOnce(&mut sigpersist::config::HttpConfig)) -> TestApp {
    TestApp::start_with(|config| {
        config.http.max_connections = MOST;
        config.http.max_connections_per_peer = MOST;
        // Long timeouts, so that nothing is closed for its age alone.
        config.http.head_timeout_ms = 600_000;
        config.http.body_timeout_ms = 60_000;
        config.http.write_timeout_ms = 60_000;
        configure(&mut config.http);
    })
}

fn address(base: &str) -> SocketAddr {
    base.trim_start_matches("http://").parse().unwrap()
}

/// Connects from 127.0.0.x.
fn connect_from(host: u8, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Opens connections without a request: silent ones, some with half a head, and some whose request was answered.
fn strangers(count: usize, hosts: u8, to: SocketAddr) -> Vec<TcpStream> {
    let connect = |number: usize| {
        let host = 2 + u8::try_from(number % usize::from(hosts)).unwrap();
        let mut stream = connect_from(host, to);
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"GET /health/live HT").unwrap(),
            _ => {
                stream
                    .write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                    .unwrap();
                let mut answer = [0; 12];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"HTTP/1.1 200");
            }
        }
        stream
    };
    (0..count).map(connect).collect()
}

/// Whether the server has kept the connection open.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut stream = stream;
    let mut buffer = [0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

fn assert_answers(base: &str) {
    for _ in 0..3 {
        // Each client opens a connection of its own.
        let anybody = Client::new(base, None);
        anybody.get("/health/live").expect(200);
        let ready = anybody.get("/health/ready").status;
        assert!([200, 503].contains(&ready), "{ready}");
    }
}

/// Sends a save except its end.
fn begin_save(acme: &Client, document: &str, host: u8) -> (TcpStream, String) {
    let body = format!(r#"{{"document": "{document}", "thread": "t", "cms": "x"}}"#);
    let mut stream = connect_from(host, address(&acme.base));
    let token = acme.token.as_ref().unwrap();
    write!(
        stream,
        "POST /signature HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{{",
        body.len()
    )
    .unwrap();
    (stream, body)
}

#[track_caller]
fn finish_save((mut stream, body): (TcpStream, String)) {
    stream.write_all(&body.as_bytes()[1..]).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 201");
}

#[test]
fn strangers_without_a_request_keep_nobody_out() {
    for hosts in [1, 100] {
        let app = app(|_| {});
        let acme = app.tenant("acme");
        let strangers = strangers(5 * MOST, hosts, address(&app.base));
        let since = Stopwatch::start();
        assert_answers(&app.base);
        acme.save("d", "t", 0, "x").expect(201);
        assert!(since.elapsed() < PATIENCE, "{:?}", since.elapsed());
        let open = strangers.iter().filter(|stream| is_open(stream)).count();
        assert!(open <= MOST, "{open}");
    }
}

#[test]
fn a_request_under_way_is_never_closed_for_others() {
    let app = app(|_| {});
    let acme = app.tenant("acme");
    let large = "x".repeat(8_000_000);
    acme.save("large", "t", 0, &large).expect(201);
    let saves: Vec<_> = (0..3)
        .map(|number| begin_save(&acme, &number.to_string(), 200))
        .collect();
    // An answer that the client does not read yet.
    let mut reader = connect_from(200, address(&app.base));
    let token = acme.token.as_ref().unwrap();
    write!(
        reader,
        "GET /signature?document=large&thread=t HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut start = [0; 12];
    reader.read_exact(&mut start).unwrap();
    let strangers = strangers(5 * MOST, 100, address(&app.base));
    assert_answers(&app.base);
    saves.into_iter().for_each(finish_save);
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > large.len(), "{}", rest.len());
    drop(strangers);
}

#[test]
fn where_all_have_requests_others_wait_until_one_is_done() {
    let app = app(|_| {});
    let acme = app.tenant("acme");
    let mut saves: Vec<_> = (0..MOST)
        .map(|number| begin_save(&acme, &number.to_string(), 200))
        .collect();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Client::new(&app.base, None).get("/health/live"));
        std::thread::sleep(Duration::from_millis(500));
        assert!(!waiting.is_finished());
        let (stream, body) = saves.pop().unwrap();
        finish_save((stream, body));
        waiting.join().unwrap().expect(200);
    });
    saves.into_iter().for_each(finish_save);
}

#[test]
fn a_peer_has_no_more_than_its_part() {
    let app = app(|http| http.max_connections_per_peer = 2);
    let acme = app.tenant("acme");
    let to = address(&app.base);
    // If a peer exceeds its limit, its oldest connection without a request is closed.
    let idle: Vec<_> = (0..5).map(|_| connect_from(7, to)).collect();
    assert_answers(&app.base);
    let is_settled = || idle.iter().filter(|stream| is_open(stream)).count() == 2;
    crate::support::eventually(is_settled);
    let saves = [begin_save(&acme, "a", 7), begin_save(&acme, "b", 7)];
    crate::support::eventually(|| !idle.iter().any(is_open));
    // If all its connections have requests, its new connection is refused. Other peers are not affected.
    let mut third = connect_from(7, to);
    let mut byte = [0];
    assert!(matches!(third.read(&mut byte), Ok(0) | Err(_)));
    assert!(!is_open(&third));
    finish_save(begin_save(&acme, "c", 8));
    saves.into_iter().for_each(finish_save);
}

#[test]
fn heads_have_less_time_when_most_places_are_taken() {
    let app = app(|http| http.head_timeout_ms = 10_000);
    let to = address(&app.base);
    let half = |_| {
        let mut stream = connect_from(9, to);
        stream.write_all(b"GET /health/live HT").unwrap();
        stream
    };
    // The timeout drops to a tenth of ten seconds, but only while more than three quarters of the connections are
    // taken.
    let few: Vec<_> = (0..MOST * 3 / 4).map(half).collect();
    std::thread::sleep(Duration::from_secs(3));
    assert!(few.iter().all(is_open));
    let more: Vec<_> = (0..2).map(half).collect();
    let closed = || few.iter().filter(|stream| !is_open(stream)).count() >= 2;
    crate::support::eventually(closed);
    drop(more);
}

#[test]
fn who_watches_is_answered_whoever_else_is_there() {
    let app = app(|_| {});
    let acme = app.tenant("acme");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let watched = listener.local_addr().unwrap();
    let base = format!("http://{watched}");
    let guard = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    drop(guard);
    runtime.spawn(http::serve_watchers(Arc::clone(&app.app), listener));
    // The main port is full of requests, and strangers connect to this port too.
    let saves: Vec<_> = (0..MOST)
        .map(|number| begin_save(&acme, &number.to_string(), 200))
        .collect();
    let strangers = strangers(5 * MOST, 100, watched);
    assert_answers(&base);
    let metrics = Client::new(&base, None).get("/metrics");
    assert_eq!(metrics.status, 200);
    saves.into_iter().for_each(finish_save);
    drop(strangers);
}
