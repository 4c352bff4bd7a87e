//! The server under a login that owns nothing and may only take the server's role.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};
use serde_json::json;

use crate::support::{Client, Program, SIGNER_TAGS, TestDatabase, eventually, succeeds};

/// A login for one test, which may take the server's role.
struct Login<'a> {
    database: &'a TestDatabase,
    name: String,
    url: String,
}

impl<'a> Login<'a> {
    /// `inherits`: the login has the role's rights even without taking it.
    fn new(database: &'a TestDatabase, inherits: bool) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("app_{}_{number}", std::process::id());
        let inherit = if inherits { "INHERIT" } else { "NOINHERIT" };
        database.execute(&format!(
            "CREATE ROLE {name} LOGIN {inherit}; GRANT sigpersist_server TO {name}"
        ));
        let url = database
            .url
            .replace("user=sigpersist", &format!("user={name}"));
        Self {
            database,
            name,
            url,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.database.command(arguments);
        command.env("DATABASE_URL", &self.url);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        succeeds(self.command(arguments))
    }

    fn serve(&self, arguments: &[&str]) -> Program {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(arguments).stderr(Stdio::null());
        Program::start(command)
    }

    fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.url).unwrap()
    }
}

impl Drop for Login<'_> {
    fn drop(&mut self) {
        self.database.execute(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{0}'; DROP ROLE {0}",
            self.name
        ));
    }
}

/// Everything that a server and its commands do, from the first tenant to a rotation of the master key.
fn everything(login: &Login<'_>, server: &Program) {
    let run = |arguments: &[&str]| login.run(arguments);
    let [token, operator] = [
        &["token", "issue", "acme"][..],
        &[
            "token",
            "issue",
            "acme",
            "--scope",
            "plugins:write",
            "--scope",
            "hooks:write",
            "--scope",
            "audit:read",
            "--scope",
            "policy:write",
        ],
    ]
    .map(run);
    let (acme, operator) = (server.client(&token), server.client(&operator));
    acme.save("d", "t", 0, "first").expect(201);
    acme.save("d", "t", 1, "second").expect(201);
    acme.read("d", "t").expect(200);
    assert_eq!(
        acme.get("/signatures?count=true")
            .expect(200)
            .signatures()
            .len(),
        1
    );
    acme.delete("d", "t").expect(200);
    acme.save("d", "t", 0, "another").expect(201);
    // The server learns of hooks and policies by notification.
    operator
        .json(
            "PUT",
            "/plugins/p",
            &json!({"component": BASE64.encode(SIGNER_TAGS)}),
        )
        .expect(201);
    operator
        .json("PUT", "/hooks/h", &json!({"plugin": "p"}))
        .expect(201);
    acme.save("d", "u", 0, "x").expect(201);
    operator
        .json("PATCH", "/policy", &json!({"accept": "readable"}))
        .expect(200);
    acme.save("d", "v", 0, "x")
        .expect_error(422, "signature_not_accepted");
    run(&["hook", "delete", "acme", "h"]);
    run(&["key", "add", "acme", "--kid", "second"]);
    let second = server.client(&run(&["token", "issue", "acme", "--kid", "second"]));
    second.read("d", "t").expect(200);
    run(&["key", "revoke", "second"]);
    eventually(|| second.read("d", "t").status == 401);
    run(&["master-key", "rotate"]);
    acme.read("d", "t").expect(200);
    let events = operator.get("/audit?action=signature.").expect(200);
    assert_eq!(
        events.json["content"]["events"].as_array().unwrap().len(),
        2
    );
    run(&["audit", "verify", "--all", "--keyed"]);
    let file = login.database.folder.path().join("acme.ndjson");
    let file = file.to_str().unwrap();
    run(&["tenant", "export", "acme", "--output", file]);
    run(&["tenant", "import", "copy", "--input", file, "--create"]);
    let anybody = Client::new(&server.base, None);
    anybody.get("/health/ready").expect(200);
    run(&["key", "add", "--platform"]);
    let metrics = run(&["token", "issue", "--platform", "--scope", "metrics:read"]);
    assert_eq!(server.client(&metrics).get("/metrics").status, 200);
    run(&["tenant", "delete", "copy", "--confirm", "copy"]);
    eventually(|| run(&["tenant", "list", "--json"]).matches("slug").count() == 1);
}

#[test]
fn the_server_and_its_commands_need_no_more_than_the_role() {
    for inherits in [false, true] {
        let database = TestDatabase::new();
        let login = Login::new(&database, inherits);
        login.run(&["tenant", "create", "acme"]);
        login.run(&["key", "add", "acme"]);
        let server = login.serve(&["--no-migrate"]);
        everything(&login, &server);
        drop(server);
        // There is nothing to migrate, so `--no-migrate` is not needed.
        drop(login.serve(&[]));
        assert!(login.run(&["migrate"]).contains("up to date"));
    }
}

