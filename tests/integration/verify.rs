//! Verifying signatures: our own, made with OpenSSL and tampered with in each place, and others' where the folder is there.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigpersist::cms::{self, Anchors, Indication, SubIndication, Verdict};

use crate::support::{COUNTERSIGNED, DETACHED, FIRST, INDEFINITE};

const UNNAMED: &str = include_str!("../data/unnamed.cms.b64");

/// Now, for what claims no time, in milliseconds since 1970: 25 November 2026.
const NOW_MS: i64 = 1_795_600_000_000;

fn verify(bytes: &[u8], document: Option<&[u8]>) -> Vec<Verdict> {
    cms::verify(bytes, document, &Anchors::default(), NOW_MS).unwrap()
}

fn der(base64: &str) -> Vec<u8> {
    STANDARD
        .decode(base64.replace(char::is_whitespace, ""))
        .unwrap()
}

/// Every file that OpenSSL has an opinion of, beside ours: `cargo test vectors_that -- --nocapture` prints the table.
#[test]
fn vectors_that_openssl_verifies_are_intact_and_no_others_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    if !folder.is_dir() {
        eprintln!("skipped: there is no {}", folder.display());
        return;
    }
    let oracle = std::fs::read_to_string(folder.join("cades/ORACLE.tsv")).unwrap();
    let mut totals = std::collections::BTreeMap::new();
    let mut wrong = Vec::new();
    for line in oracle.lines().skip(1) {
        let [name, _, parses, openssl] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let bytes = std::fs::read(folder.join("cades").join(name)).unwrap();
        let verdicts = cms::verify(&bytes, None, &Anchors::default(), NOW_MS);
        let verdicts = verdicts.unwrap_or_default();
        let intact = !verdicts.is_empty() && verdicts.iter().all(|v| v.intact == Some(true));
        let detached = !verdicts.is_empty()
            && verdicts
                .iter()
                .all(|v| v.sub_indication == Some(SubIndication::SignedDataNotFound));
        let words: Vec<_> = verdicts
            .iter()
            .map(|v| v.sub_indication.map_or("passed", SubIndication::as_str))
            .collect();
        eprintln!("{name:70} {parses:5} {openssl:20} {}", words.join(" "));
        let right = match openssl {
            "signatures-verify" => intact,
            "detached" => detached,
            _ => !intact,
        };
        // Without anchors nothing passes.
        let passes = verdicts
            .iter()
            .any(|v| v.indication == Indication::TotalPassed);
        if !right || passes {
            wrong.push(name);
        }
        *totals.entry((openssl, right)).or_insert(0) += 1;
    }
    eprintln!("{totals:?}");
    assert_eq!(wrong, Vec::<&str>::new());
}

#[test]
fn the_signatures_of_kazakhstans_authority_are_intact() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/kz");
    if !folder.is_dir() {
        eprintln!("skipped: there is no {}", folder.display());
        return;
    }
    for (name, iins) in [
        ("rsa-one-signer.cms.b64", &["123456789011"][..]),
        (
            "rsa-and-gost-attached.cms.b64",
            &["123456789011", "123456789012"],
        ),
    ] {
        let bytes = der(&std::fs::read_to_string(folder.join(name)).unwrap());
        let inspection = cms::inspect(&bytes).unwrap();
        let mut found: Vec<_> = inspection
            .signers
            .iter()
            .map(|signer| signer.certificate.clone().unwrap().person.iin.unwrap())
            .collect();
        found.sort();
        eprintln!("{name} {found:?}");
        for verdict in verify(&bytes, None) {
            assert_eq!(verdict.intact, Some(true), "{name}: {verdict:?}");
            assert_ne!(verdict.indication, Indication::TotalPassed);
        }
        assert_eq!(found.len(), iins.len());
    }
}

/// Our own: what holds, and what of it is judged.
#[test]
fn our_own_signatures_hold_and_their_chains_are_not_judged_without_anchors() {
    for (name, text, signers) in [
        ("first", FIRST, 1),
        ("countersigned", COUNTERSIGNED, 2),
        ("indefinite", INDEFINITE, 1),
    ] {
        let verdicts = verify(&der(text), None);
        assert_eq!(verdicts.len(), signers, "{name}");
        for verdict in verdicts {
            assert_eq!(verdict.intact, Some(true), "{name}");
            assert_eq!(verdict.indication, Indication::Indeterminate, "{name}");
            assert_eq!(
                verdict.sub_indication,
                Some(SubIndication::NoCertificateChainFound)
            );
            assert!(verdict.explanation.contains("not judged"));
            assert!(verdict.claimed_time_ms.is_some() && verdict.proven_time_ms.is_none());
        }
    }
}

#[test]
fn a_detached_signature_needs_its_document() {
    let base64: String = DETACHED
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let detached = der(&base64);
    let only = |document: Option<&[u8]>| verify(&detached, document).remove(0);
    let without = only(None);
    assert_eq!(
        (without.indication, without.sub_indication, without.intact),
        (
            Indication::Indeterminate,
            Some(SubIndication::SignedDataNotFound),
            None
        )
    );
    let document = b"A contract between two people who do not exist.\n";
    assert_eq!(only(Some(document)).intact, Some(true));
    let other = only(Some(b"Another contract."));
    assert_eq!(
        (other.indication, other.sub_indication, other.intact),
        (
            Indication::TotalFailed,
            Some(SubIndication::HashFailure),
            Some(false)
        )
    );
    // Where the content is inside too, a document must be the same.
    let first = der(FIRST);
    assert_eq!(verify(&first, Some(document)).remove(0).intact, Some(true));
    assert_eq!(verify(&first, Some(b"x")).remove(0).intact, Some(false));
}

#[test]
fn a_signature_whose_certificate_is_absent_is_never_a_pass() {
    let verdict = verify(&der(UNNAMED), None).remove(0);
    assert_eq!(verdict.indication, Indication::Indeterminate);
    assert_eq!(
        verdict.sub_indication,
        Some(SubIndication::NoSigningCertificateFound)
    );
    assert_eq!(verdict.intact, None);
}

/// No byte of what counts can be changed: whatever is flipped, both signers never stay intact with another content.
#[test]
fn whatever_is_changed_is_noticed() {
    let bytes = der(COUNTERSIGNED);
    let before = verify(&bytes, None);
    let content = b"A contract between two people who do not exist.\n";
    let content_at = bytes
        .windows(content.len())
        .position(|window| window == content)
        .unwrap();
    for index in content_at..content_at + content.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        for verdict in verify(&changed, None) {
            assert_eq!(verdict.intact, Some(false), "byte {index}");
            assert_eq!(verdict.sub_indication, Some(SubIndication::HashFailure));
        }
    }
    let mut unnoticed = 0;
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        if let Ok(verdicts) = cms::verify(&changed, None, &Anchors::default(), NOW_MS)
            && verdicts == before
        {
            unnoticed += 1;
        }
    }
    // What stays is what no signer's signature covers: versions, the list of digests, parts of certificates that are judged
    // by their issuers' signatures.
    assert!(
        unnoticed < bytes.len() / 2,
        "{unnoticed} of {}",
        bytes.len()
    );
}
