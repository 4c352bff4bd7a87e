//! The log of each tenant: what is stored is in it, in order; proofs hold, and only for what is true.

use std::slice;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sigpersist::log::offline::{self, Fault, GivenKey, ProofFiles, Quorum};
use sigpersist_model::context::Scope;
use sigpersist_model::digest::{from_hex, sha256};
use sigpersist_tlog::{
    Checkpoint, Entry, Hash, Metadata, Stored, StoredRange, TlogProof, VerifierKey, leaf_hash,
    read_entry_bundle, root, seal, verify_consistency,
};

use crate::support::{Client, FIRST, TestApp};

fn monitor(app: &TestApp, slug: &str) -> Client {
    app.client(slug, &[Scope::SignaturesRead, Scope::LogRead])
}

/// The keys of a tenant's log, for its current tree.
fn keys(monitor: &Client) -> Vec<VerifierKey> {
    let keys = monitor.get("/log/keys").expect(200);
    let keys = keys.json["content"]["keys"].as_array().unwrap().iter();
    keys.map(|key| {
        let keys = key["verifier_keys"].as_array().unwrap();
        keys.last().unwrap().as_str().unwrap().parse().unwrap()
    })
    .collect()
}

/// The current checkpoint, verified.
fn checkpoint(monitor: &Client) -> Checkpoint {
    let note = monitor.get("/log/checkpoint").text;
    let origin = note.lines().next().unwrap();
    Checkpoint::open(&note, origin, &keys(monitor)).unwrap()
}

/// Verifies a proof of a stored version with nothing but the key: the leaf, its entry and metadata.
fn verified(proof: &Value, signature: &[u8], keys: &[VerifierKey]) -> (Entry, Metadata) {
    let text = |name: &str| proof[name].as_str().unwrap();
    let entry = Entry::parse(text("entry")).unwrap();
    let metadata = BASE64.decode(text("metadata")).unwrap();
    assert_eq!(entry.seal, seal(&sha256(signature), &sha256(&metadata)));
    let proven: TlogProof = text("tlog_proof").parse().unwrap();
    let leaf = leaf_hash(text("entry").as_bytes());
    let checkpoint = proven.verify(&leaf, text("origin"), keys).unwrap();
    assert_eq!(proof["size"], checkpoint.size);
    assert_eq!(proof["index"], proven.index);
    (entry, Metadata::parse(&metadata).unwrap())
}

/// The tiles of a log, read over HTTP.
struct Tiles<'a>(&'a Client, u64);

impl Stored for Tiles<'_> {
    type Error = std::convert::Infallible;

    fn hashes(&mut self, ranges: &[StoredRange]) -> Result<Vec<Vec<Hash>>, Self::Error> {
        let read = |range: &StoredRange| {
            let tile = range.first / 256;
            let all = self.1 >> (8 * range.level);
            let width = (all - tile * 256).min(256);
            let path = match width {
                256 => format!("{}/{:03}", range.level, tile),
                width => format!("{}/{:03}.p/{width}", range.level, tile),
            };
            let tile = self.0.bytes(&format!("/log/tile/{path}"));
            let from = usize::try_from(range.first % 256).unwrap();
            let hashes = tile.chunks(32).skip(from).take(range.count as usize);
            hashes.map(|hash| hash.try_into().unwrap()).collect()
        };
        Ok(ranges.iter().map(read).collect())
    }
}

