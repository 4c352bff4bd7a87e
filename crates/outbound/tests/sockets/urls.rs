//! URLs that are refused without asking anybody.

use proptest::prelude::*;
use sigpersist_outbound::{Outbound, Refused, Rules};

use crate::server::roots;

fn outbound(allow: &[&str]) -> Outbound {
    let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    let nobody = |name: &str| panic!("{name} was looked up");
    Outbound::with_resolver(Rules { allow }, roots(), nobody).unwrap()
}

#[test]
fn ordinary_urls_are_accepted_in_their_usual_spelling() {
    let outbound = outbound(&[]);
    for (url, written) in [
        ("https://example.com", "https://example.com/"),
        ("https://example.com/", "https://example.com/"),
        (
            "HTTPS://Hooks.Example.COM:443/Path?q=1",
            "https://hooks.example.com/Path?q=1",
        ),
        (
            "https://example.com?q=http://a@b/",
            "https://example.com/?q=http://a@b/",
        ),
        (
            "https://xn--bcher-kva.example/%C3%BC",
            "https://xn--bcher-kva.example/%C3%BC",
        ),
        (
            "https://my_service.example/a//b/../c",
            "https://my_service.example/a//b/../c",
        ),
        ("https://1and1.example/", "https://1and1.example/"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        (
            "https://[2606:4700:4700:0::1111]/",
            "https://[2606:4700:4700::1111]/",
        ),
    ] {
        let target = outbound.check(url).unwrap();
        assert_eq!(target.url(), written);
        assert_eq!((target.port(), target.is_https()), (443, true));
        assert_eq!(outbound.check(&target.url()), Ok(target));
    }
}

#[test]
fn urls_are_refused_with_a_reason() {
    let outbound = outbound(&[]);
    let long = format!("https://example.com/{}", "x".repeat(2048));
    let label = format!("https://{}.example/", "x".repeat(64));
    let name = format!("https://{}example/", "x.".repeat(127));
    for (url, refused) in [
        (long.as_str(), Refused::TooLong),
        ("", Refused::Malformed),
        ("example.com", Refused::Malformed),
        ("/path", Refused::Malformed),
        ("https:example.com", Refused::Malformed),
        ("javascript:alert(1)", Refused::Malformed),
        ("ftp://example.com/", Refused::Scheme),
        ("file:///etc/passwd", Refused::Scheme),
        ("gopher://127.0.0.1:6379/_x", Refused::Scheme),
        ("http://example.com/", Refused::Scheme),
        ("https://user@example.com/", Refused::UserInfo),
        ("https://user:word@example.com/", Refused::UserInfo),
        ("https://example.com@127.0.0.1/", Refused::UserInfo),
        ("https://@example.com/", Refused::UserInfo),
        ("https://example.com/#top", Refused::Fragment),
        ("https://example.com#@127.0.0.1/", Refused::Fragment),
        ("https://example.com:80/", Refused::Port),
        ("https://example.com:8443/", Refused::Port),
        ("https://example.com:/", Refused::Port),
        ("https://example.com:0/", Refused::Port),
        ("https://example.com:0443/", Refused::Port),
        ("https://example.com:+443/", Refused::Port),
        ("https://example.com:65979/", Refused::Port),
        ("https://example.com:443:443/", Refused::Port),
        ("https://1.1.1.1:8443/", Refused::Port),
        ("https://example.com\\@127.0.0.1/", Refused::Characters),
        ("https://example.com/\r\nhost: x", Refused::Characters),
        ("https://exa mple.com/", Refused::Characters),
        ("https://exa\tmple.com/", Refused::Characters),
        (" https://example.com/", Refused::Characters),
        ("https://b\u{fc}cher.example/", Refused::Characters),
        (
            "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
            Refused::Characters,
        ),
        ("https://example\u{3002}com/", Refused::Characters),
        ("https://example.com/{x}", Refused::Characters),
        ("https:///path", Refused::Host),
        ("https://?q", Refused::Host),
        ("https://.example.com/", Refused::Host),
        ("https://a..b/", Refused::Host),
        ("https://-a.example/", Refused::Host),
        ("https://a-.example/", Refused::Host),
        ("https://a,b.example/", Refused::Host),
        ("https://127%2e0.0.1.example/", Refused::Host),
        ("https://%6c%6fcalhost/", Refused::Host),
        ("https://[::1/", Refused::Host),
        ("https://[::1]x/", Refused::Host),
        ("https://[fe80::1%25eth0]/", Refused::Host),
        ("https://[v1.a]/", Refused::Host),
        ("https://[1.1.1.1]/", Refused::Host),
        (label.as_str(), Refused::Host),
        (name.as_str(), Refused::Host),
        ("https://example.com./", Refused::TrailingDot),
        ("https://127.0.0.1./", Refused::TrailingDot),
        ("https://127.1/", Refused::NumericHost),
        ("https://127.0.1/", Refused::NumericHost),
        ("https://0x7f.1/", Refused::NumericHost),
        ("https://0X7F000001/", Refused::NumericHost),
        ("https://0x/", Refused::NumericHost),
        ("https://2130706433/", Refused::NumericHost),
        ("https://017700000001/", Refused::NumericHost),
        ("https://0177.0.0.1/", Refused::NumericHost),
        ("https://1.1.1.01/", Refused::NumericHost),
        ("https://1.1.1.1.1/", Refused::NumericHost),
        ("https://256.1.1.1/", Refused::NumericHost),
        ("https://a.0x7f/", Refused::NumericHost),
        ("https://0/", Refused::NumericHost),
        ("https://127.0.0.1/", Refused::Address),
        ("https://10.0.0.1:8443/", Refused::Address),
        ("http://169.254.169.254/latest/meta-data/", Refused::Address),
        ("https://[::1]/", Refused::Address),
        ("https://[::]/", Refused::Address),
        ("https://[::ffff:10.0.0.1]/", Refused::Address),
        ("https://[::ffff:a00:1]/", Refused::Address),
        ("https://[::ffff:1.1.1.1]/", Refused::Address),
        ("https://[64:ff9b::a00:1]/", Refused::Address),
        ("https://[2002:a00:1::]/", Refused::Address),
        ("https://[fd00::1]/", Refused::Address),
    ] {
        assert_eq!(outbound.check(url), Err(refused), "{url}");
        assert!(refused.code().starts_with("url_"));
    }
}

#[test]
fn allowed_ports_and_addresses_are_accepted_by_http() {
    let outbound = outbound(&["10.0.0.0/8:9000", "[fd00::]/8"]);
    for url in [
        "http://10.1.2.3:9000/",
        "https://10.1.2.3:9000/",
        "http://[fd00::1]/",
        "https://[fd00::1]:1/",
        // Any name may have an address at which every port is allowed.
        "http://example.com/",
        "https://example.com:9000/",
    ] {
        assert!(outbound.check(url).is_ok(), "{url}");
    }
    for (url, refused) in [
        ("http://10.1.2.3/", Refused::Address),
        ("https://1.1.1.1:9000/", Refused::Port),
        ("http://[fe80::1]/", Refused::Address),
    ] {
        assert_eq!(outbound.check(url), Err(refused), "{url}");
    }
}

proptest! {
    #[test]
    fn whatever_is_accepted_obeys_the_rules(
        url in prop_oneof![
            any::<String>(),
            "(https?|HTTPS)://[a-z0-9.:@\\[\\]%-]{0,20}(/[ -~]{0,10})?",
            "https?://(0x?)?[0-9a-f]{0,4}(\\.(0x?)?[0-9]{0,3}){0,4}(:[0-9]{0,5})?[/?]?[ -~]{0,10}",
            "https?://\\[[0-9a-f:.]{0,30}\\](:[0-9]{0,5})?/?",
        ],
    ) {
        let strict = outbound(&[]);
        if let Ok(target) = strict.check(&url) {
            prop_assert!(target.is_https() && target.port() == 443);
            prop_assert_eq!(strict.check(&target.url()), Ok(target));
        }
        let open = outbound(&["127.0.0.1:9000"]);
        if let Ok(target) = open.check(&url) {
            let is_ordinary = target.is_https() && target.port() == 443;
            prop_assert!(is_ordinary || target.port() == 9000);
        }
    }
}
