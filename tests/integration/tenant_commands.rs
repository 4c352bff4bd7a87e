//! `sigpersist tenant`, as used by scripts and people.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Program, eventually, run, sigpersist, temp_dir};

fn facts(data_dir: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["--json", "tenant"];
    all.extend(arguments);
    serde_json::from_str(&run(data_dir, &all)).unwrap()
}

/// Runs a command that must fail, and returns its error of one sentence.
#[track_caller]
fn refused(data_dir: &Path, arguments: &[&str]) -> String {
    let output = sigpersist(data_dir, &[&["tenant"], arguments].concat())
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(0), "{arguments:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: "), "{error}");
    error
}

#[test]
fn a_tenant_lives_from_creation_to_removal_beside_a_running_server() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.as_path();
    let created = facts(
        data_dir,
        &["create", "acme", "--name", "Acme", "--max-bytes", "1M"],
    );
    assert_eq!(created["created"], true);
    assert_eq!(created["quotas"]["max_bytes"], 1_048_576);
    assert_eq!(created["quotas"]["max_threads"], Value::Null);
    assert_eq!(facts(data_dir, &["create", "acme"])["created"], false);
    run(data_dir, &["key", "add", "acme"]);
    let server = Program::serve(data_dir);
    let token = run(data_dir, &["token", "issue", "acme"]);
    let acme = server.client(&token);
    acme.save("d", "t", 0, "x").expect(201);

    // The running server applies quotas.
    let updated = facts(
        data_dir,
        &[
            "update",
            "acme",
            "--max-threads",
            "1",
            "--max-bytes",
            "default",
        ],
    );
    assert_eq!(updated["quotas"]["max_threads"], 1);
    assert_eq!(updated["quotas"]["max_bytes"], Value::Null);
    std::thread::sleep(std::time::Duration::from_secs(1));
    acme.save("e", "t", 0, "x")
        .expect_error(429, "quota_exceeded");
    let usage = facts(data_dir, &["usage", "acme"]);
    assert_eq!(
        usage["usage"],
        json!({"bytes": 1, "threads": 1, "versions": 1})
    );
    assert_eq!(usage["quotas_in_force"]["max_threads"], 1);
    let table = run(data_dir, &["tenant", "usage", "acme"]);
    assert!(table.contains("1 bytes  no limit"), "{table}");
    let sheet = run(data_dir, &["tenant", "show", "acme"]);
    assert!(sheet.contains("state:     active"), "{sheet}");
    assert!(sheet.contains("max_threads"), "{sheet}");

    let suspended = run(data_dir, &["tenant", "suspend", "acme"]);
    assert!(suspended.contains("sigpersist tenant resume acme"));
    eventually(|| acme.read("d", "t").status == 403);
    assert_eq!(facts(data_dir, &["resume", "acme"])["state"], "active");
    eventually(|| acme.read("d", "t").status == 200);

    let deleted = run(data_dir, &["tenant", "delete", "acme"]);
    assert!(deleted.contains("will be removed after 20"), "{deleted}");
    assert!(
        deleted.contains("sigpersist tenant resume acme"),
        "{deleted}"
    );
    assert!(deleted.contains("--confirm acme"), "{deleted}");
    let listed = facts(data_dir, &["list", "--state", "deleting"]);
    assert_eq!(listed["tenants"][0]["slug"], "acme");
    assert_ne!(listed["tenants"][0]["delete_after"], Value::Null);
    assert!(run(data_dir, &["tenant", "list"]).contains("deleting"));
    assert_eq!(
        facts(data_dir, &["resume", "acme"])["delete_after"],
        Value::Null
    );
    run(data_dir, &["tenant", "delete", "acme", "--confirm", "acme"]);
    eventually(|| facts(data_dir, &["list"])["tenants"] == json!([]));
    assert!(refused(data_dir, &["show", "acme"]).contains("sigpersist tenant list"));
    assert_eq!(facts(data_dir, &["create", "acme"])["created"], true);
    assert!(server.stop().success());
}

#[test]
fn mistakes_fail_with_a_sentence() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.as_path();
    run(data_dir, &["migrate"]);
    assert!(run(data_dir, &["tenant", "list"]).contains("sigpersist tenant create SLUG"));
    run(data_dir, &["tenant", "create", "acme"]);
    let other = refused(data_dir, &["create", "acme", "--name", "Other"]);
    assert!(other.contains("sigpersist tenant update acme"), "{other}");
    let other = refused(data_dir, &["create", "acme", "--max-threads", "5"]);
    assert!(other.contains("other quotas"), "{other}");
    let nothing = refused(data_dir, &["update", "acme"]);
    assert!(nothing.contains("Say what to change"), "{nothing}");
    let wrong = refused(data_dir, &["delete", "acme", "--confirm", "other"]);
    assert!(wrong.contains("`acme`"), "{wrong}");
    assert_eq!(facts(data_dir, &["show", "acme"])["state"], "active");
    for command in ["show", "suspend", "resume", "delete", "usage"] {
        let missing = refused(data_dir, &[command, "nobody"]);
        assert!(missing.contains("There is no such tenant"), "{missing}");
    }
    let wrong = refused(data_dir, &["update", "acme", "--max-bytes", "much"]);
    assert!(wrong.contains("a quota is a whole number"), "{wrong}");
    let output = sigpersist(data_dir, &["--json", "tenant", "show", "nobody"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert!(error["error"].as_str().unwrap().contains("no such tenant"));
    assert_eq!(error["code"], "tenant_not_found");
}

#[test]
fn exit_codes_tell_a_refusal_from_what_may_work_later() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    run(&data_dir, &["tenant", "create", "acme"]);
    let ended = |arguments: &[&str], url: Option<&str>| {
        let mut command = sigpersist(&data_dir, arguments);
        if let Some(url) = url {
            command.env("DATABASE_URL", url);
        }
        let output = command.output().unwrap();
        let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_default();
        (output.status.code(), error["code"].clone())
    };
    let nowhere = Some("postgres://127.0.0.1:1/none");
    let create = ["--json", "tenant", "create", "acme"];
    assert_eq!(ended(&create, None), (Some(0), Value::Null));
    assert_eq!(
        ended(&[&create[..], &["--name", "Other"]].concat(), None),
        (Some(1), json!("tenant_exists"))
    );
    assert_eq!(
        ended(&["--json", "key", "revoke", "none"], None),
        (Some(1), json!("key_not_found"))
    );
    assert_eq!(
        ended(&["--json", "tenant", "make"], None),
        (Some(2), Value::Null)
    );
    assert_eq!(
        ended(&create, nowhere),
        (Some(3), json!("database_unavailable"))
    );
}
