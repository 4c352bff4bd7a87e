//! Runs the commands of `docs/admins.md` exactly as they are printed there.

use std::process::{Command, Stdio};

use crate::support::{Client, Program, run, sigpersist, temp_dir};

const PAGE: &str = include_str!("../../docs/admins.md");

/// The blocks of commands on the page, in order.
fn blocks() -> Vec<&'static str> {
    let mut blocks = PAGE.split("```sh\n").skip(1);
    let blocks = blocks
        .by_ref()
        .map(|rest| rest.split("```").next().unwrap());
    blocks.collect()
}

#[test]
fn the_commands_for_admins_work_as_printed() {
    let folder = temp_dir();
    let data_dir = folder.path().join("data");
    let mut serve = sigpersist(&data_dir, &["serve", "--listen", "127.0.0.1:0"]);
    serve.stderr(Stdio::null());
    let server = Program::start(serve);
    let address = server.base.strip_prefix("http://").unwrap();
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    let blocks = blocks();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    let script: Vec<_> = blocks
        .into_iter()
        .filter(|block| has_curl || !block.contains("curl "))
        .collect();
    let script = script.join("\n").replace("127.0.0.1:8080", address);
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sigpersist"));
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap()
    );
    let output = Command::new("bash")
        .args(["-euxo", "pipefail", "-c", &script])
        .current_dir(folder.path())
        .env_remove("DATABASE_URL")
        .env_remove("SIGPERSIST_SERVER")
        .env_remove("SIGPERSIST_TOKEN")
        .env("SIGPERSIST_DATA_DIR", &data_dir)
        .env("XDG_CONFIG_HOME", folder.path().join("config"))
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // The commands had their effect.
    let token = run(&data_dir, &["token", "issue", "acme"]);
    Client::new(&server.base, Some(token))
        .read("d", "t")
        .expect_error(404, "signature_not_found");
    assert!(run(&data_dir, &["tenant", "list"]).contains("acme-2"));
    if has_curl {
        assert!(run(&data_dir, &["tenant", "list"]).contains("Beta"));
    }
    assert!(server.stop().success());
}
