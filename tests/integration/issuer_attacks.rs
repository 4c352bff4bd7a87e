//! Tokens that no identity provider made for us, and key sets that do not deserve trust (RFC 8725): one test for each threat.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Jwt, EncodingKey};
use serde_json::{Value, json};

use crate::issuers::{asked, trust};
use crate::support::provider::{Page, Provider, TestKey, claims, set};
use crate::support::{Client, TestApp};

const ISSUER: &str = "https://id.example.com/realms/acme";
/// The refusal that does not say why.
const UNVERIFIED: &str = "no active key verifies it";

/// A server whose tenant `acme` trusts a key by hand.
struct Target {
    app: TestApp,
    admin: Client,
    key: TestKey,
}

impl Target {
    fn start(algorithm: Jwt) -> Self {
        let app = TestApp::start();
        app.tenant("acme");
        let admin = app.platform_for("acme");
        let key = TestKey::new("k", algorithm);
        let form = json!({"jwks": set(&[&key])});
        trust(&admin, "id", ISSUER, &form).expect(201);
        let target = Self { app, admin, key };
        let good = target.key.sign(&good());
        asked(&target.app, &good).expect(200);
        target
    }

    #[track_caller]
    fn refuses(&self, token: &str, why: &str) {
        let refused = asked(&self.app, token).expect_error(401, "invalid_token");
        assert!(refused.text.contains(why), "{}", refused.text);
    }

    fn with(&self, name: &str, value: Value) -> String {
        let mut claims = good();
        claims[name] = value;
        self.key.sign(&claims)
    }
}

fn good() -> Value {
    claims(ISSUER, "api", &json!({"scope": "signatures:read"}))
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let target = Target::start(Jwt::RS256);
    let public = &target.key.public;
    let modulus = public["n"].as_str().unwrap();
    let secrets = [
        public.to_string().into_bytes(),
        modulus.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(modulus).unwrap(),
        Vec::new(),
    ];
    for secret in secrets {
        for algorithm in [Jwt::HS256, Jwt::HS384, Jwt::HS512] {
            let header = json!({"alg": algorithm, "kid": "k"});
            let signed = format!("{}.{}", encoded(&header), encoded(&good()));
            let key = EncodingKey::from_secret(&secret);
            let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
            target.refuses(&format!("{signed}.{signature}"), UNVERIFIED);
        }
    }
}

#[test]
fn no_signature_and_no_other_algorithm_is_accepted() {
    let target = Target::start(Jwt::RS256);
    for algorithm in ["none", "None", "NONE", "ES512", ""] {
        let header = json!({"alg": algorithm, "kid": "k"});
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", encoded(&header), encoded(&good()));
            target.refuses(&token, "known algorithm");
        }
    }
    // The key says that it is for RS256.
    let mut other = target.key;
    for algorithm in [Jwt::RS512, Jwt::PS256] {
        other.algorithm = algorithm;
        let refused = asked(&target.app, &other.sign(&good())).expect_error(401, "invalid_token");
        assert!(refused.text.contains(UNVERIFIED));
    }
    // A signature by one algorithm under the name of another.
    other.algorithm = Jwt::RS256;
    for algorithm in ["ES256", "EdDSA", "PS256", "RS384"] {
        let header = json!({"alg": algorithm, "kid": "k"});
        let token = other.sign_with(&header, &good());
        let refused = asked(&target.app, &token).expect_error(401, "invalid_token");
        assert!(refused.text.contains(UNVERIFIED));
    }
}

#[test]
fn a_kid_names_a_key_of_the_set_and_nothing_else() {
    let target = Target::start(Jwt::ES256);
    let long = "k".repeat(200);
    for kid in [
        "../k",
        "k/../k",
        "/dev/null",
        "K",
        "k ",
        "k'--",
        "https://evil.example/k",
        "0",
        "",
        &long,
    ] {
        let header = json!({"alg": "ES256", "kid": kid});
        let token = target.key.sign_with(&header, &good());
        asked(&target.app, &token).expect_error(401, "invalid_token");
    }
    for header in [json!({"alg": "ES256"}), json!({"alg": "ES256", "kid": 7})] {
        let token = target.key.sign_with(&header, &good());
        asked(&target.app, &token).expect_error(401, "invalid_token");
    }
}

