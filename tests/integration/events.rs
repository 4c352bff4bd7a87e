//! Following what happens: pages, waiting, and streams; in order, without gaps, and whatever else goes on.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigpersist::tenants::NewKey;
use sigpersist_model::context::Scope;
use sigpersist_model::key::Algorithm;

use crate::support::{Client, SIGNER_TAGS, TestApp};

/// A page of events, and where the next one begins.
fn page(client: &Client, query: &str) -> (Vec<Value>, i64) {
    let content = &client.get(&format!("/events?{query}")).expect(200).json["content"];
    let events = content["events"].as_array().unwrap().clone();
    (events, content["next"].as_i64().unwrap())
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().map(|event| event["type"].as_str().unwrap());
    kinds.collect()
}

#[test]
fn everything_that_somebody_would_act_on_is_told_in_order() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    acme.post(
        &json!({"document": "d", "thread": "t", "cms": "x", "tags": ["a"], "stage": "draft"}),
    )
    .expect(201);
    acme.save("d", "t", 1, "y").expect(201);
    let component = [("content-type", "application/wasm")];
    operator
        .send(
            "PUT",
            "/plugins/tags",
            &component,
            Some(SIGNER_TAGS.to_vec()),
        )
        .expect(201);
    operator
        .json("PUT", "/hooks/tags", &json!({"plugin": "tags"}))
        .expect(201);
    operator
        .json("PATCH", "/policy", &json!({"record_verdicts": true}))
        .expect(200);
    acme.json(
        "POST",
        "/signature/verify",
        &json!({"document": "d", "thread": "t"}),
    )
    .expect(201);
    acme.delete("d", "t").expect(200);
    app.sequence();
    let (events, next) = page(&acme, "");
    let told = kinds(&events);
    assert_eq!(told[..2], ["tenant.create", "key.add"]);
    let told: Vec<_> = told[2..]
        .iter()
        .filter(|kind| **kind != "token.issue")
        .collect();
    assert_eq!(
        told,
        [
            &"erased",
            &"erased",
            &"plugin.upload",
            &"hook.set",
            &"policy.set",
            &"erased",
            &"signature.deleted"
        ]
    );
    let hook = events
        .iter()
        .find(|event| event["type"] == "hook.set")
        .unwrap();
    assert_eq!(
        (&hook["target"], &hook["actor"]["kind"]),
        (&json!("tags"), &json!("tenant"))
    );
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event["number"], place + 1);
        assert!(
            event["id"]
                .as_str()
                .unwrap()
                .ends_with(&format!("-{}", place + 1))
        );
    }
    assert_eq!(usize::try_from(next).unwrap(), events.len());
    acme.save("e", "t", 0, "x").expect(201);
    app.sequence();
    let (saved, next) = page(&acme, &format!("after={next}"));
    assert_eq!(kinds(&saved), ["version.saved", "verdict.recorded"]);
    assert_eq!(saved[1]["indications"], json!([]));
    assert_eq!(saved[0]["document"], "e");
    assert_eq!(
        (&saved[0]["version"], &saved[0]["tags"]),
        (&json!(1), &json!([]))
    );
    // Nothing new.
    assert_eq!(page(&acme, &format!("after={next}")), (Vec::new(), next));
    assert_eq!(page(&acme, "after=now"), (Vec::new(), next));
    // Some types only: the rest is skipped for good.
    let (some, after) = page(&acme, "types=hook.&types=version.saved");
    assert_eq!(kinds(&some), ["hook.set", "version.saved"]);
    assert_eq!(after, next);
    let (none, after) = page(&acme, "types=no.such&limit=1");
    assert_eq!((none.len(), after), (0, next));
    let (first, after) = page(&acme, "limit=2");
    assert_eq!((first.len(), after), (2, 2));
    for wrong in ["after=-1", "after=x", "wait=26", "limit=0", "limit=1001"] {
        acme.get(&format!("/events?{wrong}"))
            .expect_error(400, "invalid_parameter");
    }
    app.client("acme", &[Scope::SignaturesRead])
        .get("/events")
        .expect_error(403, "insufficient_scope");
    // Another tenant has events of its own.
    let other = app.tenant("other");
    app.sequence();
    let others = page(&other, "types=tenant.&types=key.&types=version.").0;
    assert_eq!(kinds(&others), ["tenant.create", "key.add"]);
}

