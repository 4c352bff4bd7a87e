//! NIST's Public Key Interoperability Test Suite. Each signed message is judged with the inputs that the suite's
//! document names, and with revocation information required.
//!
//! `SIGPERSIST_PKITS` names the folder with the data (with `certs` and `smime` in it); without it the test is skipped.
//!
//! `SIGPERSIST_PKITS=… cargo test --test pkits -- --nocapture` prints the table.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigpersist_verify::pki::{
    Anchors, Indication, RevocationRule, Rules, SubIndication, Verdict, to_pem,
};
use sigpersist_verify::{Judging, cms};

const TABLE: &str = include_str!("pkits.tsv");
/// The last day of 2026, in milliseconds since 1970. The messages claim to be from 2011.
const NOW_MS: i64 = 1_798_675_200_000;

/// A message: the signed bytes and the CMS.
struct Message {
    content: Vec<u8>,
    cms: Vec<u8>,
}

impl Message {
    /// Reads a `multipart/signed` message of two parts (RFC 8551 section 3.5.3): the first with the line ends of mail,
    /// the second in base64.
    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("a message");
        let text = text.replace("\r\n", "\n");
        let (_, rest) = text.split_once("boundary=\"").expect("a boundary");
        let (boundary, rest) = rest.split_once('"').expect("a boundary");
        let boundary = format!("\n--{boundary}");
        let mut parts = rest.split(&boundary).skip(1);
        let content = parts.next().expect("a first part").trim_start_matches('\n');
        let (_, cms) = parts
            .next()
            .and_then(|part| part.split_once("\n\n"))
            .expect("a second part");
        Self {
            content: content.replace('\n', "\r\n").into_bytes(),
            cms: STANDARD
                .decode(cms.split_whitespace().collect::<String>())
                .expect("base64"),
        }
    }

    fn verdict(&self, anchors: &Anchors, rules: Rules) -> Verdict {
        let judging = Judging {
            document: Some(&self.content),
            rules,
            ..Judging::new(anchors, NOW_MS)
        };
        let mut verdicts = cms::verify(&self.cms, &judging).expect("a CMS");
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0)
    }
}

fn rules(policies: &str, flags: &str) -> Rules {
    let has = |flag| flags.split(',').any(|own| own == flag);
    let policies = (policies != "any").then(|| {
        let policies = policies.split(',');
        let policies = policies.map(|number| format!("2.16.840.1.101.3.2.1.48.{number}"));
        policies.collect()
    });
    Rules {
        revocation: RevocationRule::Required,
        initial_policies: policies,
        require_explicit_policy: has("explicit"),
        inhibit_policy_mapping: has("no-mapping"),
        inhibit_any_policy: has("no-any"),
    }
}

/// Rows for which OpenSSL and this crate differ, with the reason.
const OTHERWISE: [(&str, &str); 2] = [
    (
        "4.1.4",
        "by DSA, which OpenSSL knows and this crate does not",
    ),
    (
        "4.14.30",
        "a list that also tells of the certificate of the one who signed it, which PKITS calls valid; OpenSSL ends with \
         \"CRL path validation error\"",
    ),
];

/// The rows of the table: section, file, policies, flags, result according to PKITS.
fn rows() -> impl Iterator<Item = [&'static str; 5]> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let fields = line.split('\t').collect::<Vec<_>>();
        fields
            .try_into()
            .unwrap_or_else(|_| panic!("five fields: {line}"))
    })
}

/// Whether `openssl cms -verify` accepts a message under the same rules.
fn openssl_passes(message: &Path, anchor: &Path, rules: &Rules) -> bool {
    let mut command = Command::new("openssl");
    command.args(["cms", "-verify", "-inform", "SMIME", "-out", "/dev/null"]);
    command.args(["-crl_check_all", "-extended_crl", "-use_deltas"]);
    command.args(["-policy_check", "-in"]).arg(message);
    command.arg("-CAfile").arg(anchor);
    let any = vec!["2.5.29.32.0".to_owned()];
    for policy in rules.initial_policies.as_ref().unwrap_or(&any) {
        command.args(["-policy", policy]);
    }
    for (flag, is_set) in [
        ("-explicit_policy", rules.require_explicit_policy),
        ("-inhibit_map", rules.inhibit_policy_mapping),
        ("-inhibit_any", rules.inhibit_any_policy),
    ] {
        command.args(is_set.then_some(flag));
    }
    command.output().expect("openssl").status.success()
}

