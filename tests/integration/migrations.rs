//! Migrations: each can be reverted alone, an old server keeps working beside a newer schema, and objects that
//! Sigpersist did not create are left alone.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::migration::{Migration, MigrationSource as _};
use diesel::pg::Pg;
use diesel::{Connection as _, PgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use crate::support::{Balancer, Client, Program, TestDatabase, assert_success, tenant_token};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// Rows of each kind, keyed by the end of the name of the migration that adds their tables or columns.
const ROWS: [(&str, &str); 10] = [
    (
        "create_tenants_and_signatures",
        r"INSERT INTO tenants (slug, name) VALUES ('acme', 'Acme'), ('other', 'Other');
          INSERT INTO tenant_keys (tenant_id, kid, algorithm, encrypted_secret) VALUES (1, 'shared', 'HS256', '\x01');
          INSERT INTO tenant_keys (tenant_id, kid, algorithm, public_key) VALUES (2, 'public', 'ES256', 'PEM');
          INSERT INTO signatures (tenant_id, version, document, thread, stage) VALUES (1, 2, 'd', 't', 'draft'), (2, 1, 'd', 't', NULL);
          INSERT INTO signature_versions (tenant_id, version, signature_id, encoding, sha256, tags, signature)
          VALUES (1, 1, 1, 'b', '\x01', '{a}', 'one'), (1, 2, 1, 't', '\x02', '{a,b}', 'three'), (2, 1, 2, 'b', '\x03', '{}', 'x');
          INSERT INTO signature_tags (tenant_id, signature_id, created_at, tag) VALUES (1, 1, now(), 'a'), (1, 1, now(), 'b')",
    ),
    (
        "create_plugins_and_hooks",
        "INSERT INTO plugins (tenant_id, name) VALUES (NULL, 'shared'), (1, 'own');
         INSERT INTO plugin_revisions (plugin_id, sha256, component, exports, imports, description)
         VALUES (1, sha256('one'), 'one', '{tagger}', '{}', ''), (2, sha256('two'), 'two', '{}', '{log}', 'Two');
         INSERT INTO hooks (tenant_id, name, plugin_id, sha256, position, mode, on_failure, timeout_ms, settings)
         VALUES (1, 'first', 1, sha256('one'), 1, 'enforce', 'reject', 100, '{}'),
                (1, 'second', 2, sha256('two'), 2, 'monitor', 'allow', 50, '[1]'),
                (2, 'first', 1, sha256('one'), 0, 'enforce', 'reject', 100, '{}')",
    ),
    (
        "create_platform_keys_and_audit",
        r#"INSERT INTO platform_keys (kid, algorithm, encrypted_secret) VALUES ('platform', 'HS256', '\x02');
           INSERT INTO audit_events (tenant_id, at, actor_kind, actor, request_id, action, target, details)
           VALUES (NULL, now(), 'command', 'root', NULL, 'plugin.upload', 'shared', '{"before": null, "after": {"x": [1, null]}}'),
                  (1, now() + interval '1 s', 'tenant', 'eve', 'r', 'hook.set', 'first', '{"before": {"y": 1.50}, "after": null}'),
                  (1, now() + interval '2 s', 'server', NULL, NULL, 'hook.quarantine', 'first', '{"before": "a", "after": "b"}')"#,
    ),
    (
        "record_decisions",
        r"INSERT INTO hook_judgements (tenant_id, version, operation, outcome, document, thread, input_sha256, input, decisions)
          VALUES (1, 1, 'save', 'saved', 'd', 't', '\x01', '{}', '[]');
          INSERT INTO hook_inputs (tenant_id, sha256, encoding, signature) VALUES (1, sha256('one'), 'b', 'one')",
    ),
    (
        "give_keys_a_life",
        r"UPDATE tenant_keys SET expires_at = now() + interval '1 day';
          INSERT INTO tenant_keys (tenant_id, kid, algorithm, encrypted_secret, public_key) VALUES (1, 'pair', 'ES256', '\x01', 'PEM');
          INSERT INTO master_key (current) VALUES ('\x01')",
    ),
    (
        "judge_signatures",
        r"INSERT INTO policies (tenant_id, accept, record_verdicts) VALUES (1, 'cms', true);
          INSERT INTO trust_anchors (tenant_id, sha256, certificate) VALUES (1, '\x01', '\x02');
          INSERT INTO signature_verdicts (tenant_id, version, signature_id, bytes, verdict) VALUES (1, 1, 1, 2, '{}')",
    ),
    (
        "seal_the_audit_trail",
        r"INSERT INTO audit_keys (number, encrypted_key) VALUES (1, '\x01');
          INSERT INTO audit_seals (tenant_id, number, key, baseline, seal) VALUES (0, 1, 1, true, '\x02'), (1, 1, 1, false, '\x03')",
    ),
    (
        "let_the_audit_trail_travel",
        r#"INSERT INTO audit_imported (tenant_id, part, number, at, tenant, source_id, source, actor_kind, action, target, after, previous, hash)
           VALUES (1, 1, 1, now(), 'acme', 7, 'other', 'server', 'a', 't', '{"x": 1.50}', '\x01', '\x02')"#,
    ),
    (
        "let_logs_arrive",
        r"INSERT INTO log_arrivals (tenant_id) VALUES (1);
          INSERT INTO log_imported_keys VALUES (1, 1, now(), now(), '\x01')",
    ),
    (
        "trust_issuers",
        r#"INSERT INTO issuers (tenant_id, name, issuer, jwks, rules)
           VALUES (1, 'id', 'https://id', NULL, '{"audiences": ["a"]}'), (2, 'id', 'urn:id', '{}', '{"audiences": ["b"]}')"#,
    ),
];

/// All rows of all tables, with columns in any order, except the change counter, which only grows.
fn rows(database: &TestDatabase) -> Vec<String> {
    let tables = database.lines(
        "SELECT relname::text AS line FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
         AND relname NOT IN ('__diesel_schema_migrations', 'change_counter')",
    );
    let of_table = |table: &str| {
        database.lines(&format!(
            "SELECT '{table} ' || to_jsonb(t)::text AS line FROM {table} t"
        ))
    };
    let rows: String = tables.lines().map(of_table).collect();
    rows.lines().map(str::to_owned).collect()
}

#[test]
fn each_migration_reverses_by_itself_and_keeps_what_is_stored() {
    let database = TestDatabase::empty();
    // Connects as the owner of the tables, who is subject to row-level security.
    let mut connection = PgConnection::establish(&database.url).unwrap();
    let mut migrations: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS.migrations().unwrap();
    migrations.sort_by_key(|migration| migration.name().to_string());
    // Diesel creates its own table at the first query about migrations.
    assert!(connection.applied_migrations().unwrap().is_empty());
    let mut unused = ROWS.len();
    for migration in &migrations {
        let name = migration.name().to_string();
        let before = (database.schema(), rows(&database));
        connection.run_migration(migration).unwrap();
        let after = database.schema();
        assert_ne!(after, before.0, "{name} does nothing");
        connection.revert_migration(migration).unwrap();
        let lost = difference(&before.0, &database.schema());
        assert_eq!(lost, "", "{name} does not reverse");
        assert_eq!(difference(&before.1, &rows(&database)), "", "{name}");
        connection.run_migration(migration).unwrap();
        assert_eq!(difference(&after, &database.schema()), "", "{name}");
        for (_, insert) in ROWS.iter().filter(|(of, _)| name.ends_with(of)) {
            database.execute(insert);
            unused -= 1;
        }
    }
    assert_eq!(unused, 0, "a migration has another name");
    let before = database.schema();
    connection.revert_all_migrations(MIGRATIONS).unwrap();
    assert_eq!(
        difference(&TestDatabase::empty().schema(), &database.schema()),
        ""
    );
    connection.run_pending_migrations(MIGRATIONS).unwrap();
    assert_eq!(difference(&before, &database.schema()), "");
}

/// The lines that are in only one of the two.
fn difference(before: &[String], after: &[String]) -> String {
    let missing = before.iter().filter(|statement| !after.contains(statement));
    let added = after.iter().filter(|statement| !before.contains(statement));
    let missing = missing.map(|statement| format!("- {statement}\n"));
    missing
        .chain(added.map(|statement| format!("+ {statement}\n")))
        .collect()
}

/// Asserts that a command refuses the database with this exit code and message, and changes nothing in it.
#[track_caller]
fn refused(database: &TestDatabase, arguments: &[&str], code: i32, words: &str) {
    let before = (database.schema(), rows(database));
    let output: Output = database.command(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(words), "{arguments:?}: {text}");
    assert_eq!(difference(&before.0, &database.schema()), "", "{text}");
    assert_eq!(difference(&before.1, &rows(database)), "", "{text}");
}

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];
const SERVE_ONLY: [&str; 4] = ["serve", "--listen", "127.0.0.1:0", "--no-migrate"];

