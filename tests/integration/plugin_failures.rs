//! The message of a plugin that breaks reaches its author and operators, and nobody else.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use sigpersist::plugins::{ShadowRequest, Which};
use sigpersist_model::plugin::Mode;

use crate::support::guest::{Guest, rejecting};
use crate::support::{Program, TestApp, eventually, run, sigpersist, temp_dir};

/// Message that the guests below log as an error, as the kits do, before they trap.
const LAST_WORDS: &str = "panic at src/lib.rs:7: no such tag";

/// Imports the log, and puts the message at address 2048.
const LOG: &str =
    r#"(import "sigpersist:hooks/log@1.1.0" "write" (func $log (param i32 i32 i32)))"#;

/// A component whose judge logs the message with this level, and then does this.
fn speaking(level: u32, then: &str) -> Vec<u8> {
    // The message is written by the code, since the module's data are given.
    let stores: String = LAST_WORDS
        .bytes()
        .enumerate()
        .map(|(place, byte)| {
            let at = 2048 + place;
            format!("(i32.store8 (i32.const {at}) (i32.const {byte}))")
        })
        .collect();
    let length = LAST_WORDS.len();
    let judge = format!(
        "{stores} (call $log (i32.const {level}) (i32.const 2048) (i32.const {length})) {then}"
    );
    Guest {
        definitions: LOG,
        judge: &judge,
        ..Guest::default()
    }
    .component()
}

fn breaking() -> Vec<u8> {
    speaking(3, "(unreachable)")
}

fn write_case(folder: &Path, verdict: &str) -> String {
    let cases = folder.join("cases");
    std::fs::create_dir_all(&cases).unwrap();
    let case = json!({"input": {"cms": "<a/>"}, "expected": {"verdict": verdict}});
    std::fs::write(cases.join("any.json"), case.to_string()).unwrap();
    cases.to_str().unwrap().to_owned()
}

/// Exit code, standard output and standard error of a command.
fn all_of(data_dir: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = sigpersist(data_dir, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn operators_read_why_a_hook_broke_and_its_clients_do_not() {
    let app = TestApp::start_with(|config| config.hooks.quarantine_failures = 3);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "breaks", &breaking(), |_| {});
    let said = format!("validate-save: it said: {LAST_WORDS} (wasm trap: wasm `unreachable`");

    let input = json!({"input": {"cms": "<a/>"}});
    let evaluated = operator.json("POST", "/hooks/evaluate", &input).expect(200);
    let failure = &evaluated.json["content"]["decisions"][0]["failure"];
    assert!(
        failure.as_str().unwrap().starts_with(&said),
        "{}",
        evaluated.text
    );

    for _ in 0..3 {
        let refused = acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
        assert!(!refused.text.contains("panic"), "{}", refused.text);
        assert!(!refused.text.contains("unreachable"), "{}", refused.text);
    }
    let recorded = operator.get("/hooks/decisions?limit=1").expect(200);
    let recorded = &recorded.json["content"]["decisions"][0];
    let failure = recorded["failure"].as_str().unwrap();
    assert!(failure.starts_with(&said), "{failure}");
    // The functions that were running are beside the reason, not in it.
    assert!(!failure.contains("backtrace"), "{failure}");
    assert!(
        !recorded["backtrace"].as_array().unwrap().is_empty(),
        "{recorded}"
    );

    let hook = operator.get("/hooks/breaks").expect(200);
    let reason = hook.json["content"]["hook"]["quarantine"]["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(reason.contains(LAST_WORDS), "{reason}");
    let refused = acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    assert!(!refused.text.contains("panic"), "{}", refused.text);
}

#[test]
fn errors_that_a_plugin_survives_are_not_the_reason_of_anything() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "speaks", &speaking(3, "(i32.const 1024)"), |_| {});
    acme.save("d", "t", 0, "x").expect(201);
    // A warning is not its last word.
    app.hook("acme", "speaks", &speaking(2, "(unreachable)"), |_| {});
    acme.save("e", "t", 0, "x").expect_error(500, "hook_failed");
    let recorded = operator.get("/hooks/decisions").expect(200);
    let failures = recorded.json["content"]["decisions"].as_array().unwrap();
    let failures: Vec<_> = failures.iter().map(|one| &one["failure"]).collect();
    let failure = failures[0].as_str().unwrap();
    assert!(
        failure.starts_with("validate-save: wasm trap:")
            && failure.contains("__builtin_trap")
            && failure.ends_with("logged no error before that says why"),
        "{failure}"
    );
    assert_eq!(*failures[1], Value::Null);
}

#[test]
fn the_message_comes_through_a_log_that_is_full() {
    let app = TestApp::start_with(|config| config.hooks.max_log_bytes = 20);
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "breaks", &breaking(), |_| {});
    acme.save("d", "t", 0, "x").expect_error(500, "hook_failed");
    let recorded = operator.get("/hooks/decisions").expect(200);
    let recorded = &recorded.json["content"]["decisions"][0];
    let failure = recorded["failure"].as_str().unwrap();
    assert!(failure.contains(LAST_WORDS), "{failure}");
    assert!(
        !recorded["log"].to_string().contains(LAST_WORDS),
        "{recorded}"
    );
}

