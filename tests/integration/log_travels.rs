//! A log goes with its tenant: proofs, numbers and erased entries are the same in another database.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sigpersist_model::audit::{Actor, Event};
use sigpersist_model::digest::sha256;
use sigpersist_tlog::{Entry, TlogProof, VerifierKey, leaf_hash, seal};

use crate::support::tenant_file::{arriving, import, import_all, lines, sealed, without_log};
use crate::support::{Client, TestApp, eventually, rounds};

#[track_caller]
fn export(app: &TestApp, slug: &str) -> (PathBuf, Value) {
    let path = app.database.folder.path().join(format!("{slug}.ndjson"));
    let output = path.to_str().unwrap();
    let said = app
        .database
        .run(&["tenant", "export", slug, "--output", output, "--json"]);
    (path, serde_json::from_str(&said).unwrap())
}

/// All that happened to a tenant.
#[track_caller]
fn feed(client: &Client) -> Vec<Value> {
    let page = client.get("/events?after=0&limit=1000").expect(200);
    page.json["content"]["events"].as_array().unwrap().clone()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().map(|event| event["type"].as_str().unwrap());
    kinds.collect()
}

/// The keys of all trees of a log.
fn keys(client: &Client) -> Vec<VerifierKey> {
    let keys = client.get("/log/keys").expect(200);
    let keys = keys.json["content"]["keys"].as_array().unwrap().clone();
    let texts = keys
        .iter()
        .flat_map(|key| key["verifier_keys"].as_array().unwrap());
    texts
        .map(|text| text.as_str().unwrap().parse().unwrap())
        .collect()
}

#[track_caller]
fn prove(client: &Client, document: &str, version: u32) -> Value {
    let path = format!("/signature/proof?document={document}&thread=t&version={version}");
    let proof = client.get(&path).expect(200);
    proof.json["content"]["proof"].clone()
}

/// Verifies a proof with nothing but keys. Returns the name of its tree.
#[track_caller]
fn verified(proof: &Value, signature: &str, keys: &[VerifierKey]) -> String {
    let text = |name: &str| proof[name].as_str().unwrap();
    let entry = Entry::parse(text("entry")).unwrap();
    let metadata = BASE64.decode(text("metadata")).unwrap();
    let signature = sha256(signature.as_bytes());
    assert_eq!(entry.seal, seal(&signature, &sha256(&metadata)));
    let proven: TlogProof = text("tlog_proof").parse().unwrap();
    let leaf = leaf_hash(text("entry").as_bytes());
    proven.verify(&leaf, text("origin"), keys).unwrap();
    text("origin").to_owned()
}

#[track_caller]
fn assert_whole(client: &Client) {
    let checked = client.get("/log/verify").expect(200);
    let checked = &checked.json["content"]["log"];
    assert_eq!(checked["faults"], json!([]));
    assert_eq!(checked["waiting"], 0);
    assert_eq!(checked["signed"], true);
}

/// All rows of the logs of a tenant.
fn rows(app: &TestApp, slug: &str) -> String {
    let id = app.tenant_id(slug);
    let tables = [
        "log_entries",
        "log_nodes",
        "log_epochs",
        "log_imported_keys",
    ];
    let rows = tables.map(|table| {
        app.database.lines(&format!(
            "SELECT t::text AS line FROM {table} t WHERE tenant_id = {id} ORDER BY t::text"
        ))
    });
    rows.concat()
}

/// A tenant to whom everything happened that a log tells. Returns the versions that can be proven, each with its signature.
fn busy(app: &TestApp) -> (Client, Vec<(&'static str, u32, &'static str)>) {
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    acme.save("d", "t", 0, "one").expect(201);
    acme.save("d", "t", 1, "two").expect(201);
    acme.save("gone", "t", 0, "nobody may know").expect(201);
    app.sequence();
    operator
        .json("PATCH", "/policy", &json!({"record_verdicts": true}))
        .expect(200);
    acme.save("e", "t", 0, "three").expect(201);
    acme.delete("gone", "t").expect(200);
    app.sequence();
    // Another key, and another tree.
    app.platform()
        .json("POST", "/log/keys", &json!({}))
        .expect(201);
    acme.save("f", "t", 0, "four!").expect(201);
    app.sequence();
    let tenant = app.tenant_id("acme");
    app.app.store.log_freeze(tenant, "For this test.").unwrap();
    let reason = json!({"reason": "It was for a test"});
    app.platform()
        .json("POST", "/tenants/acme/log/reopen", &reason)
        .expect(200);
    acme.save("d", "t", 2, "five!").expect(201);
    acme.save("gone later", "t", 0, "another").expect(201);
    app.sequence();
    let versions = vec![
        ("d", 1, "one"),
        ("d", 2, "two"),
        ("d", 3, "five!"),
        ("e", 1, "three"),
        ("f", 1, "four!"),
    ];
    (operator, versions)
}

