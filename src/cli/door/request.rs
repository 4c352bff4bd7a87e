//! Requests and answers.

use std::fmt::Display;
use std::io::Read;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::refusal::{Asked, Refusal, Unreachable};
use super::{Door, Streamed};

/// Longest answer that is read whole, in bytes.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// Characters that are percent-encoded. Segments of our paths contain hyphens.
const NAMES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-');

/// A request that was not sent yet.
#[must_use]
#[derive(Clone)]
pub(in crate::cli) struct Request<'a> {
    door: &'a Door,
    method: Method,
    path: String,
    asked: Asked,
    query: String,
    headers: HeaderMap,
    body: Bytes,
    shows_progress: bool,
}

/// The mark of a request that shows how much of its body was sent.
#[derive(Clone)]
pub(super) struct ShowsProgress;

impl<'a> Request<'a> {
    pub(super) fn new(door: &'a Door, method: Method, path: &[&str]) -> Self {
        let asked = match path {
            ["tenants", slug, rest @ ..] => Asked {
                tenant: Some((*slug).to_owned()),
                is_within: !matches!(rest, [] | ["suspend" | "resume" | "usage"]),
                is_proof: matches!(rest, ["signature", "proof"]),
                is_stored: false,
            },
            _ => Asked {
                is_within: door.tenant.is_some(),
                is_stored: door.tenant.is_some(),
                tenant: door.tenant.clone(),
                is_proof: false,
            },
        };
        Self {
            door,
            method,
            path: path
                .iter()
                .map(|segment| format!("/{}", encoded(segment)))
                .collect(),
            asked,
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            shows_progress: false,
        }
    }

    /// Adds a parameter.
    pub(in crate::cli) fn with(mut self, name: &str, value: impl Display) -> Self {
        let separator = if self.query.is_empty() { "" } else { "&" };
        let value = encoded(&value.to_string());
        self.query.push_str(&format!("{separator}{name}={value}"));
        self
    }

    /// Adds a parameter if it is given.
    pub(in crate::cli) fn with_given(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a header.
    pub(in crate::cli) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        // Our own texts are always valid here.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets a body of JSON.
    pub(in crate::cli) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string().into())
    }

    /// Sets a body of this media type.
    pub(in crate::cli) fn body(mut self, kind: &str, body: Bytes) -> Self {
        self = self.with_header(CONTENT_TYPE, kind);
        self.body = body;
        self
    }

    /// Shows how much of the body was sent, if it is long.
    pub(in crate::cli) fn with_progress(mut self) -> Self {
        self.shows_progress = true;
        self
    }

    /// Sends the request.
    ///
    /// # Errors
    ///
    /// [`Refusal`] if the request failed, and an error of the way to the server.
    pub(in crate::cli) fn send(self) -> anyhow::Result<Answer> {
        let mut uri = self.path;
        if !self.query.is_empty() {
            uri.push('?');
            uri.push_str(&self.query);
        }
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(uri)
            .body(self.body)?;
        let length = request.body().len();
        *request.headers_mut() = self.headers;
        if length > 0 {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if self.shows_progress {
            request.extensions_mut().insert(ShowsProgress);
        }
        let response = self.door.exchange(request)?;
        if response.status().is_success() {
            Ok(Answer(response))
        } else {
            Err(Refusal::read(response, &self.asked).into())
        }
    }

    /// Sends the request, and reads a member of the answer's content.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::send`] and [`Answer::member`].
    pub(in crate::cli) fn member<T: DeserializeOwned>(self, name: &str) -> anyhow::Result<T> {
        self.send()?.member(name)
    }

    /// Collects a list from its pages, each of at most `page` items. Returns the first `most` items, and the cursor of
    /// the next one if there are more.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::member`].
    pub(in crate::cli) fn pages<T: DeserializeOwned>(
        self,
        name: &str,
        page: usize,
        most: usize,
    ) -> anyhow::Result<(Vec<T>, Option<String>)> {
        let (mut items, mut next) = (Vec::new(), None);
        loop {
            let limit = page.min(most - items.len());
            let request = self.clone().with("limit", limit);
            let mut content = request.with_given("cursor", next).send()?.content()?;
            items.extend(taken::<Vec<T>>(&mut content, name)?);
            next = taken::<Option<String>>(&mut content, "next")?;
            if next.is_none() || items.len() >= most {
                return Ok((items, next));
            }
        }
    }
}

/// A successful answer.
pub(in crate::cli) struct Answer(Streamed);

impl Answer {
    /// Whether something was created.
    pub(in crate::cli) fn created(&self) -> bool {
        self.0.status() == StatusCode::CREATED
    }

    /// The content of the API's envelope.
    pub(in crate::cli) fn content(self) -> anyhow::Result<Value> {
        let mut text = Vec::new();
        let mut body = self.into_reader().take(MAX_BYTES);
        body.read_to_end(&mut text)
            .map_err(|error| Unreachable(format!("The answer broke off: {error}. Try again.")))?;
        let mut answer: Value = serde_json::from_slice(&text)
            .context("The answer is not one of Sigpersist: check the URL of --server")?;
        Ok(answer["content"].take())
    }

    /// A member of the content.
    pub(in crate::cli) fn member<T: DeserializeOwned>(self, name: &str) -> anyhow::Result<T> {
        taken(&mut self.content()?, name)
    }

    /// The whole content, as this type.
    pub(in crate::cli) fn parsed<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        parsed(self.content()?)
    }

    /// A header of the answer.
    pub(in crate::cli) fn header(&self, name: HeaderName) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// Reads the body as it comes.
    pub(in crate::cli) fn into_reader(self) -> Box<dyn Read + Send> {
        self.0.into_body()
    }
}

fn taken<T: DeserializeOwned>(content: &mut Value, name: &str) -> anyhow::Result<T> {
    parsed(content[name].take())
}

fn parsed<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value)
        .context("This program does not understand the answer: the server may be newer than it")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NAMES).to_string()
}
