//! What the server adds to the URL of its database.

/// Adds what libpq would otherwise leave to chance: bounds on connecting and on a peer that is gone, that of several hosts
/// the one is meant that takes writes, and a name to show in `pg_stat_activity`.
pub(super) fn with_defaults(url: &str) -> String {
    let defaults = [
        ("connect_timeout", "5"),
        ("tcp_user_timeout", "10000"),
        // Whoever waits for an answer has nothing unanswered on its way: a host that is gone is noticed by these.
        ("keepalives_idle", "5"),
        ("keepalives_interval", "2"),
        ("target_session_attrs", "read-write"),
        ("application_name", "sigpersist"),
    ];
    defaults
        .into_iter()
        .fold(url.to_owned(), |url, (name, value)| {
            with_option(&url, name, value)
        })
}

/// Adds an option, where the URL has no value for it: libpq takes the last of several values, and this one comes first.
pub(super) fn with_option(url: &str, name: &str, value: &str) -> String {
    let uri = url
        .split_once("://")
        .filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme));
    let Some((scheme, rest)) = uri else {
        return format!("{name}={value} {url}");
    };
    // A password may have a question mark in it.
    let login = rest
        .find('@')
        .filter(|at| rest.find('/').is_none_or(|slash| *at < slash));
    let (login, hosts) = rest.split_at(login.unwrap_or_default());
    match hosts.split_once('?') {
        Some((hosts, options)) => format!("{scheme}://{login}{hosts}?{name}={value}&{options}"),
        None => format!("{url}?{name}={value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: [&str; 6] = [
        "application_name=sigpersist",
        "target_session_attrs=read-write",
        "keepalives_interval=2",
        "keepalives_idle=5",
        "tcp_user_timeout=10000",
        "connect_timeout=5",
    ];

    #[test]
    fn defaults_are_added_in_either_form_of_url_before_the_users_own() {
        let (uri, words) = (DEFAULTS.join("&"), DEFAULTS.join(" "));
        for (url, expected) in [
            ("postgres://h/d", format!("postgres://h/d?{uri}")),
            ("postgres://", format!("postgres://?{uri}")),
            (
                "postgresql://h/d?sslmode=require&connect_timeout=1",
                format!("postgresql://h/d?{uri}&sslmode=require&connect_timeout=1"),
            ),
            (
                "postgres://a:p?w@[::1]:1,h:2/connect_timeout",
                format!("postgres://a:p?w@[::1]:1,h:2/connect_timeout?{uri}"),
            ),
            (
                "postgres://a:p?w@h?host=/run/a@b",
                format!("postgres://a:p?w@h?{uri}&host=/run/a@b"),
            ),
            (
                "host=/run password=a://b application_name=x",
                format!("{words} host=/run password=a://b application_name=x"),
            ),
        ] {
            assert_eq!(with_defaults(url), expected);
        }
    }
}
