//! Postgres itself isolates tenants: a query without its WHERE finds nothing of another tenant.

use std::io::Read as _;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, RunQueryDsl as _};
use serde_json::json;
use sigpersist::plugins::HookRequest;
use sigpersist_model::plugin::Mode;

use crate::support::guest::Guest;
use crate::support::{
    Client, REJECT, TestApp, TestDatabase, certificate_pem, eventually, sigpersist,
};

/// Tables with rows that belong to one tenant each.
const TABLES: [&str; 13] = [
    "signatures",
    "signature_versions",
    "signature_tags",
    "signature_terms",
    "hooks",
    "hook_bindings",
    "hook_judgements",
    "hook_inputs",
    "issuers",
    "keys",
    "policies",
    "trust_anchors",
    "signature_verdicts",
];

/// Creates two tenants with rows in all of these tables.
fn two_tenants(app: &TestApp) -> [Client; 2] {
    let reject = Guest {
        judge: REJECT,
        ..Guest::default()
    };
    ["acme", "evil"].map(|slug| {
        let client = app.tenant(slug);
        let body =
            json!({"document": "d", "thread": "t", "cms": format!("of {slug}"), "tags": [slug]});
        app.hook(slug, "no", &reject.component(), |_| {});
        client.post(&body).expect(422);
        let watch = |hook: &mut HookRequest| hook.mode = Mode::Monitor;
        app.set(slug, "no", "no", watch).unwrap();
        client.post(&body).expect(201);
        let operator = app.operator(slug);
        operator
            .json("PATCH", "/policy", &json!({"record_verdicts": true}))
            .expect(200);
        let pem = certificate_pem(include_str!("../data/verify/ca.crt.b64"));
        operator
            .json("POST", "/trust-anchors", &json!({"pem": pem}))
            .expect(201);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let issuer = json!({"name": "id", "issuer": slug, "audiences": ["a"], "jwks": {"keys": [jwk]}});
        let admin = app.platform_for(slug);
        admin.json("POST", "/issuers", &issuer).expect(201);
        client
            .json(
                "POST",
                "/signature/verify",
                &json!({"document": "d", "thread": "t"}),
            )
            .expect(201);
        client
    })
}

/// A connection like the server's: under its role, for this tenant.
fn session(database: &TestDatabase, tenant: &str) -> PgConnection {
    let mut connection = PgConnection::establish(&database.url).unwrap();
    connection
        .batch_execute(&format!(
            "SET ROLE sigpersist_server; SET sigpersist.tenant = '{tenant}'"
        ))
        .unwrap();
    connection
}

fn count(connection: &mut PgConnection, what: &str) -> i64 {
    diesel::select(diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!(
        "(SELECT count(*) FROM {what})"
    )))
    .get_result(connection)
    .unwrap()
}

#[test]
fn a_query_that_forgets_its_where_finds_nothing_of_anothers() {
    let app = TestApp::start();
    two_tenants(&app);
    let [acme, evil] = ["acme", "evil"].map(|slug| app.tenant_id(slug));
    let mut all = app.database.connect();
    for table in TABLES {
        for (tenant, other) in [(acme, evil), (evil, acme)] {
            let own = count(&mut all, &format!("{table} WHERE tenant_id = {tenant}"));
            assert!(own > 0, "{table} has nothing to be found");
            let mut session = session(&app.database, &tenant.to_string());
            assert_eq!(count(&mut session, table), own, "{table}");
            let others = format!("{table} WHERE tenant_id = {other}");
            assert_eq!(count(&mut session, &others), 0, "{table}");
        }
        // A session without a tenant sees nothing, nor does one of a tenant that does not exist.
        for nobody in ["", "2147483647"] {
            assert_eq!(
                count(&mut session(&app.database, nobody), table),
                0,
                "{table}"
            );
        }
        // The owner of the tables is bound too, even without the role and without a tenant.
        let mut owner = PgConnection::establish(&app.database.url).unwrap();
        assert_eq!(count(&mut owner, table), 0, "{table}");
    }
}

