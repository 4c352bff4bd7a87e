//! Removal of tenants: in the background and in batches, continued after crashes, without touching other tenants' rows.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sigpersist::tenants;
use sigpersist::transfer::{Arrival, ExportOptions, ImportOptions, export, import};
use sigpersist_model::audit::Actor;
use sigpersist_model::error::{Error, Result};
use sigpersist_model::transfer::Imported;

use crate::support::{Client, Program, SIGNER_TAGS, TestApp, TestDatabase, certificate_pem};

/// The tables with rows of tenants.
fn owned_tables(app: &TestApp) -> Vec<String> {
    let tables = app.database.lines(
        "SELECT DISTINCT table_name::text AS line FROM information_schema.columns NATURAL JOIN information_schema.tables
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name = 'tenant_id' AND table_name NOT LIKE 'audit%' ORDER BY 1",
    );
    tables.lines().map(str::to_owned).collect()
}

fn rows_of(app: &TestApp, table: &str, tenant: i32) -> String {
    app.database.lines(&format!(
        "SELECT t::text AS line FROM {table} t WHERE tenant_id = {tenant} ORDER BY 1"
    ))
}

/// Inserts threads with two versions and two tags each, directly into the database.
fn fill(database: &TestDatabase, tenant: i32, threads: u32) {
    database.execute(&format!(
        "INSERT INTO signatures (tenant_id, version, document, thread)
         SELECT {tenant}, 2, 'filled-' || n, 't' FROM generate_series(1, {threads}) n;
         INSERT INTO signature_versions (tenant_id, version, signature_id, encoding, sha256, tags, signature)
         SELECT {tenant}, v, id, 't', sha256('x'), '{{}}', 'x'
         FROM signatures, generate_series(1, 2) v WHERE tenant_id = {tenant} AND document LIKE 'filled-%';
         INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag)
         SELECT {tenant}, id, created_at, tag
         FROM signatures, unnest(ARRAY['a', 'b']) tag WHERE tenant_id = {tenant} AND document LIKE 'filled-%';
         INSERT INTO signature_terms (tenant_id, signature_id, created_at, term)
         SELECT {tenant}, id, created_at, 'iin:1'
         FROM signatures WHERE tenant_id = {tenant} AND document LIKE 'filled-%';
         INSERT INTO tenant_usage (tenant_id, bytes, threads, versions, shard)
         VALUES ({tenant}, 2 * {threads}, {threads}, 2 * {threads}, 99)"
    ));
}

