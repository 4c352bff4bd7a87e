//! Files as bodies of responses, whole or in part (RFC 9110 section 14).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::HeaderMap;
use http::header::{IF_RANGE, RANGE};
use sigpersist_model::error::{Error, Result};
use sigpersist_runtime::blocking;

use super::budget::Held;

/// Bytes that are read at once.
pub(super) const CHUNK_BYTES: u64 = 256 * 1024;

/// A part of a file that is sent as the body of a response.
#[derive(Debug)]
pub(super) struct FilePart {
    file: Arc<File>,
    /// The first byte.
    pub(super) from: u64,
    /// The byte after the last one.
    pub(super) to: u64,
    /// The size of the whole file.
    pub(super) size: u64,
}

impl FilePart {
    /// The part that the headers ask for: one range, if the client has the beginning of this very file, and otherwise
    /// the whole. Several ranges and the end of a file are ignored, as RFC 9110 section 14.2 allows.
    ///
    /// # Errors
    ///
    /// [`Error::RangeNotSatisfiable`] for a range that begins beyond the end.
    pub(super) fn asked(
        file: Arc<File>,
        size: u64,
        etag: &str,
        headers: &HeaderMap,
    ) -> Result<Self> {
        let (from, to) = asked(size, etag, headers)?;
        Ok(Self {
            file,
            from,
            to,
            size,
        })
    }

    /// Reads it as it is sent. Its share of the budget is held until then.
    pub(super) fn stream(self, held: Option<Arc<Held>>) -> impl Stream<Item = io::Result<Bytes>> {
        let state = (self.file, self.from, self.to, held);
        stream::try_unfold(state, |(file, from, to, held)| async move {
            let length = (to - from).min(CHUNK_BYTES);
            if length == 0 {
                return Ok(None);
            }
            let read = move || {
                let mut chunk = vec![0; usize::try_from(length).unwrap_or_default()];
                file.read_exact_at(&mut chunk, from)?;
                Ok::<_, io::Error>((file, chunk))
            };
            let (file, chunk) = blocking::run((), read).await.map_err(io::Error::other)??;
            Ok(Some((Bytes::from(chunk), (file, from + length, to, held))))
        })
    }
}

/// The first byte that the headers ask for, and the one after the last, as [`FilePart::asked`] reads them.
///
/// # Errors
///
/// [`Error::RangeNotSatisfiable`] for a range that begins beyond the end.
pub(super) fn asked(size: u64, etag: &str, headers: &HeaderMap) -> Result<(u64, u64)> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_same = text(IF_RANGE).is_none_or(|tag| tag == etag);
    let range = text(RANGE).filter(|_| is_same).and_then(read);
    let (from, to) = range.unwrap_or((0, size));
    if range.is_some() && from >= size {
        return Err(Error::RangeNotSatisfiable { size });
    }
    Ok((from, to.min(size)))
}

/// Reads `bytes=FROM-` or `bytes=FROM-LAST`: the first byte, and the one after the last, which may be beyond the end of the
/// file. None for anything else.
fn read(range: &str) -> Option<(u64, u64)> {
    let (from, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| is_number)
    };
    let from = number(from)?;
    let to = match last {
        "" => u64::MAX,
        last => number(last)?.checked_add(1)?,
    };
    (from < to).then_some((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_ranges_are_read_and_others_are_not() {
        for (range, expected) in [
            ("bytes=0-", Some((0, u64::MAX))),
            ("bytes=4-5", Some((4, 6))),
            ("bytes=4-99", Some((4, 100))),
            ("bytes=5-4", None),
            ("bytes=-5", None),
            ("bytes=+1-4", None),
            ("bytes=0-1,3-4", None),
            ("bytes=0-18446744073709551615", None),
            ("bytes=18446744073709551615-", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(read(range), expected, "{range}");
        }
    }

    #[test]
    fn a_part_ends_with_its_file_and_begins_within_it() {
        let part = |range: &str, tag: &str| {
            let headers = [(RANGE, range), (IF_RANGE, tag)];
            let headers = headers.map(|(name, value)| (name, value.parse().unwrap()));
            let file = Arc::new(tempfile::tempfile().unwrap());
            FilePart::asked(file, 10, "\"here\"", &headers.into_iter().collect())
        };
        let ends = |range: &str, tag: &str| part(range, tag).map(|part| (part.from, part.to)).ok();
        assert_eq!(ends("bytes=4-", "\"here\""), Some((4, 10)));
        assert_eq!(ends("bytes=4-99", "\"here\""), Some((4, 10)));
        assert_eq!(ends("bytes=9-9", "\"here\""), Some((9, 10)));
        assert_eq!(ends("bytes=-4", "\"here\""), Some((0, 10)));
        for range in ["bytes=10-", "bytes=10-11", "bytes=99-"] {
            let refused = part(range, "\"here\"");
            assert!(matches!(
                refused,
                Err(Error::RangeNotSatisfiable { size: 10 })
            ));
            // Of another file the client needs all.
            assert_eq!(ends(range, "\"there\""), Some((0, 10)));
        }
    }
}
