//! Accepting connections, each within limits of time. Clients that send slowly or never read are cut off, and the
//! number of connections is limited: idle ones are closed to make room for others (see [`super::places`]).

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use sigpersist_model::error::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, error, warn};
use warp::{Filter, Reply as _};

use super::error::error_response;
use super::head;
use super::places::{Connection, Peer, Place, Places};
use crate::config::HttpConfig;

/// Pause after a failure to accept, for example for lack of file descriptors.
const REST: Duration = Duration::from_millis(100);
/// Interval of the check for too many connections without a request.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// Divisor of the head timeout while there are too many.
const HURRY: u32 = 10;
/// Maximum size of a request's head, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Accepts connections until `stop` completes, then waits until the open ones have answered their requests.
pub(super) async fn accept<F>(
    listener: TcpListener,
    filter: F,
    config: &HttpConfig,
    places: Arc<Places>,
    stop: impl Future<Output = ()>,
) where
    F: Filter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
    F::Extract: warp::Reply,
    F::Future: Send,
{
    let limits = ConnectionLimits::new(config);
    let graceful = GracefulShutdown::new();
    let accepting = async {
        let mut looks = tokio::time::interval(BETWEEN_LOOKS);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = looks.tick() => {
                    places.hurry(limits.head / HURRY);
                    continue;
                }
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(cause) => {
                    warn!(%cause, "Accepting a connection failed; trying again");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            // If all connections have requests, this one waits, and later ones wait in the operating system's queue.
            if let Some(place) = places.take(Peer::new(address)).await {
                tokio::spawn(serve(
                    stream,
                    filter.clone(),
                    limits.clone(),
                    place,
                    graceful.watcher(),
                ));
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Serves one connection, until it ends or has to give way.
async fn serve<F>(
    stream: TcpStream,
    filter: F,
    limits: ConnectionLimits,
    place: Place,
    graceful: Watcher,
) where
    F: Filter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
    F::Extract: warp::Reply,
    F::Future: Send,
{
    let filter = TowerToHyperService::new(warp::service(filter));
    let connection = Arc::clone(&place.connection);
    let service = service_fn(move |mut request| {
        connection.begin();
        head::check(&mut request);
        request.extensions_mut().insert(Arc::clone(&connection));
        let (filter, connection) = (filter.clone(), Arc::clone(&connection));
        async move {
            let answer = AssertUnwindSafe(async move { filter.call(request).await });
            let mut response = answer.catch_unwind().await.unwrap_or_else(|_| {
                let error = Error::internal("answering the request panicked");
                Ok(error_response(&error, "unknown").into_response())
            })?;
            let headers = response.headers_mut();
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            connection.answer();
            Ok::<_, Infallible>(response)
        }
    });
    let stream = limits.stream(stream, Arc::clone(&place.connection));
    let builder = limits.builder();
    let serving = graceful.watch(builder.serve_connection(stream, service));
    let ended = tokio::select! {
        biased;
        ended = AssertUnwindSafe(serving).catch_unwind() => ended,
        () = place.given_up() => Ok(Ok(())),
    };
    match ended {
        Ok(Ok(())) => {}
        // Most are clients that went away or broke a limit.
        Ok(Err(cause)) => debug!(%cause, "A connection ended"),
        Err(_) => error!("Serving a connection panicked"),
    }
}

/// Time limits of a connection.
#[derive(Debug, Clone)]
struct ConnectionLimits {
    head: Duration,
    write: Duration,
}

impl ConnectionLimits {
    fn new(config: &HttpConfig) -> Self {
        Self {
            head: Duration::from_millis(config.head_timeout_ms),
            write: Duration::from_millis(config.write_timeout_ms),
        }
    }

    /// A builder of HTTP/1 only: detecting HTTP/2 would wait for a client's first bytes without a timeout.
    fn builder(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_buf_size(MAX_HEAD_BYTES);
        builder
    }

    fn stream(&self, stream: TcpStream, connection: Arc<Connection>) -> Watched {
        // An answer is written as a whole, so its last packet need not wait for more data.
        drop(stream.set_nodelay(true));
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write));
        Watched {
            stream: TokioIo::new(Box::pin(stream)),
            connection,
        }
    }
}

/// A stream that records when an answer is being written.
struct Watched {
    stream: TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>,
    connection: Arc<Connection>,
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.connection.write();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        // Called when nothing is left to write.
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        if flushed.is_ready() {
            self.connection.flush();
        }
        flushed
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.connection.write();
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}
