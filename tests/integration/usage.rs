//! The usage of tenants is counted exactly, even with concurrent writers.

use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use serde_json::{Value, json};
use sigpersist_model::context::Scope;

use crate::support::{Client, FIRST, SIGNER_TAGS, Stopwatch, TestApp};

fn usage(client: &Client, path: &str) -> Value {
    client.get(path).expect(200).json["content"]["usage"].clone()
}

/// The usage according to the stored rows, and according to the counters.
fn truth_and_count(app: &TestApp) -> (String, String) {
    (
        app.database.lines(
            "SELECT tenant_id || ' ' || sum(octet_length(signature) + coalesce(verdicts, 0)) || ' '
                 || count(*) FILTER (WHERE version = 1) || ' ' || count(*) AS line
             FROM signature_versions v LEFT JOIN LATERAL (
                 SELECT sum(bytes) AS verdicts FROM signature_verdicts w
                 WHERE (w.tenant_id, w.signature_id, w.version) = (v.tenant_id, v.signature_id, v.version)) w ON true
             GROUP BY tenant_id ORDER BY tenant_id",
        ),
        app.database.lines(
            "SELECT tenant_id || ' ' || sum(bytes) || ' ' || sum(threads) || ' ' || sum(versions) AS line
             FROM tenant_usage GROUP BY tenant_id HAVING sum(versions) <> 0 ORDER BY tenant_id",
        ),
    )
}

#[test]
fn usage_is_what_is_stored_after_saves_countersignatures_retries_and_deletes() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let own = app.client("acme", &[Scope::TenantsRead]);
    let platform = app.platform();
    assert_eq!(
        usage(&own, "/usage"),
        json!({"bytes": 0, "threads": 0, "versions": 0})
    );
    acme.save("a", "t", 0, "f-ur").expect(201);
    acme.save("a", "t", 1, "3-thr").expect(201);
    acme.save("b", "t", 1, "x").expect(201);
    let stored = json!({"bytes": 10, "threads": 2, "versions": 3});
    assert_eq!(usage(&own, "/usage"), stored);
    assert_eq!(usage(&platform, "/tenants/acme/usage"), stored);
    // Requests that store nothing add nothing.
    acme.save("a", "t", 0, "f-ur").expect(200);
    acme.save("a", "t", 1, "late")
        .expect_error(409, "version_conflict");
    acme.delete("nothing", "t")
        .expect_error(404, "signature_not_found");
    assert_eq!(usage(&own, "/usage"), stored);
    // The count is of decoded bytes, whether hooks judge the save or not.
    app.hook("acme", "tags", SIGNER_TAGS, |_| {});
    acme.save("c", "t", 0, FIRST.trim()).expect(201);
    acme.delete("b", "t").expect(200);
    let bytes = app
        .database
        .lines("SELECT octet_length(signature)::text AS line FROM signature_versions ORDER BY created_at DESC LIMIT 1");
    let bytes: i64 = bytes.trim().parse().unwrap();
    assert!(bytes < i64::try_from(FIRST.trim().len()).unwrap());
    assert_eq!(
        usage(&own, "/usage"),
        json!({"bytes": 9 + bytes, "threads": 2, "versions": 3})
    );
    let (truth, count) = truth_and_count(&app);
    assert_eq!(count, truth);
    // Recorded verdicts count, however they are recorded, until their version is deleted.
    let operator = app.operator("acme");
    operator
        .json("PATCH", "/policy", &json!({"record_verdicts": true}))
        .expect(200);
    acme.save("c", "t", 1, "y").expect(201);
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    for document in ["a", "c", "d"] {
        let body = json!({"document": document, "thread": "t"});
        acme.json("POST", "/signature/verify", &body).expect(201);
    }
    let (truth, with_verdicts) = truth_and_count(&app);
    assert_eq!(with_verdicts, truth);
    for document in ["c", "d"] {
        acme.delete(document, "t").expect(200);
    }
    let (truth, count) = truth_and_count(&app);
    assert_eq!(count, truth);
    app.platform()
        .json(
            "PATCH",
            "/tenants/acme",
            &json!({"quotas": {"max_bytes": 100}}),
        )
        .expect(200);
    let body = json!({"document": "a", "thread": "t"});
    crate::support::eventually(|| {
        acme.json("POST", "/signature/verify", &body).json["code"] == "quota_exceeded"
    });
    app.platform()
        .json(
            "PATCH",
            "/tenants/acme",
            &json!({"quotas": {"max_bytes": null}}),
        )
        .expect(200);
    // The usage requires the scope, and is visible only to its tenant.
    acme.get("/usage").expect_error(403, "insufficient_scope");
    app.tenant("other");
    let other = app.client("other", &[Scope::TenantsRead]);
    assert_eq!(usage(&other, "/usage")["bytes"], 0);
    other
        .get("/tenants/acme/usage")
        .expect_error(404, "tenant_not_found");
    platform.get("/usage").expect_error(403, "tenant_required");
    let read = own.get("/usage").expect(200);
    assert_eq!(read.json["content"]["quotas_in_force"]["max_bytes"], 0);
    assert_eq!(
        read.json["content"]["this_server"]["concurrent_requests"],
        1
    );
}

