//! Completions of shells and manual pages, as packages install them.

use std::process::Command;

use crate::support::{run, sigpersist, succeeds, temp_dir};

#[test]
fn bash_completes_commands_and_options() {
    let folder = temp_dir();
    let script = run(folder.path(), &["completions", "bash"]);
    let completed = |words: &str| {
        let asked = format!(
            "{script}\nCOMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             _sigpersist sigpersist \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
             echo \"${{COMPREPLY[@]}}\""
        );
        // The script is longer than an argument may be.
        let file = folder.path().join("asked.sh");
        std::fs::write(&file, asked).unwrap();
        let mut bash = Command::new("bash");
        bash.arg(file);
        succeeds(bash)
    };
    assert_eq!(completed("sigpersist ten").trim(), "tenant");
    assert_eq!(completed("sigpersist tenant cre").trim(), "create");
    assert_eq!(completed("sigpersist serve --no-mi").trim(), "--no-migrate");
}

#[test]
fn there_are_completions_for_each_shell_and_for_no_other() {
    let folder = temp_dir();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(folder.path(), &["completions", shell]);
        assert!(script.contains("upgrade-data"), "{shell}");
    }
    let refused = sigpersist(folder.path(), &["completions", "tcsh"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("possible values: bash"), "{told}");
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = temp_dir();
    let pages = folder.path().join("new/pages");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let written = |to: &std::path::Path| {
        sigpersist(folder.path(), &["man-pages", to.to_str().unwrap()])
            .output()
            .unwrap()
    };
    assert!(written(&pages).status.success());
    let page = |name: &str| std::fs::read_to_string(pages.join(name));
    let whole = page("sigpersist.1").unwrap();
    assert!(whole.contains(r"sigpersist\-tenant(1)"), "{whole}");
    assert!(!whole.contains("man\\-pages"), "{whole}");
    let create = page("sigpersist-tenant-create.1").unwrap();
    assert!(create.contains("requests\\-per\\-second"), "{create}");
    assert!(page("sigpersist-man-pages.1").is_err());

    let refused = written(&file);
    assert!(!refused.status.success());
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains(file.to_str().unwrap()), "{told}");
}
