//! One request and its answer, over a connection that exists.

use std::fmt;
use std::io::{self, Read as _};
use std::time::{Duration, Instant, SystemTime};

use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, RETRY_AFTER, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method};
use ureq::Agent;

use crate::connection::{Handover, Line, Unasked};
use crate::failure::{Failure, Step};
use crate::retry;
use crate::target::Target;

/// Longest headers of an answer.
pub(crate) const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Headers that say how the request is transferred, which is not up to the caller.
const RESERVED: [HeaderName; 8] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A request.
#[derive(Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The URL. It is checked again.
    pub url: &'a str,
    /// Headers. Those about the connection and the length of the body are set by this crate, and ignored here.
    pub headers: HeaderMap,
    /// The body, which may be empty.
    pub body: &'a [u8],
}

/// Shows neither URL nor headers nor body, which may have secrets.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The limits of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest time until there is an encrypted connection, from asking DNS on.
    pub connect: Duration,
    /// Longest time in all. No request takes longer than an hour.
    pub whole: Duration,
    /// Longest body of an answer, in bytes. The rest is not read.
    pub max_answer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            whole: Duration::from_secs(15),
            max_answer: 8192,
        }
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status. A redirect is an answer like others.
    pub status: u16,
    /// The time for which it asks us to wait, at most [`retry::MAX_RETRY_AFTER`].
    pub retry_after: Option<Duration>,
    /// The time for which it may be kept (RFC 9111 section 5.2.2.1); zero if it asks not to be, none if it does not say.
    pub max_age: Option<Duration>,
    /// Its body, or the beginning of it.
    pub body: Vec<u8>,
    /// Whether its body is longer.
    pub is_cut: bool,
}

/// Does not show the body, which comes from a stranger.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("retry_after", &self.retry_after)
            .field("max_age", &self.max_age)
            .field("body_bytes", &self.body.len())
            .field("is_cut", &self.is_cut)
            .finish()
    }
}

/// Sends a request over the connection and reads its answer. The connection is closed afterwards.
pub(crate) fn exchange(
    line: Line,
    target: &Target,
    request: Request<'_>,
    limits: Limits,
    until: Instant,
) -> Result<Answer, Failure> {
    let config = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .max_response_header_size(MAX_HEADER_BYTES)
        .accept_encoding("identity")
        .user_agent("sigpersist")
        .build();
    let agent = Agent::with_parts(config, Handover::new(line), Unasked);
    let needs_length = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
    let mut sent = http::Request::builder()
        .method(request.method)
        .uri(target.uri().clone());
    for (name, value) in &request.headers {
        if !RESERVED.contains(name) {
            sent = sent.header(name, value);
        }
    }
    sent = sent.header(CONNECTION, "close");
    let answered = if needs_length || !request.body.is_empty() {
        sent.body(request.body).map(|sent| agent.run(sent))
    } else {
        sent.body(()).map(|sent| agent.run(sent))
    };
    // A request that can't be put together is the caller's fault, and is sent to nobody.
    let answered = answered.map_err(|_| Failure::Broken)?;
    let response = answered.map_err(|error| failure(&error, until))?;
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| retry::retry_after(value.to_str().ok()?, SystemTime::now()));
    let cached = response.headers().get_all(CACHE_CONTROL).iter();
    let max_age = max_age(cached.filter_map(|value| value.to_str().ok()));
    let most = u64::try_from(limits.max_answer).unwrap_or(u64::MAX);
    let mut body = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(most.saturating_add(1))
        .read_to_end(&mut body)
        .map_err(|error| failure(&ureq::Error::from(error), until))?;
    let is_cut = body.len() > limits.max_answer;
    body.truncate(limits.max_answer);
    Ok(Answer {
        status,
        retry_after,
        max_age,
        body,
        is_cut,
    })
}

/// The time for which directives of `Cache-Control` let an answer be kept. The shortest counts.
fn max_age<'a>(values: impl Iterator<Item = &'a str>) -> Option<Duration> {
    let directives = values.flat_map(|value| value.split(',')).map(str::trim);
    let times = directives.filter_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" => Some(Duration::ZERO),
            "max-age" => {
                let seconds = value.trim_matches('"').parse::<u32>().ok()?;
                Some(Duration::from_secs(seconds.into()))
            }
            _ => None,
        }
    });
    times.min()
}

/// Reduces an error of the library to its class. Its text may have parts of the answer.
fn failure(error: &ureq::Error, until: Instant) -> Failure {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            Failure::Timeout(Step::Answer)
        }
        _ if Instant::now() >= until => Failure::Timeout(Step::Answer),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => Failure::TooLong,
        ureq::Error::LargeResponseHeader(..) => Failure::TooLong,
        // The variant's type is of a crate that the library does not show.
        ureq::Error::Protocol(error) if format!("{error:?}") == "HttpParseTooManyHeaders" => {
            Failure::TooLong
        }
        _ => Failure::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_for_how_long_it_may_be_kept() {
        let seconds = |values: &[&str]| max_age(values.iter().copied()).map(|age| age.as_secs());
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&["public"]), None);
        assert_eq!(seconds(&["public, Max-Age=\"300\""]), Some(300));
        assert_eq!(seconds(&["max-age=300", "max-age=60"]), Some(60));
        assert_eq!(seconds(&["max-age=300, no-cache"]), Some(0));
        assert_eq!(seconds(&["no-store"]), Some(0));
        assert_eq!(seconds(&["max-age=soon", "max-age=-1"]), None);
    }
}
