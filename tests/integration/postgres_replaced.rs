//! Postgres programs that are replaced while they run, as by a minor upgrade of the system's packages.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{
    Client, Program, TestDatabase, eventually, postmaster, running_postmaster, sigpersist,
    succeeds, temp_dir, tenant_token,
};

/// A copy of the machine's Postgres in which files can be replaced. Its folders have the same relative paths as the
/// originals, since the programs find their own files that way.
struct Installed {
    root: tempfile::TempDir,
    programs: PathBuf,
    library: PathBuf,
}

impl Installed {
    fn new() -> Self {
        let database = TestDatabase::new();
        let folder = |name: &str| {
            let query = format!("SELECT setting AS line FROM pg_config WHERE name = '{name}'");
            PathBuf::from(database.lines(&query).trim())
        };
        let root = temp_dir();
        let inside = |path: &Path| root.path().join(path.strip_prefix("/").unwrap());
        let [programs, libraries, shared] = ["BINDIR", "PKGLIBDIR", "SHAREDIR"].map(folder);
        fs::create_dir_all(inside(&programs)).unwrap();
        for name in ["postgres", "initdb"] {
            fs::copy(programs.join(name), inside(&programs).join(name)).unwrap();
        }
        fs::create_dir_all(inside(&libraries)).unwrap();
        for library in libraries.read_dir().unwrap().map(Result::unwrap) {
            if library.file_type().unwrap().is_file() {
                let copy = inside(&libraries).join(library.file_name());
                fs::copy(library.path(), copy).unwrap();
            }
        }
        fs::create_dir_all(inside(&shared).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&shared, inside(&shared)).unwrap();
        let library = ["plpgsql.so", "plpgsql.dylib"]
            .map(|name| inside(&libraries).join(name))
            .into_iter()
            .find(|path| path.exists());
        Self {
            programs: inside(&programs),
            library: library.unwrap(),
            root,
        }
    }

    /// A command of `sigpersist` that finds these programs first.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut path = OsString::from(&self.programs);
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut command = sigpersist(&self.data_dir(), arguments);
        command.env("PATH", path);
        command
    }

    /// Starts a server on these programs, and returns it with a client of a tenant.
    fn serve(&self) -> (Program, Client) {
        let token = tenant_token(|arguments| succeeds(self.command(arguments)));
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.stderr(fs::File::create(self.root.path().join("log")).unwrap());
        let server = Program::start(command);
        let client = server.client(&token);
        (server, client)
    }

    /// The server's log so far.
    fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap()
    }

    fn data_dir(&self) -> PathBuf {
        self.root.path().join("data")
    }
}

/// Replaces a file as package managers do, with a copy that has the same content.
fn replace(file: &Path) {
    let new = file.with_extension("new");
    fs::copy(file, &new).unwrap();
    fs::rename(&new, file).unwrap();
}

fn is_ready(client: &Client) -> bool {
    client.get("/health/ready").status == 200
}

#[test]
fn a_server_goes_on_with_the_programs_that_replaced_those_it_runs() {
    let installed = Installed::new();
    let (server, acme) = installed.serve();
    acme.save("d", "before", 0, "x").expect(201);
    let data_dir = installed.data_dir();
    let first = postmaster(&data_dir);
    replace(&installed.library);
    replace(&installed.programs.join("postgres"));
    eventually(|| running_postmaster(&data_dir).is_some_and(|now| now != first) && is_ready(&acme));
    // The loss of a connection may be noticed only by the next save.
    eventually(|| matches!(acme.save("d", "after", 0, "x").status, 200 | 201));
    acme.read("d", "before").expect(200);
    // A change that runs triggers, on a new connection.
    succeeds(installed.command(&["tenant", "create", "other"]));
    let log = installed.log();
    let told = log.matches("The Postgres programs were replaced").count();
    assert_eq!(told, 1, "{log}");
    assert!(!log.contains("stopped unexpectedly"), "{log}");
    assert!(server.stop().success());
}

#[test]
fn a_server_is_not_stopped_for_programs_that_could_not_go_on() {
    let installed = Installed::new();
    let (_server, acme) = installed.serve();
    let data_dir = installed.data_dir();
    let first = postmaster(&data_dir);
    // As if another major version had been installed into the same folder.
    let other = installed.programs.join("postgres.new");
    let script = format!(
        "printf '#!/bin/sh\\necho \"postgres (PostgreSQL) 18.4\"\\n' > '{}'",
        other.display()
    );
    succeeds({
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("{script} && chmod 755 '{}'", other.display()),
        ]);
        shell
    });
    fs::rename(&other, installed.programs.join("postgres")).unwrap();
    eventually(|| {
        let log = installed.log();
        log.contains("by those of Postgres 18") && log.contains("sigpersist upgrade-data")
    });
    assert_eq!(postmaster(&data_dir), first);
    assert!(is_ready(&acme));
    acme.save("d", "t", 0, "x").expect(201);
}
