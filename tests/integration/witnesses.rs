//! Witnesses of logs: they sign what continues what they saw, and whatever else they do stops nothing.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigpersist::log::keep_witnessing;
use sigpersist_model::context::Scope;
use sigpersist_tlog::{Note, SigningKey, TlogProof, VerifierKey, cosign, cosignatures};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Client, Manner, TestApp, Witness, eventually, sigpersist};

fn configure(config: &mut sigpersist::config::Config) {
    config.evidence.interval_ms = 20;
    config.evidence.witness_interval_s = 1;
    config.webhooks.allow = "127.0.0.1".to_owned();
}

/// A server that numbers what happens and asks witnesses on this machine.
fn start() -> (TestApp, [AbortOnDropHandle<()>; 2]) {
    start_with(|_| {})
}

fn start_with(
    change: impl FnOnce(&mut sigpersist::config::Config),
) -> (TestApp, [AbortOnDropHandle<()>; 2]) {
    let app = TestApp::start_with(|config| {
        configure(config);
        change(config);
    });
    let tasks = [app.keep_sequencing(), app.keep(keep_witnessing)];
    (app, tasks)
}

/// A tenant with a version in its log, and an operator of it.
fn tenant(app: &TestApp, slug: &str) -> (Client, Client) {
    let (client, operator) = (app.tenant(slug), app.operator(slug));
    client.save("d", "t", 0, "x").expect(201);
    eventually(|| proof(&operator)["state"] == "logged");
    (client, operator)
}

/// The proof of the first version of a tenant.
fn proof(operator: &Client) -> Value {
    let proof = operator.get("/signature/proof?document=d&thread=t&version=1");
    proof.json["content"]["proof"].clone()
}

/// The names of the witnesses that signed the checkpoint of a proof, verified with their keys.
fn signers(proof: &Value, witnesses: &[&Witness]) -> Vec<String> {
    let keys: Vec<_> = witnesses.iter().map(|witness| witness.vkey()).collect();
    let text = proof["tlog_proof"].as_str().unwrap();
    let proof: TlogProof = text.parse().unwrap();
    let note = Note::parse(&proof.checkpoint).unwrap();
    let found = cosignatures(&note, &keys).unwrap().into_iter();
    found.map(|cosignature| cosignature.key.name).collect()
}

fn size(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_witness_signs_a_log_as_it_grows_and_proofs_carry_its_signature() {
    let (app, _tasks) = start();
    let (acme, operator) = tenant(&app, "acme");
    let before = proof(&operator);
    assert_eq!(before.get("witnessed"), None);
    operator
        .get("/log/checkpoint?witnessed=true")
        .expect_error(422, "refused");
    let witness = Witness::start("example.com/w");
    witness.join(&operator);
    eventually(|| proof(&operator)["witnessed"] == true);
    let first = proof(&operator);
    assert_eq!(first["witnesses"], json!(["example.com/w"]));
    assert_eq!(signers(&first, &[&witness]), ["example.com/w"]);
    for number in 0..300 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
    }
    witness.catch_up(&operator);
    let shown = witness.shown(&operator);
    assert_eq!(shown["state"], "signing");
    assert_eq!(shown["because"], Value::Null);
    let last = proof(&operator);
    assert!(last["size"].as_u64() > first["size"].as_u64());
    assert_eq!(shown["signed_size"], last["size"]);
    // The newest checkpoint is the one that was signed now.
    let newest = operator.get("/log/checkpoint").text;
    let witnessed = operator.get("/log/checkpoint?witnessed=true").text;
    assert_eq!(newest, witnessed);
    assert!(newest.contains("\n— example.com/w "), "{newest}");
    assert_eq!(operator.get("/log/epochs/1/checkpoint").text, newest);
    let asked = witness.asked();
    assert!(
        asked.iter().all(|(_, _, status)| *status == 200),
        "{asked:?}"
    );
    // Each request continues the one before.
    assert!(asked.windows(2).all(|pair| pair[0].1 == pair[1].0));
    let events = app.audit("acme");
    assert!(
        events.contains(&"witness.add example.com/w".to_owned()),
        "{events:?}"
    );
    // Nobody else's.
    app.tenant("other");
    let other = app.operator("other");
    let list = other.get("/log/witnesses").expect(200);
    assert_eq!(list.json["content"]["witnesses"], json!([]));
    other
        .send("DELETE", "/log/witnesses?name=example.com/w", &[], None)
        .expect_error(404, "witness_not_found");
    app.client("acme", &[Scope::LogRead])
        .json("POST", "/log/witnesses", &witness.form())
        .expect_error(403, "insufficient_scope");
    operator
        .send("DELETE", "/log/witnesses?name=example.com/w", &[], None)
        .expect(200);
    // An old proof still holds; new ones are as before there was a witness.
    assert_eq!(signers(&last, &[&witness]), ["example.com/w"]);
    assert_eq!(proof(&operator).get("witnesses"), None);
    assert!(
        !operator
            .get("/log/checkpoint")
            .text
            .contains("example.com/w")
    );
}

