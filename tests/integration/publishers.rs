//! Signatures of the publishers of plugins: the server takes only plugins that publishers signed whom it trusts. The signatures in
//! `tests/data/minisign` are minisign's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sigpersist_model::digest::{sha256, to_hex};

use crate::support::guest::Guest;
use crate::support::{Client, Response, SIGNER_TAGS, TestApp, elsewhere, succeeds, temp_dir};

/// A component as an earlier release built it, so that it never changes.
const SIGNED: &[u8] = include_bytes!("../data/hooks-1.0/signer-tags.wasm");
const SIGNATURE: &str = include_str!("../data/minisign/signer-tags-1.2.0.minisig");
const WITHOUT_STATEMENT: &str = include_str!("../data/minisign/signer-tags-plain.minisig");
const LEGACY: &str = include_str!("../data/minisign/signer-tags-legacy.minisig");
const BY_ANOTHER: &str = include_str!("../data/minisign/signer-tags-other.minisig");
const KEY_FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/minisign/publisher.key"
);

/// The public key in a file of minisign.
fn key(file: &str) -> &str {
    file.lines().nth(1).unwrap()
}

fn publisher() -> &'static str {
    key(include_str!("../data/minisign/publisher.pub"))
}

fn another() -> &'static str {
    key(include_str!("../data/minisign/other.pub"))
}

/// The id of a key in the file of minisign, which names it in its first line.
fn id(file: &str) -> &str {
    file.lines().next().unwrap().split(' ').next_back().unwrap()
}

fn publisher_id() -> &'static str {
    id(include_str!("../data/minisign/publisher.pub"))
}

/// A server that trusts these keys.
fn trusting(keys: &str) -> TestApp {
    let keys = keys.to_owned();
    TestApp::start_with(|config| config.plugins.require_signature = keys)
}

fn upload(client: &Client, name: &str, component: &[u8], more: Value) -> Response {
    let mut body = json!({ "component": STANDARD.encode(component) });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    client.json("PUT", &format!("/plugins/{name}"), &body)
}

/// Lets the program sign a component, as the publisher of the fixtures.
fn sign(component: &[u8], name: &str, version: &str) -> String {
    let folder = temp_dir();
    let file = folder.path().join("p.wasm");
    std::fs::write(&file, component).unwrap();
    let arguments = [
        "plugin",
        "sign",
        file.to_str().unwrap(),
        "--key",
        KEY_FILE,
        "--name",
        name,
        "--plugin-version",
        version,
    ];
    succeeds(elsewhere(folder.path(), &arguments));
    std::fs::read_to_string(folder.path().join("p.wasm.minisig")).unwrap()
}

#[track_caller]
fn refused(response: Response, reason: &str, said: &str) {
    let response = response.expect_error(422, "plugin_signature_refused");
    assert_eq!(response.json["details"]["reason"], reason);
    let message = response.json["message"].as_str().unwrap();
    assert!(message.contains(said), "{message}");
}

#[test]
fn only_what_a_trusted_publisher_signed_is_uploaded() {
    let app = trusting(&format!("{},{}", another(), publisher()));
    app.tenant("acme");
    let operator = app.operator("acme");
    refused(
        upload(&operator, "signer-tags", SIGNED, json!({})),
        "missing",
        "plugins.require_signature",
    );
    let wasm = [("content-type", "application/wasm")];
    refused(
        operator.send("PUT", "/plugins/signer-tags", &wasm, Some(SIGNED.to_vec())),
        "missing",
        "plugin sign",
    );
    let signed = json!({ "signature": SIGNATURE });
    let uploaded = upload(&operator, "signer-tags", SIGNED, signed.clone()).expect(201);
    let publisher = &uploaded.json["content"]["revision"]["publisher"];
    assert_eq!(
        *publisher,
        json!({ "key_id": publisher_id(), "version": "1.2.0", "trusted": true, "signature": SIGNATURE })
    );
    // Minisign's other key is trusted here, too.
    let by_another = json!({ "signature": BY_ANOTHER });
    let again = upload(&operator, "signer-tags", SIGNED, by_another).expect(201);
    let key_id = &again.json["content"]["revision"]["publisher"]["key_id"];
    assert_eq!(*key_id, id(include_str!("../data/minisign/other.pub")));
    upload(&operator, "signer-tags", SIGNED, signed).expect(201);
    // Without any, the stored one would stay: nobody can be without one.
    refused(
        upload(&operator, "signer-tags", SIGNED, json!({})),
        "missing",
        "",
    );
    // The audit trail names the key.
    let events = operator.get("/audit?action=plugin.upload").expect(200);
    let newest = &events.json["content"]["events"][0];
    assert_eq!(
        newest["after"]["publisher"],
        json!({ "key_id": publisher_id(), "version": "1.2.0", "verified": true })
    );
    assert_eq!(
        app.audit("acme").len(),
        3,
        "no refused upload changed anything"
    );
}

