//! Pages of tenants: each tenant says which origins may use the API with its tokens, and with no others.

use serde_json::json;
use sigpersist_model::context::Scope;

use crate::cors::preflight;
use crate::support::{Client, TestApp, eventually};

const PAGE: (&str, &str) = ("origin", "https://app.acme.example");
const CROSS_SITE: (&str, &str) = ("sec-fetch-site", "cross-site");

fn allow(app: &TestApp, slug: &str, origins: &[&str]) {
    app.operator(slug)
        .json("PATCH", "/policy", &json!({ "cors_origins": origins }))
        .expect(200);
}

fn save(client: &Client, thread: &str, headers: &[(&str, &str)]) -> crate::support::Response {
    let draft = json!({"document": "d", "thread": thread, "cms": "x"});
    client.json_with("POST", "/signature", &draft, headers)
}

#[test]
fn a_page_of_one_tenant_acts_with_its_tokens_alone() {
    let app = TestApp::start();
    let (acme, evil) = (app.tenant("acme"), app.tenant("evil"));
    let nobody = app.anonymous();
    preflight(&nobody, "/signature", PAGE, "POST").expect_error(405, "method_not_allowed");
    allow(&app, "acme", &[PAGE.1]);
    // Nobody has asked for the origins since. A cache must not give a page what it kept for somebody else.
    let shared = nobody.get("/openapi.json");
    assert_eq!(shared.header("vary"), Some("origin"));
    // The question names no tenant, so it is answered for all of them.
    let told = preflight(&nobody, "/signature", PAGE, "POST");
    assert_eq!(told.status, 204);
    assert_eq!(told.header("access-control-allow-origin"), Some(PAGE.1));
    let saved = save(&acme, "t", &[PAGE, CROSS_SITE]).expect(201);
    assert_eq!(saved.header("access-control-allow-origin"), Some(PAGE.1));
    assert_eq!(saved.header("vary"), Some("origin"));
    // Another tenant's request does nothing, and its browser reads nothing.
    for headers in [&[PAGE, CROSS_SITE][..], &[PAGE]] {
        let refused = save(&evil, "t", headers).expect_error(403, "origin_not_allowed");
        assert_eq!(refused.header("access-control-allow-origin"), None);
        assert_eq!(refused.header("vary"), Some("origin"));
    }
    evil.read("d", "t").expect_error(404, "signature_not_found");
    let platform = app.platform_with(&[Scope::TenantsRead]);
    platform
        .get_with("/tenants", &[PAGE])
        .expect_error(403, "origin_not_allowed");
    // A page whose token has expired reads that it has.
    let refused = nobody.get_with("/signatures", &[PAGE]);
    let refused = refused.expect_error(401, "missing_token");
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE.1));
}

#[test]
fn a_page_that_is_not_allowed_any_more_is_refused_though_its_browser_remembers() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    allow(&app, "acme", &[PAGE.1]);
    save(&acme, "t", &[PAGE, CROSS_SITE]).expect(201);
    allow(&app, "acme", &[]);
    preflight(&acme, "/signature", PAGE, "POST").expect_error(405, "method_not_allowed");
    save(&acme, "u", &[PAGE, CROSS_SITE]).expect_error(403, "origin_not_allowed");
    acme.read("d", "u").expect_error(404, "signature_not_found");
    // Only browsers say where a page is, so this is none.
    save(&acme, "v", &[PAGE]).expect(201);
}

#[test]
fn no_tenant_shuts_out_the_pages_of_the_server_itself() {
    let app = TestApp::start();
    let (acme, evil) = (app.tenant("acme"), app.tenant("evil"));
    let own = [("origin", &*app.base)];
    allow(&app, "evil", &[&app.base, PAGE.1]);
    save(&acme, "t", &own).expect(201);
    save(&acme, "u", &[PAGE, ("sec-fetch-site", "same-origin")]).expect(201);
    save(&acme, "v", &[PAGE, ("sec-fetch-site", "same-site")])
        .expect_error(403, "origin_not_allowed");
    save(&evil, "t", &[PAGE, CROSS_SITE]).expect(201);
}

