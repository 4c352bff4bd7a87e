//! The commands of plugin authors and operators: those that need only a component, and those that change or try hooks.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::guest::Guest;
use crate::support::{
    COUNTERSIGNED, DROPPED, FIRST, Program, REQUIRE_COUNTERSIGNATURE, run, sigpersist, temp_dir,
};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");

/// The path of an example's component.
fn example(name: &str) -> String {
    format!("{PLUGINS}/{name}/{name}.wasm")
}

/// The JSON output of a command that must succeed.
#[track_caller]
fn told(data_dir: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&run(data_dir, &arguments)).unwrap()
}

/// Standard output and standard error of a command that must fail.
#[track_caller]
fn failed(data_dir: &Path, arguments: &[&str]) -> (String, String) {
    let output = sigpersist(data_dir, arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}

/// A directory of test cases: one that passes and, on demand, one that fails.
fn cases(folder: &Path, with_failing: bool) -> String {
    let cases = if with_failing { "failing" } else { "passing" };
    let cases = folder.join(cases);
    write(&cases, "first.b64", FIRST);
    let case = |verdict: &str, tags: &Value| {
        json!({
            "input": {"cms_file": "first.b64", "tags": ["draft"]},
            "expected": {"verdict": verdict, "tags": tags},
        })
        .to_string()
    };
    let tags = json!([
        "draft",
        "iin:123456789011",
        "bin:123456789021",
        "signer:АХМЕТОВА АЙГЕРІМ"
    ]);
    write(&cases, "derives.json", case("accepted", &tags));
    if with_failing {
        write(&cases, "refuses.json", case("rejected", &tags));
    }
    cases.to_str().unwrap().to_owned()
}

#[test]
fn a_component_is_inspected_without_a_database() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let file = example("signer-tags");
    let text = run(&data_dir, &["plugin", "inspect", &file]);
    for words in [
        "component",
        "sigpersist:hooks/tagger@1.1.0",
        "admitted:  yes",
    ] {
        assert!(text.contains(words), "{text}");
    }
    let facts = told(&data_dir, &["plugin", "inspect", &file]);
    assert_eq!(facts["admitted"], true);
    assert_eq!(facts["judges"], json!(["save"]));
    assert_eq!(facts["settings_required"], false);
    let warnings = facts["warnings"].as_array().unwrap();
    // On a busy machine, it may take long to compile.
    let mut warnings = warnings.iter().map(|warning| warning.as_str().unwrap());
    assert!(
        warnings.all(|warning| warning.contains("ms to compile")),
        "{facts}"
    );
    assert_eq!(facts["sha256"].as_str().unwrap().len(), 64);

    // Near a limit, and over it.
    let size = std::fs::metadata(&file).unwrap().len();
    let limited = |limit: u64| {
        let mut command = sigpersist(&data_dir, &["plugin", "inspect", &file]);
        command.env("SIGPERSIST_HOOKS_MAX_COMPONENT_BYTES", limit.to_string());
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, text) = limited(size + 1);
    assert!(
        code == Some(0) && text.contains("warning:   The component has"),
        "{text}"
    );
    let (code, text) = limited(size - 1);
    assert!(
        code == Some(1) && text.contains("admitted:  no. The component has"),
        "{text}"
    );

    let clock = Guest {
        imports: "import clock;",
        definitions: r#"(import "test:guest/clock" "now" (func (result i64)))"#,
        ..Guest::default()
    };
    let clock = write(folder.path(), "clock.wasm", clock.component());
    let (text, error) = failed(&data_dir, &["plugin", "inspect", clock.to_str().unwrap()]);
    assert!(
        text.contains("no. The component imports `test:guest/clock`")
            && error.contains("would not admit"),
        "{text}{error}"
    );
    let core = write(folder.path(), "core.wasm", Guest::default().core_module());
    let (text, error) = failed(&data_dir, &["plugin", "inspect", core.to_str().unwrap()]);
    assert!(
        text.contains("core module") && error.contains("sigpersist plugin pack"),
        "{text}{error}"
    );
    assert!(!data_dir.exists(), "no database was made");
}

