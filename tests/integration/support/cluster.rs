//! A primary Postgres and its synchronous streaming standby on TCP ports, as in a highly available deployment.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection as _;
use diesel::dsl::sql;
use diesel::sql_types::{Bool, Text};
use diesel::{Connection as _, PgConnection, RunQueryDsl as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::TestDatabase;
use super::program::{assert_success, sigpersist, succeeds};
use super::temp_dir;

/// Timeout for operations of Postgres that normally take seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A primary and its standby. A commit waits until both have it.
pub(crate) struct Cluster {
    primary: Node,
    standby: Node,
    machine: Machine,
    folder: tempfile::TempDir,
}

/// The programs of Postgres and the user that runs them: the same as for the Postgres of all tests.
struct Machine {
    database: TestDatabase,
    owner: Option<(u32, u32)>,
    /// The folder of a locale that was made for the test, and its name: Postgres answers in its language.
    locale: Option<(PathBuf, &'static str)>,
}

/// One Postgres server, which may be stopped.
struct Node {
    name: &'static str,
    port: u16,
    files: PathBuf,
    child: Option<Child>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let mut cluster = Self::alone(Machine::find(), temp_dir());
        cluster.add_standby();
        cluster
    }

    /// A primary without a standby that speaks Russian; none if this machine lacks what the language takes.
    pub(crate) fn in_russian() -> Option<Self> {
        const NAME: &str = "ru_RU.UTF-8";
        let folder = temp_dir();
        let made = Command::new("localedef")
            .args(["-i", "ru_RU", "-f", "UTF-8"])
            .arg(folder.path().join(NAME))
            .output();
        if !made.is_ok_and(|made| made.status.success()) {
            return None;
        }
        let machine = Machine {
            locale: Some((folder.path().to_owned(), NAME)),
            ..Machine::find()
        };
        let cluster = Self::alone(machine, folder);
        let mut connection = cluster.primary.connect("postgres").unwrap();
        let error = connection.batch_execute("SELECT 1 / 0").unwrap_err();
        // The translations of Postgres may be packaged apart.
        error.to_string().contains("деление").then_some(cluster)
    }

    fn alone(machine: Machine, folder: tempfile::TempDir) -> Self {
        let node = |name| {
            // The kernel picks a free port. If another process takes it before Postgres does, `Node::start` fails.
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let files = folder.path().join(name);
            std::fs::create_dir(&files).unwrap();
            std::fs::set_permissions(&files, Permissions::from_mode(0o700)).unwrap();
            if let Some((uid, gid)) = machine.owner {
                chown(&files, Some(uid), Some(gid)).unwrap();
            }
            Node {
                name,
                port: listener.local_addr().unwrap().port(),
                files,
                child: None,
            }
        };
        let (primary, standby) = (node("east"), node("west"));
        let mut cluster = Self {
            primary,
            standby,
            machine,
            folder,
        };
        let mut initdb = cluster.machine.command("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8"]);
        initdb.args(["--locale=C", "--no-sync", "--pgdata"]);
        succeeds_quietly(initdb.arg(&cluster.primary.files));
        cluster.primary.start(&cluster.machine);
        cluster.execute("CREATE ROLE sigpersist LOGIN CREATEROLE");
        cluster.execute("CREATE DATABASE sigpersist OWNER sigpersist");
        cluster
    }

    /// A URL with both hosts, in an order that does not depend on which is the primary.
    pub(crate) fn url(&self) -> String {
        if self.machine.locale.is_some() {
            return url(&[self.primary.port]);
        }
        let (mut one, mut other) = (&self.primary, &self.standby);
        if other.name < one.name {
            (one, other) = (other, one);
        }
        url(&[one.port, other.port])
    }

    /// A URL of the standby alone.
    pub(crate) fn standby_url(&self) -> String {
        url(&[self.standby.port])
    }

    /// A command of `sigpersist` on the cluster.
    pub(crate) fn command(&self, url: &str, arguments: &[&str]) -> Command {
        let master_key = self.folder.path().join("master.key");
        std::fs::write(&master_key, "07".repeat(32)).unwrap();
        let mut command = sigpersist(self.folder.path(), arguments);
        command
            .env("DATABASE_URL", url)
            .env("SIGPERSIST_MASTER_KEY_FILE", master_key);
        command
    }

    /// Runs a command that must succeed, and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        succeeds(self.command(&self.url(), arguments))
    }

    /// Runs a statement on the primary, as a superuser.
    #[track_caller]
    pub(crate) fn execute(&self, statement: &str) {
        let mut connection = self.primary.connect("postgres").unwrap();
        connection.batch_execute(statement).unwrap();
    }

    /// A superuser's connection to the server's database, on the primary.
    pub(crate) fn connect(&self) -> PgConnection {
        self.primary.connect("sigpersist").unwrap()
    }

    /// Copies the primary to the standby and starts it. From then on, each commit waits for the standby.
    pub(crate) fn add_standby(&mut self) {
        let mut copy = self.machine.command("pg_basebackup");
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .arg("--pgdata")
            .arg(&self.standby.files)
            .arg("--dbname")
            .arg(self.primary.url("postgres"));
        succeeds_quietly(&mut copy);
        self.standby.start(&self.machine);
        self.wait_for_standby();
    }

    /// Makes the primary wait for its standby on each commit.
    fn wait_for_standby(&self) {
        self.execute(&format!(
            "ALTER SYSTEM SET synchronous_standby_names = '{}'",
            self.standby.name
        ));
        self.execute("SELECT pg_reload_conf()");
        let mut connection = self.primary.connect("postgres").unwrap();
        eventually("the standby follows", || {
            let query = "(SELECT sync_state = 'sync' FROM pg_stat_replication) IS TRUE";
            diesel::select(sql::<Bool>(query)).get_result(&mut connection)
        });
    }

    /// Stops the primary with a signal and promotes the standby, as a failover manager would. The new primary waits for
    /// no standby.
    pub(crate) fn fail_over(&mut self, signal: Signal) {
        self.primary.stop(signal);
        self.promote();
    }

    /// Shuts the primary down cleanly, promotes the standby, and restarts the old primary as its standby.
    pub(crate) fn switch_over(&mut self) {
        self.primary.stop(Signal::SIGINT);
        self.promote();
        let settings = self.standby.files.join("postgresql.auto.conf");
        let upstream = format!("primary_conninfo = '{}'\n", self.primary.url("postgres"));
        std::fs::write(settings, upstream).unwrap();
        std::fs::write(self.standby.files.join("standby.signal"), "").unwrap();
        self.standby.start(&self.machine);
        self.wait_for_standby();
    }

    fn promote(&mut self) {
        std::mem::swap(&mut self.primary, &mut self.standby);
        self.execute("SELECT pg_promote()");
        self.execute("ALTER SYSTEM RESET synchronous_standby_names");
        self.execute("SELECT pg_reload_conf()");
    }

    /// Deletes the files of the old primary and makes it a standby again.
    pub(crate) fn replace_lost_primary(&mut self) {
        for entry in self.standby.files.read_dir().unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                std::fs::remove_dir_all(entry.path()).unwrap();
            } else {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        self.add_standby();
    }
}

