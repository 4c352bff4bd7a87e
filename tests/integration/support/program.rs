//! The real program as a separate process.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::Client;
use super::TestDatabase;
use super::test_app::COMPILE_TIMEOUT_MS;

/// A command of `sigpersist`. Its environment names no database.
pub(crate) fn sigpersist(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigpersist"));
    command
        .env_remove("DATABASE_URL")
        .env_remove("RUST_LOG")
        .env_remove("SIGPERSIST_SERVER")
        .env_remove("SIGPERSIST_TOKEN")
        .env(
            "SIGPERSIST_HOOKS_COMPILE_TIMEOUT_MS",
            COMPILE_TIMEOUT_MS.to_string(),
        )
        .env("SIGPERSIST_HOOKS_TIMEOUT_MS", "5000")
        .arg("--data-dir")
        .arg(data_dir)
        .args(arguments);
    command
}

/// A command of `sigpersist` on a machine without a database, with a folder for its configuration.
pub(crate) fn elsewhere(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sigpersist"));
    command
        .env_remove("SIGPERSIST_SERVER")
        .env_remove("SIGPERSIST_TOKEN")
        .env("DATABASE_URL", "postgres://127.0.0.1:1/none")
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .args(arguments);
    command
}

/// Runs a command that must succeed, and returns its output.
#[track_caller]
pub(crate) fn run(data_dir: &Path, arguments: &[&str]) -> String {
    succeeds(sigpersist(data_dir, arguments))
}

/// Runs a prepared command that must succeed, and returns its output.
#[track_caller]
pub(crate) fn succeeds(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_success(&output);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Creates the tenant acme through `run` and returns a token for it.
pub(crate) fn tenant_token(run: impl Fn(&[&str]) -> String) -> String {
    run(&["tenant", "create", "acme"]);
    run(&["key", "add", "acme"]);
    run(&["token", "issue", "acme"])
}

/// The process id of the embedded Postgres in this directory.
pub(crate) fn postmaster(data_dir: &Path) -> Pid {
    running_postmaster(data_dir).unwrap()
}

/// The process id of the embedded Postgres in this directory, if there is one.
pub(crate) fn running_postmaster(data_dir: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(data_dir.join("postgres/postmaster.pid")).ok()?;
    Some(Pid::from_raw(text.lines().next()?.parse().ok()?))
}

#[track_caller]
pub(crate) fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A running server.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) base: String,
}

impl Program {
    /// Starts `serve` on a free port and waits until it prints its address.
    #[track_caller]
    pub(crate) fn serve(data_dir: &Path) -> Self {
        let mut command = sigpersist(data_dir, &["serve", "--listen", "127.0.0.1:0"]);
        // Drops the server's log. To debug a test, inherit stderr and set RUST_LOG.
        command.stderr(Stdio::null());
        Self::start(command)
    }

    /// Like [`Self::serve`], on a test's database and with settings in the environment.
    #[track_caller]
    pub(crate) fn serve_on(database: &TestDatabase, settings: &[(&str, &str)]) -> Self {
        let mut command = database.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.envs(settings.iter().copied()).stderr(Stdio::null());
        Self::start(command)
    }

    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines {
            if let Some((_, address)) = line.unwrap().split_once("listening on ") {
                let base = address.to_owned();
                return Self { child, base };
            }
        }
        panic!("the server did not start: {:?}", child.wait());
    }

    pub(crate) fn client(&self, token: &str) -> Client {
        Client::new(&self.base, Some(token.to_owned()))
    }

    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Sends SIGTERM and returns the exit status.
    #[track_caller]
    pub(crate) fn stop(self) -> std::process::ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        self.wait()
    }

    /// Waits for the process and returns its exit status.
    #[track_caller]
    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                since.elapsed() < Duration::from_secs(30),
                "the server did not stop"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends SIGKILL and waits.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
