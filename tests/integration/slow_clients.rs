//! Clients that send slowly or never read delay nobody else and are disconnected.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Client, Program, TestDatabase, tenant_token};

/// The 99th percentile of the time of a request.
fn p99(client: &Client) -> Duration {
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let since = Instant::now();
            client.read("d", "t").expect(200);
            since.elapsed()
        })
        .collect();
    times.sort();
    times[197]
}

fn connect(server: &Program) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream
}

/// Reads until the server closes the connection.
fn is_let_go(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 65_536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

#[test]
fn five_hundred_slow_clients_hold_nobody_up_and_are_let_go() {
    let database = TestDatabase::new();
    let server = Program::serve_on(
        &database,
        &[
            ("SIGPERSIST_HTTP_HEAD_TIMEOUT_MS", "16000"),
            ("SIGPERSIST_HTTP_BODY_TIMEOUT_MS", "16000"),
            ("SIGPERSIST_HTTP_WRITE_TIMEOUT_MS", "16000"),
        ],
    );
    let token = tenant_token(|arguments| database.run(arguments));
    let client = server.client(&token);
    client.save("d", "t", 0, "small").expect(201);
    client
        .save("large", "t", 0, &"x".repeat(4_000_000))
        .expect(201);
    let alone = p99(&client);
    let head = format!("Host: x\r\nAuthorization: Bearer {token}\r\n");
    let mut slow: Vec<TcpStream> = Vec::new();
    for number in 0..500 {
        let mut stream = connect(&server);
        let sent = match number % 12 {
            // A head that never ends.
            0..=5 => format!("GET /signatures HTTP/1.1\r\n{head}X-Slow: "),
            // A body of which only one byte arrives.
            6..=10 => format!(
                "POST /signature HTTP/1.1\r\n{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
            ),
            // An answer that the client does not read.
            _ => format!("GET /signature?document=large&thread=t HTTP/1.1\r\n{head}\r\n"),
        };
        stream.write_all(sent.as_bytes()).unwrap();
        slow.push(stream);
    }
    // By then the large answers are ready, and wait for their clients.
    std::thread::sleep(Duration::from_secs(3));
    // On a busy machine one measurement may be an outlier; a real delay shows in both.
    let beside = p99(&client).min(p99(&client));
    assert!(
        beside < alone * 3 + Duration::from_millis(30),
        "{beside:?} beside slow clients, {alone:?} alone"
    );
    // By then all timeouts have passed.
    std::thread::sleep(Duration::from_secs(16));
    for (number, stream) in slow.iter_mut().enumerate() {
        assert!(is_let_go(stream), "client {number} is still there");
    }
    client.read("d", "t").expect(200);
    assert!(server.stop().success());
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let database = TestDatabase::new();
    let server = Program::serve_on(&database, &[]);
    // Much longer than the limit, since data that arrives in one piece with the last permitted byte may pass.
    let long = "x".repeat(200_000);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
    ] {
        let mut stream = connect(&server);
        // The server need not read the whole head.
        drop(stream.write_all(head.as_bytes()));
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"HTTP/1.1 431");
    }
}
