//! Signatures that others made: test resources of the EU's DSS. Skipped if they are absent.

use std::path::Path;

use crate::xmldsig::ReferenceIntegrity::{self, Broken, Intact, Unresolved};
use crate::xmldsig::{ValueIntegrity, XmlSignature, inspect};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/xades");

type Row = (
    &'static str,
    &'static [(&'static [ReferenceIntegrity], ValueIntegrity, Option<bool>)],
);

const VALID: ValueIntegrity = ValueIntegrity::Intact(0);

/// For each signature of each file: the integrity of its references and its value, and whether the named certificate
/// made it.
const TABLE: [Row; 25] = [
    (
        "BaselineBWithCertificateValues.xml",
        &[(&[Unresolved, Intact], VALID, Some(true))],
    ),
    (
        "Signature-X-RO_TRA-15.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    (
        "TEST_S1a_C1a_InTL_VALID.xml",
        &[
            (&[Intact, Intact, Intact], VALID, Some(true)),
            // Its first reference leaves out the signature around its target.
            (&[Intact, Intact, Intact], VALID, Some(true)),
        ],
    ),
    // DSS expects this too: the signature is not intact, and the named certificate is not there.
    (
        "dss-2506.xml",
        &[(&[Broken, Intact], ValueIntegrity::Broken, Some(false))],
    ),
    // The named certificate is not in `KeyInfo`.
    (
        "dss1788_dss1920-cert-in-certValues-without-publicKey.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    (
        "dss1987_data2sign-signed-xades-enveloped-baseline-cts-lta.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    (
        "dss2095_sigPolicyWithTransforms.xml",
        &[(&[Unresolved, Unresolved, Intact], VALID, Some(true))],
    ),
    (
        "dss2517_xades-dataobject-format-refer-nothing.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    (
        "dss2517_xades-valid-object.xml",
        &[(&[Intact, Intact, Intact], VALID, Some(true))],
    ),
    (
        "evidence-record_X-E-ERS-DETACHED-LT-sig-not-covered.xml",
        &[(&[Unresolved, Intact], VALID, Some(true))],
    ),
    (
        "evidence-record_X-E-ERS-basic-chain-renewal.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    (
        "evidence-record_X-E-ERS-two-ers.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    (
        "evidence-record_XAdES-B_ER_Renewed_no_can.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    ("evidence-record_evidence-record-detached.xml", &[]),
    (
        "evidence-record_incorporation_evidence-record-XAdES-B-exclusive.xml",
        &[],
    ),
    (
        "evidence-record_incorporation_evidence-record-custom-namespace-X-B-B.xml",
        &[],
    ),
    (
        "evidence-record_incorporation_evidence-record-second-X-B-B.xml",
        &[],
    ),
    (
        "evidence-record_incorporation_evidence-record-second-on-asn1-X-B-B.xml",
        &[],
    ),
    (
        "xades-counter-signature-no-type.xml",
        &[
            (&[Intact, Intact], VALID, Some(true)),
            (&[Intact, Intact], VALID, Some(true)),
        ],
    ),
    // A countersignature that signs the same object instead of the signature around it: intact.
    (
        "xades-fake-counter-signature.xml",
        &[
            (&[Intact, Intact, Intact], VALID, Some(true)),
            (&[Intact, Intact], VALID, Some(true)),
        ],
    ),
    // Only the issuer's certificate is in the file.
    (
        "xades-no-keyinfo-sign-cert.xml",
        &[(&[Intact, Intact], ValueIntegrity::Broken, Some(false))],
    ),
    (
        "xades-sign-cert-v2-wrong-digest.xml",
        &[(&[Intact, Intact], VALID, Some(false))],
    ),
    (
        "xades-t-with-tsvd.xml",
        &[(&[Intact, Intact], VALID, Some(true))],
    ),
    // The text of its certificate is no longer valid base64.
    (
        "xades-tampered-keyinfo.xml",
        &[(
            &[Intact, Intact],
            ValueIntegrity::NoCertificate,
            Some(false),
        )],
    ),
    (
        "xades-tampered-manifest.xml",
        &[(&[Broken, Intact], VALID, Some(true))],
    ),
];

fn facts(signature: &XmlSignature) -> (Vec<ReferenceIntegrity>, ValueIntegrity, Option<bool>) {
    let references = signature.references.iter().map(|it| it.integrity).collect();
    (
        references,
        signature.value.clone(),
        signature.signing_certificate_matches,
    )
}

#[test]
fn vectors_are_as_known() {
    if !Path::new(FOLDER).exists() {
        return;
    }
    for (name, expected) in TABLE {
        let xml = std::fs::read(Path::new(FOLDER).join(name)).unwrap();
        let found: Vec<_> = inspect(&xml).unwrap().iter().map(facts).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(references, value, matches)| (references.to_vec(), value.clone(), *matches))
            .collect();
        assert_eq!(found, expected, "{name}");
    }
    let files = std::fs::read_dir(FOLDER).unwrap();
    assert_eq!(files.count(), TABLE.len(), "a new file needs a row");
}

#[test]
fn damaged_vectors_do_not_panic() {
    if !Path::new(FOLDER).exists() {
        return;
    }
    for (name, _) in TABLE {
        let xml = std::fs::read(Path::new(FOLDER).join(name)).unwrap();
        for at in (0..xml.len()).step_by(997) {
            let mut bytes = xml.clone();
            bytes[at] ^= 0x11;
            drop(inspect(&bytes));
            drop(inspect(&xml[..at]));
        }
    }
}
