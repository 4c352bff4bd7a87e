//! Verification of signatures: our own, made with OpenSSL and tampered with everywhere, and others' if their folder
//! exists.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sigpersist_model::digest::{sha256, to_hex};
use sigpersist_verify::pki::{Anchors, Indication, SubIndication, Verdict, to_pem};
use sigpersist_verify::{Judging, cms};

use crate::support::{
    COUNTERSIGNED, DETACHED, FIRST, INDEFINITE, TestApp, der, sigpersist, temp_dir,
};

/// Lines of a name and a signature in base64.
const EVIDENCE: &str = include_str!("../data/verify/evidence.txt");
const UNNAMED: &str = include_str!("../data/unnamed.cms.b64");
const CHAINED: &str = include_str!("../data/verify/chained.cms.b64");
const CHAINED_CA: &str = include_str!("../data/verify/ca.crt.b64");
const OTHER_CA: &str = include_str!("../data/verify/other.crt.b64");
const LATE: &str = include_str!("../data/verify/late.cms.b64");
/// Lines of a name and a signature in base64.
const ALGORITHMS: &str = include_str!("../data/verify/algorithms.txt");

/// The time for signatures that claim none, in milliseconds since 1970: the last day of 2026.
const NOW_MS: i64 = 1_798_761_600_000;

fn verify(bytes: &[u8], document: Option<&[u8]>) -> Vec<Verdict> {
    let anchors = Anchors::default();
    let judging = Judging {
        document,
        ..Judging::new(&anchors, NOW_MS)
    };
    cms::verify(bytes, &judging).unwrap()
}

/// The embedded certificate of a CMS's first signer.
fn embedded_certificate(cms: &[u8]) -> Vec<u8> {
    let signer = cms::inspect(cms).unwrap().signers.remove(0);
    signer.certificate.unwrap().der
}

/// Compares OpenSSL's verdicts on files with ours. `cargo test vectors_that -- --nocapture` prints the table.
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
        let verdicts = cms::verify(&bytes, &Judging::new(&Anchors::default(), NOW_MS));
        let verdicts = verdicts.unwrap_or_default();
        let intact = !verdicts.is_empty() && verdicts.iter().all(|v| v.intact == Some(true));
        let detached = !verdicts.is_empty()
            && verdicts
                .iter()
                .all(|v| v.sub_indication == Some(SubIndication::SignedDataNotFound));
        let words: Vec<_> = verdicts
            .iter()
            .map(|v| {
                v.sub_indication
                    .map_or("passed".to_owned(), |why| why.to_string())
            })
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
            .map(|signer| signer.certificate.clone().unwrap().iin.unwrap())
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

/// Our own signatures: which are intact, and how much of each is judged.
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
            assert!(verdict.explanation.contains("no trust anchors"));
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
    // If the content is included, a given document must equal it.
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

/// No byte that counts can be changed: after any bit flip, both signers are never intact with other content.
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
        if let Ok(verdicts) = cms::verify(&changed, &Judging::new(&Anchors::default(), NOW_MS))
            && verdicts == before
        {
            unnoticed += 1;
        }
    }
    // The remaining bytes are covered by no signer's signature: versions, the list of digests, and parts of
    // certificates that are judged by their issuers' signatures.
    assert!(
        unnoticed < bytes.len() / 2,
        "{unnoticed} of {}",
        bytes.len()
    );
}