#[test]
fn keys_and_addresses_in_the_header_are_ignored() {
    let provider = Provider::start();
    let evil = TestKey::new("k", Jwt::ES256);
    provider.publish("evil", &[&evil]);
    let app = TestApp::start_with(|config| provider.trust(config));
    app.tenant("acme");
    let key = TestKey::new("k", Jwt::ES256);
    let form = json!({"jwks": set(&[&key])});
    trust(&app.platform_for("acme"), "id", ISSUER, &form).expect(201);
    let url = provider.keys_url("evil");
    for (name, value) in [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", evil.public.clone()),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("AAAA")),
    ] {
        let mut header = json!({"alg": "ES256", "kid": "k"});
        header[name] = value;
        let token = evil.sign_with(&header, &good());
        asked(&app, &token).expect_error(401, "invalid_token");
        let token = key.sign_with(&header, &good());
        let honest = asked(&app, &token);
        assert!([200, 401].contains(&honest.status));
    }
    assert_eq!(provider.asked("/realms/evil/certs"), 0);
    let critical = json!({"alg": "ES256", "kid": "k", "crit": ["b64"], "b64": true});
    let token = key.sign_with(&critical, &good());
    let refused = asked(&app, &token).expect_error(401, "invalid_token");
    assert!(refused.text.contains("critical"));
}

#[test]
fn times_and_audience_must_be_right() {
    let target = Target::start(Jwt::ES256);
    let now = jsonwebtoken::get_current_timestamp();
    let expired = target.with("exp", json!(now - 31));
    asked(&target.app, &expired).expect_error(401, "expired_token");
    asked(&target.app, &target.with("exp", json!(now - 5))).expect(200);
    for (name, value, why) in [
        ("exp", json!(null), "`exp`"),
        ("exp", json!((now + 300).to_string()), "`exp`"),
        (
            "exp",
            json!(now + 86_400 + 60),
            "longer than this server allows",
        ),
        ("nbf", json!(now + 60), "not valid yet"),
        ("iat", json!(now + 60), "issued in the future"),
        ("aud", json!(null), "claims"),
        ("aud", json!("other"), "another `aud`"),
        ("aud", json!("API"), "another `aud`"),
        ("aud", json!("api "), "another `aud`"),
        ("aud", json!("api/"), "another `aud`"),
        ("aud", json!([]), "claims"),
        ("aud", json!({"api": true}), "claims"),
        ("sub", json!(["crm"]), "claims"),
    ] {
        target.refuses(&target.with(name, value), why);
    }
    asked(&target.app, &target.with("exp", json!(now + 86_400))).expect(200);
    let form = json!({"jwks": set(&[&target.key]), "max_lifetime_s": 60});
    target
        .admin
        .send("DELETE", "/issuers/id", &[], None)
        .expect(200);
    trust(&target.admin, "id", ISSUER, &form).expect(201);
    target.refuses(&target.with("exp", json!(now + 300)), "longer");
    asked(&target.app, &target.with("exp", json!(now + 30))).expect(200);
}

