//! The chain from a certificate to a trust anchor, and whether it was good at a time (RFC 5280 section 6).

use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Version;

use super::budget::{Budget, Sha256};
use super::certificate::Parsed;
use super::revocation::{Evidence, Revocation};
use super::rules::{RevocationRule, Rules};
use super::status::{Place, Signers};
use super::verdict::{Basis, Obstacle, SubIndication, UNKNOWN_ALGORITHM};
use super::{oid, path};
use crate::digest::to_hex;

/// Longest chain, anchor included.
const MAX_LENGTH: usize = 8;
/// Most steps of one search, which certificates that name one another could make long.
const MAX_STEPS: usize = 64;
/// Cost of judging a certificate, and of a step of a search.
const JUDGE_NS: u64 = 20_000;
const STEP_NS: u64 = 2_000;
/// Cost of looking at an extended key usage.
const USAGE_NS: u64 = 50;

/// Trusted certificates.
#[derive(Debug, Clone, Default)]
pub struct Anchors(Vec<Vec<u8>>);

impl Anchors {
    /// Reads DER encodings, and leaves out those that are not certificates.
    pub fn new(encodings: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let encodings = encodings.into_iter();
        Self(
            encodings
                .filter(|der| Parsed::from_der(der).is_some())
                .collect(),
        )
    }

    /// Whether there are no trusted certificates.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The encodings of the certificates.
    pub(crate) fn encodings(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The parsed certificates.
    pub(crate) fn certificates(&self) -> Vec<Parsed<'_>> {
        let encodings = self.0.iter();
        encodings.filter_map(|der| Parsed::from_der(der)).collect()
    }
}

/// The inputs for judging a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Trust<'a> {
    /// The trusted certificates.
    pub(crate) anchors: &'a [Parsed<'a>],
    /// Other certificates at hand, which are not trusted.
    pub(crate) certificates: Vec<&'a Parsed<'a>>,
    /// The revocation information at hand.
    pub(crate) evidence: Vec<&'a Evidence<'a>>,
    pub(crate) rules: &'a Rules,
    pub(crate) budget: &'a Budget,
}

/// The kind of signature that a certificate must be meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Signing,
    TimeStamping,
}

/// The judgement of a certificate.
#[derive(Debug)]
pub(crate) struct ChainVerdict {
    pub(crate) outcome: Result<(), Obstacle>,
    /// SHA-256 of each certificate up to the trust anchor, in hexadecimal.
    pub(crate) chain: Vec<String>,
    pub(crate) revocation: Revocation,
    /// Digests of the certificates below revoked authorities, with the time of revocation in milliseconds since 1970.
    /// Whoever has such an authority's key can make other certificates that look as old.
    pub(crate) older_than: Vec<(Sha256, i64)>,
}

impl ChainVerdict {
    /// Checks also that each certificate below a revoked authority is proven to have existed before the revocation
    /// (ETSI EN 319 102-1 clause 5.6.2.1).
    pub(crate) fn where_proven(self, existed_ms: impl Fn(&Sha256) -> Option<i64>) -> Self {
        let is_older = |(certificate, since_ms): &(Sha256, i64)| {
            existed_ms(certificate).is_some_and(|time_ms| time_ms < *since_ms)
        };
        let all = self.older_than.iter().all(is_older);
        self.and(|| if all { Ok(()) } else { Err(UNPROVEN) })
    }

    /// Adds another check to a judgement that passed, or that lacks only revocation information. Such information may
    /// still come, and would not change the result of the check.
    pub(crate) fn and(mut self, check: impl FnOnce() -> Result<(), Obstacle>) -> Self {
        self.outcome = match self.outcome {
            Err(obstacle) if obstacle.why == SubIndication::TryLater => check().and(Err(obstacle)),
            outcome => outcome.and_then(|()| check()),
        };
        self
    }
}

impl From<Obstacle> for ChainVerdict {
    fn from(obstacle: Obstacle) -> Self {
        Self {
            outcome: Err(obstacle),
            chain: Vec::new(),
            revocation: Revocation::NotJudged,
            older_than: Vec::new(),
        }
    }
}

