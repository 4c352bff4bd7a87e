//! The book that the server shows at `/docs/book/`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::{Client, Response, TestApp};

/// A file of the book.
#[track_caller]
fn file(client: &Client, path: &str) -> Response {
    let answer = client.get(&format!("/docs/book/{path}"));
    assert_eq!(answer.status, 200, "{path}");
    answer
}

#[test]
fn the_book_is_served_from_this_server_alone() {
    let app = TestApp::start();
    let anybody = app.anonymous();
    let moved = anybody.get("/docs/book");
    assert_eq!(
        (moved.status, moved.header("location")),
        (308, Some("book/"))
    );
    let first = file(&anybody, "");
    assert_eq!(first.text, file(&anybody, "index.html").text);
    let pages: BTreeSet<_> = first
        .text
        .split("<a href=\"")
        .filter_map(|rest| rest.split('"').next())
        .filter(|link| link.ends_with(".html"))
        .collect();
    assert!(
        pages.contains("running.html") && pages.contains("clients/index.html"),
        "{pages:?}"
    );
    for page in &pages {
        let page = file(&anybody, page);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        // What the policy forbids is not on the page.
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"));
        let html = &page.text;
        for forbidden in [" style=\"", "<style", "<script>", " onclick=", "src=\"http"] {
            assert!(!html.contains(forbidden), "{forbidden} in {html}");
        }
    }
    for (name, kind) in [
        ("book.css", "text/css; charset=utf-8"),
        ("search.js", "text/javascript; charset=utf-8"),
        ("images/api.webp", "image/webp"),
    ] {
        let path = format!("/docs/book/{name}");
        let head = anybody.send("HEAD", &path, &[], None);
        assert_eq!(
            (head.status, head.header("content-type")),
            (200, Some(kind))
        );
        assert!(!anybody.bytes(&path).is_empty());
    }
}

#[test]
fn the_search_finds_the_sections_of_all_pages() {
    let app = TestApp::start();
    let anybody = app.anonymous();
    let index = file(&anybody, "searchindex.json");
    assert_eq!(index.header("content-type"), Some("application/json"));
    let sections = index.json.as_array().unwrap();
    let text = |section: &Value, name: &str| section[name].as_str().unwrap().to_owned();
    let found = sections
        .iter()
        .find(|section| text(section, "address") == "running.html#backups")
        .unwrap();
    assert_eq!(text(found, "page"), "Running in production");
    assert_eq!(text(found, "title"), "Backups");
    assert!(text(found, "text").contains("pg_dump"));
    // Each leads to a heading.
    for section in sections {
        let address = text(section, "address");
        let (page, anchor) = address.split_once('#').unwrap();
        let page = file(&anybody, page);
        let heading = format!(" id=\"{anchor}\"");
        assert!(page.text.contains(&heading), "{address}");
    }
}

#[test]
fn a_copy_that_is_current_is_not_sent_again() {
    let app = TestApp::start();
    let anybody = app.anonymous();
    let page = file(&anybody, "running.html");
    let tag = page.header("etag").unwrap().to_owned();
    assert_eq!(page.header("cache-control"), Some("public, max-age=60"));
    let current = anybody.get_with("/docs/book/running.html", &[("if-none-match", &tag)]);
    assert_eq!((current.status, &*current.text), (304, ""));
    assert_eq!(current.header("etag"), Some(&*tag));
    let other = anybody.get_with("/docs/book/admins.html", &[("if-none-match", &tag)]);
    assert_eq!(other.status, 200);
}

#[test]
fn nothing_but_the_book_is_below_its_path() {
    let app = TestApp::start();
    let anybody = app.anonymous();
    for path in [
        "nothing.html",
        "running.md",
        "running.html/",
        "/running.html",
        "clients",
        "clients/",
        "%2e%2e/index.css",
        "clients/%2e%2e/running.html",
        "..%2fopenapi.json",
        "images/..%5capi.webp",
        "index.html%00",
        "SUMMARY.md",
    ] {
        let path = format!("/docs/book/{path}");
        let refused = anybody.get(&path);
        assert!(
            refused.status == 404 || refused.status == 400,
            "{path}: {} {}",
            refused.status,
            refused.text
        );
        assert_eq!(refused.json["status"], false, "{path}");
    }
    anybody
        .get("/docs/book/nothing.html")
        .expect_error(404, "route_not_found");
    // A client that resolves no dots sends them as they are.
    for path in [
        "/docs/book/../openapi.json",
        "/docs/book/clients/../running.html",
        "/docs/book/../../../../etc/passwd",
    ] {
        let address = app.base.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    let refused = anybody.get("/docs/book/?q=backup");
    refused.expect_error(400, "invalid_parameter");
    let posted = anybody.send("POST", "/docs/book/running.html", &[], None);
    posted.expect_error(405, "method_not_allowed");
}