#[test]
fn nobody_writes_rows_of_another_tenants() {
    let app = TestApp::start();
    two_tenants(&app);
    let [acme, evil] = ["acme", "evil"].map(|slug| app.tenant_id(slug));
    let mut session = session(&app.database, &acme.to_string());
    let before: Vec<_> = TABLES.map(|table| app.database.dump(table)).into();
    let policy = "row-level security policy";
    for (refused, why) in [
        (
            format!(
                "INSERT INTO signatures (tenant_id, document, thread, version) VALUES ({evil}, 'x', 'x', 1)"
            ),
            policy,
        ),
        (format!("UPDATE signatures SET tenant_id = {evil}"), policy),
        (
            format!(
                "INSERT INTO signature_tags SELECT {evil}, signature_id, created_at, 'x' FROM signature_tags"
            ),
            policy,
        ),
        (
            format!(
                "INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions)
                 SELECT {evil}, version, operation, outcome, document, thread, input_sha256, input, decisions FROM hook_judgements"
            ),
            policy,
        ),
        (
            format!(
                "INSERT INTO keys (tenant_id, kid, algorithm, public_key) VALUES ({evil}, 'x', 'RS256', 'x')"
            ),
            policy,
        ),
        (
            format!(
                "INSERT INTO trust_anchors (tenant_id, sha256, certificate) VALUES ({evil}, 'x', 'x')"
            ),
            policy,
        ),
        (
            "UPDATE signature_verdicts SET verdict = '{}'".to_owned(),
            "permission denied",
        ),
        // Updates of append-only tables, tables that the role does not own, and ways out of the role.
        (
            "UPDATE signature_versions SET comment = 'x'".to_owned(),
            "permission denied",
        ),
        (
            "UPDATE audit_events SET action = 'x'".to_owned(),
            "permission denied",
        ),
        ("DELETE FROM audit_events".to_owned(), "permission denied"),
        ("TRUNCATE signatures CASCADE".to_owned(), "permission denied"),
        (
            "ALTER TABLE signatures DISABLE ROW LEVEL SECURITY".to_owned(),
            "must be owner",
        ),
        ("DROP POLICY own ON signatures".to_owned(), "must be owner"),
        (
            "SET row_security = off; SELECT count(*) FROM signatures".to_owned(),
            policy,
        ),
        (
            "ALTER ROLE sigpersist_server BYPASSRLS".to_owned(),
            "must be superuser",
        ),
    ] {
        let error = session.batch_execute(&refused).unwrap_err().to_string();
        assert!(error.contains(why), "{refused}: {error}");
    }
    session.batch_execute("SET row_security = on").unwrap();
    for unseen in [
        format!("UPDATE signatures SET stage = 'x' WHERE tenant_id = {evil}"),
        format!("DELETE FROM signatures WHERE tenant_id = {evil}"),
        format!("DELETE FROM tenants WHERE id = {evil}"),
    ] {
        session.batch_execute(&unseen).unwrap();
    }
    let after: Vec<_> = TABLES.map(|table| app.database.dump(table)).into();
    assert_eq!(before, after);
}

#[test]
fn the_server_has_no_more_rights_than_its_role() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    // The server logs in as the owner of all tables, but can't read a table that its role may not read.
    let revoke = "REVOKE SELECT ON signatures FROM sigpersist_server";
    app.database.execute(revoke);
    acme.read("d", "t").expect_error(500, "internal");
    app.database
        .execute(&revoke.replace("REVOKE", "GRANT").replace("FROM", "TO"));
    acme.read("d", "t").expect(200);
    let role = app.database.lines(
        "SELECT concat_ws(' ', rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolcanlogin) AS line
         FROM pg_roles WHERE rolname = 'sigpersist_server'",
    );
    assert_eq!(role.trim(), "f f f f f");
    let owned = app.database.lines(
        "SELECT relname::text AS line FROM pg_class WHERE pg_get_userbyid(relowner) = 'sigpersist_server'",
    );
    assert_eq!(owned, "");
}

/// A login that may not create roles is told which statements somebody else must run, and needs nothing more.
#[test]
fn a_login_without_rights_is_told_what_to_ask_for() {
    let database = TestDatabase::empty();
    let login = format!("login_{}", std::process::id());
    database.execute(&format!(
        "CREATE ROLE {login} LOGIN; GRANT ALL ON SCHEMA public TO {login}"
    ));
    let url = database
        .url
        .replace("user=sigpersist", &format!("user={login}"));
    let migrate = || {
        sigpersist(database.folder.path(), &["migrate"])
            .env("DATABASE_URL", &url)
            .output()
            .unwrap()
    };
    let refused = migrate();
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success());
    let advice = format!("GRANT sigpersist_server TO \"{login}\"");
    assert!(text.contains(&advice), "{text}");
    database.execute(&advice);
    let done = migrate();
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}");
    database.execute(&format!("DROP OWNED BY {login} CASCADE; DROP ROLE {login}"));
}

