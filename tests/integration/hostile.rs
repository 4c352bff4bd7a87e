//! Hostile plugins, each paired with a harmless one: the limit that stops each, and no effect on other tenants.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::guest::{Guest, LOOP};
use crate::support::{Client, SIGNER_TAGS, Stopwatch, TestApp};

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];
/// Maximum size of a component in one of the tests.
const MOST: usize = 5000;
const SECOND: Duration = Duration::from_secs(1);

/// A plugin body that obeys a limit, one that violates it, and the failure that is recorded then.
struct Pair {
    what: &'static str,
    judge: &'static str,
    definitions: &'static str,
    obeys: &'static str,
    violates: &'static str,
    failure: &'static str,
}

const LOG: &str =
    r#"(import "sigpersist:hooks/log@1.1.0" "write" (func $log (param i32 i32 i32)))"#;
const READ: &str =
    r#"(import "sigpersist:hooks/payload@1.1.0" "read" (func $read (param i64 i32 i32)))"#;

const PAIRS: [Pair; 12] = [
    Pair {
        what: "a loop",
        judge: "save-validator",
        definitions: "(global $i (mut i32) (i32.const 1000000))",
        obeys: "(loop (global.set $i (i32.sub (global.get $i) (i32.const 1))) (br_if 0 (global.get $i))) (i32.const 1024)",
        violates: LOOP,
        failure: "its limit of 100 ms (timeout_ms)",
    },
    Pair {
        what: "recursion",
        judge: "save-validator",
        definitions: "(func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))",
        obeys: "(call $deep (i32.const 1000)) (i32.const 1024)",
        violates: "(call $deep (i32.const -1)) (i32.const 1024)",
        failure: "stack",
    },
    Pair {
        what: "memory",
        judge: "save-validator",
        definitions: "",
        obeys: "(drop (memory.grow (i32.const 500))) (i32.const 1024)",
        violates: "(drop (memory.grow (i32.const 600))) (i32.const 1024)",
        failure: "the limit of 33554432 bytes of memory (memory_bytes)",
    },
    Pair {
        what: "tables",
        judge: "save-validator",
        definitions: "(table $t 1 funcref)",
        obeys: "(drop (table.grow $t (ref.null func) (i32.const 10000))) (i32.const 1024)",
        violates: "(drop (table.grow $t (ref.null func) (i32.const 20000))) (i32.const 1024)",
        failure: "the limit of 20000 table elements (hooks.max_table_elements)",
    },
    Pair {
        what: "fuel",
        judge: "save-validator",
        definitions: "(global $i (mut i32) (i32.const 0))",
        obeys: "(i32.const 1024)",
        // The hook's own fuel limit stops the loop before the deadline, unless the machine is very slow.
        violates: LOOP,
        failure: "its limit of 100000 fuel (fuel)",
    },
    Pair {
        what: "a message of 100 KB and one of 2 MB",
        judge: "tagger",
        definitions: "",
        // Rejects with a code of this length, which the record shortens.
        obeys: "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 131072)) (i32.store (i32.const 2056) (i32.const 100000)) (i32.const 2048)",
        violates: "(drop (memory.grow (i32.const 64))) (i32.store8 (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const 131072)) (i32.store (i32.const 2056) (i32.const 2000000)) (i32.const 2048)",
        failure: "the limit of 1048576 bytes of one host call or result (hooks.max_hostcall_bytes)",
    },
    Pair {
        what: "a few tags and very many",
        judge: "tagger",
        definitions: "",
        // The list's elements are in zeroed memory: empty tags, which are not allowed.
        obeys: "(i32.const 1024)",
        violates: "(drop (memory.grow (i32.const 400))) (i32.store (i32.const 2052) (i32.const 262144)) (i32.store (i32.const 2056) (i32.const 3000000)) (i32.const 2048)",
        failure: "the limit of 1048576 bytes of one host call or result (hooks.max_hostcall_bytes)",
    },
    Pair {
        what: "a log within its bound and a flood of calls",
        judge: "save-validator",
        definitions: LOG,
        // Log lines over the limit of bytes are dropped without a failure.
        obeys: "(call $log (i32.const 1) (i32.const 131072) (i32.const 60000)) (i32.const 1024)",
        violates: "(loop (call $log (i32.const 1) (i32.const 768) (i32.const 0)) (br 0)) (unreachable)",
        failure: "the limit of 10000 host calls (hooks.max_hostcalls)",
    },
    Pair {
        what: "reading the signature and reading it for ever",
        judge: "save-validator",
        definitions: READ,
        obeys: "(call $read (i64.const 0) (i32.const 100000) (i32.const 4096)) (i32.const 1024)",
        violates: "(loop (call $read (i64.const 0) (i32.const 100000) (i32.const 4096)) (br 0)) (unreachable)",
        failure: "the limit of 10000 host calls (hooks.max_hostcalls)",
    },
    Pair {
        what: "a division and one by zero",
        judge: "save-validator",
        definitions: "",
        obeys: "(drop (i32.div_u (i32.const 1) (i32.const 1))) (i32.const 1024)",
        violates: "(drop (i32.div_u (i32.const 1) (i32.const 0))) (i32.const 1024)",
        failure: "divide by zero",
    },
    Pair {
        what: "a panic, which is an unreachable",
        judge: "save-validator",
        definitions: "",
        obeys: "(i32.const 1024)",
        violates: "(unreachable)",
        failure: "unreachable",
    },
    Pair {
        what: "a result outside of its memory",
        judge: "save-validator",
        definitions: "",
        obeys: "(i32.const 1024)",
        violates: "(i32.const 0x7ffffff0)",
        failure: "pointer",
    },
];