#[test]
fn whoever_waits_is_answered_when_something_happens_and_holds_nothing_meanwhile() {
    let app = TestApp::start_with(|config| {
        config.http.max_concurrent_requests = 2;
        config.database.pool_size = 2;
        config.evidence.interval_ms = 20;
    });
    let acme = app.tenant("acme");
    let _sequencing = app.keep_sequencing();
    thread::sleep(Duration::from_millis(200));
    let (_, head) = page(&acme, "after=now");
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let acme = &acme;
                scope.spawn(move || {
                    let since = Instant::now();
                    let (events, _) = page(acme, &format!("after={head}&wait=25"));
                    (kinds(&events).join(" "), since.elapsed())
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        // Ten wait, and two could be answered at once.
        let since = Instant::now();
        acme.save("d", "t", 0, "x").expect(201);
        assert!(since.elapsed() < Duration::from_secs(2));
        for waiting in waiting {
            let (kinds, took) = waiting.join().unwrap();
            assert_eq!(kinds, "version.saved");
            assert!(took < Duration::from_secs(5), "{took:?}");
        }
    });
    // A wait that ends without anything is answered in time.
    let since = Instant::now();
    let (none, _) = page(&acme, &format!("after={}&wait=1", head + 1));
    assert!(none.is_empty());
    assert!(
        (1..4).contains(&since.elapsed().as_secs()),
        "{:?}",
        since.elapsed()
    );
}

#[test]
fn too_many_who_wait_are_refused_and_a_server_that_stops_sends_them_away() {
    let app = TestApp::start_with(|config| config.events.max_waiting_per_tenant = 2);
    let acme = app.tenant("acme");
    let (_, head) = page(&acme, "after=now");
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| page(&acme, &format!("after={head}&wait=25"))))
            .collect();
        thread::sleep(Duration::from_millis(500));
        let refused = acme
            .get(&format!("/events?after={head}&wait=1"))
            .expect_error(429, "rate_limited");
        assert_eq!(
            refused.json["message"],
            "2 requests wait for events already, as many as may (events.max_waiting_per_tenant). \
             Wait on fewer connections, or ask with `wait=0`."
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
        // Whoever does not wait is answered.
        page(&acme, &format!("after={head}"));
        app.app.waiters.dismiss();
        for waiting in waiting {
            assert!(waiting.join().unwrap().0.is_empty());
        }
    });
}

#[test]
fn a_stream_goes_on_where_it_broke_off() {
    let app = TestApp::start_with(|config| config.evidence.interval_ms = 20);
    let acme = app.tenant("acme");
    let _sequencing = app.keep_sequencing();
    let connect = |last: &str| {
        let mut request = http::Request::builder()
            .uri(format!("{}/events/stream?types=version.", app.base))
            .header(
                "authorization",
                format!("Bearer {}", acme.token.as_ref().unwrap()),
            );
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let response = ureq::agent().run(request.body(()).unwrap()).unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        BufReader::new(response.into_body().into_reader()).lines()
    };
    let mut stream = connect("0");
    let mut next = || {
        let mut lines = Vec::new();
        loop {
            let line = stream.next().unwrap().unwrap();
            if line.is_empty() && !lines.is_empty() {
                return lines;
            }
            if !line.is_empty() && !line.starts_with(':') {
                lines.push(line);
            }
        }
    };
    let since = Instant::now();
    acme.save("d", "t", 0, "x").expect(201);
    let first = next();
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(first[1], "event: version.saved");
    let data: Value = serde_json::from_str(first[2].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(first[0], format!("id: {}", data["number"]));
    acme.save("d", "t", 1, "y").expect(201);
    let second = next();
    let id = first[0].strip_prefix("id: ").unwrap();
    let again = connect(id).find(|line| line.as_ref().unwrap().starts_with("id: "));
    assert_eq!(again.unwrap().unwrap(), second[0]);
}

#[test]
fn whoever_may_not_follow_any_more_hears_nothing_more() {
    let app = TestApp::start_with(|config| config.evidence.interval_ms = 20);
    let acme = app.tenant("acme");
    let _sequencing = app.keep_sequencing();
    thread::sleep(Duration::from_millis(200));
    let (_, head) = page(&acme, "after=now");
    let request = http::Request::builder()
        .uri(format!("{}/events/stream", app.base))
        .header(
            "authorization",
            format!("Bearer {}", acme.token.as_ref().unwrap()),
        );
    let response = ureq::agent().run(request.body(()).unwrap()).unwrap();
    let mut stream = BufReader::new(response.into_body().into_reader()).lines();
    assert_eq!(stream.next().unwrap().unwrap(), ": nothing new");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| acme.get(&format!("/events?after={head}&wait=25")));
        thread::sleep(Duration::from_millis(500));
        app.platform()
            .json("POST", "/tenants/acme/suspend", &json!({}))
            .expect(200);
        waiting
            .join()
            .unwrap()
            .expect_error(403, "tenant_suspended");
    });
    let told: Vec<String> = stream.map_while(Result::ok).collect();
    assert!(
        told.iter().all(|line| !line.starts_with("data:")),
        "{told:?}"
    );
}

