//! Refuses signatures whose signers' certificates are from an issuer that is denied, or not allowed.

use std::collections::BTreeMap;

use serde::Deserialize;
use sigpersist_plugin::{
    Acceptance, Name, Plugin, Rejection, Save, SaveValidator, Signer, SignerIdentifier,
};

/// The settings. With no allowed issuers, all are allowed.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssuerLists {
    allow: Vec<Issuer>,
    deny: Vec<Issuer>,
    /// Whether each signer must pass. Only then is it certain that the named issuer issued the certificate.
    passed: bool,
}

/// Attributes that an issuer's name must have, by their short names: `{"O": "…", "CN": "…"}`.
#[derive(Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
struct Issuer(BTreeMap<String, String>);

impl TryFrom<BTreeMap<String, String>> for Issuer {
    type Error = &'static str;

    fn try_from(attributes: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        if attributes.is_empty() {
            Err("an issuer without attributes would be any")
        } else {
            Ok(Self(attributes))
        }
    }
}

impl Issuer {
    fn is(&self, name: &Name) -> bool {
        self.0
            .iter()
            .all(|(attribute, wanted)| name.values(attribute).any(|value| value == wanted))
    }
}

impl Plugin for IssuerLists {
    const SUMMARY: &str = "Allows and denies issuers of the signers' certificates";
}

impl SaveValidator for IssuerLists {
    fn validate_save(&self, save: &Save) -> Result<Acceptance, Vec<Rejection>> {
        if self.allow.is_empty() && self.deny.is_empty() && !self.passed {
            return Ok(Acceptance::default());
        }
        let mut read = save.cms().map_err(|error| vec![error.into()])?;
        if read.signers.is_empty() {
            return Err(vec![Rejection::not_signed()]);
        }
        let mut not_passed = Vec::new();
        if self.passed {
            let judgement = save.verdicts().map_err(|error| vec![error.into()])?;
            not_passed.extend(judgement.not_passed());
            read = read.judged_by(&judgement);
        }
        let against = read.signers.iter().filter_map(|signer| self.judge(signer));
        let rejections: Vec<_> = against.chain(not_passed).collect();
        if rejections.is_empty() {
            Ok(Acceptance::default())
        } else {
            Err(rejections)
        }
    }
}

impl IssuerLists {
    fn judge(&self, signer: &Signer) -> Option<Rejection> {
        let (code, message) = match issuer(signer) {
            None => (
                "issuer-unknown",
                "A signer's certificate is not embedded, and its issuer not named.".to_owned(),
            ),
            Some(name) if self.deny.iter().any(|denied| denied.is(name)) => (
                "issuer-denied",
                format!("The issuer {} is denied.", name.rfc4514),
            ),
            Some(name)
                if !self.allow.is_empty() && !self.allow.iter().any(|allowed| allowed.is(name)) =>
            {
                (
                    "issuer-not-allowed",
                    format!("The issuer {} is not among those allowed.", name.rfc4514),
                )
            }
            Some(_) => return None,
        };
        Some(Rejection::new(code, message).at("/cms"))
    }
}

fn issuer(signer: &Signer) -> Option<&Name> {
    match (&signer.certificate, &signer.identifier) {
        (Some(certificate), _) => Some(&certificate.issuer),
        (None, SignerIdentifier::IssuerAndSerial(id)) => Some(&id.issuer),
        (None, SignerIdentifier::SubjectKeyIdentifier(_)) => None,
    }
}