fn bind(app: &TestApp, pair: &Pair, judge: &str) {
    let component = Guest {
        judges: &[pair.judge],
        judge,
        definitions: pair.definitions,
        ..Guest::default()
    }
    .component();
    app.hook("evil", "plugin", &component, |request| {
        // Only the first pair may reach its deadline, however slow the machine is.
        request.timeout_ms = Some(if pair.what == "a loop" { 100 } else { 5_000 });
        if pair.what == "fuel" {
            request.fuel = Some(100_000);
        }
    });
}

/// Saves for another tenant, which has a hook of its own, and asserts that this is quick.
#[track_caller]
fn other_saves(other: &Client, document: &str) {
    let since = Stopwatch::start();
    other.save(document, "t", 0, "x").expect(201);
    assert!(
        since.elapsed() < SECOND,
        "{document}: {:?}",
        since.elapsed()
    );
}

#[test]
fn each_is_stopped_by_its_limit_and_nobody_else_notices() {
    let app = TestApp::start();
    let (evil, other) = (app.tenant("evil"), app.tenant("other"));
    let operator = app.operator("evil");
    app.hook("other", "signer-tags", SIGNER_TAGS, |_| {});
    for (number, pair) in PAIRS.iter().enumerate() {
        let document = &format!("pair-{number}");
        bind(&app, pair, pair.violates);
        let since = Stopwatch::start();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                evil.save(document, "t", 0, "x")
                    .expect_error(500, "hook_failed");
            });
            other_saves(&other, &format!("{document} meanwhile"));
        });
        assert!(
            since.elapsed() < 5 * SECOND,
            "{}: {:?}",
            pair.what,
            since.elapsed()
        );
        let last = operator.get("/hooks/decisions?limit=1").expect(200);
        let failure = last.json["content"]["decisions"][0]["failure"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(failure.contains(pair.failure), "{}: {failure}", pair.what);
        evil.read(document, "t")
            .expect_error(404, "signature_not_found");
        // The harmless twin passes, or rejects with its own message.
        bind(&app, pair, pair.obeys);
        let twin = evil.save(document, "t", 0, "x");
        match number {
            5 => drop(twin.expect_error(422, "hook_rejected")),
            _ => drop(twin.expect(201)),
        }
        other_saves(&other, document);
    }
}

