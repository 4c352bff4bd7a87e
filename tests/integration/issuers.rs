//! Identity providers that tenants trust: how admins set them up, and whom their tokens authenticate.

use std::time::Duration;

use jsonwebtoken::Algorithm as Jwt;
use serde_json::{Value, json};
use sigpersist::auth::GivenKey;
use sigpersist::tenants::NewKey;
use sigpersist_model::context::Scope;
use sigpersist_model::key::Algorithm;

use crate::support::provider::{Provider, TestKey, claims, set};
use crate::support::{Client, Response, TestApp, assert_success, eventually_within};

/// The promise for changes on other servers.
const SECOND: Duration = Duration::from_secs(1);

/// The answer to whoever comes with a token.
pub(crate) fn asked(app: &TestApp, token: &str) -> Response {
    app.anonymous().with_token(token).get("/whoami")
}

/// Adds an issuer to a tenant, with an audience and a scope claim that counts as it is.
#[track_caller]
pub(crate) fn trust(admin: &Client, name: &str, issuer: &str, more: &Value) -> Response {
    let mut form = json!({"name": name, "issuer": issuer, "audiences": ["api"]});
    for (member, value) in more.as_object().unwrap() {
        form[member] = value.clone();
    }
    admin.json("POST", "/issuers", &form)
}

/// A server with a tenant `acme`, a provider that it may ask, and a client of the platform for the tenant.
pub(crate) fn start(provider: &Provider) -> (TestApp, Client) {
    let app = TestApp::start_with(|config| provider.trust(config));
    app.tenant("acme");
    let admin = app.platform_for("acme");
    (app, admin)
}

#[test]
fn a_token_of_a_discovered_provider_authenticates_an_application_of_the_tenant() {
    let provider = Provider::start();
    let key = TestKey::new("k1", Jwt::RS256);
    provider.publish("acme", &[&key]);
    let (app, admin) = start(&provider);
    let issuer = provider.issuer("acme");
    let added = trust(&admin, "keycloak", &issuer, &json!({})).expect(201);
    assert_eq!(
        added.header("location"),
        Some("/tenants/acme/issuers/keycloak")
    );
    assert_eq!(added.json["content"]["issuer"]["known"], Value::Null);
    assert_eq!(provider.asked("/realms/acme/certs"), 0);
    trust(&admin, "keycloak", &issuer, &json!({})).expect(200);
    trust(&admin, "keycloak", &issuer, &json!({"max_lifetime_s": 7})).expect_error(422, "refused");

    let scope = json!({"scope": "signatures:read signatures:write email"});
    let token = key.sign(&claims(&issuer, "api", &scope));
    let client = app.anonymous().with_token(&token);
    client.save("d", "t", 0, "x").expect(201);
    client.read("d", "t").expect(200);
    client
        .delete("d", "t")
        .expect_error(403, "insufficient_scope");
    let caller = client.get("/whoami").expect(200);
    let caller = &caller.json["content"]["caller"];
    assert_eq!(caller["tenant"], "acme");
    assert_eq!(caller["subject"], "crm");
    let content = admin.get("/issuers/keycloak").expect(200);
    let known = &content.json["content"]["issuer"]["known"];
    assert_eq!(known["kids"], json!(["k1"]));
    assert!(known["fetched_at"].is_string() && known["failure"].is_null());
    assert_eq!(provider.asked("/realms/acme/certs"), 1);
}

#[test]
fn every_asymmetric_algorithm_works_with_a_key_that_fits_it() {
    let app = TestApp::start();
    app.tenant("acme");
    let admin = app.platform_for("acme");
    let rsa = TestKey::new("rsa", Jwt::RS256);
    let others =
        [Jwt::ES256, Jwt::ES384, Jwt::EdDSA].map(|it| TestKey::new(&format!("{it:?}"), it));
    let mut jwks = set(&[&rsa, &others[0], &others[1], &others[2]]);
    // An RSA key that names no algorithm may be used with all of its kind.
    jwks["keys"][0].as_object_mut().unwrap().remove("alg");
    trust(&admin, "given", "urn:mine", &json!({ "jwks": jwks })).expect(201);
    let claims = claims("urn:mine", "api", &json!({}));
    for key in &others {
        asked(&app, &key.sign(&claims)).expect(200);
    }
    let mut rsa = rsa;
    for algorithm in [
        Jwt::RS256,
        Jwt::RS384,
        Jwt::RS512,
        Jwt::PS256,
        Jwt::PS384,
        Jwt::PS512,
    ] {
        rsa.algorithm = algorithm;
        asked(&app, &rsa.sign(&claims)).expect(200);
    }
}