#[test]
fn cases_are_run_and_their_differences_shown() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let file = example("signer-tags");
    let passing = cases(folder.path(), false);
    assert_eq!(
        run(&data_dir, &["plugin", "test", &file, &passing]),
        "ok derives\n1 case passed."
    );
    let failing = cases(folder.path(), true);
    let (text, error) = failed(&data_dir, &["plugin", "test", &file, &failing]);
    assert_eq!(
        text,
        "ok derives\nFAILED refuses\n    verdict\n      - expected \"rejected\"\n      + got      \"accepted\"\n1 of 2 cases failed.\n"
    );
    assert!(error.contains("fix the plugin"), "{error}");
    let (text, _) = failed(&data_dir, &["--json", "plugin", "test", &file, &failing]);
    let facts: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&facts["passed"], &facts["failed"]), (&json!(1), &json!(1)));
    assert_eq!(
        facts["cases"][1]["differences"],
        json!([{"path": "verdict", "expected": "rejected", "got": "accepted"}])
    );

    // A case that can't be run counts as failed; a file that is not a case ends the command.
    let odd = folder.path().join("odd");
    let delete = json!({"input": {"operation": "delete", "cms": "eA=="}, "expected": {"verdict": "accepted"}});
    write(&odd, "delete.json", delete.to_string());
    let odd = odd.to_str().unwrap();
    let (text, _) = failed(&data_dir, &["plugin", "test", &file, odd]);
    assert!(text.contains("does not judge a delete"), "{text}");
    write(
        Path::new(odd),
        "typo.json",
        r#"{"input": {"cmss": "x"}, "expected": {}}"#,
    );
    let (_, error) = failed(&data_dir, &["plugin", "test", &file, odd]);
    assert!(
        error.contains("typo.json") && error.contains("cmss"),
        "{error}"
    );
    let nowhere = folder.path().join("nowhere");
    let (_, error) = failed(
        &data_dir,
        &["plugin", "test", &file, nowhere.to_str().unwrap()],
    );
    assert!(error.contains("can't be read"), "{error}");
    assert!(!data_dir.exists(), "no database was made");
}

#[test]
fn what_a_plugin_takes_is_measured() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let file = example("require-countersignature");
    let facts = told(
        &data_dir,
        &["plugin", "bench", &file, "--seconds", "1", "--threads", "2"],
    );
    let names: Vec<_> = facts["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| &case["name"])
        .collect();
    assert_eq!(names, ["save", "countersign"]);
    for case in facts["cases"].as_array().unwrap() {
        assert_eq!(case["verdict"], "accepted");
        assert!(case["runs"].as_u64().unwrap() > 1);
        assert!(case["fuel"].as_u64().unwrap() > 100 && case["memory_bytes"].as_u64().unwrap() > 0);
        assert!(case["microseconds"]["p50"].as_u64() <= case["microseconds"]["p99"].as_u64());
    }
    let cases = cases(folder.path(), false);
    let text = run(
        &data_dir,
        &[
            "plugin",
            "bench",
            &example("signer-tags"),
            &cases,
            "--seconds",
            "1",
        ],
    );
    assert!(
        text.contains("p99 µs") && text.contains("derives"),
        "{text}"
    );
    assert!(!data_dir.exists(), "no database was made");
}

