//! The URL of a server.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// The URL of a server, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

impl ServerUrl {
    /// Whether what is sent to it can be read on the way.
    pub fn is_readable_on_the_way(&self) -> bool {
        let uri: Option<Uri> = self.0.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let is_plain = uri.as_ref().and_then(Uri::scheme) == Some(&Scheme::HTTP);
        is_plain && !is_loopback && host != "localhost"
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Option<Uri> = text.parse().ok();
        let is_good = uri.is_some_and(|uri| {
            let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
            let names_host = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
            is_http && names_host && uri.query().is_none() && !text.contains('#')
        });
        if is_good {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err("a server is a URL such as https://signatures.example.org".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_urls_and_say_whether_others_can_read_along() {
        let address = |text: &str| text.parse::<ServerUrl>();
        for (text, is_readable) in [
            ("https://example.org/", false),
            ("http://127.0.0.1:8080", false),
            ("http://localhost:8080", false),
            ("http://[::1]:8080", false),
            ("http://example.org/behind/", true),
            ("HTTP://example.org", true),
            ("http://127.0.0.1.example.org", true),
        ] {
            let address = address(text).unwrap();
            assert_eq!(address.is_readable_on_the_way(), is_readable, "{text}");
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        for bad in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https://olga:secret@example.org",
            "https://example.org?tenant=acme",
            "https://example.org/#x",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
