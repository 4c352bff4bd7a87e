//! Pairs of tests in which hooks obey a rule and violate it.

use std::time::{Duration, Instant};

use serde_json::json;
use sigpersist_model::plugin::{Mode, OnFailure};

use crate::support::guest::{ACCEPT, Guest, LOOP, rejecting};
use crate::support::{
    COUNTERSIGNED, Client, DETACHED, DROPPED, FIRST, INDEFINITE, Program, REJECT,
    REQUIRE_COUNTERSIGNATURE, SIGNER_TAGS, Stopwatch, TestApp, eventually,
};

const AIGERIM: [&str; 3] = [
    "iin:123456789011",
    "bin:123456789021",
    "signer:АХМЕТОВА АЙГЕРІМ",
];
const DAULET: [&str; 2] = ["iin:123456789022", "signer:ДӘУЛЕТ НҰРЛАН"];

fn guest(judge: &str) -> Vec<u8> {
    Guest {
        judge,
        ..Guest::default()
    }
    .component()
}

#[test]
fn tags_are_derived_from_the_signers() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    let save = |document: &str, cms: &str| {
        acme.post(&json!({"document": document, "thread": "t", "cms": cms, "tags": ["own", "iin:999999999999"]}))
            .expect(201)
    };
    // A client can't claim a signer who did not sign.
    let first = save("first", FIRST.trim());
    assert_eq!(first.tags(), [&["own"][..], &AIGERIM].concat());
    let both = save("both", COUNTERSIGNED.trim());
    assert_eq!(both.tags(), [&["own"][..], &DAULET, &AIGERIM].concat());
    assert_eq!(save("indefinite", INDEFINITE.trim()).tags(), first.tags());
    let armour = save("pem", DETACHED);
    assert_eq!(armour.tags(), [&["own"][..], &DAULET].concat());
    // Text that is no signature has no signers, but is saved.
    for (document, cms) in [("xml", "<a/>"), ("other", "MIIB")] {
        assert_eq!(save(document, cms).tags(), ["own"]);
    }
    let listed = acme.get("/signatures?tags=iin:123456789022").expect(200);
    assert_eq!(listed.signatures().len(), 2);
    assert_eq!(acme.read("first", "t").expect(200).tags(), first.tags());
}

#[test]
fn more_tags_than_fit_are_a_rejection_and_no_failure() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    let save = |number: usize| {
        let tags: Vec<_> = (0..number).map(|n| format!("own {n}")).collect();
        acme.post(&json!({"document": number.to_string(), "thread": "t", "cms": FIRST.trim(), "tags": tags}))
    };
    save(61).expect(201);
    let refused = save(62).expect_error(422, "hook_rejected");
    assert_eq!(
        refused.json["details"]["rejections"][0]["code"],
        "too-many-tags"
    );
    assert_eq!(refused.json["details"]["rejections"][0]["field"], "/tags");
}

#[test]
fn a_servers_own_ceiling_holds_whoever_set_the_hook() {
    let app = TestApp::start_with(|config| config.hooks.max_timeout_ms = 200);
    let acme = app.tenant("acme");
    app.hook("acme", "loop", &guest(LOOP), |request| {
        request.timeout_ms = Some(200);
    });
    app.database
        .execute("UPDATE hook_bindings SET timeout_ms = 60000; UPDATE hooks SET binding = binding");
    eventually(|| {
        app.app
            .caches
            .chains
            .get(&sigpersist_model::context::TenantId(1))
            .is_none()
    });
    let since = Stopwatch::start();
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    assert!(since.elapsed() < Duration::from_secs(5));
}

#[test]
fn settings_reach_the_hook_and_mistakes_in_them_are_refused() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |request| {
        request.settings = json!({"prefixes": {"iin": "person/", "bin": "", "signer": ""}});
    });
    assert_eq!(
        acme.save("d", "t", 0, FIRST.trim()).expect(201).tags(),
        ["person/123456789011"]
    );
    let refused = app.set("acme", "signer-tags", "signer-tags", |request| {
        request.settings = json!({"prefixes": {"inn": "typo"}});
    });
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("/prefixes") && message.contains("inn"),
        "{message}"
    );
    assert_eq!(
        acme.save("e", "t", 0, FIRST.trim()).expect(201).tags(),
        ["person/123456789011"]
    );
}

