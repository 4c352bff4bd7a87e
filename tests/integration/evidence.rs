//! Evidence embedded in signatures: time stamps, CRLs, OCSP responses and countersignatures. All of it is made with
//! OpenSSL by `tests/data/verify/make.sh`.

use sigpersist_verify::pki::{Anchors, Basis, Indication, Revocation, SubIndication, Verdict};
use sigpersist_verify::{Judging, cms, xmldsig};

use crate::support::der;

/// Lines of a name and a signature in base64.
const EVIDENCE: &str = include_str!("../data/verify/evidence.txt");
const SIGNED_XML: &str = include_str!("../data/verify/signed.xml");
const STAMPED_XML: &str = include_str!("../data/verify/stamped.xml");
const BESIDE_XML: &str = include_str!("../data/verify/beside.xml");
const PROPERTIES_ALONE_XML: &str = include_str!("../data/verify/properties-alone.xml");
const REVOKED_XML: &str = include_str!("../data/verify/revoked.xml");
const CA: &str = include_str!("../data/verify/ca.crt.b64");

/// The last day of 2026, when all certificates are valid.
const IN_2026: i64 = 1_798_761_600_000;
/// 1 July 2090.
const IN_2090: i64 = 3_802_723_200_000;
/// 1 January 2020.
const IN_2020: i64 = 1_577_836_800_000;
/// 1 January 2124: the signers' certificates have expired, but not those of authorities and time stamps.
const IN_2124: i64 = 4_859_740_800_000;
/// 1 January 2300: all certificates have expired.
const IN_2300: i64 = 10_413_792_000_000;

fn bytes(name: &str) -> Vec<u8> {
    let mut lines = EVIDENCE.lines().filter_map(|line| line.split_once(' '));
    let (_, base64) = lines.find(|(known, _)| *known == name).unwrap();
    der(base64)
}

fn verify_at(name: &str, now_ms: i64) -> Verdict {
    let anchors = Anchors::new([der(CA)]);
    let mut verdicts = cms::verify(&bytes(name), &Judging::new(&anchors, now_ms)).unwrap();
    assert_eq!(verdicts.len(), 1, "{name}");
    verdicts.remove(0)
}

fn verify(name: &str) -> Verdict {
    verify_at(name, IN_2026)
}

fn assert_passes(name: &str, verdict: &Verdict) {
    assert_eq!(
        (verdict.indication, verdict.sub_indication, verdict.intact),
        (Indication::TotalPassed, None, Some(true)),
        "{name}: {verdict:?}"
    );
    assert_eq!(verdict.chain.len(), 3, "{name}: signer, below, upper");
}

fn assert_because(name: &str, verdict: &Verdict, why: SubIndication) {
    assert_eq!(verdict.sub_indication, Some(why), "{name}: {verdict:?}");
    assert_ne!(verdict.indication, Indication::TotalPassed, "{name}");
}

#[test]
fn a_time_stamp_proves_when_a_signature_was_there() {
    let stamped = verify("stamped");
    assert_passes("stamped", &stamped);
    assert_eq!(stamped.claimed_time_ms, None);
    assert_eq!(stamped.judged_by, Basis::Proven);
    assert_eq!(stamped.proven_time_ms, Some(stamped.judged_time_ms));
    // The signature stays valid after its certificate expires, as long as the time stamp is valid.
    assert_passes("stamped", &verify_at("stamped", IN_2124));
    let over = verify_at("stamped", IN_2300);
    assert_because("stamped", &over, SubIndication::OutOfBoundsNoPoe);
    assert_eq!(over.proven_time_ms, None);
}

#[test]
fn a_time_stamp_of_something_else_or_by_somebody_else_proves_nothing() {
    for name in [
        "stamped-other",
        "stamped-stranger",
        "stamped-no-usage",
        "stamped-tampered",
    ] {
        let verdict = verify(name);
        assert_eq!(verdict.proven_time_ms, None, "{name}");
        assert_eq!(verdict.judged_by, Basis::Now, "{name}");
        // The time stamp is still reported, but not as a proof.
        let inspection = cms::inspect(&bytes(name)).unwrap();
        assert!(inspection.signers[0].timestamp_ms.is_some(), "{name}");
        assert_because(
            name,
            &verify_at(name, IN_2124),
            SubIndication::OutOfBoundsNoPoe,
        );
    }
}

