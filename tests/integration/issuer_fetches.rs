//! Fetching the keys of identity providers that are slow, down, hostile, or asked by a flood.

use std::thread;
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm as Jwt;
use serde_json::{Value, json};

use crate::issuers::{asked, start, trust};
use crate::support::provider::{Page, Provider, TestKey, claims, set};
use crate::support::{TestApp, eventually};

const KEYS: &str = "/realms/acme/certs";

/// A server whose settings let it ask a provider again at once, and keeps nothing fresh.
fn impatient(provider: &Provider) -> TestApp {
    let app = TestApp::start_with(|config| {
        provider.trust(config);
        config.auth.jwks_interval_s = 0;
        config.auth.jwks_max_age_s = 0;
    });
    app.tenant("acme");
    app
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_and_a_key_that_is_gone_verifies_nothing() {
    let provider = Provider::start();
    let [old, new] = ["old", "new"].map(|kid| TestKey::new(kid, Jwt::ES256));
    provider.publish("acme", &[&old]);
    let app = TestApp::start_with(|config| {
        provider.trust(config);
        config.auth.jwks_interval_s = 0;
    });
    app.tenant("acme");
    let issuer = provider.issuer("acme");
    trust(&app.platform_for("acme"), "id", &issuer, &json!({})).expect(201);
    let [first, second] = [&old, &new].map(|key| key.sign(&claims(&issuer, "api", &json!({}))));
    asked(&app, &first).expect(200);
    asked(&app, &second).expect_error(401, "invalid_token");
    provider.publish("acme", &[&old, &new]);
    asked(&app, &second).expect(200);
    asked(&app, &first).expect(200);
    // The first token is cached. It goes with its key.
    provider.publish("acme", &[&new]);
    let other = old.sign(&claims(&issuer, "api", &json!({"jti": "x"})));
    asked(&app, &other).expect(200);
    let stranger = TestKey::new("stranger", Jwt::ES256);
    let unknown = stranger.sign(&claims(&issuer, "api", &json!({})));
    asked(&app, &unknown).expect_error(401, "invalid_token");
    for token in [&first, &other] {
        asked(&app, token).expect_error(401, "invalid_token");
    }
    asked(&app, &second).expect(200);
    // So it is if no key is left, or none that can be used.
    provider.publish("acme", &[]);
    asked(&app, &unknown).expect_error(401, "invalid_token");
    asked(&app, &second).expect_error(401, "invalid_token");
    let known = app.platform_for("acme").get("/issuers/id").expect(200);
    let known = known.json["content"]["issuer"]["known"].clone();
    assert_eq!(known["kids"], json!([]));
    let failure = known["failure"].as_str().unwrap();
    assert!(failure.contains("no key that can be used"), "{failure}");
}

#[test]
fn a_flood_of_unknown_keys_is_no_flood_of_fetches() {
    let provider = Provider::start();
    let key = TestKey::new("k", Jwt::ES256);
    provider.publish("acme", &[&key]);
    let (app, admin) = start(&provider);
    let issuer = provider.issuer("acme");
    trust(
        &admin,
        "id",
        &issuer,
        &json!({"jwks_url": provider.keys_url("acme")}),
    )
    .expect(201);
    let good = key.sign(&claims(&issuer, "api", &json!({})));
    asked(&app, &good).expect(200);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (app, key, issuer) = (&app, &key, &issuer);
            scope.spawn(move || {
                for number in 0..25 {
                    let header = json!({"alg": "ES256", "kid": format!("{thread}-{number}")});
                    let token = key.sign_with(&header, &claims(issuer, "api", &json!({})));
                    asked(app, &token).expect_error(401, "invalid_token");
                }
            });
        }
    });
    let asked_for = provider.asked(KEYS);
    assert!((1..=2).contains(&asked_for), "{asked_for} fetches");
    asked(&app, &good).expect(200);
}

#[test]
fn many_callers_wait_for_one_fetch() {
    let provider = Provider::start();
    let key = TestKey::new("k", Jwt::ES256);
    let (app, admin) = start(&provider);
    let issuer = provider.issuer("acme");
    trust(
        &admin,
        "id",
        &issuer,
        &json!({"jwks_url": provider.keys_url("acme")}),
    )
    .expect(201);
    let page = Page::Slow(Duration::from_millis(500), set(&[&key]).to_string());
    provider.page(KEYS, page);
    thread::scope(|scope| {
        for number in 0..20 {
            let token = key.sign(&claims(&issuer, "api", &json!({ "jti": number })));
            let app = &app;
            scope.spawn(move || asked(app, &token).expect(200));
        }
    });
    assert_eq!(provider.asked(KEYS), 1);
}

