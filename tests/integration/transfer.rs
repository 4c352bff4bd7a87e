//! Export of a tenant to a file and import into another database: nothing is lost, duplicated or mixed up.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::cms::forged;
use crate::support::guest::Guest;
use crate::support::tenant_file::{arriving, is_of_trail, lines, without_trail};
use crate::support::{
    COUNTERSIGNED, Client, FIRST, REJECT, SIGNER_TAGS, TestApp, certificate_pem, der, eventually,
};

/// Exports the tenant to a file in its database's folder.
#[track_caller]
fn export(app: &TestApp, slug: &str, more: &[&str]) -> PathBuf {
    let path = app.database.folder.path().join(format!("{slug}.ndjson"));
    let mut arguments = vec!["tenant", "export", slug, "--output", path.to_str().unwrap()];
    arguments.extend(more);
    let output = app.database.command(&arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    path
}

/// Imports a file. Returns whether the import is complete, the command's JSON output and its error text.
#[track_caller]
fn import(app: &TestApp, slug: &str, file: &Path) -> (bool, Value, String) {
    let input = file.to_str().unwrap();
    let arguments = [
        "tenant", "import", slug, "--input", input, "--create", "--json",
    ];
    let output = app.database.command(&arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), said["imported"].clone(), error)
}

#[track_caller]
fn import_all(app: &TestApp, slug: &str, file: &Path) -> Value {
    let (complete, said, error) = import(app, slug, file);
    assert!(complete, "{said} {error}");
    said
}

/// The lines between the header, which has the slug and the time, and the end. Excludes the audit trail, which grows
/// with each export and import.
fn content(file: &Path) -> Vec<String> {
    let mut content = lines(file).split_off(1);
    content.pop();
    content.retain(|line| !is_of_trail(line));
    content
}

/// Everything that a client sees of a tenant's signatures.
fn seen(client: &Client) -> Vec<Value> {
    let page = client.get("/signatures?limit=1000&count=true").expect(200);
    let mut seen = vec![page.json["content"]["nb_results"].clone()];
    for listed in page.signatures() {
        seen.push(listed.clone());
        let (document, thread) = (&listed["document"], &listed["thread"]);
        let query = json!({"document": document, "thread": thread});
        let history = client
            .json("GET", "/signature/versions", &query)
            .expect(200);
        seen.extend(history.versions().iter().cloned());
    }
    seen
}

/// Threads of all kinds: both encodings, several versions, all optional parameters, and deleted threads.
fn fill(client: &Client) {
    let texts = [
        FIRST.trim().to_owned(),
        COUNTERSIGNED.trim().to_owned(),
        "<подпись кто=\"Әйгерім\">\r\n\t\\u0000 & \u{1F58B}</подпись>".to_owned(),
        "MIIBAB==".to_owned(),
        "\u{feff}<a/>\n".to_owned(),
    ];
    for number in 0..12_usize {
        let texts = texts.iter().cycle().skip(number).take(1 + number % 4);
        for (version, text) in texts.enumerate() {
            let tags: Vec<_> = (0..number % 3)
                .map(|tag| format!("тег {}", tag * version))
                .collect();
            let body = json!({
                "document": format!("d {number}"), "thread": "t, \"1\"", "version": version, "cms": text,
                "tags": tags,
                "stage": (number % 2 == 0).then(|| format!("stage {version}")),
                "version_created_by": (number % 3 == 0).then_some("Дәулет"),
                "version_comment": (number % 5 == 0).then_some("two\nlines"),
            });
            client.post(&body).expect(201);
        }
    }
    client.save("gone", "t", 0, "x").expect(201);
    client.delete("gone", "t").expect(200);
}

