//! A body that is read line by line, as it comes.
//!
//! It takes little more memory than the lines that were not handled yet, and their bytes are counted in the budget. Whoever reads
//! holds no permit while the client is slow.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sigpersist_model::error::{Error, Result};
use tokio::time::{Instant, timeout};

use super::body::Body;
use super::budget::Held;

/// A line of a body.
#[derive(Debug)]
pub(super) struct Line {
    /// Its number; the first line has number 1.
    pub(super) number: u64,
    /// Its bytes, without the line feed; the error if there are too many.
    pub(super) text: Result<Bytes>,
}

/// What became of the wait for a line.
#[derive(Debug)]
pub(super) enum Next {
    /// It has come.
    Line(Line),
    /// It has not come yet.
    NotYet,
    /// There are no more lines.
    End,
}

/// The lines of a body, which are separated by line feeds. Blank ones are skipped.
pub(super) struct Lines {
    body: Body,
    held: Arc<Held>,
    /// Bytes of the budget that are for other things.
    others: usize,
    /// Bytes of lines that were given out and not handled yet.
    given: usize,
    max_bytes: usize,
    timeout_ms: u64,
    buffer: BytesMut,
    /// The first bytes of the buffer that have no line feed.
    searched: usize,
    /// The lines so far.
    number: u64,
    /// Whether the rest of a line that is too long is thrown away.
    skips: bool,
    at_end: bool,
    /// When the wait for the present line began.
    since: Instant,
}

impl Lines {
    /// The lines of a body. Each may have so many bytes, and must arrive within so many milliseconds.
    pub(super) fn new(body: Body, held: Arc<Held>, max_bytes: usize, timeout_ms: u64) -> Self {
        Self {
            body,
            held,
            others: 0,
            given: 0,
            max_bytes,
            timeout_ms,
            buffer: BytesMut::new(),
            searched: 0,
            number: 0,
            skips: false,
            at_end: false,
            since: Instant::now(),
        }
    }

    /// Frees the bytes of all lines that were given out, since they are handled. The time for the next line begins now.
    pub(super) fn are_handled(&mut self) {
        self.given = 0;
        self.held.set(self.bytes_held(0));
        self.since = Instant::now();
    }

    /// Takes bytes of the budget that are not for lines, until the end.
    ///
    /// # Errors
    ///
    /// The errors of [`Held::grow_to`].
    pub(super) fn hold(&mut self, others: usize) -> Result<()> {
        self.reserve(others)?;
        self.others += others;
        Ok(())
    }

    /// Takes bytes of the budget for the handling of the lines that were given out, until they are handled.
    ///
    /// # Errors
    ///
    /// The errors of [`Held::grow_to`].
    pub(super) fn reserve(&self, bytes: usize) -> Result<()> {
        self.held.grow_to(self.bytes_held(bytes))
    }

