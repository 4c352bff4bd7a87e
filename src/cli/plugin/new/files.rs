//! Files of a new plugin. They are real files of `plugins/`, and travel in this program, so that no checkout is needed.

use super::{Kind, Language};

/// A path in the new folder, and the text of the file.
pub(super) type File = (&'static str, &'static str);

macro_rules! of {
    ($path:expr) => {
        include_str!(concat!("../../../../plugins/", $path))
    };
}

/// A file for each kind of plugin.
macro_rules! for_kind {
    ($kind:expr, $before:literal, $after:literal) => {
        match $kind {
            Kind::Tagger => of!(concat!("templates/", $before, "tagger", $after)),
            Kind::Validator => of!(concat!("templates/", $before, "validator", $after)),
            Kind::Delete => of!(concat!("templates/", $before, "delete", $after)),
        }
    };
}

macro_rules! cases {
    ($kind:literal: $($name:literal),+) => {
        &[$((
            concat!("cases/", $name, ".json"),
            of!(concat!("templates/shared/cases/", $kind, "/", $name, ".json")),
        )),+]
    };
}

pub(super) const README: &str = of!("templates/README.md");

/// All files of a plugin but the README.
pub(super) fn files(language: Language, kind: Kind) -> Vec<File> {
    let own = match language {
        Language::Rust => rust(kind),
        Language::C => c(kind),
        Language::Js => js(kind),
        Language::Python => python(kind),
    };
    own.into_iter().chain(cases(kind).iter().copied()).collect()
}

fn cases(kind: Kind) -> &'static [File] {
    match kind {
        Kind::Tagger => {
            cases!("tagger": "a-false-claim-is-removed", "a-setting-that-is-no-text", "with-a-comment",
            "without-a-comment")
        }
        Kind::Validator => {
            cases!("validator": "a-comment-that-is-too-short", "a-setting-that-is-no-number",
            "with-a-comment", "without-a-comment")
        }
        Kind::Delete => {
            cases!("delete": "a-setting-that-is-no-text", "a-thread-to-keep", "another-tag-keeps-it",
            "any-other-thread")
        }
    }
}

fn rust(kind: Kind) -> Vec<File> {
    vec![
        ("Cargo.toml", of!("templates/rust/Cargo.toml")),
        ("Makefile", of!("templates/rust/Makefile")),
        (".gitignore", of!("templates/rust/gitignore")),
        ("src/lib.rs", for_kind!(kind, "rust/src/", ".rs")),
        ("vendor/sigpersist-plugin/Cargo.toml", of!("sdk/Cargo.toml")),
        ("vendor/sigpersist-plugin/README.md", of!("sdk/README.md")),
        ("vendor/sigpersist-plugin/LICENSE", of!("sdk/LICENSE")),
        (
            "vendor/sigpersist-plugin/src/arena.rs",
            of!("sdk/src/arena.rs"),
        ),
        (
            "vendor/sigpersist-plugin/src/bindings.rs",
            of!("sdk/src/bindings.rs"),
        ),
        ("vendor/sigpersist-plugin/src/lib.rs", of!("sdk/src/lib.rs")),
        (
            "vendor/sigpersist-plugin/src/panics.rs",
            of!("sdk/src/panics.rs"),
        ),
        (
            "vendor/sigpersist-plugin/src/records.rs",
            of!("sdk/src/records.rs"),
        ),
        (
            "vendor/sigpersist-plugin/src/requests.rs",
            of!("sdk/src/requests.rs"),
        ),
        (
            "vendor/sigpersist-plugin/src/settings.rs",
            of!("sdk/src/settings.rs"),
        ),
        (
            "vendor/sigpersist-plugin/wit/hooks.wit",
            of!("wit/hooks.wit"),
        ),
    ]
}

fn c(kind: Kind) -> Vec<File> {
    vec![
        ("Makefile", of!("templates/c/Makefile")),
        (".gitignore", of!("templates/c/gitignore")),
        ("plugin.c", for_kind!(kind, "c/plugin.", ".c")),
        ("judge.c", for_kind!(kind, "c/judge.", ".c")),
        ("judge.h", for_kind!(kind, "c/judge.", ".h")),
        ("test.c", for_kind!(kind, "c/test.", ".c")),
        ("kit/bindings/hook.c", of!("c/bindings/hook.c")),
        ("kit/bindings/hook.h", of!("c/bindings/hook.h")),
        ("kit/include/stdlib.h", of!("c/include/stdlib.h")),
        ("kit/include/string.h", of!("c/include/string.h")),
        ("kit/json.c", of!("c/json.c")),
        ("kit/json.h", of!("c/json.h")),
        ("kit/memory.c", of!("c/memory.c")),
        ("kit/stop.c", of!("c/stop.c")),
        ("kit/stop.h", of!("c/stop.h")),
        ("kit/hooks.wit", of!("wit/hooks.wit")),
    ]
}

fn js(kind: Kind) -> Vec<File> {
    vec![
        ("Makefile", of!("templates/js/Makefile")),
        (".gitignore", of!("templates/js/gitignore")),
        ("package.json", of!("templates/js/package.json")),
        ("package-lock.json", of!("templates/js/package-lock.json")),
        ("plugin.js", for_kind!(kind, "js/plugin.", ".js")),
        ("judge.js", for_kind!(kind, "js/judge.", ".js")),
        ("judge.test.js", for_kind!(kind, "js/judge.", ".test.js")),
        ("sigpersist.js", of!("js/sigpersist.js")),
        ("wit/world.wit", for_kind!(kind, "wit/", ".wit")),
        ("wit/deps/hooks.wit", of!("wit/hooks.wit")),
    ]
}

fn python(kind: Kind) -> Vec<File> {
    vec![
        ("Makefile", of!("templates/python/Makefile")),
        (".gitignore", of!("templates/python/gitignore")),
        ("requirements.txt", of!("templates/python/requirements.txt")),
        ("plugin.py", for_kind!(kind, "python/plugin.", ".py")),
        ("judge.py", for_kind!(kind, "python/judge.", ".py")),
        (
            "test_judge.py",
            for_kind!(kind, "python/test_judge.", ".py"),
        ),
        ("sigpersist_plugin.py", of!("python/sigpersist_plugin.py")),
        ("wit/world.wit", for_kind!(kind, "wit/", ".wit")),
        ("wit/deps/hooks.wit", of!("wit/hooks.wit")),
    ]
}