#[test]
fn an_issuer_is_compared_character_by_character() {
    let target = Target::start(Jwt::ES256);
    for issuer in [
        json!(format!("{ISSUER}/")),
        json!(format!("{ISSUER} ")),
        json!(format!("{ISSUER}.evil.example")),
        json!(format!("{ISSUER}/../evil")),
        json!(ISSUER.trim_end_matches("acme")),
        json!(ISSUER.replace("https", "http")),
        json!(ISSUER.replace("id.", "ID.")),
        json!(ISSUER.replace("example.com", "example.com:443")),
        json!(ISSUER.replace("realms", "%72ealms")),
        json!([ISSUER]),
        json!({"iss": ISSUER}),
        json!(null),
        json!(""),
    ] {
        target.refuses(&target.with("iss", issuer), UNVERIFIED);
    }
    let mut without = good();
    without.as_object_mut().unwrap().remove("iss");
    target.refuses(&target.key.sign(&without), UNVERIFIED);
    let header = r#"{"alg": "ES256", "kid": "k"}"#;
    for first in [ISSUER, "urn:other"] {
        let twice = good().to_string();
        let twice = twice.replacen('{', &format!("{{\"iss\":\"{first}\","), 1);
        target.refuses(&target.key.sign_text(header, &twice), "occurs twice");
    }
}

#[test]
fn a_tenants_provider_makes_no_tokens_for_another_tenant() {
    let target = Target::start(Jwt::ES256);
    target.app.tenant("other");
    let other = target.app.platform_for("other");
    let evil = TestKey::new("k", Jwt::ES256);
    let form = json!({"jwks": set(&[&evil]), "audiences": ["shop"]});
    trust(&other, "id", ISSUER, &form).expect(201);
    let token = evil.sign(&claims(ISSUER, "shop", &json!({})));
    let caller = asked(&target.app, &token).expect(200);
    assert_eq!(caller.json["content"]["caller"]["tenant"], "other");
    let mut claims = good();
    claims["tenant"] = json!("acme");
    target.refuses(&evil.sign(&claims), UNVERIFIED);
    for audience in [["api", "shop"], ["shop", "api"]] {
        claims["aud"] = json!(audience);
        asked(&target.app, &evil.sign(&claims)).expect_error(401, "invalid_token");
    }
    // Nor one for the platform, whatever it claims.
    let scope = "tenants:read tenants:write keys:write metrics:read";
    claims["aud"] = json!("shop");
    claims["scope"] = json!(scope);
    let token = evil.sign(&claims);
    let client = target.app.anonymous().with_token(&token);
    for path in [
        "/tenants",
        "/metrics",
        "/tenants/acme/issuers",
        "/tenants/acme/keys",
    ] {
        assert_eq!(client.get(path).status, 403, "{path}");
    }
}

#[test]
fn key_sets_by_hand_have_public_keys_of_sufficient_size_only() {
    let app = TestApp::start_with(|config| config.auth.issuer = Some("urn:own".to_owned()));
    app.tenant("acme");
    let admin = app.platform_for("acme");
    let key = TestKey::new("k", Jwt::ES256);
    let with = |name: &str, value: Value| {
        let mut jwk = key.public.clone();
        jwk[name] = value;
        json!({"jwks": {"keys": [jwk]}})
    };
    let short = json!({"kty": "RSA", "kid": "k", "e": "AQAB", "n": "A".repeat(171)});
    let secret = json!({"kty": "oct", "kid": "k", "k": "AAAA"});
    for (form, why) in [
        (with("d", json!("AAAA")), "Consider it leaked"),
        (json!({"jwks": {"keys": [secret]}}), "Consider it leaked"),
        (json!({"jwks": {"keys": [short]}}), "2048 to 8192 bits"),
        (with("alg", json!("HS256")), "does not fit"),
        (with("use", json!("enc")), "no key that verifies"),
        (with("kid", json!("a b")), "without a usable `kid`"),
        (json!({"jwks": {"keys": []}}), "no key that verifies"),
        (json!({"jwks": {}}), "no list `keys`"),
    ] {
        let refused = trust(&admin, "id", ISSUER, &form).expect_error(422, "refused");
        assert!(refused.text.contains(why), "{}", refused.text);
    }
    let two = set(&[&key, &TestKey::new("k", Jwt::ES256)]);
    let refused = trust(&admin, "id", ISSUER, &json!({ "jwks": two })).expect_error(422, "refused");
    assert!(refused.text.contains("the name of another one"));
    let good = json!({"jwks": set(&[&key])});
    trust(&admin, "id", "urn:own", &good).expect_error(422, "refused");
    trust(&admin, "Id", ISSUER, &good).expect_error(422, "refused");
    for (name, value) in [
        ("issuer", json!("a b")),
        ("audiences", json!([])),
        ("required", json!({"azp": ""})),
        (
            "grants",
            json!([{"claim": "roles", "value": "a", "scopes": []}]),
        ),
        ("max_lifetime_s", json!(0)),
        ("jwks", json!("text")),
        ("jwks_url", json!("https://id.example.com/keys")),
    ] {
        let mut form = good.clone();
        form[name] = value;
        trust(&admin, "id", ISSUER, &form).expect_error(400, "invalid_parameter");
    }
    for number in 0..10 {
        let name = format!("id-{number}");
        trust(&admin, &name, &format!("urn:{number}"), &good).expect(201);
    }
    let refused = trust(&admin, "one-more", ISSUER, &good).expect_error(422, "refused");
    assert!(refused.text.contains("auth.max_issuers_per_tenant"));
}