#[test]
fn the_platforms_log_has_witnesses_too() {
    let (app, _tasks) = start();
    tenant(&app, "acme");
    let platform = app.platform();
    eventually(|| platform.get("/log/checkpoint").status == 200);
    let witness = Witness::start("w");
    witness.join(&platform);
    while sigpersist::log::anchor(&app.app).unwrap() {}
    witness.catch_up(&platform);
    assert_eq!(witness.shown(&platform)["state"], "signing");
    let newest = platform.get("/log/checkpoint?witnessed=true").text;
    assert!(newest.contains("\n— w "), "{newest}");
    // It is no witness of a tenant's log.
    let list = app.platform_for("acme").get("/log/witnesses").expect(200);
    assert_eq!(list.json["content"]["witnesses"], json!([]));
    eventually(|| {
        let metrics = platform.get("/metrics").text;
        metrics.contains("sigpersist_log_witness_lag_seconds{witness=\"w\"}")
            && metrics.contains(
                "sigpersist_log_witness_attempts_total{log=\"platform\",outcome=\"signed\"}",
            )
    });
}

#[test]
fn a_witness_that_is_down_stops_nothing_and_catches_up() {
    let (app, _tasks) = start();
    let (acme, operator) = tenant(&app, "acme");
    let witness = Witness::start("w");
    witness.set(Manner::Down);
    witness.join(&operator);
    let shown = witness.wait_for(&operator, "failing");
    let why = shown["because"].as_str().unwrap();
    assert!(why.contains("ended early"), "{why}");
    acme.save("d", "t", 1, "y").expect(201);
    let path = "/signature/proof?document=d&thread=t&version=2";
    eventually(|| operator.get(path).status == 200);
    let second = operator.get(path).expect(200).json["content"]["proof"].clone();
    assert_eq!(second["witnessed"], false);
    assert_eq!(second["witnesses"], json!([]));
    operator
        .get("/log/checkpoint?witnessed=true")
        .expect_error(422, "refused");
    witness.set(Manner::Honest);
    witness.catch_up(&operator);
    eventually(|| proof(&operator)["witnessed"] == true);
}

#[test]
fn a_witness_that_remembers_more_than_we_do_is_continued_from_there() {
    let (app, _tasks) = start();
    let (acme, operator) = tenant(&app, "acme");
    let witness = Witness::start("w");
    witness.join(&operator);
    witness.catch_up(&operator);
    let told = witness.shown(&operator)["signed_size"].as_u64().unwrap();
    operator
        .send("DELETE", "/log/witnesses?name=w", &[], None)
        .expect(200);
    witness.join(&operator);
    acme.save("d", "t", 1, "y").expect(201);
    witness.catch_up(&operator);
    let asked = witness.asked();
    assert!(
        asked.iter().any(|asked| (asked.0, asked.2) == (0, 409)),
        "{asked:?}"
    );
    assert!(
        asked.iter().any(|asked| (asked.0, asked.2) == (told, 200)),
        "{asked:?}"
    );
    assert_eq!(proof(&operator)["witnessed"], true);
}