#[test]
fn every_version_is_proven_by_the_key_of_the_log_alone() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let monitor = monitor(&app, "acme");
    let body = json!({
        "document": "d", "thread": "t", "version": 0, "cms": FIRST.trim(), "tags": ["b", "a"], "stage": "draft",
        "version_created_by": "33", "version_comment": "The first",
    });
    acme.post(&body).expect(201);
    acme.save("d", "t", 1, "not base64!").expect(201);
    let queued = monitor
        .get("/signature/proof?document=d&thread=t")
        .expect(202);
    assert_eq!(queued.json["content"]["proof"]["state"], "queued");
    assert_eq!(queued.header("retry-after"), Some("1"));
    app.sequence();
    let path = "/signature/proof?document=d&thread=t&version=";
    let keys = keys(&monitor);
    let first = monitor.get(&format!("{path}1")).expect(200);
    let bytes = BASE64.decode(FIRST.trim()).unwrap();
    let (_, metadata) = verified(&first.json["content"]["proof"], &bytes, &keys);
    let Metadata::Version { version, .. } = metadata else {
        panic!("{metadata:?}");
    };
    assert_eq!((&*version.document, &*version.thread), ("d", "t"));
    assert_eq!((version.version, &*version.encoding), (1, "base64"));
    assert_eq!(version.stage.as_deref(), Some("draft"));
    assert_eq!(version.created_by.as_deref(), Some("33"));
    assert_eq!(version.comment.as_deref(), Some("The first"));
    assert_eq!(version.tags, ["b", "a"]);
    let second = monitor.get(&format!("{path}2")).expect(200);
    let second = &second.json["content"]["proof"];
    let (_, metadata) = verified(second, b"not base64!", &keys);
    assert!(matches!(metadata, Metadata::Version { version, .. } if version.version == 2));
    assert!(second["number"].as_i64() > first.json["content"]["proof"]["number"].as_i64());
    // The same proof in other formats.
    let plain = monitor.get(&format!("{path}2&format=tlog-proof"));
    assert_eq!(second["tlog_proof"], *plain.text);
    let zip = monitor.bytes(&format!("{path}2&format=bundle"));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    let mut entry = String::new();
    std::io::Read::read_to_string(&mut zip.by_name("entry").unwrap(), &mut entry).unwrap();
    assert_eq!(second["entry"], entry);
    // Another tenant finds nothing.
    app.tenant("other");
    let other = self::monitor(&app, "other");
    other
        .get(&format!("{path}1"))
        .expect_error(404, "signature_not_found");
    other
        .get("/log/checkpoint")
        .expect_error(404, "log_not_found");
}

#[test]
fn a_monitor_rebuilds_the_log_from_its_tiles() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let monitor = monitor(&app, "acme");
    app.sequence();
    let small = checkpoint(&monitor);
    for number in 0..600 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    app.sequence();
    let large = checkpoint(&monitor);
    assert_eq!(large.size, small.size + 600);
    let rebuilt = root(large.size, &mut Tiles(&monitor, large.size)).unwrap();
    assert_eq!(rebuilt, large.root);
    let mut leaves = Vec::new();
    for tile in 0..large.size.div_ceil(256) {
        let width = (large.size - tile * 256).min(256);
        let path = match width {
            256 => format!("entries/{tile:03}"),
            width => format!("entries/{tile:03}.p/{width}"),
        };
        let entries = monitor.bytes(&format!("/log/tile/{path}"));
        for entry in read_entry_bundle(&entries).unwrap() {
            leaves.push(leaf_hash(entry));
        }
    }
    let tile = monitor.bytes("/log/tile/0/000");
    assert_eq!(tile, leaves[..256].concat());
    let consistency = monitor
        .get(&format!("/log/consistency?from={}", small.size))
        .expect(200);
    let proof: Vec<Hash> = consistency.json["content"]["proof"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hash| {
            BASE64
                .decode(hash.as_str().unwrap())
                .unwrap()
                .try_into()
                .unwrap()
        })
        .collect();
    verify_consistency(small.size, large.size, &proof, &small.root, &large.root).unwrap();
    // Whoever read a tile before it was full may read it again.
    assert_eq!(
        monitor.bytes("/log/tile/0/001.p/9"),
        leaves[256..265].concat()
    );
    for path in [
        "0/002.p/255",
        "0/999",
        "9/000",
        "0/1",
        "entries/x001",
        "0/000/",
    ] {
        let missing = monitor.get(&format!("/log/tile/{path}"));
        missing.expect_error(404, "tile_not_found");
    }
}