#[test]
fn a_log_goes_on_in_another_database() {
    let (here, there, third) = (TestApp::start(), TestApp::start(), TestApp::start());
    let (acme, versions) = busy(&here);
    let proofs: Vec<_> = versions
        .iter()
        .map(|(document, version, _)| prove(&acme, document, *version))
        .collect();
    let old_keys = keys(&acme);
    let before = feed(&acme);
    // These have no number when the file is written.
    acme.save("late", "t", 0, "six").expect(201);
    acme.delete("gone later", "t").expect(200);
    let erased: Vec<_> = feed(&acme);
    assert_ne!(erased, before);
    let (file, said) = export(&here, "acme");
    assert_eq!(said["counts"]["log_epochs"], 2);
    assert_eq!(said["counts"]["log_entries"], before.len());
    assert_eq!(said["faults"], json!([]));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("nobody may know"));
    // What happens here gets no number before the log is there.
    let sequencing = there.keep_sequencing();
    let said = import_all(&there, "acme", &file);
    assert_eq!(said["log"], "taken", "{said}");
    assert!(said["new_entries"].as_u64().unwrap() > before.len() as u64);
    drop(sequencing);
    there.sequence();
    there
        .add_key(
            Some("acme"),
            &sigpersist::tenants::NewKey::made(sigpersist_model::key::Algorithm::Hs256),
        )
        .unwrap();
    let copy = there.operator("acme");
    there.sequence();
    assert_whole(&copy);
    // The feed is the source's, and goes on: a reader that kept a number misses nothing.
    let after = feed(&copy);
    assert_eq!(after[..erased.len()], erased);
    let numbers: Vec<_> = after.iter().map(|event| event["number"].as_u64()).collect();
    assert_eq!(
        numbers,
        (1..=after.len() as u64).map(Some).collect::<Vec<_>>()
    );
    let new = &after[erased.len()..];
    assert_eq!(
        kinds(new)[..5],
        [
            "log.continues",
            "verdict.recorded",
            "signature.deleted",
            "tenant.export_begin",
            "tenant.create"
        ],
        "{:?}",
        kinds(new)
    );
    assert_eq!(new[2]["document"], "gone later");
    let imported = new
        .iter()
        .filter(|event| event["type"] == "version.imported");
    assert_eq!(
        imported.map(|event| &event["document"]).collect::<Vec<_>>(),
        ["late"]
    );
    // Proofs from before hold with the keys that this database tells, and those made here with the keys from before.
    let new_keys = keys(&copy);
    for ((document, version, signature), proof) in versions.iter().zip(&proofs) {
        let origin = verified(proof, signature, &old_keys);
        assert_eq!(verified(proof, signature, &new_keys), origin);
        let again = prove(&copy, document, *version);
        assert_eq!(verified(&again, signature, &old_keys), origin);
        assert_eq!(again["number"], proof["number"]);
        assert_eq!(again["metadata"], proof["metadata"]);
    }
    copy.save("d", "t", 3, "seven").expect(201);
    there.sequence();
    for (document, version, signature) in [("late", 1, "six"), ("d", 4, "seven")] {
        let proof = prove(&copy, document, version);
        let origin = verified(&proof, signature, &new_keys);
        assert!(!old_keys.iter().any(|key| key.name == origin));
    }
    // Keys of the other server sign nothing here, and the other way round.
    let shown = copy.get("/log/keys").expect(200);
    let shown = shown.json["content"]["keys"].as_array().unwrap();
    assert_eq!(shown.len(), 3);
    for (place, key) in shown.iter().enumerate() {
        assert_eq!(key["imported"], place < 2);
        assert_eq!(key["id"].is_null(), place < 2);
        assert_eq!(key["not_after"].is_null(), place == 2);
        assert_eq!(
            key["verifier_keys"].as_array().unwrap().len(),
            if place < 2 { 2 } else { 1 }
        );
    }
    // Trees of before are served, and are not this server's to anchor.
    let tile = copy.bytes("/log/epochs/1/tile/0/000.p/1");
    assert_eq!(tile, acme.bytes("/log/epochs/1/tile/0/000.p/1"));
    while sigpersist::log::anchor(&there.app).unwrap() {}
    there.sequence();
    let heads = there
        .database
        .lines("SELECT event AS line FROM log_entries WHERE tenant_id = 0 AND kind = 'h'");
    assert_eq!(heads.lines().count(), 1, "{heads}");
    for key in &old_keys {
        assert!(!heads.contains(&key.name));
    }
    // Whatever is deleted here is erased in the imported entries, too.
    copy.delete("e", "t").expect(200);
    there.sequence();
    assert_whole(&copy);
    let of_e = after
        .iter()
        .filter(|event| event["document"] == "e" && event["type"] == "version.saved");
    for event in of_e {
        let place = event["number"].as_u64().unwrap() as usize - 1;
        assert_eq!(feed(&copy)[place]["type"], "erased");
    }
    // Again, nothing happens; but the thread that was deleted here comes back.
    let before = rows(&there, "acme");
    let said = import_all(&there, "acme", &file);
    assert_eq!(
        (&said["log"], &said["new_entries"]),
        (&json!("same"), &json!(0))
    );
    assert_eq!(rows(&there, "acme"), before);
    there.sequence();
    assert_whole(&copy);
    assert_eq!(said["new_ids"], 1);
    verified(&prove(&copy, "e", 1), "three", &new_keys);
    // The log moves on with all its trees.
    there.sequence();
    let (file, _) = export(&there, "acme");
    let said = import_all(&third, "acme", &file);
    assert_eq!(said["log"], "taken", "{said}");
    third.sequence();
    third
        .add_key(
            Some("acme"),
            &sigpersist::tenants::NewKey::made(sigpersist_model::key::Algorithm::Hs256),
        )
        .unwrap();
    let last = third.operator("acme");
    third.sequence();
    assert_whole(&last);
    let fed = feed(&copy);
    assert_eq!(feed(&last)[..fed.len()], fed);
    let proof = prove(&last, "d", 1);
    verified(&proof, "one", &old_keys);
    verified(&prove(&last, "d", 4), "seven", &new_keys);
    assert_eq!(keys(&last).len(), 2 * 2 + 1 + 1);
}