fn is_as_told(verdict: &Verdict, told: &str) -> bool {
    match told {
        "valid" => verdict.indication == Indication::TotalPassed,
        "unknown" => verdict.sub_indication == Some(SubIndication::CryptoConstraintsFailure),
        // Only the certificates are at fault: each message is intact.
        why => {
            verdict.indication == Indication::Indeterminate
                && verdict.intact == Some(true)
                && verdict
                    .sub_indication
                    .is_some_and(|own| own.to_string() == why)
        }
    }
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is for people who ask for it"
)]
fn paths_are_judged_as_pkits_says() {
    let Some(folder) = std::env::var_os("SIGPERSIST_PKITS") else {
        return;
    };
    let folder = Path::new(&folder);
    let anchor = folder.join("certs/TrustAnchorRootCertificate.crt");
    let anchors = Anchors::new([std::fs::read(anchor).expect("the trust anchor")]);
    let mut wrong = Vec::new();
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    let mut files = BTreeMap::<&str, bool>::new();
    for [section, name, policies, flags, told] in rows() {
        let message = Message::read(&folder.join("smime").join(name));
        let verdict = message.verdict(&anchors, rules(policies, flags));
        let right = is_as_told(&verdict, told);
        let kind = if ["valid", "unknown"].contains(&told) {
            told
        } else {
            "invalid"
        };
        let [count, all] = counts.entry(kind).or_default();
        *count += usize::from(right);
        *all += 1;
        *files.entry(name).or_insert(true) &= right;
        if !right {
            let Verdict {
                indication,
                sub_indication,
                explanation,
                ..
            } = verdict;
            wrong.push(format!(
                "{section} {name} is {told}, but {indication} {sub_indication:?}: {explanation}"
            ));
        }
    }
    for (kind, [right, all]) in counts {
        println!("| NIST PKITS, {kind} | {right} | {all} |");
    }
    let right = files.values().filter(|right| **right).count();
    println!("| NIST PKITS, messages | {right} | {} |", files.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "the table is for people who ask for it"
)]
fn paths_of_pkits_are_judged_as_openssl_does() {
    let Some(folder) = std::env::var_os("SIGPERSIST_PKITS") else {
        return;
    };
    if Command::new("openssl").arg("version").output().is_err() {
        println!("There is no `openssl` here to compare with.");
        return;
    }
    let folder = Path::new(&folder);
    let anchor = std::fs::read(folder.join("certs/TrustAnchorRootCertificate.crt"));
    let anchor = anchor.expect("the trust anchor");
    let pem = std::env::temp_dir().join(format!("sigpersist-pkits-{}.pem", std::process::id()));
    std::fs::write(&pem, to_pem("CERTIFICATE", &anchor)).expect("a file");
    let anchors = Anchors::new([anchor]);
    let (mut agree, mut all, mut otherwise) = (0, 0, Vec::new());
    for [section, name, policies, flags, _] in rows() {
        let file = folder.join("smime").join(name);
        let rules = rules(policies, flags);
        let theirs = openssl_passes(&file, &pem, &rules);
        let ours = Message::read(&file).verdict(&anchors, rules).indication;
        all += 1;
        if theirs == (ours == Indication::TotalPassed) {
            agree += 1;
        } else {
            otherwise.push(section);
        }
    }
    std::fs::remove_file(&pem).expect("a file");
    println!("| NIST PKITS, as `openssl cms -verify` | {agree} | {all} |");
    for (section, reason) in OTHERWISE {
        println!("{section}: {reason}");
    }
    assert_eq!(otherwise, OTHERWISE.map(|(section, _)| section));
}
