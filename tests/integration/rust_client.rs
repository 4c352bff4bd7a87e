//! The Rust client, `clients/rust`, against a real server: what it reads and saves, what it repeats, and what it reports.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use sigpersist_client::{
    After, Client, Details, Draft, Error, Filter, TenantKey, Token, Webhook, WebhookError,
};
use sigpersist_model::context::Scope;

use crate::support::{COUNTERSIGNED, FIRST, Receiver, TestApp};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A server with the tenant acme, and a client for it.
fn acme() -> (TestApp, Client) {
    let app = TestApp::start();
    let token = app.tenant("acme").token.unwrap();
    let client = Client::new(&app.base, token).unwrap();
    (app, client)
}

fn der(base64: &str) -> Vec<u8> {
    BASE64.decode(base64.trim()).unwrap()
}

#[test]
fn versions_are_saved_read_listed_and_deleted() {
    let (_app, client) = acme();
    block_on(async {
        let first = Draft::new("d", "t/1 ä", der(FIRST))
            .tags(["a", "b"])
            .stage("draft")
            .created_by("olga")
            .comment("first");
        let saved = client.save(&first).await.unwrap();
        assert!(saved.is_new);
        assert!(!client.save(&first).await.unwrap().is_new);
        let version = saved.signature;
        assert_eq!(version.signature.as_deref(), Some(FIRST.trim()));
        assert_eq!(
            (version.version, version.parent, version.tags.len()),
            (1, None, 2)
        );
        assert_eq!(version.stage.as_deref(), Some("draft"));
        assert_eq!(version.version_created_by.as_deref(), Some("olga"));
        assert_eq!(version.version_comment.as_deref(), Some("first"));
        assert!(!format!("{version:?} {first:?}").contains("MII"));
        client
            .save(&version.countersigned(COUNTERSIGNED.trim()))
            .await
            .unwrap();
        let current = client.get("d", "t/1 ä", None).await.unwrap();
        assert_eq!((current.version, current.parent), (2, Some(1)));
        assert_eq!(
            client.get("d", "t/1 ä", Some(1)).await.unwrap().tags,
            ["a", "b"]
        );

        let file = client.get_file("d", "t/1 ä", Some(1)).await.unwrap();
        assert_eq!((&file.data[..], file.version), (&der(FIRST)[..], 1));
        assert_eq!(file.content_type, "application/pkcs7-signature");
        assert_eq!(file.filename, "d-t_1 ä-1.p7s");

        for number in 0..120 {
            let draft =
                Draft::new("list", format!("t{number}"), "x").tag(format!("n{}", number % 2));
            client.save(&draft).await.unwrap();
        }
        let filter = Filter {
            document: Some("list".to_owned()),
            ..Filter::default()
        };
        let all = client.signatures(&filter).all().await.unwrap();
        assert_eq!(all.len(), 120);
        assert!(all.iter().all(|one| one.signature.is_none()));
        let by_daulet = Filter {
            signer: vec!["iin:123456789022".to_owned()],
            by_last_change: true,
            ..Filter::default()
        };
        let found = client.signatures(&by_daulet).all().await.unwrap();
        let found: Vec<_> = found.iter().map(|one| one.document.as_str()).collect();
        assert_eq!(found, ["d"]);
        let oldest = Filter {
            not_signed_by: by_daulet.signer.clone(),
            created_until: Some("2101-02-18 01:00:00".to_owned()),
            ascending: true,
            ..Filter::default()
        };
        let oldest = client.signatures(&oldest).all().await.unwrap();
        assert_eq!((oldest.len(), oldest[0].thread.as_str()), (120, "t0"));
        let filter = Filter {
            tags: vec!["n1".to_owned()],
            include_signature: true,
            ..filter
        };
        let mut odd = client.signatures(&filter);
        let mut found = 0;
        while let Some(one) = odd.next().await.unwrap() {
            assert_eq!(one.signature.as_deref(), Some("x"));
            found += 1;
        }
        assert_eq!(found, 60);
        let page = client
            .signature_page(&filter, 10, None, true)
            .await
            .unwrap();
        assert_eq!((page.signatures.len(), page.nb_results), (10, Some(60)));
        let next = client
            .signature_page(&filter, 10, page.next.as_deref(), false)
            .await
            .unwrap();
        assert_ne!(next.signatures[0].id, page.signatures[0].id);
        let versions = client.versions("d", "t/1 ä", false).all().await.unwrap();
        let versions: Vec<_> = versions.iter().map(|version| version.version).collect();
        assert_eq!(versions, [2, 1]);

        let stale = client.delete("d", "t/1 ä", Some(1)).await.unwrap_err();
        let details = Some(Details::PreconditionFailed { current_version: 2 });
        assert_eq!(
            (stale.code(), stale.details()),
            ("precondition_failed", details)
        );
        assert!(client.delete("d", "t/1 ä", Some(2)).await.unwrap());
        assert!(!client.delete("d", "t/1 ä", None).await.unwrap());
        assert!(!client.delete("d", "t/1 ä", Some(2)).await.unwrap());
        let whoami = client
            .request(http::Method::GET, "/whoami", &[], None, true)
            .await
            .unwrap();
        assert_eq!(whoami["caller"]["tenant"], "acme");
    });
}