#[test]
fn leaving_the_role_gains_such_a_login_nothing() {
    let database = TestDatabase::new();
    for slug in ["acme", "other"] {
        database.run(&["tenant", "create", slug]);
        database.run(&["key", "add", slug]);
        let server = Program::serve_on(&database, &[]);
        let client = server.client(&database.run(&["token", "issue", slug]));
        client.save("d", "t", 0, "x").expect(201);
    }
    let tables = database.lines(
        "SELECT relname::text AS line FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
         AND relrowsecurity",
    );
    assert!(tables.lines().count() > 20);
    let before = database.schema();
    for inherits in [false, true] {
        let login = Login::new(&database, inherits);
        let mut connection = login.connect();
        connection
            .batch_execute("SET ROLE sigpersist_server; SET sigpersist.tenant = '1'; RESET ROLE")
            .unwrap();
        for table in tables.lines() {
            // Fails if other tenants' or the platform's rows are visible. A login with the role's rights is bound by
            // row-level security.
            let count = format!("SELECT 1 / (count(*) = 0)::integer FROM {table}");
            let others = match table {
                "tenants" => format!("{count} WHERE id <> 1"),
                "master_key" | "audit_keys" | "log_keys" | "plugins" | "plugin_revisions" => count,
                _ => format!("{count} WHERE tenant_id IS DISTINCT FROM 1"),
            };
            let read = connection.batch_execute(&others);
            if inherits {
                read.unwrap();
            } else {
                let error = read.unwrap_err().to_string();
                assert!(error.contains("permission denied"), "{table}: {error}");
            }
            for statement in [
                format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"),
                format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"),
                format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
                format!("CREATE POLICY mine ON {table} USING (true)"),
                format!("DROP TABLE {table} CASCADE"),
                format!("TRUNCATE {table} CASCADE"),
                format!("GRANT ALL ON {table} TO PUBLIC"),
                format!("ALTER TABLE {table} OWNER TO {}", login.name),
            ] {
                let done = connection.batch_execute(&format!("BEGIN; {statement}"));
                // A GRANT without the right to grant has no effect, but is no error.
                let harmless = statement.starts_with("GRANT");
                assert!(done.is_err() || harmless, "{statement}");
                connection.batch_execute("ROLLBACK").unwrap();
            }
        }
        for statement in [
            "SET ROLE sigpersist",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION sigpersist",
            "SET session_replication_role = replica",
            "ALTER ROLE sigpersist_server BYPASSRLS",
            "GRANT sigpersist TO sigpersist_server",
            "UPDATE audit_events SET action = 'x'",
            "DELETE FROM audit_events",
            "INSERT INTO audit_heads VALUES (7, 0, now(), '')",
            "SET row_security = off; SELECT count(*) FROM signatures",
            "CREATE FUNCTION audit_hash(event audit_events) RETURNS bytea LANGUAGE sql RETURN event.hash",
            "DROP FUNCTION not_deleted_before(integer, text, text)",
            "DELETE FROM __diesel_schema_migrations",
        ] {
            connection.batch_execute(statement).expect_err(statement);
            connection.batch_execute("RESET ALL; RESET ROLE").unwrap();
        }
    }
    assert_eq!(database.schema(), before);
}

#[test]
fn a_login_that_owns_nothing_is_told_who_must_migrate_and_who_must_let_it_in() {
    const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
    let database = TestDatabase::new();
    let refused = |login: &Login<'_>, words: &str| {
        for arguments in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["serve", "--listen", "127.0.0.1:0", "--no-migrate"],
            &["migrate"],
            &["tenant", "list"],
        ] {
            let output = login.command(arguments).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
            assert!(text.contains(words), "{arguments:?}: {text}");
        }
    };
    let login = Login::new(&database, false);
    database.execute(&format!("REVOKE sigpersist_server FROM {}", login.name));
    let grant = format!("GRANT sigpersist_server TO \"{}\"", login.name);
    refused(&login, &grant);
    database.execute(&grant);
    login.run(&["tenant", "list"]);
    database
        .connect()
        .revert_last_migration(MIGRATIONS)
        .unwrap();
    refused(
        &login,
        "Run `sigpersist migrate` as the owner of its tables",
    );
    assert!(database.run(&["migrate"]).contains("Ran the migrations"));
    login.run(&["tenant", "list"]);
    // In a database made by an older release, the role may read less.
    database.execute("REVOKE SELECT ON __diesel_schema_migrations FROM sigpersist_server");
    refused(
        &login,
        "Run `sigpersist migrate` as the owner of its tables",
    );
    database.run(&["migrate"]);
    login.run(&["tenant", "list"]);
}
