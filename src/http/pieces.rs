//! The body of a response, in pieces. A growing body is never copied to a larger buffer, and memory is freed as pieces
//! are sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;

use super::budget::Held;

/// Size of a piece, in bytes: as much as hyper buffers of what a client has not read yet.
const PIECE: usize = 64 * 1024;
/// Initial capacity of a response, in bytes.
const FIRST: usize = 512;

/// Bytes written in sequence.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: VecDeque<Bytes>,
    last: Vec<u8>,
    bytes: usize,
}

impl Pieces {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Turns them into a stream, which holds their share of the budget until it is sent.
    pub(super) fn sent(mut self, held: Option<Arc<Held>>) -> Sending {
        if !self.last.is_empty() {
            self.full.push_back(self.last.into());
        }
        Sending {
            left: self.full,
            bytes: self.bytes,
            held,
        }
    }
}

impl From<Bytes> for Pieces {
    fn from(whole: Bytes) -> Self {
        let mut pieces = Self {
            bytes: whole.len(),
            ..Self::default()
        };
        let mut rest = whole;
        while !rest.is_empty() {
            pieces.full.push_back(rest.split_to(PIECE.min(rest.len())));
        }
        pieces
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.len() == PIECE {
            let full = std::mem::replace(&mut self.last, Vec::with_capacity(PIECE));
            self.full.push_back(full.into());
        } else if self.last.capacity() == 0 {
            self.last.reserve(FIRST);
        }
        let room = PIECE - self.last.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.last.extend_from_slice(taken);
        self.bytes += taken.len();
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A response being sent.
#[derive(Debug)]
pub(super) struct Sending {
    left: VecDeque<Bytes>,
    bytes: usize,
    held: Option<Arc<Held>>,
}

impl Stream for Sending {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // When the next piece is asked for, nearly all of the previous one has been sent.
        if let Some(held) = &self.held {
            held.set(self.bytes);
        }
        let piece = self.left.pop_front();
        self.bytes -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_written_is_sent_in_pieces() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut written = Pieces::default();
        for part in text.chunks(12_345) {
            written.write_all(part).unwrap();
        }
        for pieces in [written, Pieces::from(Bytes::from(text.clone()))] {
            assert_eq!(pieces.len(), text.len());
            let sent: Vec<_> = pieces.sent(None).map(Result::unwrap).collect().await;
            assert!(sent.iter().all(|piece| piece.len() <= PIECE));
            assert_eq!(sent.len(), text.len().div_ceil(PIECE));
            assert_eq!(sent.concat(), text);
        }
        assert_eq!(Pieces::default().sent(None).count().await, 0);
    }
}
