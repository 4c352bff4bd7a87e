//! Refuses a new version that drops an earlier signer: a countersignature may add signers, but never remove one.
//!
//! A signer is identified by its certificate, or, if it is not embedded, by the issuer and serial number (or key
//! identifier) that name it. If each signer must pass, the certificate is the one that the verdict is about.

use serde::Deserialize;
use sigpersist_plugin::{
    Acceptance, Inspection, Plugin, Previous, Rejection, Save, SaveValidator, Signer,
    SignerIdentifier,
};

/// The settings.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequireCountersignature {
    /// Minimum number of signers of each version.
    min_signers: usize,
    /// Whether each signer must pass.
    passed: bool,
}

impl Default for RequireCountersignature {
    fn default() -> Self {
        Self {
            min_signers: 1,
            passed: false,
        }
    }
}

impl Plugin for RequireCountersignature {
    const SUMMARY: &str = "Refuses a new version that drops an earlier signer";
}

impl SaveValidator for RequireCountersignature {
    fn validate_save(&self, save: &Save) -> Result<Acceptance, Vec<Rejection>> {
        let mut new = save.cms().map_err(|error| vec![error.into()])?;
        let mut not_passed = Vec::new();
        if self.passed && new.signers.is_empty() {
            not_passed.push(Rejection::not_signed());
        } else if self.passed {
            let judgement = save.verdicts().map_err(|error| vec![error.into()])?;
            not_passed.extend(judgement.not_passed());
            new = new.judged_by(&judgement);
        }
        let mut rejections = Vec::new();
        let has = count(&new.signers, self.min_signers);
        if has < self.min_signers {
            let needs = self.min_signers;
            let message =
                format!("The signature has {has} signers; at least {needs} are required.");
            rejections.push(Rejection::new("too-few-signers", message).at("/cms"));
        }
        rejections.extend(not_passed);
        let mut warnings = Vec::new();
        if let Some(previous) = save.previous() {
            match previous.cms() {
                Ok(old) => rejections.extend(dropped(&self.kept(&previous, old), &new)),
                // A version stored before this hook was set may be no signature: then there is no signer to keep.
                Err(_) => {
                    let version = previous.signature.version;
                    warnings.push(format!(
                        "Version {version} is no readable signature; its signers are not known."
                    ));
                }
            }
        }
        if rejections.is_empty() {
            Ok(Acceptance {
                warnings,
                ..Acceptance::default()
            })
        } else {
            Err(rejections)
        }
    }
}

impl RequireCountersignature {
    /// Earlier signers that a new version must keep.
    ///
    /// If each signer must pass, signers whose signatures are known to be broken do not count: a new version could not
    /// keep them. Signers are kept if it can't be told whether they are broken, since a caller who drops them has not
    /// shown that they are.
    fn kept(&self, previous: &Previous, old: Inspection) -> Vec<Signer> {
        if self.passed
            && let Ok(judgement) = previous.verdicts()
            && judgement.signers.len() == old.signers.len()
        {
            let mut signers = old.judged_by(&judgement).signers;
            let mut judged = judgement.signers.iter();
            signers.retain(|_| judged.next().is_none_or(|it| !it.verdict.is_broken()));
            return signers;
        }
        old.signers
    }
}

/// Number of different signers, counted up to `enough`. A person who signs twice counts once.
fn count(signers: &[Signer], enough: usize) -> usize {
    let mut counted: Vec<&Signer> = Vec::new();
    for signer in signers {
        if counted.len() == enough {
            break;
        }
        if !counted.iter().any(|other| is_same(other, signer)) {
            counted.push(signer);
        }
    }
    counted.len()
}

/// A rejection for each earlier signer who is missing.
fn dropped(old: &[Signer], new: &Inspection) -> impl Iterator<Item = Rejection> {
    let missing = old
        .iter()
        .filter(|signer| !new.signers.iter().any(|other| is_same(other, signer)));
    missing.map(|signer| {
        let message = format!("The new version drops the signer {}.", label(signer));
        Rejection::new("signer-dropped", message).at("/cms")
    })
}

/// Whether both signatures are by one signer: they have the same certificate, or, if one does not embed it, name the
/// same.
fn is_same(one: &Signer, other: &Signer) -> bool {
    match (&one.certificate, &other.certificate) {
        (Some(one), Some(other)) => one.sha256 == other.sha256,
        _ => identity(one) == identity(other),
    }
}

/// The name of a signer's certificate in a signature. All signatures of the signer have the same.
fn identity(signer: &Signer) -> (&str, &str) {
    match &signer.identifier {
        SignerIdentifier::IssuerAndSerial(id) => (&id.issuer.rfc4514, &id.serial),
        SignerIdentifier::SubjectKeyIdentifier(id) => ("", id),
    }
}

