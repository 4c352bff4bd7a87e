//! References to artefacts in registries (OCI distribution specification 1.1, "Pulling manifests"). Plain values, no I/O.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use semver::Version;

use crate::plugin::Digest;

/// Longest registry and repository together, in characters; registries take no more.
const MAX_NAME: usize = 255;
/// Longest tag (the specification's own limit).
const MAX_TAG: usize = 128;
/// Beginning of the only kind of digest that is read.
const SHA256: &str = "sha256:";

/// A reference to an artefact: `REGISTRY/REPOSITORY:TAG`, `…@sha256:DIGEST`, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Host of the registry, perhaps with a port.
    pub registry: String,
    /// The repository within the registry.
    pub repository: String,
    /// The tag, which may name another artefact tomorrow.
    pub tag: Option<String>,
    /// SHA-256 of the manifest.
    pub digest: Option<Digest>,
}

impl Reference {
    /// The same reference, pinned to the manifest with this digest.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// The last part of the repository.
    pub fn name(&self) -> &str {
        let mut parts = self.repository.rsplit('/');
        parts.next().unwrap_or_default()
    }

    /// The version that the tag is, with or without a `v` before it.
    pub fn version(&self) -> Option<Version> {
        let tag = self.tag.as_deref()?;
        tag.strip_prefix('v').unwrap_or(tag).parse().ok()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{SHA256}{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: &str| {
            format!(
                "{what}; a reference is REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:DIGEST"
            )
        };
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let hex = digest.strip_prefix(SHA256);
                let hex = hex.filter(|hex| !hex.bytes().any(|byte| byte.is_ascii_uppercase()));
                let digest = hex.and_then(|hex| hex.parse().ok());
                let digest =
                    digest.ok_or_else(|| wrong("the digest is not `sha256:` with 64 digits"))?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        let (registry, path) = name
            .split_once('/')
            .ok_or_else(|| wrong("the registry is missing"))?;
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !is_registry(registry) {
            return Err(wrong("the registry is not a host"));
        }
        if name.len() > MAX_NAME + MAX_TAG
            || registry.len() + repository.len() > MAX_NAME
            || !repository.split('/').all(is_part)
        {
            return Err(wrong(
                "the repository is not lower-case letters and digits, with single separators between them",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "the tag is not up to 128 letters, digits, `_`, `.` and `-`",
            ));
        }
        if tag.is_none() && digest.is_none() {
            return Err(wrong("the tag is missing"));
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// Whether this is a host, perhaps with a port. A host without a dot or port would be a folder of Docker Hub to Docker, so
/// only `localhost` may be one.
fn is_registry(registry: &str) -> bool {
    let (host, port) = match registry.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            // An address needs no dot, like `localhost`.
            Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => match port {
                "" => ("localhost", None),
                port => match port.strip_prefix(':') {
                    Some(port) => ("localhost", Some(port)),
                    None => return false,
                },
            },
            _ => return false,
        },
        None => match registry.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (registry, None),
        },
    };
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        bytes.iter().all(is_inner)
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    host.split('.').all(is_label)
        && port.is_none_or(is_port)
        && (port.is_some() || host == "localhost" || host.contains('.'))
}

/// Whether this is a part of a repository: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` in the specification.
fn is_part(part: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = part.as_bytes();
    bytes.first().copied().is_some_and(is_plain)
        && bytes.last().copied().is_some_and(is_plain)
        && separators.all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_first = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= MAX_TAG
        && bytes.first().is_some_and(is_first)
        && bytes
            .iter()
            .all(|byte| is_first(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn references_are_read_and_written_alike() {
        for text in [
            "ghcr.io/acme/plugins/signer-tags:1.2.0".to_owned(),
            "localhost/signer_tags:latest".to_owned(),
            "localhost:5000/a__b.c---d:_x.Y-1".to_owned(),
            "[::1]:5000/p:1".to_owned(),
            format!("registry.example/p@sha256:{DIGEST}"),
            format!("registry.example:443/p:1.0@sha256:{DIGEST}"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
        }
        let reference: Reference = "ghcr.io/acme/signer-tags:1".parse().unwrap();
        assert_eq!(reference.name(), "signer-tags");
        let pinned = reference.pinned(DIGEST.parse().unwrap()).to_string();
        assert_eq!(
            pinned,
            format!("ghcr.io/acme/signer-tags:1@sha256:{DIGEST}")
        );
    }

    #[test]
    fn paths_and_other_tricks_are_no_references() {
        for text in [
            "".to_owned(),
            "signer-tags:1".to_owned(),
            "acme/signer-tags:1".to_owned(),
            "ghcr.io/signer-tags".to_owned(),
            "ghcr.io/../x:1".to_owned(),
            "ghcr.io/a/../../b:1".to_owned(),
            "ghcr.io/a//b:1".to_owned(),
            "ghcr.io//a:1".to_owned(),
            "ghcr.io/A:1".to_owned(),
            "ghcr.io/a%2fb:1".to_owned(),
            "ghcr.io/a?x=1:1".to_owned(),
            "ghcr.io/a:1#x".to_owned(),
            "ghcr.io/a:../b".to_owned(),
            "ghcr.io/a:.hidden".to_owned(),
            "ghcr.io/a:1/b".to_owned(),
            "ghcr.io/a: 1".to_owned(),
            "ghcr.io/a:1\r\nx: y".to_owned(),
            "olga:secret@ghcr.io/a:1".to_owned(),
            "https://ghcr.io/a:1".to_owned(),
            "ghcr.io:99999/a:1".to_owned(),
            "ghcr.io:/a:1".to_owned(),
            "[::1/a:1".to_owned(),
            "[::1]x/a:1".to_owned(),
            "-ghcr.io/a:1".to_owned(),
            "ghcr..io/a:1".to_owned(),
            "ghcr.io/a._b:1".to_owned(),
            format!("ghcr.io/a:{}", "1".repeat(129)),
            format!("ghcr.io/{}:1", "a".repeat(256)),
            "ghcr.io/a@sha256:abc".to_owned(),
            format!("ghcr.io/a@sha512:{DIGEST}{DIGEST}"),
            format!("ghcr.io/a@sha256:{}", DIGEST.to_uppercase()),
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