#[test]
fn writers_that_race_on_two_servers_leave_a_count_that_is_the_truth() {
    let app = TestApp::start();
    let (acme, other) = (app.tenant("acme"), app.tenant("other"));
    let replica = app.replica();
    let there = Client::new(&replica.base, acme.token.clone());
    let clients = [&acme, &acme, &there, &there, &other];
    std::thread::scope(|scope| {
        for (writer, client) in clients.into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..40 {
                    // Few threads, so that saves, countersignatures and deletes collide.
                    let document = format!("d-{}", (round + writer) % 3);
                    let statuses = [
                        client
                            .save(&document, "t", 0, &"x".repeat(writer + round))
                            .status,
                        client.save(&document, "t", 1, "over").status,
                        client.delete(&document, "t").status,
                        client.save(&document, "t", 0, "again").status,
                    ];
                    for status in statuses {
                        assert!([200, 201, 400, 404, 409].contains(&status), "{status}");
                    }
                }
            });
        }
    });
    let (truth, count) = truth_and_count(&app);
    assert!(truth.lines().count() == 2, "{truth}");
    assert_eq!(count, truth);
}

/// The usage counters make no save wait for the commit of another.
#[test]
fn a_save_that_has_not_ended_holds_no_other_up() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("a", "t", 0, "x").expect(201);
    let mut connection = app.database.connect();
    diesel::connection::SimpleConnection::batch_execute(
        &mut connection,
        "BEGIN; INSERT INTO tenant_usage (tenant_id, bytes, threads, versions, shard)
         VALUES (1, 0, 0, 0, (pg_backend_pid() % 64)::smallint)
         ON CONFLICT (tenant_id, shard) DO UPDATE SET bytes = tenant_usage.bytes + 1",
    )
    .unwrap();
    let since = Stopwatch::start();
    for number in 0..10 {
        acme.save(&format!("b-{number}"), "t", 0, "x").expect(201);
    }
    assert!(since.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn what_was_stored_before_is_counted_by_the_migration() {
    const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
    let app = TestApp::start();
    let (acme, other) = (app.tenant("acme"), app.tenant("other"));
    app.tenant("empty");
    acme.save("a", "t", 0, "f-ur").expect(201);
    acme.save("a", "t", 1, "3-thr").expect(201);
    other.save("a", "t", 0, "x").expect(201);
    // Connects as the owner of the tables, who is subject to row-level security.
    let mut owner =
        <diesel::PgConnection as diesel::Connection>::establish(&app.database.url).unwrap();
    let is_there = "SELECT 'there' AS line WHERE to_regclass('tenant_usage') IS NOT NULL";
    while !app.database.lines(is_there).is_empty() {
        owner.revert_last_migration(MIGRATIONS).unwrap();
    }
    owner.run_pending_migrations(MIGRATIONS).unwrap();
    let (truth, count) = truth_and_count(&app);
    assert_eq!(truth.lines().count(), 2, "{truth}");
    assert_eq!(count, truth);
}