#[test]
fn lists_and_answers_say_that_nothing_was_revoked() {
    for name in ["crl-good", "values-crl"] {
        let verdict = verify(name);
        assert_passes(name, &verdict);
        assert!(
            matches!(verdict.revocation, Revocation::Good { as_of_ms } if as_of_ms > IN_2020),
            "{name}: {verdict:?}"
        );
        assert!(verdict.explanation.contains("no certificate was revoked"));
    }
    // Nothing here tells whether the intermediate authority was revoked, so not all of the chain is judged.
    for name in ["ocsp-good", "ocsp-by-issuer", "stamped"] {
        let verdict = verify(name);
        assert_passes(name, &verdict);
        assert_eq!(verdict.revocation, Revocation::NotJudged, "{name}");
        assert!(verdict.explanation.contains("not judged"), "{name}");
    }
}

#[test]
fn a_revoked_certificate_is_no_pass_unless_the_signature_is_proven_to_be_older() {
    for name in ["crl-revoked", "ocsp-revoked", "values-ocsp"] {
        let verdict = verify(name);
        assert_because(name, &verdict, SubIndication::RevokedNoPoe);
        assert_eq!(verdict.indication, Indication::Indeterminate, "{name}");
        assert_eq!(
            verdict.revocation,
            Revocation::Revoked { since_ms: IN_2020 },
            "{name}"
        );
        assert_eq!(verdict.intact, Some(true), "{name}");
    }
    assert_because(
        "crl-below-revoked",
        &verify("crl-below-revoked"),
        SubIndication::RevokedCaNoPoe,
    );
    // Somebody with a stolen key can claim any time, but a time stamp proves one.
    assert_because(
        "crl-revoked-later",
        &verify_at("crl-revoked-later", IN_2090),
        SubIndication::RevokedNoPoe,
    );
    let proven = verify_at("stamped-revoked-later", IN_2090);
    assert_passes("stamped-revoked-later", &proven);
    assert!(
        matches!(proven.revocation, Revocation::Revoked { since_ms } if since_ms > proven.judged_time_ms)
    );
}

#[test]
fn what_the_wrong_people_say_of_revocation_or_said_too_early_is_nothing() {
    for name in ["crl-forged", "crl-stale", "ocsp-stranger"] {
        let verdict = verify(name);
        assert_passes(name, &verdict);
        assert_eq!(verdict.revocation, Revocation::NotJudged, "{name}");
    }
}

#[test]
fn countersignatures_have_verdicts_of_their_own() {
    let one = verify("countersigned");
    assert_passes("countersigned", &one);
    assert_eq!(one.countersignatures.len(), 1);
    assert_passes("its countersignature", &one.countersignatures[0]);

    let wrong = verify("countersigned-wrong");
    assert_passes("countersigned-wrong", &wrong);
    assert_because(
        "its countersignature",
        &wrong.countersignatures[0],
        SubIndication::HashFailure,
    );
    let inspection = cms::inspect(&bytes("countersigned")).unwrap();
    let countersigner = &inspection.signers[0].countersignatures[0];
    let certificate = countersigner.certificate.as_ref().unwrap();
    assert_eq!(certificate.subject.rfc4514, "CN=Counter");

    let twice = verify("countersigned-twice");
    let outer = &twice.countersignatures[0];
    assert_passes("the outer one", outer);
    assert_passes("the one of that", &outer.countersignatures[0]);
}

#[test]
fn a_changed_countersignature_is_noticed() {
    let original = bytes("countersigned");
    let anchors = Anchors::new([der(CA)]);
    let before = cms::verify(&original, &Judging::new(&anchors, IN_2026)).unwrap();
    // The value of the countersignature is at the end of the file.
    let mut changed = original;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let after = cms::verify(&changed, &Judging::new(&anchors, IN_2026)).unwrap();
    assert_eq!(after[0].intact, before[0].intact);
    assert_because(
        "changed",
        &after[0].countersignatures[0],
        SubIndication::SigCryptoFailure,
    );
}

