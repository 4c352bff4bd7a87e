//! Options that the server adds to the database's URL, and removal of its password from messages.

/// Adds options that libpq would otherwise leave to chance: limits for connecting and for a peer that is gone, the
/// choice of the host that takes writes, and a name for `pg_stat_activity`.
pub fn with_defaults(url: &str) -> String {
    let defaults = [
        ("connect_timeout", "5"),
        ("tcp_user_timeout", "10000"),
        // A client that waits for an answer has sent nothing unacknowledged, so only keepalives detect a host that is
        // gone.
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

/// Adds an option, unless the URL has a value for it: libpq takes the last of several values, and this one comes
/// first.
pub fn with_option(url: &str, name: &str, value: &str) -> String {
    let uri = url
        .split_once("://")
        .filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme));
    let Some((scheme, rest)) = uri else {
        return format!("{name}={value} {url}");
    };
    // A password may contain a question mark.
    let login = rest
        .find('@')
        .filter(|at| rest.find('/').is_none_or(|slash| *at < slash));
    let (login, hosts) = rest.split_at(login.unwrap_or_default());
    match hosts.split_once('?') {
        Some((hosts, options)) => format!("{scheme}://{login}{hosts}?{name}={value}&{options}"),
        None => format!("{url}?{name}={value}"),
    }
}

/// Removes the password from libpq's message about a URL. libpq may quote parts of it if it parses the URL in an
/// unexpected way.
pub fn without_password(message: &str, url: &str) -> String {
    let login = url.split_once("://").and_then(|(_, rest)| {
        let (login, _) = rest.rsplit_once('@')?;
        Some(login.split_once(':')?.1)
    });
    let option = url.split_once("password=").map(|(_, rest)| rest);
    let secrets = [login, option].map(Option::unwrap_or_default);
    if secrets.iter().any(|secret| secret.contains('"')) {
        return "libpq can't use the URL; its message is not shown, since it may quote the password".to_owned();
    }
    let may_be_told = |quoted: &str| {
        let of = |secret: &&str| {
            !secret.is_empty() && (secret.contains(quoted) || quoted.contains(*secret))
        };
        // libpq takes a password that contains an @ for a host.
        quoted.is_empty() || !(quoted.contains('@') || secrets.iter().any(of))
    };
    let parts = message.split('"').enumerate().map(|(number, part)| {
        let is_quoted = number % 2 == 1;
        if is_quoted && !may_be_told(part) {
            "…"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("\"")
}

#[cfg(test)]
mod tests {
    use diesel::{Connection as _, ConnectionError, PgConnection};

    use super::*;

    #[test]
    fn what_libpq_says_of_a_url_has_no_password_in_it() {
        for (url, expected) in [
            ("postgres://me:hunter2%zz@h/d", "percent-encoded"),
            ("postgres://me:hun@ter2@h.invalid/d", "translate host name"),
            ("postgres://me:hun/ter2@h/d", "port"),
            ("postgres://me:[hunter2@h/d", ""),
            ("postgres://me:hun\"ter2%zz@h/d", "not shown"),
            ("postgres://h/d?password=hunter2%zz", "percent-encoded"),
            ("host=/nowhere password=hunter2 user", "missing \"=\""),
            (
                "host=/nowhere user=me password=hunter2 ter2",
                "missing \"=\"",
            ),
            ("host=/nowhere user=me password='hunter2", "unterminated"),
        ] {
            let Err(ConnectionError::BadConnection(message)) = PgConnection::establish(url) else {
                panic!("{url}");
            };
            let told = without_password(&message, url);
            assert!(told.contains(expected), "{told}");
            for part in ["hunter2", "ter2"] {
                assert!(!told.contains(part), "{told} of {message}");
            }
        }
        // Other messages are unchanged.
        let message = "connection to server on socket \"/nowhere/.s.PGSQL.5432\" failed: No such file or directory";
        assert_eq!(
            without_password(message, "host=/nowhere password=x"),
            message
        );
    }

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
