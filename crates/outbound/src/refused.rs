//! Reasons for which a URL is refused, for the people who entered it.

/// A reason for which a URL is refused.
///
/// No variant says which address a name has: a tenant would learn names of the operator's own network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is longer than 2048 bytes.
    #[error("The URL is longer than 2048 bytes.")]
    TooLong,
    /// It has characters that no URL has.
    #[error(
        "The URL contains a character that must be percent-encoded. Write international domain names in their ASCII form, which begins with xn--."
    )]
    Characters,
    /// It is not a URL.
    #[error("This is not a URL. Write one like https://hooks.example.com/path.")]
    Malformed,
    /// Its scheme is neither https nor allowed.
    #[error("The URL must begin with https://.")]
    Scheme,
    /// It names a user or a password.
    #[error("The URL must not contain a user name or a password.")]
    UserInfo,
    /// It has a fragment.
    #[error("The URL must not contain a fragment, which begins with #.")]
    Fragment,
    /// Its port is not permitted.
    #[error("The port of the URL is not permitted. Leave it out to use 443.")]
    Port,
    /// Its host is neither a domain name nor an address.
    #[error("The host of the URL is not a domain name.")]
    Host,
    /// Its host ends with a dot.
    #[error("The host of the URL must not end with a dot.")]
    TrailingDot,
    /// Its host is an address in an unusual notation.
    #[error(
        "The host of the URL is a number. Write a domain name, or an address as four decimal numbers."
    )]
    NumericHost,
    /// Its address, or one of those of its name, is not permitted.
    #[error(
        "The URL leads to an address that is not public, and that the operators of this server have not allowed."
    )]
    Address,
    /// Its name has no address at the moment. Only [`crate::Outbound::check_now`] says so.
    #[error("The host of the URL was not found.")]
    NotFound,
}

impl Refused {
    /// Whether no server would call the URL. Otherwise it is well formed, and its scheme, host or port is refused: another
    /// server, with other rules or another network, might call it.
    pub fn is_of_form(self) -> bool {
        matches!(
            self,
            Self::TooLong | Self::Characters | Self::Malformed | Self::UserInfo | Self::Fragment
        )
    }

    /// A word for programs. It does not change.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "url_too_long",
            Self::Characters => "url_characters",
            Self::Malformed => "url_malformed",
            Self::Scheme => "url_scheme",
            Self::UserInfo => "url_user_info",
            Self::Fragment => "url_fragment",
            Self::Port => "url_port",
            Self::Host => "url_host",
            Self::TrailingDot => "url_trailing_dot",
            Self::NumericHost => "url_numeric_host",
            Self::Address => "url_address",
            Self::NotFound => "url_not_found",
        }
    }
}
