//! The cluster on disk: where its files are, who owns them, and how it is made.
//!
//! ```text
//! <data dir>/
//!   lock, guests.lock    locks of the processes that use the directory
//!   postgres/            Postgres's own files
//!   postgres.log         Postgres's log
//!   postgres.15/         the files of an old Postgres, kept by an upgrade
//!   upgrade/, postgres.proven/, upgrade.log    an upgrade in progress
//!   run/                 its socket, if the path is short enough for one
//! ```

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid, geteuid};
use sigpersist_model::digest::{sha256, to_hex};
use tracing::info;

use super::environment;
use super::programs::Programs;
use super::supervisor::die_with_this_thread;
use super::upgrade;
use super::user::{first_closed_folder, other_user};

/// The longest path of a Unix socket that every supported system takes (`sun_path` has 104 bytes on macOS, 108 on
/// Linux).
const MAX_SOCKET_PATH_BYTES: usize = 103;
/// The name that Postgres gives its socket in the socket's folder.
const SOCKET_NAME: &str = ".s.PGSQL.5432";
/// Postgres's own folder.
pub(super) const FILES: &str = "postgres";
/// The prefix of an unfinished cluster's folder. The id of the process that makes it follows.
const UNFINISHED: &str = "postgres.unfinished-";
/// A larger log is replaced at the next start; one old log is kept.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;

/// Whether a data directory has a cluster. One that can't be looked at counts, so that opening it says why.
pub(super) fn exists(data_dir: &Path) -> bool {
    // An upgrade that was interrupted at the very end leaves the files under the second name. One that kept only the old
    // database makes no place for a new one.
    let has = |name: &&str| match fs::symlink_metadata(data_dir.join(name)) {
        Ok(_) => true,
        Err(error) => !is_missing(&error),
    };
    [FILES, upgrade::PROVEN].iter().any(has)
        || matches!(upgrade::kept_folder(data_dir), Ok(Some(_)))
}

/// Whether the error says that there is no such file.
pub(super) fn is_missing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

/// A cluster and what is needed to run it.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    data_dir: PathBuf,
    files: PathBuf,
    socket_dir: PathBuf,
    owner: Option<(Uid, Gid)>,
    owner_name: String,
}

impl Cluster {
    /// Prepares a data directory, and makes it if it does not exist. Does not search or make anything else yet.
    pub(super) fn new(data_dir: &Path) -> anyhow::Result<Self> {
        if !data_dir.exists() {
            // Whatever the umask is, nobody else may put a file here.
            DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(data_dir)
                .with_context(|| {
                    format!("The data directory {} can't be created", data_dir.display())
                })?;
        }
        let data_dir = data_dir.canonicalize().with_context(|| {
            format!("The data directory {} can't be reached", data_dir.display())
        })?;
        let mut files = data_dir.join(FILES);
        if !files.exists() {
            // An upgrade that was interrupted at the very end leaves the files there.
            files = data_dir.join(upgrade::PROVEN);
        }
        let (owner, owner_name) = match other_user(&files)? {
            Some(user) => (Some((user.uid, user.gid)), user.name),
            None => (None, String::new()),
        };
        let cluster = Self {
            socket_dir: socket_dir(&data_dir),
            files: data_dir.join(FILES),
            data_dir,
            owner,
            owner_name,
        };
        if let Some((uid, gid)) = cluster.owner {
            cluster.let_owner_in(uid, gid)?;
        }
        Ok(cluster)
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Postgres's own folder, `PGDATA`.
    pub(super) fn files(&self) -> &Path {
        &self.files
    }

    /// Another cluster in the same data directory, with its files here and everything else in common with this one.
    pub(super) fn with_files(&self, files: PathBuf) -> Self {
        Self {
            files,
            ..self.clone()
        }
    }

    /// The major version of Postgres that made the cluster; none if it was not made yet.
    pub(super) fn major(&self) -> anyhow::Result<Option<u32>> {
        let version_file = self.files.join("PG_VERSION");
        if !version_file.exists() {
            return Ok(None);
        }
        let version = fs::read_to_string(&version_file)
            .with_context(|| format!("{} can't be read", version_file.display()))?;
        let major = version
            .trim()
            .parse()
            .context("PG_VERSION holds no number")?;
        Ok(Some(major))
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// A folder for the socket whose path a shell takes literally, also between double quotes.
    pub(super) fn plain_socket_dir(&self) -> PathBuf {
        let is_plain = |path: &str| !path.contains(['"', '\'', '\\', '$', '`', '!', '%']);
        if self.socket_dir.to_str().is_some_and(is_plain) {
            self.socket_dir.clone()
        } else {
            socket_dir_outside(&self.data_dir)
        }
    }

    /// The socket's lock file, which may be left over after a crash.
    pub(super) fn socket_lock(&self) -> PathBuf {
        self.socket_dir.join(format!("{SOCKET_NAME}.lock"))
    }

    /// The connection string of a database, for the login that owns all that the server makes.
    pub(super) fn url(&self, database: &str) -> String {
        self.url_as("sigpersist", database)
    }

    /// The connection string of a database, for this login.
    pub(super) fn url_as(&self, login: &str, database: &str) -> String {
        let host = self
            .socket_dir
            .display()
            .to_string()
            .replace('\\', r"\\")
            .replace('\'', r"\'");
        // Options that are given here are not taken from the environment by libpq.
        format!(
            "host='{host}' port=5432 options='' sslmode=disable gssencmode=disable requirepeer='' user={login} dbname={database}"
        )
    }

    /// A Postgres program, to be run as the cluster's owner, and without our terminal's signals.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for variable in environment::variables() {
            command.env_remove(variable);
        }
        command
            .env("LC_ALL", "C")
            .current_dir(&self.data_dir)
            .stdin(Stdio::null())
            .process_group(0);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        command
    }

