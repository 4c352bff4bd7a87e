//! Signatures made by others, if their folder exists: each is returned byte for byte, and read if OpenSSL can parse it
//! as CMS.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigpersist_verify::cms;

use crate::support::{COUNTERSIGNED, DETACHED, FIRST, INDEFINITE, TestApp};

fn vectors() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no {}", folder.display());
    None
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                std::fs::read(path).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn our_own_signatures_are_read_whole() {
    let inspect = |text: &str| cms::inspect(&STANDARD.decode(text.trim()).unwrap()).unwrap();
    let first = inspect(FIRST);
    assert!(!first.detached);
    assert_eq!(first.content_type, "1.2.840.113549.1.7.1");
    assert_eq!(first.content_size, Some(48));
    assert_eq!((first.signers.len(), first.certificates), (1, 1));
    let signer = &first.signers[0];
    assert_eq!(signer.digest_algorithm.name, Some("SHA-256"));
    assert_eq!(signer.signature_algorithm.name, Some("RSA"));
    let certificate = signer.certificate.as_ref().unwrap();
    assert_eq!(
        certificate.subject.rfc4514,
        "CN=АХМЕТОВА АЙГЕРІМ,OU=BIN123456789021,O=ТОО \\\"Тест\\\"\\, филиал,serialNumber=IIN123456789011,GN=БОЛАТҚЫЗЫ,SN=АХМЕТОВА,C=KZ"
    );
    assert_eq!(
        certificate.issuer.rfc4514,
        "CN=Sigpersist Test CA,O=Sigpersist,C=KZ"
    );
    let signing_time = signer.signing_time_ms.unwrap();
    assert!((certificate.not_before_ms..certificate.not_after_ms).contains(&signing_time));
    assert_eq!(certificate.sha256.len(), 64);
    match &signer.identifier {
        cms::SignerIdentifier::IssuerAndSerial { serial, .. } => {
            assert_eq!(*serial, certificate.serial);
        }
        other => panic!("{other:?}"),
    }
    let both = inspect(COUNTERSIGNED);
    assert_eq!((both.signers.len(), both.certificates), (2, 2));
    assert_eq!(
        both.signers[0].signature_algorithm.name,
        Some("ECDSA with SHA-256")
    );
    // The report on BER equals the one on DER.
    let indefinite = inspect(INDEFINITE);
    assert_eq!(indefinite.content_size, first.content_size);
    assert_eq!(
        indefinite.signers[0].certificate,
        first.signers[0].certificate
    );
    let base64: String = DETACHED
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let detached = inspect(&base64);
    assert!(detached.detached && detached.content_size.is_none());
    assert!(matches!(
        detached.signers[0].identifier,
        cms::SignerIdentifier::SubjectKeyIdentifier(_)
    ));
    assert!(detached.signers[0].certificate.is_some());
}

#[test]
fn many_signers_with_one_huge_certificate_do_not_fill_the_memory() {
    // The signer of a real CMS, repeated two thousand times: more than any honest document has.
    let bytes = STANDARD.decode(FIRST.trim()).unwrap();
    let signer_at = bytes
        .windows(2)
        .rposition(|window| window == [0x31, 0x82])
        .unwrap();
    let length = usize::from(u16::from_be_bytes([
        bytes[signer_at + 2],
        bytes[signer_at + 3],
    ]));
    let signer = &bytes[signer_at + 4..signer_at + 4 + length];
    let many = signer.repeat(2000);
    let inside = &bytes[..signer_at];
    // Indefinite lengths outside, so that only the set of signers needs a new length.
    let mut forged = vec![0x30, 0x80];
    let content_info = &inside[4..15];
    forged.extend_from_slice(content_info);
    forged.extend_from_slice(&[0xa0, 0x80, 0x30, 0x80]);
    forged.extend_from_slice(&inside[23..]);
    forged.extend_from_slice(&[0x31, 0x83]);
    forged.extend_from_slice(&u32::try_from(many.len()).unwrap().to_be_bytes()[1..]);
    forged.extend_from_slice(&many);
    forged.extend_from_slice(&[0; 6]);
    match cms::inspect(&forged) {
        Err(cms::InspectError::Malformed(why)) => assert!(why.contains("too"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_signatures_are_errors_and_never_panics() {
    let bytes = STANDARD.decode(COUNTERSIGNED.trim()).unwrap();
    for length in 0..bytes.len() {
        assert!(cms::inspect(&bytes[..length]).is_err(), "cut to {length}");
    }
    for index in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[index] ^= flip;
            drop(cms::inspect(&damaged));
        }
    }
    let nested = [0x30, 0x80].repeat(100_000);
    assert_eq!(cms::inspect(&nested), Err(cms::InspectError::NotCms));
    for other in [&b""[..], b"<a/>", b"\x30\x00", b"\x30\x03\x06\x01\x2a"] {
        assert_eq!(cms::inspect(other), Err(cms::InspectError::NotCms));
    }
}

#[test]
fn what_openssl_parses_is_read() {
    let Some(vectors) = vectors() else { return };
    let oracle = std::fs::read_to_string(vectors.join("cades/ORACLE.tsv")).unwrap();
    let mut read = 0;
    for (name, bytes) in files(&vectors.join("cades")) {
        let Some(line) = oracle.lines().find(|line| line.starts_with(&name)) else {
            continue;
        };
        let parses = line.split('\t').nth(2) == Some("True");
        let inspection = cms::inspect(&bytes);
        if parses {
            let inspection = inspection.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!inspection.signers.is_empty(), "{name} has no signers");
            read += 1;
        }
    }
    assert!(read > 30, "only {read} were read");
    for (name, signers) in [
        ("rsa-one-signer.cms.b64", 1),
        ("rsa-and-gost-attached.cms.b64", 2),
    ] {
        let text = std::fs::read_to_string(vectors.join("kz").join(name)).unwrap();
        let der = STANDARD
            .decode(text.replace(char::is_whitespace, ""))
            .unwrap();
        let inspection = cms::inspect(&der).unwrap();
        assert_eq!(inspection.signers.len(), signers);
        for signer in &inspection.signers {
            let subject = &signer.certificate.as_ref().unwrap().subject.rfc4514;
            assert!(subject.contains("serialNumber=IIN12345678901"), "{subject}");
            assert!(
                signer.signature_algorithm.name.is_some(),
                "{:?}",
                signer.signature_algorithm
            );
            assert!(
                signer.digest_algorithm.name.is_some(),
                "{:?}",
                signer.digest_algorithm
            );
        }
    }
}

#[test]
fn real_signatures_come_back_byte_for_byte() {
    let Some(vectors) = vectors() else { return };
    let app = TestApp::start();
    let acme = app.tenant("acme");
    app.hook("acme", "signer-tags", crate::support::SIGNER_TAGS, |_| {});
    let mut saved = 0;
    for folder in ["cades", "xades", "kz"] {
        for (name, bytes) in files(&vectors.join(folder)) {
            let text = match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => STANDARD.encode(error.into_bytes()),
            };
            if text.is_empty() {
                continue;
            }
            acme.save(&name, "t", 0, &text).expect(201);
            let query = format!(
                "/signature?thread=t&document={}",
                name.replace('%', "%25").replace('+', "%2B")
            );
            assert_eq!(
                acme.get(&query).expect(200).signature()["signature"],
                text,
                "{name}"
            );
            saved += 1;
        }
    }
    assert!(saved > 50, "only {saved} were saved");
}
