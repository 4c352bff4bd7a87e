//! `sigpersist completions` and `sigpersist man-pages`: what a shell and `man` know about the commands.
//!
//! Both are made of the definitions that read the command line, so they can't differ from it.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::output::Output;

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that will read it.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut command: Command, output: &Output) -> anyhow::Result<()> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        generate(self.shell, &mut command, name, &mut script);
        let script = String::from_utf8(script).context("The script is not UTF-8.")?;
        output.line(script.trim_end())
    }
}

#[derive(Debug, Args)]
pub(super) struct ManPages {
    /// The folder to write to, one page for each command. It is made if it does not exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl ManPages {
    pub(super) fn run(self, command: Command) -> anyhow::Result<()> {
        let folder = &self.folder;
        fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(command, folder))
            .with_context(|| format!("Could not write the pages to {}", folder.display()))
    }
}
