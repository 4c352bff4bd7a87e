//! Handlers for what happened to a tenant: pages, requests that wait for the next event, and a stream of events.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use sigpersist_model::context::TenantId;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::view::HappeningView;
use sigpersist_model::webhook::check_types;
use sigpersist_runtime::blocking;
use utoipa::ToSchema;

use super::parameter;
use super::reply::{Envelope, Reply};
use super::respond::Call;
use crate::events::{After, PAGE_BYTES, Page, read};
use crate::waiters::Waiter;

/// The answer of a handler that may wait without a thread.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// The most seconds that a request may wait.
pub(super) const MAX_WAIT_S: u32 = 25;
/// Time after which a silent stream sends a comment, so that nothing on the way takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Time after which a command looks again, since nobody tells its process of new events, and a stream that was refused.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Events that a stream reads at once.
const STREAMED_AT_ONCE: u32 = 100;

#[derive(Serialize, ToSchema)]
struct HappeningsContent {
    /// What happened, in order.
    events: Vec<HappeningView>,
    /// The number to pass as `after` for what comes next.
    #[schema(example = 8123)]
    next: i64,
}

/// Tells what happened to a tenant, in order.
///
/// Begin without `after`, or with `after=now`, and pass the `next` of each answer as the `after` of the next request. With
/// `wait`, a request without anything new waits for it. Numbers have no gaps, and what has been told never changes, except
/// that events about deleted signatures become `erased`: a client that keeps `next` misses nothing, however long it was
/// away.
#[utoipa::path(
    get,
    path = "/events",
    operation_id = "follow_events",
    responses(
        (status = 200, description = "Events after the number", body = Envelope<HappeningsContent>),
    )
)]
pub(super) fn list(call: Call) -> Waiting {
    Box::pin(async move {
        let parameters = call.parameters()?;
        let wait = parameters.integer(&parameter::WAIT)?.unwrap_or(0);
        let limit = parameters
            .integer(&parameter::LIMIT_OF_HAPPENINGS)?
            .unwrap_or(parameter::DEFAULT_LIMIT);
        let after = after(parameters.text(&parameter::AFTER)?)?;
        let types = parameters.list(&parameter::TYPES)?.unwrap_or_default();
        check_types(&types)?;
        let reader = Reader::new(call, limit, types)?;
        let page = reader.wait(after, Duration::from_secs(wait.into())).await?;
        let reply = Reply::content(&HappeningsContent {
            events: page.events,
            next: page.next,
        })?;
        reader.call.answered(reply.never_stored())
    })
}

/// Streams what happens to a tenant, as server-sent events.
///
/// Each event has its number as `id`, its type as `event`, and as `data` what `GET /events` tells. A browser's
/// `EventSource` sends the last number as `Last-Event-ID` when it connects again, and goes on after it. Without that and
/// without `after`, the stream begins with what happens from now on.
#[utoipa::path(
    get,
    path = "/events/stream",
    operation_id = "stream_events",
    responses(
        (status = 200, description = "A stream of events", body = String, content_type = "text/event-stream", example = "id: 8123\nevent: version.saved\ndata: {}\n\n"),
    )
)]
pub(super) fn stream(call: Call) -> Waiting {
    Box::pin(async move {
        let parameters = call.parameters()?;
        let last = call.headers.get("last-event-id");
        let last = last.and_then(|value| value.to_str().ok());
        let given = match last {
            Some(last) => Some(last),
            None => parameters.text(&parameter::AFTER)?,
        };
        let after = after(given.or(Some("now")))?;
        let types = parameters.list(&parameter::TYPES)?.unwrap_or_default();
        check_types(&types)?;
        let reader = Reader::new(call, STREAMED_AT_ONCE, types)?;
        // Errors are told before the stream begins.
        let waiter = reader.join()?;
        let first = reader.read(after).await?;
        let begun = (reader, waiter, first.next, Some(first));
        let events = stream::try_unfold(begun, |(reader, waiter, after, first)| async move {
            // Each page is sent before the next one is waited for.
            let page = match first {
                Some(page) => page,
                None if reader.call.app.waiters.are_dismissed() => return Ok(None),
                None => reader.go_on(&waiter, after).await?,
            };
            let text = if page.events.is_empty() {
                ": nothing new\n\n".to_owned()
            } else {
                page.events.iter().map(told).collect()
            };
            reader.call.keep_only(text.len());
            Ok::<_, io::Error>(Some((Bytes::from(text), (reader, waiter, page.next, None))))
        });
        Ok(Reply::live("text/event-stream", Box::pin(events)).never_stored())
    })
}

