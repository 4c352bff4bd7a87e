//! Programs that are installed with Postgres but not always in PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn postgres_program(name: &str) -> PathBuf {
    let output = Command::new("pg_config").arg("--bindir").output();
    let folder = output
        .map(|output| String::from_utf8(output.stdout).unwrap())
        .unwrap_or_default();
    let path = Path::new(folder.trim()).join(name);
    if path.exists() { path } else { name.into() }
}