#[test]
fn a_tenant_comes_out_of_another_database_as_it_went_in() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    let other = here.tenant("other");
    other
        .save("d 1", "t, \"1\"", 0, "the other's own")
        .expect(201);
    fill(&acme);
    let file = export(&here, "acme", &[]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !std::fs::read_to_string(&file)
            .unwrap()
            .contains("the other's own")
    );
    let header: Value = serde_json::from_str(&lines(&file)[0]).unwrap();
    assert_eq!(header["header"]["tenant"], "acme");
    assert_eq!(header["header"]["counts"]["threads"], 12);
    // Imports into a tenant with another name, beside other tenants.
    let neighbour = there.tenant("neighbour");
    fill(&neighbour);
    let before = there.database.dump("signatures");
    let said = import_all(&there, "copy", &file);
    assert_eq!(said["new_threads"], 12);
    assert_eq!(content(&export(&there, "copy", &[])), content(&file));
    let copy = there.tenant("copy");
    assert_eq!(seen(&copy), seen(&acme));
    assert!(there.database.dump("signatures").starts_with(&before));
    // Lists by tag and stage find the imported threads, and a next version can be saved.
    for query in ["tags=тег+0&count=true", "stage=stage+2&count=true"] {
        let query = format!("/signatures?{}", query.replace("тег", "%D1%82%D0%B5%D0%B3"));
        let count =
            |client: &Client| client.get(&query).expect(200).json["content"]["nb_results"].clone();
        assert_eq!(count(&copy), count(&acme), "{query}");
        assert!(count(&copy).as_u64().unwrap() > 0);
    }
    copy.save("d 3", "t, \"1\"", 4, "next").expect(201);
    // Both tenants have threads with the same ids, and new threads get others.
    for client in [&copy, &neighbour] {
        client.save("new", "t", 0, "x").expect(201);
    }
    // The audit trails of both sides have events of this.
    assert_eq!(here.audit("acme").last().unwrap(), "tenant.export acme");
    assert_eq!(there.audit("copy").last().unwrap(), "tenant.export copy");
    assert!(
        there
            .audit("copy")
            .contains(&"tenant.import copy".to_owned())
    );
}