#[test]
fn tenants_inspect_and_verify_over_http_what_they_send_and_what_is_stored() {
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let told = |path: &str, body: Value| {
        let answer = acme.json("POST", path, &body).expect(200);
        answer.json["content"]["inspection"].clone()
    };
    let inspected = told("/inspect", json!({"cms": COUNTERSIGNED.trim()}));
    assert_eq!(inspected["format"], "cms");
    assert_eq!(inspected["detached"], false);
    assert_eq!(inspected["problem"], Value::Null);
    let signers = inspected["signers"].as_array().unwrap();
    assert_eq!(signers.len(), 2);
    let certificates: Vec<_> = signers
        .iter()
        .map(|signer| &signer["certificate"])
        .collect();
    let aigerim = certificates
        .iter()
        .find(|certificate| certificate["iin"] == "123456789011")
        .unwrap();
    assert_eq!(aigerim["bin"], "123456789021");
    assert_eq!(
        aigerim["key_usages"],
        json!(["digitalSignature", "nonRepudiation"])
    );
    assert!(signers.iter().all(|signer| signer.get("verdict").is_none()));
    // Signatures as people send them: with line breaks, without padding, in PEM armour.
    let lines: Vec<_> = FIRST
        .trim()
        .trim_end_matches('=')
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    for cms in [lines.join("\r\n"), DETACHED.to_owned()] {
        assert_eq!(
            told("/inspect", json!({"cms": cms}))["problem"],
            Value::Null
        );
    }
    let twice = STANDARD.encode(FIRST.trim());
    let problem = told("/inspect", json!({"cms": twice}))["problem"].clone();
    assert!(problem.as_str().unwrap().contains("base64 of base64"));
    for (cms, why) in [
        ("<a/>", "Nobody has signed"),
        ("hello", "can't be read"),
        ("MAA=", "can't be read"),
    ] {
        let problem = told("/inspect", json!({"cms": cms}))["problem"].clone();
        assert!(problem.as_str().unwrap().contains(why), "{problem}");
    }
    // A detached signature is verified with its document.
    let without = told("/verify", json!({"cms": DETACHED}));
    assert_eq!(
        without["signers"][0]["verdict"]["sub_indication"],
        "SIGNED_DATA_NOT_FOUND"
    );
    let document = STANDARD.encode("A contract between two people who do not exist.\n");
    let with = told("/verify", json!({"cms": DETACHED, "content": document}));
    let verdict = &with["signers"][0]["verdict"];
    assert_eq!(verdict["indication"], "INDETERMINATE");
    assert_eq!(verdict["intact"], true);
    assert_eq!(verdict["proven_time"], Value::Null);
    assert_ne!(verdict["claimed_time"], Value::Null);
    let other = told("/verify", json!({"cms": DETACHED, "content": "AAAA"}));
    assert_eq!(other["signers"][0]["verdict"]["indication"], "TOTAL_FAILED");
    acme.json("POST", "/verify", &json!({"cms": DETACHED, "content": "?"}))
        .expect_error(400, "invalid_parameter");
    // A signature without its signer's certificate is verified with a given one, which is not trusted for that.
    let verdict = |told: &Value| told["signers"][0]["verdict"]["sub_indication"].clone();
    let [without_certificate, of_the_same] = ["without-certificate", "cades"].map(|name| {
        let mut lines = EVIDENCE.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(known, _)| *known == name).unwrap().1
    });
    let absent = told("/verify", json!({"cms": without_certificate}));
    assert_eq!(verdict(&absent), "NO_SIGNING_CERTIFICATE_FOUND");
    let certificates = to_pem("CERTIFICATE", &embedded_certificate(&der(of_the_same)));
    let body = json!({"cms": without_certificate, "certificates": certificates});
    let given = told("/verify", body.clone());
    assert_eq!(verdict(&given), "NO_CERTIFICATE_CHAIN_FOUND");
    assert_eq!(given["signers"][0]["verdict"]["intact"], true);
    assert_eq!(given["certificates"], absent["certificates"]);
    assert_ne!(given["signers"][0]["certificate"], Value::Null);
    acme.save("absent", "t", 0, without_certificate).expect(201);
    let recorded = json!({"document": "absent", "thread": "t", "certificates": certificates});
    let recorded = acme
        .json("POST", "/signature/verify", &recorded)
        .expect(201);
    let recorded = &recorded.json["content"]["verdict"];
    assert_eq!(
        verdict(recorded),
        "NO_CERTIFICATE_CHAIN_FOUND",
        "{recorded}"
    );
    for refused in ["", "MAA=", &certificates.repeat(51), &" ".repeat(262_145)] {
        let body = json!({"cms": UNNAMED, "certificates": refused});
        acme.json("POST", "/verify", &body)
            .expect_error(400, "invalid_parameter");
    }
    // Stored signatures are reported on demand.
    acme.save("d", "t", 0, FIRST.trim()).expect(201);
    let stored = |query: &str| {
        let path = format!("/signature?document=d&thread=t{query}");
        acme.get(&path).expect(200).json["content"].clone()
    };
    assert_eq!(stored("").get("inspection"), None);
    let inspected = stored("&inspect=true");
    assert_eq!(inspected["signature"]["signature"], FIRST.trim());
    assert_eq!(inspected["inspection"]["signers"][0].get("verdict"), None);
    let verified = stored("&verify=true");
    assert_eq!(
        verified["inspection"]["signers"][0]["verdict"]["intact"],
        true
    );
}