/// As after a backup was restored, by a server that does not remember how far the log was.
#[test]
fn a_witness_tells_of_a_log_that_was_set_back_and_signs_it_anew_when_it_is_reopened() {
    let (app, tasks) = start();
    let (acme, operator) = tenant(&app, "acme");
    let witness = Witness::start("w");
    witness.join(&operator);
    witness.catch_up(&operator);
    let kept = app.database.keep();
    for number in 0..5 {
        acme.save(&format!("lost{number}"), "t", 0, "x").expect(201);
    }
    eventually(|| size(&operator.get("/log/checkpoint").text) > 5);
    witness.catch_up(&operator);
    drop(tasks);
    drop(kept);
    // The server that was asking when the database was kept is gone, and its lease would be over in a minute.
    app.database
        .execute("UPDATE log_witnesses SET lease_by = NULL, lease_until = NULL");
    let other = app.replica_with(configure);
    let _others = [other.keep_sequencing(), other.keep(keep_witnessing)];
    acme.save("after", "t", 0, "x").expect(201);
    let shown = witness.wait_for(&operator, "refused");
    let why = shown["because"].as_str().unwrap();
    assert!(why.contains("went back in time"), "{why}");
    let since = shown["since"].clone();
    // When the log has grown beyond what the witness saw, its beginning is another one.
    for number in 0..20 {
        acme.save(&format!("more{number}"), "t", 0, "x").expect(201);
    }
    eventually(|| witness.asked().iter().any(|asked| asked.2 == 422));
    eventually(|| {
        let shown = witness.shown(&operator);
        shown["because"].as_str().unwrap().contains("422")
    });
    assert_eq!(witness.shown(&operator)["since"], since);
    let events = app.audit("acme");
    let refusals = events.iter().filter(|event| *event == "witness.refuse w");
    assert_eq!(refusals.count(), 1, "{events:?}");
    // Saves and proofs go on.
    let path = "/signature/proof?document=more3&thread=t";
    eventually(|| operator.get(path).status == 200);
    assert_eq!(
        operator.get(path).json["content"]["proof"]["witnessed"],
        false
    );
    let reopened = app.platform().json(
        "POST",
        "/tenants/acme/log/reopen",
        &json!({"reason": "A backup was restored"}),
    );
    reopened.expect(200);
    eventually(|| operator.get("/log/epochs/2/checkpoint").status == 200);
    let shown = witness.wait_for(&operator, "unknown_log");
    let why = shown["because"].as_str().unwrap();
    assert!(why.contains("log keys"), "{why}");
    witness.know(&operator);
    witness.catch_up(&operator);
    assert_eq!(witness.shown(&operator)["signed_epoch"], 2);
    app.platform()
        .json(
            "POST",
            "/tenants/acme/log/reopen",
            &json!({"reason": "again"}),
        )
        .expect_error(422, "refused");
}

#[test]
fn a_frozen_log_is_not_sent() {
    let (app, _tasks) = start();
    let (acme, operator) = tenant(&app, "acme");
    let witness = Witness::start("w");
    app.database.execute(
        "UPDATE log_epochs SET frozen_at = now(), frozen_why = 'for a test' WHERE tenant_id > 0",
    );
    witness.join(&operator);
    acme.save("d", "t", 1, "y").expect(201);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(witness.asked(), []);
    assert_eq!(witness.shown(&operator)["state"], "new");
}

#[test]
fn whatever_else_a_witness_answers_is_told_and_kept_from_proofs() {
    let (app, _tasks) = start();
    let (acme, operator) = tenant(&app, "acme");
    let cases = [
        (Manner::Answering(200, "garbage"), "not a signature"),
        (Manner::Answering(200, ""), "not a signature"),
        (Manner::Lying, "does not match"),
        (Manner::Endless, "too long"),
        (Manner::Hanging, "time was over"),
        (Manner::Answering(302, ""), "redirect"),
        (Manner::Answering(500, "secret of another system"), "500"),
        (Manner::Answering(409, "many"), "409"),
        (Manner::Answering(422, ""), "422"),
    ];
    let witnesses: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(number, (manner, _))| {
            let witness = Witness::start(&format!("w{number}"));
            witness.set(*manner);
            witness
        })
        .collect();
    let honest = Witness::start("honest");
    // A log has eight witnesses at most.
    let (few, others) = witnesses.split_at(7);
    honest.join(&operator);
    few.iter().for_each(|witness| witness.join(&operator));
    operator
        .json("POST", "/log/witnesses", &others[0].form())
        .expect_error(422, "refused");
    let (_, second) = tenant(&app, "second");
    others.iter().for_each(|witness| witness.join(&second));
    // Meanwhile saves do not wait, nor does the witness that works.
    let since = Instant::now();
    for version in 1..20 {
        acme.save("d", "t", version, "y").expect(201);
    }
    assert!(since.elapsed() < Duration::from_secs(8));
    eventually(|| proof(&operator)["witnessed"] == true);
    for (witness, (manner, words)) in witnesses.iter().zip(cases) {
        let of = if others.iter().any(|other| other.name == witness.name) {
            &second
        } else {
            &operator
        };
        let shown = witness.wait_for(of, "failing");
        let why = shown["because"].as_str().unwrap();
        assert!(why.contains(words), "{manner:?}: {why}");
        assert!(!why.contains("secret"), "{why}");
        assert_eq!(shown["signed_size"], Value::Null);
    }
    assert_eq!(proof(&operator)["witnesses"], json!(["honest"]));
    assert_eq!(proof(&second)["witnesses"], json!([]));
    let kept = app
        .database
        .lines("SELECT DISTINCT witness AS line FROM log_cosignatures");
    assert_eq!(kept.trim(), "honest");
}

