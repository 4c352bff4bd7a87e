//! Accepting connections, each within its limits: a client that sends slowly or never reads holds a connection for a bounded
//! time, and there are only so many.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tracing::{debug, warn};
use warp::Filter;

use crate::config::HttpConfig;

/// How long nothing is accepted after that failed: for want of file descriptors, say.
const REST: Duration = Duration::from_millis(100);
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Accepts connections until `stop` completes, then waits until those that there are have answered what they were
/// asked.
pub(super) async fn accept<F>(
    listener: TcpListener,
    filter: F,
    config: &HttpConfig,
    stop: impl Future<Output = ()>,
) where
    F: Filter<Error = warp::Rejection> + Clone + Send + Sync + 'static,
    F::Extract: warp::Reply,
{
    let limits = Limits::new(config);
    let room = Arc::new(Semaphore::new(config.max_connections));
    let graceful = GracefulShutdown::new();
    let accepting = async {
        loop {
            // While there is no room, others wait where the operating system lets them.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(cause) => {
                    warn!(%cause, "No connection could be accepted; trying again");
                    tokio::time::sleep(REST).await;
                    continue;
                }
            };
            let service = TowerToHyperService::new(warp::service(filter.clone()));
            let builder = limits.builder();
            let connection = builder.serve_connection(limits.stream(stream), service);
            let connection = graceful.watch(connection.into_owned());
            tokio::spawn(async move {
                let _place = place;
                if let Err(cause) = connection.await {
                    // Most are clients that went away or broke a limit.
                    debug!(%cause, "A connection ended");
                }
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    drop(listener);
    graceful.shutdown().await;
}

/// What a connection may take.
struct Limits {
    head: Duration,
    write: Duration,
}

impl Limits {
    fn new(config: &HttpConfig) -> Self {
        Self {
            head: Duration::from_millis(config.head_timeout_ms),
            write: Duration::from_millis(config.write_timeout_ms),
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        // Telling HTTP/2 apart would wait for a client's first bytes without an end.
        let mut builder = Builder::new(TokioExecutor::new()).http1_only();
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head)
            .max_buf_size(MAX_HEAD_BYTES);
        builder
    }

    fn stream(&self, stream: TcpStream) -> TokioIo<std::pin::Pin<Box<TimeoutStream<TcpStream>>>> {
        // An answer is written as a whole, and its last piece need not wait for more.
        drop(stream.set_nodelay(true));
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.write));
        TokioIo::new(Box::pin(stream))
    }
}
