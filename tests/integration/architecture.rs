//! Rules about which modules may use which others: each heavy technology has one home, and layers are not skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The files under `src`, as relative path and code without comments.
fn files() -> Vec<(String, String)> {
    files_in("src")
}

fn files_in(folder: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    sources(&src)
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            let text = fs::read_to_string(path).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .fold(String::new(), |all, line| all + line + "\n");
            (name, code)
        })
        .collect()
}

/// Crates of ours that each crate may depend on, as ARCHITECTURE.md draws the arrows.
const ARROWS: [(&str, &[&str]); 9] = [
    ("crates/verify", &[]),
    ("crates/outbound", &[]),
    ("crates/tlog", &[]),
    ("crates/model", &["tlog", "verify"]),
    ("crates/runtime", &["model", "verify"]),
    ("crates/postgres", &["model"]),
    ("crates/hooks", &["model", "runtime", "verify"]),
    ("crates/store", &["model", "postgres", "runtime", "tlog"]),
    (
        ".",
        &[
            "client", "hooks", "model", "outbound", "postgres", "runtime", "store", "tlog",
            "verify",
        ],
    ),
];

/// The names in `[dependencies]` of a crate's manifest.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join("Cargo.toml");
    let text = fs::read_to_string(manifest).unwrap();
    text.lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', ' ']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_depend_on_those_below_them_only() {
    for (folder, allowed) in ARROWS {
        let ours: BTreeSet<_> = dependencies(folder)
            .into_iter()
            .filter_map(|name| name.strip_prefix("sigpersist-").map(str::to_owned))
            .collect();
        let allowed: BTreeSet<_> = allowed.iter().copied().map(str::to_owned).collect();
        assert_eq!(ours, allowed, "the dependencies of {folder}");
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates");
    assert_eq!(crates.read_dir().unwrap().count() + 1, ARROWS.len());
}

#[test]
fn each_technology_has_one_home() {
    for (technology, homes) in [
        ("diesel", &["crates/postgres", "crates/store"][..]),
        ("diesel_migrations", &["crates/store"]),
        ("wasmtime", &["crates/hooks"]),
        ("wasmparser", &["crates/hooks"]),
        ("wit-component", &["crates/hooks"]),
        ("wit-parser", &["crates/hooks"]),
        ("metrics-exporter-prometheus", &["crates/runtime"]),
        ("x509-parser", &["crates/verify", "."]),
    ] {
        let at: BTreeSet<_> = ARROWS
            .iter()
            .map(|(folder, _)| *folder)
            .filter(|folder| dependencies(folder).contains(technology))
            .collect();
        assert_eq!(at, homes.iter().copied().collect(), "{technology}");
    }
    for (technology, home) in [
        ("warp", "http/"),
        ("jsonwebtoken", "auth/"),
        ("opentelemetry", "telemetry/"),
        ("utoipa_swagger_ui", "http/"),
        ("pulldown_cmark", "book/"),
        ("indicatif", "cli/"),
        ("docker_credential", "cli/"),
        ("minisign_verify", "publishers"),
    ] {
        let used = |code: &str| {
            code.contains(&format!("{technology}::"))
                || code.contains(&format!("use {technology} "))
        };
        let mut at_home = 0;
        for (name, code) in files() {
            if name.starts_with(home) {
                at_home += usize::from(used(&code));
            } else {
                assert!(
                    !used(&code),
                    "{name} uses {technology}, whose home is {home}"
                );
            }
        }
        assert!(at_home > 0, "{technology} is not used in {home}");
    }
}

/// Files of the command line that may use the parts of a server: what works on its machine only, and the door.
const OF_MACHINE: [&str; 9] = [
    "cli/audit.rs",
    "cli/demo/mod.rs",
    "cli/door/local.rs",
    "cli/door/mod.rs",
    "cli/master_key.rs",
    "cli/migrate.rs",
    "cli/mod.rs",
    "cli/serve.rs",
    "cli/upgrade_data.rs",
];

