//! Verification of tokens as RFC 8725 and RFC 6750 require it: one test for each threat.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as JwtAlgorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sigpersist::auth::GivenKey;
use sigpersist::tenants::{self, NewKey, NewTenant};
use sigpersist_model::context::Scope;
use sigpersist_model::key::Algorithm;

use crate::support::{Client, Response, Stopwatch, TestApp, eventually};

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

/// A tenant whose tokens are built byte by byte.
struct Forger<'a> {
    app: &'a TestApp,
    kid: String,
    secret: String,
}

impl<'a> Forger<'a> {
    fn new(app: &'a TestApp, slug: &str) -> Self {
        app.tenant(slug);
        let added = app
            .add_key(Some(slug), &NewKey::made(Algorithm::Hs256))
            .unwrap();
        Self {
            app,
            kid: added.key.kid,
            secret: added.secret.unwrap().to_string(),
        }
    }

    /// A token with this header and these claims, with a valid signature.
    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = signed.join(".");
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, JwtAlgorithm::HS256).unwrap();
        format!("{signed}.{signature}")
    }

    fn header(&self) -> String {
        json!({"alg": "HS256", "kid": self.kid}).to_string()
    }

    fn claims(&self, more: &str) -> String {
        let exp = now() + 60;
        format!(r#"{{"exp": {exp}, "scope": "signatures:read"{more}}}"#)
    }

    /// A token with a valid header and these claims in addition to valid ones.
    fn with(&self, more: &str) -> String {
        self.sign(&self.header(), &self.claims(more))
    }

    fn read(&self, token: &str) -> Response {
        self.app.anonymous().with_token(token).read("d", "t")
    }

    #[track_caller]
    fn accepted(&self, token: &str) {
        // Sends the token twice: the first time it is verified, the second time it is in the cache.
        for _ in 0..2 {
            self.read(token).expect_error(404, "signature_not_found");
        }
    }

    #[track_caller]
    fn refused(&self, token: &str) {
        for _ in 0..2 {
            let refused = self.read(token).expect_error(401, "invalid_token");
            let challenge = refused.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            assert!(!refused.text.contains(token), "{}", refused.text);
        }
    }
}

#[test]
fn the_algorithm_none_is_refused_however_it_is_spelt() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let header = json!({"alg": none, "kid": acme.kid}).to_string();
        let [header, claims] = [header, acme.claims("")].map(|part| URL_SAFE_NO_PAD.encode(part));
        acme.refused(&format!("{header}.{claims}."));
        let good = acme.with("");
        let signature = good.rsplit('.').next().unwrap();
        acme.refused(&format!("{header}.{claims}.{signature}"));
    }
    acme.accepted(&acme.with(""));
}

#[test]
fn algorithm_confusion_is_refused() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    // The public key of a key pair is not secret, so an HMAC with it must prove nothing.
    let pair = app
        .add_key(Some("acme"), &NewKey::made(Algorithm::Es256))
        .unwrap();
    let public = pair.key.public_key().unwrap();
    for algorithm in [
        JwtAlgorithm::HS256,
        JwtAlgorithm::HS384,
        JwtAlgorithm::HS512,
    ] {
        let mut header = Header::new(algorithm);
        header.kid = Some(pair.key.kid.clone());
        let claims = json!({"exp": now() + 60, "scope": "signatures:read"});
        let secret = EncodingKey::from_secret(public.as_bytes());
        acme.refused(&encode(&header, &claims, &secret).unwrap());
    }
    // A shared secret is valid only for its own algorithm, although it could make an HMAC of another.
    let mut header = Header::new(JwtAlgorithm::HS512);
    header.kid = Some(acme.kid.clone());
    let claims = json!({"exp": now() + 60, "scope": "signatures:read"});
    let secret = EncodingKey::from_secret(acme.secret.as_bytes());
    acme.refused(&encode(&header, &claims, &secret).unwrap());
}