/// A seal covers a signature and its metadata in the order of their hashes, and does not say which is which.
#[test]
fn a_signature_that_is_metadata_proves_nothing_as_metadata() {
    const FORGED: &str =
        "sigpersist.dev/metadata/v1\n16:0123456789abcdef,8:contract,8:approval,1:9,4:text,---1:0,";
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    for (document, text) in [("honest", "sigpersist"), ("forged", FORGED)] {
        acme.save(document, "t", 0, text).expect(201);
    }
    app.sequence();
    let key = GivenKey::Named(keys(&operator).remove(0));
    let files_of = |document: &str, signature: &str| {
        let path = format!("/signature/proof?document={document}&thread=t");
        let proof = operator.get(&path).expect(200).json["content"]["proof"].clone();
        let text = |name: &str| proof[name].as_str().unwrap().to_owned();
        ProofFiles {
            signature: signature.into(),
            metadata: BASE64.decode(text("metadata")).unwrap(),
            entry: text("entry").into(),
            proof: text("tlog_proof").into(),
            checkpoint: None,
        }
    };
    let honest = files_of("honest", "sigpersist");
    assert!(offline::verify(&honest, slice::from_ref(&key), &Quorum::default()).is_ok());
    let forged = files_of("forged", FORGED);
    let swapped = ProofFiles {
        signature: forged.metadata.clone(),
        metadata: forged.signature.clone(),
        ..forged.clone()
    };
    for files in [forged, swapped] {
        let fault = offline::verify(&files, slice::from_ref(&key), &Quorum::default()).unwrap_err();
        assert!(matches!(fault, Fault::Ambiguous), "{fault}");
    }
    // The entry that a proof carries is the one that is proven.
    let text = String::from_utf8(honest.proof.clone()).unwrap();
    let carried = text
        .lines()
        .find(|line| line.starts_with("extra "))
        .unwrap();
    let other = ProofFiles {
        proof: text.replace(carried, "extra AAAA").into(),
        ..honest
    };
    let fault = offline::verify(&other, &[key], &Quorum::default()).unwrap_err();
    assert!(matches!(fault, Fault::OtherEntry), "{fault}");
}

#[test]
fn a_deletion_is_recorded_and_what_was_deleted_cannot_be_guessed() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    operator
        .json("PATCH", "/policy", &json!({"record_verdicts": true}))
        .expect(200);
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    acme.save("kept", "t", 0, FIRST.trim()).expect(201);
    app.sequence();
    let path = "/signature/proof?document=kept&thread=t";
    let before = operator.get(path).expect(200).json["content"]["proof"].clone();
    acme.delete("d", "t").expect(200);
    app.sequence();
    let rows = app.database.lines(
        "SELECT kind::text || ' ' || (salt IS NULL) || ' ' || coalesce(event, '-') || ' ' || coalesce(refs::text, '-') AS line
         FROM log_entries WHERE tenant_id = (SELECT id FROM tenants WHERE slug = 'acme') AND signature_id IS NOT NULL
         ORDER BY number",
    );
    let rows: Vec<&str> = rows.lines().collect();
    // The version and its verdict; those of the other thread; the deletion.
    assert_eq!(rows[0], "v true - -");
    assert_eq!(rows[1], "j true - -");
    assert!(rows[3].starts_with("j false {"), "{rows:?}");
    assert!(
        rows[4].starts_with("d false {\"type\":\"signature.deleted\""),
        "{rows:?}"
    );
    let salts = app
        .database
        .lines("SELECT count(*)::text AS line FROM signature_versions WHERE salt IS NULL");
    assert_eq!(salts.trim(), "0");
    // Proofs of others, and checkpoints, stay valid.
    let bytes = BASE64.decode(FIRST.trim()).unwrap();
    let keys = keys(&operator);
    verified(&before, &bytes, &keys);
    let after = operator.get(path).expect(200);
    let (entry, _) = verified(&after.json["content"]["proof"], &bytes, &keys);
    assert_eq!(before["entry"], entry.to_text());
    let events = operator.get("/events?limit=1000").expect(200);
    let events = events.json["content"]["events"].as_array().unwrap();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let tail = &kinds[kinds.len() - 5..];
    assert_eq!(
        tail,
        [
            "erased",
            "erased",
            "version.saved",
            "verdict.recorded",
            "signature.deleted"
        ]
    );
    let deleted = events.last().unwrap();
    assert_eq!(
        (&deleted["document"], &deleted["version"]),
        (&json!("d"), &json!(1))
    );
    let sha256 = from_hex(deleted["sha256"].as_str().unwrap()).unwrap();
    assert_eq!(sha256, crate::log::sha256(&bytes));
}