#[test]
fn a_provider_that_hangs_holds_up_its_own_callers_only_and_not_for_long() {
    let provider = Provider::start();
    let key = TestKey::new("k", Jwt::ES256);
    let app = TestApp::start_with(|config| {
        provider.trust(config);
        config.auth.jwks_timeout_ms = 5_000;
        config.http.queue_timeout_ms = 1_000;
    });
    app.tenant("acme");
    let admin = app.platform_for("acme");
    let (other, acme) = (app.tenant("other"), app.operator("acme"));
    let issuer = provider.issuer("acme");
    trust(
        &admin,
        "id",
        &issuer,
        &json!({"jwks_url": provider.keys_url("acme")}),
    )
    .expect(201);
    provider.page(KEYS, Page::Hanging);
    other.save("d", "t", 0, "x").expect(201);
    thread::scope(|scope| {
        for number in 0..40 {
            let token = key.sign(&claims(&issuer, "api", &json!({ "jti": number })));
            let app = &app;
            scope.spawn(move || {
                let begin = Instant::now();
                let refused = asked(app, &token).expect_error(503, "issuer_unavailable");
                assert!(refused.headers.contains_key("retry-after"));
                assert!(begin.elapsed() < Duration::from_secs(15));
            });
        }
        eventually(|| provider.asked(KEYS) > 0);
        // Its own tenant's callers with other keys are not held up either.
        let begin = Instant::now();
        for _ in 0..20 {
            other.read("d", "t").expect(200);
            acme.get("/whoami").expect(200);
        }
        assert!(begin.elapsed() < Duration::from_secs(10));
    });
    assert_eq!(provider.asked(KEYS), 1);
}

#[test]
fn what_is_no_key_set_of_a_sensible_size_is_not_taken_for_one() {
    let provider = Provider::start();
    let key = TestKey::new("k", Jwt::ES256);
    let app = impatient(&provider);
    let admin = app.platform_for("acme");
    let issuer = provider.issuer("acme");
    trust(
        &admin,
        "id",
        &issuer,
        &json!({"jwks_url": provider.keys_url("acme")}),
    )
    .expect(201);
    provider.page("/elsewhere", Page::Text(set(&[&key]).to_string()));
    let text = |text: &str| Page::Text(text.to_owned());
    let raw = |head: &str| Page::Raw(format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n"));
    let redirect = format!("302 Found\r\nlocation: https://{}/elsewhere", provider.host);
    let mut private = key.public.clone();
    private["d"] = json!("AAAA");
    let private = json!({"keys": [private]}).to_string();
    let secret = json!({"keys": [{"kty": "oct", "kid": "k", "k": "AAAA"}]}).to_string();
    let twice = set(&[&key, &TestKey::new("k", Jwt::ES256)]).to_string();
    let many = Value::from(vec![key.public.clone(); 65]);
    for (page, why) in [
        (Page::Endless, "more than 262144 bytes"),
        (raw(&redirect), "a redirect"),
        (raw("500 No"), "the status 500"),
        (raw("401 No\r\nwww-authenticate: Basic"), "the status 401"),
        (text("<html><body>Sign in</body></html>"), "no list `keys`"),
        (text(""), "no list `keys`"),
        (text(&private), "Consider it leaked"),
        (text(&secret), "Consider it leaked"),
        (text(&twice), "the name of another one"),
        (
            text(&json!({ "keys": many }).to_string()),
            "more than 64 keys",
        ),
        (Page::Raw("SSH-2.0-x\r\n".to_owned()), "not HTTP"),
        (Page::Raw(String::new()), "ended early"),
    ] {
        provider.page(KEYS, page);
        let answer = admin
            .json("POST", "/issuers/id/refresh", &json!({}))
            .expect(200);
        let known = answer.json["content"]["issuer"]["known"].clone();
        let failure = known["failure"].as_str().unwrap_or_default();
        assert!(failure.contains(why), "{why}: {known}");
        assert_eq!(known["kids"], json!([]));
    }
    assert_eq!(provider.asked("/elsewhere"), 0);
    let token = key.sign(&claims(&issuer, "api", &json!({})));
    // The last set that could be read had no key that can be used, so none is trusted, whatever the provider answers since.
    asked(&app, &token).expect_error(401, "invalid_token");
    provider.publish("acme", &[&key]);
    eventually(|| asked(&app, &token).status == 200);
}

#[test]
fn keys_are_kept_while_their_provider_is_down() {
    let provider = Provider::start();
    let key = TestKey::new("k", Jwt::ES256);
    provider.publish("acme", &[&key]);
    let app = impatient(&provider);
    let admin = app.platform_for("acme");
    let issuer = provider.issuer("acme");
    trust(&admin, "id", &issuer, &json!({})).expect(201);
    // Counting begins with the first answer.
    assert_eq!(app.platform().get("/metrics").status, 200);
    let token = |number: u32| key.sign(&claims(&issuer, "api", &json!({ "jti": number })));
    asked(&app, &token(1)).expect(200);
    provider.page(
        KEYS,
        Page::Raw("HTTP/1.1 503 Down\r\ncontent-length: 0\r\n\r\n".to_owned()),
    );
    for number in 1..5 {
        asked(&app, &token(number)).expect(200);
    }
    let shown = admin.get("/issuers/id").expect(200);
    let known = &shown.json["content"]["issuer"]["known"];
    assert_eq!(known["failure"], "The answer has the status 503.");
    assert_eq!(known["kids"], json!(["k"]));
    let metrics = app.platform().get("/metrics").text;
    for line in [
        "sigpersist_issuer_fetches_total{outcome=\"status\"}",
        "sigpersist_issuer_fetches_total{outcome=\"fetched\"}",
        "sigpersist_issuer_keys_age_seconds",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    // But not for longer than the operator said.
    let forgetful = app.replica_with(|config| {
        provider.trust(config);
        config.auth.jwks_interval_s = 0;
        config.auth.jwks_keep_s = 0;
    });
    asked(&forgetful, &token(6)).expect_error(503, "issuer_unavailable");
}
