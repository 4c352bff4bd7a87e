//! Checks of a path whose signatures hold (RFC 5280 section 6.1): critical extensions, names, policies. `chain` judges
//! validity and revocation, which depend on time.

use super::budget::Budget;
use super::certificate::Parsed;
use super::name_constraints::{self, NameConstraints};
use super::policies::{self, Policies};
use super::rules::Rules;
use super::verdict::{Obstacle, SubIndication, UNKNOWN_ALGORITHM};

/// Checks a path from the signer's certificate, which is the first, to the trust anchor.
pub(super) fn check(path: &[&Parsed<'_>], rules: &Rules, budget: &Budget) -> Result<(), Obstacle> {
    // If nothing demands a policy, only policy mappings could be wrong.
    let mut extensions = path.iter().map(|it| it.extensions());
    let has_policies = rules.require_explicit_policy
        || extensions.any(|it| it.policy_constraints.is_some() || it.policy_mappings.is_some());
    let mut policies = Policies::new(rules);
    let mut names = NameConstraints::default();
    for (place, certificate) in path.iter().enumerate().rev() {
        let own = certificate.extensions();
        let at = |error| by_place(place, error);
        if own.has_unknown_critical {
            return Err(at(UNKNOWN_EXTENSION));
        }
        if own.is_repeated {
            return Err(at(REPEATED_EXTENSION));
        }
        let (is_last, is_anchor) = (place == 0, place + 1 == path.len());
        let is_self_issued = certificate.is_self_issued(budget);
        if !is_anchor && (is_last || !is_self_issued) {
            let checked = names.check(certificate, own.alternative_names, budget);
            checked.map_err(|wrong| at(of_names(wrong)))?;
        }
        if !is_last && let Some(value) = own.name_constraints {
            let added = names.add(value, budget);
            added.map_err(|wrong| at(of_names(wrong)))?;
        }
        if !has_policies {
            continue;
        }
        let taken = match (is_anchor, is_last) {
            (true, true) => Ok(()),
            // The constraints of a trust anchor apply (RFC 5937 section 3.2), although the anchor is not part of the
            // path.
            (true, false) => policies.constrain(own),
            (false, true) => policies
                .take(own, false, budget)
                .and_then(|()| policies.finish(own, rules, budget)),
            (false, false) => policies
                .take(own, is_self_issued, budget)
                .and_then(|()| policies.prepare(own, is_self_issued, budget)),
        };
        taken.map_err(|wrong| at(of_policies(wrong)))?;
    }
    Ok(())
}

/// A reason, with a sentence about the signer's certificate and one about an authority's.
type Sentences = (SubIndication, [&'static str; 2]);

const UNKNOWN_EXTENSION: Sentences = (
    SubIndication::CertificateChainGeneralFailure,
    [
        "The signer's certificate has a critical extension that is not supported.",
        "An authority's certificate has a critical extension that is not supported.",
    ],
);
const REPEATED_EXTENSION: Sentences = (
    SubIndication::CertificateChainGeneralFailure,
    [
        "The signer's certificate has an extension twice.",
        "An authority's certificate has an extension twice.",
    ],
);
const EXHAUSTED: Sentences = (
    SubIndication::CryptoConstraintsFailure,
    [UNKNOWN_ALGORITHM.sentence, UNKNOWN_ALGORITHM.sentence],
);

fn by_place(place: usize, (why, [of_signer, of_authority]): Sentences) -> Obstacle {
    Obstacle::unsure(why, if place == 0 { of_signer } else { of_authority })
}

fn of_names(wrong: name_constraints::Wrong) -> Sentences {
    use name_constraints::Wrong;
    let sentences = match wrong {
        Wrong::NotPermitted => [
            "The signer's certificate has a name that an authority of its chain excludes or does not permit.",
            "An authority's certificate has a name that an authority above it excludes or does not permit.",
        ],
        Wrong::Unknown => [
            "The signer's certificate has a name of a kind that an authority of its chain restricts, and that kind is not supported.",
            "An authority's certificate has a name of a kind that an authority above it restricts, and that kind is not supported.",
        ],
        Wrong::Unreadable => [
            "The alternative names of the signer's certificate can't be read, and an authority of its chain restricts names.",
            "The name constraints of an authority's certificate can't be read or are not supported.",
        ],
        Wrong::Exhausted => return EXHAUSTED,
    };
    (SubIndication::CertificateChainGeneralFailure, sentences)
}

fn of_policies(wrong: policies::Wrong) -> Sentences {
    use policies::Wrong;
    match wrong {
        // The verifier's own rules may set the acceptable policies and require one.
        Wrong::NoneValid => (
            SubIndication::ChainConstraintsFailure,
            ["A certificate policy is required, and the chain is not valid for any acceptable one.";
                2],
        ),
        Wrong::MapsAny => (
            SubIndication::CertificateChainGeneralFailure,
            ["An authority's certificate maps `anyPolicy`, which is not allowed."; 2],
        ),
        Wrong::Unreadable => (
            SubIndication::CertificateChainGeneralFailure,
            [
                "The certificate policies of the signer's certificate can't be read.",
                "The certificate policies or policy constraints of an authority's certificate can't be read.",
            ],
        ),
        Wrong::Exhausted => EXHAUSTED,
    }
}
