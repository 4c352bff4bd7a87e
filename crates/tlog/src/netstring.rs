//! Netstrings, `LENGTH:bytes,`, with `-` for a missing value: the spelling of the audit trail's hashes, too.

/// The end of a byte string that ends in a list of netstrings.
#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Begins with bytes that are not a netstring.
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.as_bytes().to_vec())
    }

    /// Appends a value.
    pub(crate) fn add(&mut self, part: impl AsRef<[u8]>) {
        let part = part.as_ref();
        self.0.extend(part.len().to_string().bytes());
        self.0.push(b':');
        self.0.extend(part);
        self.0.push(b',');
    }

    /// Appends a value that may be missing.
    pub(crate) fn add_optional(&mut self, part: Option<&str>) {
        match part {
            Some(part) => self.add(part),
            None => self.0.push(b'-'),
        }
    }

    /// All bytes.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a list of netstrings; none if the bytes are anything else.
pub(crate) fn read_all(mut bytes: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        if let Some(rest) = bytes.strip_prefix(b"-") {
            parts.push(None);
            bytes = rest;
            continue;
        }
        let colon = bytes.iter().position(|byte| *byte == b':')?;
        let (length, rest) = bytes.split_at_checked(colon)?;
        let length = crate::text::decimal(std::str::from_utf8(length).ok()?)?;
        let (part, rest) = rest
            .strip_prefix(b":")?
            .split_at_checked(usize::try_from(length).ok()?)?;
        bytes = rest.strip_prefix(b",")?;
        parts.push(Some(part));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::new("");
        writer.add("a,b");
        writer.add_optional(None);
        writer.add("");
        let bytes = writer.finish();
        assert_eq!(bytes, b"3:a,b,-0:,");
        let parts = read_all(&bytes).unwrap();
        assert_eq!(parts, [Some(&b"a,b"[..]), None, Some(b"")]);
    }

    #[test]
    fn anything_else_is_refused() {
        for bytes in [
            "1:a",
            "2:a,",
            "01:a,",
            ":,",
            "1a,",
            "x",
            "99999999999999999999:a,",
            "1:ab",
        ] {
            assert_eq!(read_all(bytes.as_bytes()), None, "{bytes}");
        }
    }
}
