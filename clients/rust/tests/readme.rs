//! The README begins with the example that `check` runs.

#[test]
fn the_readme_begins_with_an_example_that_is_run() {
    let readme = include_str!("../README.md");
    let block = readme.strip_prefix("# Sigpersist for Rust\n\n```rust,no_run\n");
    let block = block.and_then(|rest| rest.split("```").next());
    let example = include_str!("../examples/first.rs");
    let example = example.split_once("\n\n").map(|(_, code)| code);
    assert!(block.is_some());
    assert_eq!(block, example);
}