#[test]
fn a_new_version_must_keep_the_earlier_signers() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook(
        "acme",
        "require-countersignature",
        REQUIRE_COUNTERSIGNATURE,
        |_| {},
    );
    acme.save("d", "t", 1, FIRST.trim()).expect(201);
    let refused = acme
        .save("d", "t", 1, DROPPED.trim())
        .expect_error(422, "hook_rejected");
    assert_eq!(
        refused.json["details"]["rejections"],
        json!([{
            "hook": "require-countersignature",
            "code": "signer-dropped",
            "message": "The new version drops the signer АХМЕТОВА АЙГЕРІМ.",
            "field": "/cms",
        }])
    );
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 1);
    acme.save("d", "t", 1, COUNTERSIGNED.trim()).expect(201);
    // Retries and conflicts are answered as without hooks.
    acme.save("d", "t", 1, FIRST.trim()).expect(200);
    acme.save("d", "t", 1, COUNTERSIGNED.trim()).expect(200);
    acme.save("d", "t", 3, COUNTERSIGNED.trim())
        .expect_error(409, "version_conflict");
    let broken = acme
        .save("d", "t", 2, "MIIB")
        .expect_error(422, "hook_rejected");
    assert_eq!(broken.json["details"]["rejections"][0]["code"], "not-cms");
    let xml = acme
        .save("x", "t", 0, "<a/>")
        .expect_error(422, "hook_rejected");
    assert_eq!(xml.json["details"]["rejections"][0]["code"], "not-cms");
    acme.read("x", "t").expect_error(404, "signature_not_found");
}

#[test]
fn all_rejections_are_reported_together() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook(
        "acme",
        "require-countersignature",
        REQUIRE_COUNTERSIGNATURE,
        |request| request.order = 1,
    );
    app.hook("acme", "second", &guest(REJECT), |request| {
        request.order = 2;
    });
    app.hook("acme", "third", &guest(ACCEPT), |request| request.order = 3);
    let refused = acme
        .save("d", "t", 0, "<a/>")
        .expect_error(422, "hook_rejected");
    let rejections = refused.json["details"]["rejections"].as_array().unwrap();
    let hooks: Vec<_> = rejections
        .iter()
        .map(|rejection| &rejection["hook"])
        .collect();
    assert_eq!(hooks, ["require-countersignature", "second"]);
}

/// A tagger and a validator of one plugin examine the same signature and usually reject it for the same reason.
#[test]
fn what_a_tagger_and_its_validator_both_refuse_is_told_once() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    // For the tagger, this is a rejection with the code `A`; for the validator, a list of one rejection with that code.
    let both = Guest {
        judges: &["tagger", "save-validator"],
        judge: &rejecting('A'),
        ..Guest::default()
    };
    app.hook("acme", "both", &both.component(), |_| {});
    let refused = acme
        .save("d", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    let rejections = refused.json["details"]["rejections"].as_array().unwrap();
    assert_eq!(rejections.len(), 1, "{rejections:?}");
    assert_eq!(rejections[0]["code"], "A");
}

#[test]
fn a_hook_of_one_tenant_does_not_judge_another() {
    let app = TestApp::start();
    let (acme, other) = (app.tenant("acme"), app.tenant("other"));
    app.hook("acme", "no", &guest(REJECT), |_| {});
    acme.save("d", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    other.save("d", "t", 0, "x").expect(201);
}

#[test]
fn a_trap_is_a_failed_hook_and_its_settings_say_what_that_means() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "fine", &guest(ACCEPT), |_| {});
    acme.save("a", "t", 0, "x").expect(201);
    app.hook("acme", "trap", &guest("(unreachable)"), |_| {});
    let failed = acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    assert_eq!(failed.json["details"]["hook"], "trap");
    assert!(
        !failed.text.contains("unreachable"),
        "the trap's text is for the log"
    );
    acme.read("d", "t").expect_error(404, "signature_not_found");
    app.set("acme", "trap", "trap", |request| {
        request.on_failure = OnFailure::Allow;
    })
    .unwrap();
    acme.save("d", "t", 0, "x").expect(201);
}

