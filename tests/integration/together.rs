//! First versions that come at the same time: they are saved in one transaction, and each is answered as if it had come
//! alone.

use diesel::connection::SimpleConnection as _;
use serde_json::{Value, json};

use crate::support::{Client, FIRST, Response, SIGNER_TAGS, TestApp, eventually};

/// This many waiting saves form a batch at once, even beside one under way; fewer wait longer.
const TOGETHER: usize = 8;

/// Sends all bodies at once, while an earlier save waits for an uncommitted transaction that created its thread.
/// Returns the answers in order.
fn at_once(app: &TestApp, acme: &Client, bodies: &[Value]) -> Vec<Response> {
    let mut holder = app.database.connect();
    holder
        .batch_execute(
            "BEGIN; INSERT INTO signatures (tenant_id, version, document, thread) VALUES (1, 1, 'held', 't')",
        )
        .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| drop(acme.save("held", "t", 0, "x")));
        eventually(|| app.database.waiting_for_locks() == 1);
        let sent: Vec<_> = bodies
            .iter()
            .map(|body| scope.spawn(|| acme.post(body)))
            .collect();
        let answers = sent
            .into_iter()
            .map(|answer| answer.join().unwrap())
            .collect();
        drop(holder);
        answers
    })
}

fn statuses(answers: &[Response]) -> Vec<u16> {
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

/// Whether one transaction has created several of the threads.
fn went_together(app: &TestApp) -> bool {
    let most = app.database.lines(
        "SELECT count(*)::text AS line FROM signatures WHERE document LIKE 'at-once-%' GROUP BY xmin::text
         ORDER BY count(*) DESC LIMIT 1",
    );
    most.trim().parse::<u32>().unwrap() > 1
}

#[test]
fn each_is_answered_as_if_it_had_come_alone() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("there", "t", 0, "x").expect(201);
    acme.save("there-too", "t", 0, "x").expect(201);
    let draft = |document: &str, cms: &str| json!({"document": document, "thread": "t", "version": 0, "cms": cms});
    let full = json!({
        "document": "at-once-full", "thread": "t", "cms": FIRST.trim(), "stage": "signed", "version_created_by": 33,
        "version_comment": "a comment, \"quoted\" and {braced}", "tags": ["z", "a,b", "{}", "\\", "z", "ключ"],
    });
    let bodies = [
        full.clone(),
        draft("at-once-plain", "text"),
        draft("at-once-twice", "x"),
        draft("at-once-twice", "x"),
        draft("at-once-raced", "one"),
        draft("at-once-raced", "other"),
        draft("there", "y"),
        json!({"document": "there-too", "thread": "t", "version": 1, "cms": "y"}),
    ];
    assert_eq!(bodies.len(), TOGETHER);
    let answers = at_once(&app, &acme, &bodies);
    assert!(went_together(&app));

    assert_eq!(answers[0].status, 201);
    let saved = answers[0].signature();
    for (name, expected) in [
        ("version", json!(1)),
        ("parent", json!(null)),
        ("signature", full["cms"].clone()),
        ("stage", json!("signed")),
        ("version_created_by", json!("33")),
        ("version_comment", full["version_comment"].clone()),
        ("tags", json!(["z", "a,b", "{}", "\\", "ключ"])),
    ] {
        assert_eq!(saved[name], expected, "{name}");
    }
    assert_eq!(acme.read("at-once-full", "t").signature(), saved);
    for tag in ["z", "a,b", "{}", "\\", "ключ"] {
        let sent = json!({ "tags": [tag] });
        let listed = acme.json("GET", "/signatures", &sent).expect(200);
        assert_eq!(listed.signatures().len(), 1, "{tag}");
    }
    assert_eq!(answers[1].status, 201);
    let saved = answers[1].signature();
    assert_eq!(saved["signature"], "text");
    assert_eq!(saved["stage"], json!(null));
    assert_eq!(saved["tags"], json!([]));
    assert_eq!(acme.read("at-once-plain", "t").signature(), saved);
    assert_eq!(statuses(&answers[2..4]), [200, 201]);
    assert_eq!(answers[2].signature(), answers[3].signature());
    assert_eq!(statuses(&answers[4..6]), [201, 409]);
    let won = answers[4..6]
        .iter()
        .find(|answer| answer.status == 201)
        .unwrap();
    assert_eq!(acme.read("at-once-raced", "t").signature(), won.signature());
    assert_eq!(answers[6].status, 409);
    assert_eq!(answers[6].json["code"], "version_conflict");
    assert_eq!(answers[7].status, 201);
    assert_eq!(answers[7].signature()["version"], 2);

    let usage = app.database.lines(
        "SELECT concat_ws(' ', sum(u.threads), sum(u.versions), sum(u.bytes) = (SELECT sum(octet_length(signature)) \
                FROM signature_versions)) AS line FROM tenant_usage u",
    );
    assert_eq!(usage.trim(), "7 8 t");
}

