//! Comments are read by people in a hurry. A doc comment that begins with a subordinate clause is read twice.

use std::path::Path;

use crate::architecture::sources;

/// First words of clauses that describe a thing in place of its name.
const UNWANTED: [&str; 13] = [
    "What", "Who", "Whose", "Whom", "Whoever", "Whatever", "Which", "Those", "That", "Of",
    "The same", "So many", "As many",
];
/// The most doc comments that may begin so, in percent.
const MOST: usize = 1;

/// The first lines of the doc comments of a file.
fn beginnings(text: &str) -> Vec<&str> {
    let mut beginnings = Vec::new();
    let mut is_within = false;
    for line in text.lines().map(str::trim_start) {
        let comment = ["///", "//!"]
            .iter()
            .find_map(|marker| line.strip_prefix(marker))
            .filter(|rest| !rest.starts_with('/'));
        if let Some(comment) = comment.filter(|_| !is_within) {
            beginnings.push(comment.trim_start());
        }
        is_within = comment.is_some();
    }
    beginnings
}

fn is_unwanted(beginning: &str) -> bool {
    UNWANTED.iter().any(|words| {
        let rest = beginning.strip_prefix(words);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
    })
}

#[test]
fn doc_comments_begin_with_what_they_are_about() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut all, mut unwanted) = (0, Vec::new());
    for folder in ["src", "crates", "plugins/sdk", "bench", "tests"] {
        for path in sources(&root.join(folder)) {
            let text = std::fs::read_to_string(&path).unwrap();
            // Written by `diesel print-schema` from comments in the database.
            if path.ends_with("crates/store/src/schema.rs") {
                continue;
            }
            for beginning in beginnings(&text) {
                all += 1;
                if is_unwanted(beginning) {
                    unwanted.push(format!("{}: {beginning}", path.display()));
                }
            }
        }
    }
    assert!(all > 5_000, "{all}");
    let share = unwanted.len() * 100;
    assert!(
        share <= all * MOST,
        "{} of {all} doc comments do not begin with a noun or a verb:\n{}",
        unwanted.len(),
        unwanted.join("\n")
    );
}

#[test]
fn only_the_first_line_of_a_doc_comment_counts() {
    let text =
        "/// What it is.\n/// Whoever reads.\nfn f() {}\n//// no\n    //! Whose\n/// Offers.\n";
    assert_eq!(beginnings(text), ["What it is.", "Whose"]);
    let unwanted = ["What it is.", "Of them", "That, too", "The same again"];
    assert!(unwanted.iter().all(|beginning| is_unwanted(beginning)));
    let wanted = ["Offers", "Whole numbers", "Thatched", "The samples"];
    assert!(!wanted.iter().any(|beginning| is_unwanted(beginning)));
}