#[track_caller]
fn wait_until_gone(client: &Client, slug: &str) {
    let since = Instant::now();
    while client.get(&format!("/tenants/{slug}")).status != 404 {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "it is still there"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Creates a tenant with rows in every table.
fn busy_tenant(app: &TestApp, slug: &str) -> Client {
    let client = app.tenant(slug);
    let operator = app.operator(slug);
    let component = [("content-type", "application/wasm")];
    operator
        .send(
            "PUT",
            "/plugins/own",
            &component,
            Some(SIGNER_TAGS.to_vec()),
        )
        .expect(201);
    operator
        .json("PUT", "/hooks/own", &json!({"plugin": "own"}))
        .expect(201);
    operator
        .json("PATCH", "/policy", &json!({"record_verdicts": true}))
        .expect(200);
    let pem = certificate_pem(include_str!("../data/verify/ca.crt.b64"));
    operator
        .json("POST", "/trust-anchors", &json!({ "pem": pem }))
        .expect(201);
    for document in ["a", "b"] {
        client
            .post(&json!({"document": document, "thread": "t", "cms": "x", "tags": ["tag"]}))
            .expect(201);
    }
    app.database.execute(&format!(
        "INSERT INTO hook_inputs (tenant_id, sha256, encoding, signature)
         VALUES ({}, sha256('y'), 't', 'y')",
        app.tenant_id(slug)
    ));
    client
}

#[test]
fn a_confirmed_deletion_removes_all_that_is_the_tenants_and_nothing_else() {
    let app = TestApp::start();
    let acme = busy_tenant(&app, "acme");
    let other = busy_tenant(&app, "other");
    let (id, others) = (app.tenant_id("acme").0, app.tenant_id("other").0);
    app.sequence();
    app.database.execute(
        "INSERT INTO log_settings SELECT id FROM tenants;
         INSERT INTO issuers (tenant_id, name, issuer, rules) SELECT id, 'i', 'https://i', '{}' FROM tenants;
         INSERT INTO log_nodes SELECT id, 1, 1, 0, sha256('x') FROM tenants;
         INSERT INTO log_queue (tenant_id, kind, seal) SELECT id, 'c', 'x' FROM tenants;
         INSERT INTO log_arrivals SELECT id FROM tenants;
         INSERT INTO log_imported_keys SELECT id, 1, now(), now(), 'x' FROM tenants;
         INSERT INTO webhooks (tenant_id, url, types, cursor, encrypted_secret) SELECT id, 'x', '{}', 0, 'x' FROM tenants;
         INSERT INTO log_witnesses (tenant_id, name, url, key) SELECT id, 'w', 'x', 'x' FROM tenants;
         INSERT INTO log_checkpoints (tenant_id, epoch, size, checkpoint) SELECT id, 1, 1, 'x' FROM tenants;
         INSERT INTO log_cosignatures (tenant_id, epoch, size, witness, line) SELECT id, 1, 1, 'w', 'x' FROM tenants;
         INSERT INTO webhook_pending SELECT tenant_id, 1, id, 1, NULL, now() FROM webhooks;
         INSERT INTO webhook_attempts (tenant_id, ms, webhook_id, outcome) SELECT tenant_id, 1, id, 'x' FROM webhooks",
    );
    let tables = owned_tables(&app);
    let before: Vec<_> = tables
        .iter()
        .map(|table| {
            assert_ne!(rows_of(&app, table, id), "", "nothing to remove in {table}");
            rows_of(&app, table, others)
        })
        .collect();
    let revisions = app.database.dump("plugin_revisions").lines().count();
    let verdicts = app.database.lines(&format!(
        "SELECT sum(bytes)::text AS line FROM signature_verdicts WHERE tenant_id = {id}"
    ));
    let bytes = 2 + verdicts.trim().parse::<u32>().unwrap();
    let platform = app.platform();
    let _removal = app.remove_tenants();
    let deleted = platform
        .send("DELETE", "/tenants/acme?confirm=acme", &[], None)
        .expect(202);
    assert_ne!(
        deleted.json["content"]["tenant"]["delete_after"],
        Value::Null
    );
    wait_until_gone(&platform, "acme");
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(rows_of(&app, table, id), "", "left in {table}");
        assert_eq!(rows_of(&app, table, others), before, "{table}");
    }
    assert_eq!(
        app.database.dump("plugin_revisions").lines().count(),
        revisions - 1
    );
    // The removed tenant's tokens are invalid; the other tenant is not affected.
    acme.read("a", "t").expect_error(401, "invalid_token");
    other.save("a", "t", 1, "over").expect(201);
    // The audit trail keeps the removal and the amount of removed data.
    let trail = app.database.lines(
        "SELECT concat_ws(' ', actor_kind, target, before, after) AS line FROM audit_events WHERE action = 'tenant.removed'",
    );
    assert_eq!(
        trail,
        format!("server acme {{\"bytes\":{bytes},\"threads\":2,\"versions\":2}}\n")
    );
    let actions = app
        .database
        .lines("SELECT action AS line FROM audit_events WHERE target = 'acme' ORDER BY at");
    assert_eq!(
        actions.lines().collect::<Vec<_>>(),
        ["tenant.create", "tenant.delete", "tenant.removed"]
    );
    // The name is free again, and its new owner starts with nothing.
    let again = app.tenant("acme");
    assert!(again.get("/signatures").expect(200).signatures().is_empty());
    again.save("a", "t", 0, "new").expect(201);
}

#[test]
fn a_removal_goes_on_after_its_server_was_killed_and_another_was_started() {
    let app = TestApp::start();
    app.tenant("acme");
    let other = app.tenant("other");
    other.save("a", "t", 0, "x").expect(201);
    let id = app.tenant_id("acme").0;
    fill(&app.database, id, 15_000);
    let left = || {
        let counts = app.database.lines(&format!(
            "SELECT ((SELECT count(*) FROM signature_tags WHERE tenant_id = {id})
                   + (SELECT count(*) FROM signature_versions WHERE tenant_id = {id})
                   + (SELECT count(*) FROM signatures WHERE tenant_id = {id}))::text AS line"
        ));
        counts.trim().parse::<u32>().unwrap()
    };
    let platform = app.platform();
    platform
        .send("DELETE", "/tenants/acme?confirm=acme", &[], None)
        .expect(202);
    let serve = || Program::serve_on(&app.database, &[]);
    for _ in 0..2 {
        let before = left();
        let mut server = serve();
        let since = Instant::now();
        while left() > before - 5_000 {
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "nothing is removed"
            );
        }
        server.kill();
    }
    let interrupted = left();
    assert!((1..70_000).contains(&interrupted), "{interrupted}");
    // The removal works in batches of at most a thousand rows, with a pause after each.
    platform.get("/tenants/acme").expect(200);
    platform
        .send("POST", "/tenants/acme/resume", &[], None)
        .expect_error(409, "tenant_deleting");
    // Two servers at once remove the tenant only once.
    let _servers = (serve(), serve());
    wait_until_gone(&platform, "acme");
    assert_eq!(left(), 0);
    let trail = app
        .database
        .lines("SELECT before::text AS line FROM audit_events WHERE action = 'tenant.removed'");
    assert_eq!(
        trail,
        "{\"bytes\":30000,\"threads\":15000,\"versions\":30000}\n"
    );
    other.read("a", "t").expect(200);
}

