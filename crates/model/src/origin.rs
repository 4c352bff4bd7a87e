//! Origins of pages in browsers, as settings and policies name them.

use crate::error::{Error, Result};

/// Maximum number of origins that a tenant may name. Servers keep those of all tenants in memory.
pub const MAX_ORIGINS: usize = 20;
/// Maximum length of a host, in bytes (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// Maximum length of a port, in digits.
const MAX_PORT_DIGITS: usize = 5;

/// Whether a text is an origin: a scheme, a host and perhaps a port as a browser writes them, that is in lower case, without
/// a default port and without a slash at the end (RFC 6454 section 6.1).
pub fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let default = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return false,
    };
    let is_of = |text: &str, others: &[u8]| {
        let is_fit = |byte: u8| byte.is_ascii_digit() || others.contains(&byte);
        (1..=MAX_HOST_BYTES).contains(&text.len()) && text.bytes().all(is_fit)
    };
    let (is_host, port) = match authority.strip_prefix('[') {
        // An address of IPv6.
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (is_of(address, b"abcdef:."), port),
            None => return false,
        },
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            (is_of(host, b"abcdefghijklmnopqrstuvwxyz.-_"), port)
        }
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => {
            (1..=MAX_PORT_DIGITS).contains(&digits.len()) && is_of(digits, b"") && digits != default
        }
        None => port.is_empty(),
    };
    is_host && is_port
}

/// Checks the origins that a tenant names, and drops repeated ones.
///
/// # Errors
///
/// [`Error::InvalidParameter`] if there are too many, or one is no origin.
pub fn fold_origins(name: &str, origins: Vec<String>) -> Result<Vec<String>> {
    let mut folded: Vec<String> = Vec::new();
    for origin in origins {
        if !is_origin(&origin) {
            let message = format!(
                "`{name}` must have origins as browsers write them: a scheme, a host and perhaps a port, such as https://app.example.com, in lower case and without a slash at the end."
            );
            return Err(Error::invalid(name, message));
        }
        if folded.contains(&origin) {
            continue;
        }
        if folded.len() == MAX_ORIGINS {
            let message = format!("`{name}` must not have more than {MAX_ORIGINS} origins.");
            return Err(Error::invalid(name, message));
        }
        folded.push(origin);
    }
    Ok(folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_names_a_few_origins_as_browsers_write_them() {
        let named = |origins: &[&str]| {
            let origins = origins.iter().map(ToString::to_string).collect();
            fold_origins("cors_origins", origins)
        };
        let (a, b) = ("https://a.example", "http://[::1]:3000");
        for fine in [
            "http://localhost",
            "https://a.example:80",
            "http://a.example:443",
            "http://127.0.0.1:65535",
        ] {
            assert_eq!(named(&[fine]).unwrap(), [fine]);
        }
        assert_eq!(named(&[a, b, a]).unwrap(), [a, b]);
        assert!(named(&[]).unwrap().is_empty());
        for wrong in [
            "",
            "*",
            "null",
            "a.example",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://*.example",
            "https://",
            "file://a",
            "https://a.example:",
            "https://a.example:x",
            "https://a.example:123456",
            "https://a:1:2",
            "https://[::1",
            "https://[]",
            "https://[::1]x",
        ] {
            assert!(named(&[a, wrong]).is_err(), "{wrong}");
        }
        assert!(named(&[&format!("https://{}", "a".repeat(MAX_HOST_BYTES + 1))]).is_err());
        let many: Vec<_> = (0..=MAX_ORIGINS)
            .map(|number| format!("https://{number}.example"))
            .collect();
        assert!(fold_origins("cors_origins", many[1..].to_vec()).is_ok());
        assert!(fold_origins("cors_origins", many).is_err());
    }
}