#[test]
fn an_import_made_again_changes_nothing_and_goes_on_where_the_source_did() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    fill(&acme);
    let first = export(&here, "acme", &[]);
    import_all(&there, "acme", &first);
    let tables = ["signatures", "signature_versions", "signature_tags"];
    let dump = || tables.map(|table| there.database.dump(table));
    let before = dump();
    let said = import_all(&there, "acme", &first);
    assert_eq!(said["new_threads"], 0);
    assert_eq!(said["new_versions"], 0);
    assert_eq!(dump(), before);
    // The source changes: a new version with other tags, and a new thread.
    let body = json!({"document": "d 1", "thread": "t, \"1\"", "version": 2, "cms": "on", "tags": ["new"], "stage": "last"});
    acme.post(&body).expect(201);
    acme.save("d 99", "t", 0, "x").expect(201);
    let second = export(&here, "acme", &[]);
    let said = import_all(&there, "acme", &second);
    assert_eq!(
        (&said["new_threads"], &said["new_versions"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(content(&export(&there, "acme", &[])), content(&second));
    let copy = there.tenant("acme");
    assert_eq!(seen(&copy), seen(&acme));
    let tagged = copy.get("/signatures?tags=new").expect(200);
    assert_eq!(tagged.signatures().len(), 1);
    // Threads that are ahead here are left as they are.
    copy.save("d 99", "t", 1, "y").expect(201);
    assert_eq!(import_all(&there, "acme", &second)["new_versions"], 0);
}

#[test]
fn a_thread_with_another_history_is_left_as_it_is_and_told() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    for document in ["a", "b", "c"] {
        acme.save(document, "t", 0, "one").expect(201);
        acme.save(document, "t", 1, "two").expect(201);
    }
    let file = export(&here, "acme", &[]);
    let copy = there.tenant("copy");
    copy.save("b", "t", 0, "one").expect(201);
    let (complete, said, error) = import(&there, "copy", &file);
    assert!(!complete);
    assert!(error.contains("1 threads are different here"), "{error}");
    assert_eq!(
        (&said["conflicts"], &said["new_threads"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        said["told"][0],
        "b/t: a thread with this name exists here, but was created at another time."
    );
    assert_eq!(copy.read("b", "t").expect(200).signature()["version"], 1);
    // Histories with the same beginning but another end: a later version differs, and then an earlier one too.
    copy.delete("a", "t").expect(200);
    copy.delete("b", "t").expect(200);
    import_all(&there, "copy", &file);
    for (version, sentence) in [
        (1, "a/t: version 1 is different here."),
        (2, "a/t: version 2 is different here."),
    ] {
        there.database.execute(&format!(
            "UPDATE signature_versions v SET comment = 'x' FROM signatures s WHERE s.id = signature_id AND document = 'a' AND v.version = {version}"
        ));
        let (complete, said, _) = import(&there, "copy", &file);
        assert!(!complete);
        assert_eq!(said["told"], json!([sentence]));
        there
            .database
            .execute("UPDATE signature_versions SET comment = NULL");
    }
}

#[test]
fn a_file_that_is_not_whole_is_told_by_its_line_and_writes_nothing() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for document in ["a", "b"] {
        acme.save(document, "t", 0, "one").expect(201);
        acme.save(document, "t", 1, "two").expect(201);
    }
    let whole = without_trail(lines(&export(&app, "acme", &[])));
    assert_eq!(whole.len(), 9);
    app.tenant("copy");
    let path = app.database.folder.path().join("broken.ndjson");
    let line = |number: usize, from: &str, to: &str| {
        let mut lines = whole.clone();
        assert!(lines[number - 1].contains(from));
        lines[number - 1] = lines[number - 1].replace(from, to);
        lines.join("\n") + "\n"
    };
    let without = |number: usize| {
        let mut lines = whole.clone();
        lines.remove(number - 1);
        lines.join("\n") + "\n"
    };
    let all = whole.join("\n") + "\n";
    let sha256 = format!("\"sha256\":\"{}\"", "0".repeat(64));
    for (text, said) in [
        (String::new(), "ends after line 0"),
        (
            whole[..6].join("\n") + "\n",
            "ends after line 6 without its last line",
        ),
        (
            all[..all.len() - 20].to_owned(),
            "Line 9 of the file: it is incomplete",
        ),
        (
            whole[..4].join("\n")[..200].to_owned(),
            "Line 1 of the file: it is incomplete",
        ),
        (without(1), "Line 1 of the file: it is not the header"),
        (without(5), "Line 5 of the file: it must be version 2 of 2"),
        (without(6), "Line 6 of the file: it is in the wrong place"),
        (
            line(5, "two", "owt"),
            "Line 5 of the file: the signature was changed: its SHA-256",
        ),
        (
            line(6, "\"b\"", "\"c\""),
            "Line 9 of the file: the lines before it are not those that were exported",
        ),
        (
            line(3, "\"a\"", "\"\""),
            "Line 3 of the file: `document` must not be empty",
        ),
        (
            line(3, "\"thread\":{", "\"thread\":{\"x\":1,"),
            "Line 3 of the file: it is not valid, at column 14: unknown field `x`",
        ),
        (line(4, "}}", "}"), "Line 4 of the file: it is not valid"),
        (
            line(9, "\"sha256\"", &format!("{sha256},\"x\"")),
            "Line 9 of the file: it is not valid",
        ),
        (
            line(1, "\"format_version\":6", "\"format_version\":7"),
            "of the format `sigpersist tenant`, version 7; this program reads `sigpersist tenant`, versions 1 to 6",
        ),
        (
            all.clone() + "\n",
            "Line 9 of the file: the file goes on after it",
        ),
        ("x".repeat(60 << 20), "Line 1 of the file: it has more than"),
    ] {
        std::fs::write(&path, text).unwrap();
        let (complete, _, error) = import(&app, "copy", &path);
        assert!(!complete);
        assert!(error.contains(said), "{said}: {error}");
    }
    assert!(
        app.client("copy", &sigpersist_model::context::Scope::APPLICATION)
            .get("/signatures")
            .expect(200)
            .signatures()
            .is_empty()
    );
    // A pipe is read to its end first, too.
    std::fs::write(&path, whole[..8].join("\n") + "\n").unwrap();
    let output = app
        .database
        .command(&["tenant", "import", "copy"])
        .stdin(std::fs::File::open(&path).unwrap())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let nothing = content(&export(&app, "copy", &[]));
    assert!(!nothing.iter().any(|line| line.starts_with("{\"thread\"")));
    std::fs::write(&path, &all).unwrap();
    import_all(&app, "copy", &path);
    assert_eq!(content(&export(&app, "copy", &[])), whole[1..8]);
}

#[test]
fn an_import_that_was_killed_is_made_again_and_a_large_signature_travels() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    let large = "ж".repeat(5 << 20);
    acme.save("large", "t", 0, &large).expect(201);
    let medium = "m".repeat(1 << 20);
    for version in 0..30 {
        acme.save("long", "t", version, &format!("{medium}{version}"))
            .expect(201);
    }
    for number in 1..50 {
        acme.save(&format!("d{number}"), "t", 0, &medium[..number])
            .expect(201);
    }
    let file = export(&here, "acme", &[]);
    let mut child = arriving(&there, &["copy", "--create"], &file);
    let versions = || {
        there
            .database
            .lines("SELECT count(*)::text AS line FROM signature_versions")
    };
    eventually(|| versions().trim().parse::<u32>().unwrap() > 8);
    child.kill().unwrap();
    child.wait().unwrap();
    let half: u64 = versions().trim().parse().unwrap();
    assert!(half < 80, "{half}");
    let said = import_all(&there, "copy", &file);
    assert_eq!(said["same_versions"], half);
    assert_eq!(content(&export(&there, "copy", &[])), content(&file));
    let copy = there.tenant("copy");
    assert_eq!(
        copy.read("large", "t").expect(200).signature()["signature"],
        large
    );
    // An export through a pipe has the same content.
    let output = there
        .database
        .command(&["tenant", "export", "copy"])
        .output()
        .unwrap();
    let piped = there.database.folder.path().join("piped.ndjson");
    std::fs::write(&piped, output.stdout).unwrap();
    assert_eq!(content(&piped), content(&export(&there, "copy", &[])));
}

#[test]
fn hooks_plugins_and_decisions_go_on_in_another_database() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    let operator = here.operator("acme");
    let wasm = [("content-type", "application/wasm")];
    let rejecting = Guest {
        judge: REJECT,
        ..Guest::default()
    }
    .component();
    operator
        .send(
            "PUT",
            "/plugins/own",
            &wasm,
            Some(Guest::default().component()),
        )
        .expect(201);
    operator
        .send("PUT", "/plugins/own", &wasm, Some(rejecting))
        .expect(201);
    here.upload("tags", SIGNER_TAGS).unwrap();
    operator
        .json("PUT", "/hooks/tags", &json!({"plugin": "tags"}))
        .expect(201);
    operator
        .json(
            "PUT",
            "/hooks/no",
            &json!({"plugin": "own", "mode": "monitor", "settings": {"a": [1, {"b": "ж"}]}}),
        )
        .expect(201);
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    operator
        .json("PUT", "/hooks/no", &json!({"plugin": "own"}))
        .expect(200);
    acme.save("refused", "t", 0, "<a/>")
        .expect_error(422, "hook_rejected");
    operator
        .json(
            "PUT",
            "/hooks/gone",
            &json!({"plugin": "own", "enabled": false}),
        )
        .expect(201);
    operator
        .send("DELETE", "/hooks/gone", &[], None)
        .expect(200);
    let file = export(&here, "acme", &["--decisions"]);
    // Without the platform's plugin, its hook is omitted and everything else is imported.
    let (complete, said, error) = import(&there, "copy", &file);
    assert!(!complete, "{said}");
    assert!(
        error.contains("`copy` is suspended because these enforcing hooks are missing: tags"),
        "{error}"
    );
    let told = said["told"][0].as_str().unwrap();
    assert!(
        told.starts_with("The hook `tags` is left out: the plugin `tags`, revision "),
        "{told}"
    );
    assert_eq!(
        (
            &said["new_revisions"],
            &said["new_hooks"],
            &said["new_judgements"]
        ),
        (&json!(2), &json!(1), &json!(2))
    );
    there.upload("tags", SIGNER_TAGS).unwrap();
    let said = import_all(&there, "copy", &file);
    assert_eq!(
        (
            &said["new_revisions"],
            &said["new_hooks"],
            &said["new_judgements"]
        ),
        (&json!(0), &json!(1), &json!(0))
    );
    assert_eq!(
        content(&export(&there, "copy", &["--decisions"])),
        content(&file)
    );
    assert_eq!(import_all(&there, "copy", &file)["new_hooks"], 0);
    // The imported hooks decide as on the other server.
    let copy = there.tenant("copy");
    let copied = there.operator("copy");
    let hooks = |client: &Client| client.get("/hooks").expect(200).json["content"]["hooks"].clone();
    assert_eq!(hooks(&copied), hooks(&operator));
    eventually(|| copy.save("new", "t", 0, FIRST.trim()).status == 422);
    // Decisions keep their ids, and their replays agree.
    let decisions = |client: &Client| {
        client
            .get("/hooks/decisions?document=refused")
            .expect(200)
            .json["content"]["decisions"]
            .clone()
    };
    assert_eq!(decisions(&copied), decisions(&operator));
    for decision in decisions(&operator).as_array().unwrap() {
        let path = format!(
            "/hooks/decisions/{}/replay",
            decision["id"].as_str().unwrap()
        );
        let replayed = copied.send("POST", &path, &[], None).expect(200);
        assert_eq!(replayed.json["content"]["same"], true);
    }
    // The history is imported too: rolls back to the binding in monitor mode.
    copied
        .send("POST", "/hooks/no/rollback", &[], None)
        .expect(200);
    eventually(|| copy.save("new", "t", 0, FIRST.trim()).status == 201);
    // An existing hook of the same name is left as it is.
    there.tenant("third");
    there.set("third", "no", "tags", |_| {}).unwrap();
    let (complete, said, _) = import(&there, "third", &file);
    assert!(!complete);
    there
        .operator("third")
        .get("/hooks/no")
        .expect_error(403, "tenant_suspended");
    there
        .database
        .run(&["tenant", "resume", "third", "--incomplete"]);
    // The running server learns of the change within a second.
    eventually(|| there.operator("third").get("/hooks/no").status == 200);
    assert_eq!(
        said["told"],
        json!(["The hook `no` is left out: its binding 1 is different here."])
    );
    assert_eq!(
        there.operator("third").get("/hooks/no").expect(200).json["content"]["hook"]["plugin"],
        "tags"
    );
    // The file contains no key and no token, but its audit trail names the kinds of keys.
    let token = acme.token.unwrap();
    assert!(!lines(&file).iter().any(|line| line.contains(&token)));
    assert!(!content(&file).iter().any(|line| line.contains("secret")));
}

