//! Tokens and their scopes.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as JwtAlgorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sigpersist::auth::GivenKey;
use sigpersist::http::NamesTenant;
use sigpersist::tenants::{self, NewKey, NewTenant};
use sigpersist_model::audit::Actor;
use sigpersist_model::context::Scope;
use sigpersist_model::key::Algorithm;

use crate::support::{Client, Response, TestApp, eventually};

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A tenant with a shared secret, which can sign any token.
struct Signer {
    kid: String,
    secret: String,
}

impl Signer {
    fn new(app: &TestApp, slug: &str) -> Self {
        tenants::create(&app.app, &Actor::command_line(), &NewTenant::new(slug)).unwrap();
        let added = app.add_key(Some(slug), &NewKey::made(Algorithm::Hs256));
        let added = added.unwrap();
        Self {
            kid: added.key.kid,
            secret: added.secret.unwrap().to_string(),
        }
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with(JwtAlgorithm::HS256, Some(&self.kid), claims)
    }

    fn sign_with(&self, algorithm: JwtAlgorithm, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(algorithm);
        header.kid = kid.map(str::to_owned);
        encode(
            &header,
            claims,
            &EncodingKey::from_secret(self.secret.as_bytes()),
        )
        .unwrap()
    }
}

fn read(app: &TestApp, token: &str) -> Response {
    app.anonymous().with_token(token).read("d", "t")
}

#[track_caller]
fn refused(app: &TestApp, token: &str, why: &str) {
    let response = read(app, token).expect_error(401, "invalid_token");
    let message = response.json["message"].as_str().unwrap();
    assert!(message.contains(why), "{message}");
    let challenge = response.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer realm=\"sigpersist\", error=\"invalid_token\""),
        "{challenge}"
    );
}

#[test]
fn a_request_without_a_bearer_token_is_told_to_bring_one() {
    let app = TestApp::start();
    let response = app
        .anonymous()
        .read("d", "t")
        .expect_error(401, "missing_token");
    assert_eq!(
        response.header("www-authenticate"),
        Some("Bearer realm=\"sigpersist\"")
    );
    for value in ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "x"] {
        app.anonymous()
            .get_with("/signatures", &[("authorization", value)])
            .expect_error(401, "missing_token");
    }
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    app.anonymous()
        .get_with("/signatures", &twice)
        .expect_error(401, "invalid_token");
}

#[test]
fn claims_are_checked() {
    let app = TestApp::start();
    let acme = Signer::new(&app, "acme");
    Signer::new(&app, "other");
    let good = json!({"exp": now() + 60, "scope": "signatures:read", "sub": "s"});
    read(&app, &acme.sign(&good)).expect_error(404, "signature_not_found");
    let with = |changes: Value| {
        let mut claims = good.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        acme.sign(&claims)
    };
    for fine in [
        json!({"nbf": now() - 10, "iat": now() - 10, "iss": "anyone", "aud": ["anything"]}),
        json!({"tenant": "acme"}),
        json!({"exp": now() - 20}),
        json!({"exp": now() as f64 + 60.5, "iat": 1_700_000_000.25}),
        json!({"nbf": now() + 20, "iat": now() + 20}),
        json!({"scope": "unknown signatures:read"}),
    ] {
        read(&app, &with(fine)).expect_error(404, "signature_not_found");
    }
    let expired = read(&app, &with(json!({"exp": now() - 40}))).expect_error(401, "expired_token");
    assert!(
        expired
            .header("www-authenticate")
            .unwrap()
            .contains("error=\"invalid_token\"")
    );
    refused(&app, &with(json!({"nbf": now() + 40})), "not valid yet");
    refused(&app, &with(json!({"iat": now() + 40})), "in the future");
    refused(&app, &with(json!({"tenant": "other"})), "another tenant");
    refused(&app, &with(json!({"exp": "soon"})), "");
    refused(&app, &with(json!({"scope": 7})), "`scope`");
    refused(&app, &acme.sign(&json!({"scope": "signatures:read"})), "");
}

#[test]
fn issuer_and_audience_are_required_where_they_are_configured() {
    let app = TestApp::start_with(|config| {
        config.auth.issuer = Some("us".to_owned());
        config.auth.audience = Some("here".to_owned());
    });
    let acme = Signer::new(&app, "acme");
    let sign = |iss: Value, aud: Value| {
        let mut claims = json!({"exp": now() + 60, "scope": "signatures:read"});
        for (name, value) in [("iss", iss), ("aud", aud)] {
            if !value.is_null() {
                claims[name] = value;
            }
        }
        acme.sign(&claims)
    };
    read(&app, &sign(json!("us"), json!("here"))).expect_error(404, "signature_not_found");
    read(&app, &sign(json!("us"), json!(["there", "here"])))
        .expect_error(404, "signature_not_found");
    refused(&app, &sign(json!("us"), json!(null)), "`aud` is missing");
    refused(&app, &sign(json!(null), json!("here")), "`iss` is missing");
    refused(&app, &sign(json!("us"), json!("there")), "audience");
    refused(&app, &sign(json!("them"), json!("here")), "issuer");
    // Tokens that the server issues fit its own configuration.
    app.client("acme", &[Scope::SignaturesRead])
        .read("d", "t")
        .expect_error(404, "signature_not_found");
}