#[test]
fn signatures_of_others_or_of_something_else_are_refused() {
    let app = trusting(publisher());
    app.tenant("acme");
    let operator = app.operator("acme");
    let signed = |signature: &str| json!({ "signature": signature });
    let as_tags = |signature: &str| upload(&operator, "signer-tags", SIGNED, signed(signature));
    refused(
        as_tags(BY_ANOTHER),
        "key_not_trusted",
        id(include_str!("../data/minisign/other.pub")),
    );
    refused(
        as_tags(WITHOUT_STATEMENT),
        "incomplete",
        "plugin:signer-tags version:1.2.0",
    );
    refused(as_tags(LEGACY), "malformed", "old format");
    for malformed in [
        "",
        "a\nb\nc\nd",
        &SIGNATURE[..200],
        "x".repeat(5_000).as_str(),
    ] {
        refused(as_tags(malformed), "malformed", "`.minisig`");
    }
    // Another file, another name.
    let other = Guest::default().component();
    refused(
        upload(&operator, "signer-tags", &other, signed(SIGNATURE)),
        "invalid",
        "other bytes",
    );
    refused(
        upload(&operator, "approves-all", SIGNED, signed(SIGNATURE)),
        "other_plugin",
        "Upload it as `signer-tags`",
    );
    // The signed comment can't be changed, nor can the signature be put under another comment or key's id.
    let renamed = SIGNATURE.replace("plugin:signer-tags", "plugin:approves-all");
    refused(
        upload(&operator, "approves-all", SIGNED, signed(&renamed)),
        "invalid",
        "somebody changed it",
    );
    let newer = SIGNATURE.replace("version:1.2.0", "version:9.9.9");
    refused(as_tags(&newer), "invalid", "somebody changed it");
    let mut lines: Vec<_> = BY_ANOTHER.lines().map(str::to_owned).collect();
    let mut forged = STANDARD.decode(&lines[1]).unwrap();
    let trusted = STANDARD.decode(publisher()).unwrap();
    forged[2..10].copy_from_slice(&trusted[2..10]);
    lines[1] = STANDARD.encode(forged);
    refused(as_tags(&lines.join("\n")), "invalid", publisher_id());
    assert_eq!(app.audit("acme"), Vec::<String>::new());
    // The line that nobody signed may say anything.
    let renamed = SIGNATURE.replace("signature from minisign secret key", "plugin:x version:9");
    as_tags(&renamed).expect(201);
}

#[test]
fn nothing_goes_back_to_an_older_version() {
    let app = trusting(publisher());
    app.tenant("acme");
    let operator = app.operator("acme");
    let component = |number: i32| {
        let describe = format!("(drop (i32.const {number}))");
        let guest = Guest {
            definitions: &format!("(func $n {describe})"),
            ..Guest::default()
        };
        guest.component()
    };
    let put = |number: i32, version: &str| {
        let component = component(number);
        let signature = sign(&component, "p", version);
        upload(
            &operator,
            "p",
            &component,
            json!({ "signature": signature }),
        )
    };
    put(1, "1.0.0").expect(201);
    put(2, "1.10.0-rc.1").expect(201);
    refused(put(1, "1.0.0"), "older_version", "older than 1.10.0-rc.1");
    refused(put(3, "1.9.0"), "older_version", "hook set --revision");
    let taken = put(3, "1.10.0-rc.1+other.build");
    refused(taken, "version_taken", &to_hex(&sha256(&component(2))));
    put(2, "1.10.0-rc.1").expect(201);
    put(1, "1.10.0").expect(201);
    let revisions = operator.get("/plugins/p/revisions").expect(200);
    let revisions = revisions.json["content"]["revisions"].clone();
    let versions: Vec<_> = revisions
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["publisher"]["version"].clone())
        .collect();
    assert_eq!(versions, ["1.10.0", "1.10.0-rc.1"]);
    // A server that trusts nobody only reads signatures, and what it read loosens nothing.
    let careless = app.replica_with(|config| config.plugins.require_signature.clear());
    let first = component(1);
    let signature = sign(&first, "p", "0.1.0");
    let read = upload(
        &careless.operator("acme"),
        "p",
        &first,
        json!({ "signature": signature }),
    );
    assert!(read.status < 300, "{}", read.status);
    refused(put(3, "1.10.0-rc.2"), "older_version", "older than 1.10.0");
}