/// Tokens as Keycloak and Entra make them, and the scopes that they give.
#[test]
fn tokens_of_keycloak_and_entra_give_the_scopes_that_their_claims_stand_for() {
    let app = TestApp::start();
    app.tenant("acme");
    let admin = app.platform_for("acme");
    let key = TestKey::new("k", Jwt::RS256);
    let jwks = set(&[&key]);
    let keycloak = "https://id.example.com/realms/acme";
    let tid = "9122040d-6c67-4c5b-b112-36a304b66dad";
    let entra = format!("https://login.microsoftonline.com/{tid}/v2.0");
    let grant = |claim: &str, value: &str, scopes: &[&str]| json!({"claim": claim, "value": value, "scopes": scopes});
    let form = json!({
        "jwks": jwks, "audiences": ["account"], "required": {"azp": "crm", "typ": "Bearer"},
        "grants": [
            grant("realm_access.roles", "signer", &["signatures:read", "signatures:write"]),
            grant("resource_access.crm.roles", "follower", &["events:read"]),
        ],
    });
    trust(&admin, "keycloak", keycloak, &form).expect(201);
    let form = json!({
        "jwks": jwks, "audiences": ["6e74172b-be56-4843-9ff4-e66a39bb12e3"], "required": {"tid": tid},
        "grants": [
            grant("roles", "Signatures.Write.All", &["signatures:write"]),
            grant("scp", "Signatures.Read", &["signatures:read"]),
        ],
    });
    trust(&admin, "entra", &entra, &form).expect(201);
    let scopes = |issuer: &str, audience: &str, more: &Value| {
        let answer = asked(&app, &key.sign(&claims(issuer, audience, more))).expect(200);
        answer.json["content"]["caller"]["scopes"].clone()
    };
    let of_service_account = json!({
        "jti": "trrtcc:5d0", "typ": "Bearer", "azp": "crm", "acr": "1", "allowed-origins": ["/*"],
        "realm_access": {"roles": ["default-roles-acme", "offline_access", "signer"]},
        "resource_access": {"account": {"roles": ["manage-account"]}, "crm": {"roles": ["follower"]}},
        "scope": "email profile", "clientHost": "10.0.0.7", "email_verified": false,
        "preferred_username": "service-account-crm", "client_id": "crm",
    });
    assert_eq!(
        scopes(keycloak, "account", &of_service_account),
        json!(["signatures:read", "signatures:write", "events:read"])
    );
    let mut other = of_service_account.clone();
    other["azp"] = json!("shop");
    let token = key.sign(&claims(keycloak, "account", &other));
    let refused = asked(&app, &token).expect_error(401, "invalid_token");
    assert!(refused.text.contains("another `aud`"), "{}", refused.text);
    let api = "6e74172b-be56-4843-9ff4-e66a39bb12e3";
    let of_application = json!({
        "aio": "E2ZgYDg", "azp": "43f0-crm", "azpacr": "1", "oid": "3a0b", "rh": "0.Ab",
        "roles": ["Signatures.Write.All", "Other"], "tid": tid, "uti": "x", "ver": "2.0",
    });
    assert_eq!(
        scopes(&entra, api, &of_application),
        json!(["signatures:write"])
    );
    let of_person =
        json!({"scp": "Signatures.Read User.Read", "tid": tid, "ver": "2.0", "name": "A"});
    assert_eq!(scopes(&entra, api, &of_person), json!(["signatures:read"]));
    let mut elsewhere = of_person;
    elsewhere["tid"] = json!("f8cdef31-a31e-4b4a-93e4-5f571e91255a");
    let token = key.sign(&claims(&entra, api, &elsewhere));
    asked(&app, &token).expect_error(401, "invalid_token");
}

