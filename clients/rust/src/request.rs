//! Requests of the API, and sending them until there is an answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::Inner;
use crate::error::{Error, Refusal};
use crate::transport::TransportError;

/// Characters that are percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// Longest answer, in bytes.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// A request that was not sent yet.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: Method,
    path: String,
    query: String,
    body: Bytes,
    headers: HeaderMap,
    /// Whether sending it twice does the same as sending it once.
    pub(crate) is_repeatable: bool,
    /// How long the server may wait before it answers.
    pub(crate) wait_s: u32,
}

impl Request {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: String::new(),
            body: Bytes::new(),
            headers: HeaderMap::new(),
            is_repeatable: true,
            wait_s: 0,
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// Adds a parameter.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        let separator = if self.query.is_empty() { '?' } else { '&' };
        let value = value.to_string();
        let value = utf8_percent_encode(&value, ENCODED);
        self.query.push_str(&format!("{separator}{name}={value}"));
        self
    }

    /// Adds a parameter if it is given.
    pub(crate) fn with_given(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // Our own texts are valid here.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let text = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
        self.body = text.into();
        Ok(self.header(CONTENT_TYPE, "application/json"))
    }

    fn to_http(&self, headers: HeaderMap) -> Result<http::Request<Bytes>, Error> {
        let request = http::Request::builder()
            .method(self.method.clone())
            .uri(format!("{}{}", self.path, self.query))
            .body(self.body.clone());
        let mut request = request.map_err(|error| Error::Invalid(error.to_string()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) request_id: String,
}

impl Answer {
    /// The content of the API's envelope.
    pub(crate) fn content<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let mut answer: Value = self.read(serde_json::from_slice(&self.body))?;
        let content = answer.get_mut("content").map(Value::take);
        self.read(serde_json::from_value(content.unwrap_or_default()))
    }

    fn read<T>(&self, read: serde_json::Result<T>) -> Result<T, Error> {
        read.map_err(|error| self.unreadable(error.to_string()))
    }

    pub(crate) fn unreadable(&self, why: impl Into<String>) -> Error {
        Error::Unreadable {
            request_id: self.request_id.clone(),
            why: why.into(),
        }
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Inner {
    /// Sends a request, and again as long as that may help.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let request_id = self.next_request_id();
        let mut headers = request.headers.clone();
        let mut insert = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Error::Invalid(format!("{name} has characters of no header")))?;
            headers.insert(HeaderName::from_static(name), value);
            Ok::<_, Error>(())
        };
        insert("x-request-id", &request_id)?;
        if let Some(trace) = self.traceparent.as_ref().and_then(|current| current()) {
            insert("traceparent", &trace)?;
        }
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        let mut sent = 0;
        loop {
            sent += 1;
            let exchange = self.exchange_with_token(request, &headers);
            let pause = match exchange.await? {
                Ok((status, headers, body)) if status.is_success() => {
                    return Ok(Answer {
                        status,
                        headers,
                        body,
                        request_id,
                    });
                }
                Ok((status, headers, body)) => {
                    let refusal = Refusal::read(status, &headers, &body);
                    let pause = self
                        .patience
                        .after_refusal(sent, request.is_repeatable, &refusal);
                    pause.ok_or_else(|| Error::from(Box::new(refusal)))?
                }
                Err(source) => {
                    let pause = self
                        .patience
                        .after_silence(sent, request.is_repeatable, &source);
                    pause.ok_or(Error::NoAnswer {
                        request_id: request_id.clone(),
                        attempts: sent,
                        source,
                    })?
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request once; if the server does not take the token, and there is another by now, once more with that.
    async fn exchange_with_token(
        &self,
        request: &Request,
        headers: &HeaderMap,
    ) -> Result<Result<Exchanged, TransportError>, Error> {
        let token = self.token.next().await?;
        let answer = self.exchange(request, headers, &token).await?;
        if let Ok((StatusCode::UNAUTHORIZED, ..)) = answer {
            let fresh = self.token.next().await?;
            if fresh != token {
                return self.exchange(request, headers, &fresh).await;
            }
        }
        Ok(answer)
    }

    async fn exchange(
        &self,
        request: &Request,
        headers: &HeaderMap,
        token: &str,
    ) -> Result<Result<Exchanged, TransportError>, Error> {
        let authorization = crate::Transport::bearer(token)?;
        let request_ready = request.to_http(headers.clone())?;
        let exchanging = async {
            let sending = self.transport.send(request_ready, &authorization, None);
            let (head, body) = sending.await?.into_parts();
            let body = body.whole(MAX_BYTES).await?;
            Ok((head.status, head.headers, body))
        };
        let timeout = self.timeout + Duration::from_secs(request.wait_s.into());
        let answered = tokio::time::timeout(timeout, exchanging).await;
        Ok(answered.unwrap_or_else(|_| Err(TransportError::timed_out(timeout))))
    }
}

type Exchanged = (StatusCode, HeaderMap, Bytes);