#[test]
fn what_is_no_honest_component_is_refused_at_upload_and_the_next_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    // A component of the maximum size, padded with a custom section, which has no effect.
    let mut fits = Guest::default().component();
    let rest = MOST - fits.len() - 5;
    fits.extend([
        0,
        0x80 | u8::try_from((rest + 2) % 128).unwrap(),
        u8::try_from((rest + 2) / 128).unwrap(),
        1,
        b'n',
    ]);
    fits.resize(MOST, 0);
    let app = TestApp::start_with(|config| {
        config.hooks.max_component_bytes = MOST;
        config.hooks.max_timeout_ms = 200;
        config.hooks.cache_dir = Some(folder.path().join("compiled"));
    });
    app.tenant("evil");
    let other = app.tenant("other");
    let operator = app.operator("evil");
    let put = |component: Vec<u8>| operator.send("PUT", "/plugins/p", &WASM, Some(component));
    put(fits.clone()).expect(201);
    // A compiled file of the server is not a component, either.
    let compiled = folder
        .path()
        .join("compiled")
        .read_dir()
        .unwrap()
        .next()
        .unwrap();
    let compiled = std::fs::read(compiled.unwrap().path()).unwrap();
    let elf = compiled
        .windows(4)
        .position(|bytes| bytes == b"\x7fELF")
        .unwrap();
    let precompiled = compiled[elf..].to_vec();
    let sockets = r#"(component (import "wasi:sockets/instance-network@0.2.0" (instance)))"#;
    let endless = Guest {
        validate: LOOP,
        ..Guest::default()
    };
    let trapping = Guest {
        validate: "(unreachable)",
        ..Guest::default()
    };
    let mut longer = fits.clone();
    longer.push(0);
    for (what, component, why) in [
        (
            "WASI",
            wat::parse_str(sockets).unwrap(),
            "imports `wasi:sockets/instance-network@0.2.0`",
        ),
        (
            "a core module",
            Guest::default().core_module(),
            "core WebAssembly module",
        ),
        (
            "text",
            b"(component)".to_vec(),
            "not a WebAssembly component",
        ),
        ("a precompiled artefact", precompiled, ""),
        (
            "truncated bytes",
            fits[..fits.len() / 2].to_vec(),
            "not valid",
        ),
        ("one byte over the cap", longer, "hooks.max_component_bytes"),
        (
            "unreachable in validate-config",
            trapping.component(),
            "unreachable",
        ),
        (
            "a validate-config that never ends",
            endless.component(),
            "its limit of 200 ms",
        ),
    ] {
        // A compiled artefact may be larger than the component.
        let is_large = component.len() > app.app.config.hooks.max_component_bytes;
        let refused = put(component);
        let status = if is_large { 413 } else { 422 };
        assert_eq!(refused.status, status, "{what}: {}", refused.text);
        assert!(refused.text.contains(why), "{what}: {}", refused.text);
        put(fits.clone()).expect(200);
        other_saves(&other, what);
    }
}

#[test]
fn a_component_that_compiles_slowly_keeps_nobody_waiting() {
    let app = TestApp::start();
    app.tenant("evil");
    let other = app.tenant("other");
    app.hook("other", "signer-tags", SIGNER_TAGS, |_| {});
    other_saves(&other, "warm");
    let operator = app.operator("evil");
    let put = |functions: usize| {
        let body =
            "(i32.const 1) (i32.const 2) (i32.add) (i32.const 3) (i32.mul) (drop) ".repeat(50);
        let functions: String = (0..functions).map(|_| format!("(func {body})")).collect();
        let guest = Guest {
            definitions: &functions,
            ..Guest::default()
        };
        let since = Instant::now();
        operator
            .send("PUT", "/plugins/p", &WASM, Some(guest.component()))
            .expect(201);
        since.elapsed()
    };
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| put(1_500));
        let mut saves = 0;
        while !slow.is_finished() {
            other_saves(&other, &format!("meanwhile {saves}"));
            saves += 1;
        }
        let slow = slow.join().unwrap();
        assert!(saves > 0, "{slow:?}");
    });
    let since = Stopwatch::start();
    put(6);
    assert!(since.elapsed() < SECOND);
}

#[test]
fn a_monitored_or_forgiven_hook_may_do_all_that_and_saves_go_on() {
    let app = TestApp::start();
    let evil = app.tenant("evil");
    for (number, pair) in PAIRS.iter().enumerate() {
        let component = Guest {
            judges: &[pair.judge],
            judge: pair.violates,
            definitions: pair.definitions,
            ..Guest::default()
        }
        .component();
        app.hook("evil", "plugin", &component, |request| {
            request.timeout_ms = Some(100);
            if number % 2 == 0 {
                request.mode = sigpersist_model::plugin::Mode::Monitor;
            } else {
                request.on_failure = sigpersist_model::plugin::OnFailure::Allow;
            }
        });
        evil.save(pair.what, "t", 0, "x").expect(201);
    }
    let operator = app.operator("evil");
    let failed = operator.get("/hooks/decisions?verdict=failed").expect(200);
    let failed: &Vec<Value> = failed.json["content"]["decisions"].as_array().unwrap();
    assert_eq!(failed.len(), PAIRS.len());
    assert!(
        failed
            .iter()
            .all(|decision| decision["outcome"] == json!("accepted"))
    );
}