#[test]
fn tenants_share_an_issuer_only_if_their_tokens_can_be_told_apart() {
    let provider = Provider::start();
    let key = TestKey::new("k", Jwt::ES256);
    provider.publish("all", &[&key]);
    let (app, acme) = start(&provider);
    app.tenant("other");
    let other = app.platform_for("other");
    let issuer = provider.issuer("all");
    trust(&acme, "a", &issuer, &json!({"required": {"org": "acme"}})).expect(201);
    for more in [
        json!({}),
        json!({"required": {"org": "acme"}}),
        json!({"required": {"group": "other"}}),
        json!({"audiences": ["x", "api"]}),
    ] {
        let refused = trust(&other, "b", &issuer, &more).expect_error(422, "refused");
        assert!(
            refused.text.contains("`acme`, by its issuer `a`"),
            "{}",
            refused.text
        );
    }
    trust(&other, "b", &issuer, &json!({"required": {"org": "other"}})).expect(201);
    trust(&other, "c", &issuer, &json!({"audiences": ["shop"]})).expect(201);
    let token = |audience: Value, org: Value| {
        let mut claims = claims(&issuer, "", &json!({ "org": org }));
        claims["aud"] = audience;
        key.sign(&claims)
    };
    let tenant = |audience: Value, org: Value| {
        let answer = asked(&app, &token(audience, org)).expect(200);
        answer.json["content"]["caller"]["tenant"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(tenant(json!("api"), json!("acme")), "acme");
    assert_eq!(tenant(json!("api"), json!("other")), "other");
    assert_eq!(tenant(json!(["shop", "x"]), json!("acme")), "other");
    for (audience, org, why) in [
        (
            json!(["api", "shop"]),
            json!("acme"),
            "more than one issuer",
        ),
        (
            json!("api"),
            json!(["acme", "other"]),
            "more than one issuer",
        ),
        (json!("api"), json!("third"), "another `aud`"),
        (json!("apis"), json!("acme"), "another `aud`"),
    ] {
        let refused = asked(&app, &token(audience, org)).expect_error(401, "invalid_token");
        assert!(refused.text.contains(why), "{}", refused.text);
    }
    // Only whoever has a token of the provider learns that.
    let stranger = TestKey::new("k", Jwt::ES256);
    for audience in ["api", "apis"] {
        let token = stranger.sign(&claims(&issuer, audience, &json!({"org": "acme"})));
        let refused = asked(&app, &token).expect_error(401, "invalid_token");
        assert!(refused.text.contains("no active key"), "{}", refused.text);
    }
}

#[test]
fn the_issuer_decides_among_keys_of_one_name() {
    let provider = Provider::start();
    let (app, acme) = start(&provider);
    app.tenant("other");
    let other = app.platform_for("other");
    let [own, first, second] = [(); 3].map(|()| TestKey::new("k", Jwt::ES256));
    let new = NewKey {
        kid: Some("k".to_owned()),
        public_key: Some(GivenKey::Jwk(own.public.clone())),
        ..NewKey::made(Algorithm::Es256)
    };
    app.add_key(Some("other"), &new).unwrap();
    provider.publish("one", &[&first]);
    provider.publish("two", &[&second]);
    let [one, two] = ["one", "two"].map(|realm| provider.issuer(realm));
    trust(&acme, "id", &one, &json!({})).expect(201);
    trust(&other, "id", &two, &json!({})).expect(201);
    let tenant = |key: &TestKey, issuer: &str| {
        let answer = asked(&app, &key.sign(&claims(issuer, "api", &json!({}))));
        answer.json["content"]["caller"]["tenant"]
            .as_str()
            .map(str::to_owned)
    };
    assert_eq!(tenant(&first, &one).as_deref(), Some("acme"));
    assert_eq!(tenant(&second, &two).as_deref(), Some("other"));
    assert_eq!(tenant(&own, "https://elsewhere").as_deref(), Some("other"));
    for (key, issuer) in [
        (&first, two.as_str()),
        (&second, &one),
        (&own, &one),
        (&own, &two),
        (&first, "https://elsewhere"),
    ] {
        assert_eq!(tenant(key, issuer), None, "{issuer}");
    }
}

#[test]
fn a_removed_issuer_is_trusted_by_no_server_within_a_second() {
    let provider = Provider::start();
    let key = TestKey::new("k", Jwt::EdDSA);
    provider.publish("acme", &[&key]);
    let (app, admin) = start(&provider);
    let replica = app.replica_with(|config| provider.trust(config));
    let issuer = provider.issuer("acme");
    let token = key.sign(&claims(&issuer, "api", &json!({})));
    asked(&replica, &token).expect_error(401, "invalid_token");
    trust(&admin, "id", &issuer, &json!({})).expect(201);
    asked(&app, &token).expect(200);
    eventually_within(SECOND, || asked(&replica, &token).status == 200);
    admin
        .json("POST", "/issuers/id/refresh", &json!({}))
        .expect(200);
    admin.send("DELETE", "/issuers/id", &[], None).expect(200);
    asked(&app, &token).expect_error(401, "invalid_token");
    eventually_within(SECOND, || asked(&replica, &token).status == 401);
    for (method, path) in [("GET", ""), ("DELETE", ""), ("POST", "/refresh")] {
        let body = (method == "POST").then(|| b"{}".to_vec());
        let json = [("content-type", "application/json")];
        admin
            .send(method, &format!("/issuers/id{path}"), &json, body)
            .expect_error(404, "issuer_not_found");
    }
    let trail = ["issuer.add id", "issuer.refresh id", "issuer.remove id"];
    assert_eq!(app.audit("acme"), trail);
    app.sequence();
    let events = app
        .operator("acme")
        .get("/events?types=issuer.")
        .expect(200);
    let events = events.json["content"]["events"].as_array().unwrap();
    let types: Vec<_> = events.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["issuer.add", "issuer.refresh", "issuer.remove"]);
}

#[test]
fn a_suspended_tenant_stays_out_whoever_vouches_for_its_callers() {
    let app = TestApp::start();
    app.tenant("acme");
    let admin = app.platform_for("acme");
    let key = TestKey::new("k", Jwt::ES256);
    trust(&admin, "id", "urn:id", &json!({"jwks": set(&[&key])})).expect(201);
    let token = key.sign(&claims("urn:id", "api", &json!({})));
    asked(&app, &token).expect(200);
    let suspend = admin.json("POST", "/suspend", &json!({}));
    suspend.expect(200);
    asked(&app, &token).expect_error(403, "tenant_suspended");
}

#[test]
fn only_the_platform_says_whom_a_tenant_trusts() {
    let app = TestApp::start();
    app.tenant("acme");
    let mut operator = app.operator("acme");
    operator.base = format!("{}/tenants/acme", app.base);
    let key = TestKey::new("k", Jwt::ES256);
    let form = json!({"jwks": set(&[&key])});
    let refused = trust(&operator, "id", "urn:id", &form);
    assert_eq!(refused.status, 403, "{}", refused.text);
    let mut limited = app.platform_with(&[Scope::TenantsWrite]);
    limited.base = format!("{}/tenants/acme", app.base);
    trust(&limited, "id", "urn:id", &form).expect_error(403, "insufficient_scope");
    let token = key.sign(&claims("urn:id", "api", &json!({})));
    asked(&app, &token).expect_error(401, "invalid_token");
}

#[test]
fn the_commands_add_show_refresh_and_remove_issuers() {
    let app = TestApp::start();
    app.tenant("acme");
    let key = TestKey::new("k", Jwt::ES256);
    let file = app.database.folder.path().join("jwks.json");
    std::fs::write(&file, set(&[&key]).to_string()).unwrap();
    let run = |arguments: &[&str]| {
        let output = app.database.command(arguments).output().unwrap();
        assert_success(&output);
        String::from_utf8(output.stdout).unwrap()
    };
    let jwks = file.to_str().unwrap();
    let grant = "realm_access.roles=a=b=signatures:read,signatures:write";
    let more = ["--require", "azp=crm", "--grant", grant];
    let add = [
        "issuer",
        "add",
        "acme",
        "id",
        "urn:id",
        "--jwks",
        jwks,
        "--audience",
        "api",
    ];
    assert!(run(&[&add[..], &more].concat()).contains("`acme` trusts the tokens of `urn:id`"));
    assert!(run(&[&add[..], &more].concat()).contains("already exists"));
    assert!(run(&["issuer", "list", "acme"]).contains("urn:id"));
    let shown = run(&["issuer", "show", "acme", "id"]);
    for line in ["required: azp=crm", &format!("grant: {grant}"), "keys: k"] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(run(&["issuer", "refresh", "acme", "id"]).contains("keys: k"));
    let roles = json!({"azp": "crm", "realm_access": {"roles": ["a=b"]}});
    let token = key.sign(&claims("urn:id", "api", &roles));
    let answer = asked(&app, &token).expect(200);
    let scopes = &answer.json["content"]["caller"]["scopes"];
    assert_eq!(*scopes, json!(["signatures:read", "signatures:write"]));
    assert!(run(&["issuer", "remove", "acme", "id"]).contains("removed"));
    eventually_within(SECOND, || asked(&app, &token).status == 401);
}
