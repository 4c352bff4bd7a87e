//! Interoperability tests with signatures of other programs: the samples of XMLDSig that signxml carries, and the test
//! resources of DSS.
//!
//! A table for each lists the expected results, with a reason if `xmlsec1` or DSS differ. Absent files are skipped;
//! `tests/conformance/run.sh` fetches those that a registry has.

#![expect(
    clippy::print_stdout,
    reason = "the table is for people who ask for it"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use sigpersist_verify::pki::Anchors;
use sigpersist_verify::{Body, Judging, report};

/// The last day of 2026, in milliseconds since 1970.
const NOW_MS: i64 = 1_798_675_200_000;

const SIGNXML: &str = "samples of XMLDSig";

/// Whether each signature of a file is intact: `yes`, `no`, or `?` if that is unknown. `unread` if the file can't be
/// read.
fn intact(file: &[u8], document: Option<&[u8]>) -> String {
    let anchors = Anchors::default();
    let judging = Judging {
        document,
        ..Judging::new(&anchors, NOW_MS)
    };
    let told = report(&Body::from_file(file), Some(&judging));
    if told.problem.is_some() {
        return "unread".to_owned();
    }
    let said = told.signers.iter().map(|signer| {
        let verdict = signer.verdict.as_ref();
        match verdict.and_then(|verdict| verdict.intact) {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        }
    });
    said.collect::<Vec<_>>().join(",")
}

/// A row: a file, the result of others, our result, and the reason if they differ.
struct Row<'t> {
    file: &'t str,
    document: &'t str,
    others: &'t str,
    ours: &'t str,
    reason: &'t str,
}

fn rows(table: &str) -> Vec<Row<'_>> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let mut fields = line.split('\t');
        let mut next = || fields.next().unwrap_or_default();
        Row {
            file: next(),
            document: next(),
            others: next(),
            ours: next(),
            reason: next(),
        }
    });
    rows.collect()
}

/// Compares a table with the files that are there, and prints how often others agree.
fn compare(suite: &str, table: &str, find: impl Fn(&str) -> Option<PathBuf>) {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows(table) {
        let Some(file) = find(row.file).and_then(|path| std::fs::read(path).ok()) else {
            continue;
        };
        let document = find(row.document).and_then(|path| std::fs::read(path).ok());
        let document = document.filter(|_| !row.document.is_empty());
        if document.is_none() && !row.document.is_empty() {
            continue;
        }
        let ours = intact(&file, document.as_deref());
        if ours != row.ours {
            wrong.push(format!("{}: {ours}, and not {}", row.file, row.ours));
        }
        let agrees = row.reason.is_empty();
        assert!(
            !agrees || row.others == "-" || row.ours.split(',').all(|it| it == row.others),
            "{} differs, and no reason is given",
            row.file
        );
        let count = match (row.others, agrees) {
            ("-", _) => "nobody else says",
            (_, true) => "agree",
            (_, false) => "differ for a reason",
        };
        *counts.entry(count).or_default() += 1;
    }
    let of: usize = counts.values().sum();
    for (count, files) in &counts {
        println!("| {suite}: {count} | {files} | {of} |");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn samples_of_xmldsig_are_judged_as_the_table_says() {
    let Some(folder) = std::env::var_os("SIGPERSIST_SIGNXML").map(PathBuf::from) else {
        return;
    };
    let table = include_str!("interop/signxml.tsv");
    let find = |file: &str| Some(folder.join(file));
    compare(SIGNXML, table, find);
    // Runs an independent program on the files, if it is installed.
    if Command::new("xmlsec1").arg("--version").output().is_err() {
        return;
    }
    let said = rows(table)
        .into_iter()
        .map(|row| (xmlsec(&folder.join(row.file)), row.ours));
    let said: Vec<_> = said.filter(|(said, _)| *said != "-").collect();
    let agree = said
        .iter()
        .filter(|(said, ours)| ours.split(',').all(|it| it == *said));
    let agree = agree.count();
    println!(
        "| {SIGNXML}: xmlsec1 agrees in this run | {agree} | {} |",
        said.len()
    );
}

/// The result of `xmlsec1` for a file, no matter who signed it; `-` if it has none.
fn xmlsec(file: &Path) -> &'static str {
    let mut command = Command::new("xmlsec1");
    command.args(["--verify", "--insecure"]).arg(file);
    let output = command.output().expect("xmlsec1 runs");
    let told = [output.stdout, output.stderr].concat();
    let mut lines = told.split(|&byte| byte == b'\n');
    let said = lines.find_map(|line| match line {
        b"OK" => Some("yes"),
        b"FAIL" => Some("no"),
        _ => None,
    });
    said.unwrap_or("-")
}

/// Reads the test resources of DSS from a checkout, or a selection of them from one folder for each format.
#[test]
fn signatures_of_dss_are_judged_as_the_table_says() {
    let checkout = std::env::var_os("SIGPERSIST_DSS").map(PathBuf::from);
    let part = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    compare(
        "DSS's test resources",
        include_str!("interop/dss.tsv"),
        |file| {
            let (format, name) = file.split_once('/')?;
            if let Some(checkout) = &checkout {
                let resources = format!("dss-{format}/src/test/resources/{name}");
                return Some(checkout.join(resources));
            }
            let name = name.strip_prefix("validation/").unwrap_or(name);
            Some(part.join(format).join(name.replace('/', "_")))
        },
    );
}
