//! Asks a server for answers, over HTTP.

use std::fs;
use std::io::{Cursor, Read, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use indicatif::ProgressBar;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, SendBody};

use super::Streamed;
use super::refusal::Unreachable;
use super::request::ShowsProgress;
use super::server::{Address, ServerOptions};
use crate::cli::progress::bytes_progress;

/// Longest time to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest time for which a request is repeated while the server says that it should be.
const PATIENCE: Duration = Duration::from_secs(30);
/// Shortest pause between two attempts.
const MIN_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// Shorter bodies are sent too soon to show their progress.
const LONG_BODY: usize = 1024 * 1024;

/// TLS as all requests of commands use it, with these certificate authorities.
pub(in crate::cli) fn tls(roots: RootCerts) -> TlsConfig {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(provider))
        .root_certs(roots)
        .build()
}

/// A server elsewhere, and the token for it.
pub(super) struct Remote {
    address: Address,
    authorization: HeaderValue,
    agent: Agent,
}

impl Remote {
    pub(super) fn new(
        options: &ServerOptions,
        address: Address,
        token: &str,
    ) -> anyhow::Result<Self> {
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .context("The token is not one: it has characters that no token has")?;
        authorization.set_sensitive(true);
        if address.is_readable_on_the_way() {
            let warning = format!(
                "warning: {address} is not encrypted, so others on the way can read the token. Use https."
            );
            // Without standard error there is nobody to warn.
            drop(writeln!(std::io::stderr(), "{warning}"));
        }
        let roots = match &options.ca_file {
            Some(path) => {
                let pem = fs::read(path)
                    .with_context(|| format!("The file {} can't be read", path.display()))?;
                let found: Vec<_> = sigpersist_verify::certificates(&pem)
                    .map(|der| Certificate::from_der(&der).to_owned())
                    .collect();
                ensure!(
                    !found.is_empty(),
                    "{} contains no certificate",
                    path.display()
                );
                RootCerts::new_with_certs(&found)
            }
            None => RootCerts::PlatformVerifier,
        };
        let tls = tls(roots);
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .tls_config(tls)
            .user_agent(concat!("sigpersist/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_send_body(Some(options.timeout()))
            .timeout_recv_response(Some(options.timeout()))
            .timeout_per_read(Some(options.timeout()))
            .build()
            .new_agent();
        Ok(Self {
            address,
            authorization,
            agent,
        })
    }

    /// Sends a request, again and again while the server is busy and says when to come back.
    pub(super) fn exchange(&self, request: &Request<Bytes>) -> anyhow::Result<Streamed> {
        let until = Instant::now() + PATIENCE;
        loop {
            let response = self.once(request)?;
            let is_busy = matches!(
                response.status(),
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
            );
            let pause = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(|seconds| Duration::from_secs(seconds).max(MIN_PAUSE));
            match pause {
                Some(pause) if is_busy && pause <= MAX_PAUSE && Instant::now() + pause < until => {
                    std::thread::sleep(pause);
                }
                _ => return Ok(response),
            }
        }
    }

    fn once(&self, request: &Request<Bytes>) -> anyhow::Result<Streamed> {
        let mut sent = Request::builder().method(request.method()).uri(format!(
            "{}{}",
            self.address,
            request.uri()
        ));
        for (name, value) in request.headers() {
            sent = sent.header(name, value);
        }
        sent = sent.header(AUTHORIZATION, &self.authorization);
        let body = request.body();
        let answered = if body.is_empty() {
            self.agent.run(sent.body(())?)
        } else {
            let shows_progress = request.extensions().get::<ShowsProgress>().is_some();
            let bar = if shows_progress && body.len() >= LONG_BODY {
                bytes_progress(body.len() as u64, "sent")
            } else {
                ProgressBar::hidden()
            };
            let mut reader = bar.wrap_read(Cursor::new(body));
            let answered = self
                .agent
                .run(sent.body(SendBody::from_reader(&mut reader))?);
            bar.finish_and_clear();
            answered
        };
        let response = answered.map_err(|error| self.unreachable(&error))?;
        Ok(response.map(|body| Box::new(body.into_reader()) as Box<dyn Read + Send>))
    }

    fn unreachable(&self, error: &ureq::Error) -> Unreachable {
        let advice = match error {
            _ if error.to_string().contains("certificate") => {
                " If its certificate comes from an authority of your own, give that one with --ca-file."
            }
            ureq::Error::Timeout(_) => " Wait longer with --timeout.",
            _ => "",
        };
        let address = &self.address;
        Unreachable(format!(
            "The server {address} did not answer: {error}.{advice}"
        ))
    }
}