#[test]
fn a_core_module_is_packed_and_then_admitted() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let core = write(folder.path(), "guest.wasm", Guest::default().core_module());
    let core = core.to_str().unwrap();
    let packed = told(&data_dir, &["plugin", "pack", core]);
    let component = folder.path().join("guest.component.wasm");
    assert_eq!(packed["file"], component.to_str().unwrap());
    assert_eq!(packed["exports"], json!(["lifecycle", "save-validator"]));
    assert_eq!(packed["description"], "a test");
    let component = component.to_str().unwrap();
    assert_eq!(
        told(&data_dir, &["plugin", "inspect", component])["sha256"],
        packed["sha256"]
    );
    let world = "package my:plugin; world mine { include sigpersist:hooks/host@1.1.0;
        export sigpersist:hooks/lifecycle@1.1.0; export sigpersist:hooks/save-validator@1.1.0; }";
    let world = write(folder.path(), "world.wit", world);
    let chosen = folder.path().join("chosen.wasm");
    let arguments = [
        "plugin",
        "pack",
        core,
        "-o",
        chosen.to_str().unwrap(),
        "--wit",
        world.to_str().unwrap(),
        "--world",
        "mine",
    ];
    assert!(run(&data_dir, &arguments).contains("sigpersist plugin upload NAME"));

    let (_, error) = failed(&data_dir, &["plugin", "pack", component]);
    assert!(error.contains("already a component"), "{error}");
    let wasi = Guest {
        definitions: r#"(import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))"#,
        ..Guest::default()
    };
    let wasi = write(folder.path(), "wasi.wasm", wasi.core_module());
    let (_, error) = failed(&data_dir, &["plugin", "pack", wasi.to_str().unwrap()]);
    assert!(
        error.contains("imports WASI") && error.contains("wasm32-unknown-unknown"),
        "{error}"
    );
    // A component that would trap at once is not written.
    let traps = Guest {
        describe: "(unreachable)",
        ..Guest::default()
    };
    let traps = write(folder.path(), "traps.wasm", traps.core_module());
    let (_, error) = failed(&data_dir, &["plugin", "pack", traps.to_str().unwrap()]);
    assert!(error.contains("was not written"), "{error}");
    assert!(!folder.path().join("traps.component.wasm").exists());
    assert!(!data_dir.exists(), "no database was made");
}

