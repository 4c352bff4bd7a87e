//! Rotation of the master key: while servers run, with the right file only, and continued if interrupted.

use std::path::Path;

use serde_json::{Value, json};
use sigpersist::tenants::{self, NewKey, Rotated};
use sigpersist_model::key::Algorithm;

use crate::support::{Client, Program, TestApp, run, sigpersist, temp_dir};

fn facts(data_dir: &Path, arguments: &[&str]) -> Value {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    serde_json::from_str(&run(data_dir, &arguments)).unwrap()
}

#[test]
fn the_master_key_is_rotated_while_a_server_runs() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.as_path();
    let server = Program::serve(data_dir);
    for slug in ["acme", "other"] {
        run(data_dir, &["tenant", "create", slug]);
        run(data_dir, &["key", "add", slug]);
    }
    run(data_dir, &["key", "add", "acme", "--alg", "ES256"]);
    run(data_dir, &["key", "add", "--platform"]);
    let platform = run(
        data_dir,
        &["token", "issue", "--platform", "--scope", "keys:write"],
    );
    let tokens = ["acme", "other"].map(|slug| run(data_dir, &["token", "issue", slug]));
    let all_work = |server: &Program| {
        for token in &tokens {
            server
                .client(token)
                .read("d", "t")
                .expect_error(404, "signature_not_found");
        }
    };
    all_work(&server);
    let before = facts(data_dir, &["master-key", "show"]);
    assert_eq!(
        (&before["secrets"], &before["under_current"]),
        (&json!(4), &json!(4))
    );
    let prepared = facts(data_dir, &["master-key", "rotate", "--prepare"]);
    assert_eq!(prepared["current"], before["current"]);
    let rotated = facts(data_dir, &["master-key", "rotate"]);
    assert_eq!(rotated["current"], prepared["next"]);
    assert_eq!(rotated["secrets"], 4);
    let after = facts(data_dir, &["master-key", "show"]);
    assert_eq!(after["old"], json!([]));
    assert_eq!(
        (&after["secrets"], &after["under_current"]),
        (&json!(4), &json!(4))
    );
    // The server, which has read all keys under the old master key, reads and adds keys under the new one.
    all_work(&server);
    let client = server.client(&platform);
    let added = client
        .json("POST", "/tenants/acme/keys", &json!({"kid": "since"}))
        .expect(201);
    assert_eq!(added.json["content"]["key"]["state"], "active");
    client
        .json("POST", "/tenants/acme/tokens", &json!({"kid": "since"}))
        .expect(201);
    let since = facts(data_dir, &["master-key", "show"]);
    assert_eq!(
        (&since["secrets"], &since["under_current"]),
        (&json!(5), &json!(5))
    );
    // Rotates in one step, and restarts the server.
    let again = facts(data_dir, &["master-key", "rotate"]);
    assert_ne!(again["current"], rotated["current"]);
    assert_eq!(again["secrets"], 5);
    assert!(server.stop().success());
    let server = Program::serve(data_dir);
    all_work(&server);
    let file = std::fs::read_to_string(data_dir.join("master.key")).unwrap();
    assert_eq!(file.lines().count(), 1);
    let trail = facts(
        data_dir,
        &["audit", "list", "--platform", "--action", "master_key."],
    );
    let actions: Vec<_> = trail["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "master_key.rotate",
            "master_key.promote",
            "master_key.rotate",
            "master_key.promote"
        ]
    );
    assert!(!trail.to_string().contains(file.trim()));
    assert!(server.stop().success());
}

