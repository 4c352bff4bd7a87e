//! Pages of other origins: those that are allowed may use the API from a browser, and no others.

use serde_json::json;

use crate::support::{Client, Response, TestApp};

const PAGE: (&str, &str) = ("origin", "https://app.example.com");
const STRANGER: (&str, &str) = ("origin", "https://evil.example.com");

fn start() -> TestApp {
    TestApp::start_with(|config| {
        config.http.cors_origins = "https://app.example.com, http://localhost:3000".to_owned();
    })
}

pub(crate) fn preflight(
    client: &Client,
    path: &str,
    origin: (&str, &str),
    method: &str,
) -> Response {
    let asked = [
        origin,
        ("access-control-request-method", method),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    client.send("OPTIONS", path, &asked, None)
}

fn words<'a>(response: &'a Response, header: &str) -> Vec<&'a str> {
    let value = response.header(header).unwrap_or_default();
    value.split(", ").filter(|word| !word.is_empty()).collect()
}

#[test]
fn a_page_that_is_allowed_asks_and_then_does_what_its_token_allows() {
    let app = start();
    let acme = app.tenant("acme");
    // The question has no token.
    let nobody = Client::new(&app.base, None);
    for (path, method) in [
        ("/signature?document=d&thread=t", "POST"),
        ("/signature", "GET"),
        ("/events/stream", "GET"),
        ("/hooks/tags", "PUT"),
    ] {
        let told = preflight(&nobody, path, PAGE, method);
        assert_eq!(told.status, 204, "{path}");
        assert_eq!(told.header("access-control-allow-origin"), Some(PAGE.1));
        assert_eq!(told.header("access-control-allow-methods"), Some(method));
        assert_eq!(told.header("access-control-max-age"), Some("7200"));
        assert_eq!(told.header("access-control-allow-credentials"), None);
        assert_eq!(told.header("content-length"), None);
        let allowed = words(&told, "access-control-allow-headers");
        for header in [
            "authorization",
            "content-type",
            "if-match",
            "prefer",
            "x-request-id",
        ] {
            assert!(allowed.contains(&header), "{header}");
        }
    }
    let body = json!({"document": "d", "thread": "t", "cms": "x"});
    let saved = acme
        .json_with("POST", "/signature", &body, &[PAGE])
        .expect(201);
    assert_eq!(saved.header("access-control-allow-origin"), Some(PAGE.1));
    assert_eq!(saved.header("vary"), Some("origin"));
    let exposed = words(&saved, "access-control-expose-headers");
    for header in ["etag", "location", "retry-after", "x-request-id"] {
        assert!(exposed.contains(&header), "{header}");
    }
    // A page is told why something is refused.
    let refused = nobody.get_with("/signatures", &[PAGE]);
    let refused = refused.expect_error(401, "missing_token");
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE.1));
    let unknown = acme.get_with("/nowhere", &[PAGE]);
    assert_eq!(unknown.header("access-control-allow-origin"), Some(PAGE.1));
}

#[test]
fn no_other_page_is_told_anything() {
    let app = start();
    let acme = app.tenant("acme");
    let asked = preflight(&acme, "/signature", STRANGER, "POST");
    assert_eq!(asked.header("access-control-allow-origin"), None);
    asked.expect_error(405, "method_not_allowed");
    let read = acme.get_with("/signatures", &[STRANGER]).expect(200);
    assert_eq!(read.header("access-control-allow-origin"), None);
    // A cache must not give this answer to the page that is allowed.
    assert_eq!(read.header("vary"), Some("origin"));
    for method in ["DELETE", "TRACE", "NONSENSE"] {
        let asked = preflight(&acme, "/signatures", PAGE, method);
        assert_eq!(asked.status, 405, "{method}");
    }
    preflight(&acme, "/nowhere", PAGE, "GET").expect_error(404, "route_not_found");
    // Without the question, OPTIONS is a method that no route has.
    acme.send("OPTIONS", "/signature", &[PAGE], None)
        .expect_error(405, "method_not_allowed");
}

#[test]
fn without_the_setting_nothing_is_said_and_an_asterisk_is_for_all() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let read = acme.get_with("/signatures", &[PAGE]).expect(200);
    assert_eq!(read.header("access-control-allow-origin"), None);
    assert_eq!(read.header("vary"), None);
    preflight(&acme, "/signature", PAGE, "POST").expect_error(405, "method_not_allowed");

    let app = TestApp::start_with(|config| config.http.cors_origins = "*".to_owned());
    let acme = app.tenant("acme");
    let read = acme.get_with("/signatures", &[STRANGER]).expect(200);
    assert_eq!(read.header("access-control-allow-origin"), Some("*"));
}