    /// Waits for the next line for at most this long.
    ///
    /// # Errors
    ///
    /// [`Error::BodyTimeout`] if the line took too long, the errors of [`Held::grow_to`], and the errors of reading the body:
    /// then nothing more can be read.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Next> {
        let until = Instant::now() + patience;
        loop {
            if let Some(line) = self.whole_line() {
                return Ok(Next::Line(line));
            }
            if self.at_end {
                return Ok(Next::End);
            }
            // Whoever never pauses is held to the limits, too.
            if self.since.elapsed() > Duration::from_millis(self.timeout_ms) {
                return Err(Error::BodyTimeout {
                    timeout_ms: self.timeout_ms,
                });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Next::NotYet);
            }
            // Without a part in time, the limits decide.
            if let Ok(part) = timeout(left, self.body.part()).await {
                match part? {
                    None => self.at_end = true,
                    Some(part) => self.take(&part)?,
                }
            }
        }
    }

    /// Reads and throws away what the client goes on sending, for a short time, so that it gets to read the answer.
    pub(super) async fn drain(&mut self) {
        self.body.drain().await;
    }

    fn bytes_held(&self, more: usize) -> usize {
        let bytes = self.others + self.given + self.buffer.len();
        bytes.saturating_add(more)
    }

    fn take(&mut self, part: &[u8]) -> Result<()> {
        let grown = self.held.grow_to(self.bytes_held(part.len()));
        self.buffer.extend_from_slice(part);
        if grown.is_err() {
            // The part is in memory already. Lines that were given out can be handled before the next one, which frees
            // their bytes.
            self.held.set(self.bytes_held(0));
        }
        grown
    }

    /// The next line that has come whole.
    fn whole_line(&mut self) -> Option<Line> {
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            let found = rest.iter().position(|byte| *byte == b'\n');
            let found = found.map(|place| self.searched + place);
            let line = if let Some(end) = found {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                line
            } else {
                self.searched = self.buffer.len();
                if self.buffer.len() > self.max_bytes {
                    self.buffer.clear();
                    self.searched = 0;
                    self.skips = true;
                    self.held.set(self.bytes_held(0));
                }
                let is_last = self.at_end && (self.skips || !self.buffer.is_empty());
                if !is_last {
                    return None;
                }
                self.buffer.split()
            };
            if let Some(line) = self.line(line.freeze()) {
                return Some(line);
            }
        }
    }

    /// Counts a line; none if it is blank.
    fn line(&mut self, text: Bytes) -> Option<Line> {
        self.number += 1;
        self.searched = 0;
        let number = self.number;
        let limit_bytes = self.max_bytes;
        if std::mem::take(&mut self.skips) || text.len() > limit_bytes {
            self.since = Instant::now();
            let text = Err(Error::PayloadTooLarge { limit_bytes });
            return Some(Line { number, text });
        }
        if text.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        // Blank lines keep no stream alive.
        self.since = Instant::now();
        self.given += text.len();
        Some(Line {
            number,
            text: Ok(text),
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::HeaderMap;
    use proptest::prelude::*;
    use sigpersist_model::context::TenantId;

    use super::*;
    use crate::config::HttpConfig;
    use crate::http::budget::{Budget, Holder};

    /// The lines of a body that comes in these parts; `None` for one that is too long.
    async fn read(parts: Vec<Vec<u8>>, max_bytes: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let config = HttpConfig::default();
        let parts = parts.into_iter().map(|part| Ok(Bytes::from(part)));
        let body = Body::new(stream::iter(parts), &HeaderMap::new(), &config);
        let held = Budget::new(&config).nothing(Holder::Tenant(TenantId(1)));
        let mut lines = Lines::new(body, Arc::new(held), max_bytes, 1_000);
        let mut all = Vec::new();
        loop {
            match lines.next(Duration::from_secs(1)).await.unwrap() {
                Next::Line(line) => {
                    all.push((line.number, line.text.ok().map(|text| text.to_vec())));
                }
                Next::NotYet => panic!("the body has an end"),
                Next::End => return all,
            }
        }
    }

    #[tokio::test]
    async fn lines_come_whole_and_long_ones_are_skipped() {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let parts = |parts: &[&str]| parts.iter().map(|part| part.as_bytes().to_vec()).collect();
        let all = read(parts(&["a", "b\n", "\n \t\r\n", "c\nd\n\n", "last"]), 10).await;
        let expected = [
            (1, text("ab")),
            (4, text("c")),
            (5, text("d")),
            (7, text("last")),
        ];
        assert_eq!(all, expected);
        let all = read(parts(&["12345\n123456\n", "1234", "5678", "9\n", "x"]), 5).await;
        let expected = [(1, text("12345")), (2, None), (3, None), (4, text("x"))];
        assert_eq!(all, expected);
        assert_eq!(read(parts(&["1234567"]), 5).await, [(1, None)]);
        assert!(read(parts(&["", "\n\n"]), 5).await.is_empty());
    }

    proptest! {
        #[test]
        fn the_parts_in_which_a_body_comes_make_no_difference(
            text in "[ab \n]{0,60}",
            cuts in prop::collection::vec(0_usize..60, 0..6),
            max_bytes in 1_usize..12,
        ) {
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                parts.push(text.as_bytes()[from..cut].to_vec());
                from = cut;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let all = runtime.block_on(read(parts, max_bytes));
            let expected: Vec<_> = (1..)
                .zip(text.split('\n'))
                .filter(|(_, line)| line.len() > max_bytes || !line.trim().is_empty())
                .map(|(number, line)| (number, (line.len() <= max_bytes).then(|| line.as_bytes().to_vec())))
                .collect();
            prop_assert_eq!(all, expected);
        }
    }
}