#[test]
fn an_endless_loop_is_stopped_within_its_deadline() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "loop", &guest(LOOP), |request| {
        request.timeout_ms = Some(300);
    });
    let save = || acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    save();
    // The machine is shared with other tests, so the median of five runs is compared with the deadline.
    let mut elapsed: Vec<_> = (0..5)
        .map(|_| {
            let (since, busy) = (Instant::now(), Stopwatch::start());
            assert_eq!(save().json["details"]["hook"], "loop");
            assert!(since.elapsed() >= Duration::from_millis(300));
            busy.elapsed()
        })
        .collect();
    elapsed.sort();
    assert!(elapsed[2] < Duration::from_millis(400), "{elapsed:?}");
}

#[test]
fn memory_is_limited() {
    let app = TestApp::start_with(|config| config.hooks.max_memory_bytes = 2 * 1024 * 1024);
    let acme = app.tenant("acme");
    // The memory begins with four pages of 64 KiB; the limit is 32 pages.
    let grow = |pages: u32| {
        guest(&format!(
            "(drop (memory.grow (i32.const {pages}))) (i32.const 1024)"
        ))
    };
    app.hook("acme", "memory", &grow(28), |_| {});
    acme.save("a", "t", 0, "x").expect(201);
    app.hook("acme", "memory", &grow(29), |_| {});
    acme.save("b", "t", 0, "x").expect_error(500, "hook_failed");
    acme.read("b", "t").expect_error(404, "signature_not_found");
}

#[test]
fn tables_are_limited() {
    let app = TestApp::start_with(|config| config.hooks.max_table_elements = 1000);
    let acme = app.tenant("acme");
    let grow = |elements: u32| {
        Guest {
            definitions: "(table $table 1 funcref)",
            judge: &format!(
                "(drop (table.grow $table (ref.null func) (i32.const {elements}))) (i32.const 1024)"
            ),
            ..Guest::default()
        }
        .component()
    };
    app.hook("acme", "table", &grow(999), |_| {});
    acme.save("a", "t", 0, "x").expect(201);
    app.hook("acme", "table", &grow(1000), |_| {});
    acme.save("b", "t", 0, "x").expect_error(500, "hook_failed");
}