#[test]
fn two_servers_ask_once_and_one_that_goes_away_is_replaced() {
    let (app, tasks) = start();
    let (acme, operator) = tenant(&app, "acme");
    let other = app.replica_with(configure);
    let _others = [other.keep_sequencing(), other.keep(keep_witnessing)];
    let witness = Witness::start("w");
    witness.join(&operator);
    for number in 0..10 {
        acme.save(&format!("d{number}"), "t", 0, "x").expect(201);
        thread::sleep(Duration::from_millis(300));
    }
    witness.catch_up(&operator);
    drop(tasks);
    acme.save("last", "t", 0, "x").expect(201);
    witness.catch_up(&operator);
    let asked = witness.asked();
    assert!(asked.len() > 2, "{asked:?}");
    assert!(asked.iter().all(|asked| asked.2 == 200), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[0].1 < pair[1].1));
    let newest = operator.get("/log/checkpoint?witnessed=true").text;
    assert_eq!(size(&newest), asked.last().unwrap().1);
}

#[test]
fn a_quorum_is_demanded_of_proofs_and_verified_offline() {
    let (app, _tasks) = start_with(|config| config.evidence.witness_quorum = 2);
    let (acme, operator) = tenant(&app, "acme");
    let [one, two] = ["one", "two"].map(Witness::start);
    one.join(&operator);
    two.set(Manner::Down);
    two.join(&operator);
    one.catch_up(&operator);
    let alone = proof(&operator);
    assert_eq!(alone["witnessed"], false);
    assert_eq!(alone["witnesses"], json!(["one"]));
    two.set(Manner::Honest);
    eventually(|| proof(&operator)["witnessed"] == true);
    let both = proof(&operator);
    assert_eq!(both["witnesses"], json!(["one", "two"]));
    assert_eq!(signers(&both, &[&one, &two]), ["one", "two"]);
    // A newer checkpoint that one of them has signed does not take the place of one that both did.
    two.set(Manner::Down);
    acme.save("more", "t", 0, "x").expect(201);
    one.catch_up(&operator);
    assert_eq!(proof(&operator)["witnesses"], json!(["one", "two"]));

    let folder = tempfile::tempdir().unwrap();
    let bundle = operator.bytes("/signature/proof?document=d&thread=t&version=1&format=bundle");
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bundle)).unwrap();
    zip.extract(folder.path()).unwrap();
    let keys = operator.get("/log/keys").expect(200);
    let log = keys.json["content"]["keys"][0]["public_key"]
        .as_str()
        .unwrap();
    let verify = |witnesses: &[&VerifierKey], quorum: &[&str]| {
        let keys: Vec<_> = witnesses.iter().map(ToString::to_string).collect();
        let folder = folder.path().to_str().unwrap();
        let mut arguments = vec!["proof", "verify", folder, "--log-key", log];
        for key in &keys {
            arguments.extend(["--witness", key]);
        }
        arguments.extend(quorum);
        let output = sigpersist(std::path::Path::new("/none"), &arguments)
            .output()
            .unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), text)
    };
    let (one, two) = (one.vkey(), two.vkey());
    let stranger = Witness::start("three").vkey();
    let (code, text) = verify(&[&one, &two], &["--quorum", "2"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Witness: one, which signed at 20"), "{text}");
    assert_eq!(verify(&[&one, &stranger], &[]).0, Some(0));
    assert_eq!(verify(&[], &[]).0, Some(0));
    assert_eq!(verify(&[&stranger], &["--quorum", "0"]).0, Some(0));
    for (witnesses, quorum, words) in [
        (&[&one, &stranger][..], "2", "signed by 1 of the witnesses"),
        (&[&stranger], "1", "signed by 0 of the witnesses"),
        (&[&one], "2", "give more with --witness"),
        (&[&one, &one], "2", "have the same key"),
    ] {
        let (code, text) = verify(witnesses, &["--quorum", quorum]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(words), "{text}");
    }
    let (code, _) = verify(&[], &["--quorum", "1"]);
    assert_eq!(code, Some(2));
    // A known witness's signature that does not match spoils the proof, even if another one's is enough.
    let path = folder.path().join("proof.tlog-proof");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("— two "))
        .unwrap();
    let other = cosign(&SigningKey::generate().0, "two", "a\n1\nAAAA\n", 1);
    // With the id of the key that is known.
    let forged = format!("{}{}", &line[..14], &other.trim_end()[14..]);
    let forged = text.replace(line, &forged);
    assert_ne!(forged, text);
    std::fs::write(&path, &forged).unwrap();
    let checkpoint = forged.split_once("\n\n").unwrap().1;
    std::fs::write(folder.path().join("checkpoint"), checkpoint).unwrap();
    let (code, text) = verify(&[&one, &two], &["--quorum", "1"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("`two` does not match"), "{text}");
}

#[test]
fn what_is_no_witness_is_refused_when_it_is_entered() {
    let app = TestApp::start_with(configure);
    app.tenant("acme");
    let operator = app.operator("acme");
    let witness = Witness::start("example.com/w");
    let note = witness.key.verifier("example.com/w").to_string();
    let form = witness.form();
    for (member, value, words) in [
        ("name", "w", "the name in the key, which is `example.com/w`"),
        ("key", "example.com/w", "NAME+ID+KEY"),
        ("key", &*note, "type 0x04"),
        ("url", "https://user:password@example.com/", ""),
        ("url", "http://127.0.0.1:1/?a=b", "query"),
    ] {
        let mut form = form.clone();
        form[member] = json!(value);
        let refused = operator.json("POST", "/log/witnesses", &form);
        let refused = refused.expect_error(400, "invalid_parameter");
        let message = refused.json["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    for url in ["http://10.0.0.1/", "http://169.254.169.254/"] {
        let mut form = form.clone();
        form["url"] = json!(url);
        operator
            .json("POST", "/log/witnesses", &form)
            .expect_error(422, "refused");
    }
    operator.json("POST", "/log/witnesses", &form).expect(201);
    // The same once more changes nothing.
    operator.json("POST", "/log/witnesses", &form).expect(200);
    let mut elsewhere = form.clone();
    elsewhere["url"] = json!("http://127.0.0.1:9/");
    operator
        .json("POST", "/log/witnesses", &elsewhere)
        .expect_error(422, "refused");
    // Its signatures do not cover its name, so it could count as two.
    let alias = VerifierKey::witness("alias", witness.key.public_key());
    let alias = json!({"name": "alias", "url": witness.url, "key": alias.to_string()});
    operator
        .json("POST", "/log/witnesses", &alias)
        .expect_error(422, "refused");
    assert_eq!(app.audit("acme"), ["witness.add example.com/w"]);
    let shown = operator.get("/log").expect(200);
    let shown = &shown.json["content"]["witnesses"];
    assert_eq!(shown[0]["key"], witness.vkey().to_string());
    assert_eq!(shown[0]["url"], witness.url);
}

/// Row-level security makes Postgres join otherwise than a superuser would.
#[test]
fn a_server_leases_no_more_witnesses_than_it_asks_for() {
    let app = TestApp::start_with(configure);
    let _sequencing = app.keep_sequencing();
    for slug in ["acme", "other"] {
        let (_, operator) = tenant(&app, slug);
        for number in 0..8 {
            Witness::start(&format!("example.com/{slug}-{number}")).join(&operator);
        }
    }
    // Each log has a checkpoint that they are to sign.
    app.app
        .store
        .witness_keep_checkpoints(Duration::ZERO)
        .unwrap();
    let lease = || app.app.store.witness_lease("here", false, 5).unwrap().len();
    assert_eq!(
        [lease(), lease(), lease(), lease(), lease()],
        [5, 5, 5, 1, 0]
    );
}

/// What a witness answers counts for itself alone, not for another one that got its name meanwhile.
#[test]
fn an_answer_does_not_count_for_another_witness_of_the_name() {
    let (app, tasks) = start();
    let (_, operator) = tenant(&app, "acme");
    let slow = Witness::start("w");
    slow.set(Manner::Slow(Duration::from_secs(3)));
    slow.join(&operator);
    eventually(|| !slow.asked().is_empty());
    operator
        .send("DELETE", "/log/witnesses?name=w", &[], None)
        .expect(200);
    // Nobody answers there.
    let silent = Witness::start("w");
    silent.set(Manner::Down);
    silent.join(&operator);
    thread::sleep(Duration::from_secs(4));
    let shown = silent.shown(&operator);
    assert_eq!(shown["signed_size"], Value::Null, "{shown}");
    assert_eq!(proof(&operator)["witnessed"], false);
    drop(tasks);
}