    /// The path of Postgres's log.
    pub(super) fn log_path(&self) -> PathBuf {
        self.data_dir.join("postgres.log")
    }

    /// Postgres's log, opened for appending.
    pub(super) fn log(&self) -> anyhow::Result<File> {
        let path = self.log_path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
            fs::rename(&path, path.with_extension("log.1"))?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("{} can't be opened", path.display()))?;
        log.set_permissions(Permissions::from_mode(0o600))?;
        Ok(log)
    }

    /// Whether the socket's folder exists and nobody but the cluster's owner could have put a socket into it.
    pub(super) fn socket_is_trusted(&self) -> bool {
        fs::symlink_metadata(&self.socket_dir)
            .is_ok_and(|metadata| is_private(&metadata, self.user()))
    }

    /// The user that Postgres runs as.
    fn user(&self) -> Uid {
        self.owner.map_or(geteuid(), |(uid, _)| uid)
    }

    /// Finds the programs for this cluster, and makes the cluster if it does not exist. Only for the holder of the
    /// lock.
    pub(super) fn prepare(&self) -> anyhow::Result<Programs> {
        self.make_private_dir(&self.socket_dir)?;
        upgrade::settle(self)?;
        if let Some(major) = self.major()? {
            return Programs::find(Some(major));
        }
        let programs = Programs::find(None)?;
        info!(
            data_dir = %self.data_dir.display(),
            "Creating the embedded database with Postgres {}",
            programs.major
        );
        self.make(&programs)
            .context("The embedded database can't be created")?;
        Ok(programs)
    }

    /// Makes the cluster under another name and renames it when it is complete, so that a crash leaves no partial
    /// cluster.
    fn make(&self, programs: &Programs) -> anyhow::Result<()> {
        // Each process uses a name of its own: programs that make an earlier cluster may have outlived the process
        // that started them.
        for entry in self.data_dir.read_dir()? {
            let entry = entry?;
            if entry
                .file_name()
                .as_bytes()
                .starts_with(UNFINISHED.as_bytes())
            {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let unfinished = self
            .data_dir
            .join(format!("{UNFINISHED}{}", std::process::id()));
        self.make_private_dir(&unfinished)?;
        self.initdb(programs, &unfinished)?;
        // The server's login is not a superuser: a mistake in a query can't reach the operating system.
        let mut single = self.command(&programs.path("postgres"));
        single
            .args(["--single", "-j", "-D"])
            .arg(&unfinished)
            .arg("postgres")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        die_with_this_thread(&mut single, Signal::SIGKILL);
        let mut single = single.spawn().context("postgres can't be started")?;
        single
            .stdin
            .take()
            .context("the pipe is there")?
            .write_all(b"CREATE ROLE sigpersist LOGIN CREATEDB;\n\nCREATE DATABASE sigpersist OWNER sigpersist;\n\n")?;
        let output = single.wait_with_output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && !complaint.contains("ERROR"),
            "the first database can't be created: {}",
            complaint.trim()
        );
        fs::rename(&unfinished, self.files())?;
        File::open(&self.data_dir)?.sync_all()?;
        Ok(())
    }

    /// Makes the files of an empty cluster.
    pub(super) fn initdb(&self, programs: &Programs, files: &Path) -> anyhow::Result<()> {
        let mut initdb = self.command(&programs.path("initdb"));
        initdb
            .arg("--pgdata")
            .arg(files)
            .args(["--username=postgres", "--auth=trust", "--data-checksums"])
            .args(["--encoding=UTF8", "--locale=C", "--no-instructions"]);
        die_with_this_thread(&mut initdb, Signal::SIGKILL);
        let output = initdb.output().context("initdb can't be started")?;
        ensure!(
            output.status.success(),
            "initdb failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Makes a folder that only the cluster's owner can enter.
    pub(super) fn make_private_dir(&self, path: &Path) -> anyhow::Result<()> {
        let context = || format!("The folder {} can't be made private", path.display());
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let metadata = fs::symlink_metadata(path).with_context(context)?;
                // A folder of our own may be left from a start that was interrupted before it changed the folder's
                // owner.
                ensure!(
                    is_private(&metadata, self.user()) || is_private(&metadata, geteuid()),
                    "The folder {} must belong to the user that runs Postgres, and to nobody else. Remove it and start again.",
                    path.display()
                );
            }
            Err(error) => return Err(error).with_context(context),
        }
        if let Some((uid, gid)) = self.owner {
            chown(path, Some(uid.as_raw()), Some(gid.as_raw())).with_context(context)?;
        }
        Ok(())
    }

    /// If we are root, Postgres runs as another user, which must be able to pass through our directory to its own.
    fn let_owner_in(&self, uid: Uid, gid: Gid) -> anyhow::Result<()> {
        let mode = fs::metadata(&self.data_dir)?.mode();
        if mode & 0o011 != 0o011 {
            fs::set_permissions(
                &self.data_dir,
                Permissions::from_mode(mode & 0o7777 | 0o011),
            )?;
        }
        if let Some(closed) = first_closed_folder(&self.data_dir, uid, gid)? {
            bail!(
                "Postgres does not run as root, and the user {} that runs it instead can't enter {}.\n\
                 Give a --data-dir that it can reach, such as {}.",
                self.owner_name,
                closed.display(),
                crate::ROOT_DATA_DIR
            );
        }
        Ok(())
    }
}