#[test]
fn a_log_whose_rows_are_damaged_stops_no_other() {
    let app = TestApp::start();
    let tenants = ["acme", "other", "third"].map(|slug| app.tenant(slug));
    let save = |document: &str| {
        for tenant in &tenants {
            tenant.save(document, "t", 0, "x").expect(201);
        }
    };
    save("before");
    let sequencer = sigpersist::log::Sequencer::new(&app.app);
    let sequence = || while sequencer.pass(&app.app).unwrap() {};
    sequence();
    app.database.execute(
        "UPDATE log_epochs SET edge = '' WHERE tenant_id = (SELECT id FROM tenants WHERE slug = 'other')",
    );
    save("after");
    sequence();
    sequence();
    for (slug, status) in [("acme", 200), ("other", 202), ("third", 200)] {
        let proof = app
            .operator(slug)
            .get("/signature/proof?document=after&thread=t");
        proof.expect(status);
        let shown = app.operator(slug).get("/log").expect(200);
        let frozen = &shown.json["content"]["epochs"][0]["frozen"];
        assert_eq!(frozen.is_string(), status == 202, "{slug}: {frozen}");
    }
    // It goes on once somebody has looked.
    let reason = json!({"reason": "The table was damaged"});
    app.platform()
        .json("POST", "/tenants/other/log/reopen", &reason)
        .expect(200);
    sequence();
    app.operator("other")
        .get("/signature/proof?document=after&thread=t")
        .expect(200);
    // The platform's own log is a log like any other.
    app.platform()
        .json("POST", "/log/reopen", &reason)
        .expect_error(422, "refused");
    app.database.execute(
        "UPDATE log_epochs SET frozen_why = 'For a test.', frozen_at = now() WHERE tenant_id = 0",
    );
    let reopened = app
        .platform()
        .json("POST", "/log/reopen", &reason)
        .expect(200);
    assert_eq!(reopened.json["content"]["epochs"][1]["epoch"], 2);
}