#[test]
fn plugins_from_before_stay_in_force_and_are_shown_as_not_trusted() {
    let app = TestApp::start();
    app.tenant("acme");
    app.hook("acme", "tags", SIGNER_TAGS, |_| {});
    let operator = app.operator("acme");
    let signed = json!({ "signature": SIGNATURE });
    // Without trusted keys, a signature is kept, but nobody verified it.
    let uploaded = upload(&operator, "signer-tags", SIGNED, signed.clone()).expect(201);
    assert_eq!(
        uploaded.json["content"]["revision"]["publisher"]["trusted"],
        false
    );
    refused(
        upload(&operator, "else", SIGNED, signed.clone()),
        "other_plugin",
        "",
    );
    let strict =
        app.replica_with(|config| config.plugins.require_signature = publisher().to_owned());
    let mut there = operator.clone();
    there.base.clone_from(&strict.base);
    let listed = |client: &Client| {
        let plugins = client.get("/plugins").expect(200).json["content"]["plugins"].clone();
        let plugins = plugins.as_array().unwrap().iter();
        let shown = plugins.map(|it| {
            (
                it["name"].clone(),
                it["newest"]["publisher"]["trusted"].clone(),
            )
        });
        shown.collect::<Vec<_>>()
    };
    let (tags, signer_tags) = (json!("tags"), json!("signer-tags"));
    assert_eq!(
        listed(&there),
        [
            (signer_tags.clone(), json!(false)),
            (tags.clone(), Value::Null)
        ]
    );
    there.json("POST", "/signature", &json!({"document": "d", "thread": "t", "version": 0, "cms": crate::support::FIRST.trim()})).expect(201);
    // The same bytes once more, now verified: by this server, and told by the other.
    upload(&there, "signer-tags", SIGNED, signed).expect(201);
    assert_eq!(listed(&there)[0], (signer_tags.clone(), json!(true)));
    // A key that is no longer in the setting is no longer trusted.
    assert_eq!(listed(&operator)[0], (signer_tags, json!(false)));
}

#[test]
fn signatures_and_origins_travel_with_their_tenant_and_are_verified_there() {
    let origin = format!(
        "ghcr.io/acme/signer-tags:1.2.0@sha256:{}",
        to_hex(&sha256(b"manifest"))
    );
    let here = TestApp::start();
    here.tenant("acme");
    let operator = here.operator("acme");
    let more = json!({ "signature": SIGNATURE, "origin": origin });
    upload(&operator, "signer-tags", SIGNED, more).expect(201);
    upload(&operator, "unsigned", SIGNER_TAGS, json!({})).expect(201);
    let file = here.database.folder.path().join("acme.ndjson");
    let file = file.to_str().unwrap();
    let exported = here
        .database
        .command(&["tenant", "export", "acme", "--output", file])
        .output();
    assert!(exported.unwrap().status.success());
    let there = trusting(publisher());
    let mut import = there.database.command(&[
        "tenant", "import", "acme", "--input", file, "--create", "--json",
    ]);
    import.env("SIGPERSIST_PLUGINS_REQUIRE_SIGNATURE", publisher());
    let said: Value = serde_json::from_slice(&import.output().unwrap().stdout).unwrap();
    assert_eq!(said["imported"]["new_revisions"], 1, "{said}");
    let told = said["imported"]["told"].to_string();
    assert!(
        told.contains("`unsigned` is left out") && told.contains("plugins.require_signature"),
        "{told}"
    );
    there.tenant("acme");
    let copied = there
        .operator("acme")
        .get("/plugins/signer-tags")
        .expect(200);
    let newest = &copied.json["content"]["plugin"]["newest"];
    assert_eq!(
        (&newest["origin"], &newest["publisher"]["trusted"]),
        (&json!(origin), &json!(true))
    );
    assert_eq!(newest["publisher"]["signature"], SIGNATURE);
}

#[test]
fn an_origin_is_a_reference_with_its_digest() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let digest = to_hex(&sha256(b"manifest"));
    for wrong in [
        "".to_owned(),
        "ghcr.io/acme/p:1".to_owned(),
        format!("ghcr.io/../p@sha256:{digest}"),
        format!("https://ghcr.io/p@sha256:{digest}"),
    ] {
        let refused = upload(&operator, "p", SIGNED, json!({ "origin": wrong }));
        refused.expect_error(400, "invalid_parameter");
    }
    let origin = format!("ghcr.io/acme/p@sha256:{digest}");
    upload(&operator, "p", SIGNED, json!({ "origin": origin })).expect(201);
    // It stays if the same bytes come from a file.
    let again = upload(&operator, "p", SIGNED, json!({})).expect(200);
    assert_eq!(again.json["content"]["revision"]["origin"], origin.as_str());
    let event = operator.get("/audit?action=plugin.upload").expect(200).json["content"]["events"]
        [0]
    .clone();
    assert_eq!(event["after"]["origin"], origin.as_str());
}

#[test]
fn a_server_does_not_start_with_something_else_than_keys() {
    let folder = temp_dir();
    let mut command = elsewhere(folder.path(), &["serve"]);
    command.env("SIGPERSIST_PLUGINS_REQUIRE_SIGNATURE", "true");
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("plugins.require_signature")
            && error.contains("\"true\" is not a public key"),
        "{error}"
    );
}
