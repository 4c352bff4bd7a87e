//! The tokens that `sigpersist login` keeps, in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use sigpersist_client::ServerUrl;
use tempfile::NamedTempFile;

/// The tokens, each under the URL of its server.
#[derive(Debug, Default)]
pub(in crate::cli) struct Tokens(BTreeMap<String, String>);

impl Tokens {
    /// Reads the file; empty if there is none.
    ///
    /// # Errors
    ///
    /// A sentence if the file can't be read, or if others can read it too.
    pub(in crate::cli) fn read() -> anyhow::Result<Self> {
        let path = path()?;
        let unreadable = || format!("The file {} can't be read", path.display());
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(unreadable),
        };
        let mode = fs::metadata(&path)?.permissions().mode();
        ensure!(
            mode.trailing_zeros() >= 6,
            "The file {} has tokens, and others can read it: run `chmod 600` on it.",
            path.display()
        );
        serde_json::from_str(&text)
            .map(Self)
            .with_context(unreadable)
    }

    /// The token for a server.
    pub(super) fn get(&self, server: &ServerUrl) -> Option<String> {
        self.0.get(&server.to_string()).cloned()
    }

    /// Keeps a token for a server.
    pub(in crate::cli) fn keep(&mut self, server: &ServerUrl, token: &str) -> anyhow::Result<()> {
        self.0.insert(server.to_string(), token.to_owned());
        self.write()
    }

    /// Forgets the token for a server; tells whether there was one.
    pub(in crate::cli) fn forget(&mut self, server: &ServerUrl) -> anyhow::Result<bool> {
        let known = self.0.remove(&server.to_string()).is_some();
        if known {
            self.write()?;
        }
        Ok(known)
    }

    /// Writes the file whole, or leaves it as it is.
    fn write(&self) -> anyhow::Result<()> {
        let path = path()?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let unwritable = || format!("The file {} can't be written", path.display());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(unwritable)?;
        // It is readable by its owner only from the start.
        let mut file = NamedTempFile::new_in(folder).with_context(unwritable)?;
        serde_json::to_writer_pretty(&mut file, &self.0)?;
        file.write_all(b"\n").with_context(unwritable)?;
        file.persist(&path).with_context(unwritable)?;
        Ok(())
    }
}

/// The file, in the user's folder for configuration (XDG Base Directory Specification 0.8).
fn path() -> anyhow::Result<PathBuf> {
    let given = |variable: &str| {
        let value = std::env::var_os(variable)?;
        (!value.is_empty()).then(|| PathBuf::from(value))
    };
    let folder = given("XDG_CONFIG_HOME")
        .filter(|folder| folder.is_absolute())
        .or_else(|| Some(given("HOME")?.join(".config")));
    let folder = folder.context("Set HOME, whose folder .config keeps tokens")?;
    Ok(folder.join("sigpersist").join("tokens.json"))
}