/// An event in the format of server-sent events (WHATWG HTML section 9.2).
fn told(event: &HappeningView) -> String {
    let data = serde_json::to_string(event).unwrap_or_default();
    format!(
        "id: {}\nevent: {}\ndata: {data}\n\n",
        event.number, event.kind
    )
}

fn after(text: Option<&str>) -> Result<After> {
    match text {
        None => Ok(After::Number(0)),
        Some("now") => Ok(After::Now),
        Some(number) => number
            .parse()
            .ok()
            .filter(|number| *number >= 0)
            .map(After::Number)
            .ok_or_else(|| {
                Error::invalid(
                    "after",
                    "`after` must be the number of an event, or `now`.".to_owned(),
                )
            }),
    }
}

/// Reads the events that a request asks for.
struct Reader {
    call: Call,
    tenant: TenantId,
    limit: u32,
    types: Arc<Vec<String>>,
}

impl Reader {
    fn new(call: Call, limit: u32, types: Vec<String>) -> Result<Self> {
        Ok(Self {
            tenant: call.context.tenant()?,
            call,
            limit,
            types: Arc::new(types),
        })
    }

    fn join(&self) -> Result<Waiter> {
        self.call.app.waiters.join(self.tenant)
    }

    /// Reads a page within the budget of bytes, with a permit that is given back before anybody waits.
    async fn read(&self, after: After) -> Result<Page> {
        let server = &self.call.server;
        let permit = server.requests.acquire(Some(self.tenant)).await?;
        self.call.reserve(PAGE_BYTES)?;
        let (app, types) = (Arc::clone(&self.call.app), Arc::clone(&self.types));
        let (tenant, limit) = (self.tenant, self.limit);
        let page =
            blocking::run(permit, move || read(&app, tenant, after, limit, &types)).await??;
        self.call.keep_only(page.bytes);
        Ok(page)
    }

    /// Reads a page. If it is empty, waits for more.
    async fn wait(&self, after: After, patience: Duration) -> Result<Page> {
        if patience.is_zero() {
            return self.read(after).await;
        }
        let waiter = self.join()?;
        // A number from now on, since something may happen between two looks.
        let after = match after {
            After::Now => self.read(after).await?.next,
            After::Number(number) => number,
        };
        self.next(&waiter, after, patience, true).await
    }

    /// Waits for a page that is not empty, or for this long. `is_checked` says that the caller was authenticated just now;
    /// otherwise, and after a wait, that is done again before anything is told.
    async fn next(
        &self,
        waiter: &Waiter,
        mut after: i64,
        patience: Duration,
        mut is_checked: bool,
    ) -> Result<Page> {
        let until = Instant::now() + patience;
        let is_command = self.call.server.command_line().is_some();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            // Listens before it looks, so that nothing is missed in between.
            let grown = waiter.listen(if is_command {
                left.min(LOOK_AGAIN)
            } else {
                left
            });
            let page = self.read(After::Number(after)).await?;
            let is_over = left.is_zero() || self.call.app.waiters.are_dismissed();
            if !page.events.is_empty() || is_over {
                if !is_checked {
                    self.call.check_again().await?;
                }
                return Ok(page);
            }
            // Nothing of the wanted types so far, but there may be more behind it.
            if page.next != after {
                after = page.next;
                continue;
            }
            self.call.keep_only(0);
            let has_grown = grown.await;
            is_checked = false;
            if !has_grown && Instant::now() >= until {
                self.call.check_again().await?;
                return Ok(page);
            }
        }
    }

    /// The next page of a stream.
    async fn go_on(&self, waiter: &Waiter, after: i64) -> io::Result<Page> {
        self.call.keep_only(0);
        match self.next(waiter, after, HEARTBEAT, false).await {
            // Too much is in progress: the stream goes on later.
            Err(Error::RateLimited | Error::Overloaded) => {
                tokio::time::sleep(LOOK_AGAIN).await;
                Ok(Page {
                    events: Vec::new(),
                    next: after,
                    bytes: 0,
                })
            }
            next => next.map_err(io::Error::other),
        }
    }
}
