//! Signatures as a stream: one on each line of a body, answered with a line each as they are saved or read.
//!
//! A client may send as many as it likes. They are saved in batches, each in the same way as those of one JSON body, and read one by
//! one; nothing of a batch stays when it was answered. While the client is slow to send or to read, no permit is held. The server
//! stops reading while too many answers wait for the client.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde::Serialize;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::transfer::MEDIA_TYPE;
use sigpersist_runtime::blocking;
use sigpersist_runtime::meters::UnderWay;
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span};
use utoipa::ToSchema;

use super::body::Body;
use super::lines::{Line, Lines, Next};
use super::many::{
    Failed, MAX_MANY, Outcome, OutcomeContent, Pacing, Sent, Unread, count, get_line, save_all,
};
use super::reply::Reply;
use super::respond::Call;
use super::signatures::{read_and_shown, thread_key};

/// Longest time that a stream may take.
const MAX_TIME: Duration = Duration::from_secs(3_600);
/// The most threads of one stream that may have had a draft that was not saved, since their names are remembered.
const MAX_FAILED: usize = 10_000;
/// Time that a draft waits for others to be saved with it.
const GATHER: Duration = Duration::from_millis(20);
/// Interval at which a stream that waits for a line looks whether the server stops.
const LOOK: Duration = Duration::from_millis(250);
/// Size of a piece of an answer, and number of pieces that may wait for the client, in bytes.
const PIECE_BYTES: usize = 64 * 1024;
const PIECES: usize = 14;
/// Bytes of the budget that a stream holds for its answers.
const ANSWER_BYTES: usize = (PIECES + 2) * PIECE_BYTES;

/// The outcome for one line. If a stream ends early, the last one says why, for the first line that was not handled.
#[derive(Serialize, ToSchema)]
#[schema(as = OutcomeOfLine)]
pub(super) struct LineOutcome {
    /// The number of the line; the first has number 1.
    #[schema(example = 1)]
    line: u64,
    #[serde(flatten)]
    outcome: OutcomeContent,
}

impl LineOutcome {
    fn new(line: u64, outcome: Outcome) -> Self {
        Self {
            line,
            outcome: OutcomeContent::new(outcome),
        }
    }
}

/// Counts a stream among the requests that are under way.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if the query has parameters, and the errors of the tenant's quotas.
pub(super) fn begin(call: &Call) -> Result<UnderWay> {
    call.parameters_of(&[])?;
    call.app.meters.begin(&call.context.caller)
}

/// What is done with each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It is a draft, which is saved.
    Save,
    /// It names a version, which is read.
    Get,
}

/// Does the work for the lines of a body if it may begin, and begins to answer when the first are done.
///
/// # Errors
///
/// An error before the first outcome, as for a request of its own.
pub(super) async fn answer(
    call: Call,
    mut body: Body,
    begun: Result<UnderWay>,
    work: Work,
) -> Result<Reply> {
    let under_way = match begun {
        Ok(under_way) => under_way,
        Err(error) => {
            body.drain().await;
            return Err(error);
        }
    };
    let http = &call.app.config.http;
    let (max_bytes, timeout_ms) = (http.max_body_bytes(), http.body_timeout_ms);
    let lines = Lines::new(body, call.held(), max_bytes, timeout_ms);
    let mut streamed = Streamed {
        call: Arc::new(call),
        work,
        lines,
        max_bytes,
        failed: Failed::default(),
        begun: 0,
        handled: 0,
        until: Instant::now() + MAX_TIME,
        _under_way: under_way,
    };
    let first = match streamed.step().await {
        Ok(first) => first,
        Err(error) => {
            streamed.lines.drain().await;
            return Err(error);
        }
    };
    if first.outcomes.is_empty() {
        let message = "Send at least one line: a JSON object on each.";
        return Err(Error::InvalidParameter {
            field: String::new(),
            message: message.to_owned(),
        });
    }
    let (answers, mut sent) = mpsc::channel(PIECES);
    // A task of its own, so that drafts that were read are saved and answered even while nobody asks for the next piece.
    tokio::spawn(streamed.go_on(first, answers).instrument(Span::current()));
    let pieces = stream::poll_fn(move |context| sent.poll_recv(context)).map(Ok);
    Ok(Reply::live(MEDIA_TYPE, Box::pin(pieces)).never_stored())
}

/// The outcomes of a batch.
struct Step {
    outcomes: Vec<LineOutcome>,
    is_last: bool,
}

struct Streamed {
    call: Arc<Call>,
    work: Work,
    lines: Lines,
    max_bytes: usize,
    /// Threads with a draft that was not saved.
    failed: Failed,
    /// Lines so far that are not blank.
    begun: usize,
    /// The number of the last line that was handled.
    handled: u64,
    until: Instant,
    _under_way: UnderWay,
}

impl Streamed {
    /// Sends outcomes until there are no more lines, or the client is gone.
    async fn go_on(mut self, first: Step, answers: mpsc::Sender<Bytes>) {
        let mut step = first;
        loop {
            let mut text = Vec::new();
            for outcome in &step.outcomes {
                if serde_json::to_writer(&mut text, outcome).is_err() {
                    return;
                }
                text.push(b'\n');
            }
            let mut text = Bytes::from(text);
            while !text.is_empty() {
                let piece = text.split_to(PIECE_BYTES.min(text.len()));
                if answers.send(piece).await.is_err() {
                    return;
                }
            }
            if step.is_last {
                // Nothing is read any more, but a client that is still sending should see the last line.
                drop(answers);
                self.lines.drain().await;
                return;
            }
            step = match self.step().await {
                Ok(step) => step,
                Err(error) => Step {
                    outcomes: vec![self.end(error)],
                    is_last: true,
                },
            };
        }
    }

