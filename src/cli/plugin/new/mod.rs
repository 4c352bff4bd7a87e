//! `sigpersist plugin new`.

mod files;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use sigpersist_model::tenant::check_slug;

use crate::cli::output::Output;

/// Names that can't be those of a crate which uses the kit: keywords and crates.
const NOT_FOR_RUST: [&str; 52] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "serde",
    "sigpersist-plugin",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "unsafe",
    "use",
    "where",
];

#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// The plugin's name: lower-case letters, digits and hyphens.
    name: String,
    /// The language.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Language,
    /// Function of the example in the folder: derive tags, refuse saves, or refuse deletes.
    #[arg(long, value_name = "KIND", default_value = "validator")]
    kind: Kind,
    /// The new folder [default: NAME, in the current folder].
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// The language of a new plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    C,
    Js,
    Python,
}

/// Interface that a new plugin exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Tagger,
    Validator,
    Delete,
}

impl New {
    pub(super) fn run(self, output: &Output) -> anyhow::Result<()> {
        let Self {
            name,
            lang,
            kind,
            output: folder,
        } = self;
        check(&name, lang)?;
        let folder = folder.unwrap_or_else(|| PathBuf::from(&name));
        let shown = folder.display();
        ensure!(
            !folder.exists(),
            "{shown} exists already, so nothing was written. Give another name, or another folder with --output."
        );
        let made = write(&folder, &name, lang, kind);
        if made.is_err() {
            // It did not exist before. A part of a plugin is of no use.
            fs::remove_dir_all(&folder).ok();
        }
        let files = made?;
        output.result(
            &format!(
                "Made the plugin {name} in {}.\nNext: cd {shown} && make cases",
                lang.title()
            ),
            &json!({ "name": name, "folder": folder, "language": word(&lang), "kind": word(&kind), "files": files }),
        )
    }
}

fn check(name: &str, language: Language) -> anyhow::Result<()> {
    check_slug("plugin", name)?;
    ensure!(
        name.starts_with(|first: char| first.is_ascii_lowercase()),
        "`{name}` can't be the name of a new plugin: begin it with a letter, as most languages require."
    );
    ensure!(
        language != Language::Rust || !NOT_FOR_RUST.contains(&name),
        "`{name}` can't be the name of a plugin in Rust, since it has another meaning there. Add a word to it: {name}-hook."
    );
    Ok(())
}

/// Writes all files. Returns their paths in the folder.
fn write(
    folder: &Path,
    name: &str,
    language: Language,
    kind: Kind,
) -> anyhow::Result<Vec<&'static str>> {
    let all = files::files(language, kind);
    let readme = readme(name, language, kind);
    let all = all.into_iter().chain([("README.md", readme.as_str())]);
    let mut written = Vec::new();
    for (path, text) in all {
        let target = folder.join(path);
        let text = text
            .replace("{{name}}", name)
            .replace("{{module}}", &name.replace('-', "_"))
            .replace("{{export}}", kind.export());
        let parent = target.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&target, text))
            .with_context(|| {
                format!(
                    "{} can't be written; go to a folder where you may write",
                    target.display()
                )
            })?;
        written.push(path);
    }
    Ok(written)
}

fn readme(name: &str, language: Language, kind: Kind) -> String {
    files::README
        .replace("{{name}}", name)
        .replace("{{language}}", language.title())
        .replace("{{sentence}}", kind.sentence())
        .replace("{{tools}}", language.tools())
        .replace("{{files}}", language.files())
        .replace("{{setting}}", kind.setting())
        .replace("{{breaks}}", language.breaks())
}

/// The word of an option's value.
fn word(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

impl Language {
    fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Js => "JavaScript",
            Self::Python => "Python",
        }
    }

    /// Tools that an author installs. The Makefile gets the rest.
    fn tools(self) -> &'static str {
        match self {
            Self::Rust => "Rust with its target (`rustup target add wasm32-unknown-unknown`), make",
            Self::C => {
                "make, a C compiler for the tests, and zig or Python 3 with pip, which gets zig"
            }
            Self::Js => "Node 20 or later with npm, make",
            Self::Python => "Python 3.10 or later with venv and pip, make",
        }
    }

    fn files(self) -> &'static str {
        match self {
            Self::Rust => {
                "| `src/lib.rs` | the plugin and its tests |\n\
                 | `vendor/sigpersist-plugin/` | the kit. Its documentation: `cargo doc --open -p sigpersist-plugin`. `wit/` has the contract, with a comment on every item |"
            }
            Self::C => {
                "| `judge.c`, `test.c` | the rule of the plugin, and its tests |\n\
                 | `plugin.c` | the functions that the server calls |\n\
                 | `kit/` | memory, a reader of JSON, `stop` for messages, and the bindings of the whole contract. `hooks.wit` is the contract, with a comment on every item |"
            }
            Self::Js => {
                "| `judge.js`, `judge.test.js` | the rule of the plugin, and its tests |\n\
                 | `plugin.js` | the functions that the server calls |\n\
                 | `sigpersist.js` | the kit: `reported`, and `console` |\n\
                 | `wit/` | the world of the plugin; `deps/hooks.wit` is the contract, with a comment on every item |"
            }
            Self::Python => {
                "| `judge.py`, `test_judge.py` | the rule of the plugin, and its tests |\n\
                 | `plugin.py` | the functions that the server calls |\n\
                 | `sigpersist_plugin.py` | the kit: `reported`, and `print` |\n\
                 | `wit/` | the world of the plugin; `deps/hooks.wit` is the contract, with a comment on every item |"
            }
        }
    }

    /// Sentences on how the author learns why the plugin broke.
    fn breaks(self) -> &'static str {
        match self {
            Self::Rust => "the message of a panic, with file and line.",
            Self::C => "the message of `stop(\"…\")`, with file and line.",
            Self::Js | Self::Python => "the message of an uncaught exception, with its stack.",
        }
    }
}

impl Kind {
    /// Macro that compiles the bindings of the interface in C.
    fn export(self) -> &'static str {
        match self {
            Self::Tagger => "HOOK_TAGGER",
            Self::Validator => "HOOK_SAVE_VALIDATOR",
            Self::Delete => "HOOK_DELETE_VALIDATOR",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Tagger => "It tags versions that have a comment",
            Self::Validator => "It refuses a version without a comment",
            Self::Delete => "It refuses to delete threads that have a tag",
        }
    }

    fn setting(self) -> &'static str {
        match self {
            Self::Tagger => r#"{"tag": "commented"}"#,
            Self::Validator => r#"{"min_chars": 1}"#,
            Self::Delete => r#"{"tag": "keep"}"#,
        }
    }
}
