//! One exchange with a server: a request out, an answer in. It knows neither routes nor retries.
//!
//! [`Client`](crate::Client) is made of it, and so is the server's own command line.

use std::error::Error as _;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;

use crate::connector::{Connector, connector};
use crate::error::Error;
use crate::url::ServerUrl;

/// Bytes of a body that are sent at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What became of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// There was no connection, so it was not sent.
    NotSent,
    /// The server's certificate is not trusted, so it was not sent.
    NotTrusted,
    /// The server took too long.
    TimedOut,
    /// The connection broke.
    Broken,
}

/// A request without an answer, or with one that broke off.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{why}")]
pub struct TransportError {
    /// What became of the request.
    pub lost: Lost,
    why: String,
}

impl TransportError {
    /// The server took longer than this.
    pub(crate) fn timed_out(after: Duration) -> Self {
        Self {
            lost: Lost::TimedOut,
            why: format!("it took longer than {} s", after.as_secs_f32()),
        }
    }

    fn of(error: &legacy::Error) -> Self {
        // The error itself only says that it is one of a client.
        let mut why = String::new();
        let mut source = error.source();
        if source.is_none() {
            why = error.to_string();
        }
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if why.is_empty() {
                why = cause_text;
            } else if !why.contains(&cause_text) {
                why = format!("{why}: {cause_text}");
            }
            source = cause.source();
        }
        let lost = match error.is_connect() {
            true if why.contains("certificate") => Lost::NotTrusted,
            true => Lost::NotSent,
            false => Lost::Broken,
        };
        Self { lost, why }
    }
}

/// Settings of a [`Transport`].
#[derive(Debug, Clone)]
pub struct TransportBuilder {
    url: ServerUrl,
    roots: Option<Vec<Vec<u8>>>,
    user_agent: HeaderValue,
    connect_timeout: Duration,
    idle_timeout: Duration,
}

impl TransportBuilder {
    /// Trusts only these authorities, in DER, instead of those of the operating system.
    #[must_use]
    pub fn trust(mut self, authorities: Vec<Vec<u8>>) -> Self {
        self.roots = Some(authorities);
        self
    }

    /// Sets the name of the program, for the server's log.
    #[must_use]
    pub fn user_agent(mut self, name: &'static str) -> Self {
        self.user_agent = HeaderValue::from_static(name);
        self
    }

    /// Sets the longest time to wait for a connection; 5 seconds if it is not set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the longest time in which the server takes or sends nothing; 60 seconds if it is not set.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Makes the transport. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the authorities can't be used, or the proxy that the environment names.
    pub fn build(self) -> Result<Transport, Error> {
        let server: Uri = self.url.as_str().parse().map_err(|_| {
            // It was checked when it was read.
            Error::Invalid(format!("{} is no URL", self.url))
        })?;
        let connector = connector(&server, self.roots.as_deref(), self.connect_timeout)
            .map_err(Error::Invalid)?;
        Ok(Transport {
            http: legacy::Client::builder(TokioExecutor::new()).build(connector),
            url: self.url,
            user_agent: self.user_agent,
            idle_timeout: self.idle_timeout,
        })
    }
}

/// A way to a server. It keeps connections open. Through proxies that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name.
#[derive(Clone)]
pub struct Transport {
    http: legacy::Client<HttpsConnector<Connector>, Sent>,
    url: ServerUrl,
    user_agent: HeaderValue,
    idle_timeout: Duration,
}

impl Transport {
    /// Settings of a way to a server.
    pub fn builder(url: ServerUrl) -> TransportBuilder {
        TransportBuilder {
            url,
            roots: None,
            user_agent: HeaderValue::from_static(concat!(
                "sigpersist-rust/",
                env!("CARGO_PKG_VERSION")
            )),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
        }
    }

    /// The server's URL.
    pub fn url(&self) -> &ServerUrl {
        &self.url
    }

    /// The header that carries a token (RFC 6750).
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if it has characters that no token has.
    pub fn bearer(token: &str) -> Result<HeaderValue, Error> {
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            Error::Invalid("The token is not one: it has characters that no token has".to_owned())
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Sends a request once, whose URI is the path and query after the server's URL. `progress` hears how many more bytes of
    /// the body are on their way.
    ///
    /// # Errors
    ///
    /// A [`TransportError`] if there is no answer.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        authorization: &HeaderValue,
        progress: Option<Arc<dyn Fn(usize) + Send + Sync>>,
    ) -> Result<Response<Received>, TransportError> {
        let (mut head, body) = request.into_parts();
        let uri = format!("{}{}", self.url, head.uri);
        head.uri = uri.parse().map_err(|_| TransportError {
            lost: Lost::NotSent,
            why: "the path is no part of a URL".to_owned(),
        })?;
        head.headers.insert(AUTHORIZATION, authorization.clone());
        head.headers.insert(USER_AGENT, self.user_agent.clone());
        let last = Arc::new(Mutex::new(Instant::now()));
        let sent = Sent {
            left: body,
            last: Arc::clone(&last),
            progress,
        };
        let mut answering = self.http.request(Request::from_parts(head, sent));
        let until = || *last.lock().unwrap_or_else(PoisonError::into_inner) + self.idle_timeout;
        let response = loop {
            match tokio::time::timeout_at(until(), &mut answering).await {
                Ok(answered) => break answered.map_err(|error| TransportError::of(&error))?,
                // A piece of the body went out meanwhile.
                Err(_) if Instant::now() < until() => {}
                Err(_) => return Err(TransportError::timed_out(self.idle_timeout)),
            }
        };
        let idle_timeout = self.idle_timeout;
        Ok(response.map(|body| Received { body, idle_timeout }))
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transport").field(&self.url).finish()
    }
}

/// A body that is sent in pieces, and tells when it was last asked for one.
struct Sent {
    left: Bytes,
    last: Arc<Mutex<Instant>>,
    progress: Option<Arc<dyn Fn(usize) + Send + Sync>>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.left.len().min(CHUNK_BYTES);
        let piece = self.left.split_to(length);
        if let Some(progress) = &self.progress {
            progress(length);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub struct Received {
    body: Incoming,
    idle_timeout: Duration,
}

impl Received {
    /// The next piece; none at the end.
    ///
    /// # Errors
    ///
    /// A [`TransportError`] if the body broke off.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, TransportError> {
        loop {
            let reading = tokio::time::timeout(self.idle_timeout, self.body.frame());
            let Ok(frame) = reading.await else {
                return Err(TransportError::timed_out(self.idle_timeout));
            };
            match frame {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(error)) => {
                    return Err(TransportError {
                        lost: Lost::Broken,
                        why: format!("the answer broke off: {error}"),
                    });
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// A [`TransportError`] if it broke off, or is longer than `max_bytes`.
    pub async fn whole(mut self, max_bytes: usize) -> Result<Bytes, TransportError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > max_bytes {
                return Err(TransportError {
                    lost: Lost::Broken,
                    why: format!("the answer is longer than {max_bytes} bytes"),
                });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}
