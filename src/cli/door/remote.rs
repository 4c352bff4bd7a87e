//! Asks a server for answers, over HTTP.

use std::fs;
use std::io::{self, Read, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, Bytes};
use http::header::HeaderValue;
use http::{Request, StatusCode};
use sigpersist_client::{Lost, Received, ServerUrl, Transport, TransportError, retry_after};
use tokio::runtime::Runtime;

use super::Streamed;
use super::refusal::Unreachable;
use super::request::ShowsProgress;
use super::server::ServerOptions;
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

/// A server elsewhere, and the token for it.
pub(super) struct Remote {
    /// Connections live while a request or an answer waits.
    runtime: Arc<Runtime>,
    authorization: HeaderValue,
    transport: Transport,
}

impl Remote {
    pub(super) fn new(
        options: &ServerOptions,
        address: ServerUrl,
        token: &str,
    ) -> anyhow::Result<Self> {
        let authorization = Transport::bearer(token)?;
        if address.is_readable_on_the_way() {
            let warning = format!(
                "warning: {address} is not encrypted, so others on the way can read the token. Use https."
            );
            // Without standard error there is nobody to warn.
            drop(writeln!(io::stderr(), "{warning}"));
        }
        let mut transport = Transport::builder(address)
            .user_agent(concat!("sigpersist/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .idle_timeout(options.timeout());
        if let Some(path) = &options.ca_file {
            let pem = fs::read(path)
                .with_context(|| format!("The file {} can't be read", path.display()))?;
            let found: Vec<_> = sigpersist_verify::certificates(&pem).collect();
            ensure!(
                !found.is_empty(),
                "{} contains no certificate",
                path.display()
            );
            transport = transport.trust(found);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("The asynchronous runtime can't be started")?;
        Ok(Self {
            runtime: Arc::new(runtime),
            authorization,
            transport: transport.build()?,
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
            let pause = retry_after(response.headers()).map(|pause| pause.max(MIN_PAUSE));
            match pause {
                Some(pause) if is_busy && pause <= MAX_PAUSE && Instant::now() + pause < until => {
                    std::thread::sleep(pause);
                }
                _ => return Ok(response),
            }
        }
    }

    fn once(&self, request: &Request<Bytes>) -> anyhow::Result<Streamed> {
        let shows_progress = request.extensions().get::<ShowsProgress>().is_some();
        let length = request.body().len();
        let bar =
            (shows_progress && length >= LONG_BODY).then(|| bytes_progress(length as u64, "sent"));
        let progress = bar.clone().map(|bar| {
            let told = move |bytes: usize| bar.inc(bytes as u64);
            Arc::new(told) as Arc<dyn Fn(usize) + Send + Sync>
        });
        let sending = self
            .transport
            .send(request.clone(), &self.authorization, progress);
        let answered = self.runtime.block_on(sending);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        let response = answered.map_err(|error| self.unreachable(&error))?;
        Ok(response.map(|received| {
            let body = Body {
                runtime: Arc::clone(&self.runtime),
                received,
                piece: Bytes::new(),
            };
            Box::new(body) as Box<dyn Read + Send>
        }))
    }

    fn unreachable(&self, error: &TransportError) -> Unreachable {
        let advice = match error.lost {
            Lost::NotTrusted => {
                " If its certificate comes from an authority of your own, give that one with --ca-file."
            }
            Lost::TimedOut => " Wait longer with --timeout.",
            _ => "",
        };
        let address = self.transport.url();
        Unreachable(format!(
            "The server {address} did not answer: {error}.{advice}"
        ))
    }
}

/// The body of an answer, read as it comes.
struct Body {
    runtime: Arc<Runtime>,
    received: Received,
    piece: Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.received.piece()) {
                Ok(Some(piece)) => self.piece = piece,
                Ok(None) => return Ok(0),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece
            .copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}