impl Machine {
    fn find() -> Self {
        let database = TestDatabase::new();
        let files = database.lines("SELECT current_setting('data_directory') AS line");
        let files = std::fs::metadata(files.trim()).unwrap();
        let is_other = files.uid() != nix::unistd::geteuid().as_raw();
        Self {
            database,
            locale: None,
            owner: is_other.then(|| (files.uid(), files.gid())),
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.database.program(program));
        command.env("LC_ALL", "C").current_dir("/");
        if let Some((folder, _)) = &self.locale {
            command.env("LOCPATH", folder);
        }
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Node {
    /// A URL for libpq, as a superuser.
    fn url(&self, database: &str) -> String {
        format!(
            "host=127.0.0.1 port={} user=postgres dbname={database} connect_timeout=5",
            self.port
        )
    }

    fn connect(&self, database: &str) -> diesel::ConnectionResult<PgConnection> {
        PgConnection::establish(&self.url(database))
    }

    fn start(&mut self, machine: &Machine) {
        let mut command = machine.command("postgres");
        command.arg("-D").arg(&self.files);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            "unix_socket_directories=".to_owned(),
            // The primary knows its standby by this name.
            format!("cluster_name={}", self.name),
            "wal_keep_size=256MB".to_owned(),
        ] {
            command.arg("-c").arg(setting);
        }
        if let Some((_, locale)) = &machine.locale {
            command.arg("-c").arg(format!("lc_messages={locale}"));
        }
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        eventually("Postgres answers", || {
            let mut connection = self.connect("postgres")?;
            let query = diesel::select(sql::<Text>("current_setting('cluster_name')"));
            let name: String = query.get_result(&mut connection)?;
            assert_eq!(name, self.name, "another process has taken the port");
            Ok::<_, anyhow::Error>(true)
        });
    }

    fn stop(&mut self, signal: Signal) {
        let mut child = self.child.take().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, signal).unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.stop(Signal::SIGQUIT);
        }
    }
}

fn url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    format!("postgres://sigpersist@{}/sigpersist", hosts.join(","))
}

#[track_caller]
fn succeeds_quietly(command: &mut Command) {
    assert_success(&command.output().unwrap());
}

#[track_caller]
fn eventually<E: std::fmt::Debug>(what: &str, mut condition: impl FnMut() -> Result<bool, E>) {
    let since = Instant::now();
    loop {
        let happened = condition();
        if matches!(happened, Ok(true)) {
            return;
        }
        assert!(
            since.elapsed() < PATIENCE,
            "the condition was not met in time: {what}: {happened:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