/// One connection serves two tenants in turn through errors, timeouts and disconnections, which a trigger causes.
#[test]
fn a_pooled_connection_never_carries_a_tenant_into_anothers_request() {
    let app = TestApp::start_with(|config| {
        config.database.pool_size = 1;
        config.database.statement_timeout_ms = 300;
    });
    let [acme, evil] = two_tenants(&app);
    app.database.execute(
        "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.document = 'error' THEN RAISE EXCEPTION 'in the middle'; END IF;
             IF NEW.document = 'slow' THEN PERFORM pg_sleep(0.15); END IF;
             IF NEW.document = 'endless' THEN PERFORM pg_sleep(60); END IF;
             IF NEW.document = 'killed' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
             RETURN NEW;
         END $$;
         ALTER FUNCTION stumble() OWNER TO postgres; ALTER FUNCTION stumble() SECURITY DEFINER;
         CREATE TRIGGER stumble BEFORE INSERT ON signatures FOR EACH ROW EXECUTE FUNCTION stumble()",
    );
    let backend = || {
        app.database.lines(
            "SELECT pid::text AS line FROM pg_stat_activity WHERE usename = 'sigpersist' AND query NOT LIKE '%change%'
             AND query NOT LIKE 'LISTEN%' AND query NOT LIKE '%schema_migrations%' AND datname = current_database()",
        )
    };
    let undisturbed = |client: &Client, slug: &str| {
        let listed = client.get("/signatures?count=true").expect(200);
        let own = listed
            .signatures()
            .iter()
            .all(|signature| signature["tags"] == json!([slug]));
        assert!(own, "{}", listed.text);
        assert_eq!(
            client.read("d", "t").expect(200).signature()["signature"],
            format!("of {slug}")
        );
    };
    let first = backend();
    for (document, statuses) in [
        ("fine", [201].as_slice()),
        ("error", &[500]),
        ("endless", &[503]),
    ] {
        let body = json!({"document": document, "thread": "t", "cms": "x", "tags": ["acme"]});
        let status = acme.post(&body).status;
        assert!(statuses.contains(&status), "{document}: {status}");
        undisturbed(&evil, "evil");
        undisturbed(&acme, "acme");
        // It is still the same connection.
        assert_eq!(backend(), first, "{document}");
    }
    // A client that disconnects during its save: the save is still made for its tenant, and the next request for the
    // other.
    hang_up(
        &acme,
        &json!({"document": "slow", "thread": "t", "cms": "x", "tags": ["acme"]}),
    );
    undisturbed(&evil, "evil");
    eventually(|| acme.read("slow", "t").status == 200);
    evil.read("slow", "t")
        .expect_error(404, "signature_not_found");
    // A lost connection is replaced by a new one, which gets role and tenant again.
    let killed = acme.save("killed", "t", 0, "x");
    assert_eq!(killed.status, 503, "{}", killed.text);
    eventually(|| evil.read("d", "t").status == 200);
    undisturbed(&evil, "evil");
    undisturbed(&acme, "acme");
}

/// Sends a save and disconnects before the answer.
fn hang_up(client: &Client, body: &serde_json::Value) {
    let mut stream = client.begin_save(body);
    stream
        .set_read_timeout(Some(Duration::from_millis(60)))
        .unwrap();
    assert!(stream.read(&mut [0]).is_err(), "it was answered too soon");
}

/// Many tenants over few connections: each sees its own data, whoever used the connection before.
#[test]
fn many_tenants_share_few_connections() {
    let app = TestApp::start_with(|config| config.database.pool_size = 2);
    let tenants: Vec<_> = (0..8)
        .map(|number| (number, app.tenant(&format!("tenant-{number}"))))
        .collect();
    std::thread::scope(|scope| {
        for (number, client) in &tenants {
            scope.spawn(move || {
                for version in 0..25 {
                    let text = format!("{number} over {version}");
                    client.save("d", "t", version, &text).expect(201);
                    let read = client.read("d", "t").expect(200);
                    assert_eq!(read.signature()["signature"], text);
                }
            });
        }
    });
}