sigpersist_plugin::plugin!(IssuerLists: SaveValidator);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{
        Certificate, Indication, InspectError, Inspection, IssuerAndSerial, JudgedSigner,
        Judgement, Signature, Verdict, configure,
    };

    fn issued_by(issuer: &[(&str, &str)]) -> Signer {
        let issuer = Name::new(issuer.iter().copied());
        Signer {
            certificate: Some(Certificate {
                issuer,
                ..Certificate::default()
            }),
            ..Signer::default()
        }
    }

    /// Codes of the rejections.
    fn judge(settings: &str, signers: &[Signer]) -> Vec<String> {
        let inspection = Inspection {
            signers: signers.to_vec(),
            ..Inspection::default()
        };
        let save = Save::new(Signature::default()).with_cms(Ok(inspection));
        let judged = configure::<IssuerLists>(settings)
            .unwrap()
            .validate_save(&save);
        judged
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|rejection| rejection.code)
            .collect()
    }

    #[test]
    fn an_issuer_has_all_attributes_that_are_asked_for() {
        let issuer = issued_by(&[("C", "KZ"), ("O", "One"), ("CN", "CA")]);
        let signers = std::slice::from_ref(&issuer);
        assert!(
            judge(
                r#"{"allow": [{"CN": "Other"}, {"O": "One", "CN": "CA"}]}"#,
                signers
            )
            .is_empty()
        );
        assert_eq!(
            judge(r#"{"allow": [{"O": "One", "CN": "Other"}]}"#, signers),
            ["issuer-not-allowed"]
        );
        assert_eq!(
            judge(
                r#"{"allow": [{"O": "One"}], "deny": [{"C": "KZ"}]}"#,
                signers
            ),
            ["issuer-denied"]
        );
        assert!(judge(r#"{"deny": [{"C": "US"}]}"#, signers).is_empty());
    }

    #[test]
    fn each_signer_counts_with_or_without_a_certificate() {
        let id = IssuerAndSerial {
            issuer: Name::new([("CN", "Other")]),
            serial: "01".into(),
        };
        let named = Signer {
            identifier: SignerIdentifier::IssuerAndSerial(id),
            ..Signer::default()
        };
        let signers = [issued_by(&[("CN", "CA")]), named, Signer::default()];
        assert_eq!(
            judge(r#"{"allow": [{"CN": "CA"}]}"#, &signers),
            ["issuer-not-allowed", "issuer-unknown"]
        );
        assert!(judge("{}", &signers).is_empty());
    }

    #[test]
    fn each_signer_must_pass_where_that_is_set() {
        let signer = issued_by(&[("CN", "CA")]);
        let judged = |indication| JudgedSigner {
            certificate: signer.certificate.clone(),
            verdict: Verdict {
                indication,
                ..Verdict::default()
            },
        };
        let save = |indication| {
            let inspection = Inspection {
                signers: vec![signer.clone()],
                ..Inspection::default()
            };
            let judgement = Judgement {
                signers: vec![judged(indication)],
                ..Judgement::default()
            };
            let save = Save::new(Signature::default()).with_cms(Ok(inspection));
            save.with_verdicts(Ok(judgement))
        };
        let codes = |settings, indication| {
            let plugin = configure::<IssuerLists>(settings).unwrap();
            let refused = plugin.validate_save(&save(indication)).err();
            let codes = refused.unwrap_or_default().into_iter().map(|it| it.code);
            codes.collect::<Vec<_>>()
        };
        let allowed = r#"{"allow": [{"CN": "CA"}], "passed": true}"#;
        for settings in [allowed, r#"{"passed": true}"#] {
            assert!(codes(settings, Indication::TotalPassed).is_empty());
            let refused = codes(settings, Indication::Indeterminate);
            assert_eq!(refused, ["signer-not-passed"]);
        }
        let denied = r#"{"deny": [{"CN": "CA"}], "passed": true}"#;
        assert_eq!(
            codes(denied, Indication::TotalFailed),
            ["issuer-denied", "signer-not-passed"]
        );
    }

    #[test]
    fn whose_certificate_is_judged_is_whose_issuer_counts() {
        let [claimed, judged] = ["Good CA", "Other CA"].map(|name| issued_by(&[("CN", name)]));
        // One signer has another certificate in front; the other names its issuer in different letters, so that no
        // certificate fits.
        let id = IssuerAndSerial {
            issuer: Name::new([("CN", "OTHER CA")]),
            serial: "01".into(),
        };
        let respelt = Signer {
            identifier: SignerIdentifier::IssuerAndSerial(id),
            ..Signer::default()
        };
        for signer in [claimed, respelt] {
            let inspection = Inspection {
                signers: vec![signer],
                ..Inspection::default()
            };
            let judgement = Judgement {
                signers: vec![JudgedSigner {
                    certificate: judged.certificate.clone(),
                    verdict: Verdict {
                        indication: Indication::TotalPassed,
                        ..Verdict::default()
                    },
                }],
                ..Judgement::default()
            };
            let save = Save::new(Signature::default())
                .with_cms(Ok(inspection))
                .with_verdicts(Ok(judgement));
            for (settings, code) in [
                (
                    r#"{"allow": [{"CN": "Good CA"}], "passed": true}"#,
                    "issuer-not-allowed",
                ),
                (
                    r#"{"deny": [{"CN": "Other CA"}], "passed": true}"#,
                    "issuer-denied",
                ),
            ] {
                let plugin = configure::<IssuerLists>(settings).unwrap();
                let refused = plugin.validate_save(&save).unwrap_err();
                assert_eq!((refused.len(), refused[0].code.as_str()), (1, code));
            }
        }
    }

    #[test]
    fn what_nobody_signed_is_refused_whether_or_not_the_server_judges_it() {
        for verdicts in [
            Ok(Judgement::default()),
            Err(InspectError::Malformed("nobody has signed it".into())),
        ] {
            let save = Save::new(Signature::default())
                .with_cms(Ok(Inspection::default()))
                .with_verdicts(verdicts);
            assert!(IssuerLists::default().validate_save(&save).is_ok());
            for settings in [
                r#"{"allow": [{"CN": "CA"}]}"#,
                r#"{"deny": [{"CN": "CA"}]}"#,
                r#"{"passed": true}"#,
            ] {
                let plugin = configure::<IssuerLists>(settings).unwrap();
                let refused = plugin.validate_save(&save).unwrap_err();
                assert_eq!(refused, [Rejection::not_signed()]);
            }
        }
    }

    #[test]
    fn what_is_no_cms_has_no_issuer() {
        let save = Save::new(Signature::default());
        assert!(IssuerLists::default().validate_save(&save).is_ok());
        let lists = configure::<IssuerLists>(r#"{"deny": [{"CN": "CA"}]}"#).unwrap();
        assert_eq!(lists.validate_save(&save).unwrap_err()[0].code, "not-cms");
    }

    #[test]
    fn an_issuer_that_would_be_any_is_refused() {
        let issue = configure::<IssuerLists>(r#"{"allow": [{"CN": "CA"}, {}]}"#)
            .err()
            .unwrap();
        assert_eq!(
            (issue.field.as_str(), issue.message.as_str()),
            ("/allow/1", "an issuer without attributes would be any")
        );
        assert_eq!(
            configure::<IssuerLists>(r#"{"deny": [{"CN": 1}]}"#)
                .err()
                .unwrap()
                .field,
            "/deny/0/CN"
        );
    }
}