    /// The last line of a stream that ends early.
    fn end(&self, error: Error) -> LineOutcome {
        LineOutcome::new(self.handled + 1, Err(error))
    }

    /// Reads a batch of lines, and does the work for it.
    ///
    /// # Errors
    ///
    /// The reason why the stream ends, if there is nothing to do before.
    async fn step(&mut self) -> Result<Step> {
        self.lines.are_handled();
        let (batch, end) = self.gather().await;
        if batch.is_empty() {
            return end.unwrap_or(Ok(())).map(|()| Step {
                outcomes: Vec::new(),
                is_last: true,
            });
        }
        if self.begun == 0 {
            // Not before, so that streams without lines take nothing from others.
            self.lines.hold(ANSWER_BYTES)?;
        }
        // The token may have expired, or the tenant been suspended.
        self.call.check_again().await?;
        let mut outcomes = match self.work {
            Work::Save => self.save(batch).await?,
            Work::Get => self.get(batch).await,
        };
        let end = end.or_else(|| {
            let message = || {
                format!(
                    "{MAX_FAILED} threads have a draft that was not saved, so no more is read. Send the rest when you know why."
                )
            };
            (self.failed.number() > MAX_FAILED).then(|| Err(Error::refused(message())))
        });
        let is_last = end.is_some();
        if let Some(Err(error)) = end {
            outcomes.push(self.end(error));
        }
        Ok(Step { outcomes, is_last })
    }

    /// The lines of a batch, and how the stream ended, if it did.
    async fn gather(&mut self) -> (Vec<Line>, Option<Result<()>>) {
        let (mut batch, mut bytes) = (Vec::new(), 0_usize);
        let most = match self.work {
            Work::Save => MAX_MANY,
            // Each answer may be as large as all answers that wait.
            Work::Get => 1,
        };
        while batch.len() < most && bytes < self.max_bytes {
            let patience = if batch.is_empty() { LOOK } else { GATHER };
            let next = match self.lines.next(patience).await {
                Ok(next) => next,
                // The budget has no more bytes now. Saving the batch frees those that it takes.
                Err(Error::RateLimited | Error::Overloaded) if !batch.is_empty() => break,
                Err(error) => return (batch, Some(Err(error))),
            };
            match next {
                Next::Line(line) => {
                    bytes += line.text.as_ref().map_or(0, Bytes::len);
                    batch.push(line);
                }
                Next::End => return (batch, Some(Ok(()))),
                Next::NotYet if !batch.is_empty() => break,
                Next::NotYet => {
                    if let Err(error) = self.may_wait() {
                        return (batch, Some(Err(error)));
                    }
                }
            }
        }
        let may_wait = self.may_wait();
        (batch, may_wait.err().map(Err))
    }

    /// Whether the stream may go on.
    fn may_wait(&self) -> Result<()> {
        if self.call.app.waiters.are_dismissed() {
            return Err(Error::NotReady(self.call.app.readiness.lacks()));
        }
        if Instant::now() > self.until {
            return Err(Error::refused(format!(
                "A stream may take {} seconds: send the rest in another one.",
                MAX_TIME.as_secs()
            )));
        }
        Ok(())
    }

    /// Saves a batch as one JSON body would be.
    async fn save(&mut self, batch: Vec<Line>) -> Result<Vec<LineOutcome>> {
        let (permits, call) = (self.call.permits().await?, Arc::clone(&self.call));
        let numbers: Vec<_> = batch.iter().map(|line| line.number).collect();
        let first = self.begun;
        self.begun += batch.len();
        let read = move || -> Vec<_> {
            let read = batch.into_iter().map(|line| match line.text {
                Ok(text) => read_line(&call, &text),
                Err(error) => Err(Unread {
                    error,
                    thread: None,
                }),
            });
            (first..).zip(read).collect()
        };
        let drafts = blocking::run(permits, read).await?;
        self.handled = numbers.last().copied().unwrap_or(self.handled);
        let outcomes = save_all(&self.call, drafts, &mut self.failed, Pacing::Waits).await;
        let outcomes = numbers.into_iter().zip(outcomes);
        Ok(outcomes
            .map(|(line, outcome)| LineOutcome::new(line, outcome))
            .collect())
    }

    /// Reads versions.
    async fn get(&mut self, batch: Vec<Line>) -> Vec<LineOutcome> {
        let mut outcomes = Vec::new();
        for Line { number, text } in batch {
            let outcome = self.get_one(text).await;
            self.begun += 1;
            self.handled = number;
            outcomes.push(LineOutcome::new(number, outcome));
        }
        outcomes
    }

    /// Reads a version, once the tenant's rate allows it.
    async fn get_one(&mut self, text: Result<Bytes>) -> Outcome {
        count(&self.call, self.begun, Pacing::Waits).await?;
        let text = text?;
        let (permits, call) = (self.call.permits().await?, Arc::clone(&self.call));
        let signature = blocking::run(permits, move || get_line(&call, &text)).await??;
        let bytes = signature.body.as_ref().map_or(0, |body| body.bytes.len());
        self.lines.reserve(read_and_shown(bytes))?;
        Ok((StatusCode::OK, signature.into()))
    }
}

/// Reads a draft. Blocks.
fn read_line(call: &Call, text: &Bytes) -> Result<Sent, Unread> {
    let parameters = call.parameters_in(text).map_err(|error| Unread {
        error,
        thread: None,
    })?;
    Sent::read(call, &parameters).map_err(|error| Unread {
        error,
        thread: thread_key(&parameters).ok(),
    })
}
