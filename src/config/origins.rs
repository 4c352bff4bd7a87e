//! Origins of pages, as the setting `http.cors_origins` has them.

use super::entries;

/// The first entry of the setting that is not an origin; none if all are.
///
/// An origin is a scheme, a host and perhaps a port as a browser writes them: in lower case, without a default port and
/// without a slash at the end (RFC 6454 section 6.1).
pub(super) fn no_origin(setting: &str) -> Option<&str> {
    entries(setting).find(|entry| {
        if *entry == "*" {
            return false;
        }
        let Some((scheme, host)) = entry.split_once("://") else {
            return true;
        };
        let default = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return true,
        };
        let is_fit = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]_".contains(&byte)
        };
        host.is_empty() || !host.bytes().all(is_fit) || host.ends_with(default)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for fine in [
            "",
            "*",
            "https://app.example.com",
            "https://app.example.com, http://localhost:3000,",
            "http://[::1]:3000",
        ] {
            assert_eq!(no_origin(fine), None, "{fine}");
        }
        for (setting, wrong) in [
            ("app.example.com", "app.example.com"),
            (
                "https://a.example, https://b.example/",
                "https://b.example/",
            ),
            ("https://App.example", "https://App.example"),
            ("https://a.example:443", "https://a.example:443"),
            ("file://a", "file://a"),
            ("null", "null"),
            ("https://*.example", "https://*.example"),
        ] {
            assert_eq!(no_origin(setting), Some(wrong));
        }
    }
}