#[test]
fn signed_attributes_must_be_as_the_standards_say() {
    assert_passes("cades", &verify("cades"));
    for (name, why) in [
        ("cades-other", SubIndication::NoSigningCertificateFound),
        ("twice", SubIndication::FormatFailure),
        ("no-content-type", SubIndication::FormatFailure),
        (
            "without-certificate",
            SubIndication::NoSigningCertificateFound,
        ),
    ] {
        assert_because(name, &verify(name), why);
    }
}

#[test]
fn each_of_several_signers_has_a_verdict_and_nobody_is_none() {
    let anchors = Anchors::new([der(CA)]);
    let verdicts = |name| cms::verify(&bytes(name), &Judging::new(&anchors, IN_2026)).unwrap();
    let two = verdicts("two-signers");
    assert_eq!(two.len(), 2);
    for verdict in &two {
        assert_passes("two-signers", verdict);
    }
    assert_eq!(verdicts("nobody"), []);
}

/// Evidence in XML signatures counts as in CMS.
#[test]
fn xml_signatures_are_judged_by_what_they_embed_too() {
    let anchors = Anchors::new([der(CA)]);
    let judge = |xml: &str, now_ms| {
        let found = xmldsig::inspect(xml.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        xmldsig::judge(&found, &Judging::new(&anchors, now_ms))
            .unwrap()
            .remove(0)
    };
    let signed = judge(SIGNED_XML, IN_2026);
    assert_passes("signed", &signed);
    assert_eq!(signed.judged_by, Basis::Claimed);
    assert_eq!(signed.revocation, Revocation::NotJudged);
    for now_ms in [IN_2026, IN_2124] {
        let stamped = judge(STAMPED_XML, now_ms);
        assert_passes("stamped", &stamped);
        assert_eq!(stamped.judged_by, Basis::Proven);
        assert!(matches!(stamped.revocation, Revocation::Good { .. }));
    }
    let revoked = judge(REVOKED_XML, IN_2026);
    assert_because("revoked", &revoked, SubIndication::RevokedNoPoe);
    assert_eq!(revoked.intact, Some(true));
    // A time stamp of another value, and an incomplete chain.
    let other = judge(
        &STAMPED_XML.replace("<ds:SignatureValue ", "<ds:SignatureValue Id=\"x\" "),
        IN_2026,
    );
    assert_eq!(other.proven_time_ms, None);
    let without = STAMPED_XML.replace("EncapsulatedX509Certificate", "Other");
    assert_because(
        "without",
        &judge(&without, IN_2026),
        SubIndication::NoCertificateChainFound,
    );
    let nobody = Anchors::default();
    let found = xmldsig::inspect(SIGNED_XML.as_bytes()).unwrap();
    let verdict = &xmldsig::judge(&found, &Judging::new(&nobody, IN_2026)).unwrap()[0];
    assert!(
        verdict.explanation.contains("no trust anchors"),
        "{}",
        verdict.explanation
    );
}

#[test]
fn an_authority_must_be_one_and_within_its_limits() {
    for name in ["not-an-authority", "not-for-certificates", "path-too-long"] {
        let why = SubIndication::CertificateChainGeneralFailure;
        assert_because(name, &verify(name), why);
    }
    assert_passes("path-long-enough", &verify("path-long-enough"));
    // The constraint is on host names only, and the signer has none.
    assert_passes("names-restricted", &verify("names-restricted"));
}

#[test]
fn a_key_for_something_else_signs_no_documents() {
    for name in ["for-server", "for-login", "for-ciphering"] {
        let verdict = verify(name);
        assert_because(name, &verdict, SubIndication::ChainConstraintsFailure);
        assert_eq!(verdict.intact, Some(true), "{name}");
    }
    assert_passes("for-mail", &verify("for-mail"));
}

#[test]
fn a_list_of_another_place_says_who_is_revoked_and_not_who_is_not() {
    let elsewhere = verify("crl-elsewhere");
    assert_passes("crl-elsewhere", &elsewhere);
    assert_eq!(elsewhere.revocation, Revocation::NotJudged);
    assert_because(
        "crl-elsewhere-revoked",
        &verify("crl-elsewhere-revoked"),
        SubIndication::RevokedNoPoe,
    );
    // CRLs and OCSP responses of a signer that is not authorized are ignored.
    for name in ["crl-by-no-list-signer", "ocsp-by-anybody"] {
        let verdict = verify(name);
        assert_passes(name, &verdict);
        assert_eq!(verdict.revocation, Revocation::NotJudged, "{name}");
    }
}

#[test]
fn nobody_has_signed_in_the_future() {
    let future = verify("future");
    assert_passes("future", &future);
    assert_eq!(future.judged_by, Basis::Now);
    assert_eq!(future.judged_time_ms, IN_2026);
    assert!(future.claimed_time_ms > Some(IN_2026));
    // Once that time has come, the claim is believed.
    assert_eq!(verify_at("future", IN_2090).judged_by, Basis::Claimed);
}

#[test]
fn signed_attributes_are_no_content_and_without_them_the_content_is_data() {
    for name in ["attributes-as-content", "other-type"] {
        assert_because(name, &verify(name), SubIndication::FormatFailure);
    }
}

#[test]
fn xml_that_signs_something_beside_itself_is_intact_and_no_pass() {
    let anchors = Anchors::new([der(CA)]);
    for xml in [BESIDE_XML, PROPERTIES_ALONE_XML] {
        let found = xmldsig::inspect(xml.as_bytes()).unwrap();
        let verdict = &xmldsig::judge(&found, &Judging::new(&anchors, IN_2026)).unwrap()[0];
        assert_eq!(verdict.intact, Some(true));
        assert_because("beside", verdict, SubIndication::SigConstraintsFailure);
    }
    // If the whole document is signed, ids elsewhere may be duplicated.
    let twice = SIGNED_XML.replace(
        "<ds:KeyInfo>",
        "<ds:KeyInfo><ds:KeyName Id=\"a\"/><ds:KeyName Id=\"a\"/>",
    );
    let found = xmldsig::inspect(twice.as_bytes()).unwrap();
    assert!(found[0].duplicate_ids);
    let verdict = &xmldsig::judge(&found, &Judging::new(&anchors, IN_2026)).unwrap()[0];
    assert_eq!(verdict.indication, Indication::TotalPassed);
}

/// Whichever byte is changed, a time stamp proves the original time or nothing, and an invalid one never proves
/// anything.
#[test]
fn no_change_makes_a_time_stamp_prove_another_time() {
    let anchors = Anchors::new([der(CA)]);
    let proven = verify("stamped").proven_time_ms;
    for (name, proven) in [
        ("stamped", proven),
        ("stamped-stranger", None),
        ("stamped-tampered", None),
        ("stamped-no-usage", None),
    ] {
        let original = bytes(name);
        let mut unproven = 0;
        // Every seventh byte, so that the test takes one second instead of ten.
        for place in (0..original.len()).step_by(7) {
            let mut changed = original.clone();
            changed[place] ^= 0x20;
            let verdicts = cms::verify(&changed, &Judging::new(&anchors, IN_2124));
            for verdict in verdicts.unwrap_or_default() {
                let now_proven = verdict.proven_time_ms;
                assert!(
                    now_proven.is_none() || now_proven == proven,
                    "{name} at {place}"
                );
                unproven += usize::from(now_proven.is_none());
                let passed = verdict.indication == Indication::TotalPassed;
                assert!(!passed || proven.is_some(), "{name} at {place}");
            }
        }
        // Most of the file is the time stamp and its chain.
        assert!(unproven > original.len() / 7 / 3, "{name}: {unproven}");
    }
}

/// Hostile input is handled quickly, or refused as too much.
#[test]
fn many_countersignatures_are_verified_in_a_moment_or_refused() {
    let began = std::time::Instant::now();
    // More countersignatures of one signer than any honest document has, each requiring the whole chain.
    let countersigned = bytes("countersigned");
    let value = find(&countersigned, &COUNTERSIGNATURE_OID);
    let set = value + COUNTERSIGNATURE_OID.len();
    let (header, length) = length_at(&countersigned, set);
    let one = countersigned[set + header..set + header + length].to_vec();
    for times in [100, 400, 600] {
        let many = grow(&countersigned, &one.repeat(times), set);
        match cms::verify(&many, &Judging::new(&Anchors::new([der(CA)]), IN_2026)) {
            Ok(verdicts) => assert_eq!(verdicts[0].countersignatures.len(), times),
            Err(error) => assert!(times > 400 && error.to_string().contains("too"), "{error}"),
        }
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn many_lists_and_stamps_in_xml_are_looked_at_in_a_moment_or_refused() {
    let anchors = Anchors::new([der(CA)]);
    let began = std::time::Instant::now();
    let element = |name: &str| {
        let (open, close) = (format!("<xades:{name}>"), format!("</xades:{name}>"));
        let from = STAMPED_XML.find(&open).unwrap();
        let to = STAMPED_XML.find(&close).unwrap() + close.len();
        &STAMPED_XML[from..to]
    };
    let [list, stamp] = ["EncapsulatedCRLValue", "SignatureTimeStamp"].map(element);
    let many = STAMPED_XML.replace(list, &list.repeat(400));
    let many = many.replace(stamp, &stamp.repeat(50));
    let found = xmldsig::inspect(many.as_bytes()).unwrap();
    let verdict = &xmldsig::judge(&found, &Judging::new(&anchors, IN_2026)).unwrap()[0];
    assert_passes("many", verdict);
    // Repeats the whole signature, so that each copy requires all the work.
    let signature = {
        let from = many.find("<ds:Signature ").unwrap();
        let to = many.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
        many[from..to].to_owned()
    };
    let hostile = many.replace(&signature, &signature.repeat(12));
    if let Ok(found) = xmldsig::inspect(hostile.as_bytes()) {
        match xmldsig::judge(&found, &Judging::new(&anchors, IN_2026)) {
            Ok(verdicts) => assert_eq!(verdicts.len(), 12),
            Err(error) => assert!(error.to_string().contains("too"), "{error}"),
        }
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

const COUNTERSIGNATURE_OID: [u8; 11] = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 6];

fn find(bytes: &[u8], what: &[u8]) -> usize {
    let mut windows = bytes.windows(what.len());
    windows.position(|window| window == what).unwrap()
}

/// The length of the header of the DER value at this offset, and the length of its content.
fn length_at(bytes: &[u8], place: usize) -> (usize, usize) {
    let first = usize::from(bytes[place + 1]);
    if first < 0x80 {
        return (2, first);
    }
    let more = first - 0x80;
    let digits = &bytes[place + 2..place + 2 + more];
    let length = digits
        .iter()
        .fold(0, |sum, digit| sum * 256 + usize::from(*digit));
    (2 + more, length)
}

/// Replaces the content of the DER value at this offset, and corrects the lengths of all values around it.
fn grow(bytes: &[u8], content: &[u8], place: usize) -> Vec<u8> {
    fn write(
        bytes: &[u8],
        from: usize,
        to: usize,
        place: usize,
        content: &[u8],
        out: &mut Vec<u8>,
    ) {
        let mut at = from;
        while at < to {
            let (header, length) = length_at(bytes, at);
            let end = at + header + length;
            if !(at..end).contains(&place) {
                out.extend_from_slice(&bytes[at..end]);
            } else {
                let mut inside = Vec::new();
                if at == place {
                    inside.extend_from_slice(content);
                } else {
                    write(bytes, at + header, end, place, content, &mut inside);
                }
                let length = u32::try_from(inside.len()).unwrap().to_be_bytes();
                out.extend_from_slice(&[bytes[at], 0x84]);
                out.extend_from_slice(&length);
                out.extend_from_slice(&inside);
            }
            at = end;
        }
    }
    let mut grown = Vec::new();
    write(bytes, 0, bytes.len(), place, content, &mut grown);
    grown
}