#[test]
fn the_key_alone_decides_the_algorithm() {
    let app = TestApp::start();
    let acme = Signer::new(&app, "acme");
    let claims = json!({"exp": now() + 60, "scope": "signatures:read"});
    refused(
        &app,
        &acme.sign_with(JwtAlgorithm::HS512, Some(&acme.kid), &claims),
        "no active key",
    );
    refused(
        &app,
        &acme.sign_with(JwtAlgorithm::HS256, None, &claims),
        "kid",
    );
    refused(
        &app,
        &acme.sign_with(JwtAlgorithm::HS256, Some(""), &claims),
        "kid",
    );
    refused(
        &app,
        &acme.sign_with(JwtAlgorithm::HS256, Some(&"k".repeat(200)), &claims),
        "kid",
    );
    refused(
        &app,
        &acme.sign_with(JwtAlgorithm::HS256, Some("unknown"), &claims),
        "no active key",
    );
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!(
        "{}.{}.",
        encode(&json!({"alg": "none", "kid": acme.kid})),
        encode(&claims)
    );
    refused(&app, &none, "");
    let good = acme.sign(&claims);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    refused(&app, &format!("{signed}."), "");
    refused(
        &app,
        &format!("{signed}.{}", signature.chars().rev().collect::<String>()),
        "",
    );
    let mine = encode(&json!({"exp": now() + 60, "scope": "signatures:read signatures:delete"}));
    refused(
        &app,
        &format!("{header}.{mine}.{signature}"),
        "no active key",
    );
    for garbage in ["x", "a.b.c", "..", &"x".repeat(9000)] {
        refused(&app, garbage, "");
    }
    // A token signed with another tenant's secret, but naming our key.
    let other = Signer::new(&app, "other");
    refused(
        &app,
        &other.sign_with(JwtAlgorithm::HS256, Some(&acme.kid), &claims),
        "no active key",
    );
}

fn public(algorithm: Algorithm, pem: &str) -> NewKey {
    NewKey {
        public_key: Some(GivenKey::Pem(pem.to_owned())),
        ..NewKey::made(algorithm)
    }
}

#[test]
fn a_public_key_verifies_and_is_never_a_secret() {
    let app = TestApp::start();
    tenants::create(&app.app, &Actor::command_line(), &NewTenant::new("acme")).unwrap();
    let pem = |der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    };
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let x509 = |key: &dyn Fn() -> PublicKeyX509Der<'static>| pem(key().as_ref());
    let p256_pem = x509(&|| p256.public_key().as_der().unwrap());
    let p384_pem = x509(&|| p384.public_key().as_der().unwrap());
    let ed_pem = x509(&|| ed.public_key().as_der().unwrap());
    let rsa_pem = x509(&|| rsa.public_key().as_der().unwrap());
    let rsa_pkcs8: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    let rsa_private_pem = pem(rsa_pkcs8.as_ref()).replace("PUBLIC", "PRIVATE");
    // The PKCS#1 key follows the version and the algorithm in the PKCS#8 one.
    let rsa_pkcs1 = &rsa_pkcs8.as_ref()[26..];
    let p256_key = EncodingKey::from_ec_der(p256.to_pkcs8v1().unwrap().as_ref());
    let p384_key = EncodingKey::from_ec_der(p384.to_pkcs8v1().unwrap().as_ref());
    let ed_key = EncodingKey::from_ed_der(ed.to_pkcs8v1().unwrap().as_ref());
    let rsa_key = EncodingKey::from_rsa_der(rsa_pkcs1);
    let claims = json!({"exp": now() + 60, "scope": "signatures:read"});
    for (algorithm, jwt_algorithm, pem, key) in [
        (Algorithm::Es256, JwtAlgorithm::ES256, &p256_pem, &p256_key),
        (Algorithm::Es384, JwtAlgorithm::ES384, &p384_pem, &p384_key),
        (Algorithm::EdDsa, JwtAlgorithm::EdDSA, &ed_pem, &ed_key),
        (Algorithm::Rs256, JwtAlgorithm::RS256, &rsa_pem, &rsa_key),
        (Algorithm::Ps256, JwtAlgorithm::PS256, &rsa_pem, &rsa_key),
    ] {
        let added = app.add_key(Some("acme"), &public(algorithm, pem)).unwrap();
        assert!(added.secret.is_none());
        let added = added.key;
        let mut header = Header::new(jwt_algorithm);
        header.kid = Some(added.kid.clone());
        let token = encode(&header, &claims, key).unwrap();
        read(&app, &token).expect_error(404, "signature_not_found");
        // Algorithm confusion: the text of the public key is used as the secret of an HMAC.
        let mut header = Header::new(JwtAlgorithm::HS256);
        header.kid = Some(added.kid);
        let forged = encode(&header, &claims, &EncodingKey::from_secret(pem.as_bytes())).unwrap();
        refused(&app, &forged, "no active key");
    }
    for (algorithm, pem) in [
        (Algorithm::Es256, rsa_pem.as_str()),
        (Algorithm::Rs256, &p256_pem),
        (Algorithm::EdDsa, &p256_pem),
        (Algorithm::Es256, &p384_pem),
        (Algorithm::Es384, &p256_pem),
        (Algorithm::Rs256, &rsa_private_pem),
        (Algorithm::Es256, "no pem"),
        (Algorithm::Hs256, &p256_pem),
    ] {
        assert!(
            app.add_key(Some("acme"), &public(algorithm, pem)).is_err(),
            "{algorithm:?}"
        );
    }
}