#[test]
fn keys_are_fetched_only_by_https_and_from_listed_hosts() {
    let provider = Provider::start();
    let app = TestApp::start_with(|config| provider.trust(config));
    app.tenant("acme");
    let admin = app.platform_for("acme");
    let url = |url: &str| json!({ "jwks_url": url });
    for (form, why) in [
        (url("https://id.example.org/keys"), "auth.jwks_hosts"),
        (
            url("https://id.example.com.evil.example/keys"),
            "auth.jwks_hosts",
        ),
        (url("https://id.example.com:8443/keys"), "not permitted"),
        (url("https://id.example.com@evil.example/keys"), "user name"),
        (url(&format!("http://{}/keys", provider.host)), "https only"),
        (url("https://169.254.169.254/keys"), "not public"),
        (url("https://10.0.0.1/keys"), "not public"),
        (url("file:///etc/passwd"), "https"),
    ] {
        let refused = trust(&admin, "id", ISSUER, &form).expect_error(422, "refused");
        assert!(refused.text.contains(why), "{}", refused.text);
    }
    let refused =
        trust(&admin, "id", "https://evil.example", &json!({})).expect_error(422, "refused");
    assert!(refused.text.contains("auth.jwks_hosts"));
    trust(&admin, "id", "https://id.example.com?a", &json!({}))
        .expect_error(400, "invalid_parameter");
    // The host that a configuration names is checked, too.
    let issuer = provider.issuer("acme");
    let key = TestKey::new("k", Jwt::ES256);
    provider.publish("acme", &[&key]);
    let path = "/realms/acme/.well-known/openid-configuration";
    let token = key.sign(&claims(&issuer, "api", &json!({})));
    trust(&admin, "id", &issuer, &json!({})).expect(201);
    for (name, jwks_uri, why) in [
        (
            issuer.as_str(),
            "https://evil.example/keys",
            "auth.jwks_hosts",
        ),
        (&issuer, "https://169.254.169.254/keys", "not public"),
        (
            &format!("{issuer}/"),
            &provider.keys_url("acme"),
            "character by character",
        ),
        (
            "https://id.example.com",
            &provider.keys_url("acme"),
            "character by character",
        ),
    ] {
        let page = json!({"issuer": name, "jwks_uri": jwks_uri}).to_string();
        provider.page(path, Page::Text(page));
        let answer = admin
            .json("POST", "/issuers/id/refresh", &json!({}))
            .expect(200);
        let failure = answer.json["content"]["issuer"]["known"]["failure"].clone();
        let failure = failure.as_str().unwrap();
        assert!(failure.contains(why), "{failure}");
        asked(&app, &token).expect_error(503, "issuer_unavailable");
    }
    provider.publish("acme", &[&key]);
    admin
        .json("POST", "/issuers/id/refresh", &json!({}))
        .expect(200);
    asked(&app, &token).expect(200);
}