impl Trust<'_> {
    /// Judges a certificate for a time, in milliseconds since 1970. If there are several chains, the first good one
    /// counts, otherwise the first one.
    pub(crate) fn judge(
        &self,
        certificate: &Parsed<'_>,
        purpose: Purpose,
        time_ms: i64,
        basis: Basis,
    ) -> ChainVerdict {
        if self.anchors.is_empty() {
            return ChainVerdict::from(Obstacle::unsure(
                SubIndication::NoCertificateChainFound,
                "The signature is intact, but the signer was not verified: there are no trust anchors.",
            ));
        }
        let usages = certificate.extended_key_usages().len() as u64;
        // If the budget is exhausted, the verdict does not count.
        let left = self.budget.spend(JUDGE_NS + usages * USAGE_NS);
        if left.is_err() {
            return ChainVerdict::from(UNKNOWN_ALGORITHM);
        }
        if let Err(obstacle) = check_purpose(certificate, purpose) {
            return ChainVerdict::from(obstacle);
        }
        let mut search = Search {
            trust: self,
            rules: match purpose {
                Purpose::Signing => self.rules,
                Purpose::TimeStamping => &Rules::LENIENT,
            },
            time_ms,
            basis,
            left: MAX_STEPS,
            found: None,
            barrier: None,
            anchor: None,
            signers: &Signers::default(),
        };
        search.climb(&mut vec![certificate]);
        let barrier = search.barrier.unwrap_or(NO_CHAIN);
        search.found.unwrap_or_else(|| ChainVerdict::from(barrier))
    }

    /// Whether a good path leads from a certificate to this anchor.
    pub(super) fn has_path(
        &self,
        from: &Parsed<'_>,
        anchor: &Parsed<'_>,
        time_ms: i64,
        signers: &Signers,
    ) -> bool {
        let mut search = Search {
            trust: self,
            rules: &Rules::LENIENT,
            time_ms,
            basis: Basis::Claimed,
            left: MAX_STEPS,
            found: None,
            barrier: None,
            anchor: Some(anchor),
            signers,
        };
        search.climb(&mut vec![from])
    }
}

/// One search for a chain.
struct Search<'t, 'a> {
    trust: &'t Trust<'a>,
    rules: &'t Rules,
    time_ms: i64,
    basis: Basis,
    left: usize,
    found: Option<ChainVerdict>,
    /// The first reason why a path ended before it reached a trust anchor.
    barrier: Option<Obstacle>,
    /// The only anchor that counts, if set.
    anchor: Option<&'t Parsed<'t>>,
    signers: &'t Signers,
}