/// What the check of a log finds; nothing if log and store agree.
fn faults(app: &TestApp) -> Vec<String> {
    let checked = app.operator("acme").get("/log/verify").expect(200);
    let log = &checked.json["content"]["log"];
    let faults = log["faults"].as_array().unwrap().iter();
    let faults: Vec<_> = faults
        .map(|fault| fault.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(log["whole"], faults.is_empty());
    faults
}

#[test]
fn whatever_somebody_does_to_the_rows_is_named() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for number in 0..300 {
        acme.save(&format!("d{number}"), "t", 0, FIRST.trim())
            .expect(201);
    }
    acme.save("d7", "t", 1, "another").expect(201);
    acme.delete("d8", "t").expect(200);
    app.sequence();
    assert_eq!(faults(&app), Vec::<String>::new());
    let next = || {
        app.operator("acme")
            .get("/events?after=now")
            .expect(200)
            .json["content"]["next"]
            .clone()
    };
    let end = next();
    let of = |document: &str| {
        format!("(SELECT id FROM signatures WHERE document = '{document}' AND tenant_id = 1)")
    };
    for (forgery, named) in [
        (
            format!("UPDATE signature_versions SET signature = 'forged' WHERE signature_id = {} AND version = 1", of("d7")),
            "Version 1 of `d7`/`t` is not what entry",
        ),
        (
            format!("UPDATE signature_versions SET signature = 'forged', sha256 = sha256('forged') WHERE signature_id = {} AND version = 1", of("d7")),
            "Version 1 of `d7`/`t` is not what entry",
        ),
        (
            format!("UPDATE signature_versions SET created_by = 'somebody else' WHERE signature_id = {}", of("d9")),
            "Version 1 of `d9`/`t` is not what entry",
        ),
        (
            format!("UPDATE signature_versions SET created_at = created_at - interval '1 day' WHERE signature_id = {}", of("d9")),
            "its time was changed",
        ),
        ("UPDATE signatures SET document = 'renamed' WHERE document = 'd10'".to_owned(), "Version 1 of `renamed`/`t`"),
        (format!("DELETE FROM signature_versions WHERE signature_id = {} AND version = 2", of("d7")), "was removed, and the log has no deletion of it"),
        ("DELETE FROM signatures WHERE document = 'd11'".to_owned(), "was removed, and the log has no deletion of it"),
        (
            format!("INSERT INTO signature_versions (tenant_id, signature_id, version, encoding, sha256, tags, signature, salt) SELECT 1, {}, 2, 't', sha256('x'), '{{}}', 'x', '0123456789abcdef'", of("d12")),
            "Version 2 of `d12`/`t` has no entry in the log",
        ),
        ("DELETE FROM log_entries WHERE number = 20 AND tenant_id = 1".to_owned(), "Entry 20 is missing."),
        ("DELETE FROM log_entries WHERE number BETWEEN 20 AND 29 AND tenant_id = 1".to_owned(), "The entries 20 to 29 are missing."),
        ("DELETE FROM log_entries WHERE number > 290 AND tenant_id = 1".to_owned(), "are missing."),
        ("UPDATE log_entries SET at = at - interval '1 day' WHERE number = 21 AND tenant_id = 1".to_owned(), "Entry 21 was changed"),
        ("UPDATE log_entries SET kind = 'i' WHERE number = 21 AND tenant_id = 1".to_owned(), "Entry 21 was changed"),
        ("UPDATE log_entries SET leaf = sha256('x') WHERE number = 21 AND tenant_id = 1".to_owned(), "Entry 21 was changed"),
        ("UPDATE log_entries SET event = replace(event, 'd8', 'd9') WHERE kind = 'd'".to_owned(), "was changed."),
        ("UPDATE log_entries SET event = NULL, salt = NULL WHERE number = 1 AND tenant_id = 1".to_owned(), "The event of entry 1 is missing."),
        ("UPDATE log_entries SET event = NULL, salt = NULL WHERE kind = 'd'".to_owned(), "The event of entry"),
        ("UPDATE signatures SET version = 1 WHERE document = 'd7'".to_owned(), "The current version of `d7`/`t` is not the last one"),
        (
            "INSERT INTO log_entries (tenant_id, number, kind, at, seal, leaf) \
             SELECT tenant_id, 100000, kind, at, seal, leaf FROM log_entries WHERE tenant_id = 1 AND number = 1".to_owned(),
            "1 entries are in no tree of the log",
        ),
        ("UPDATE log_nodes SET hash = sha256('x') WHERE tenant_id = 1".to_owned(), "Node 0 of level 1 of tree 1"),
        ("DELETE FROM log_nodes WHERE tenant_id = 1".to_owned(), "Node 0 of level 1 of tree 1"),
        ("INSERT INTO log_nodes SELECT tenant_id, epoch, level, 7, hash FROM log_nodes WHERE tenant_id = 1".to_owned(), "Node 7 of level 1 of tree 1 belongs to no entries"),
        ("UPDATE log_epochs SET root = sha256('x') WHERE tenant_id = 1".to_owned(), "its root is another one"),
        ("UPDATE log_epochs SET checkpoint = replace(checkpoint, '\n3', '\n2') WHERE tenant_id = 1".to_owned(), "The checkpoint of tree 1 does not hold"),
    ] {
        // As the owner of the database would do it, behind the server's back.
        let undo = app.database.keep();
        app.database.execute(&forgery);
        let found = faults(&app);
        // What is in no tree is not told, nor where somebody begins.
        let told = app.operator("acme").get("/events?after=99998").expect(200);
        assert_eq!(told.json["content"]["events"], json!([]), "{forgery}");
        assert_eq!(next(), end, "{forgery}");
        assert!(found.iter().any(|fault| fault.contains(named)), "{forgery}: {found:?}");
        drop(undo);
        assert_eq!(faults(&app), Vec::<String>::new(), "after {forgery}");
    }
    // The end of a log can be taken away together with what it is about, unless somebody kept its head.
    let operator = app.operator("acme");
    let head = operator.get("/log/verify").json["content"]["log"]["head"].clone();
    let expected = format!("/log/verify?expect={}", head.as_str().unwrap());
    acme.save("later", "t", 0, "x").expect(201);
    app.sequence();
    assert_eq!(
        operator.get(&expected).json["content"]["log"]["whole"],
        true
    );
    let other = format!("/log/verify?expect=5:{}", "0".repeat(64));
    assert_eq!(operator.get(&other).json["content"]["log"]["whole"], false);
}

