//! URLs, and all about them that can be judged without asking DNS.
//!
//! The reading is strict: what two programs might read differently is refused. The text that is sent is put together anew
//! from what was judged here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

use crate::addresses::{is_never, is_public};
use crate::refused::Refused;
use crate::rules::Rules;

/// Longest URL, in bytes.
const MAX_URL_BYTES: usize = 2048;
/// Longest domain name and longest label of one, in bytes (RFC 1035).
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// A URL that may be called if its name has permitted addresses.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
    host: Host,
    port: u16,
    is_https: bool,
}

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// A domain name in lower case.
    Name(String),
    Address(IpAddr),
}

impl Target {
    /// Judges a URL.
    pub(crate) fn read(url: &str, rules: &Rules) -> Result<Self, Refused> {
        if url.len() > MAX_URL_BYTES {
            return Err(Refused::TooLong);
        }
        let is_fit = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
        if !url.bytes().all(is_fit) {
            return Err(Refused::Characters);
        }
        if url.contains('#') {
            return Err(Refused::Fragment);
        }
        let (scheme, rest) = url.split_once("://").ok_or(Refused::Malformed)?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err(Refused::Scheme);
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Refused::UserInfo);
        }
        let (host, port) = host_and_port(authority)?;
        let host = Host::read(host)?;
        let default = if is_https { 443 } else { 80 };
        let port = port.map_or(Ok(default), read_port)?;
        judge(&host, port, is_https, rules)?;
        let scheme = if is_https { "https" } else { "http" };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let written = match port {
            _ if port == default => format!("{scheme}://{host}{slash}{path}"),
            _ => format!("{scheme}://{host}:{port}{slash}{path}"),
        };
        let uri: Uri = written.parse().map_err(|_| Refused::Malformed)?;
        if uri.host() != Some(host.to_string().as_str())
            || uri.port_u16().unwrap_or(default) != port
        {
            return Err(Refused::Malformed);
        }
        Ok(Self {
            uri,
            host,
            port,
            is_https,
        })
    }

    /// The URL in its usual spelling, which may be stored and checked again.
    pub fn url(&self) -> String {
        self.uri.to_string()
    }

    /// The host in lower case, and the port if it is not the usual one: `id.example.com`, `id.example.com:8443`.
    pub fn authority(&self) -> &str {
        self.uri
            .authority()
            .map_or("", |authority| authority.as_str())
    }

    /// The port, also if the URL does not name it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }
}

/// Shows the host only, since paths and queries of webhooks often have secrets.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("is_https", &self.is_https)
            .finish_non_exhaustive()
    }
}

/// Judges what is known before DNS is asked.
fn judge(host: &Host, port: u16, is_https: bool, rules: &Rules) -> Result<(), Refused> {
    let is_fine = match host {
        Host::Name(_) => rules.permit_some(port, is_https),
        Host::Address(address) => rules.permit(*address, port, is_https),
    };
    let is_closed = |address: IpAddr| is_never(address) || !is_public(address);
    match host {
        _ if is_fine => Ok(()),
        Host::Address(address) if is_closed(*address) => Err(Refused::Address),
        _ if !is_https && rules.allow.is_empty() => Err(Refused::Scheme),
        _ => Err(Refused::Port),
    }
}

/// The text of the host with its brackets, and the text after its colon.
fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), Refused> {
    let end = match authority.starts_with('[') {
        true => authority.find(']').ok_or(Refused::Host)? + 1,
        false => authority.find(':').unwrap_or(authority.len()),
    };
    match authority.split_at(end) {
        (host, "") => Ok((host, None)),
        (host, rest) => {
            let port = rest.strip_prefix(':').ok_or(Refused::Host)?;
            Ok((host, Some(port)))
        }
    }
}

fn read_port(text: &str) -> Result<u16, Refused> {
    text.parse()
        .ok()
        .filter(|port: &u16| *port != 0 && port.to_string() == text)
        .ok_or(Refused::Port)
}

impl Host {
    fn read(text: &str) -> Result<Self, Refused> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(Refused::Host)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| Refused::Host)?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if text.ends_with('.') {
            return Err(Refused::TrailingDot);
        }
        let name = text.to_ascii_lowercase();
        // `getaddrinfo` reads 127.1, 0x7f.1 and 2130706433 as addresses. All of them end in a number, as no domain does
        // (WHATWG URL, "ends in a number").
        if name.rsplit('.').next().is_some_and(is_number) {
            return Err(Refused::NumericHost);
        }
        if name.len() > MAX_NAME_BYTES || !name.split('.').all(is_label) {
            return Err(Refused::Host);
        }
        Ok(Self::Name(name))
    }
}

/// Writes the host as in a URL.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_number(label: &str) -> bool {
    let is_decimal = !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit());
    let hex = label.strip_prefix("0x");
    is_decimal || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_label(label: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=MAX_LABEL_BYTES).contains(&label.len())
        && label.bytes().all(is_fit)
        && !label.starts_with('-')
        && !label.ends_with('-')
}