#[test]
fn an_import_restores_what_was_accepted_elsewhere() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    let forged = STANDARD.encode(forged(&der(FIRST)));
    acme.save("d", "t", 0, &forged).expect(201);
    let body = json!({"document": "d", "thread": "t", "content": "AAAA"});
    acme.json("POST", "/signature/verify", &body).expect(201);
    let policy = json!({"accept": "passed", "detached": "needs_content"});
    let policy = here.operator("acme").json("PATCH", "/policy", &policy);
    let file = export(&here, "acme", &[]);
    import_all(&there, "copy", &file);
    let copy = there.tenant("copy");
    let kept = there.operator("copy").get("/policy").expect(200);
    assert_eq!(kept.json["content"], policy.expect(200).json["content"]);
    // The signature is imported with its recorded verdict, and not judged again.
    let read = copy.read("d", "t").expect(200);
    assert_eq!(read.signature()["signature"], forged);
    let verdicts = |client: &Client| {
        let listed = client.get("/signature/verdicts?document=d&thread=t");
        listed.expect(200).json["content"]["verdicts"].clone()
    };
    let found = verdicts(&copy);
    assert_eq!(found, verdicts(&acme));
    assert_eq!(found[0]["signers"][0]["verdict"]["intact"], false);
    copy.save("e", "t", 0, &forged)
        .expect_error(422, "signature_not_accepted");
}