#[test]
fn the_setting_holds_for_all_tenants_and_other_servers_learn_of_origins() {
    let app = TestApp::start();
    let replica = app.replica_with(|config| {
        config.http.cors_origins = "https://all.example".to_owned();
    });
    let (acme, evil) = (app.tenant("acme"), app.tenant("evil"));
    let there = |client: &Client| {
        let mut client = client.clone();
        client.base.clone_from(&replica.base);
        client
    };
    let all = ("origin", "https://all.example");
    for client in [&acme, &evil] {
        let read = there(client).get_with("/signatures", &[all, CROSS_SITE]);
        let read = read.expect(200);
        assert_eq!(read.header("access-control-allow-origin"), Some(all.1));
    }
    // The server has read that there are no origins, and hears that there are.
    assert_eq!(
        preflight(&there(&acme), "/signature", PAGE, "POST").status,
        405
    );
    allow(&app, "acme", &[PAGE.1]);
    eventually(|| preflight(&there(&acme), "/signature", PAGE, "POST").status == 204);
    save(&there(&acme), "t", &[PAGE]).expect(201);
    save(&there(&evil), "t", &[PAGE]).expect_error(403, "origin_not_allowed");
    allow(&app, "acme", &[]);
    eventually(|| preflight(&there(&acme), "/signature", PAGE, "POST").status == 405);
}

#[test]
fn origins_are_a_part_of_the_policy() {
    let app = TestApp::start();
    app.tenant("acme");
    let operator = app.operator("acme");
    let set = |origins: serde_json::Value| {
        operator.json("PATCH", "/policy", &json!({ "cors_origins": origins }))
    };
    let policy = |response: &crate::support::Response| response.json["content"]["policy"].clone();
    for wrong in [
        json!("https://a.example"),
        json!(["https://a.example/"]),
        json!(["*"]),
        json!(["null"]),
        json!(
            (0..21)
                .map(|number| format!("https://{number}.example"))
                .collect::<Vec<_>>()
        ),
    ] {
        set(wrong).expect_error(400, "invalid_parameter");
    }
    let before = operator.get("/policy").expect(200);
    assert_eq!(policy(&before).get("cors_origins"), None);
    let after = set(json!([PAGE.1, PAGE.1])).expect(200);
    assert_eq!(policy(&after)["cors_origins"], json!([PAGE.1]));
    // What is left out stays.
    let other = operator.json("PATCH", "/policy", &json!({"accept": "any"}));
    assert_eq!(policy(&other.expect(200))["cors_origins"], json!([PAGE.1]));
    assert_eq!(app.audit("acme"), ["policy.set policy"]);
    let run = |arguments: &[&str]| {
        let output = app.database.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["policy", "show", "acme"]).contains("https://app.acme.example"));
    let two = "https://a.example, http://localhost:3000";
    let said = run(&["policy", "set", "acme", "--cors-origins", two]);
    assert!(said.contains("http://localhost:3000"), "{said}");
    // It travels with the tenant.
    let file = app.database.folder.path().join("acme.ndjson");
    run(&[
        "tenant",
        "export",
        "acme",
        "--output",
        file.to_str().unwrap(),
    ]);
    let there = TestApp::start();
    let imported = there
        .database
        .command(&["tenant", "import", "acme", "--create", "--input"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(imported.status.success());
    let kept = there.platform_for("acme").get("/policy");
    assert_eq!(
        policy(&kept.expect(200))["cors_origins"],
        json!(["https://a.example", "http://localhost:3000"])
    );
    run(&["policy", "set", "acme", "--cors-origins", ""]);
    eventually(|| {
        policy(&operator.get("/policy"))
            .get("cors_origins")
            .is_none()
    });
    assert_eq!(preflight(&operator, "/signature", PAGE, "POST").status, 405);
}
