//! Seals of the audit trail: the owner of the database can't falsify the trail without the master key.

use serde_json::Value;
use sigpersist::audit::{self, Keyed, Verified};
use sigpersist_model::audit::{EventOwner, Fault};

use crate::support::{TestApp, TestDatabase};

/// Recomputes all hashes of a tenant's chain with the database's own function, as its owner can.
pub(crate) const REWRITE: &str = "
    SET sigpersist.tenant = '0';
    UPDATE audit_events SET actor = 'nobody' WHERE tenant_id = 1 AND number = 2;
    DO $$
    DECLARE
        event audit_events;
        last bytea := decode(repeat('00', 32), 'hex');
    BEGIN
        FOR event IN SELECT * FROM audit_events WHERE tenant_id = 1 ORDER BY number LOOP
            event.previous := last;
            last := audit_hash(event);
            UPDATE audit_events SET previous = event.previous, hash = last WHERE tenant_id = 1 AND number = event.number;
        END LOOP;
        UPDATE audit_heads SET hash = last WHERE tenant_id = 1;
    END
    $$;";

/// Adds an event as a server of an older release, or one without a master key, does.
const UNSEALED: &str = "SET sigpersist.tenant = '1'; INSERT INTO audit_events (tenant_id, tenant, actor_kind, action, target) \
                        VALUES (1, 'acme', 'server', 'hook.quarantine', 'h')";

fn verify(app: &TestApp) -> Vec<Verified> {
    audit::verify(&app.app, &EventOwner::All, None, |_, _| {}).unwrap()
}

fn acme(app: &TestApp) -> Verified {
    let mut chains = verify(app).into_iter();
    let is_acme = |chain: &Verified| chain.tenant.as_deref() == Some("acme");
    chains.find(is_acme).unwrap()
}

/// The faults of all chains.
fn faults(app: &TestApp) -> Vec<Fault> {
    let chains = verify(app).into_iter();
    chains.flat_map(|chain| chain.faults).collect()
}

/// Creates a tenant with events 1 to 6, and the platform's own events.
fn six_events() -> TestApp {
    let app = TestApp::start();
    app.tenant("acme");
    for _ in 0..3 {
        app.operator("acme");
    }
    assert_eq!(faults(&app), []);
    let keyed = Keyed::Checked {
        events: 6,
        since: Some(1),
    };
    let chain = acme(&app);
    assert_eq!((chain.events, chain.keyed), (6, keyed));
    app
}

#[test]
fn a_chain_whose_hashes_were_all_worked_out_anew_is_found_by_its_seals() {
    let (from, to) = (2, 6);
    let key_of_their_own =
        "INSERT INTO audit_keys (number, encrypted_key) SELECT 2, encrypted_key FROM audit_keys;
         UPDATE audit_seals SET key = 2 WHERE tenant_id = 1";
    for (then, expected) in [
        ("SELECT 1", Fault::WrongSeal { from, to }),
        (
            "DELETE FROM audit_seals WHERE tenant_id = 1 AND number >= 2",
            Fault::NotSealed { from, to },
        ),
        (
            "DELETE FROM audit_seals WHERE tenant_id = 1",
            Fault::NotSealed { from: 1, to },
        ),
        (
            "DELETE FROM audit_seals WHERE tenant_id = 1; DELETE FROM audit_keys",
            Fault::NotSealed { from: 1, to },
        ),
        // A seal that is turned into a baseline, which says that earlier events need no seal.
        (
            "UPDATE audit_seals SET baseline = true WHERE tenant_id = 1",
            Fault::WrongSeal { from: 1, to },
        ),
        (
            "UPDATE audit_seals s SET (baseline, seal) = (SELECT baseline, seal FROM audit_seals WHERE tenant_id = 0 AND number = 1)
             WHERE tenant_id = 1",
            Fault::WrongSeal { from: 1, to },
        ),
        (key_of_their_own, Fault::NoKey { from: 1, to }),
    ] {
        let app = six_events();
        app.database.execute(REWRITE);
        app.database.execute(then);
        assert_eq!(acme(&app).faults, [expected], "{then}");
    }
}

/// The events of an older release are sealed as they are when the first server with a master key starts.
#[test]
fn what_was_there_before_can_be_rewritten_no_more_once_there_is_a_key() {
    let app = TestApp::start();
    app.tenant("acme");
    app.operator("acme");
    app.database
        .execute("DELETE FROM audit_seals; DELETE FROM audit_keys");
    let before = acme(&app);
    assert_eq!(
        (before.events, before.keyed, before.faults),
        (4, Keyed::None, vec![])
    );
    let newer = app.replica();
    assert_eq!(faults(&newer), []);
    let keyed = |events| Keyed::Checked {
        events,
        since: Some(4),
    };
    assert_eq!(acme(&newer).keyed, keyed(1));
    newer.operator("acme");
    assert_eq!(acme(&newer).keyed, keyed(2));
    // Servers that start later find the key.
    app.replica().operator("acme");
    assert_eq!(acme(&newer).keyed, keyed(3));
    assert_eq!(faults(&newer), []);
    app.database.execute(REWRITE);
    let found = [
        Fault::WrongSeal { from: 4, to: 6 },
        Fault::NotSealed { from: 1, to: 3 },
    ];
    assert_eq!(acme(&newer).faults, found);
}