/// Two machines. The second has a copy of the file from before the rotation that contains the prepared new key.
#[test]
fn a_server_with_a_copy_of_the_file_adds_no_secret_under_the_old_key() {
    let app = TestApp::start();
    app.tenant("acme");
    let copy = app.database.folder.path().join("copy.key");
    tenants::prepare_master_key(&app.app).unwrap();
    std::fs::copy(app.database.master_key_file(), &copy).unwrap();
    let elsewhere = app.replica_with(|config| config.master_key_file = Some(copy.clone()));
    let rotated = rotate(&app, false).unwrap();
    let added = elsewhere.add_key(Some("acme"), &NewKey::made(Algorithm::Hs256));
    let kid = added.unwrap().key.kid;
    // Keys that the second machine added are readable with the new file alone.
    let keys = tenants::master_keys(&app.app).unwrap();
    assert_eq!(keys.secrets, keys.under_current);
    assert_eq!(keys.ids.current, rotated.current);
    assert_eq!(keys.ids.old, []);
    let platform = app.platform_for("acme");
    platform
        .json("POST", "/tokens", &json!({"kid": kid}))
        .expect(201);
    // A machine without the new key refuses to add keys, and explains what to do.
    rotate(&app, false).unwrap();
    let refused = elsewhere.add_key(Some("acme"), &NewKey::made(Algorithm::Hs256));
    let sentence = refused.unwrap_err().to_string();
    assert!(
        sentence.contains("copy the new file to this server"),
        "{sentence}"
    );
}

fn rotate(app: &TestApp, abandon: bool) -> Result<Rotated, String> {
    let actor = sigpersist_model::audit::Actor::command_line();
    let rotated = tenants::rotate_master_key(&app.app, &actor, abandon, |_, _| {});
    rotated.map_err(|error| error.to_string())
}

/// Everything that a rotation changes: the file, the current master key, the secrets under it, and the audit trail.
fn state(app: &TestApp) -> Vec<String> {
    let file = std::fs::read_to_string(app.database.master_key_file()).unwrap();
    let tables = ["master_key", "keys", "audit_keys", "audit_events"];
    let mut state = tables.map(|table| app.database.dump(table)).to_vec();
    state.push(file);
    state
}

fn named(kid: &str) -> NewKey {
    NewKey {
        kid: Some(kid.to_owned()),
        ..NewKey::made(Algorithm::Hs256)
    }
}

#[test]
fn a_file_that_decrypts_nothing_changes_nothing() {
    let app = TestApp::start();
    app.tenant("acme");
    app.platform();
    let path = app.database.master_key_file();
    // Before the first rotation, after one, and after a prepared one.
    for number in 0..3 {
        let right = std::fs::read(&path).unwrap();
        std::fs::write(&path, "08".repeat(32)).unwrap();
        let before = state(&app);
        let wrong = app.replica();
        let refused = rotate(&wrong, false).unwrap_err();
        let what = [
            "decrypts none of the 3 stored secrets",
            "lacks the current key ",
        ][number.min(1)];
        let said = format!(
            "Nothing was changed: the master key file {} {what}",
            path.display()
        );
        assert!(refused.starts_with(&said), "{refused}");
        let refused = tenants::prepare_master_key(&wrong.app).unwrap_err();
        assert!(refused.to_string().starts_with(&said), "{refused}");
        let output = app.database.command(&["master-key", "rotate"]).output();
        assert_eq!(output.unwrap().status.code(), Some(1));
        assert_eq!(state(&app), before, "{number}");
        // With the right file, work continues as if nothing had happened.
        std::fs::write(&path, right).unwrap();
        let right = app.replica();
        right
            .add_key(Some("acme"), &named(&format!("since-{number}")))
            .unwrap();
        let platform = app.platform_for("acme");
        let kid = format!("/keys/since-{number}/revoke");
        platform.json("POST", &kid, &json!({})).expect(200);
        rotate(&right, false).unwrap();
        if number == 1 {
            tenants::prepare_master_key(&right.app).unwrap();
        }
    }
}