#[test]
fn a_database_that_went_back_in_time_freezes_its_logs_until_somebody_says_why() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    let sequencer = sigpersist::log::Sequencer::new(&app.app);
    let sequence = || while sequencer.pass(&app.app).unwrap() {};
    sequence();
    let kept = app.database.keep();
    let before = checkpoint(&app.operator("acme"));
    acme.save("lost", "t", 0, "x").expect(201);
    acme.save("lost", "u", 0, "x").expect(201);
    sequence();
    let lost = app
        .operator("acme")
        .get("/events?after=0&limit=1000")
        .expect(200);
    let lost = lost.json["content"]["next"].as_i64().unwrap();
    drop(kept);
    // Saves go on, and nothing is signed.
    acme.save("after", "t", 0, "x").expect(201);
    sequence();
    sequence();
    let operator = app.operator("acme");
    assert_eq!(checkpoint(&operator), before);
    let shown = operator.get("/log").expect(200);
    let why = shown.json["content"]["epochs"][0]["frozen"]
        .as_str()
        .unwrap();
    assert!(why.contains("went back in time"), "{why}");
    let proof = operator.get("/signature/proof?document=after&thread=t");
    proof.expect(202);
    // Other tenants are not concerned.
    let other = app.tenant("other");
    other.save("d", "t", 0, "x").expect(201);
    sequence();
    assert!(checkpoint(&app.operator("other")).size > 0);
    let platform = app.platform();
    platform
        .json("POST", "/tenants/acme/log/reopen", &json!({"reason": " "}))
        .expect_error(400, "invalid_parameter");
    platform
        .json(
            "POST",
            "/tenants/acme/log/reopen",
            &json!({"reason": "A backup was restored"}),
        )
        .expect(200);
    platform
        .json(
            "POST",
            "/tenants/acme/log/reopen",
            &json!({"reason": "again"}),
        )
        .expect_error(422, "refused");
    sequence();
    let proof = operator
        .get("/signature/proof?document=after&thread=t")
        .expect(200);
    let proof = &proof.json["content"]["proof"];
    verified(proof, b"x", &keys(&operator));
    // Numbers that were given are not given again, and the feed tells that they are lost.
    assert!(proof["number"].as_i64().unwrap() > lost);
    let events = operator.get("/events?after=0&limit=1000").expect(200);
    let events = events.json["content"]["events"].as_array().unwrap();
    let numbers: Vec<_> = events
        .iter()
        .map(|event| event["number"].as_i64().unwrap())
        .collect();
    assert_eq!(
        numbers,
        (1..=i64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>()
    );
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    let gone = u64::try_from(lost).unwrap() - before.size;
    assert_eq!(
        kinds.iter().filter(|kind| **kind == "lost").count() as u64,
        gone
    );
    assert!(
        kinds.contains(&"log.continues") && kinds.contains(&"log.reopen"),
        "{kinds:?}"
    );
    assert_eq!(faults(&app), Vec::<String>::new());
    // The old tree is still served.
    let old = operator.get("/log/epochs/1/checkpoint");
    assert!(old.text.contains(&before.origin));
}

#[test]
fn a_new_key_signs_beside_the_old_one_and_either_verifies() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    app.sequence();
    let operator = app.operator("acme");
    let old = keys(&operator);
    assert_eq!(old.len(), 1);
    operator
        .json("POST", "/log/keys", &json!({}))
        .expect_error(403, "insufficient_scope");
    let platform = app.platform();
    let made = platform.json("POST", "/log/keys", &json!({})).expect(201);
    assert_eq!(made.json["content"]["key"]["not_after"], Value::Null);
    let event = platform
        .get("/audit?platform=true&action=log.key")
        .expect(200);
    assert_eq!(event.json["content"]["events"][0]["target"], "2");
    acme.save("d", "t", 1, "y").expect(201);
    app.sequence();
    let new = keys(&operator);
    assert_eq!(new[0], old[0]);
    let note = operator.get("/log/checkpoint").text;
    let origin = note.lines().next().unwrap();
    for key in &new {
        Checkpoint::open(&note, origin, std::slice::from_ref(key)).unwrap();
    }
    // After its time the old key signs no more.
    app.database
        .execute("UPDATE log_keys SET not_after = now() WHERE id = 1");
    acme.save("d", "t", 2, "z").expect(201);
    app.sequence();
    let note = operator.get("/log/checkpoint").text;
    Checkpoint::open(&note, origin, &new[1..]).unwrap();
    assert!(Checkpoint::open(&note, origin, &old).is_err());
}