#[test]
fn nothing_is_told_under_a_key_once_it_is_revoked() {
    let app = TestApp::start_with(|config| config.evidence.interval_ms = 20);
    let acme = app.tenant("acme");
    let _sequencing = app.keep_sequencing();
    let platform = app.platform_for("acme");
    let keys = platform.get("/keys").expect(200);
    let kid = keys.json["content"]["keys"][0]["kid"].as_str().unwrap();
    let request = http::Request::builder()
        .uri(format!("{}/events/stream?types=version.", app.base))
        .header(
            "authorization",
            format!("Bearer {}", acme.token.as_ref().unwrap()),
        );
    let response = ureq::agent().run(request.body(()).unwrap()).unwrap();
    let mut stream = BufReader::new(response.into_body().into_reader()).lines();
    acme.save("before", "t", 0, "x").expect(201);
    let mut told = Vec::new();
    while !told.iter().any(|line: &String| line.starts_with("data:")) {
        told.push(stream.next().unwrap().unwrap());
    }
    assert!(told.concat().contains("before"));
    let (_, head) = page(&acme, "after=now");
    thread::scope(|scope| {
        let waiting =
            scope.spawn(|| acme.get(&format!("/events?after={head}&types=version.&wait=25")));
        thread::sleep(Duration::from_millis(500));
        platform
            .json("POST", &format!("/keys/{kid}/revoke"), &json!({}))
            .expect(200);
        // Only this wakes them.
        app.add_key(Some("acme"), &NewKey::made(Algorithm::Hs256))
            .unwrap();
        let other = app.client("acme", &Scope::APPLICATION);
        other.save("after", "t", 0, "x").expect(201);
        waiting.join().unwrap().expect_error(401, "invalid_token");
    });
    let told: Vec<String> = stream.map_while(Result::ok).collect();
    assert!(!told.concat().contains("data:"), "{told:?}");
}

#[test]
fn a_page_has_what_was_asked_for_wherever_it_is_and_no_more_than_fits() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let tags: Vec<_> = (0..32).map(|tag| format!("{tag:0>200}")).collect();
    let large = json!({"document": "d", "thread": "large", "version": 0, "cms": "x", "tags": tags});
    for number in 0..150 {
        let mut form = large.clone();
        form["document"] = json!(format!("d{number}"));
        acme.json("POST", "/signature", &form).expect(201);
    }
    app.sequence();
    // Many of them are more than a page has.
    let (events, next) = page(&acme, "limit=1000");
    let size = serde_json::to_string(&events).unwrap().len();
    assert!((400_000..1_000_000).contains(&size), "{size}");
    let (more, _) = page(&acme, &format!("limit=1000&after={next}"));
    for (place, event) in events.iter().chain(&more).enumerate() {
        assert_eq!(event["number"], place + 1);
    }
    assert!(events.len() + more.len() >= 150);
    // What is behind more than one page is found by one that waits, at once.
    acme.delete("d0", "large").expect(200);
    app.sequence();
    let since = Instant::now();
    let (found, _) = page(&acme, "types=signature.&wait=25&after=0");
    assert_eq!(kinds(&found), ["signature.deleted"]);
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_save_may_wait_for_its_place_in_the_log() {
    let app = TestApp::start_with(|config| config.evidence.interval_ms = 20);
    let acme = app.tenant("acme");
    let save = |document: &str, prefer: &[(&str, &str)]| {
        let body = json!({"document": document, "thread": "t", "cms": "x"}).to_string();
        let headers = [&[("content-type", "application/json")], prefer].concat();
        acme.send("POST", "/signature", &headers, Some(body.into_bytes()))
    };
    // Nobody numbers what happens.
    let plain = save("a", &[]).expect(201);
    assert_eq!(plain.json["content"].get("evidence"), None);
    let since = Instant::now();
    let late = save("b", &[("prefer", "wait=1")]).expect(201);
    assert_eq!(late.json["content"]["evidence"]["state"], "queued");
    assert!((1..4).contains(&since.elapsed().as_secs()));
    let _sequencing = app.keep_sequencing();
    let logged = save("c", &[("prefer", "wait=20")]).expect(201);
    assert_eq!(logged.header("preference-applied"), Some("wait=20"));
    let evidence = &logged.json["content"]["evidence"];
    assert_eq!(evidence["state"], "logged");
    let (events, _) = page(
        &acme,
        &format!("after={}", evidence["number"].as_i64().unwrap() - 1),
    );
    assert_eq!(events[0]["document"], "c");
    // The same request again tells the same place.
    let again = save("c", &[("prefer", "wait=20")]).expect(200);
    assert_eq!(again.json["content"]["evidence"], *evidence);
}

