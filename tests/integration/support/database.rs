//! One Postgres for all tests, set up as for a new user, and one database per test, cloned from a migrated template.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, RunQueryDsl as _};
use sigpersist_postgres::embedded::{Embedded, Purpose};
use sigpersist_store as store;

use super::program::{sigpersist, succeeds};

const PREFIX: &str = "sigpersist-test-";

/// A folder for one test. Every user may enter it, since Postgres runs as another user if the tests run as root.
pub(crate) fn temp_dir() -> tempfile::TempDir {
    let folder = tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .tempdir()
        .unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The Postgres of this run. It lives as long as the process and is then stopped by the kernel. The next run removes
/// its files.
fn postgres() -> &'static Embedded {
    static POSTGRES: OnceLock<Embedded> = OnceLock::new();
    POSTGRES.get_or_init(|| {
        remove_leftovers();
        let data_dir = temp_dir().keep();
        let settings = [
            // Its data need not outlive the run. Tests of durability start servers with clusters of their own.
            ("fsync", "off"),
            ("max_connections", "500"),
            // `pg_stat_activity` shows whole statements.
            ("track_activity_query_size", "16384"),
        ];
        let embedded = Embedded::open(&data_dir, Purpose::Serve, &settings).unwrap();
        store::migrate(embedded.url()).unwrap();
        embedded
    })
}

/// Removes the folders of runs whose process is gone.
fn remove_leftovers() {
    for entry in std::env::temp_dir()
        .read_dir()
        .unwrap()
        .filter_map(Result::ok)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if let Some(pid) = pid
            && let Ok(pid) = pid.parse()
            && nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err()
        {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}

/// One test's database, dropped at the end.
pub(crate) struct TestDatabase {
    name: String,
    /// A URL for libpq.
    pub(crate) url: String,
    pub(crate) folder: tempfile::TempDir,
}

/// Rows that are put back when this is dropped.
pub(crate) struct Kept<'a>(&'a TestDatabase);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.execute(
            "SET session_replication_role = replica;
             DO $$ DECLARE name text; columns text; BEGIN
                 FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP
                     EXECUTE format('DELETE FROM public.%I', name);
                     SELECT string_agg(quote_ident(column_name), ', ') INTO columns FROM information_schema.columns
                     WHERE table_schema = 'public' AND table_name = name AND is_generated = 'NEVER';
                     EXECUTE format('INSERT INTO public.%I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM kept.%I', name, columns, columns, name);
                 END LOOP;
             END $$;
             DROP SCHEMA kept CASCADE",
        );
    }
}