/// A tenant with so many changes that their entries are more than one batch.
fn with_many_entries(app: &TestApp) -> Client {
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "one").expect(201);
    let tenant = app.tenant_id("acme");
    for number in 0..1_600 {
        let event = Event::new(
            Some(tenant),
            Actor::command_line(),
            "hook.set",
            number.to_string(),
        );
        app.app.store.audit_insert(&event).unwrap();
    }
    app.sequence();
    app.operator("acme")
}

/// Begins an import into `copy`, and kills it when its first entries are there.
fn kill_import(there: &TestApp, file: &Path) {
    // Its second batch waits for this entry, whose number it has. The tenant will be the first one.
    let held = there.database.hold(
        "INSERT INTO log_entries (tenant_id, number, at, kind, seal, leaf) VALUES (1, 1500, now(), 'c', 'x', 'x')",
    );
    let mut child = arriving(there, &["copy", "--create"], file);
    let stored = || {
        let count = "SELECT count(*)::text AS line FROM log_entries WHERE tenant_id = 1";
        there.database.lines(count).trim() == "1000"
    };
    eventually(stored);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(held);
    assert_eq!(there.tenant_id("copy").0, 1);
}

#[test]
fn an_import_that_was_killed_goes_on_with_the_log_and_shows_nothing_before() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let acme = with_many_entries(&here);
    let (file, said) = export(&here, "acme");
    let entries = said["counts"]["log_entries"].as_u64().unwrap();
    kill_import(&there, &file);
    // Nobody hears of it, and webhooks that are made meanwhile do not call with it.
    there.database.execute(
        "INSERT INTO webhooks (tenant_id, url, types, cursor, encrypted_secret) VALUES (1, 'https://a.example/', '{}', 0, 'x')",
    );
    there.sequence();
    let epochs = "SELECT count(*)::text AS line FROM log_epochs WHERE tenant_id = 1";
    assert_eq!(there.database.lines(epochs).trim(), "0");
    let tenant = there.tenant_id("copy");
    assert!(
        there
            .app
            .store
            .log_happenings(tenant, 0, 10)
            .unwrap()
            .0
            .is_empty()
    );
    assert_eq!(there.app.store.log_head(tenant).unwrap(), 0);
    let said = import_all(&there, "copy", &file);
    assert_eq!(said["log"], "taken");
    let added = said["new_entries"].as_u64().unwrap();
    let queued = added - (entries - 1_000);
    assert!((1..10).contains(&queued), "{added}");
    let cursor = there
        .database
        .lines("SELECT cursor::text AS line FROM webhooks");
    assert_eq!(cursor.trim(), entries.to_string());
    there.sequence();
    let copy = there.platform_for("copy");
    assert_whole(&copy);
    let mut after = 0;
    for _ in 0..2 {
        let path = format!("/events?after={after}&limit=1000");
        let (old, new) = (acme.get(&path).expect(200), copy.get(&path).expect(200));
        let old = old.json["content"]["events"].as_array().unwrap();
        let new = new.json["content"]["events"].as_array().unwrap();
        let common = old.len().min(new.len()).min(entries as usize - after);
        assert_eq!(old[..common], new[..common]);
        after += 1_000;
    }
}