#[test]
fn a_tenant_is_removed_when_its_time_has_come_and_not_before() {
    let app = TestApp::start();
    app.tenant("due");
    app.tenant("later");
    let platform = app.platform();
    for slug in ["due", "later"] {
        platform
            .send("DELETE", &format!("/tenants/{slug}"), &[], None)
            .expect(202);
    }
    app.database.execute(
        "UPDATE tenants SET delete_after = now() - interval '1 minute' WHERE slug = 'due'",
    );
    let _removal = app.remove_tenants();
    wait_until_gone(&platform, "due");
    let later = platform.get("/tenants/later").expect(200);
    assert_eq!(later.json["content"]["tenant"]["state"], "deleting");
}

/// A save that began before the suspension finds its tenant gone. This is not a server error.
#[test]
fn a_save_under_way_while_its_tenant_is_removed_is_refused() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("a", "t", 0, "x").expect(201);
    let platform = app.platform();
    // No server is notified of the suspension.
    app.database
        .execute("ALTER TABLE tenants DISABLE TRIGGER tenants_notify; ALTER TABLE keys DISABLE TRIGGER keys_notify");
    let replica = app.replica();
    let elsewhere = Client::new(&replica.base, acme.token.clone());
    elsewhere.read("a", "t").expect(200);
    platform
        .send("DELETE", "/tenants/acme?confirm=acme", &[], None)
        .expect(202);
    let saving = std::thread::spawn({
        let elsewhere = elsewhere.clone();
        move || {
            (0..10_000)
                .map(|number| elsewhere.save(&format!("d-{number}"), "t", 0, "x"))
                .find(|answer| answer.status != 201)
        }
    });
    let _removal = app.remove_tenants();
    wait_until_gone(&platform, "acme");
    // The answer is 401 if that server has noticed that the key is gone.
    let refused = [Some(403), Some(401)];
    let first_refusal = saving.join().unwrap();
    assert!(
        refused.contains(&first_refusal.as_ref().map(|answer| answer.status)),
        "{first_refusal:?}"
    );
    let later = elsewhere.save("e", "t", 0, "x");
    assert!(refused.contains(&Some(later.status)), "{later:?}");
    for table in owned_tables(&app) {
        let left = app.database.lines(&format!(
            "SELECT t::text AS line FROM {table} t WHERE tenant_id > 0"
        ));
        assert_eq!(left, "", "{table}");
    }
}

#[test]
fn an_import_into_a_tenant_that_is_deleted_meanwhile_fails_and_says_why() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for document in ["a", "b"] {
        acme.save(document, "t", 0, "x").expect(201);
    }
    let platform = app.platform();
    let create = |slug: &str| {
        platform
            .json("POST", "/tenants", &json!({ "slug": slug }))
            .expect(201);
    };
    let delete = |slug: &str, query: &str| {
        platform
            .send("DELETE", &format!("/tenants/{slug}{query}"), &[], None)
            .expect(202);
    };
    let remove = |slug: &str| {
        delete(slug, &format!("?confirm={slug}"));
        let _removing = app.remove_tenants();
        wait_until_gone(&platform, slug);
    };
    let of = |slug: &str| tenants::get(&app.app, slug).unwrap();
    let (actor, mut file) = (Actor::server(), Vec::new());
    let options = ExportOptions::default();
    export(
        &app.app,
        &of("acme"),
        &actor,
        &mut file,
        &options,
        |_, _| {},
    )
    .unwrap();
    // Something happens when the last line was read and before it was written.
    let imported = |slug: &str, meanwhile: &dyn Fn()| -> Result<Imported> {
        let tenant = of(slug);
        let arrival = Arrival::open(&app.app, file.as_slice(), None, false)?;
        let progress = |done, all| {
            if done == all {
                meanwhile();
            }
        };
        let options = ImportOptions::default();
        import(&app.app, &tenant, &actor, arrival, options, progress)
    };
    let scheduled = |slug: &str| {
        let refused = imported(slug, &|| delete(slug, ""));
        assert!(
            matches!(refused, Err(Error::TenantDeleting(_))),
            "{refused:?}"
        );
        let told = app.database.lines(&format!(
            "SELECT after->>'complete' AS line FROM audit_events \
             WHERE action = 'tenant.import' AND tenant_id = {} ORDER BY number DESC LIMIT 1",
            app.tenant_id(slug)
        ));
        assert_eq!(told.trim_end(), "false");
    };
    create("new");
    scheduled("new");
    // All of it is there already.
    scheduled("acme");
    create("gone");
    let refused = imported("gone", &|| remove("gone"));
    assert!(
        matches!(refused, Err(Error::TenantDeleting(_))),
        "{refused:?}"
    );
    create("again");
    let refused = imported("again", &|| {
        remove("again");
        create("again");
    });
    assert!(
        matches!(refused, Err(Error::TenantDeleting(_))),
        "{refused:?}"
    );
    let threads = platform.get("/tenants/again/usage").expect(200);
    assert_eq!(threads.json["content"]["usage"]["threads"], 0);
    create("kept");
    assert!(imported("kept", &|| ()).unwrap().is_complete());
}
