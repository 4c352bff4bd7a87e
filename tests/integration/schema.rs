//! The database schema that the migrations create.

use crate::plans::{in_one_line, statement};
use crate::support::TestApp;

#[test]
fn every_table_column_and_function_says_what_it_is() {
    let app = TestApp::start();
    let silent = app.database.lines(
        "SELECT c.relname || coalesce('.' || a.attname, '') AS line
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0 OR a.attrelid = c.oid AND false
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE '\\_\\_diesel%'
           AND a.attnum > 0 AND NOT a.attisdropped
           AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid) IS NULL)",
    );
    assert_eq!(silent, "");
    let silent = app.database.lines(
        "SELECT oid::regprocedure::text AS line FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND proname NOT LIKE 'diesel\\_%' AND obj_description(oid, 'pg_proc') IS NULL",
    );
    assert_eq!(silent, "");
}

/// Only the audit trail outlives its tenant. The logs have no foreign keys, which each save would check: a removal deletes
/// their rows, and the sequencer adds none for a tenant that is gone.
#[test]
fn tenant_owned_tables_lead_their_key_with_the_tenant_and_cascade_from_their_parent() {
    let app = TestApp::start();
    let tables = app.database.lines(
        "SELECT table_name::text AS line FROM information_schema.columns NATURAL JOIN information_schema.tables
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name = 'tenant_id' AND is_nullable = 'NO'
           AND table_name NOT IN ('audit_events', 'audit_heads', 'audit_imported', 'audit_seals')
           AND table_name NOT LIKE 'log\\_%' ORDER BY 1",
    );
    assert_eq!(
        tables.lines().collect::<Vec<_>>(),
        [
            "hook_bindings",
            "hook_inputs",
            "hook_judgements",
            "hooks",
            "issuers",
            "policies",
            "signature_tags",
            "signature_terms",
            "signature_verdicts",
            "signature_versions",
            "signatures",
            "tenant_usage",
            "trust_anchors",
            "webhook_attempts",
            "webhook_pending",
            "webhooks"
        ]
    );
    for table in tables.lines() {
        let keys = app.database.lines(&format!(
            "SELECT pg_get_constraintdef(oid) AS line FROM pg_constraint WHERE conrelid = '{table}'::regclass"
        ));
        // A tenant has only one policy.
        let leads = match table {
            "policies" => "PRIMARY KEY (tenant_id)",
            _ => "PRIMARY KEY (tenant_id, ",
        };
        assert!(keys.contains(leads), "{table}: {keys}");
        let cascades = keys.lines().any(|key| {
            key.starts_with("FOREIGN KEY (tenant_id") && key.ends_with("ON DELETE CASCADE")
        });
        assert!(cascades, "{table}: {keys}");
    }
}

/// Postgres isolates every table with an owner: a new table must be under forced row-level security, or be listed here.
#[test]
fn every_table_that_is_somebodys_is_under_forced_row_level_security() {
    const NOBODYS: [&str; 2] = ["__diesel_schema_migrations", "change_counter"];
    let app = TestApp::start();
    let tables = app.database.lines(
        "SELECT relname::text AS line FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace",
    );
    for table in tables.lines().filter(|table| !NOBODYS.contains(table)) {
        let forced = app.database.lines(&format!(
            "SELECT (relrowsecurity AND relforcerowsecurity)::text AS line FROM pg_class WHERE oid = '{table}'::regclass"
        ));
        assert_eq!(forced.trim(), "true", "{table}");
        let policies = app.database.lines(&format!(
            r"SELECT regexp_replace(concat_ws(' ', policyname, qual, with_check), '\s+', ' ', 'g') AS line
              FROM pg_policies WHERE tablename = '{table}'"
        ));
        assert!(policies.contains("current_tenant()"), "{table}: {policies}");
        for policy in policies.lines() {
            // A plugin revision belongs to the owner of its plugin, whose table has policies of its own.
            let limited = policy.contains("current_tenant()")
                || (table == "plugin_revisions" && policy.contains("FROM plugins p"));
            assert!(limited, "{table}: {policy}");
        }
    }
}

/// The generated `schema.rs` names each column of the migrated database, in order.
#[test]
fn the_generated_schema_is_that_of_the_database() {
    let app = TestApp::start();
    let source = include_str!("../../crates/store/src/schema.rs");
    let mut generated = Vec::new();
    let mut table = "";
    for line in source.lines().map(str::trim) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with(") {")) {
            table = name;
        } else if let Some((column, _)) = line
            .split_once(" -> ")
            .filter(|_| !line.starts_with("diesel::"))
        {
            generated.push(format!("{table}.{column}"));
        }
    }
    let actual = app.database.lines(
        "SELECT table_name || '.' || column_name AS line
         FROM information_schema.columns NATURAL JOIN information_schema.tables
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> '__diesel_schema_migrations'
         ORDER BY table_name COLLATE \"C\", ordinal_position",
    );
    assert_eq!(generated, actual.lines().collect::<Vec<_>>());
}

/// A new version of a thread changes no index of it: the update of its row stays on its page.
#[test]
fn saving_a_version_touches_as_few_index_entries_as_can_be() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    for version in 0..50 {
        let body = serde_json::json!({
            "document": "d", "thread": "t", "version": version, "cms": format!("over {version}"), "tags": ["a", "b"],
        });
        acme.post(&body).expect(201);
    }
    let mut counts = String::new();
    // Postgres publishes the counters once the connections that made them are idle or closed.
    for _ in 0..50 {
        app.database.execute("SELECT pg_stat_clear_snapshot()");
        counts = app.database.lines(
            "SELECT relname || ' ' || n_tup_ins || ' ' || n_tup_upd || ' ' || n_tup_hot_upd || ' ' || n_tup_del AS line
             FROM pg_stat_user_tables WHERE relname LIKE 'signature%' ORDER BY 1",
        );
        if counts.contains("signature_versions 50") && counts.contains("signatures 1 49") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(
        counts.lines().collect::<Vec<_>>(),
        [
            "signature_tags 2 0 0 0",
            "signature_terms 0 0 0 0",
            "signature_verdicts 0 0 0 0",
            "signature_versions 50 0 0 0",
            "signatures 1 49 49 0"
        ]
    );
}

/// The benchmarks compare the server with pgbench running the same SQL, so the SQL must stay the same.
#[test]
fn the_benchmarks_statements_are_the_servers() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    acme.save("d", "t", 0, "x").expect(201);
    let save = [
        "1",
        "'bench-' || :client_id || '-' || random()::text",
        "'bench'",
        "0",
        "false",
        "NULL",
        "NULL",
        "NULL",
        ":tags",
        "'b'",
        "sha256(:signature::bytea)",
        ":signature",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "false",
        "uuid_send(gen_random_uuid())",
        "sha256('seal')",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        ":signers",
        "NULL",
    ];
    assert_eq!(
        script(include_str!("../../bench/save.sql")),
        statement(&app, "SELECT id, version", &save)
    );
    acme.read("d", "t").expect(200);
    let get = ["1", "lpad(:number::text, 10, '0')", "'stored'", "1"];
    assert_eq!(
        script(include_str!("../../bench/get.sql")),
        statement(&app, r#"SELECT "signatures"."id""#, &get)
    );
}

/// A pgbench script without comments and meta commands.
fn script(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("--") && !line.starts_with('\\'));
    let statement = in_one_line(&lines.collect::<Vec<_>>().join(" "));
    statement.trim_end_matches(';').to_owned()
}