impl<'t> Search<'t, '_> {
    /// Extends a path from its last certificate; returns whether a good chain was found.
    fn climb(&mut self, path: &mut Vec<&'t Parsed<'t>>) -> bool {
        let Some(&last) = path.last() else {
            return false;
        };
        let trust = self.trust;
        if self.is_trusted(last) {
            let judged = self.judge(path);
            let good = judged.outcome.is_ok();
            if good || self.found.is_none() {
                self.found = Some(judged);
            }
            return good;
        }
        if path.len() == MAX_LENGTH {
            return false;
        }
        let at_hand = trust.certificates.iter().copied();
        for issuer in trust.anchors.iter().chain(at_hand) {
            let names = issuer.subject().is(last.issuer(), trust.budget);
            if !names || path.iter().any(|other| other.sha256() == issuer.sha256()) {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else {
                return false;
            };
            self.left = left;
            if trust.budget.spend(STEP_NS).is_err() {
                return false;
            }
            if !issuer.has_issued(last, trust.budget) {
                continue;
            }
            // A certificate of version 1 has no extension that allows it to issue others, and a trust anchor needs none
            // (RFC 5280 section 6.1.1 (d)).
            let may = if issuer.x509().version == X509Version::V1 && self.is_trusted(issuer) {
                Ok(())
            } else {
                may_issue(issuer, path, trust.budget)
            };
            if let Err(obstacle) = may {
                self.barrier = self.barrier.or(Some(obstacle));
                continue;
            }
            path.push(issuer);
            let good = self.climb(path);
            path.pop();
            if good {
                return true;
            }
        }
        false
    }

    fn is_trusted(&self, certificate: &Parsed<'_>) -> bool {
        let trust = self.trust;
        let is_it = |anchor: &Parsed<'_>| trust.budget.is_same(anchor.der(), certificate.der());
        match self.anchor {
            Some(anchor) => is_it(anchor),
            None => trust.anchors.iter().any(is_it),
        }
    }

    /// Judges a path that ends with a trust anchor.
    fn judge(&self, path: &[&'t Parsed<'t>]) -> ChainVerdict {
        let links = || path.iter().zip(path.iter().skip(1));
        let mut judged = ChainVerdict {
            outcome: Ok(()),
            chain: path.iter().map(|it| to_hex(it.sha256())).collect(),
            revocation: Revocation::Good { as_of_ms: i64::MAX },
            older_than: Vec::new(),
        };
        let mut obstacle = None;
        let mut untold = None;
        // If the budget is exhausted, the verdict does not count.
        if self.trust.budget.spend_each(path.len(), STEP_NS).is_err() {
            obstacle = Some(UNKNOWN_ALGORITHM);
        }
        if let Err(wrong) = path::check(path, self.rules, self.trust.budget) {
            obstacle = obstacle.or(Some(wrong));
        }
        if !path.iter().all(|it| it.is_valid(self.time_ms)) {
            obstacle = obstacle.or(Some(Obstacle::unsure(
                SubIndication::OutOfBoundsNoPoe,
                "A certificate of the chain was expired or not yet valid at the judged time.",
            )));
        }
        for (place, (certificate, _)) in links().enumerate() {
            let above = path.get(place + 1..).unwrap_or_default();
            let told_of = Place { certificate, above };
            let revocation = self.trust.revocation(told_of, self.time_ms, self.signers);
            judged.revocation = judged.revocation.and(revocation);
            if let Revocation::Revoked { since_ms } = revocation {
                // The revocation does not affect a signature that is proven to be older. A claimed time is no proof:
                // whoever has a stolen key can claim any time.
                let older = self.basis == Basis::Proven && self.time_ms < since_ms;
                if !older {
                    obstacle = obstacle.or(Some(revoked(place)));
                }
                let below = path.iter().take(place);
                judged
                    .older_than
                    .extend(below.map(|it| (*it.sha256(), since_ms)));
            }
            if revocation == Revocation::NotJudged {
                untold = untold.or(Some(place));
            }
        }
        let weak = links().any(|(certificate, issuer)| certificate.is_weakly_issued_by(issuer));
        if weak {
            obstacle = obstacle.or(Some(WEAK_CHAIN));
        }
        if let Some(place) = untold
            && self.rules.revocation == RevocationRule::Required
        {
            obstacle = obstacle.or(Some(untold_revocation(place)));
        }
        if judged.revocation == (Revocation::Good { as_of_ms: i64::MAX }) {
            // The certificate is itself a trust anchor, which needs no revocation information.
            judged.revocation = Revocation::NotJudged;
        }
        judged.outcome = obstacle.map_or(Ok(()), Err);
        judged
    }
}

const UNPROVEN: Obstacle = Obstacle::unsure(
    SubIndication::RevokedCaNoPoe,
    "The certificate of an authority was revoked, and nothing proves that every certificate below it is older.",
);
const WEAK_CHAIN: Obstacle = Obstacle::unsure(
    SubIndication::CryptoConstraintsFailureNoPoe,
    "A certificate of the chain is signed with SHA-1 or a short RSA key, which can be forged.",
);

fn revoked(place: usize) -> Obstacle {
    if place == 0 {
        Obstacle::unsure(
            SubIndication::RevokedNoPoe,
            "The signer's certificate was revoked, and nothing proves that the signature is older.",
        )
    } else {
        Obstacle::unsure(
            SubIndication::RevokedCaNoPoe,
            "The certificate of an authority was revoked, and nothing proves that the signature is older.",
        )
    }
}