#[test]
fn an_unknown_or_missing_key_id_is_refused() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    for header in [
        json!({"alg": "HS256"}),
        json!({"alg": "HS256", "kid": ""}),
        json!({"alg": "HS256", "kid": null}),
        json!({"alg": "HS256", "kid": 7}),
        json!({"alg": "HS256", "kid": ["a"]}),
        json!({"alg": "HS256", "kid": "unknown"}),
        json!({"alg": "HS256", "kid": "k".repeat(129)}),
        json!({"alg": "HS256", "kid": "' OR true --"}),
        json!({"alg": "HS256", "kid": "../../etc/passwd"}),
        json!({"alg": "HS256", "kid": "a\u{0}b"}),
    ] {
        acme.refused(&acme.sign(&header.to_string(), &acme.claims("")));
    }
}

#[test]
fn a_key_of_another_tenant_vouches_for_nobody_else() {
    let app = TestApp::start();
    let (acme, other) = (Forger::new(&app, "acme"), Forger::new(&app, "other"));
    // A token with our key id signed with another tenant's secret, and one of ours with the other tenant in its claims.
    acme.refused(&other.sign(&acme.header(), &acme.claims("")));
    acme.refused(&acme.with(r#", "tenant": "other""#));
    // The other tenant's token reads only the other tenant's data.
    app.client("acme", &Scope::APPLICATION)
        .save("d", "t", 0, "x")
        .expect(201);
    other.accepted(&other.with(""));
    app.anonymous()
        .with_token(&acme.with(r#", "tenant": "acme""#))
        .read("d", "t")
        .expect(200);
}

#[test]
fn a_wrong_or_missing_audience_is_refused() {
    let app = TestApp::start_with(|config| config.auth.audience = Some("here".to_owned()));
    let acme = Forger::new(&app, "acme");
    acme.accepted(&acme.with(r#", "aud": "here""#));
    acme.accepted(&acme.with(r#", "aud": ["there", "here"]"#));
    for more in [
        "",
        r#", "aud": "there""#,
        r#", "aud": []"#,
        r#", "aud": ["there"]"#,
        r#", "aud": null"#,
        r#", "aud": 7"#,
        r#", "aud": {"here": true}"#,
    ] {
        acme.refused(&acme.with(more));
    }
}

#[test]
fn an_expired_or_not_yet_valid_token_is_refused() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    let claims = |exp: u64| format!(r#"{{"exp": {exp}, "scope": "signatures:read"}}"#);
    for _ in 0..2 {
        acme.read(&acme.sign(&acme.header(), &claims(now() - 31)))
            .expect_error(401, "expired_token");
    }
    acme.accepted(&acme.sign(&acme.header(), &claims(now() - 25)));
    acme.refused(&acme.with(&format!(r#", "nbf": {}"#, now() + 35)));
    acme.accepted(&acme.with(&format!(r#", "nbf": {}"#, now() + 25)));
    acme.refused(&acme.with(&format!(r#", "iat": {}"#, now() + 35)));
    acme.refused(&acme.sign(&acme.header(), r#"{"scope": "signatures:read"}"#));
    for exp in ["null", "\"soon\"", "-1", "[]", "1e400"] {
        let claims = format!(r#"{{"exp": {exp}, "scope": "signatures:read"}}"#);
        let refused = acme.read(&acme.sign(&acme.header(), &claims));
        assert_eq!(refused.status, 401, "{exp}: {}", refused.text);
    }
}

#[test]
fn a_token_that_is_known_again_expires_all_the_same() {
    let app = TestApp::start_with(|config| config.auth.leeway_s = 0);
    let acme = Forger::new(&app, "acme");
    let claims = format!(r#"{{"exp": {}, "scope": "signatures:read"}}"#, now() + 2);
    let token = acme.sign(&acme.header(), &claims);
    acme.accepted(&token);
    let since = Instant::now();
    while acme.read(&token).status == 404 {
        assert!(since.elapsed() < Duration::from_secs(4));
        std::thread::sleep(Duration::from_millis(20));
    }
    acme.read(&token).expect_error(401, "expired_token");
}

#[test]
fn a_token_that_would_be_valid_for_too_long_is_refused() {
    let app = TestApp::start_with(|config| config.auth.max_token_lifetime_s = 600);
    let actor = sigpersist_model::audit::Actor::command_line();
    tenants::create(&app.app, &actor, &NewTenant::new("acme")).unwrap();
    let added = app
        .add_key(Some("acme"), &NewKey::made(Algorithm::Hs256))
        .unwrap();
    let acme = Forger {
        app: &app,
        kid: added.key.kid,
        secret: added.secret.unwrap().to_string(),
    };
    let claims = |exp: u64| format!(r#"{{"exp": {exp}, "scope": "signatures:read"}}"#);
    acme.accepted(&acme.sign(&acme.header(), &claims(now() + 600)));
    acme.refused(&acme.sign(&acme.header(), &claims(now() + 640)));
    acme.refused(&acme.sign(&acme.header(), &claims(u64::MAX)));
    acme.refused(&acme.sign(
        &acme.header(),
        r#"{"exp": 1e300, "scope": "signatures:read"}"#,
    ));
}

#[test]
fn a_huge_token_is_refused() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    let padded = |bytes: usize| acme.with(&format!(r#", "x": "{}""#, "x".repeat(bytes)));
    acme.accepted(&padded(5_000));
    acme.refused(&padded(7_000));
    // A header over the HTTP limit is refused before the token is examined.
    let huge =
        app.anonymous()
            .with_token(&padded(1_000_000))
            .try_send("GET", "/signatures", &[], None);
    assert!(huge.map_or(true, |refused| (400..500).contains(&refused.status)));
    acme.accepted(&acme.with(""));
}

#[test]
fn claims_given_twice_are_refused() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    let later = now() + 120;
    for more in [
        r#", "scope": "signatures:read signatures:delete""#.to_owned(),
        format!(r#", "exp": {later}"#),
        r#", "sub": "a", "sub": "b""#.to_owned(),
        r#", "tenant": "acme", "tenant": "acme""#.to_owned(),
        r#", "nbf": 1, "nbf": 1"#.to_owned(),
        r#", "iss": "a", "iss": "b""#.to_owned(),
        r#", "aud": "a", "aud": "b""#.to_owned(),
    ] {
        acme.refused(&acme.with(&more));
    }
    let kid = &acme.kid;
    for header in [
        format!(r#"{{"alg": "HS256", "alg": "HS256", "kid": "{kid}"}}"#),
        format!(r#"{{"alg": "HS256", "kid": "other", "kid": "{kid}"}}"#),
    ] {
        acme.refused(&acme.sign(&header, &acme.claims("")));
    }
}

#[test]
fn claims_that_are_no_text_are_refused() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    for more in [
        r#", "sub": 7"#,
        r#", "sub": ["a"]"#,
        r#", "tenant": {"slug": "acme"}"#,
        r#", "tenant": true"#,
        r#", "iss": ["a"]"#,
    ] {
        acme.refused(&acme.with(more));
    }
    let exp = now() + 60;
    for scope in [
        "7",
        "[\"signatures:read\", 7]",
        "[[\"signatures:read\"]]",
        "{}",
        "null",
        "true",
    ] {
        for claim in ["scope", "scp"] {
            let claims = format!(r#"{{"exp": {exp}, "{claim}": {scope}}}"#);
            acme.refused(&acme.sign(&acme.header(), &claims));
        }
    }
    for claims in ["", "[]", "7", "\"text\"", "{", "null", "\u{fffd}"] {
        acme.refused(&acme.sign(&acme.header(), claims));
    }
}

/// Identity providers write scopes in different ways: Entra has `scp` as text, Okta `scp` as an array.
#[test]
fn scopes_are_understood_as_text_and_as_an_array_under_either_name() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    let exp = now() + 60;
    let token = |claims: &str| acme.sign(&acme.header(), &format!(r#"{{"exp": {exp}, {claims}}}"#));
    for scopes in [
        r#""scope": "signatures:read openid""#,
        r#""scope": ["openid", "signatures:read"]"#,
        r#""scp": "openid  signatures:read""#,
        r#""scp": ["signatures:read"]"#,
        r#""scope": "openid signatures:read", "scp": ["signatures:read", "openid"]"#,
    ] {
        acme.accepted(&token(scopes));
    }
    // Several scopes in one array element are not split, and an empty list allows nothing.
    for scopes in [
        r#""scope": ["signatures:read openid"]"#,
        r#""scp": []"#,
        r#""scope": """#,
        r#""roles": ["signatures:read"]"#,
    ] {
        acme.read(&token(scopes))
            .expect_error(403, "insufficient_scope");
    }
    // If a token has both claims, they must be equal, since neither is more trustworthy.
    let both = token(r#""scope": "openid", "scp": "signatures:read""#);
    acme.refused(&both);
    assert!(acme.read(&both).text.contains("they differ"));
}

#[test]
fn a_refusal_says_what_is_wrong_with_the_token() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    let told = |token: &str| {
        let refused = acme.read(token).expect_error(401, "invalid_token");
        refused.json["message"].as_str().unwrap().to_owned()
    };
    for (claims, why) in [
        (r#", "sub": 7"#, "its `sub` is not text"),
        (r#", "tenant": 7"#, "its `tenant` is not text"),
        (r#", "iss": 7"#, "its `iss` is not text"),
        (r#", "iat": "now""#, "its `iat` is not a time"),
        (r#", "nbf": "now""#, "its `nbf` is not a time"),
        (r#", "nbf": [1]"#, "its `nbf` is not a time"),
        (
            r#", "scp": 7"#,
            "its `scp` is neither text nor an array of texts",
        ),
        (r#", "sub": "a", "sub": "a""#, "one of them occurs twice"),
    ] {
        let told = told(&acme.with(claims));
        assert!(told.contains(why), "{told}");
    }
    for (claims, why) in [
        (r#"{"scope": "signatures:read"}"#, "its `exp` is missing"),
        (r#"{"exp": "soon"}"#, "its `exp` is missing, or not a time"),
        (r#"{"exp": [1]}"#, "its `exp` is missing, or not a time"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
    ] {
        let told = told(&acme.sign(&acme.header(), claims));
        assert!(told.contains(why), "{told}");
    }
    // Altered tokens: the form of each part is checked before any key is looked up.
    let good = acme.with("");
    let parts: Vec<_> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("{good}")
    };
    for (token, why) in [
        (
            format!("{header}=.{claims}.{signature}"),
            "its header is not base64url",
        ),
        (
            format!("{header}.{claims}=.{signature}"),
            "its claims are not base64url",
        ),
        (format!("{good}="), "its signature is not base64url"),
        (format!("{header}.{claims}"), "three parts"),
        (format!("{good}.{signature}"), "three parts"),
        (
            format!("{claims}.{claims}.{signature}"),
            "a known algorithm as `alg`",
        ),
        (
            format!("{header}.{header}.{signature}"),
            "no active key verifies it",
        ),
    ] {
        let told = told(&token);
        assert!(told.contains(why), "{told}");
    }
}

/// Nothing in the answer reveals which keys exist.
#[test]
fn an_unknown_key_and_a_wrong_signature_are_refused_alike() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    let revoked = Forger::new(&app, "other");
    app.platform()
        .json(
            "POST",
            &format!("/tenants/other/keys/{}/revoke", revoked.kid),
            &json!({}),
        )
        .expect(200);
    let pair = app
        .add_key(Some("acme"), &NewKey::made(Algorithm::EdDsa))
        .unwrap();
    let header = |algorithm: &str, kid: &str| json!({"alg": algorithm, "kid": kid}).to_string();
    let claims = acme.claims("");
    let mut answers = Vec::new();
    for algorithm in [
        "HS256", "HS384", "RS256", "PS256", "ES256", "ES384", "EdDSA", "RS512",
    ] {
        for kid in ["unknown", &acme.kid, &revoked.kid, &pair.key.kid] {
            // Signed with a secret of another key.
            let forged = revoked.sign(&header(algorithm, kid), &claims);
            let mut refused = acme.read(&forged).expect_error(401, "invalid_token");
            refused.json["request_id"] = Value::Null;
            let challenge = refused.header("www-authenticate").unwrap().to_owned();
            answers.push((challenge, refused.json));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

/// A weak key that an older, less strict server registered authenticates nobody, and causes no error.
#[test]
fn a_stored_key_that_anybody_can_forge_for_verifies_nothing() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    app.platform()
        .json(
            "POST",
            "/tenants/acme/keys",
            &json!({"kid": "weak", "public_key": {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}),
        )
        .expect(201);
    // The identity point of the curve: with it as the key, R = identity and S = 0 are a valid signature of any message.
    let mut identity = [0; 32];
    identity[0] = 1;
    let refused = app
        .platform()
        .json(
            "POST",
            "/tenants/acme/keys",
            &json!({"public_key": {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA",
                "x": URL_SAFE_NO_PAD.encode(identity)}}),
        )
        .expect_error(422, "refused");
    assert!(refused.text.contains("small order"), "{}", refused.text);
    let der = [
        &[
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
        ][..],
        &identity,
    ]
    .concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(der)
    );
    app.database.execute(&format!(
        "UPDATE keys SET public_key = '{pem}' WHERE kid = 'weak'"
    ));
    let parts = [r#"{"alg": "EdDSA", "kid": "weak"}"#, &acme.claims("")];
    let signed = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = [identity, [0; 32]].concat();
    let forged = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    acme.refused(&forged);
}

#[test]
fn keys_that_a_token_brings_along_are_ignored() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    // A key pair of the attacker's own, in every header parameter that can carry or name a key.
    let own = aws_lc_rs::signature::EcdsaKeyPair::generate(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
    )
    .unwrap();
    let own = EncodingKey::from_ec_der(own.to_pkcs8v1().unwrap().as_ref());
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&own, JwtAlgorithm::ES256).unwrap();
    // A server that followed these URLs would connect here.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let claims = json!({"exp": now() + 60, "scope": "signatures:read"});
    for kid in [Some(acme.kid.clone()), Some("mine".to_owned()), None] {
        let mut header = Header::new(JwtAlgorithm::ES256);
        header.kid = kid;
        header.jwk = Some(jwk.clone());
        header.jku = Some(url.clone());
        header.x5u = Some(url.clone());
        acme.refused(&encode(&header, &claims, &own).unwrap());
    }
    // In addition to a valid key id, these parameters change nothing.
    let header = json!({"alg": "HS256", "kid": acme.kid, "jwk": jwk, "jku": url, "x5u": url});
    acme.accepted(&acme.sign(&header.to_string(), &acme.claims("")));
    assert_eq!(
        listener.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[test]
fn extensions_that_must_be_understood_are_refused() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    for crit in [json!(["exp"]), json!(["b64"]), json!([])] {
        let header = json!({"alg": "HS256", "kid": acme.kid, "crit": crit, "b64": false});
        acme.refused(&acme.sign(&header.to_string(), &acme.claims("")));
    }
}

/// A request with a slow body must not be granted after its key was revoked.
#[test]
fn a_request_whose_key_is_revoked_while_its_body_arrives_is_refused() {
    use std::io::{Read as _, Write as _};
    let app = TestApp::start();
    app.tenant("acme");
    let platform = app.platform();
    let added = app.add_key(None, &NewKey::made(Algorithm::Hs256)).unwrap();
    let (kid, stolen) = {
        let body = json!({"kid": added.key.kid, "scopes": ["keys:write"]});
        let issued = platform.json("POST", "/tokens", &body).expect(201);
        let token = issued.json["content"]["token"].as_str().unwrap().to_owned();
        (added.key.kid, token)
    };
    let body = r#"{"kid": "mine"}"#;
    let mut stream = std::net::TcpStream::connect(app.base.trim_start_matches("http://")).unwrap();
    write!(
        stream,
        "POST /keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {stolen}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{{",
        body.len()
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    platform
        .json("POST", &format!("/keys/{kid}/revoke"), &json!({}))
        .expect(200);
    write!(stream, "{}", &body[1..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    platform
        .get("/keys/mine")
        .expect_error(404, "key_not_found");
}

/// Tokens of an identity provider, which chooses the key ids.
#[test]
fn tokens_of_an_identity_provider_verify_with_its_json_web_key() {
    let app = TestApp::start();
    let acme = Forger::new(&app, "acme");
    let own = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let own = EncodingKey::from_ed_der(own.to_pkcs8v1().unwrap().as_ref());
    let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&own, JwtAlgorithm::EdDSA).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = json!("idp-2026");
    let platform = app.platform();
    let added = platform
        .json("POST", "/tenants/acme/keys", &json!({"public_key": jwk}))
        .expect(201);
    let key = &added.json["content"]["key"];
    assert_eq!(key["kid"], "idp-2026");
    assert_eq!(key["algorithm"], "EdDSA");
    assert_eq!(key.get("secret"), None);
    let mut header = Header::new(JwtAlgorithm::EdDSA);
    header.kid = Some("idp-2026".to_owned());
    let claims = json!({"exp": now() + 60, "scope": "signatures:read", "iss": "https://idp"});
    acme.accepted(&encode(&header, &claims, &own).unwrap());
}

#[test]
fn a_revoked_key_is_refused_everywhere_within_a_second_also_where_its_token_is_known() {
    let app = TestApp::start();
    let replica = app.replica();
    let acme = Forger::new(&app, "acme");
    let token = acme.with("");
    let elsewhere = Client::new(&replica.base, Some(token.clone()));
    let platform = app.platform();
    for cut in [false, true] {
        let added = app
            .add_key(Some("acme"), &NewKey::made(Algorithm::Hs256))
            .unwrap();
        let forger = Forger {
            app: &app,
            kid: added.key.kid,
            secret: added.secret.unwrap().to_string(),
        };
        let token = forger.with("");
        forger.accepted(&token);
        let elsewhere = Client::new(&replica.base, Some(token.clone()));
        elsewhere
            .read("d", "t")
            .expect_error(404, "signature_not_found");
        if cut {
            app.database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE query LIKE 'LISTEN%' OR query LIKE '%change_counter%' AND pid <> pg_backend_pid()",
            );
        }
        let since = Stopwatch::start();
        platform
            .json(
                "POST",
                &format!("/tenants/acme/keys/{}/revoke", forger.kid),
                &json!({}),
            )
            .expect(200);
        // The server that revoked the key refuses the token at once.
        forger.refused(&token);
        while elsewhere.read("d", "t").status != 401 {
            assert!(since.elapsed() < Duration::from_secs(1), "cut: {cut}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    // The tenant's other key still works.
    elsewhere
        .read("d", "t")
        .expect_error(404, "signature_not_found");
}

#[test]
fn a_key_verifies_from_its_beginning_to_its_end() {
    let app = TestApp::start();
    app.tenant("acme");
    let platform = app.platform();
    let add = |body: Value| {
        let added = platform
            .json("POST", "/tenants/acme/keys", &body)
            .expect(201);
        let key = added.json["content"]["key"].clone();
        Forger {
            app: &app,
            kid: key["kid"].as_str().unwrap().to_owned(),
            secret: key["secret"].as_str().unwrap().to_owned(),
        }
    };
    let at = |seconds: i64| {
        (chrono_now() + chrono::TimeDelta::seconds(seconds))
            .format("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    };
    let state = |key: &Forger<'_>| {
        let shown = platform
            .get(&format!("/tenants/acme/keys/{}", key.kid))
            .expect(200);
        shown.json["content"]["key"]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let pending = add(json!({"not_before": at(3)}));
    assert_eq!(state(&pending), "pending");
    let refused = pending
        .read(&pending.with(""))
        .expect_error(401, "invalid_token");
    assert!(refused.text.contains("not valid yet"), "{}", refused.text);
    // Somebody without the key does not learn that it exists.
    let other = Forger::new(&app, "other");
    let forged = other.sign(&pending.header(), &pending.claims(""));
    assert!(
        other
            .read(&forged)
            .text
            .contains("no active key verifies it")
    );
    let ending = add(json!({"expires_at": at(3)}));
    let token = ending.with("");
    ending.accepted(&token);
    assert_eq!(state(&ending), "active");
    eventually(|| pending.read(&pending.with("")).status == 404);
    assert_eq!(state(&pending), "active");
    eventually(|| ending.read(&token).status == 401);
    assert_eq!(state(&ending), "expired");
    let refused = ending
        .read(&ending.with(""))
        .expect_error(401, "invalid_token");
    assert!(
        refused.text.contains("not valid any more"),
        "{}",
        refused.text
    );
}

fn chrono_now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

/// Adds a new key, switches to it and revokes the old one, while the application sends requests without pause.
#[test]
fn rotation_refuses_no_request() {
    let app = TestApp::start();
    let replica = app.replica();
    app.tenant("acme");
    let platform = app.platform();
    let token = std::sync::Mutex::new(issue(&platform, None).1);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        let askers = [&app.base, &replica.base].map(|base| {
            let (token, stop) = (&token, &stop);
            scope.spawn(move || {
                let mut asked = 0_u32;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let token = token.lock().unwrap().clone();
                    Client::new(base, Some(token))
                        .read("d", "t")
                        .expect_error(404, "signature_not_found");
                    asked += 1;
                }
                asked
            })
        });
        for _ in 0..5 {
            let old = issue(&platform, None).0;
            let added = platform
                .json("POST", "/tenants/acme/keys", &json!({"algorithm": "ES256"}))
                .expect(201);
            let new = added.json["content"]["key"]["kid"]
                .as_str()
                .unwrap()
                .to_owned();
            let (kid, fresh) = issue(&platform, Some(&new));
            assert_eq!(kid, new);
            *token.lock().unwrap() = fresh;
            // Requests with the old token are answered by now.
            std::thread::sleep(Duration::from_millis(200));
            platform
                .json(
                    "POST",
                    &format!("/tenants/acme/keys/{old}/revoke"),
                    &json!({}),
                )
                .expect(200);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        askers.map(|asker| asker.join().unwrap())
    });
    assert!(asked.iter().all(|asked| *asked > 20), "{asked:?}");
}

/// The id of the key that signed a new token, and the token.
fn issue(platform: &Client, kid: Option<&str>) -> (String, String) {
    let issued = platform
        .json("POST", "/tenants/acme/tokens", &json!({"kid": kid}))
        .expect(201);
    let [kid, token] =
        ["kid", "token"].map(|name| issued.json["content"][name].as_str().unwrap().to_owned());
    (kid, token)
}

/// A public key is recognized as the same whether it is given as PEM or as a JSON Web Key.
#[test]
fn adding_a_public_key_again_changes_nothing() {
    let app = TestApp::start();
    app.tenant("acme");
    let pair = app
        .add_key(Some("acme"), &NewKey::made(Algorithm::Ps256))
        .unwrap();
    let pem = pair.key.public_key().unwrap();
    let given = NewKey {
        kid: Some("theirs".to_owned()),
        public_key: Some(GivenKey::Pem(pem.to_owned())),
        ..NewKey::made(Algorithm::Ps256)
    };
    assert!(app.add_key(Some("acme"), &given).unwrap().created);
    assert!(!app.add_key(Some("acme"), &given).unwrap().created);
    let set = app.anonymous().get("/tenants/acme/.well-known/jwks.json");
    assert_eq!(set.status, 200);
    let as_jwk = NewKey {
        public_key: Some(GivenKey::Jwk(set.json["keys"][0].clone())),
        algorithm: None,
        ..given.clone()
    };
    assert!(!app.add_key(Some("acme"), &as_jwk).unwrap().created);
    // The key id is taken, for another algorithm, another tenant and the platform.
    app.tenant("other");
    let platform = app.platform();
    let body = |algorithm| json!({"kid": "theirs", "algorithm": algorithm, "public_key": pem});
    for (path, algorithm) in [
        ("/tenants/acme/keys", "RS256"),
        ("/tenants/other/keys", "PS256"),
        ("/keys", "PS256"),
    ] {
        platform
            .json("POST", path, &body(algorithm))
            .expect_error(409, "key_exists");
    }
}
