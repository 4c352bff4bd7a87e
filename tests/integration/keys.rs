//! The life of keys, over REST and on the command line.

use std::path::Path;

use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::{Value, json};
use sigpersist::tenants::NewKey;
use sigpersist_model::key::Algorithm;

use crate::support::{Program, Response, TestApp, eventually, run, sigpersist, temp_dir};

fn key(answer: &Response) -> Value {
    answer.json["content"]["key"].clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_key_is_added_listed_shown_and_revoked() {
    let app = TestApp::start();
    app.tenant("acme");
    let platform = app.platform_for("acme");
    let added = platform
        .json(
            "POST",
            "/keys",
            &json!({"expires_at": "2999-01-01 00:00:00"}),
        )
        .expect(201);
    assert_eq!(added.header("cache-control"), Some("no-store"));
    let first = key(&added);
    let kid = text(&first["kid"]);
    assert_eq!(
        added.header("location"),
        Some(&*format!("/tenants/acme/keys/{kid}"))
    );
    assert_eq!(first["algorithm"], "HS256");
    assert_eq!(first["kind"], "secret");
    assert_eq!(first["state"], "active");
    assert_eq!(first["expires_at"], "2999-01-01 00:00:00");
    assert_eq!(text(&first["secret"]).len(), 43);
    // The secret is never shown again.
    let shown = platform.get(&format!("/keys/{kid}")).expect(200);
    assert_eq!(key(&shown).get("secret"), None);
    assert!(!shown.text.contains(&text(&first["secret"])));
    // The list is paged, newest first; the key of the set-up is the last.
    for name in ["b", "c", "d"] {
        platform
            .json("POST", "/keys", &json!({"kid": name, "algorithm": "HS512"}))
            .expect(201);
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = platform.get(&format!("/keys?limit=2{cursor}")).expect(200);
        let keys = page.json["content"]["keys"].as_array().unwrap().clone();
        names.extend(keys.iter().map(|key| text(&key["kid"])));
        match page.json["content"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(names.len(), 5);
    assert_eq!(names[..4], ["d", "c", "b", &kid]);
    let revoked = platform
        .json("POST", &format!("/keys/{kid}/revoke"), &json!({}))
        .expect(200);
    assert_eq!(key(&revoked)["state"], "revoked");
    // Revoking again changes nothing, not even the time of the revocation.
    let again = platform
        .json("POST", &format!("/keys/{kid}/revoke"), &json!({}))
        .expect(200);
    assert_eq!(key(&again), key(&revoked));
    let events = app.platform().get("/audit?tenant=acme&action=key.revoke");
    assert_eq!(
        events.expect(200).json["content"]["events"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Keys of another tenant or of the platform are not found.
    app.tenant("other");
    for client in [app.platform_for("other"), app.platform()] {
        client.get("/keys/d").expect_error(404, "key_not_found");
        client
            .json("POST", "/keys/d/revoke", &json!({}))
            .expect_error(404, "key_not_found");
    }
    platform
        .get("/keys/none")
        .expect_error(404, "key_not_found");
}

#[test]
fn mistakes_about_keys_and_tokens_are_told() {
    let app = TestApp::start();
    app.tenant("acme");
    let platform = app.platform_for("acme");
    for (body, status, words) in [
        (json!({"algorithm": "none"}), 400, "expected one of `HS256`"),
        (
            json!({"algorithm": "ES256", "public_key": "x"}),
            422,
            "not a public key for ES256",
        ),
        (
            json!({"public_key": "-----BEGIN PUBLIC KEY-----"}),
            422,
            "can be used with only one algorithm",
        ),
        (
            json!({"algorithm": "ES256", "public_key": 7}),
            400,
            "public_key",
        ),
        (
            json!({"algorithm": "HS256", "public_key": {"kty": "oct", "k": "AA"}}),
            422,
            "leaked",
        ),
        // Private keys are refused before anything else is checked.
        (
            json!({"public_key": "-----BEGIN EC PRIVATE KEY-----"}),
            422,
            "leaked",
        ),
        (
            json!({"public_key": {"keys": [{"kty": "EC", "kid": "one"}]}}),
            422,
            "one key in it (`one`)",
        ),
        (json!({"kid": "with space"}), 422, "no spaces"),
        // No URL path could name these keys.
        (json!({"kid": "."}), 422, "neither `.` nor `..`"),
        (json!({"kid": ".."}), 422, "neither `.` nor `..`"),
        (json!({"kid": "k".repeat(129)}), 422, "128"),
        (
            json!({"expires_at": "2001-01-01 00:00:00"}),
            422,
            "in the future",
        ),
        (
            json!({"not_before": "2998-01-01 00:00:00", "expires_at": "2997-01-01 00:00:00"}),
            422,
            "begin before",
        ),
        (json!({"expires_at": "soon"}), 400, "a time is"),
        (json!({"oops": 1}), 400, "oops"),
    ] {
        let refused = platform.json("POST", "/keys", &body);
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
        assert!(refused.text.contains(words), "{body}: {}", refused.text);
    }
    for (body, status, words) in [
        (json!({"scopes": ["everything"]}), 400, "the scopes are"),
        (json!({"lifetime_s": 0}), 422, "lifetime"),
        (json!({"lifetime_s": 99_999_999}), 422, "lifetime"),
        (json!({"kid": "none"}), 404, "no such key"),
    ] {
        let refused = platform.json("POST", "/tokens", &body);
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
        assert!(refused.text.contains(words), "{body}: {}", refused.text);
    }
    app.platform()
        .json("POST", "/tokens", &json!({}))
        .expect_error(422, "refused");
    // A token must not outlive its key, and a key that no longer signs issues none.
    platform
        .json(
            "POST",
            "/keys",
            &json!({"kid": "short", "expires_at": "2999-01-01 00:00:00"}),
        )
        .expect(201);
    app.database
        .execute("UPDATE keys SET expires_at = now() + interval '1 minute' WHERE kid = 'short'");
    let refused = platform.json("POST", "/tokens", &json!({"kid": "short"}));
    assert!(refused.text.contains("expires before"), "{}", refused.text);
    platform
        .json(
            "POST",
            "/tokens",
            &json!({"kid": "short", "lifetime_s": 30}),
        )
        .expect(201);
    platform
        .json("POST", "/keys/short/revoke", &json!({}))
        .expect(200);
    let refused = platform.json("POST", "/tokens", &json!({"kid": "short"}));
    assert!(refused.text.contains("is revoked"), "{}", refused.text);
}

#[test]
fn a_tenant_has_no_more_keys_than_it_may() {
    let app = TestApp::start();
    app.tenant("acme");
    let statuses: Vec<_> = std::thread::scope(|scope| {
        let racers = [(); 4].map(|()| {
            scope.spawn(|| {
                (0..26)
                    .map(|_| {
                        app.add_key(Some("acme"), &NewKey::made(Algorithm::Hs256))
                            .is_ok()
                    })
                    .collect::<Vec<_>>()
            })
        });
        racers
            .into_iter()
            .flat_map(|racer| racer.join().unwrap())
            .collect()
    });
    assert_eq!(statuses.iter().filter(|added| **added).count(), 99);
    let error = app
        .add_key(Some("acme"), &NewKey::made(Algorithm::Hs256))
        .unwrap_err();
    assert!(error.to_string().contains("100 keys"), "{error}");
}

/// Acts as another service that trusts this server's tokens.
#[test]
fn tokens_of_key_pairs_verify_elsewhere_with_the_published_keys() {
    let app = TestApp::start();
    app.tenant("acme");
    let acme = app.platform_for("acme");
    let set = |path: &str| {
        let answer = app.anonymous().get(path);
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            answer.header("content-type"),
            Some("application/jwk-set+json")
        );
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
        answer.json["keys"].as_array().unwrap().clone()
    };
    let of_acme = "/tenants/acme/.well-known/jwks.json";
    assert_eq!(set(of_acme), Vec::<Value>::new());
    assert_eq!(
        set("/tenants/nobody/.well-known/jwks.json"),
        Vec::<Value>::new()
    );
    for algorithm in ["ES256", "ES384", "EdDSA", "RS256", "PS256"] {
        let added = acme
            .json(
                "POST",
                "/keys",
                &json!({"kid": algorithm, "algorithm": algorithm}),
            )
            .expect(201);
        assert_eq!(key(&added)["kind"], "key_pair");
        let issued = acme
            .json(
                "POST",
                "/tokens",
                &json!({"subject": "us", "kid": algorithm}),
            )
            .expect(201);
        let token = text(&issued.json["content"]["token"]);
        // The token is valid here and with the published key.
        app.anonymous()
            .with_token(&token)
            .read("d", "t")
            .expect_error(404, "signature_not_found");
        let keys = set(of_acme);
        let jwk = keys.iter().find(|key| key["kid"] == algorithm).unwrap();
        assert_eq!(jwk.get("d"), None);
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(jwk.clone()).unwrap();
        let mut validation = Validation::new(algorithm.parse().unwrap());
        validation.validate_aud = false;
        let claims =
            decode::<Value>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
        assert_eq!(claims.claims["sub"], "us");
        assert_eq!(claims.claims["tenant"], "acme");
    }
    // Future keys are published, expired and revoked ones are not; neither are other holders' keys or any secret.
    acme.json(
        "POST",
        "/keys",
        &json!({"kid": "later", "algorithm": "ES256", "not_before": "2998-01-01 00:00:00"}),
    )
    .expect(201);
    acme.json("POST", "/keys/ES256/revoke", &json!({}))
        .expect(200);
    app.platform()
        .json(
            "POST",
            "/keys",
            &json!({"kid": "platforms", "algorithm": "EdDSA"}),
        )
        .expect(201);
    let names = |path: &str| {
        let names: Vec<_> = set(path).iter().map(|key| text(&key["kid"])).collect();
        names
    };
    assert_eq!(
        names(of_acme),
        ["later", "PS256", "RS256", "EdDSA", "ES384"]
    );
    assert_eq!(names("/.well-known/jwks.json"), ["platforms"]);
    app.platform()
        .json("POST", "/tenants/acme/suspend", &json!({}))
        .expect(200);
    assert_eq!(names(of_acme), Vec::<String>::new());
    // Private keys are stored encrypted, like secrets.
    let stored = app.database.dump("keys");
    assert!(!stored.contains("PRIVATE"));
}

fn facts(data_dir: &Path, arguments: &[&str]) -> Value {
    let all = [&["--json"], arguments].concat();
    serde_json::from_str(&run(data_dir, &all)).unwrap()
}

#[test]
fn a_script_rotates_a_key_beside_a_running_server() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.as_path();
    run(data_dir, &["tenant", "create", "acme"]);
    assert!(run(data_dir, &["key", "list", "acme"]).contains("sigpersist key add acme"));
    let old = facts(data_dir, &["key", "add", "acme"]);
    let server = Program::serve(data_dir);
    let token = run(data_dir, &["token", "issue", "acme"]);
    server
        .client(&token)
        .read("d", "t")
        .expect_error(404, "signature_not_found");
    let new = facts(
        data_dir,
        &[
            "key",
            "add",
            "acme",
            "--alg",
            "ES256",
            "--kid",
            "k-2",
            "--expires-at",
            "2999-01-01 00:00:00",
        ],
    );
    assert_eq!(new["kid"], "k-2");
    assert_eq!(new["secret"], Value::Null);
    let fresh = run(data_dir, &["token", "issue", "acme"]);
    server
        .client(&fresh)
        .read("d", "t")
        .expect_error(404, "signature_not_found");
    let listed = run(data_dir, &["key", "list", "acme"]);
    assert!(
        listed.contains("k-2") && listed.contains("key_pair"),
        "{listed}"
    );
    let shown = run(data_dir, &["key", "show", "k-2"]);
    assert!(shown.contains("-----BEGIN PUBLIC KEY-----"), "{shown}");
    // Registers that public key for another tenant, from a file.
    let file = folder.path().join("key.pem");
    std::fs::write(&file, text(&new["public_key"])).unwrap();
    run(data_dir, &["tenant", "create", "other"]);
    let arguments = [
        "key",
        "add",
        "other",
        "--alg",
        "ES256",
        "--kid",
        "theirs",
        "--public-key",
        file.to_str().unwrap(),
    ];
    assert!(run(data_dir, &arguments).contains("public key"));
    assert!(run(data_dir, &arguments).contains("nothing was changed"));
    let old = text(&old["kid"]);
    run(data_dir, &["key", "revoke", &old]);
    eventually(|| server.client(&token).read("d", "t").status == 401);
    server
        .client(&fresh)
        .read("d", "t")
        .expect_error(404, "signature_not_found");
    let missing = sigpersist(data_dir, &["key", "revoke", "none"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("sigpersist key list"));
    assert!(server.stop().success());
}