#[test]
fn fuel_is_a_limit_that_does_not_depend_on_the_clock() {
    let app = TestApp::start_with(|config| config.hooks.fuel = 1_000_000);
    let acme = app.tenant("acme");
    let count = |rounds: u32| {
        guest(&format!(
            "(local $n i32) (local.set $n (i32.const {rounds}))
             (loop $again (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
             (i32.const 1024)"
        ))
    };
    app.hook("acme", "count", &count(10_000), |request| {
        request.timeout_ms = Some(5000);
    });
    acme.save("a", "t", 0, "x").expect(201);
    app.hook("acme", "count", &count(1_000_000), |request| {
        request.timeout_ms = Some(5000);
    });
    acme.save("b", "t", 0, "x").expect_error(500, "hook_failed");
}

#[test]
fn host_calls_logs_and_reads_are_limited() {
    let app = TestApp::start_with(|config| {
        config.hooks.max_hostcalls = 100;
        config.hooks.max_read_bytes = 10_000;
        config.hooks.max_log_bytes = 100;
    });
    let acme = app.tenant("acme");
    let repeat = |import: &str, call: &str, times: u32| {
        Guest {
            definitions: import,
            judge: &format!(
                "(local $n i32) (local.set $n (i32.const {times}))
                 (loop $again {call} (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                 (i32.const 1024)"
            ),
            ..Guest::default()
        }
        .component()
    };
    let log = r#"(import "sigpersist:hooks/log@1.1.0" "write" (func $log (param i32 i32 i32)))"#;
    let write = "(call $log (i32.const 1) (i32.const 768) (i32.const 6))";
    // Log lines over the limit of bytes are dropped without a failure; calls over the limit of calls are a failure.
    for (times, status) in [(99, 201), (101, 500)] {
        app.hook("acme", "host", &repeat(log, write, times), |_| {});
        assert_eq!(
            acme.save(&format!("log {times}"), "t", 0, "x").status,
            status
        );
    }
    let read =
        r#"(import "sigpersist:hooks/payload@1.1.0" "read" (func $read (param i64 i32 i32)))"#;
    let pull = "(call $read (i64.const 0) (i32.const 1000) (i32.const 4096))";
    for (times, status) in [(10, 201), (11, 500)] {
        app.hook("acme", "host", &repeat(read, pull, times), |_| {});
        let saved = acme.save(&format!("read {times}"), "t", 0, &"?".repeat(1000));
        assert_eq!(saved.status, status, "{}", saved.text);
    }
}

#[test]
fn a_result_that_is_too_large_or_against_the_rules_is_a_failed_hook() {
    let app = TestApp::start_with(|config| config.hooks.max_hostcall_bytes = 10_000);
    let acme = app.tenant("acme");
    // Sets one tag, described at address 2048, with its text at `at` and this length.
    let tagger = |at: u32, length: u32| {
        let judge = format!(
            "(i32.store (i32.const 1028) (i32.const 2048)) (i32.store (i32.const 1032) (i32.const 1))
             (i32.store (i32.const 2048) (i32.const {at})) (i32.store (i32.const 2052) (i32.const {length}))
             (i32.const 1024)"
        );
        Guest {
            judges: &["tagger"],
            judge: &judge,
            ..Guest::default()
        }
        .component()
    };
    app.hook("acme", "tagger", &tagger(768, 6), |_| {});
    assert_eq!(acme.save("a", "t", 0, "x").expect(201).tags(), ["a test"]);
    for (at, length) in [
        (768, 0),
        (768, 7),
        (4096, 256),
        (0, 200_000),
        (0, 2_000_000_000),
    ] {
        app.hook("acme", "tagger", &tagger(at, length), |_| {});
        acme.save("b", "t", 0, "x").expect_error(500, "hook_failed");
    }
    app.set("acme", "tagger", "tagger", |request| {
        request.on_failure = OnFailure::Allow;
    })
    .unwrap();
    assert!(acme.save("b", "t", 0, "x").expect(201).tags().is_empty());
}

#[test]
fn a_monitored_hook_changes_and_rejects_nothing() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for (name, component) in [
        ("signer-tags", SIGNER_TAGS.to_vec()),
        ("reject", guest(REJECT)),
        ("trap", guest("(unreachable)")),
    ] {
        app.hook("acme", name, &component, |request| {
            request.mode = Mode::Monitor;
        });
    }
    assert!(
        acme.save("d", "t", 0, FIRST.trim())
            .expect(201)
            .tags()
            .is_empty()
    );
    app.set("acme", "reject", "reject", |_| {}).unwrap();
    acme.save("d", "t", 1, "x")
        .expect_error(422, "hook_rejected");
}

#[test]
fn deletes_are_judged_by_their_own_hooks() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.delete("d", "t")
        .expect_error(404, "signature_not_found");
    let delete_guest = |judge: &str| {
        Guest {
            judges: &["delete-validator"],
            judge,
            ..Guest::default()
        }
        .component()
    };
    acme.save("d", "t", 0, "x").expect(201);
    app.hook("acme", "hold", &delete_guest(REJECT), |_| {});
    acme.delete("d", "t").expect_error(422, "hook_rejected");
    acme.delete("d", "other")
        .expect_error(404, "signature_not_found");
    acme.save("d", "t", 1, "y").expect(201);
    app.hook("acme", "hold", &delete_guest("(unreachable)"), |_| {});
    acme.delete("d", "t").expect_error(500, "hook_failed");
    assert_eq!(acme.read("d", "t").expect(200).signature()["version"], 2);
    app.hook("acme", "hold", &delete_guest(ACCEPT), |_| {});
    acme.delete("d", "t").expect(200);
}

#[test]
fn a_changed_binding_is_picked_up_live_by_every_server() {
    let app = TestApp::start();
    let replica = app.replica();
    let acme = app.tenant("acme");
    let elsewhere = Client::new(&replica.base, acme.token.clone());
    let tags = |client: &Client, document: &str| {
        let saved = client.save(document, "t", 0, FIRST.trim()).expect(201);
        saved.tags().len()
    };
    assert_eq!((tags(&acme, "a"), tags(&elsewhere, "b")), (0, 0));
    let number = std::cell::Cell::new(0);
    let tagged_elsewhere = |count: usize| {
        number.set(number.get() + 1);
        tags(&elsewhere, &format!("elsewhere {}", number.get())) == count
    };
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    // The other server compiles the plugin first.
    eventually(|| tagged_elsewhere(3));
    assert_eq!(tags(&acme, "c"), 3);
    app.hook("acme", "signer-tags", SIGNER_TAGS, |request| {
        request.settings = json!({"prefixes": {"iin": "person/", "bin": "", "signer": ""}});
    });
    let since = Stopwatch::start();
    eventually(|| tagged_elsewhere(1));
    assert!(
        since.elapsed() < Duration::from_secs(1),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(tags(&acme, "d"), 1);
    // A hook that is deleted directly in the database is noticed too.
    app.database.execute("DELETE FROM hooks");
    eventually(|| tagged_elsewhere(0));
}

#[test]
fn a_change_whose_notification_is_lost_is_noticed_by_the_counter() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "no", &guest(REJECT), |_| {});
    acme.save("d", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    // As behind a pooler that drops notifications. Waits until earlier changes were counted.
    std::thread::sleep(Duration::from_millis(2500));
    app.database.execute(
        "BEGIN; ALTER TABLE hooks DISABLE TRIGGER hooks_notify; DELETE FROM hooks;
         UPDATE change_counter SET changes = changes + 1; COMMIT",
    );
    eventually(|| acme.save("d", "t", 0, "x").status == 201);
}

/// Two real servers on one database: a change through one takes effect on the other within a second, even if the
/// connection for notifications was cut.
#[test]
fn two_servers_agree_within_a_second_though_notifications_are_cut() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.upload("no", &guest(REJECT)).unwrap();
    let servers = [(); 2].map(|()| Program::serve_on(&app.database, &[]));
    let clients = servers
        .each_ref()
        .map(|server| server.client(acme.token.as_ref().unwrap()));
    let operators = servers
        .each_ref()
        .map(|server| server.client(operator.token.as_ref().unwrap()));
    let mut saved = 0;
    let mut save = |client: &Client| {
        saved += 1;
        client.save(&saved.to_string(), "t", 0, "x").status
    };
    for client in &clients {
        assert_eq!(save(client), 201);
    }
    for round in 0..6 {
        if round >= 2 {
            // Cuts every connection that listens, of both servers and of this process.
            app.database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%change_counter%'",
            );
        }
        let (here, there) = (round % 2, (round + 1) % 2);
        let since = Stopwatch::start();
        let expected = if round % 2 == 0 {
            operators[here]
                .json("PUT", "/hooks/no", &json!({"plugin": "no"}))
                .expect(201);
            422
        } else {
            operators[here]
                .send("DELETE", "/hooks/no", &[], None)
                .expect(200);
            201
        };
        // The change takes effect at once on the server that made it.
        assert_eq!(save(&clients[here]), expected, "round {round}");
        while save(&clients[there]) != expected {
            assert!(since.elapsed() < Duration::from_secs(1), "round {round}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn no_request_fails_while_bindings_change() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (acme, stop) = (acme.clone(), &stop);
                scope.spawn(move || {
                    let mut saved = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        acme.save(&format!("{writer} {saved}"), "t", 0, FIRST.trim())
                            .expect(201);
                        saved += 1;
                    }
                    saved
                })
            })
            .collect();
        for order in 0..10 {
            app.set("acme", "signer-tags", "signer-tags", |request| {
                request.order = order;
            })
            .unwrap();
            std::thread::sleep(Duration::from_millis(60));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let saved: u32 = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum();
        assert!(saved > 10, "{saved}");
    });
}

#[test]
fn one_tenants_slow_hooks_leave_turns_to_the_others() {
    let app = TestApp::start_with(|config| {
        config.hooks.max_concurrent = 4;
        config.hooks.max_concurrent_per_tenant = 2;
        config.hooks.queue_timeout_ms = 300;
    });
    let (slow, fast) = (app.tenant("slow"), app.tenant("fast"));
    app.hook("slow", "loop", &guest(LOOP), |request| {
        request.timeout_ms = Some(1000);
    });
    app.hook("fast", "fine", &guest(ACCEPT), |_| {});
    fast.save("warm", "t", 0, "x").expect(201);
    std::thread::scope(|scope| {
        let spinning: Vec<_> = (0..6)
            .map(|n| {
                let slow = slow.clone();
                scope.spawn(move || slow.save(&n.to_string(), "t", 0, "x").status)
            })
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        for n in 0..5 {
            fast.save(&n.to_string(), "t", 0, "x").expect(201);
        }
        let mut statuses: Vec<_> = spinning
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        statuses.sort_unstable();
        // Two ran until their deadline, and four waited for a turn until their queue timeout.
        assert_eq!(statuses, [429, 429, 429, 429, 500, 500]);
    });
}
