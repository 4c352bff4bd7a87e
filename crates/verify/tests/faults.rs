//! Signatures made to show faults, each with the right result and its source. Skipped if they are absent.

use std::path::Path;

use sigpersist_verify::pki::{Anchors, Indication, SubIndication};
use sigpersist_verify::{Body, Judging, Report, certificates, report};

use Indication::{Indeterminate, TotalFailed, TotalPassed};

const FOLDER: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/faults/signatures"
);
/// The last day of 2026, in milliseconds since 1970.
const NOW_MS: i64 = 1_798_675_200_000;

type Row = (&'static str, Indication, Option<SubIndication>);

const TABLE: [Row; 33] = [
    ("xsw-0-original.xml", TotalPassed, None),
    (
        "xsw-1-object.xml",
        Indeterminate,
        Some(SubIndication::SigConstraintsFailure),
    ),
    (
        "xsw-2-beside.xml",
        Indeterminate,
        Some(SubIndication::SigConstraintsFailure),
    ),
    // The content around the signed part is not signed.
    (
        "xsw-3-around.xml",
        Indeterminate,
        Some(SubIndication::SigConstraintsFailure),
    ),
    (
        "dos-prefixlist.xml",
        TotalFailed,
        Some(SubIndication::SigCryptoFailure),
    ),
    (
        "crl-revoked.der",
        Indeterminate,
        Some(SubIndication::RevokedNoPoe),
    ),
    // RFC 5280 section 6.3.3 (f): the list is signed by another key of the same authority.
    (
        "crl-rollover-revoked.der",
        Indeterminate,
        Some(SubIndication::RevokedNoPoe),
    ),
    // RFC 5280 section 7.1.
    (
        "crl-issuer-printable.der",
        Indeterminate,
        Some(SubIndication::RevokedNoPoe),
    ),
    ("xa-dss-enveloping.xml", TotalPassed, None),
    ("lt-crl-2M.der", TotalPassed, None),
    // RFC 5652 section 5.4.
    ("unsorted-stored-sorted-signed.der", TotalPassed, None),
    ("signedattrs-inner-indefinite.ber", TotalPassed, None),
    (
        "xa-keyinfo-ca-only.xml",
        Indeterminate,
        Some(SubIndication::NoSigningCertificateFound),
    ),
    ("issuer-printable.der", TotalPassed, None),
    ("sid-issuer-printable-vs-utf8.der", TotalPassed, None),
    ("two-content-timestamps.der", TotalPassed, None),
    // RFC 4055 section 1.2, RFC 8017 sections 8.2.2 and 8.1.2.
    (
        "psskey-pkcs1.der",
        TotalFailed,
        Some(SubIndication::SigCryptoFailure),
    ),
    (
        "rsa-pkcs1-prepended-zeros.der",
        TotalFailed,
        Some(SubIndication::SigCryptoFailure),
    ),
    (
        "pss-prepended-zeros.der",
        TotalFailed,
        Some(SubIndication::SigCryptoFailure),
    ),
    // RFC 5280 section 4.1.1.2.
    (
        "cert-sigalg-mismatch.der",
        Indeterminate,
        Some(SubIndication::NoCertificateChainFound),
    ),
    (
        "sigalg-unknown-oid-rsa.der",
        Indeterminate,
        Some(SubIndication::CryptoConstraintsFailure),
    ),
    // BSI TR-03111 section 5.2.1.1.
    ("ecdsa-plain-bsi.der", TotalPassed, None),
    // RFC 7468 section 2.
    ("pem-preamble.pem", TotalPassed, None),
    ("pem-cert-then-cms.pem", TotalPassed, None),
    ("ber-chunks-nested.ber", TotalPassed, None),
    ("ecdsa-p256-sha3_256.der", TotalPassed, None),
    ("ecdsa-p256-sha224.der", TotalPassed, None),
    ("no-cert.der", TotalPassed, None),
    ("two-same-ski.der", TotalPassed, None),
    // XMLDSig 1.1 sections 4.5.3 and 6.6.4, Canonical XML 1.1 section 2.4, XML Schema 2 section 3.2.17.
    ("x-retrieval.xml", TotalPassed, None),
    ("x-xpath-spec.xml", TotalPassed, None),
    ("x-root-base-11.xml", TotalPassed, None),
    ("x-alg-ws-cm.xml", TotalPassed, None),
];

fn verify(folder: &Path, name: &str) -> Report {
    let read = |name: &str| std::fs::read(folder.join(name)).ok();
    let read_certificates = |name: &str| -> Vec<_> {
        let file = read(name).expect(name);
        certificates(&file).collect()
    };
    let anchors = Anchors::new(read_certificates("ca.pem"));
    // Certificates of the authority, which is trusted, and of the signer, which is not.
    let given: Vec<_> = match name {
        "no-cert.der" => read_certificates("both.pem"),
        _ => Vec::new(),
    };
    let document = read(&format!("{name}.doc"));
    let judging = Judging {
        document: document.as_deref(),
        certificates: &given,
        ..Judging::new(&anchors, NOW_MS)
    };
    report(&Body::from_file(&read(name).expect(name)), Some(&judging))
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is for people who ask for it"
)]
fn each_fault_is_judged_as_the_standards_say() {
    let folder = Path::new(FOLDER);
    if !folder.is_dir() {
        return;
    }
    let mut wrong = Vec::new();
    for (name, indication, sub_indication) in TABLE {
        let told = verify(folder, name);
        let verdicts = told.signers.iter().filter_map(|it| it.verdict.as_ref());
        let found: Vec<_> = verdicts
            .map(|verdict| (verdict.indication, verdict.sub_indication))
            .collect();
        if found != [(indication, sub_indication)] {
            wrong.push(format!("{name}: {found:?} {:?}", told.problem));
        }
    }
    let right = TABLE.len() - wrong.len();
    println!("| handed faults | {right} | {} |", TABLE.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
