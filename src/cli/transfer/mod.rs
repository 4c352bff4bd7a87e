//! `sigpersist tenant export` and `sigpersist tenant import`.

mod export;
mod import;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use zeroize::Zeroizing;

use super::door::Unreachable;

pub(super) use export::Export;
pub(super) use import::Import;

/// The name that stands for standard input or output.
const STANDARD: &str = "-";
/// Pauses between questions about the state of a transfer: short at first, for what is done at once.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];
/// Times that a transfer goes on after its way to the server broke off, without any progress in between.
const ATTEMPTS: u32 = 10;

/// Source of the passphrase. It is never an argument, since other users of the machine can see those.
#[derive(Debug, Args)]
struct PassphraseArgs {
    /// A file whose first line is the passphrase for the keys, or - for standard input; if left out,
    /// `SIGPERSIST_EXPORT_PASSPHRASE` is the passphrase.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// The passphrase, if there is one.
    fn read(&self) -> anyhow::Result<Option<Zeroizing<String>>> {
        let Some(path) = &self.passphrase_file else {
            let text = std::env::var("SIGPERSIST_EXPORT_PASSPHRASE").ok();
            return Ok(text.map(|text| first_line(&Zeroizing::new(text))));
        };
        let mut text = Zeroizing::new(String::new());
        let read = if is_standard(path) {
            io::stdin().lock().read_line(&mut text)
        } else {
            File::open(path).and_then(|file| BufReader::new(file).read_line(&mut text))
        };
        read.with_context(|| format!("The file {} can't be read", path.display()))?;
        Ok(Some(first_line(&text)))
    }
}

fn first_line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.lines().next().unwrap_or_default().to_owned())
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == STANDARD
}

/// Asks again and again until the work is done.
fn wait<T>(mut ask: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let [mut pause, longest] = PAUSES;
    let mut patience = Patience::default();
    loop {
        match ask() {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => patience = Patience::default(),
            Err(error) => patience.bear(error)?,
        }
        thread::sleep(pause);
        pause = (2 * pause).min(longest);
    }
}

/// Patience with a way to the server that breaks off.
#[derive(Debug, Default)]
struct Patience {
    failures: u32,
}

impl Patience {
    /// Waits before the next attempt; returns the error if there were too many, or if it is another one.
    fn bear(&mut self, error: anyhow::Error) -> anyhow::Result<()> {
        let is_broken_off = error.is::<Unreachable>() || error.is::<io::Error>();
        if !is_broken_off || self.failures >= ATTEMPTS {
            return Err(error);
        }
        self.failures += 1;
        thread::sleep(Duration::from_millis(200) * self.failures);
        Ok(())
    }
}