/// Runs `sigpersist` on a test's database, with a master key file or without one.
fn program(
    database: &TestDatabase,
    master_key: Option<&std::path::Path>,
    arguments: &[&str],
) -> (Option<i32>, String) {
    let mut command = database.command(arguments);
    match master_key {
        Some(path) => command.env("SIGPERSIST_MASTER_KEY_FILE", path),
        None => command.env_remove("SIGPERSIST_MASTER_KEY_FILE"),
    };
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code(), text.concat())
}

#[test]
fn events_of_older_servers_are_told_until_somebody_vouches_for_them() {
    let app = six_events();
    let file = app.database.master_key_file();
    let run = |arguments: &[&str]| program(&app.database, Some(&file), arguments);
    app.database.execute(UNSEALED);
    app.database.execute(UNSEALED);
    app.operator("acme");
    let (code, said) = run(&["audit", "verify", "acme"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("events 7 to 8 have no seal"), "{said}");
    assert!(
        said.contains("hashes: 9 events; keyed: 7 events since number 1"),
        "{said}"
    );
    let (code, said) = run(&["audit", "seal", "acme"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["audit", "verify", "--all", "--keyed"]);
    assert_eq!(code, Some(0), "{said}");
    let (_, listed) = run(&["audit", "list", "acme", "--action", "audit.seal", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let unsealed = &listed["events"][0]["before"]["unsealed"];
    assert_eq!(unsealed[0], "events 7 to 8 have no seal");
    // Events that had no seal can't be changed any more either.
    app.database
        .execute(&REWRITE.replace("number = 2", "number = 7"));
    let found = [
        Fault::WrongSeal { from: 9, to: 10 },
        Fault::NotSealed { from: 7, to: 8 },
    ];
    assert_eq!(acme(&app).faults, found);
    // A trail with other faults is not sealed.
    let (code, said) = run(&["audit", "seal", "acme"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the audit trail of acme is not intact"),
        "{said}"
    );
}

#[test]
fn who_has_no_master_key_checks_hashes_alone_and_says_so() {
    let app = six_events();
    let run = |arguments: &[&str]| program(&app.database, None, arguments);
    let (code, said) = run(&["audit", "verify", "acme"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("hashes: 6 events; keyed: not checked, because there is no master key here"),
        "{said}"
    );
    let (code, said) = run(&["audit", "verify", "--all", "--keyed"]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = run(&["audit", "seal", "acme"]);
    assert_eq!(code, Some(1), "{said}");
    // Whoever deletes all seals and the key leaves a trail like that of an older release.
    app.database
        .execute("DELETE FROM audit_seals; DELETE FROM audit_keys");
    app.database.execute(REWRITE);
    let chain = acme(&app);
    assert_eq!((chain.keyed, chain.faults), (Keyed::None, vec![]));
    let file = app.database.master_key_file();
    let rewritten = audit::verify(&app.app, &EventOwner::All, None, |_, _| {}).unwrap();
    assert!(rewritten.iter().all(|chain| chain.keyed == Keyed::None));
    // The next command creates a key, and the platform's chain has an event of that.
    let (code, said) = program(&app.database, Some(&file), &["audit", "verify", "acme"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("keyed: 1 event since number 6"), "{said}");
}

#[test]
fn seals_outlive_the_rotation_of_the_master_key() {
    let app = six_events();
    let file = app.database.master_key_file();
    let run = |arguments: &[&str]| program(&app.database, Some(&file), arguments);
    let before = app.database.dump("audit_keys");
    let (code, said) = run(&["master-key", "rotate"]);
    assert_eq!(code, Some(0), "{said}");
    assert_ne!(app.database.dump("audit_keys"), before);
    // Adds events through the running server and a new one.
    app.operator("acme");
    app.replica().operator("acme");
    let (code, said) = run(&["audit", "verify", "--all", "--keyed"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("keyed: 8 events since number 1"), "{said}");
}

#[test]
fn a_lost_master_key_is_told_and_a_new_key_seals_what_is_there() {
    let app = six_events();
    let lost = app.database.folder.path().join("other.key");
    std::fs::write(&lost, "ab".repeat(32)).unwrap();
    let run = |arguments: &[&str]| program(&app.database, Some(&lost), arguments);
    // Commands still work, and are recorded.
    let added = ["tenant", "update", "acme", "--name", "Acme"];
    let (code, said) = run(&added);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["audit", "verify", "acme"]);
    assert_eq!(code, Some(1), "{said}");
    for words in [
        "event 7 has no seal",
        "events 1 to 6 are sealed with a key that the master key can't decrypt",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let (code, said) = run(&["audit", "seal", "--all"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("--new-key"), "{said}");
    let (code, said) = run(&["audit", "seal", "--all", "--new-key"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&added);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = run(&["audit", "verify", "--all", "--keyed"]);
    assert_eq!(code, Some(0), "{said}");
}
