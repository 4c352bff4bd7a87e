//! Origins of pages, as the setting `http.cors_origins` has them.

use sigpersist_model::origin::is_origin;

use super::entries;

/// The first entry of the setting that is neither an origin nor `*`; none if all are.
pub(super) fn no_origin(setting: &str) -> Option<&str> {
    entries(setting).find(|entry| *entry != "*" && !is_origin(entry))
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