/// The signer's name to show to people.
fn label(signer: &Signer) -> &str {
    match &signer.certificate {
        Some(certificate) => certificate.label(),
        None => identity(signer).1,
    }
}

sigpersist_plugin::plugin!(RequireCountersignature: SaveValidator);

#[cfg(test)]
mod tests {
    use super::*;
    use sigpersist_plugin::{
        Certificate, Indication, InspectError, JudgedSigner, Judgement, Name, Signature, Verdict,
    };

    fn signer(name: &str, embedded: bool) -> Signer {
        let subject = Name::new([("CN", name)]);
        let certificate = Certificate {
            subject,
            sha256: name.into(),
            ..Certificate::default()
        };
        Signer {
            identifier: SignerIdentifier::SubjectKeyIdentifier(name.into()),
            certificate: embedded.then_some(certificate),
            ..Signer::default()
        }
    }

    fn signed(names: &[(&str, bool)]) -> Result<Inspection, InspectError> {
        let signers = names
            .iter()
            .map(|&(name, embedded)| signer(name, embedded))
            .collect();
        Ok(Inspection {
            signers,
            ..Inspection::default()
        })
    }

    /// Codes and messages of the rejections, or the warnings.
    fn judge(
        new: Result<Inspection, InspectError>,
        old: Option<Result<Inspection, InspectError>>,
        min_signers: usize,
    ) -> Result<Vec<String>, Vec<String>> {
        let mut save = Save::new(Signature::default()).with_cms(new);
        if let Some(old) = old {
            let signature = Signature {
                version: 1,
                ..Signature::default()
            };
            save = save.with_previous(Previous::new(signature).with_cms(old));
        }
        told(
            &RequireCountersignature {
                min_signers,
                passed: false,
            },
            &save,
        )
    }

    fn told(plugin: &RequireCountersignature, save: &Save) -> Result<Vec<String>, Vec<String>> {
        match plugin.validate_save(save) {
            Ok(acceptance) => Ok(acceptance.warnings),
            Err(rejections) => {
                assert!(
                    rejections
                        .iter()
                        .all(|rejection| rejection.field.as_deref() == Some("/cms"))
                );
                Err(rejections
                    .into_iter()
                    .map(|rejection| rejection.code + ": " + &rejection.message)
                    .collect())
            }
        }
    }

    /// Verdicts on the signers of [`signed`].
    fn judged(verdicts: &[(&str, Indication, Option<bool>)]) -> Result<Judgement, InspectError> {
        let signers = verdicts
            .iter()
            .map(|&(name, indication, intact)| JudgedSigner {
                certificate: signer(name, true).certificate,
                verdict: Verdict {
                    indication,
                    intact,
                    explanation: "So it is.".into(),
                    ..Verdict::default()
                },
            });
        Ok(Judgement {
            signers: signers.collect(),
            ..Judgement::default()
        })
    }