/// Whether this is a folder of this user that nobody else can enter.
fn is_private(metadata: &fs::Metadata, user: Uid) -> bool {
    metadata.is_dir() && metadata.uid() == user.as_raw() && metadata.mode() & 0o077 == 0
}

/// The folder of the socket: in the data directory, or if the socket's path can't be used there, in `/tmp` under a
/// name that is derived from it.
fn socket_dir(data_dir: &Path) -> PathBuf {
    let inside = data_dir.join("run");
    // libpq separates hosts by a comma, Postgres separates folders by one, and libpq has no way to quote it.
    let can_be_told = inside
        .to_str()
        .is_some_and(|path| !path.contains([',', '"']));
    let fits = inside.join(SOCKET_NAME).as_os_str().len() <= MAX_SOCKET_PATH_BYTES;
    if can_be_told && fits {
        return inside;
    }
    socket_dir_outside(data_dir)
}

/// The folder of the socket if it can't be in the data directory.
fn socket_dir_outside(data_dir: &Path) -> PathBuf {
    let digest = sha256(data_dir.as_os_str().as_bytes());
    Path::new("/tmp").join(format!("sigpersist-{}", to_hex(&digest[..8])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_of_a_deep_directory_goes_where_its_path_is_short() {
        assert_eq!(
            socket_dir(Path::new("/srv/data")),
            Path::new("/srv/data/run")
        );
        let deep = PathBuf::from(format!("/{}", "deep/".repeat(30)));
        let short = socket_dir(&deep);
        assert!(short.starts_with("/tmp"), "{}", short.display());
        assert_eq!(short, socket_dir(&deep));
        assert_ne!(short, socket_dir(&deep.join("other")));
    }

    #[test]
    fn the_socket_is_not_where_libpq_would_take_its_path_apart() {
        use std::ffi::OsStr;
        for outside in [&b"/srv/a,b"[..], b"/srv/a\"b", b"/srv/\xff"] {
            let path = socket_dir(Path::new(OsStr::from_bytes(outside)));
            assert!(path.starts_with("/tmp"), "{}", path.display());
        }
        for inside in ["/srv/a b", "/srv/it's", r"/srv/a\b", "/srv/100%", "/srv/д"] {
            assert_eq!(socket_dir(Path::new(inside)), Path::new(inside).join("run"));
        }
    }
}