#[test]
fn plugins_are_uploaded_with_cases_shown_and_deleted() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let file = example("signer-tags");
    run(&data_dir, &["tenant", "create", "acme"]);
    assert!(run(&data_dir, &["plugin", "list"]).contains("plugin upload"));

    let failing = cases(folder.path(), true);
    let upload = ["plugin", "upload", "tags", &file, "--cases", &failing];
    let (_, error) = failed(&data_dir, &upload);
    assert!(
        error.contains("nothing was stored")
            && error.contains("refuses\n  verdict: expected \"rejected\", got \"accepted\""),
        "{error}"
    );
    let passing = cases(folder.path(), false);
    let uploaded = told(
        &data_dir,
        &["plugin", "upload", "tags", &file, "--cases", &passing],
    );
    assert_eq!(
        (&uploaded["cases"], &uploaded["changed"]),
        (&json!(1), &json!(true))
    );
    let sha256 = uploaded["sha256"].as_str().unwrap();
    let own = example("require-countersignature");
    run(
        &data_dir,
        &["plugin", "upload", "own", &own, "--tenant", "acme"],
    );

    let names = |arguments: &[&str]| {
        let plugins = told(&data_dir, arguments)["plugins"].clone();
        let plugins = plugins.as_array().unwrap().iter();
        plugins
            .map(|plugin| {
                format!(
                    "{}/{}",
                    plugin["owner"].as_str().unwrap(),
                    plugin["name"].as_str().unwrap()
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&["plugin", "list"]), ["platform/tags"]);
    let of_acme = names(&["plugin", "list", "--tenant", "acme"]);
    assert!(
        of_acme.contains(&"tenant/own".to_owned()) && of_acme.len() == 2,
        "{of_acme:?}"
    );
    let shown = told(&data_dir, &["plugin", "show", "tags"]);
    assert_eq!(shown["revisions"][0]["sha256"], sha256);
    assert_eq!(shown["revisions"][0]["uploaded_by"], "command line");
    assert!(run(&data_dir, &["plugin", "show", "tags"]).contains(sha256));

    let copy = folder.path().join("copy.wasm");
    let copy = copy.to_str().unwrap();
    let download = ["plugin", "download", "own", "-o", copy, "--tenant", "acme"];
    assert!(run(&data_dir, &download).contains("Wrote the revision"));
    assert_eq!(std::fs::read(copy).unwrap(), REQUIRE_COUNTERSIGNATURE);
    run(
        &data_dir,
        &["plugin", "download", "tags", sha256, "-o", copy],
    );
    let nothing = "0".repeat(64);
    let (_, error) = failed(
        &data_dir,
        &["plugin", "download", "tags", &nothing, "-o", copy],
    );
    assert!(
        error.contains("no such revision") && error.contains("plugin show"),
        "{error}"
    );

    run(
        &data_dir,
        &["hook", "set", "acme", "tags", "--plugin", "tags"],
    );
    let (_, error) = failed(&data_dir, &["plugin", "delete", "tags"]);
    assert!(error.contains("acme/tags"), "{error}");
    run(&data_dir, &["hook", "delete", "acme", "tags"]);
    assert!(run(&data_dir, &["plugin", "delete", "tags"]).contains("Deleted"));
    let (_, error) = failed(&data_dir, &["plugin", "delete", "tags"]);
    assert!(
        error.contains("no such plugin") && error.contains("sigpersist plugin list"),
        "{error}"
    );
    let none_of_platforms = run(&data_dir, &["plugin", "list"]);
    assert!(
        none_of_platforms.contains("The platform has no plugins")
            && none_of_platforms.contains("plugin list --tenant TENANT"),
        "{none_of_platforms}"
    );
    run(&data_dir, &["plugin", "delete", "own", "--tenant", "acme"]);
}

#[test]
fn hooks_are_bound_shown_changed_and_rolled_back() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    run(&data_dir, &["tenant", "create", "acme"]);
    for name in ["signer-tags", "require-countersignature"] {
        run(&data_dir, &["plugin", "upload", name, &example(name)]);
    }
    assert!(run(&data_dir, &["hook", "list", "acme"]).contains("sigpersist hook set acme"));
    let settings = write(
        folder.path(),
        "settings.json",
        r#"{"prefixes": {"iin": "id:"}}"#,
    );
    let set = told(
        &data_dir,
        &[
            "hook",
            "set",
            "acme",
            "tags",
            "--plugin",
            "signer-tags",
            "--if-match",
            "0",
            "--settings-file",
            settings.to_str().unwrap(),
            "--shadow",
            "latest",
            "--shadow-settings",
            "{}",
            "--memory-bytes",
            "20000000",
            "--fuel",
            "1000000",
        ],
    );
    assert_eq!(set["created"], true);
    assert_eq!(set["settings"], json!({"prefixes": {"iin": "id:"}}));
    assert_eq!(set["shadow"]["settings"], json!({}));
    assert_eq!(
        (&set["memory_bytes"], &set["fuel"]),
        (&json!(20_000_000), &json!(1_000_000))
    );
    let revision = set["revision"].as_str().unwrap();
    let again = [
        "hook",
        "set",
        "acme",
        "tags",
        "--plugin",
        "signer-tags",
        "--if-match",
    ];
    let with = |number: &'static str| again.iter().copied().chain([number]).collect::<Vec<_>>();
    let (_, error) = failed(&data_dir, &with("7"));
    assert!(error.contains("the hook's number is now 1"), "{error}");
    let by_digest: Vec<_> = with("1")
        .into_iter()
        .chain(["--revision", revision, "--disabled"])
        .collect();
    assert!(run(&data_dir, &by_digest).contains("does not run"));
    let shown = told(&data_dir, &["hook", "show", "acme", "tags"]);
    assert_eq!(
        (&shown["number"], &shown["enabled"]),
        (&json!(2), &json!(false))
    );
    assert!(run(&data_dir, &["hook", "show", "acme", "tags"]).contains(": disabled."));

    run(
        &data_dir,
        &[
            "hook",
            "set",
            "acme",
            "counter",
            "--plugin",
            "require-countersignature",
            "--operation",
            "save",
            "--order",
            "5",
        ],
    );
    let (_, error) = failed(
        &data_dir,
        &[
            "hook",
            "set",
            "acme",
            "x",
            "--plugin",
            "signer-tags",
            "--operation",
            "delete",
        ],
    );
    assert!(
        error.contains("save") || error.contains("tagger"),
        "{error}"
    );
    let (_, error) = failed(
        &data_dir,
        &[
            "hook",
            "set",
            "acme",
            "x",
            "--plugin",
            "signer-tags",
            "--settings",
            r#"{"nope": 1}"#,
        ],
    );
    assert!(
        error.contains("nope") && error.contains("fix the settings"),
        "{error}"
    );
    let names = |value: &Value| {
        let hooks = value["hooks"].as_array().unwrap().iter();
        hooks
            .map(|hook| hook["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&told(&data_dir, &["hook", "list", "acme"])),
        ["tags", "counter"]
    );
    let ordered = told(&data_dir, &["hook", "order", "acme", "counter", "tags"]);
    assert_eq!(names(&ordered), ["counter", "tags"]);
    let (_, error) = failed(&data_dir, &["hook", "order", "acme", "counter"]);
    assert!(error.contains("counter, tags"), "{error}");

    let first = told(
        &data_dir,
        &["hook", "rollback", "acme", "tags", "--to", "1"],
    );
    assert_eq!(
        (&first["number"], &first["enabled"]),
        (&json!(4), &json!(true))
    );
    assert!(
        run(&data_dir, &["hook", "rollback", "acme", "tags"])
            .contains(", again. This is its binding")
    );
    let history = told(&data_dir, &["hook", "history", "acme", "tags"]);
    let numbers = history["bindings"].as_array().unwrap().iter();
    let numbers: Vec<_> = numbers
        .map(|binding| (binding["number"].as_u64(), binding["in_force"].as_bool()))
        .collect();
    let expected = [5, 4, 3, 2, 1].map(|number| (Some(number), Some(number == 5)));
    assert_eq!(numbers, expected);
    let text = run(
        &data_dir,
        &["hook", "history", "acme", "tags", "--limit", "1"],
    );
    assert!(
        text.contains("command line") && text.contains("in force") && text.contains("--limit"),
        "{text}"
    );
    let text = run(&data_dir, &["hook", "diff", "acme", "tags", "1", "2"]);
    assert!(
        text.contains("From binding 1 to binding 2:")
            && text.contains("~ /enabled: true → false")
            && text.contains(r#"- /settings/prefixes: {"iin":"id:"}"#),
        "{text}"
    );
    let diff = told(&data_dir, &["hook", "diff", "acme", "tags", "5"]);
    assert_eq!((&diff["to"], &diff["changes"]), (&json!(5), &json!([])));
    assert!(run(&data_dir, &["hook", "diff", "acme", "tags", "5"]).contains("are the same"));
    let (_, error) = failed(
        &data_dir,
        &["hook", "rollback", "acme", "tags", "--to", "99"],
    );
    assert!(error.contains("no such binding"), "{error}");
    assert!(run(&data_dir, &["hook", "release", "acme", "tags"]).contains("was not quarantined"));
    assert!(run(&data_dir, &["hook", "delete", "acme", "tags"]).contains("Removed"));
    let (_, error) = failed(&data_dir, &["hook", "show", "acme", "tags"]);
    assert!(
        error.contains("no such hook") && error.contains("hook list acme"),
        "{error}"
    );
}

#[test]
fn hooks_are_tried_and_their_decisions_read_beside_a_server() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    run(&data_dir, &["tenant", "create", "acme"]);
    run(&data_dir, &["key", "add", "acme"]);
    for name in ["signer-tags", "require-countersignature"] {
        run(&data_dir, &["plugin", "upload", name, &example(name)]);
    }
    run(
        &data_dir,
        &["hook", "set", "acme", "tags", "--plugin", "signer-tags"],
    );
    run(
        &data_dir,
        &[
            "hook",
            "set",
            "acme",
            "counter",
            "--plugin",
            "require-countersignature",
            "--order",
            "1",
        ],
    );
    let server = Program::serve(&data_dir);
    let acme = server.client(&run(&data_dir, &["token", "issue", "acme"]));
    for document in ["a", "b", "c"] {
        acme.save(document, "t", 0, FIRST.trim()).expect(201);
    }
    acme.save("a", "t", 1, COUNTERSIGNED.trim()).expect(201);
    acme.save("a", "t", 2, DROPPED.trim())
        .expect_error(422, "hook_rejected");

    // An evaluation as the third version of a thread.
    write(folder.path(), "dropped.b64", DROPPED);
    let input = json!({"document": "a", "thread": "t", "cms_file": "dropped.b64"});
    let input = write(folder.path(), "input.json", input.to_string());
    let input = input.to_str().unwrap();
    let evaluated = told(&data_dir, &["hook", "evaluate", "acme", input]);
    assert_eq!(evaluated["outcome"], "rejected");
    assert_eq!(evaluated["decisions"][1]["code"], "signer-dropped");
    let text = run(&data_dir, &["hook", "evaluate", "acme", input]);
    assert!(
        text.contains("It would be rejected.")
            && text.contains("counter: rejected: signer-dropped"),
        "{text}"
    );
    let tried = told(
        &data_dir,
        &[
            "hook",
            "evaluate",
            "acme",
            input,
            "--hook",
            "tags",
            "--settings",
            r#"{"prefixes": {"iin": "id:"}}"#,
        ],
    );
    assert_eq!(tried["tags"][0], "id:123456789022");
    let (_, error) = failed(
        &data_dir,
        &["hook", "evaluate", "acme", input, "--settings", "{}"],
    );
    assert!(error.contains("--hook"), "{error}");

    let backtest = [
        "hook",
        "backtest",
        "acme",
        "--hook",
        "counter",
        "--settings",
        r#"{"min_signers": 2}"#,
    ];
    let report = told(&data_dir, &backtest);
    assert_eq!(
        (&report["examined"], &report["unchanged"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(report["changes"][0]["count"], 3);
    assert_eq!(report["next"], Value::Null);
    let limited: Vec<_> = backtest.iter().copied().chain(["--limit", "2"]).collect();
    let text = run(&data_dir, &limited);
    assert!(
        text.contains("Examined 2")
            && text.contains("accepted → rejected (too-few-signers): 2")
            && text.contains("--limit"),
        "{text}"
    );
    let (_, error) = failed(&data_dir, &["hook", "backtest", "acme"]);
    assert!(error.contains("--plugin"), "{error}");

    let rejected = told(
        &data_dir,
        &[
            "decision",
            "list",
            "acme",
            "--verdict",
            "rejected",
            "--document",
            "a",
        ],
    );
    let decisions = rejected["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 1);
    assert_eq!(decisions[0]["code"], "signer-dropped");
    assert_eq!(decisions[0]["outcome"], "rejected");
    let id = decisions[0]["id"].as_str().unwrap();
    let listed = told(&data_dir, &["decision", "list", "acme", "--limit", "3"]);
    assert_eq!(listed["decisions"].as_array().unwrap().len(), 3);
    assert!(listed["next"].is_string());
    assert!(run(&data_dir, &["decision", "list", "acme"]).contains("signer-dropped"));
    let text = run(&data_dir, &["decision", "show", "acme", id]);
    assert!(
        text.contains("require-countersignature, revision"),
        "{text}"
    );
    let replayed = told(&data_dir, &["decision", "replay", "acme", id]);
    assert_eq!(replayed["same"], true);
    assert_eq!(replayed["replayed"]["code"], "signer-dropped");
    assert!(run(&data_dir, &["decision", "replay", "acme", id]).contains("The result is the same"));
    let (_, error) = failed(&data_dir, &["decision", "show", "acme", "1-1-1"]);
    assert!(error.contains("sigpersist decision list acme"), "{error}");
    assert!(server.stop().success());
}