#[test]
fn two_imports_at_once_make_one_tenant_with_one_log() {
    let here = TestApp::start();
    let acme = with_many_entries(&here);
    let (file, said) = export(&here, "acme");
    let entries = said["counts"]["log_entries"].as_u64().unwrap();
    let told = |client: &Client| {
        let events = client.get("/events?limit=1000").expect(200);
        events.json["content"]["events"].clone()
    };
    for _ in 0..rounds(3) {
        let there = TestApp::start();
        let mut both = [0; 2].map(|_| arriving(&there, &["copy", "--create"], &file));
        let ends = both.each_mut().map(|child| child.wait().unwrap().success());
        assert!(ends.contains(&true), "{ends:?}");
        // If one was refused, it finds nothing left to do.
        let said = import_all(&there, "copy", &file);
        assert_eq!(said["new_versions"], 0, "{said}");
        there.sequence();
        let copy = there.platform_for("copy");
        assert_whole(&copy);
        let count = format!(
            "SELECT count(*)::text AS line FROM log_entries WHERE tenant_id = 1 AND number <= {entries}"
        );
        assert_eq!(there.database.lines(&count).trim(), entries.to_string());
        assert!(told(&acme) == told(&copy), "other events are told");
    }
}

#[test]
fn a_log_that_was_given_up_leaves_room_for_one_of_its_own() {
    let (here, there) = (TestApp::start(), TestApp::start());
    with_many_entries(&here);
    let (file, _) = export(&here, "acme");
    let kept = file.with_extension("first");
    std::fs::rename(&file, &kept).unwrap();
    let file = kept;
    kill_import(&there, &file);
    // No thread was there yet, so another file may take its place.
    let (other, _) = export(&here, "acme");
    let said = import_all(&there, "copy", &other);
    assert_eq!(said["log"], "taken");
    there.sequence();
    assert_whole(&there.platform_for("copy"));

    let there = TestApp::start();
    kill_import(&there, &file);
    let platform = there.platform();
    platform
        .json("POST", "/tenants/copy/resume", &json!({"incomplete": true}))
        .expect(200);
    there.sequence();
    let copy = there.platform_for("copy");
    assert_whole(&copy);
    assert_eq!(kinds(&feed(&copy))[0], "tenant.create");
    let said = import_all(&there, "copy", &file);
    assert_eq!(said["log"], "kept");
    there.sequence();
    assert_whole(&copy);
    verified(&prove(&copy, "d", 1), "one", &keys(&copy));

    // Part of another file is there, with threads: they get new entries.
    let there = TestApp::start();
    kill_import(&there, &file);
    there.database.execute(
        "INSERT INTO signatures (tenant_id, document, thread, version) VALUES (1, 'x', 't', 1);
         INSERT INTO signature_versions (tenant_id, signature_id, version, encoding, sha256, tags, signature, salt)
         SELECT 1, id, 1, 't', sha256('x'), '{}', 'x', 'of the other file' FROM signatures",
    );
    let said = import_all(&there, "copy", &other);
    assert_eq!(said["log"], "kept");
    assert!(
        said["told"][0]
            .as_str()
            .unwrap()
            .contains("part of another file")
    );
    there.sequence();
    let copy = there.platform_for("copy");
    assert_whole(&copy);
    verified(&prove(&copy, "x", 1), "x", &keys(&copy));
}