#[test]
fn nobody_countersigns_what_they_have_not_seen() {
    let (_app, client) = acme();
    block_on(async {
        client.save(&Draft::new("d", "t", "one")).await.unwrap();
        let seen = Arc::new(AtomicUsize::new(0));
        let signed = client
            .countersign("d", "t", |previous| {
                let (client, seen) = (client.clone(), Arc::clone(&seen));
                async move {
                    // Twice, somebody else is faster.
                    if seen.fetch_add(1, Ordering::Relaxed) < 2 {
                        let other = previous.countersigned(format!("other {}", previous.version));
                        client.save(&other).await?;
                    }
                    Ok(Some(
                        previous
                            .countersigned(format!("over {}", previous.version))
                            .tag("mine"),
                    ))
                }
            })
            .await
            .unwrap();
        assert_eq!((signed.version, signed.parent), (4, Some(3)));
        assert_eq!(signed.signature.as_deref(), Some("over 3"));
        assert_eq!(seen.load(Ordering::Relaxed), 3);
        // Someone who signed already leaves it as it is.
        let left = client
            .countersign("d", "t", |_| async { Ok(None) })
            .await
            .unwrap();
        assert_eq!(left.version, 4);
        let failed = client
            .countersign("d", "t", |_| async { Err("no pen".into()) })
            .await
            .unwrap_err();
        assert!(
            matches!(&failed, Error::Signer(why) if why.to_string() == "no pen"),
            "{failed}"
        );
        // It gives up if others are always faster.
        let always = client
            .countersign("d", "t", |previous| {
                let client = client.clone();
                async move {
                    let next = format!("next {}", previous.version);
                    client.save(&previous.countersigned(next)).await?;
                    Ok(Some(previous.countersigned("late")))
                }
            })
            .await
            .unwrap_err();
        assert_eq!(always.code(), "version_conflict");
        assert_eq!(
            always.details(),
            Some(Details::VersionConflict { current_version: 9 })
        );
        let none = client
            .countersign("none", "t", |_| async { Ok(None) })
            .await
            .unwrap_err();
        assert_eq!(none.code(), "signature_not_found");
    });
}