#[test]
fn commands_reach_use_cases_through_the_door_only() {
    let using: BTreeSet<_> = files()
        .into_iter()
        .filter(|(name, code)| name.starts_with("cli/") && code.contains("crate::app"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(using, OF_MACHINE.map(str::to_owned).into());
}

#[test]
fn layers_do_not_reach_over_one_another() {
    let forbidden: [(&str, &[&str]); 2] = [
        ("auth/", &["http", "app"]),
        ("config/", &["http", "app", "auth"]),
    ];
    obey(&files(), &forbidden);
    for (name, code) in files() {
        let is_http = name.starts_with("http/");
        assert!(
            !is_http || !code.contains("sigpersist_store"),
            "{name} reaches over the use-cases into the store"
        );
    }
    let within: [(&str, &[&str]); 3] = [
        ("pki/", &["cms", "xmldsig", "report", "body"]),
        ("cms/", &["xmldsig", "report", "body"]),
        ("xmldsig/", &["report", "body"]),
    ];
    obey(&files_in("crates/verify/src"), &within);
}

/// No two modules of `src/` need each other, be it directly or through others.
#[test]
fn modules_form_no_cycle() {
    let mut needs = BTreeMap::<String, BTreeSet<String>>::new();
    for (name, code) in files() {
        let module = first_word(&name).unwrap().to_owned();
        let others = known(&code).into_iter().map(str::to_owned);
        let needed = needs.entry(module.clone()).or_default();
        needed.extend(others.filter(|other| *other != module));
    }
    needs.retain(|module, _| !["lib", "main"].contains(&module.as_str()));
    let all = needs.len();
    // Takes away whatever needs nothing that is left.
    while let Some(free) = needs.iter().find(|(_, needed)| needed.is_empty()) {
        let free = free.0.clone();
        needs.remove(&free);
        for needed in needs.values_mut() {
            needed.remove(&free);
        }
    }
    assert!(all > 10 && needs.is_empty(), "a cycle is among {needs:?}");
}

/// Servers cache keys, hooks and policies. Every transaction on them tells the caches when it ends.
#[test]
fn transactions_on_cached_rows_tell_of_the_change() {
    let cached = [
        "hooks.rs",
        "issuers.rs",
        "keys.rs",
        "log_settings.rs",
        "policies.rs",
    ];
    let mut transactions = 0;
    for (name, code) in files_in("crates/store/src") {
        if cached.contains(&name.as_str()) {
            assert!(
                !code.contains("self.transaction("),
                "{name} has a transaction that tells nobody: use `changing`"
            );
            transactions += code.matches("self.changing(").count();
        }
    }
    assert!(transactions >= 8, "{transactions}");
}

/// Asserts that the files of each place do not use the modules that are forbidden there.
fn obey(files: &[(String, String)], forbidden: &[(&str, &[&str])]) {
    for (place, others) in forbidden {
        let mut there = files
            .iter()
            .filter(|(name, _)| name.starts_with(place))
            .peekable();
        assert!(there.peek().is_some(), "there is no {place}");
        for (name, code) in there {
            let known = known(code);
            for other in *others {
                assert!(
                    !known.contains(*other),
                    "{name} knows {other}, which {place} may not"
                );
            }
        }
    }
}

/// The modules of its own crate that the code names, also in groups: `crate::{one, other::Thing}`.
fn known(code: &str) -> BTreeSet<&str> {
    let mut known = BTreeSet::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            known.extend(first_word(rest));
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (at, char) in group.char_indices() {
            match char {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                char if begins && !char.is_whitespace() => {
                    known.extend(first_word(&group[at..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    known
}

fn first_word(code: &str) -> Option<&str> {
    code.split(|char: char| !char.is_alphanumeric() && char != '_')
        .next()
}

#[test]
fn modules_are_found_however_they_are_named() {
    let code = "use crate::{http as _, store::{self, Store}};\nfn f() { crate::app::run() }";
    let found: Vec<_> = known(code).into_iter().collect();
    assert_eq!(found, ["app", "http", "store"]);
}