#[test]
fn a_tenant_with_a_log_keeps_it_and_proves_what_was_imported() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let (acme, versions) = busy(&here);
    let (file, _) = export(&here, "acme");
    there.tenant("copy").save("own", "t", 0, "own").expect(201);
    there.sequence();
    // Into a tenant with a log, and beside the source, where the tree has its name already.
    for (app, why) in [
        (&there, "the tenant has a log of its own here"),
        (&here, "another tenant of this database has the same one"),
    ] {
        let _sequencing = app.keep_sequencing();
        let said = import_all(app, "copy", &file);
        assert_eq!(
            (&said["log"], &said["new_entries"]),
            (&json!("kept"), &json!(0))
        );
        assert!(said["told"][0].as_str().unwrap().contains(why), "{said}");
    }
    for app in [&there, &here] {
        app.sequence();
        let copy = app.platform_for("copy");
        assert_whole(&copy);
        for (document, version, signature) in &versions {
            verified(&prove(&copy, document, *version), signature, &keys(&copy));
        }
        let events = feed(&copy);
        let imported = events
            .iter()
            .filter(|event| event["type"] == "version.imported");
        // With the version that the source deleted later.
        assert_eq!(imported.count(), versions.len() + 1);
    }
    assert_whole(&acme);
}

#[test]
fn a_log_that_was_changed_in_the_file_is_refused_by_its_line() {
    let (here, there) = (TestApp::start(), TestApp::start());
    busy(&here);
    let whole = lines(&export(&here, "acme").0);
    let path = there.database.folder.path().join("changed.ndjson");
    let place = |part: &str| {
        let found = whole.iter().position(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no line has {part}"))
    };
    let entry = place("\"kind\":\"version\"");
    let change = place("\"kind\":\"change\"");
    let epoch = place("{\"log_epoch\"");
    let second = whole
        .iter()
        .rposition(|line| line.contains("{\"log_epoch\""))
        .unwrap();
    let queued = place("{\"log_queued\"");
    let version = place("{\"version\"");
    let edit = |line: &str, edit: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(line).unwrap();
        edit(&mut value);
        value.to_string()
    };
    let x = json!("0".repeat(64));
    let number: Value = serde_json::from_str(&whole[entry]).unwrap();
    let number = number["log_entry"]["number"].clone();
    type Edit<'a> = Box<dyn Fn(&mut Value) + 'a>;
    let cases: Vec<(usize, Edit<'_>, &str)> = vec![
        (
            entry,
            Box::new(|it| it["log_entry"]["what"]["at"] = json!("2020-01-01T00:00:00Z")),
            "was changed: its hash is another one",
        ),
        (
            entry,
            Box::new(|it| it["log_entry"]["what"]["seal"] = x.clone()),
            "was changed: its hash is another one",
        ),
        (
            entry,
            Box::new(|it| it["log_entry"]["leaf"] = x.clone()),
            "was changed: its hash is another one",
        ),
        (
            entry,
            Box::new(|it| it["log_entry"]["number"] = json!(77)),
            "it must be entry ",
        ),
        (
            entry,
            Box::new(|it| it["log_entry"]["what"]["thread"] = json!(0)),
            "a thread's id is from 1",
        ),
        (
            change,
            Box::new(|it| it["log_entry"]["what"]["event"] = json!("{\"type\": \"x\"}")),
            "its `event` is not the one that its `seal` covers",
        ),
        (
            change,
            Box::new(|it| it["log_entry"]["what"]["event"] = Value::Null),
            "do not fit its kind",
        ),
        (
            epoch,
            Box::new(|it| it["log_epoch"]["keys"] = json!([])),
            "the checkpoint of tree 1 does not hold",
        ),
        (
            epoch,
            Box::new(|it| {
                it["log_epoch"]["origin"] = json!(format!("sigpersist/{}", "0".repeat(32)));
            }),
            "the checkpoint of tree 1 does not hold",
        ),
        (
            epoch,
            Box::new(|it| it["log_epoch"]["size"] = json!(3)),
            "and its checkpoint is about",
        ),
        (
            epoch,
            Box::new(|it| {
                it["log_epoch"]
                    .as_object_mut()
                    .unwrap()
                    .remove("checkpoint");
            }),
            "is not signed",
        ),
        (
            second,
            Box::new(|it| it["log_epoch"]["first"] = json!(5_000)),
            "it must be tree 2 of the log, which begins with entry",
        ),
        (
            queued,
            Box::new(|it| it["log_queued"]["event"] = json!("{}")),
            "its `event` is not the one",
        ),
        (
            version,
            Box::new(|it| it["version"]["version_comment"] = json!("x")),
            "unknown field",
        ),
        (
            version,
            Box::new(|it| it["version"]["comment"] = json!("x")),
            "the version is not what its entry in the log says",
        ),
        (
            version,
            Box::new(|it| {
                it["version"].as_object_mut().unwrap().remove("salt");
            }),
            "it lacks the `salt`",
        ),
        (
            version,
            Box::new(|it| it["version"]["salt"] = json!("00")),
            "is not 16 bytes in hexadecimal",
        ),
    ];
    for (place, change, said) in cases {
        let mut changed = whole.clone();
        changed[place] = edit(&changed[place], &change);
        assert_ne!(changed[place], whole[place]);
        refused(
            &there,
            &path,
            sealed(changed),
            &format!("Line {} of the file: ", place + 1),
            said,
        );
    }
    // An entry that another one takes the place of, with a hash of its own.
    let mut changed = whole.clone();
    let mut forged: Value = serde_json::from_str(&whole[entry]).unwrap();
    forged["log_entry"]["what"]["at"] = json!("2020-01-01T00:00:00Z");
    let micros = 1_577_836_800_000_000_i64;
    let sealed_hex = forged["log_entry"]["what"]["seal"].as_str().unwrap();
    let text = Entry {
        kind: sigpersist_tlog::Kind::Version,
        at_micros: micros,
        seal: sigpersist_model::digest::from_hex(sealed_hex)
            .unwrap()
            .try_into()
            .unwrap(),
        refs: Vec::new(),
    };
    let leaf = leaf_hash(text.to_text().as_bytes());
    forged["log_entry"]["leaf"] = json!(sigpersist_model::digest::to_hex(&leaf));
    changed[entry] = forged.to_string();
    refused(
        &there,
        &path,
        sealed(changed),
        &format!("Line {second} of the file: "),
        "the entries of tree 1 of the log are not those that its checkpoint is about",
    );
    let mut less = whole.clone();
    less.remove(entry);
    refused(
        &there,
        &path,
        sealed(less),
        &format!("Line {} of the file: ", entry + 1),
        &format!("it must be entry {number} of the log"),
    );
    // Nothing was made of any of them.
    let tenants = there.database.lines("SELECT slug AS line FROM tenants");
    assert_eq!(tenants, "");
}