#[test]
fn authors_read_the_log_as_it_comes_and_why_a_case_broke() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let file = folder.path().join("breaks.wasm");
    std::fs::write(&file, breaking()).unwrap();
    let file = file.to_str().unwrap();
    let accepted = write_case(folder.path(), "accepted");

    let (code, text, log) = all_of(&data_dir, &["plugin", "test", file, &accepted]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains(&format!(
            "the plugin says: failure: \"validate-save: it said: {LAST_WORDS} ("
        )),
        "{text}"
    );
    let line = format!("any: error: {LAST_WORDS}");
    assert!(log.starts_with(&line), "{log}");
    // It is not in the server's own log, too.
    assert_eq!(log.matches(LAST_WORDS).count(), 1, "{log}");

    // The log of a bench is that of the first run.
    let bench = ["plugin", "bench", file, &accepted, "--seconds", "1"];
    let (code, text, log) = all_of(&data_dir, &bench);
    assert_eq!(code, Some(0));
    assert!(
        text.contains(&format!(
            "any failed: validate-save: it said: {LAST_WORDS} ("
        )),
        "{text}"
    );
    assert_eq!(log.matches(&line).count(), 1, "{log}");

    // A plugin that can't even describe itself.
    let describe = Guest {
        definitions: LOG,
        describe: "(call $log (i32.const 3) (i32.const 768) (i32.const 6)) (unreachable)",
        ..Guest::default()
    };
    std::fs::write(file, describe.component()).unwrap();
    let (code, text, _) = all_of(&data_dir, &["plugin", "inspect", file]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("The component's `describe` failed: it said: a test (wasm trap:"),
        "{text}"
    );
}

#[test]
fn flags_that_a_build_lacks_are_named() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let file = folder.path().join("wasi.wasm");
    let wasi = r#"(component
        (import "wasi:cli/environment@0.2.12" (instance (export "f" (func)))))"#;
    std::fs::write(&file, wat::parse_str(wasi).unwrap()).unwrap();
    let inspect = ["plugin", "inspect", file.to_str().unwrap()];
    let (_, text, _) = all_of(&data_dir, &inspect);
    for words in [
        "`wasi:cli/environment@0.2.12`",
        "--stub-wasi",
        "wasm32-unknown-unknown",
        "disableFeatures",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let asynchronous = "(component (core func (canon context.get i32 0)))";
    std::fs::write(&file, wat::parse_str(asynchronous).unwrap()).unwrap();
    let (_, text, _) = all_of(&data_dir, &inspect);
    assert!(
        text.contains("--sync") && text.contains("asynchronous"),
        "{text}"
    );
}

#[test]
fn the_log_of_a_hook_is_shown_and_followed() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let file = folder.path().join("speaks.wasm");
    std::fs::write(&file, speaking(1, "(i32.const 1024)")).unwrap();
    run(&data_dir, &["tenant", "create", "acme"]);
    run(&data_dir, &["key", "add", "acme"]);
    run(
        &data_dir,
        &["plugin", "upload", "speaks", file.to_str().unwrap()],
    );
    run(
        &data_dir,
        &["hook", "set", "acme", "speaks", "--plugin", "speaks"],
    );
    let server = Program::serve(&data_dir);
    let acme = server.client(&run(&data_dir, &["token", "issue", "acme"]));
    assert!(run(&data_dir, &["hook", "logs", "acme", "speaks"]).contains("say nothing"));
    let (code, _, error) = all_of(&data_dir, &["hook", "logs", "acme", "speak"]);
    assert!(code == Some(1) && error.contains("no such hook"), "{error}");

    acme.save("before", "t", 0, "x").expect(201);
    let shown = run(&data_dir, &["hook", "logs", "acme", "speaks"]);
    assert!(
        shown.contains(&format!("before/t log, info: {LAST_WORDS}")),
        "{shown}"
    );

    let output = folder.path().join("followed");
    let followed = || std::fs::read_to_string(&output).unwrap();
    let mut command = sigpersist(
        &data_dir,
        &["hook", "logs", "acme", "speaks", "-f", "--limit", "1"],
    );
    let mut following = command
        .stdout(Stdio::from(std::fs::File::create(&output).unwrap()))
        .spawn()
        .unwrap();
    eventually(|| followed().contains("before/t"));
    acme.save("after", "t", 0, "x").expect(201);
    eventually(|| followed().contains(&format!("after/t log, info: {LAST_WORDS}")));
    following.kill().unwrap();
    following.wait().unwrap();
    assert_eq!(followed().lines().count(), 2, "{}", followed());
    assert!(server.stop().success());
}

#[test]
fn the_log_of_a_hook_says_which_rejections_had_an_effect() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let rejects = Guest {
        judge: &rejecting('A'),
        ..Guest::default()
    };
    let accepts = app.upload("h", &Guest::default().component()).unwrap();
    app.hook("acme", "h", &rejects.component(), |_| {});
    acme.save("enforced", "t", 0, "x")
        .expect_error(422, "hook_rejected");
    app.set("acme", "h", "h", |request| request.mode = Mode::Monitor)
        .unwrap();
    acme.save("monitored", "t", 0, "x").expect(201);
    app.set("acme", "h", "h", |request| {
        request.revision = Which::This(accepts.sha256);
        request.shadow = Some(ShadowRequest::default());
    })
    .unwrap();
    acme.save("beside", "t", 0, "x").expect(201);
    let text = app.database.run(&["hook", "logs", "acme", "h"]);
    for line in [
        "enforced/t rejected: A: ",
        "monitored/t monitor mode, would reject: A: ",
        "beside/t shadow, would reject: A: ",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let told = app
        .database
        .run(&["--json", "hook", "logs", "acme", "h", "--limit", "10"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let each = |name: &str| {
        let decisions = told["decisions"].as_array().unwrap().iter();
        decisions
            .map(|decision| decision[name].clone())
            .collect::<Vec<_>>()
    };
    // The shadow's decision is before its hook's in the list of newest ones, so it is the last here.
    assert_eq!(each("mode"), ["enforce", "monitor", "enforce", "monitor"]);
    assert_eq!(each("shadow"), [false, false, false, true]);
}
