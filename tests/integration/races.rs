//! Writers that race: exactly one wins each round, and nothing is lost.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::guest::{ACCEPT, Guest};
use crate::support::{Client, TestApp, eventually};

const WRITERS: usize = 32;
const ROUNDS: u32 = 10;

#[test]
fn of_writers_racing_on_one_thread_one_wins_each_round() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let barrier = Barrier::new(WRITERS);
    let statuses: Vec<Vec<u16>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (acme, barrier) = (acme.clone(), &barrier);
                scope.spawn(move || {
                    (0..ROUNDS)
                        .map(|round| {
                            barrier.wait();
                            acme.save("d", "t", round, &format!("writer {writer} round {round}"))
                                .status
                        })
                        .collect()
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    for round in 0..ROUNDS as usize {
        let in_round: Vec<_> = statuses.iter().map(|writer| writer[round]).collect();
        assert_eq!(
            in_round.iter().filter(|status| **status == 201).count(),
            1,
            "{in_round:?}"
        );
        assert!(
            in_round.iter().all(|status| [201, 409].contains(status)),
            "{in_round:?}"
        );
    }
    let history = acme
        .get("/signature/versions?document=d&thread=t&limit=1000")
        .expect(200);
    let versions: Vec<_> = history
        .versions()
        .iter()
        .map(|version| version["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions, (1..=u64::from(ROUNDS)).rev().collect::<Vec<_>>());
    for version in history.versions() {
        let round = version["version"].as_u64().unwrap() - 1;
        let text = version["signature"].as_str().unwrap();
        assert!(
            text.ends_with(&format!(" round {round}")),
            "{text} is version {}",
            round + 1
        );
    }
}

#[test]
fn of_writers_racing_to_create_a_thread_one_wins_whatever_they_call_it() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for round in 0..10 {
        let barrier = Barrier::new(WRITERS);
        let created = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (acme, barrier) = (acme.clone(), &barrier);
                    scope.spawn(move || {
                        let mut body = json!({"document": round.to_string(), "thread": "t", "cms": format!("{writer}")});
                        if writer % 2 == 0 {
                            body["version"] = json!(0);
                        }
                        barrier.wait();
                        acme.post(&body).status
                    })
                })
                .collect();
            let statuses: Vec<_> = writers
                .into_iter()
                .map(|writer| writer.join().unwrap())
                .collect();
            assert!(
                statuses
                    .iter()
                    .all(|status| [201, 409, 400].contains(status)),
                "{statuses:?}"
            );
            statuses.iter().filter(|status| **status == 201).count()
        });
        assert_eq!(created, 1);
    }
}

#[test]
fn the_same_request_sent_many_times_at_once_is_saved_once() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "first").expect(201);
    let barrier = Barrier::new(WRITERS);
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                let (acme, barrier) = (acme.clone(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    acme.save("d", "t", 1, "second").status
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|status| [200, 201].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 2);
}

/// Saves versions of one thread as fast as the server accepts them, until `done`.
fn keep_saving(acme: &Client, done: &AtomicBool) {
    let mut over = 0;
    while !done.load(Ordering::Relaxed) {
        let saved = acme.save("d", "t", over, &format!("over {over}"));
        over = match saved.status {
            200 | 201 => saved.signature()["version"].as_u64().unwrap(),
            409 => saved.json["details"]["current_version"].as_u64().unwrap(),
            status => panic!("{status}: {}", saved.text),
        }
        .try_into()
        .unwrap();
    }
}

/// Runs `delete` while many clients save versions of the same thread.
fn delete_beside_saves<T: Send>(app: &TestApp, delete: impl FnOnce(&Client) -> T + Send) -> T {
    let acme = app.client("acme", &sigpersist_model::context::Scope::APPLICATION);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            let acme = acme.clone();
            let done = &done;
            scope.spawn(move || keep_saving(&acme, done));
        }
        let deleted = scope.spawn(|| delete(&acme)).join();
        done.store(true, Ordering::Relaxed);
        deleted.unwrap()
    })
}

/// Deletes the thread this many times; attempts at a missing thread do not count.
fn delete_often(acme: &Client, times: usize) {
    let mut deleted = 0;
    while deleted < times {
        match acme.delete("d", "t") {
            done if done.status == 200 => deleted += 1,
            missing => drop(missing.expect_error(404, "signature_not_found")),
        }
    }
}

/// A server with enough database connections for all clients.
fn app_with_room() -> TestApp {
    let app = TestApp::start_with(|config| config.database.pool_size = 20);
    app.tenant("acme");
    app
}

#[test]
fn deletes_that_race_with_saves_have_no_version_to_conflict_with() {
    let app = app_with_room();
    delete_beside_saves(&app, |acme| delete_often(acme, 100));
    assert_usage_is_right(&app);
}

#[test]
fn deletes_that_hooks_judge_do_not_conflict_either() {
    let app = app_with_room();
    app.hook("acme", "hold", &delete_validator(ACCEPT), |_| {});
    delete_beside_saves(&app, |acme| delete_often(acme, 30));
    assert_usage_is_right(&app);
    // Each delete is recorded as accepted once, however often it was judged.
    let accepted = app.database.lines(
        "SELECT count(*)::text AS line FROM hook_judgements WHERE operation = 'delete' AND outcome = 'accepted'",
    );
    assert_eq!(accepted.trim(), "30");
}

fn delete_validator(judge: &str) -> Vec<u8> {
    let guest = Guest {
        judges: &["delete-validator"],
        judge,
        ..Guest::default()
    };
    guest.component()
}

#[test]
fn a_delete_that_is_judged_slower_than_versions_come_is_put_off() {
    let app = TestApp::start_with(|config| {
        config.hooks.fuel = 100_000_000_000;
        config.hooks.max_timeout_ms = 30_000;
    });
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    let slow = "(local $i i32) (local.set $i (i32.const 500000000)) \
                (loop (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if 0 (local.get $i))) (i32.const 1024)";
    app.hook("acme", "hold", &delete_validator(slow), |request| {
        request.timeout_ms = Some(30_000);
    });
    let since = Instant::now();
    let put_off = delete_beside_saves(&app, |acme| {
        eventually(|| acme.read("d", "t").expect(200).signature()["version"].as_u64() > Some(1));
        acme.delete("d", "t")
    });
    put_off.expect_error(429, "rate_limited");
    assert!(since.elapsed() > Duration::from_secs(5));
    acme.delete("d", "t").expect(200);
}

/// Asserts that the usage counters match the stored rows.
#[track_caller]
fn assert_usage_is_right(app: &TestApp) {
    let wrong = app.database.lines(
        "SELECT 'wrong' AS line FROM
             (SELECT sum(bytes) AS bytes, sum(threads) AS threads, sum(versions) AS versions FROM tenant_usage) counted,
             (SELECT coalesce(sum(octet_length(signature)), 0) AS bytes, count(*) AS versions FROM signature_versions) stored,
             (SELECT count(*) AS threads FROM signatures) stored_threads
         WHERE (counted.bytes, counted.threads, counted.versions)
             IS DISTINCT FROM (stored.bytes, stored_threads.threads, stored.versions)",
    );
    assert_eq!(wrong, "");
}
