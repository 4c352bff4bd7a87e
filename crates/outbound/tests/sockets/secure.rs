//! Connections with TLS: which certificates are believed, and peers that hold up the handshake.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::DnType;
use rustls::ServerConnection;
use sigpersist_outbound::{Failure, Outbound, Roots, RootsError, Rules, Step, TlsFault};

use crate::server::{
    LONG_AFTER_CONNECTING, Server, WHOLE, assert_timeout, certificate, post, roots, timed,
    timed_within,
};

/// A client that trusts an authority, and finds the server under each name.
fn trusting(server: &Server, pem: Vec<u8>) -> Outbound {
    let address = server.address.ip();
    let found = move |_: &str| Ok(vec![address]);
    Outbound::with_resolver(server.rules(), Roots::Pem(pem), found).unwrap()
}

#[test]
fn the_name_of_the_url_is_asked_for_and_verified() {
    let (server, pem) = Server::secure(&["hooks.example", "127.0.0.1"]);
    let port = server.address.port();
    let outbound = trusting(&server, pem);
    for (host, server_name) in [
        ("hooks.example", "hooks.example Full"),
        ("hooks.example", "hooks.example Full"),
        ("127.0.0.1", "none Full"),
    ] {
        let url = format!("https://{host}:{port}/");
        let answer = timed(&outbound, post(&url, b"{}")).0.unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, server_name.as_bytes())
        );
    }
    let url = format!("https://other.example:{port}/");
    let (result, _) = timed(&outbound, post(&url, b"{}"));
    assert_eq!(result, Err(Failure::Tls(TlsFault::Name)));
}

#[test]
fn bad_certificates_are_not_believed() {
    let name = &["hooks.example"];
    let (expired, expired_pem) = certificate(name, |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let (future, future_pem) = certificate(name, |params| {
        params.not_before = rcgen::date_time_ymd(2998, 1, 1);
        params.not_after = rcgen::date_time_ymd(2999, 1, 1);
    });
    let (other, _) = certificate(name, |params| {
        params.distinguished_name.push(DnType::CommonName, "other");
    });
    // The issuer has the name of a trusted one, but another key.
    let (imitated, _) = certificate(name, |_| ());
    let trusted = certificate(name, |_| ()).1;
    for (config, pem, fault) in [
        (expired, expired_pem, TlsFault::Validity),
        (future, future_pem, TlsFault::Validity),
        (other, trusted.clone(), TlsFault::Issuer),
        (imitated, trusted, TlsFault::Certificate),
    ] {
        let server = Server::with_tls(config);
        let outbound = trusting(&server, pem);
        let url = format!("https://hooks.example:{}/", server.address.port());
        let failure = timed(&outbound, post(&url, b"{}")).0.unwrap_err();
        assert_eq!(failure, Failure::Tls(fault));
        assert_eq!(failure.class(), "tls");
    }
}

#[test]
fn a_peer_without_tls_is_a_failure_of_tls() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let server = Server::start(move |mut client| {
            let mut hello = [0; 4096];
            drop(client.read(&mut hello));
            drop(client.write_all(answer.as_bytes()));
        });
        let url = format!("https://hooks.example:{}/", server.address.port());
        let (result, _) = timed(&server.outbound(), post(&url, b"{}"));
        assert_eq!(result, Err(Failure::Tls(TlsFault::Protocol)), "{answer}");
    }
}

#[test]
fn a_peer_that_holds_up_the_handshake_is_left() {
    let silent = Server::start(|client| {
        thread::sleep(WHOLE * 20);
        drop(client);
    });
    let dripping = Server::start(|mut client| {
        // A record of 16 KiB that begins well and never ends.
        let record = [0x16, 3, 3, 0x3f, 0xff, 2, 0, 0x3f, 0xfb].iter();
        for byte in record.chain(std::iter::repeat(&0)) {
            if client.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    for server in [silent, dripping] {
        let url = format!("https://hooks.example:{}/", server.address.port());
        let (result, took) =
            timed_within(&server.outbound(), post(&url, b"{}"), LONG_AFTER_CONNECTING);
        assert_timeout(&result, took, Step::Tls);
    }
}

#[test]
fn roots_are_read_when_the_client_is_made() {
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let refused = Outbound::new(Rules::default(), Roots::Pem(pem.into()));
        assert_eq!(refused.unwrap_err(), RootsError::Pem, "{pem}");
    }
    assert!(Outbound::new(Rules::default(), roots()).is_ok());
    // A machine without any authority is possible; one with them is usual.
    let system = Outbound::new(Rules::default(), Roots::System);
    assert!(matches!(system, Ok(_) | Err(RootsError::System(_))));
}

#[test]
fn a_secure_peer_that_never_reads_or_answers_is_left() {
    let (config, pem) = certificate(&["hooks.example"], |_| ());
    for reads in [false, true] {
        let config = Arc::clone(&config);
        let server = Server::start(move |mut client| {
            let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
            session.complete_io(&mut client).unwrap();
            let mut seen = [0; 4096];
            while reads && client.read(&mut seen).is_ok_and(|seen| seen > 0) {}
            thread::sleep(WHOLE * 20);
        });
        let outbound = trusting(&server, pem.clone());
        let url = format!("https://hooks.example:{}/", server.address.port());
        let body = vec![b'x'; if reads { 10 } else { 64 * 1024 * 1024 }];
        let (result, took) = timed(&outbound, post(&url, &body));
        assert_timeout(&result, took, Step::Answer);
    }
}
