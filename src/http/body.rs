//! Reading of request bodies, limited in size and time.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, EXPECT};
use sigpersist_model::error::{Error, Result};
use tokio::time::timeout;

use super::budget::Held;
use crate::config::HttpConfig;

/// Maximum time for which a refused client may go on sending, so that it gets to read the answer.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A body that was not read yet.
pub(super) struct Body {
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send>>,
    declared_bytes: usize,
    max_bytes: usize,
    timeout_ms: u64,
    at_end: bool,
    /// Whether the client waits for `100 Continue`, which the first read of the body would send.
    waits: bool,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body")
    }
}

impl Body {
    pub(super) fn new<B: Buf>(
        stream: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
        headers: &HeaderMap,
        config: &HttpConfig,
    ) -> Self {
        let declared = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        Self {
            stream: Box::pin(
                stream.map(|part| part.map(|mut part| part.copy_to_bytes(part.remaining()))),
            ),
            declared_bytes: declared.unwrap_or(0),
            max_bytes: config.max_body_bytes(),
            timeout_ms: config.body_timeout_ms,
            at_end: false,
            waits: headers
                .get(EXPECT)
                .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        }
    }

    /// Refuses a body whose declared size is over the limit.
    pub(super) fn check_declared(&mut self, max_bytes: usize) -> Result<()> {
        self.max_bytes = max_bytes;
        if self.declared_bytes > max_bytes {
            return Err(Error::PayloadTooLarge {
                limit_bytes: max_bytes,
            });
        }
        Ok(())
    }

    /// The declared size; 0 if there is none.
    pub(super) fn declared_bytes(&self) -> usize {
        self.declared_bytes
    }

    /// Reads the whole body, of at most `max_bytes`. Undeclared bytes are added to `held` as they come, so many times.
    pub(super) async fn read(
        &mut self,
        max_bytes: usize,
        copies: usize,
        held: &Held,
    ) -> Result<Bytes> {
        self.check_declared(max_bytes)?;
        let timeout_ms = self.timeout_ms;
        let too_large = Error::PayloadTooLarge {
            limit_bytes: self.max_bytes,
        };
        self.waits = false;
        let reading = async {
            // Allocated once, so that a body of declared size is never copied.
            let mut whole = BytesMut::with_capacity(self.declared_bytes);
            while let Some(part) = self.next().await? {
                let bytes = whole.len() + part.len();
                if bytes > self.max_bytes {
                    return Err(too_large);
                }
                if bytes > whole.capacity() {
                    let more = bytes.saturating_mul(2).min(self.max_bytes);
                    held.grow_to(more.saturating_mul(copies))?;
                    whole.reserve(more - whole.len());
                }
                whole.extend_from_slice(&part);
            }
            held.set(whole.len().saturating_mul(copies));
            Ok(whole.freeze())
        };
        timeout(Duration::from_millis(timeout_ms), reading)
            .await
            .unwrap_or(Err(Error::BodyTimeout { timeout_ms }))
    }

    /// Reads and discards the rest, up to the body's size limit and for a short time.
    pub(super) async fn drain(&mut self) {
        if self.at_end || self.waits {
            return;
        }
        let draining = async {
            let mut left = self.max_bytes;
            while let Ok(Some(part)) = self.next().await {
                match left.checked_sub(part.len()) {
                    Some(less) => left = less,
                    None => break,
                }
            }
        };
        // Running out of time needs no handling: the connection will be closed.
        drop(timeout(DRAIN_TIMEOUT, draining).await);
    }

    /// Takes the body out, which is at its end then.
    pub(super) fn take(&mut self) -> Self {
        let rest = Self {
            stream: Box::pin(stream::empty()),
            at_end: true,
            ..*self
        };
        std::mem::replace(self, rest)
    }

    /// Waits for the next part of the body; none at its end.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedJson`] if it was cut off.
    pub(super) async fn part(&mut self) -> Result<Option<Bytes>> {
        self.waits = false;
        self.next().await
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        match self.stream.next().await {
            Some(Ok(part)) => Ok(Some(part)),
            Some(Err(_)) => {
                self.at_end = true;
                Err(Error::MalformedJson(
                    "it was cut off before its end".to_owned(),
                ))
            }
            None => {
                self.at_end = true;
                Ok(None)
            }
        }
    }
}
