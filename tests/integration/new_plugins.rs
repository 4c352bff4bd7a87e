//! `sigpersist plugin new` writes a whole folder. `plugins/templates/test.sh` builds and runs them where the tools are.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::support::{run, sigpersist, temp_dir};

const PLUGINS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");
const LANGUAGES: [&str; 4] = ["rust", "c", "js", "python"];
const KINDS: [&str; 3] = ["tagger", "validator", "delete"];

/// Files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<String, String>) {
        for entry in folder.read_dir().unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                collect(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(folder, folder, &mut found);
    found
}

/// Makes a plugin, and returns its files.
fn made(folder: &Path, language: &str, kind: &str) -> BTreeMap<String, String> {
    let target = folder.join(format!("{language}-{kind}"));
    let output = target.to_str().unwrap();
    let arguments = [
        "plugin", "new", "my-hook", "--lang", language, "--kind", kind, "-o", output,
    ];
    let said = run(folder, &arguments);
    assert!(said.contains("make cases"), "{said}");
    files(&target)
}

#[test]
fn a_new_plugin_is_a_whole_folder_in_each_language_and_kind() {
    let folder = temp_dir();
    for language in LANGUAGES {
        for kind in KINDS {
            let files = made(folder.path(), language, kind);
            for (name, text) in &files {
                assert!(!text.contains("{{"), "{language}, {kind}: {name}: {text}");
            }
            let readme = &files["README.md"];
            for name in files.keys() {
                let top = name.split('/').next().unwrap();
                let is_told = readme.contains(&format!("`{name}`"))
                    || readme.contains(&format!("`{top}/`"))
                    || readme.contains(&format!("`{top}/sigpersist-plugin/`"))
                    || [
                        "README.md",
                        "Makefile",
                        ".gitignore",
                        "Cargo.toml",
                        "judge.h",
                        "package.json",
                        "package-lock.json",
                        "requirements.txt",
                    ]
                    .contains(&name.as_str());
                assert!(
                    is_told,
                    "{language}, {kind}: the README does not tell of {name}"
                );
            }
            for command in ["test:", "cases: my-hook.wasm", "my-hook.wasm:"] {
                assert!(files["Makefile"].contains(command), "{command}");
            }
            let cases = files.iter().filter(|(name, _)| name.starts_with("cases/"));
            let mut refusals = 0;
            for (name, text) in cases.clone() {
                let case: Value = serde_json::from_str(text).unwrap();
                let verdict = case["expected"]["verdict"].as_str().unwrap();
                refusals += usize::from(verdict != "accepted");
                assert!(
                    ["accepted", "rejected", "settings_refused"].contains(&verdict),
                    "{name}"
                );
                let operation = case["input"]["operation"].as_str().unwrap_or("save");
                let of_delete = kind == "delete" && verdict != "settings_refused";
                assert!(!of_delete || operation == "delete", "{name}");
            }
            assert!(cases.count() == 4 && refusals > 0);
        }
    }
}

#[test]
fn a_new_plugin_in_rust_has_the_whole_kit_and_the_contract() {
    let folder = temp_dir();
    let made = made(folder.path(), "rust", "validator");
    let mut kit = files(&Path::new(PLUGINS).join("sdk"));
    kit.retain(|name, _| !name.starts_with("target/"));
    let vendored = made.iter().filter_map(|(name, text)| {
        let name = name.strip_prefix("vendor/sigpersist-plugin/")?;
        Some((name.to_owned(), text.clone()))
    });
    assert_eq!(vendored.collect::<BTreeMap<_, _>>(), kit);
    let contract = std::fs::read_to_string(Path::new(PLUGINS).join("wit/hooks.wit")).unwrap();
    assert!(
        kit["wit/hooks.wit"] == contract,
        "copy plugins/wit/hooks.wit to plugins/sdk/wit: the kit is published with it"
    );
}

#[test]
fn a_new_plugin_in_c_has_the_bindings_of_the_whole_contract() {
    let folder = temp_dir();
    let files = made(folder.path(), "c", "delete");
    let bindings = &files["kit/bindings/hook.c"];
    let contract = std::fs::read_to_string(Path::new(PLUGINS).join("wit/hooks.wit")).unwrap();
    let world = contract.split("world host {").nth(1).unwrap();
    let imports = world.split('}').next().unwrap().lines();
    let imports = imports.filter_map(|line| line.trim().strip_prefix("import "));
    let imports: Vec<_> = imports.map(|name| name.trim_end_matches(';')).collect();
    assert!(imports.len() >= 7, "{imports:?}");
    for name in imports {
        let module = format!(r#"__import_module__("sigpersist:hooks/{name}@1.1.0")"#);
        assert!(
            bindings.contains(&module),
            "{name}: run plugins/c/generate.sh"
        );
    }
    for (export, name) in [
        ("TAGGER", "tagger@1.1.0#tag"),
        ("SAVE_VALIDATOR", "save-validator@1.1.0#validate-save"),
        ("DELETE_VALIDATOR", "delete-validator@1.1.0#validate-delete"),
    ] {
        // Each export can be left out, with the function that frees its result.
        let guard = format!("#ifdef HOOK_{export}\n");
        let guarded = bindings.split(&guard).skip(1);
        let guarded = guarded.filter(|rest| rest.lines().next().unwrap().contains(name));
        assert_eq!(guarded.count(), 2, "{export}");
        assert_eq!(bindings.matches(name).count(), 2, "{export}");
    }
    assert!(files["Makefile"].contains("-DHOOK_DELETE_VALIDATOR"));
}

#[test]
fn names_that_can_not_be_and_folders_that_are_there_are_refused() {
    let folder = temp_dir();
    let refusal = |name: &str, language: &str| {
        let mut command = sigpersist(folder.path(), &["plugin", "new", name, "--lang", language]);
        let output = command.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (name, language, words) in [
        ("Needs_Comment", "js", "lower-case letters"),
        ("../elsewhere", "c", "lower-case letters"),
        ("9lives", "python", "begin it with a letter"),
        ("async", "rust", "async-hook"),
        ("sigpersist-plugin", "rust", "sigpersist-plugin-hook"),
    ] {
        let said = refusal(name, language);
        assert!(said.contains(words), "{name}: {said}");
    }
    assert_eq!(files(folder.path()).len(), 0);
    std::fs::create_dir(folder.path().join("there")).unwrap();
    let said = refusal("there", "rust");
    assert!(
        said.contains("there exists already") && said.contains("--output"),
        "{said}"
    );
    assert_eq!(files(folder.path()).len(), 0);
    // The same name is right in another language.
    let mut command = sigpersist(folder.path(), &["plugin", "new", "async", "--lang", "js"]);
    assert!(
        command
            .current_dir(folder.path())
            .status()
            .unwrap()
            .success()
    );
    assert!(folder.path().join("async/plugin.js").exists());
}

#[test]
fn the_schema_of_cases_is_printed() {
    let folder = temp_dir();
    let schema: Value =
        serde_json::from_str(&run(folder.path(), &["plugin", "test", "--schema"])).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["input", "expected"]));
    assert!(
        schema["$defs"]["Sample"]["properties"]["cms_file"].is_object(),
        "{schema}"
    );
    let output = sigpersist(folder.path(), &["plugin", "test"])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(2),
        "a component and cases are required otherwise"
    );
}
