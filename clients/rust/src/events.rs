//! Events: a page of them, or all that happen.
//!
//! Following asks again and again for what comes after a number (long polling): ordinary requests, which pass every proxy and are
//! repeated as all others. The answer tells the number to go on from even if none of its events is of the wanted types.

use std::collections::VecDeque;
use std::fmt;

use crate::client::Client;
use crate::error::Error;
use crate::request::Request;
use crate::retry::backoff;
use crate::types::{Event, EventPage};

/// Events of a page.
const PAGE: u32 = 100;
/// Seconds that a request waits for an event.
const WAIT_S: u32 = 25;

/// Where events begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// With what happens from now on.
    Now,
    /// After the event with this number; 0 for all.
    Number(i64),
}

impl From<i64> for After {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// What happened to the tenant, in order and without gaps.
#[derive(Debug, Clone)]
pub struct Events {
    client: Client,
    types: Vec<String>,
}

impl Events {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            types: Vec::new(),
        }
    }

    /// Only events of these types; one that ends with a dot stands for all that begin so.
    #[must_use]
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types.extend(types.into_iter().map(Into::into));
        self
    }

    /// Events after a number. Store `next`: it is the `after` of the next page. Waits up to `wait_s` seconds, 25 at most, for an
    /// event if there is none yet.
    ///
    /// # Errors
    ///
    /// `insufficient_scope` without `events:read`.
    pub async fn page(
        &self,
        after: impl Into<After>,
        limit: u32,
        wait_s: u32,
    ) -> Result<EventPage, Error> {
        let after: After = after.into();
        let mut request = Request::get("/events")
            .with("after", after)
            .with("limit", limit)
            .with("wait", wait_s);
        for kind in &self.types {
            request = request.with("types", kind);
        }
        request.wait_s = wait_s;
        self.client.0.send(&request).await?.content()
    }

    /// Events after a number, and further ones as they happen, without end. If the server goes away, it goes on when the server
    /// is back.
    pub fn follow(&self, after: impl Into<After>) -> Following {
        Following {
            events: self.clone(),
            after: after.into(),
            next: None,
            read: VecDeque::new(),
        }
    }
}

/// Events as they happen.
#[derive(Debug)]
pub struct Following {
    events: Events,
    after: After,
    /// Where the page after those that were read begins.
    next: Option<i64>,
    read: VecDeque<Event>,
}

impl Following {
    /// The number to store once you have handled the last event that you got, and to pass as `after`. None before the first one
    /// if you follow from [`After::Now`].
    pub fn cursor(&self) -> Option<i64> {
        match self.after {
            After::Now => None,
            After::Number(number) => Some(number),
        }
    }

    /// The next event. Handle it, then store [`Self::cursor`]: so nothing is missed. It may be dropped and called again.
    ///
    /// # Errors
    ///
    /// Errors for which asking again does not help, such as `insufficient_scope`.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.read.pop_front() {
                // The next page may begin after events of other types.
                self.after = After::Number(match (self.read.is_empty(), self.next) {
                    (true, Some(next)) => next,
                    _ => event.number,
                });
                return Ok(event);
            }
            let page = self.page().await?;
            if page.events.is_empty() {
                self.after = After::Number(page.next);
            }
            self.next = Some(page.next);
            self.read = page.events.into();
        }
    }

    async fn page(&self) -> Result<EventPage, Error> {
        // `now` becomes a number before it waits, so that nothing is missed if a request fails.
        let wait_s = if self.after == After::Now { 0 } else { WAIT_S };
        let mut failures = 0;
        loop {
            let error = match self.events.page(self.after, PAGE, wait_s).await {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            failures += 1;
            let pause = match &error {
                Error::NoAnswer { .. } => backoff(failures),
                Error::Refused(refusal) if refusal.status == 429 || refusal.status >= 500 => {
                    refusal.retry_after.unwrap_or_else(|| backoff(failures))
                }
                _ => return Err(error),
            };
            tokio::time::sleep(pause).await;
        }
    }
}
