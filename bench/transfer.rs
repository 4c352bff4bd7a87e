//! Megabytes per second that `tenant export` writes and `tenant import` reads, through the real program and Postgres:
//! `cargo bench --bench transfer`. `SECONDS` in the environment is the time for which signatures are saved first.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops if something is wrong"
)]

#[path = "support/load.rs"]
mod load;
mod support;

use std::time::Instant;

use load::saves_per_second;
use support::{Server, command, connect, folder, median, new_tenant, save, setting};

const TAGS: &str = r#","tags":["iin:123456789011","bin:123456789021"]"#;
/// Imports, each into a new tenant.
const ROUNDS: usize = 3;
/// Minimum rate of an import, in megabytes per second.
const TARGET: f64 = 10.0;

fn main() {
    if load::was_the_load() {
        return;
    }
    let folder = folder();
    let data_dir = folder.path().join("data");
    let token = new_tenant(&data_dir, "bench");
    let server = Server::start(&data_dir, &[]);
    println!("saving …");
    let saved = saves_per_second(
        &server.address,
        std::slice::from_ref(&token),
        "transfer",
        TAGS,
        setting("SECONDS", 8),
    );
    assert!(saved > 0.0);
    let file = folder.path().join("bench.ndjson");
    let path = file.to_str().unwrap();
    let since = Instant::now();
    command(&data_dir, &["tenant", "export", "bench", "--output", path]);
    let seconds = since.elapsed().as_secs_f64();
    let megabytes = std::fs::metadata(&file).unwrap().len() as f64 / 1e6;
    println!(
        "{megabytes:.0} MB in the file\nexport  {:6.1} MB/s",
        megabytes / seconds
    );
    let mut figures = Vec::new();
    for round in 0..ROUNDS {
        let slug = format!("copy-{round}");
        let since = Instant::now();
        let import = ["tenant", "import", &slug, "--create", "--input", path];
        command(&data_dir, &import);
        figures.push(megabytes / since.elapsed().as_secs_f64());
    }
    let figure = median(figures);
    println!("import  {figure:6.1} MB/s; the file is read to its end first (target {TARGET})");
    // The server still works during this.
    assert_eq!(
        save(&mut connect(&server.address), &token, "after", TAGS),
        201
    );
}