/// Any interleaving of saves, deletes and readers, on two servers whose sequencers take turns, ends in a log that holds,
/// and readers that keep nothing but their cursor have seen each event once.
#[test]
fn readers_that_keep_only_a_number_miss_nothing_whatever_goes_on() {
    let app = TestApp::start_with(|config| config.evidence.interval_ms = 5);
    let acme = app.tenant("acme");
    let replica = app.replica_with(|config| config.evidence.interval_ms = 7);
    let there = Client::new(&replica.base, acme.token.clone());
    let _here = app.keep_sequencing();
    let _there = replica.keep_sequencing();
    let are_done = AtomicBool::new(false);
    let saved = thread::scope(|scope| {
        let writers: Vec<_> = (0..6)
            .map(|writer| {
                let client = if writer % 2 == 0 { &acme } else { &there };
                scope.spawn(move || {
                    let mut saved = HashMap::new();
                    for number in 0..40 {
                        let document = format!("{writer}-{}", number % 7);
                        if number % 11 == 10 {
                            client.delete(&document, "t").expect(200);
                            saved.remove(&document);
                            continue;
                        }
                        let version = saved.get(&document).copied().unwrap_or(0);
                        client
                            .save(&document, "t", version, &format!("{number}"))
                            .expect(201);
                        saved.insert(document, version + 1);
                    }
                    saved
                })
            })
            .collect();
        let readers: Vec<_> = [&acme, &there]
            .into_iter()
            .map(|client| {
                let are_done = &are_done;
                scope.spawn(move || {
                    let (mut seen, mut after) = (Vec::new(), 0);
                    loop {
                        let was_done = are_done.load(Ordering::SeqCst);
                        let (events, next) = page(client, &format!("after={after}&limit=7&wait=1"));
                        if events.is_empty() && was_done {
                            return seen;
                        }
                        seen.extend(
                            events
                                .into_iter()
                                .map(|event| event["number"].as_i64().unwrap()),
                        );
                        after = next;
                    }
                })
            })
            .collect();
        let mut saved = HashMap::new();
        for writer in writers {
            saved.extend(writer.join().unwrap());
        }
        are_done.store(true, Ordering::SeqCst);
        for reader in readers {
            let seen = reader.join().unwrap();
            assert_eq!(
                seen,
                (1..=i64::try_from(seen.len()).unwrap()).collect::<Vec<_>>()
            );
            assert!(seen.len() > 240, "{}", seen.len());
        }
        saved
    });
    // The versions of a thread come in order, and those that are left are all there.
    let (events, _) = page(&acme, "limit=1000");
    let mut last: HashMap<String, u32> = HashMap::new();
    for event in events
        .iter()
        .filter(|event| event["type"] == "version.saved")
    {
        let document = event["document"].as_str().unwrap().to_owned();
        let version = u32::try_from(event["version"].as_i64().unwrap()).unwrap();
        let before = last.insert(document, version).unwrap_or(0);
        assert_eq!(version, before + 1);
    }
    assert_eq!(last, saved);
    let checked = app.operator("acme").get("/log/verify").expect(200);
    assert_eq!(checked.json["content"]["log"]["faults"], json!([]));
}
