//! Keys beside a server of the release before, which reads and writes them in two tables, `tenant_keys` and
//! `platform_keys`. Its statements are copied here. This file goes with the views.

use diesel::PgConnection;
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::support::{TestApp, TestDatabase, eventually};

/// The older server's query of all keys.
const KEYS: &str = "(SELECT t.id AS tenant_id, t.slug, t.suspended_at IS NOT NULL AS tenant_suspended, \
         k.kid, k.algorithm, k.encrypted_secret, k.public_key, k.created_at, k.not_before, k.expires_at, k.revoked_at \
     FROM tenant_keys k JOIN tenants t ON t.id = k.tenant_id \
     UNION ALL \
     SELECT 0, NULL, false, kid, algorithm, encrypted_secret, public_key, created_at, not_before, expires_at, revoked_at \
     FROM platform_keys) AS keys";

/// A connection of the older server that acts for this tenant; 0 is the platform.
fn older(database: &TestDatabase, tenant: u32) -> PgConnection {
    let mut connection = database.connect();
    connection
        .batch_execute(&format!(
            "SET ROLE sigpersist_server; SET sigpersist.tenant = '{tenant}'"
        ))
        .unwrap();
    connection
}

/// The keys that the older server sees: owner, name, and whether they are revoked.
fn seen(connection: &mut PgConnection) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Line {
        #[diesel(sql_type = diesel::sql_types::Text)]
        line: String,
    }
    let query = diesel::sql_query(format!(
        "SELECT concat_ws(' ', tenant_id, kid, revoked_at IS NOT NULL) AS line FROM {KEYS} ORDER BY 1"
    ));
    let lines = diesel::RunQueryDsl::load::<Line>(query, connection).unwrap();
    lines.into_iter().map(|line| line.line).collect()
}

fn changes(database: &TestDatabase) -> u64 {
    let changes = database.lines("SELECT changes::text AS line FROM change_counter");
    changes.trim().parse().unwrap()
}

#[test]
fn an_older_server_and_a_newer_one_see_each_others_keys() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.tenant("other");
    let platform = app.platform();
    let mut older = older(&app.database, 0);
    let before = seen(&mut older);
    assert_eq!(before.len(), 3, "{before:?}");
    // The newer server adds keys, and the older one sees them.
    for keys in ["/keys", "/tenants/acme/keys"] {
        let kid = format!("new{}", keys.len());
        platform
            .json("POST", keys, &json!({"kid": kid}))
            .expect(201);
    }
    let added: Vec<_> = seen(&mut older)
        .into_iter()
        .filter(|key| !before.contains(key))
        .collect();
    assert_eq!(added, ["0 new5 f", "1 new18 f"]);
    platform
        .json("POST", "/tenants/acme/keys/new18/revoke", &json!({}))
        .expect(200);
    assert!(seen(&mut older).contains(&"1 new18 t".to_owned()));
    // The older server adds keys, and the newer one sees them.
    let count = changes(&app.database);
    older
        .batch_execute(
            "INSERT INTO tenant_keys (tenant_id, kid, algorithm, encrypted_secret, public_key, not_before, expires_at, created_at)
             SELECT 1, 'of-acme', 'ES256', NULL, 'PEM', NULL, NULL, coalesce(NULL, now()) WHERE 1 >= 0;
             INSERT INTO platform_keys (kid, algorithm, encrypted_secret, public_key, not_before, expires_at, created_at)
             SELECT 'of-platform', 'ES256', NULL, 'PEM', NULL, NULL, coalesce(NULL, now()) WHERE 0 >= 0",
        )
        .unwrap();
    assert_eq!(changes(&app.database), count + 2);
    platform.get("/tenants/acme/keys/of-acme").expect(200);
    platform.get("/keys/of-platform").expect(200);
    platform
        .get("/keys/of-acme")
        .expect_error(404, "key_not_found");
    // A name is taken in both.
    let again = older.batch_execute(
        "INSERT INTO platform_keys (kid, algorithm, public_key) VALUES ('of-acme', 'ES256', 'PEM')",
    );
    assert!(again.is_err());
    // A rotation of the master key, and revocations.
    older
        .batch_execute(
            "UPDATE tenant_keys SET encrypted_secret = encrypted_secret WHERE tenant_id = 1 AND encrypted_secret IS NOT NULL;
             UPDATE tenant_keys SET revoked_at = now() WHERE tenant_id = 1 AND revoked_at IS NULL",
        )
        .unwrap();
    eventually(|| acme.read("d", "t").status == 401);
    platform.get("/keys").expect(200);
    older
        .batch_execute("UPDATE platform_keys SET revoked_at = now() WHERE 0 = 0 AND kid <> 'new5'")
        .unwrap();
    eventually(|| platform.get("/keys").status == 401);
    // The removal of a tenant.
    let mut of_tenant = self::older(&app.database, 2);
    of_tenant
        .batch_execute(
            "DELETE FROM tenant_keys WHERE ctid = ANY (ARRAY(SELECT ctid FROM tenant_keys WHERE tenant_id = 2 LIMIT 10))",
        )
        .unwrap();
    assert!(!seen(&mut older).iter().any(|key| key.starts_with("2 ")));
    assert_eq!(
        app.database
            .lines("SELECT count(*)::text AS line FROM keys")
            .trim(),
        "6"
    );
}

#[test]
fn the_older_names_show_a_tenant_its_own_keys_only() {
    let app = TestApp::start();
    app.tenant("acme");
    app.tenant("other");
    app.platform();
    let mut of_acme = older(&app.database, 1);
    let count = |connection: &mut PgConnection, condition: &str| {
        connection.batch_execute(&format!("SELECT 1 / ({condition})::integer"))
    };
    count(&mut of_acme, "(SELECT count(*) FROM tenant_keys) = 1").unwrap();
    count(
        &mut of_acme,
        "(SELECT count(*) FROM tenant_keys WHERE tenant_id = 2) = 0",
    )
    .unwrap();
    count(&mut of_acme, "(SELECT count(*) FROM platform_keys) = 0").unwrap();
    for statement in [
        "INSERT INTO tenant_keys (tenant_id, kid, algorithm, public_key) VALUES (2, 'x', 'ES256', 'x')",
        "INSERT INTO platform_keys (kid, algorithm, public_key) VALUES ('x', 'ES256', 'x')",
        "UPDATE tenant_keys SET tenant_id = 2",
        "UPDATE tenant_keys SET tenant_id = NULL",
    ] {
        let refused = of_acme.batch_execute(statement).unwrap_err().to_string();
        let words = ["row-level security", "check option"];
        assert!(
            words.iter().any(|words| refused.contains(words)),
            "{statement}: {refused}"
        );
    }
    let before = app.database.dump("keys");
    of_acme
        .batch_execute("DELETE FROM tenant_keys WHERE tenant_id = 2; DELETE FROM platform_keys")
        .unwrap();
    assert_eq!(app.database.dump("keys"), before);
}