#[test]
fn scopes_are_enforced_on_every_route() {
    let app = TestApp::start();
    app.tenant("acme");
    for route in sigpersist::http::ROUTES {
        let Some(needed) = route.scope else { continue };
        let others: Vec<_> = Scope::ALL
            .into_iter()
            .filter(|scope| *scope != needed)
            .collect();
        let path = match route.names_tenant {
            NamesTenant::Always => format!("/tenants/acme{}", route.path),
            _ => route.path.to_owned(),
        };
        let client = app.client("acme", &others);
        let refused = client.send(route.method.as_str(), &path, &[], None);
        let refused = refused.expect_error(403, "insufficient_scope");
        assert_eq!(refused.json["details"]["scope"], needed.as_str());
        assert_eq!(
            refused.header("www-authenticate").unwrap(),
            format!(
                "Bearer realm=\"sigpersist\", error=\"insufficient_scope\", scope=\"{}\"",
                needed.as_str()
            )
        );
        app.client("acme", &[])
            .send(route.method.as_str(), &path, &[], None)
            .expect_error(403, "insufficient_scope");
    }
}

#[test]
fn callers_learn_who_they_are_and_what_they_may() {
    let app = TestApp::start();
    app.tenant("acme");
    let caller =
        |client: &Client| client.get("/whoami").expect(200).json["content"]["caller"].clone();
    let own = caller(&app.client("acme", &[Scope::AuditRead]));
    assert_eq!(own["tenant"], "acme");
    assert_eq!(own["scopes"], json!(["audit:read"]));
    assert!(own["key"].is_string());
    let platform = caller(&app.platform_with(&[Scope::TenantsRead, Scope::MetricsRead]));
    assert_eq!(platform["tenant"], Value::Null);
    assert_eq!(platform["scopes"], json!(["metrics:read", "tenants:read"]));
    // No scope at all is enough.
    assert_eq!(caller(&app.client("acme", &[]))["scopes"], json!([]));
    app.anonymous()
        .get("/whoami")
        .expect_error(401, "missing_token");
}

#[test]
fn a_suspended_tenant_and_a_revoked_key_are_refused_at_once() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    app.database
        .execute("UPDATE tenants SET suspended_at = now()");
    eventually(|| acme.read("d", "t").status == 403);
    acme.read("d", "t").expect_error(403, "tenant_suspended");
    app.database
        .execute("UPDATE tenants SET suspended_at = NULL");
    eventually(|| acme.read("d", "t").status == 200);
    app.database.execute("UPDATE keys SET revoked_at = now()");
    eventually(|| acme.read("d", "t").status == 401);
    acme.read("d", "t").expect_error(401, "invalid_token");
}

#[test]
fn secrets_are_encrypted_at_rest_and_bound_to_their_row() {
    let app = TestApp::start();
    let acme = Signer::new(&app, "acme");
    Signer::new(&app, "other");
    let token = acme.sign(&json!({"exp": now() + 60, "scope": "signatures:read"}));
    read(&app, &token).expect_error(404, "signature_not_found");
    // A ciphertext that is copied to another tenant's row can't be decrypted there.
    app.database.execute(
        "UPDATE keys SET encrypted_secret = (SELECT encrypted_secret FROM keys WHERE tenant_id = 2)
         WHERE tenant_id = 1",
    );
    eventually(|| read(&app, &token).status != 404);
    read(&app, &token).expect_error(500, "internal");
    let secret = acme.secret.as_bytes();
    let stored = app.database.dump("keys");
    assert!(!stored.contains(&acme.secret));
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!stored.contains(&hex));
}