#[track_caller]
fn refused(there: &TestApp, path: &Path, lines: Vec<String>, line: &str, said: &str) {
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
    let (complete, _, error) = import(there, "copy", path);
    assert!(!complete, "{said}");
    assert!(
        error.contains(line) && error.contains(said),
        "{line} {said}: {error}"
    );
}

#[test]
fn a_file_without_a_log_and_a_log_that_cannot_be_shown_are_imported_as_before() {
    let (here, there) = (TestApp::start(), TestApp::start());
    let (acme, versions) = busy(&here);
    let old = without_log(lines(&export(&here, "acme").0));
    let path = there.database.folder.path().join("old.ndjson");
    std::fs::write(&path, old.join("\n") + "\n").unwrap();
    let said = import_all(&there, "old", &path);
    assert_eq!(said["log"], "none");
    // A log of which part is not signed, or that somebody changed, stays where it is, and the tenant moves all the same.
    for (slug, change, fault) in [
        (
            "unsigned",
            "UPDATE log_epochs SET checkpoint = NULL WHERE epoch = 2",
            "tree 2 of the log is not signed",
        ),
        (
            "changed",
            "UPDATE signature_versions SET comment = 'forged' WHERE version = 3",
            "version 3 of `d`/`t` is not what entry ",
        ),
        (
            "damaged",
            "DELETE FROM log_entries WHERE tenant_id = 1 AND number = 2",
            "entry 2 of the log is missing",
        ),
    ] {
        here.database.execute(change);
        let (file, said) = export(&here, "acme");
        let faults = said["faults"].as_array().unwrap();
        assert!(
            faults.iter().any(|told| {
                let told = told.as_str().unwrap();
                told.contains("its log is not in the file") && told.contains(fault)
            }),
            "{faults:?}"
        );
        assert_eq!(said["counts"]["log_entries"], 0);
        assert_eq!(import_all(&there, slug, &file)["log"], "none");
        if slug == "unsigned" {
            // Signed again as soon as the log grows.
            acme.save("signed", "t", 0, "x").expect(201);
            here.sequence();
        }
    }
    there.sequence();
    for slug in ["old", "unsigned"] {
        let copy = there.platform_for(slug);
        assert_whole(&copy);
        for (document, version, signature) in &versions {
            verified(&prove(&copy, document, *version), signature, &keys(&copy));
        }
    }
}