#[test]
fn errors_have_codes_details_and_request_ids() {
    let (app, client) = acme();
    app.database
        .run(&["policy", "set", "acme", "--accept", "readable"]);
    let named = Client::builder(&app.base, app.tenant("acme").token.unwrap())
        .unwrap()
        .request_id(|| "mine-7".to_owned())
        .traceparent(|| Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()))
        .build()
        .unwrap();
    let reader = app.client("acme", &[Scope::SignaturesRead]).token.unwrap();
    let reader = Client::new(&app.base, reader).unwrap();
    let nobody = Client::new(&app.base, "x.y.z").unwrap();
    block_on(async {
        let bad = named.save(&Draft::new("", "t", "x")).await.unwrap_err();
        assert_eq!(bad.code(), "invalid_parameter");
        let details = Details::InvalidParameter {
            field: "/document".to_owned(),
        };
        assert_eq!(
            (bad.details(), bad.request_id()),
            (Some(details), Some("mine-7"))
        );
        // A running server applies the policy within a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let unread = client.save(&Draft::new("d", "t", "x")).await.unwrap_err();
        assert!(
            matches!(unread.details(), Some(Details::SignatureNotAccepted { .. })),
            "{unread}"
        );
        assert_eq!(unread.refusal().unwrap().status, 422);
        assert_eq!(unread.request_id().unwrap().len(), 32);
        let scope = reader.save(&Draft::new("d", "t", "x")).await.unwrap_err();
        let details = Details::InsufficientScope {
            scope: "signatures:write".to_owned(),
        };
        assert_eq!(scope.details(), Some(details));
        assert_eq!(
            nobody.get("d", "t", None).await.unwrap_err().code(),
            "invalid_token"
        );
    });
    for url in [
        "example.org",
        "ftp://example.org",
        "http://olga:secret@example.org",
    ] {
        let error = Client::new(url, "token").unwrap_err();
        assert!(
            error.code() == "invalid" && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn keys_and_functions_give_tokens() {
    let (app, _) = acme();
    let added = app
        .database
        .run(&["--json", "key", "add", "acme", "--kid", "mine"]);
    let added: serde_json::Value = serde_json::from_str(&added).unwrap();
    let key = || TenantKey::new("mine", added["secret"].as_str().unwrap());
    let reading = Client::new(&app.base, key().scopes(["signatures:read"])).unwrap();
    let good = app.tenant("acme").token.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let renewed = Token::from_fn(move || {
        let (good, number) = (good.clone(), counted.fetch_add(1, Ordering::Relaxed));
        // The first is one that the server does not take.
        async move {
            Ok(if number == 0 {
                "x.y.z".to_owned()
            } else {
                good
            })
        }
    });
    let renewed = Client::new(&app.base, renewed).unwrap();
    let none = Token::from_fn(|| async { Err("locked".into()) });
    let none = Client::new(&app.base, none).unwrap();
    block_on(async {
        Client::new(&app.base, key())
            .unwrap()
            .save(&Draft::new("d", "t", "x"))
            .await
            .unwrap();
        reading.get("d", "t", None).await.unwrap();
        let refused = reading.delete("d", "t", None).await.unwrap_err();
        assert_eq!(refused.code(), "insufficient_scope");
        renewed.get("d", "t", None).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        assert_eq!(
            none.get("d", "t", None).await.unwrap_err().code(),
            "no_token"
        );
    });
}

/// Passes each request on to a server, but loses this many answers first. Returns its URL and the number of requests.
fn losing_answers(app: &TestApp, lost: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = app.base.replace("http://", "");
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = BufReader::new(client.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let mut line = String::new();
                if client.read_line(&mut line).unwrap() == 0 {
                    break;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    head.push_str("connection: close\r\n");
                }
                head.push_str(&line);
            }
            if head.is_empty() {
                continue;
            }
            let mut body = vec![0; length];
            client.read_exact(&mut body).unwrap();
            let mut server = TcpStream::connect(&server).unwrap();
            server.write_all(head.as_bytes()).unwrap();
            server.write_all(&body).unwrap();
            let mut answer = Vec::new();
            server.read_to_end(&mut answer).unwrap();
            if counted.fetch_add(1, Ordering::Relaxed) >= lost {
                drop(client.get_mut().write_all(&answer));
            }
        }
    });
    (url, seen)
}