#[test]
fn a_file_that_lacks_the_key_which_encrypts_is_refused_even_where_nothing_is_encrypted() {
    let app = TestApp::start();
    let path = app.database.master_key_file();
    let right = std::fs::read(&path).unwrap();
    rotate(&app, false).unwrap();
    // Puts back a copy of the file from before the rotation.
    let rotated = std::fs::read(&path).unwrap();
    std::fs::write(&path, &right).unwrap();
    let before = state(&app);
    let refused = rotate(&app.replica(), false).unwrap_err();
    assert!(
        refused.contains("a copy from before a rotation"),
        "{refused}"
    );
    assert_eq!(state(&app), before);
    std::fs::write(&path, rotated).unwrap();
    rotate(&app.replica(), false).unwrap();
    // If the key is lost for good, the rotation can abandon it.
    std::fs::write(&path, &right).unwrap();
    let anew = app.replica();
    rotate(&anew, true).unwrap();
    anew.tenant("acme");
}

#[test]
fn a_secret_that_cant_be_read_is_named_and_nothing_is_changed_until_it_is_given_up() {
    let app = TestApp::start();
    app.tenant("acme");
    for kid in ["broken", "gone", "lost", "whole"] {
        app.add_key(Some("acme"), &named(kid)).unwrap();
    }
    app.database.execute(
        "UPDATE keys SET encrypted_secret = set_byte(encrypted_secret, 30, 255 - get_byte(encrypted_secret, 30))
         WHERE kid IN ('broken', 'gone', 'lost');
         UPDATE keys SET revoked_at = now() WHERE kid = 'gone'",
    );
    let before = state(&app);
    let told = rotate(&app, false).unwrap_err();
    assert!(
        told.contains(
            "does not decrypt 2 of the 5 stored secrets, those of the keys: broken, lost."
        ),
        "{told}"
    );
    assert_eq!(state(&app), before);
    let platform = app.platform_for("acme");
    platform
        .json("POST", "/keys/broken/revoke", &json!({}))
        .expect(200);
    let told = rotate(&app, false).unwrap_err();
    assert!(told.contains("those of the keys: lost."), "{told}");
    let rotated = rotate(&app, true).unwrap();
    assert_eq!(rotated.abandoned, ["lost"]);
    let keys = tenants::master_keys(&app.app).unwrap();
    assert_eq!(keys.ids.old, []);
    assert_eq!(keys.under_current, keys.secrets - 3);
    platform
        .json("POST", "/tokens", &json!({"kid": "whole"}))
        .expect(201);
}

#[test]
fn a_rotation_that_was_broken_off_goes_on() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.as_path();
    run(data_dir, &["tenant", "create", "acme"]);
    run(data_dir, &["key", "add", "acme"]);
    let token = run(data_dir, &["token", "issue", "acme"]);
    let prepared = facts(data_dir, &["master-key", "rotate", "--prepare"]);
    // The file as left by a rotation that was killed before it re-encrypted the secrets.
    let path = data_dir.join("master.key");
    let file = std::fs::read_to_string(&path).unwrap();
    let [old, next] = file.lines().collect::<Vec<_>>()[..] else {
        panic!("{file}")
    };
    let next = next.strip_prefix("next ").unwrap();
    std::fs::write(&path, format!("{next}\nold {old}\n")).unwrap();
    let shown = run(data_dir, &["master-key", "show"]);
    assert!(shown.contains("interrupted"), "{shown}");
    let rotated = facts(data_dir, &["master-key", "rotate"]);
    assert_eq!(rotated["current"], prepared["next"]);
    assert_eq!(rotated["secrets"], 1);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{next}\n"));
    // An invalid file is reported in a clear message, and nothing is lost.
    std::fs::write(&path, "oops\n").unwrap();
    let refused = sigpersist(data_dir, &["master-key", "rotate"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bytes in hexadecimal"));
    std::fs::write(&path, format!("{next}\n")).unwrap();
    let server = Program::serve(data_dir);
    Client::new(&server.base, Some(token))
        .read("d", "t")
        .expect_error(404, "signature_not_found");
    assert!(server.stop().success());
}