#[test]
fn an_old_server_goes_on_beside_a_newer_schema_and_a_newer_server() {
    let database = TestDatabase::new();
    let token = tenant_token(|arguments| database.run(arguments));
    let serve = || {
        let mut command = database.command(&SERVE_ONLY);
        command.stderr(Stdio::null());
        Program::start(command)
    };
    let older = [serve()];
    let alone = Balancer::new(&older, &token);
    // A change that the rules for migrations allow: existing data keeps its meaning, and additions are optional.
    let (mut threads, ()) = alone.load("during", || {
        let mut connection = PgConnection::establish(&database.url).unwrap();
        connection
            .batch_execute(
                "SET lock_timeout = '2s'; BEGIN;
                 ALTER TABLE signatures ADD COLUMN closed_at timestamptz;
                 ALTER TABLE signature_versions ADD COLUMN language text;
                 ALTER TABLE signature_versions ADD CONSTRAINT signature_versions_language_check
                     CHECK (language <> '') NOT VALID;
                 CREATE TABLE translations (tenant_id integer NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
                     language text NOT NULL, PRIMARY KEY (tenant_id, language));
                 GRANT SELECT, INSERT ON translations TO sigpersist_server;
                 COMMIT;
                 ALTER TABLE signature_versions VALIDATE CONSTRAINT signature_versions_language_check",
            )
            .unwrap();
    });
    // This server stands for a newer version, which knows a migration that the older one does not.
    let newer = serve();
    database.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('29990101000000')");
    let [older] = older;
    let servers = [older, newer];
    let both = Balancer::new(&servers, &token);
    let (saved, ()) = both.load("after", || {
        // Longer than the interval at which servers check the schema.
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(5) {
            for server in &servers {
                let anybody = Client::new(&server.base, None);
                drop(anybody.get("/health/ready").expect(200));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    threads.extend(saved);
    for thread in &threads {
        both.check(thread, 3);
    }
    println!(
        "{} saves acknowledged beside a newer schema, all there; answers: {} and {}",
        threads.len() * 3,
        alone.check_statuses(),
        both.check_statuses()
    );
    drop(servers);
    // Once stopped, the older version does not start again.
    for arguments in [&SERVE[..], &SERVE_ONLY, &["migrate"], &["tenant", "list"]] {
        refused(
            &database,
            arguments,
            1,
            "the migration 29990101000000, which this program does not know: the program is too old for this database",
        );
    }
}

#[test]
fn what_somebody_else_has_made_is_left_as_it_is() {
    // One table that the first migration creates, and one that only a later migration creates.
    for table in ["signatures", "trust_anchors"] {
        let database = TestDatabase::empty();
        database.execute(&format!(
            "CREATE TABLE {table} (name text); INSERT INTO {table} VALUES ('mine')"
        ));
        for arguments in [&SERVE[..], &["migrate"]] {
            refused(&database, arguments, 1, "that Sigpersist did not create");
        }
        refused(&database, &SERVE_ONLY, 1, "Run `sigpersist migrate`");
        let made = "SELECT to_regclass('__diesel_schema_migrations')::text AS line WHERE \
                    to_regclass('__diesel_schema_migrations') IS NOT NULL";
        assert_eq!(database.lines(made), "");
    }
    let database = TestDatabase::new();
    database.execute("UPDATE __diesel_schema_migrations SET version = 'other' || version");
    for arguments in [&SERVE[..], &SERVE_ONLY, &["migrate"]] {
        refused(&database, arguments, 1, "the migrations of another program");
    }
}

#[test]
fn a_schema_that_is_not_whole_is_refused() {
    for damage in [
        "DROP TABLE signature_tags",
        "ALTER TABLE signature_versions DROP COLUMN comment",
        "REVOKE SELECT ON policies FROM sigpersist_server",
    ] {
        let database = TestDatabase::new();
        database.execute(damage);
        for arguments in [&SERVE[..], &SERVE_ONLY, &["migrate"], &["tenant", "list"]] {
            refused(&database, arguments, 1, "differs from its migrations");
        }
    }
}

#[test]
fn a_migration_does_not_wait_for_long_and_can_be_tried_again() {
    let database = TestDatabase::new();
    let mut connection = database.connect();
    // Reverts to before a migration that changes these tables.
    while !connection
        .revert_last_migration(MIGRATIONS)
        .unwrap()
        .to_string()
        .starts_with("20261126000002")
    {}
    // Another transaction writes and does not commit.
    connection
        .batch_execute("BEGIN; LOCK TABLE tenants, signatures IN ROW EXCLUSIVE MODE")
        .unwrap();
    let since = Instant::now();
    refused(&database, &["migrate"], 3, "waited too long for a table");
    assert!(since.elapsed() < Duration::from_secs(30));
    connection.batch_execute("COMMIT").unwrap();
    assert!(database.run(&["migrate"]).contains("Ran the migrations"));
}

#[test]
fn a_dump_comes_back_whole() {
    let (database, copy) = (TestDatabase::new(), TestDatabase::empty());
    let token = tenant_token(|arguments| database.run(arguments));
    let servers = [Program::serve_on(&database, &[])];
    let (threads, ()) = Balancer::new(&servers, &token).load("dumped", || {});
    drop(servers);
    let file = database.folder.path().join("dump");
    let dump = |url: &str| {
        let mut dump = Command::new(database.program("pg_dump"));
        dump.args(["--format=custom", "--file"]).arg(&file);
        dump.arg(format!("--dbname={url}")).output().unwrap()
    };
    let refused = dump(&database.url);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && text.contains("row-level security"),
        "{text}"
    );
    assert!(dump(&database.superuser_url()).status.success());
    let mut restore = Command::new(database.program("pg_restore"));
    restore.arg(format!("--dbname={}", copy.superuser_url()));
    let restored = restore.arg("--exit-on-error").arg(&file).output().unwrap();
    assert_success(&restored);
    assert_eq!(difference(&database.schema(), &copy.schema()), "");
    assert_eq!(difference(&rows(&database), &rows(&copy)), "");
    // The copy uses the same master key, as all tests do.
    let servers = [Program::serve_on(&copy, &[])];
    let restored = Balancer::new(&servers, &token);
    for thread in &threads {
        restored.check(thread, 3);
    }
    // New threads can be saved too.
    assert!(!restored.load("after", || {}).0.is_empty());
    copy.run(&["audit", "verify", "--all"]);
}