impl TestDatabase {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let postgres = postgres();
        admin(
            postgres,
            &format!("CREATE DATABASE {name} TEMPLATE sigpersist OWNER sigpersist"),
        );
        Self {
            url: postgres.url_of(&name),
            name,
            folder: temp_dir(),
        }
    }

    /// An empty database, without the schema.
    pub(crate) fn empty() -> Self {
        let database = Self::new();
        admin(postgres(), &format!("DROP DATABASE {}", database.name));
        admin(
            postgres(),
            &format!("CREATE DATABASE {} OWNER sigpersist", database.name),
        );
        database
    }

    /// Connects as a superuser, who bypasses row-level security.
    pub(crate) fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.superuser_url()).unwrap()
    }

    /// A URL for libpq, as a superuser.
    pub(crate) fn superuser_url(&self) -> String {
        superuser(&self.url)
    }

    /// The path of a Postgres program, of the same installation as the server.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let folder = self.lines("SELECT setting AS line FROM pg_config WHERE name = 'BINDIR'");
        Path::new(folder.trim()).join(name)
    }

    /// The whole schema as statements, sorted, so that the order of columns does not matter.
    pub(crate) fn schema(&self) -> Vec<String> {
        let mut dump = Command::new(self.program("pg_dump"));
        dump.args([
            "--schema-only",
            "--exclude-table=__diesel_schema_migrations",
        ])
        .arg(format!("--dbname={}", superuser(&self.url)));
        let dump = succeeds(dump);
        let mut statements: Vec<_> = dump
            .split("\n\n")
            .map(|statement| {
                // Leaves out the comments of `pg_dump` and the commands to psql, one of which differs in each dump.
                let lines = statement
                    .lines()
                    .filter(|line| !line.starts_with("--") && !line.starts_with('\\'));
                let mut lines: Vec<_> = lines.map(|line| line.trim_end_matches(',')).collect();
                if statement.starts_with("CREATE TABLE") {
                    lines.sort_unstable();
                }
                lines.join("\n")
            })
            .collect();
        statements.sort_unstable();
        statements
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.connect().batch_execute(sql).unwrap();
    }

    /// Sets a parameter for all future connections.
    pub(crate) fn set(&self, parameter: &str, value: &str) {
        let name = &self.name;
        self.execute(&format!(
            "ALTER DATABASE {name} SET {parameter} = '{value}'"
        ));
    }

    /// Keeps all rows as they are now. They are back when the result is dropped, as if a backup were restored.
    pub(crate) fn keep(&self) -> Kept<'_> {
        self.execute(
            "CREATE SCHEMA kept;
             DO $$ DECLARE name text; BEGIN
                 FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
                     EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', name, name);
                 END LOOP;
             END $$",
        );
        Kept(self)
    }

    /// Locks all threads until the returned connection is dropped: saves and deletes wait.
    pub(crate) fn lock_signatures(&self) -> PgConnection {
        self.hold("SELECT FROM signatures FOR UPDATE")
    }

    /// Runs SQL in a transaction that stays open until the returned connection is dropped, and is then rolled back.
    pub(crate) fn hold(&self, sql: &str) -> PgConnection {
        let mut holder = self.connect();
        holder.batch_execute(&format!("BEGIN; {sql}")).unwrap();
        holder
    }

    /// Counts the connections that wait for locks.
    pub(crate) fn waiting_for_locks(&self) -> usize {
        let waiting = self.lines(
            "SELECT count(*)::text AS line FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'",
        );
        waiting.trim().parse().unwrap()
    }

    /// All rows of a table as text.
    pub(crate) fn dump(&self, table: &str) -> String {
        self.lines(&format!("SELECT t::text AS line FROM {table} t"))
    }

    /// Closes all connections and refuses new ones, or allows them again.
    pub(crate) fn forbid_connections(&self, forbid: bool) {
        let (name, allow) = (&self.name, !forbid);
        admin(
            postgres(),
            &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {allow}"),
        );
        if forbid {
            admin(
                postgres(),
                &format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
                ),
            );
        }
    }

    /// Runs a statement with these parameters as the server would for the first tenant, and returns its custom and its
    /// generic plan, with the rows of each node.
    pub(crate) fn analyze(&self, statement: &str, values: &str) -> String {
        self.analyze_for(1, statement, values)
    }

    /// Like [`Self::analyze`] for another tenant; 0 is the platform.
    pub(crate) fn analyze_for(&self, tenant: u32, statement: &str, values: &str) -> String {
        #[derive(diesel::QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
            line: String,
        }
        let mut connection = self.connect();
        connection
            .batch_execute(&format!(
                "SET ROLE sigpersist_server; {}; SET sigpersist.tenant = '{tenant}'; PREPARE statement AS {statement}",
                store::SESSION_SETTINGS
            ))
            .unwrap();
        let explain = format!(
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE statement ({values})"
        );
        let mut plans = String::new();
        // Postgres chooses between the two only after a few executions.
        for mode in ["force_custom_plan", "force_generic_plan"] {
            connection
                .batch_execute(&format!("SET plan_cache_mode = {mode}"))
                .unwrap();
            let lines = diesel::sql_query(&explain)
                .load::<Line>(&mut connection)
                .unwrap();
            plans.extend(lines.into_iter().map(|line| line.line + "\n"));
        }
        plans
    }

    /// The column `line` of a query.
    pub(crate) fn lines(&self, sql: &str) -> String {
        #[derive(diesel::QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text)]
            line: String,
        }
        let lines = diesel::sql_query(sql)
            .load::<Line>(&mut self.connect())
            .unwrap();
        lines.into_iter().map(|line| line.line + "\n").collect()
    }

    /// A command of `sigpersist` on this database.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = sigpersist(self.folder.path(), arguments);
        command
            .env("DATABASE_URL", &self.url)
            .env("SIGPERSIST_MASTER_KEY_FILE", self.master_key_file());
        command
    }

    /// Runs a command that must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        succeeds(self.command(arguments))
    }

    /// The path of a master key for this database, created if it is missing.
    pub(crate) fn master_key_file(&self) -> PathBuf {
        let path = self.folder.path().join("master.key");
        if !path.exists() {
            std::fs::write(&path, "07".repeat(32)).unwrap();
        }
        path
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        admin(
            postgres(),
            &format!("DROP DATABASE {} WITH (FORCE)", self.name),
        );
    }
}

fn superuser(url: &str) -> String {
    url.replace("user=sigpersist", "user=postgres")
}

fn admin(postgres: &Embedded, sql: &str) {
    let mut connection = PgConnection::establish(&superuser(&postgres.url_of("postgres"))).unwrap();
    connection.batch_execute(sql).unwrap();
}