fn untold_revocation(place: usize) -> Obstacle {
    let sentence = if place == 0 {
        "It is unknown whether the signer's certificate was revoked, and the rules require that information: a revocation list or OCSP response of its issuer for the judged time is missing."
    } else {
        "It is unknown whether an authority's certificate was revoked, and the rules require that information: a revocation list or OCSP response of its issuer for the judged time is missing."
    };
    Obstacle::unsure(SubIndication::TryLater, sentence)
}

fn check_purpose(certificate: &Parsed<'_>, purpose: Purpose) -> Result<(), Obstacle> {
    let usages = certificate.extended_key_usages();
    let has = |known: &[&str]| usages.iter().any(|own| known.contains(&own.as_str()));
    let fits = match purpose {
        // A key for login does not sign documents, unless the certificate allows both.
        Purpose::Signing if !has(&oid::SIGNING_USAGES) && has(&oid::SERVER_AND_CLIENT) => {
            certificate.key_usage_has(|_, commits| commits)
                && usages
                    .iter()
                    .any(|own| !oid::SERVER_AND_CLIENT.contains(&own.as_str()))
        }
        Purpose::Signing => {
            let of_services = [oid::TIME_STAMPING, oid::OCSP_SIGNING];
            let only_of_services =
                !usages.is_empty() && usages.iter().all(|own| of_services.contains(&own.as_str()));
            certificate.key_usage_has(|signs, commits| signs || commits) && !only_of_services
        }
        // RFC 3161 section 2.3: this is the only usage, and the extension is critical.
        Purpose::TimeStamping => {
            usages == [oid::TIME_STAMPING]
                && certificate.key_usage_has(|signs, commits| signs || commits)
                && certificate.x509().extensions().iter().any(|extension| {
                    extension.critical
                        && matches!(
                            extension.parsed_extension(),
                            ParsedExtension::ExtendedKeyUsage(_)
                        )
                })
        }
    };
    if fits && !certificate.has_unreadable_usages() {
        Ok(())
    } else {
        Err(Obstacle::unsure(
            SubIndication::ChainConstraintsFailure,
            "The certificate does not allow its key to make this kind of signature.",
        ))
    }
}

/// Checks that a certificate's key may sign other certificates (RFC 5280 sections 4.2.1.3 and 4.2.1.9), with these
/// below it.
fn may_issue(
    certificate: &Parsed<'_>,
    below: &[&Parsed<'_>],
    budget: &Budget,
) -> Result<(), Obstacle> {
    let x509 = certificate.x509();
    // An issuer must have a name (RFC 5280 sections 4.1.2.4 and 4.1.2.6).
    if x509.subject().iter().next().is_none() {
        return Err(NAMELESS);
    }
    let signs = match x509.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    let constraints = match x509.basic_constraints() {
        Ok(Some(constraints)) if signs && constraints.value.ca => constraints.value,
        _ => return Err(NO_AUTHORITY),
    };
    // Authorities between this one and the signer. Self-issued certificates do not count.
    let between = below.iter().skip(1);
    let between = between.filter(|it| !it.is_self_issued(budget)).count() as u64;
    match constraints.path_len_constraint {
        Some(most) if between > most.into() => Err(TOO_LONG),
        _ => Ok(()),
    }
}

const NO_CHAIN: Obstacle = Obstacle::unsure(
    SubIndication::NoCertificateChainFound,
    "The signature is intact, but no chain leads from its certificate to a trust anchor.",
);
const NO_AUTHORITY: Obstacle = Obstacle::unsure(
    SubIndication::CertificateChainGeneralFailure,
    "The issuer of a certificate of the chain is not allowed to issue certificates, according to its own certificate.",
);
const NAMELESS: Obstacle = Obstacle::unsure(
    SubIndication::CertificateChainGeneralFailure,
    "The issuer of a certificate of the chain has no name in its own certificate.",
);
const TOO_LONG: Obstacle = Obstacle::unsure(
    SubIndication::CertificateChainGeneralFailure,
    "The chain has more authorities than one of its certificates allows below it.",
);
