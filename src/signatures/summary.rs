//! What is worth keeping of a report with verdicts: who signed, and what was found of each.

use serde_json::{Value, json};

/// Most bytes of JSON that are kept of one verification.
pub const MAX_BYTES: usize = 64 * 1024;
/// What is around the signers.
const MARGIN: usize = 4 * 1024;
/// Most characters of a name, and of what a reference covers.
const MAX_TEXT: usize = 500;
/// Most references and countersignatures of a signer.
const MAX_ENTRIES: usize = 20;

/// A summary of a report. Of more signers than there is room for, it says how many were left out.
pub fn summary(report: &Value) -> Value {
    let mut bytes = report["problem"].as_str().map_or(0, str::len);
    let all = report["signers"].as_array().map_or(&[][..], Vec::as_slice);
    let kept: Vec<_> = all
        .iter()
        .map(signer)
        .take_while(|kept| {
            bytes += kept.to_string().len();
            bytes < MAX_BYTES - MARGIN
        })
        .collect();
    json!({
        "format": report["format"],
        "problem": report["problem"],
        "left_out": all.len() - kept.len(),
        "signers": kept,
    })
}

fn signer(signer: &Value) -> Value {
    let certificate = &signer["certificate"];
    let mut kept = json!({
        "subject": certificate["subject"]["rfc4514"].as_str().map(shortened),
        "sha256": certificate["sha256"],
        "iin": certificate["iin"],
        "bin": certificate["bin"],
        "verdict": signer["verdict"],
    });
    if let Some(references) = signer["references"].as_array() {
        let covers = references.iter().take(MAX_ENTRIES);
        kept["covers"] = covers
            .map(|it| it["covers"].as_str().map(shortened))
            .collect();
    }
    let countersigners = signer["countersignatures"].as_array();
    if let Some(countersigners) = countersigners.filter(|all| !all.is_empty()) {
        let some = countersigners.iter().take(MAX_ENTRIES);
        kept["countersignatures"] = some.map(self::signer).collect();
    }
    kept
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_TEXT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_never_grows_beyond_its_room() {
        let signer = json!({
            "certificate": { "subject": { "rfc4514": "я".repeat(1_000) }, "sha256": "0" },
            "verdict": { "indication": "TOTAL_PASSED" },
            "references": vec![json!({ "covers": "x".repeat(1_000) }); 50],
        });
        let mut nested = signer.clone();
        nested["countersignatures"] = vec![signer.clone(); 100].into();
        let few = summary(&json!({ "signers": [signer, nested] }));
        assert_eq!(few["left_out"], 1);
        let report = json!({ "format": "cms", "problem": null, "signers": vec![signer; 500] });
        let kept = summary(&report);
        assert!(kept.to_string().len() <= MAX_BYTES);
        let (left_out, signers) = (&kept["left_out"], &kept["signers"]);
        assert_eq!(
            left_out.as_u64().unwrap() as usize + signers.as_array().unwrap().len(),
            500
        );
        let subject = signers[0]["subject"].as_str().unwrap();
        assert_eq!(subject.chars().count(), MAX_TEXT + 1);
    }
}