#[test]
fn what_hooks_decided_and_what_was_found_is_recorded_with_each() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let operator = app.operator("acme");
    app.hook("acme", "signer-tags", SIGNER_TAGS, |_| {});
    let policy = json!({"record_verdicts": true});
    operator.json("PATCH", "/policy", &policy).expect(200);
    acme.save("there", "t", 0, FIRST.trim()).expect(201);
    let draft = |document: &str| json!({"document": document, "thread": "t", "version": 0, "cms": FIRST.trim(), "stage": "s"});
    let bodies: Vec<_> = (1..TOGETHER)
        .map(|number| draft(&format!("at-once-{number}")))
        .chain([draft("there")])
        .collect();
    let answers = at_once(&app, &acme, &bodies);
    assert!(went_together(&app));
    assert_eq!(answers[TOGETHER - 1].status, 409);
    for answer in &answers[..TOGETHER - 1] {
        assert_eq!(answer.status, 201);
        assert!(answer.text.contains("iin:123456789011"), "{}", answer.text);
    }
    for number in 1..TOGETHER {
        let path = format!("/hooks/decisions?document=at-once-{number}");
        let decisions = operator.get(&path).expect(200).json["content"]["decisions"].clone();
        assert_eq!(decisions.as_array().unwrap().len(), 1, "{decisions}");
        assert_eq!(decisions[0]["outcome"], "accepted");
        assert_eq!(decisions[0]["version"], 1);
        let path = format!("/signature/verdicts?document=at-once-{number}&thread=t");
        let verdicts = acme.get(&path);
        let verdicts = verdicts.expect(200).json["content"]["verdicts"].clone();
        assert_eq!(verdicts.as_array().unwrap().len(), 1, "{verdicts}");
        assert_eq!(verdicts[0]["signers"][0]["iin"], "123456789011");
    }
    let there = operator.get("/hooks/decisions?document=there").expect(200);
    let outcomes: Vec<_> = there.json["content"]["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| &decision["outcome"])
        .collect();
    assert_eq!(outcomes, ["not_stored", "accepted"]);
}

#[test]
fn one_with_which_something_is_wrong_harms_no_other() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.database
        .execute("ALTER TABLE signatures ADD CONSTRAINT no CHECK (document <> 'at-once-3')");
    let bodies: Vec<_> = (0..TOGETHER)
        .map(|number| json!({"document": format!("at-once-{number}"), "thread": "t", "cms": "x"}))
        .collect();
    let answers = at_once(&app, &acme, &bodies);
    for (number, answer) in answers.into_iter().enumerate() {
        match number {
            3 => drop(answer.expect_error(500, "internal")),
            _ => drop(answer.expect(201)),
        }
    }
    // Each save took an id; some took another one before, in a batch that failed.
    let numbers = app.database.lines(
        "SELECT last_value::text AS line FROM pg_sequences WHERE sequencename = 'signatures_id_seq'",
    );
    let (holder, held) = (1, 1);
    assert!(numbers.trim().parse::<usize>().unwrap() > holder + held + TOGETHER);
}

#[test]
fn one_that_is_locked_does_not_keep_those_waiting_that_go_with_it() {
    let app = TestApp::start_with(|config| {
        config.database.statement_timeout_ms = 5_000;
        // Long timeouts, so that no other save is refused on a busy machine.
        config.database.pool_timeout_ms = 30_000;
        config.http.queue_timeout_ms = 30_000;
    });
    let acme = app.tenant("acme");
    let mut bodies: Vec<_> = (1..TOGETHER)
        .map(|number| json!({"document": format!("at-once-{number}"), "thread": "t", "version": 0, "cms": "x"}))
        .collect();
    bodies.push(json!({"document": "held", "thread": "t", "version": 0, "cms": "x"}));
    let answers = at_once(&app, &acme, &bodies);
    for (number, answer) in answers.into_iter().enumerate() {
        if number == TOGETHER - 1 {
            let refused = answer.expect_error(503, "database_unavailable");
            assert!(refused.header("retry-after").is_some());
        } else {
            answer.expect(201);
        }
    }
    acme.post(&bodies[TOGETHER - 1]).expect(201);
}