#[test]
fn a_policy_of_a_single_rule_is_counted_and_comes_along() {
    let (here, there) = (TestApp::start(), TestApp::start());
    here.tenant("acme");
    let policy = json!({"revocation": "required"});
    here.operator("acme")
        .json("PATCH", "/policy", &policy)
        .expect(200);
    let file = export(&here, "acme", &[]);
    let text = std::fs::read_to_string(&file).unwrap();
    let header = text.lines().next().unwrap();
    assert!(header.contains("\"policies\":1"), "{header}");
    import_all(&there, "copy", &file);
    there.tenant("copy");
    let kept = there.operator("copy").get("/policy").expect(200);
    assert_eq!(kept.json["content"]["policy"]["revocation"], "required");
}

#[test]
fn policies_and_verdicts_come_along() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = here.tenant("acme");
    let operator = here.operator("acme");
    let policy = json!({"accept": "readable", "record_verdicts": true});
    operator.json("PATCH", "/policy", &policy).expect(200);
    let certificates = [
        include_str!("../data/verify/ca.crt.b64"),
        include_str!("../data/verify/other.crt.b64"),
    ];
    for certificate in certificates {
        let pem = certificate_pem(certificate);
        operator
            .json("POST", "/trust-anchors", &json!({ "pem": pem }))
            .expect(201);
    }
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    acme.save("d", "t", 1, COUNTERSIGNED.trim()).expect(201);
    let body = json!({"document": "d", "thread": "t", "version": 1});
    acme.json("POST", "/signature/verify", &body).expect(201);
    let file = export(&here, "acme", &[]);
    let said = import_all(&there, "copy", &file);
    assert_eq!(said["new_policies"], 3);
    assert_eq!(content(&export(&there, "copy", &[])), content(&file));
    let verdicts = |client: &Client| {
        let listed = client.get("/signature/verdicts?document=d&thread=t");
        listed.expect(200).json["content"]["verdicts"].clone()
    };
    assert_eq!(verdicts(&acme).as_array().unwrap().len(), 3);
    assert_eq!(verdicts(&there.tenant("copy")), verdicts(&acme));
    let again = import_all(&there, "copy", &file);
    assert_eq!(again["new_policies"], 0);
    // A policy that differs here is left as it is, and reported.
    let copy = there.operator("copy");
    copy.json("PATCH", "/policy", &json!({"accept": "cms"}))
        .expect(200);
    let (complete, said, _) = import(&there, "copy", &file);
    assert!(!complete);
    assert!(
        said["told"][0]
            .as_str()
            .unwrap()
            .contains("The policy is left out"),
        "{said}"
    );
    let kept = copy.get("/policy").expect(200);
    assert_eq!(kept.json["content"]["policy"]["accept"], "cms");
    // An anchor that is not a certificate is refused.
    let forged = here.database.folder.path().join("forged.ndjson");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&forged, text.replace("BEGIN CERTIFICATE", "BEGIN NOTHING")).unwrap();
    let (complete, _, error) = import(&there, "third", &forged);
    assert!(!complete, "{error}");
}