#[test]
fn a_request_without_an_answer_is_sent_again_unless_it_must_not() {
    let (app, _) = acme();
    let token = app.tenant("acme").token.unwrap();
    let (url, seen) = losing_answers(&app, 2);
    let client = Client::new(&url, &*token).unwrap();
    let (all_lost, seen_once) = losing_answers(&app, usize::MAX);
    let builder = Client::builder(&all_lost, &*token).unwrap();
    let hopeless = builder.attempts(2).build().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nowhere = format!("http://{}", closed.local_addr().unwrap());
    let slow = Client::builder(&nowhere, &*token).unwrap();
    let slow = slow
        .timeout(Duration::from_millis(300))
        .attempts(2)
        .build()
        .unwrap();
    block_on(async {
        let saved = client.save(&Draft::new("d", "t", "x")).await.unwrap();
        // It was done already, and nothing was done twice.
        assert!(!saved.is_new);
        assert_eq!(
            (saved.signature.version, seen.load(Ordering::Relaxed)),
            (1, 3)
        );
        let lost = hopeless.get("d", "t", None).await.unwrap_err();
        assert!(
            matches!(lost, Error::NoAnswer { attempts: 2, .. }),
            "{lost}"
        );
        assert_eq!(
            (lost.code(), seen_once.load(Ordering::Relaxed)),
            ("no_answer", 2)
        );
        // Each verification records a verdict, so it is sent once.
        let body = json!({"document": "d", "thread": "t"});
        let verify = hopeless.request(
            http::Method::POST,
            "/signature/verify",
            &[],
            Some(&body),
            false,
        );
        let lost = verify.await.unwrap_err();
        assert!(
            matches!(lost, Error::NoAnswer { attempts: 1, .. }),
            "{lost}"
        );
        let since = Instant::now();
        let late = slow.get("d", "t", None).await.unwrap_err();
        assert!(late.to_string().contains("0.3 s"), "{late}");
        assert!(since.elapsed() < Duration::from_secs(3));
    });
}

#[test]
fn the_server_is_obeyed_when_it_says_to_wait() {
    let (app, client) = acme();
    app.database.run(&[
        "tenant",
        "update",
        "acme",
        "--requests-per-second",
        "2",
        "--request-burst",
        "1",
    ]);
    let token = app.tenant("acme").token.unwrap();
    let builder = Client::builder(&app.base, &*token).unwrap();
    let hasty = builder.longest_wait(Duration::ZERO).build().unwrap();
    thread::sleep(Duration::from_secs(1));
    block_on(async {
        for number in 0..4 {
            client
                .save(&Draft::new("d", number.to_string(), "x"))
                .await
                .unwrap();
        }
        let mut refused = None;
        for _ in 0..20 {
            refused = hasty.get("d", "0", None).await.err().or(refused);
        }
        let refused = refused.expect("it is faster than the quota");
        let refusal = refused.refusal().unwrap();
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (429, "quota_exceeded")
        );
        assert!(refusal.retry_after.is_some());
    });
}

#[test]
fn many_are_saved_in_order_and_read_at_once() {
    let (app, client) = acme();
    block_on(async {
        let mut drafts: Vec<_> = (0..250)
            .map(|number| Draft::new("many", number.to_string(), "x"))
            .collect();
        drafts.push(Draft::new("many", "0", "y").over(7));
        drafts.push(Draft::new("many", "0", "z").over(1));
        let done = client.save_many(&drafts).await.unwrap();
        assert_eq!(done.iter().filter(|one| one.is_ok()).count(), 250);
        let codes: Vec<_> = done[250..]
            .iter()
            .map(|one| one.as_ref().unwrap_err().code.clone())
            .collect();
        assert_eq!(codes, ["version_conflict", "earlier_failed"]);
        let again = client.save_many(&drafts[..3]).await.unwrap();
        assert!(again.iter().all(|one| !one.as_ref().unwrap().is_new));
        let read = client
            .get_many(&[("many", "7"), ("many", "none"), ("many", "8")])
            .await
            .unwrap();
        assert_eq!(read[0].as_ref().unwrap().thread, "7");
        assert_eq!(read[1].as_ref().unwrap_err().code, "signature_not_found");
        assert_eq!(read[2].as_ref().unwrap().signature.as_deref(), Some("x"));
        let bad = client
            .save_many(&[Draft::new("", "t", "x")])
            .await
            .unwrap_err();
        assert_eq!(bad.code(), "invalid_parameter");
    });
    // Those that are too many for the tenant's rate are sent again.
    app.database.run(&[
        "tenant",
        "create",
        "slow",
        "--requests-per-second",
        "20",
        "--request-burst",
        "20",
    ]);
    let slow = Client::new(&app.base, app.tenant("slow").token.unwrap()).unwrap();
    block_on(async {
        let drafts: Vec<_> = (0..40)
            .map(|number| Draft::new("d", number.to_string(), "x"))
            .collect();
        let done = slow.save_many(&drafts).await.unwrap();
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    });
}