#[test]
fn a_file_is_inspected_and_verified_in_a_terminal() {
    let folder = temp_dir();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let ended = |arguments: &[&str]| ended(folder.path(), arguments);
    let first = format!("{data}/first.cms.b64");
    let (code, said, _) = ended(&["inspect", &first]);
    assert_eq!(code, Some(0));
    assert!(said.contains("IIN         123456789011"), "{said}");
    assert!(said.contains("BIN         123456789021"), "{said}");
    let der_file = folder.path().join("first.der");
    std::fs::write(&der_file, der(FIRST)).unwrap();
    let (code, json, _) = ended(&["inspect", "--json", der_file.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["signers"][0]["certificate"]["iin"], "123456789011");
    let content = b"A contract between two people who do not exist.\n";
    assert_eq!(json["content_size"], content.len());
    assert_eq!(json["content_sha256"], to_hex(&sha256(content)));
    // There are no trust anchors, so nothing passes.
    let (code, said, error) = ended(&["verify", &first]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("INDETERMINATE") && said.contains("no trust anchors"),
        "{said}"
    );
    assert!(
        error.contains("The signature of signer 1 does not pass"),
        "{error}"
    );
    let document = folder.path().join("document.txt");
    std::fs::write(&document, "Another contract.").unwrap();
    let detached = format!("{data}/detached.cms.pem");
    let (code, said, _) = ended(&[
        "verify",
        &detached,
        "--document",
        document.to_str().unwrap(),
    ]);
    assert_eq!(code, Some(1));
    assert!(said.contains("HASH_FAILURE"), "{said}");
    let (code, _, error) = ended(&["verify", &first, "--trust", &first]);
    assert_eq!(code, Some(1));
    assert!(error.contains("contains no certificate"), "{error}");
}

/// The exit code, standard output and standard error of a command.
fn ended(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = sigpersist(folder, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The rules for chains can be set by options of the command.
#[test]
fn chains_are_verified_by_the_rules_that_the_command_is_given() {
    let folder = temp_dir();
    let [ca, chained] = [("ca.crt", CHAINED_CA), ("chained.cms", CHAINED)].map(|(name, text)| {
        let file = folder.path().join(name);
        std::fs::write(&file, der(text)).unwrap();
        file.into_os_string().into_string().unwrap()
    });
    let verify = |options: &[&str]| {
        let arguments = [&["verify", &*chained, "--trust", &*ca][..], options].concat();
        ended(folder.path(), &arguments)
    };
    for (options, why) in [
        (&[][..], None),
        (&["--revocation", "if-present"], None),
        (&["--revocation", "required"], Some("TRY_LATER")),
        (&["--policy", "1.2.398.3.1"], None),
        (
            &["--policy", "1.2.398.3.1", "--require-explicit-policy"],
            Some("CHAIN_CONSTRAINTS_FAILURE"),
        ),
        (&["--inhibit-policy-mapping", "--inhibit-any-policy"], None),
    ] {
        let (code, said, error) = verify(options);
        assert_eq!(code, Some(i32::from(why.is_some())), "{said} {error}");
        assert!(said.contains(why.unwrap_or("TOTAL_PASSED")), "{said}");
    }
    let (code, _, error) = verify(&["--policy", "mine"]);
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("object identifier"), "{error}");
}

/// Chains made with OpenSSL.
#[test]
fn with_a_trusted_certificate_a_signature_passes_while_it_was_valid() {
    let trusted = der(CHAINED_CA);
    let anchors = Anchors::new([trusted]);
    assert!(!anchors.is_empty());
    let bytes = der(CHAINED);
    let judge = |bytes: &[u8], anchors: &Anchors| {
        cms::verify(bytes, &Judging::new(anchors, NOW_MS))
            .unwrap()
            .remove(0)
    };
    let passed = judge(&bytes, &anchors);
    assert_eq!(passed.indication, Indication::TotalPassed, "{passed:?}");
    assert_eq!(passed.sub_indication, None);
    assert_eq!(passed.proven_time_ms, None);
    // Another authority's anchor leads to no chain, and a broken signature fails with any anchor.
    let others = Anchors::new([der(OTHER_CA)]);
    assert_eq!(
        judge(&bytes, &others).sub_indication,
        Some(SubIndication::NoCertificateChainFound)
    );
    let mut broken = bytes.clone();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(
        judge(&broken, &anchors).sub_indication,
        Some(SubIndication::SigCryptoFailure)
    );
    // Signed after the certificate had expired.
    let late = judge(&der(LATE), &anchors);
    assert_eq!(late.intact, Some(true));
    assert_eq!(late.sub_indication, Some(SubIndication::OutOfBoundsNoPoe));
    assert!(Anchors::new([b"no certificate".to_vec()]).is_empty());
}

/// One signer for each kind of key and padding.
#[test]
fn every_algorithm_that_openssl_signs_with_is_verified() {
    let mut seen = 0;
    for line in ALGORITHMS.lines() {
        let (name, base64) = line.split_once(' ').unwrap();
        let bytes = der(base64);
        for verdict in verify(&bytes, None) {
            assert_eq!(verdict.intact, Some(true), "{name}: {verdict:?}");
        }
        // The last byte belongs to the signature's value.
        let mut broken = bytes.clone();
        let last = broken.len() - 1;
        broken[last] ^= 1;
        for verdict in verify(&broken, None) {
            assert_eq!(verdict.intact, Some(false), "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

#[test]
fn xml_signatures_are_read_and_verified_over_http() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/xades");
    if !folder.is_dir() {
        eprintln!("skipped: there is no {}", folder.display());
        return;
    }
    let app = TestApp::start();
    let acme = app.tenant("acme");
    let verdict = |name: &str| {
        let xml = std::fs::read_to_string(folder.join(name)).unwrap();
        let answer = acme
            .json("POST", "/verify", &json!({"cms": xml}))
            .expect(200);
        let inspection = &answer.json["content"]["inspection"];
        assert_eq!(inspection["format"], "xml", "{name}");
        inspection["signers"][0].clone()
    };
    for name in ["xades-t-with-tsvd.xml", "dss2517_xades-valid-object.xml"] {
        let signer = verdict(name);
        assert_eq!(signer["verdict"]["intact"], true, "{name}");
        assert_eq!(
            signer["verdict"]["sub_indication"],
            "NO_CERTIFICATE_CHAIN_FOUND"
        );
        assert!(signer["certificate"]["subject"]["rfc4514"].is_string());
        assert_ne!(signer["references"], json!([]));
    }
    for (name, why) in [
        ("xades-tampered-manifest.xml", "HASH_FAILURE"),
        (
            "xades-sign-cert-v2-wrong-digest.xml",
            "NO_SIGNING_CERTIFICATE_FOUND",
        ),
        ("xades-tampered-keyinfo.xml", "NO_SIGNING_CERTIFICATE_FOUND"),
        ("dss-2506.xml", "SIG_CRYPTO_FAILURE"),
    ] {
        assert_eq!(verdict(name)["verdict"]["sub_indication"], why, "{name}");
    }
}