    #[test]
    fn each_signer_must_pass_where_that_is_set() {
        use Indication::{Indeterminate, TotalFailed, TotalPassed};
        let plugin = sigpersist_plugin::configure::<RequireCountersignature>(r#"{"passed": true}"#);
        let plugin = plugin.unwrap();
        let new = |verdicts: &[(&str, Indication, Option<bool>)]| {
            let names: Vec<_> = verdicts.iter().map(|(name, ..)| (*name, true)).collect();
            let save = Save::new(Signature::default()).with_cms(signed(&names));
            save.with_verdicts(judged(verdicts))
        };
        let passes = ("A", TotalPassed, Some(true));
        assert_eq!(told(&plugin, &new(&[passes])), Ok(vec![]));
        let refused = told(&plugin, &new(&[passes, ("B", Indeterminate, Some(true))]));
        let why = "signer-not-passed: The signer B does not pass: So it is.".to_owned();
        assert_eq!(refused, Err(vec![why]));
        // The signature can be read, but not verified.
        let odd = new(&[passes]).with_verdicts(Err(InspectError::Malformed("it is odd".into())));
        let why = "malformed-cms: The signature can't be read: it is odd.".to_owned();
        assert_eq!(told(&plugin, &odd), Err(vec![why]));
        // An earlier signer who is known to be forged can't be kept. A signer who may be genuine must be kept.
        for (intact, kept) in [(Some(false), false), (None, true), (Some(true), true)] {
            let verdicts = [passes, ("B", TotalFailed, intact)];
            let old = Previous::new(Signature::default())
                .with_cms(signed(&[("A", true), ("B", true)]))
                .with_verdicts(judged(&verdicts));
            let answer = told(&plugin, &new(&[passes]).with_previous(old));
            let dropped = "signer-dropped: The new version drops the signer B.".to_owned();
            let expected = if kept { Err(vec![dropped]) } else { Ok(vec![]) };
            assert_eq!(answer, expected, "{intact:?}");
        }
    }

    #[test]
    fn who_signed_is_whose_certificate_was_judged() {
        let plugin = sigpersist_plugin::configure::<RequireCountersignature>(r#"{"passed": true}"#);
        let plugin = plugin.unwrap();
        // Without verification, both versions have the same made-up certificate in front.
        let version = |judged_by| {
            let passed = (judged_by, Indication::TotalPassed, Some(true));
            (signed(&[("In front", true)]), judged(&[passed]))
        };
        for (first, next, kept) in [("A", "B", false), ("A", "A", true)] {
            let ((old, old_verdicts), (new, verdicts)) = (version(first), version(next));
            let over = Previous::new(Signature::default())
                .with_cms(old)
                .with_verdicts(old_verdicts);
            let save = Save::new(Signature::default()).with_cms(new);
            let save = save.with_verdicts(verdicts).with_previous(over);
            let dropped = "signer-dropped: The new version drops the signer A.".to_owned();
            let expected = if kept { Ok(vec![]) } else { Err(vec![dropped]) };
            assert_eq!(told(&plugin, &save), expected);
        }
    }

    #[test]
    fn what_nobody_signed_does_not_pass() {
        let nobody = |passed| {
            let plugin = RequireCountersignature {
                min_signers: 0,
                passed,
            };
            let verdicts = [
                judged(&[]),
                Err(InspectError::Malformed("nobody has signed it".into())),
            ];
            verdicts.map(|verdicts| {
                let save = Save::new(Signature::default()).with_cms(signed(&[]));
                told(&plugin, &save.with_verdicts(verdicts))
            })
        };
        let refused = Err(vec!["not-signed: Nobody has signed it.".to_owned()]);
        assert_eq!(nobody(true), [refused.clone(), refused]);
        assert_eq!(nobody(false), [Ok(vec![]), Ok(vec![])]);
    }

    #[test]
    fn a_version_may_add_signers_and_drop_none() {
        let (one, two) = (signed(&[("A", true)]), signed(&[("B", true), ("A", true)]));
        assert_eq!(judge(one.clone(), None, 1), Ok(vec![]));
        assert_eq!(judge(two.clone(), Some(one.clone()), 1), Ok(vec![]));
        let dropped = "signer-dropped: The new version drops the signer B.".to_owned();
        assert_eq!(judge(one, Some(two), 1), Err(vec![dropped]));
    }

    #[test]
    fn who_signs_twice_is_one_signer() {
        let few = |has| {
            let message = format!("The signature has {has} signers; at least 3 are required.");
            Err(vec![format!("too-few-signers: {message}")])
        };
        let twice = [("A", true), ("B", true), ("A", true), ("B", false)];
        assert_eq!(judge(signed(&twice), None, 3), few(2));
        assert_eq!(judge(signed(&twice), None, 2), Ok(vec![]));
        assert_eq!(judge(signed(&twice[2..]), None, 3), few(2));
        let three = [("A", true), ("A", true), ("B", true), ("C", true)];
        assert_eq!(judge(signed(&three), None, 3), Ok(vec![]));
    }

    #[test]
    fn a_signer_whose_certificate_is_left_out_is_still_there() {
        assert_eq!(
            judge(signed(&[("A", false)]), Some(signed(&[("A", true)])), 1),
            Ok(vec![])
        );
        assert!(judge(signed(&[("B", false)]), Some(signed(&[("A", false)])), 1).is_err());
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let refused = judge(
            signed(&[("C", true)]),
            Some(signed(&[("A", true), ("B", true)])),
            2,
        )
        .unwrap_err();
        assert_eq!(refused.len(), 3);
        assert_eq!(
            refused[0],
            "too-few-signers: The signature has 1 signers; at least 2 are required."
        );
    }

    #[test]
    fn what_is_no_cms_is_refused_but_may_have_been_there_before() {
        assert!(judge(Err(InspectError::NotCms), None, 1).is_err());
        assert!(
            judge(
                Err(InspectError::Malformed("it ends early".into())),
                None,
                1
            )
            .is_err()
        );
        let warning = "Version 1 is no readable signature; its signers are not known.".to_owned();
        assert_eq!(
            judge(signed(&[("A", true)]), Some(Err(InspectError::NotCms)), 1),
            Ok(vec![warning])
        );
    }
}
