//! Import of a tenant from a file. Its name and quotas are imported, its threads keep their ids, and it does not go
//! live before the hooks that may reject for it are there.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::guest::Guest;
use crate::support::{REJECT, TestApp, eventually, tenant_file};

fn export(app: &TestApp, slug: &str) -> PathBuf {
    let path = app.database.folder.path().join(format!("{slug}.ndjson"));
    let output = path.to_str().unwrap();
    app.database
        .run(&["tenant", "export", slug, "--output", output]);
    path
}

/// Imports a file. Returns whether the import is complete, the command's JSON output and its error text.
#[track_caller]
fn import(app: &TestApp, slug: &str, file: &Path, more: &[&str]) -> (bool, Value, String) {
    let input = file.to_str().unwrap();
    let mut arguments = vec![
        "tenant", "import", slug, "--input", input, "--create", "--json",
    ];
    arguments.extend(more);
    let output = app.database.command(&arguments).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let error = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said["imported"].clone(), error)
}

fn show(app: &TestApp, slug: &str) -> Value {
    serde_json::from_str(&app.database.run(&["tenant", "show", slug, "--json"])).unwrap()
}

/// Creates a tenant with one thread and a platform hook that rejects every save from now on.
fn with_hook(app: &TestApp) {
    app.tenant("acme").save("d", "t", 0, "x").expect(201);
    let rejecting = Guest {
        judge: REJECT,
        ..Guest::default()
    };
    app.hook("acme", "no", &rejecting.component(), |_| {});
}

#[test]
fn a_name_and_quotas_come_along_and_stay_where_others_are_set() {
    let (here, there) = (TestApp::start(), TestApp::start());
    here.tenant("acme");
    let quotas = [
        "--name",
        "Acme Ltd",
        "--max-bytes",
        "10G",
        "--request-burst",
        "0",
    ];
    here.database
        .run(&[&["tenant", "update", "acme"], &quotas[..]].concat());
    let file = export(&here, "acme");
    let (complete, said, error) = import(&there, "copy", &file, &[]);
    assert!(complete, "{said} {error}");
    let (before, after) = (show(&here, "acme"), show(&there, "copy"));
    assert_eq!(after["state"], "active");
    assert_eq!(after["name"], "Acme Ltd");
    assert_eq!(after["quotas"], before["quotas"]);
    assert_eq!(after["quotas"]["max_bytes"], 10_u64 << 30);
    assert!(import(&there, "copy", &file, &[]).0);
    there.database.run(&[
        "tenant",
        "update",
        "copy",
        "--name",
        "Copy",
        "--max-bytes",
        "1",
    ]);
    let (complete, said, _) = import(&there, "copy", &file, &[]);
    assert!(!complete);
    assert_eq!(
        said["told"],
        json!([
            "The tenant's name is left out: the tenant has another name here.",
            "Part of the quotas is left out: at least one has another value here."
        ])
    );
    let kept = show(&there, "copy");
    assert_eq!(
        (&kept["name"], &kept["state"]),
        (&json!("Copy"), &json!("active"))
    );
    assert_eq!(kept["quotas"]["max_bytes"], 1);
}

#[test]
fn a_tenant_whose_enforced_hook_is_missing_is_suspended_until_it_is_there_or_given_up() {
    let (here, there) = (TestApp::start(), TestApp::start());
    with_hook(&here);
    let file = export(&here, "acme");
    let (complete, said, error) = import(&there, "copy", &file, &[]);
    assert!(!complete);
    assert_eq!(
        (&said["suspended"], &said["missing_hooks"]),
        (&json!(true), &json!(["no"]))
    );
    assert!(
        error.contains("sigpersist tenant resume copy --incomplete"),
        "{error}"
    );
    let copy = there.tenant("copy");
    let shown = show(&there, "copy");
    assert_eq!(
        (&shown["state"], &shown["incomplete"]),
        (&json!("suspended"), &json!("no"))
    );
    copy.read("d", "t").expect_error(403, "tenant_suspended");
    // The tenant stays suspended after a plain resume and after a complete import of another file.
    let refused = there
        .database
        .command(&["tenant", "resume", "copy"])
        .output()
        .unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(
        !refused.status.success() && error.contains("are missing: `no`"),
        "{error}"
    );
    let platform = there.platform();
    let refused = platform.json("POST", "/tenants/copy/resume", &json!({}));
    refused.expect_error(422, "refused");
    here.tenant("other");
    let other = export(&here, "other");
    assert!(!import(&there, "copy", &other, &[]).0);
    assert_eq!(show(&there, "copy")["incomplete"], "no");
    // Once the plugin is uploaded, a repeated import resumes the tenant, and its hook works.
    let rejecting = Guest {
        judge: REJECT,
        ..Guest::default()
    };
    there.upload("no", &rejecting.component()).unwrap();
    let (complete, said, error) = import(&there, "copy", &file, &[]);
    assert!(complete, "{said} {error}");
    assert_eq!(show(&there, "copy")["state"], "active");
    eventually(|| copy.save("new", "t", 0, "x").status == 422);
    // A tenant that was suspended on purpose stays suspended.
    there.database.run(&["tenant", "suspend", "copy"]);
    assert!(import(&there, "copy", &file, &[]).0);
    assert_eq!(show(&there, "copy")["state"], "suspended");
}