#[test]
fn events_are_followed_without_a_gap() {
    let (app, client) = acme();
    let sequencing = app.keep_sequencing();
    block_on(async {
        client
            .save(&Draft::new("d", "t", "one").wait(20))
            .await
            .unwrap();
        let draft = Draft::new("d", "t", "two").over(1).wait(20);
        let logged = client.save(&draft).await.unwrap().evidence.unwrap();
        assert_eq!(logged.state, "logged");
        let events = client.events().types(["version."]);
        let mut following = events.follow(0);
        assert_eq!(following.cursor(), Some(0));
        let first = following.next().await.unwrap();
        assert_eq!(
            (first.kind.as_str(), first.version),
            ("version.saved", Some(1))
        );
        let cursor = following.cursor().unwrap();
        assert_eq!(cursor, first.number);
        // Another one goes on from there.
        let second = events.follow(cursor).next().await.unwrap();
        assert_eq!(
            (second.version, Some(second.number)),
            (Some(2), logged.number)
        );
        following.next().await.unwrap();
        // It waits for what comes next, and may be dropped meanwhile.
        let waiting = tokio::time::timeout(Duration::from_millis(300), following.next()).await;
        assert!(waiting.is_err());
        let mut deletes = client
            .events()
            .types(["signature.deleted"])
            .follow(After::Now);
        assert_eq!(deletes.cursor(), None);
        let (deleted, event) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                client.delete("d", "t", None).await
            },
            deletes.next()
        );
        assert!(deleted.unwrap());
        assert_eq!(event.unwrap().kind, "signature.deleted");
        let page = client.events().page(0, 1, 0).await.unwrap();
        assert_eq!(page.events.len(), 1);
    });
    drop(sequencing);
    let blind = app.client("acme", &[Scope::SignaturesRead]).token.unwrap();
    let blind = Client::new(&app.base, blind).unwrap();
    let refused = block_on(async { blind.events().follow(0).next().await.unwrap_err() });
    assert_eq!(refused.code(), "insufficient_scope");
}

#[test]
fn calls_of_webhooks_are_believed() {
    let app = TestApp::start_with(|config| config.webhooks.allow = "127.0.0.1".to_owned());
    app.tenant("acme");
    let receiver = Receiver::start(|_| 204);
    let operator = app.operator("acme");
    let made = operator
        .json("POST", "/webhooks", &json!({ "url": receiver.url }))
        .expect(201);
    let secret = made.json["content"]["secret"].as_str().unwrap();
    let id = &made.json["content"]["webhook"]["id"];
    let tested = operator.json("POST", &format!("/webhooks/{id}/test"), &json!({}));
    tested.expect(200);
    let call = receiver.calls().remove(0);
    let mut headers = http::HeaderMap::new();
    for (name, value) in &call.headers {
        headers.insert(
            http::HeaderName::try_from(name).unwrap(),
            value.parse().unwrap(),
        );
    }
    let told = Webhook::new([secret])
        .unwrap()
        .verify(&headers, call.body())
        .unwrap();
    assert_eq!((told.kind.as_str(), told.event.number), ("webhook.test", 0));
    let other = Webhook::new(["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]).unwrap();
    assert_eq!(
        other.verify(&headers, call.body()),
        Err(WebhookError::Signature)
    );
}