#[test]
fn what_was_stored_without_a_log_is_logged_later() {
    let app = TestApp::start_with(|config| config.evidence.log = false);
    let acme = app.tenant("acme");
    let saved = acme.save("d", "t", 0, "x").expect(201);
    assert_eq!(saved.json["content"].get("evidence"), None);
    acme.save("d", "t", 1, "y").expect(201);
    let operator = app.operator("acme");
    operator
        .get("/signature/proof?document=d&thread=t")
        .expect_error(422, "refused");
    let with_log = app.replica();
    let there = Client::new(&with_log.base, operator.token.clone());
    there.save("d", "t", 2, "z").expect(201);
    with_log.sequence();
    let checked = there.get("/log/verify").expect(200);
    assert_eq!(checked.json["content"]["log"]["waiting"], 2);
    let store = &with_log.app.store;
    let tenant = with_log.tenant_id("acme");
    assert_eq!(
        store
            .log_backfill(tenant, sigpersist_tlog::Kind::Backfilled)
            .unwrap(),
        2
    );
    assert_eq!(
        store
            .log_backfill(tenant, sigpersist_tlog::Kind::Backfilled)
            .unwrap(),
        0
    );
    with_log.sequence();
    let keys = keys(&there);
    for (version, body) in [(1, "x"), (2, "y"), (3, "z")] {
        let path = format!("/signature/proof?document=d&thread=t&version={version}");
        let proof = there.get(&path).expect(200);
        verified(&proof.json["content"]["proof"], body.as_bytes(), &keys);
    }
    let checked = there.get("/log/verify").expect(200);
    assert_eq!(checked.json["content"]["log"]["whole"], true);
    assert_eq!(checked.json["content"]["log"]["waiting"], 0);
    let events = there.get("/events?types=version.").expect(200);
    let events = events.json["content"]["events"].as_array().unwrap();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["version.saved", "version.backfilled", "version.backfilled"]
    );
}

#[test]
fn the_platforms_log_has_the_heads_of_all_and_each_log_that_of_its_audit_trail() {
    let app = TestApp::start();
    for slug in ["acme", "other"] {
        app.tenant(slug).save("d", "t", 0, "x").expect(201);
    }
    app.sequence();
    while sigpersist::log::anchor(&app.app).unwrap() {}
    app.sequence();
    let platform = app.platform();
    let head = checkpoint(&platform);
    assert!(head.size >= 2);
    let events = app.database.lines(
        "SELECT event AS line FROM log_entries WHERE tenant_id = 0 AND kind = 'h' ORDER BY number",
    );
    assert_eq!(events.lines().count(), 2);
    for slug in ["acme", "other"] {
        let shown = app.operator(slug).get("/log").expect(200);
        let origin = shown.json["content"]["epochs"][0]["origin"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(events.contains(&origin), "{events}");
        // Nothing in the entries of the log names a tenant.
        let tile = platform
            .get(&format!("/log/tile/entries/000.p/{}", head.size))
            .text;
        assert!(!tile.contains(&origin) && !tile.contains(slug));
        let told = app
            .operator(slug)
            .get("/events?types=audit.head")
            .expect(200);
        assert_eq!(told.json["content"]["events"].as_array().unwrap().len(), 1);
    }
    // Whoever stays as it is adds nothing.
    app.sequence();
    while sigpersist::log::anchor(&app.app).unwrap() {}
    app.sequence();
    let heads = "SELECT count(*)::text AS line FROM log_entries WHERE kind IN ('h', 'a')";
    let before = app.database.lines(heads);
    while sigpersist::log::anchor(&app.app).unwrap() {}
    app.sequence();
    assert_eq!(app.database.lines(heads), before);
    let checked = platform.get("/log/verify").expect(200);
    assert_eq!(checked.json["content"]["log"]["faults"], json!([]));
    assert_eq!(checked.json["content"]["log"]["tenant"], Value::Null);
}