#[test]
fn a_tenant_goes_without_its_hooks_where_it_is_told_to() {
    let (here, there) = (TestApp::start(), TestApp::start());
    with_hook(&here);
    let file = export(&here, "acme");
    let (complete, said, _) = import(&there, "told", &file, &["--without-hooks"]);
    assert!(!complete);
    assert_eq!(
        (&said["suspended"], &said["missing_hooks"]),
        (&json!(false), &json!(["no"]))
    );
    assert_eq!(show(&there, "told")["state"], "active");
    import(&there, "later", &file, &[]);
    there
        .database
        .run(&["tenant", "resume", "later", "--incomplete"]);
    let later = show(&there, "later");
    assert_eq!(
        (&later["state"], &later["incomplete"]),
        (&json!("active"), &Value::Null)
    );
    // Hooks that are in monitor mode or disabled do not keep a tenant from going live.
    here.set("acme", "no", "no", |request| request.enabled = false)
        .unwrap();
    let file = export(&here, "acme");
    import(&there, "off", &file, &[]);
    assert_eq!(show(&there, "off")["state"], "active");
}

#[test]
fn nobody_is_answered_while_a_tenant_arrives() {
    let (here, there) = (TestApp::start(), TestApp::start());
    with_hook(&here);
    let file = export(&here, "acme");
    there.tenant("live");
    for (slug, create) in [("new", true), ("live", false)] {
        let mut arguments = vec![slug];
        arguments.extend(create.then_some("--create"));
        let held = there.database.hold("LOCK TABLE signatures IN SHARE MODE");
        let mut child = tenant_file::arriving(&there, &arguments, &file);
        let threads = format!(
            "SELECT count(*)::text AS line FROM tenants t JOIN hook_bindings h ON h.tenant_id = t.id WHERE slug = '{slug}' AND suspended_at IS NULL"
        );
        let state = format!(
            "SELECT coalesce(max(incomplete), '') AS line FROM tenants WHERE slug = '{slug}'"
        );
        eventually(|| there.database.lines(&state).contains("no"));
        assert_eq!(there.database.lines(&threads).trim(), "0");
        child.kill().unwrap();
        child.wait().unwrap();
        drop(held);
        assert_eq!(show(&there, slug)["state"], "suspended");
    }
}

#[test]
fn threads_keep_their_ids_unless_another_has_them_and_no_file_uses_them_up() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    for document in ["a", "b", "c"] {
        acme.save(document, "t", 0, "x").expect(201);
    }
    let file = export(&here, "acme");
    let id = |client: &crate::support::Client, document: &str| {
        client.read(document, "t").expect(200).signature()["id"].clone()
    };
    let copy = there.tenant("copy");
    copy.save("own", "t", 0, "x").expect(201);
    let own = id(&copy, "own");
    let (complete, said, error) = import(&there, "copy", &file, &[]);
    assert!(complete, "{said} {error}");
    assert_eq!(
        (&said["new_threads"], &said["new_ids"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(id(&copy, "own"), own);
    let same = ["a", "b", "c"]
        .iter()
        .filter(|it| id(&copy, it) == id(&acme, it));
    assert_eq!(same.count(), 2);
    for number in 0..5 {
        copy.save(&format!("new {number}"), "t", 0, "x").expect(201);
    }
    assert!(import(&there, "copy", &file, &[]).0);
    // An id so large that it would leave too few for other tenants.
    let text = std::fs::read_to_string(&file).unwrap();
    let forged = here.database.folder.path().join("forged.ndjson");
    let first = format!("\"thread\":{{\"id\":{}", id(&acme, "a"));
    assert!(text.contains(&first));
    let large = format!("\"thread\":{{\"id\":{}", (1_u64 << 48) + 1);
    std::fs::write(&forged, text.replace(&first, &large)).unwrap();
    let (complete, _, error) = import(&there, "third", &forged, &[]);
    assert!(
        !complete && error.contains("a thread's id is from 1 to 281474976710656"),
        "{error}"
    );
    there.tenant("free").save("d", "t", 0, "x").expect(201);
}

#[test]
fn files_of_version_1_are_read() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    acme.save("a", "t", 0, "x").expect(201);
    acme.save("a", "t", 1, "y").expect(201);
    let mut lines = tenant_file::lines(&export(&here, "acme"));
    lines.retain(|line| !line.starts_with(r#"{"tenant""#));
    let lines = tenant_file::without_trail(lines).into_iter().map(|line| {
        let mut line: Value = serde_json::from_str(&line).unwrap();
        if let Some(header) = line.get_mut("header") {
            header["format_version"] = json!(1);
        }
        if let Some(thread) = line.get_mut("thread").and_then(Value::as_object_mut) {
            thread.remove("id").unwrap();
        }
        line.to_string()
    });
    let lines = tenant_file::sealed(lines.collect());
    let file = here.database.folder.path().join("old.ndjson");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let (complete, said, error) = import(&there, "copy", &file, &[]);
    assert!(complete, "{said} {error}");
    assert_eq!(
        there.tenant("copy").read("a", "t").expect(200).signature()["version"],
        2
    );
}
