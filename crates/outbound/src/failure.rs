//! Reasons for which a request got no answer.
//!
//! They are stored and shown to tenants. So they have no text of the peer, which may be of another system that a stranger
//! made us ask, and no text of the request, which may have secrets.

use crate::refused::Refused;

/// A reason for which a request got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The URL is refused, or DNS now says an address that is.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The name has no address, or DNS does not work.
    #[error("The host was not found.")]
    Dns,
    /// No connection was possible.
    #[error("The host did not accept a connection.")]
    Connect,
    /// No secure connection was possible.
    #[error("No secure connection was possible: {0}.")]
    Tls(TlsFault),
    /// The time was over.
    #[error("The time was over before {0}.")]
    Timeout(Step),
    /// The connection ended early, or the peer did not speak HTTP/1.1.
    #[error("The connection ended early, or the answer was not HTTP.")]
    Broken,
    /// The headers of the answer were too long, or its body came in a form that is.
    #[error("The answer was too long.")]
    TooLong,
}

impl Failure {
    /// All classes of failures, for tables and metrics.
    pub const CLASSES: [&str; 7] = [
        "refused_address",
        "dns",
        "connect",
        "tls",
        "timeout",
        "broken",
        "too_long",
    ];

    /// The failure's class, one of [`Self::CLASSES`]. It does not change.
    pub fn class(self) -> &'static str {
        match self {
            Self::Refused(_) => "refused_address",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout(_) => "timeout",
            Self::Broken => "broken",
            Self::TooLong => "too_long",
        }
    }
}

/// Steps of a request, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    /// DNS answers.
    #[error("the host was found")]
    Lookup,
    /// A connection is made.
    #[error("the host accepted a connection")]
    Connect,
    /// The connection is encrypted.
    #[error("the connection was secure")]
    Tls,
    /// The request is sent, and the answer read.
    #[error("there was a whole answer")]
    Answer,
}

/// Reasons for which a connection could not be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The certificate's issuer is not trusted.
    #[error("the issuer of the certificate is not trusted")]
    Issuer,
    /// The certificate belongs to another name.
    #[error("the certificate belongs to another name")]
    Name,
    /// The certificate is expired, or not valid yet.
    #[error("the certificate is expired or not valid yet")]
    Validity,
    /// The certificate is bad in another way.
    #[error("the certificate is not acceptable")]
    Certificate,
    /// The peer does not speak TLS 1.2 or 1.3 as we do.
    #[error("the host does not speak TLS, or not this version")]
    Protocol,
}
