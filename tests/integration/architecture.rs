//! Who may know whom: each heavy technology has one home, and layers don't reach over one another.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Files under `src`, by their path from there, with what they say outside of comments.
fn files() -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
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

#[test]
fn each_technology_has_one_home() {
    for (technology, home) in [
        ("warp", "http/"),
        ("diesel", "store/"),
        ("diesel_migrations", "store/"),
        ("wasmtime", "hooks/"),
        ("jsonwebtoken", "auth/"),
        ("wit_component", "hooks/"),
        ("wit_parser", "hooks/"),
        ("wasmparser", "hooks/"),
        ("metrics_exporter_prometheus", "telemetry/"),
        ("opentelemetry", "telemetry/"),
        ("utoipa_swagger_ui", "http/"),
        ("indicatif", "cli/"),
        ("xmlparser", "xmldsig/"),
        ("encoding_rs", "xmldsig/"),
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

#[test]
fn layers_do_not_reach_over_one_another() {
    /// What those who read signatures may not know.
    const READERS: &[&str] = &[
        "store",
        "http",
        "hooks",
        "app",
        "auth",
        "plugins",
        "signatures",
    ];
    let forbidden: [(&str, &[&str]); 16] = [
        ("http/", &["store", "hooks"]),
        ("hooks/", &["store", "http", "app"]),
        ("store/", &["hooks", "http", "app"]),
        ("auth/", &["store", "http", "hooks", "app"]),
        (
            "decisions/model.rs",
            &["store", "http", "hooks", "app", "auth"],
        ),
        (
            "plugins/model.rs",
            &["store", "http", "hooks", "app", "auth"],
        ),
        (
            "transfer/model.rs",
            &["store", "http", "hooks", "app", "auth"],
        ),
        ("audit/model.rs", &["store", "http", "hooks", "app", "auth"]),
        (
            "signatures/model.rs",
            &["store", "http", "hooks", "app", "auth", "plugins"],
        ),
        ("cms/", READERS),
        ("xmldsig/", READERS),
        ("pki/", READERS),
        ("pki/", &["cms", "xmldsig"]),
        ("error.rs", &["store", "http", "hooks", "app"]),
        ("context.rs", &["store", "http", "hooks", "app"]),
        ("config.rs", &["store", "http", "hooks", "app"]),
    ];
    for (name, code) in files() {
        for (place, others) in forbidden
            .iter()
            .filter(|(place, _)| name.starts_with(place))
        {
            for other in *others {
                assert!(
                    !code.contains(&format!("crate::{other}")),
                    "{name} knows {other}, which {place} may not"
                );
            }
        }
    }
}
