//! From a certificate to somebody who is trusted, and whether all of that was good at a time (RFC 5280 section 6). Policies are
//! not judged; a chain whose authorities restrict names or demand policies is not passed.

use x509_parser::extensions::ParsedExtension;

use super::certificate::Parsed;
use super::oid;
use super::revocation::{Evidence, Revocation};
use super::rules::{RevocationRule, Rules};
use super::verdict::{Basis, Obstacle, SubIndication, UNKNOWN_ALGORITHM};
use super::work::Work;
use crate::digest::to_hex;

/// Longest chain, anchor included.
const MAX_LENGTH: usize = 8;
/// Most steps of one search: certificates that name one another could make it long.
const MAX_STEPS: usize = 64;
/// What it costs to judge a certificate, and to go a step of a search.
const JUDGE_NS: u64 = 20_000;
const STEP_NS: u64 = 2_000;
/// What it costs to look at a usage of a key.
const USAGE_NS: u64 = 50;

/// Certificates that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Anchors(Vec<Vec<u8>>);

impl Anchors {
    /// Those of DER encodings, of which what is no certificate is left out.
    pub fn new(encodings: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let encodings = encodings.into_iter();
        Self(
            encodings
                .filter(|der| Parsed::from_der(der).is_some())
                .collect(),
        )
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their encodings.
    pub(crate) fn encodings(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The same, taken apart.
    pub(crate) fn certificates(&self) -> Vec<Parsed<'_>> {
        let encodings = self.0.iter();
        encodings.filter_map(|der| Parsed::from_der(der)).collect()
    }
}

/// What a certificate is judged with.
#[derive(Debug, Clone)]
pub(crate) struct Trust<'a> {
    /// Who is trusted.
    pub(crate) anchors: &'a [Parsed<'a>],
    /// Certificates that are at hand.
    pub(crate) certificates: Vec<&'a Parsed<'a>>,
    /// What is at hand that tells of revocations.
    pub(crate) evidence: Vec<&'a Evidence<'a>>,
    pub(crate) rules: &'a Rules,
    pub(crate) work: &'a Work,
}

/// What a certificate is to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Signing,
    TimeStamping,
}

/// What is said of a certificate.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) outcome: Result<(), Obstacle>,
    /// SHA-256 of each certificate up to the trusted one, in hexadecimal.
    pub(crate) chain: Vec<String>,
    pub(crate) revocation: Revocation,
}

impl Judged {
    /// The same, unless it is good and something else stands in the way.
    pub(crate) fn and(mut self, check: impl FnOnce() -> Result<(), Obstacle>) -> Self {
        self.outcome = self.outcome.and_then(|()| check());
        self
    }
}

impl From<Obstacle> for Judged {
    fn from(obstacle: Obstacle) -> Self {
        Self {
            outcome: Err(obstacle),
            chain: Vec::new(),
            revocation: Revocation::NotJudged,
        }
    }
}

impl Trust<'_> {
    /// Judges a certificate for a time, in milliseconds since 1970. Of several chains the first good one counts, or else the
    /// first.
    pub(crate) fn judge(
        &self,
        certificate: &Parsed<'_>,
        purpose: Purpose,
        time_ms: i64,
        basis: Basis,
    ) -> Judged {
        if self.anchors.is_empty() {
            return Judged::from(Obstacle::unsure(
                SubIndication::NoCertificateChainFound,
                "The signature is intact; whose it is was not judged, since no certificates are trusted here.",
            ));
        }
        let usages = certificate.extended_key_usages().len() as u64;
        // Where nothing is left, what is said does not count.
        let left = self.work.spend(JUDGE_NS + usages * USAGE_NS);
        if left.is_err() {
            return Judged::from(UNKNOWN_ALGORITHM);
        }
        if let Err(obstacle) = check_purpose(certificate, purpose) {
            return Judged::from(obstacle);
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
        };
        search.climb(&mut vec![certificate]);
        search.found.unwrap_or_else(|| {
            Judged::from(Obstacle::unsure(
                SubIndication::NoCertificateChainFound,
                "The signature is intact; no chain leads from its certificate to a trusted one.",
            ))
        })
    }
}

/// One search for a chain.
struct Search<'t, 'a> {
    trust: &'t Trust<'a>,
    rules: &'t Rules,
    time_ms: i64,
    basis: Basis,
    left: usize,
    found: Option<Judged>,
}

impl<'t> Search<'t, '_> {
    /// Goes on from the last certificate of a path; says whether a good chain is found.
    fn climb(&mut self, path: &mut Vec<&'t Parsed<'t>>) -> bool {
        let Some(&last) = path.last() else {
            return false;
        };
        let trust = self.trust;
        if trust
            .anchors
            .iter()
            .any(|anchor| trust.work.is_same(anchor.der(), last.der()))
        {
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
            let names = issuer.subject().is(last.issuer(), trust.work);
            if !names || path.iter().any(|other| other.sha256() == issuer.sha256()) {
                continue;
            }
            let Some(left) = self.left.checked_sub(1) else {
                return false;
            };
            self.left = left;
            if trust.work.spend(STEP_NS).is_err() {
                return false;
            }
            if !may_issue(issuer, path, trust.work) || !issuer.has_issued(last, trust.work) {
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

    /// Judges a path that ends with a trusted certificate.
    fn judge(&self, path: &[&Parsed<'_>]) -> Judged {
        let links = || path.iter().zip(path.iter().skip(1));
        let mut judged = Judged {
            outcome: Ok(()),
            chain: path.iter().map(|it| to_hex(it.sha256())).collect(),
            revocation: Revocation::Good { as_of_ms: i64::MAX },
        };
        let mut obstacle = None;
        let mut untold = None;
        // Where nothing is left, what is said does not count.
        if self.trust.work.spend_each(path.len(), STEP_NS).is_err() {
            obstacle = Some(UNKNOWN_ALGORITHM);
        }
        if path.iter().any(|it| demands_more(it)) {
            obstacle = Some(Obstacle::unsure(
                SubIndication::CertificateChainGeneralFailure,
                "A certificate of the chain restricts names, demands policies or has another critical extension that is not judged here.",
            ));
        }
        if !path.iter().all(|it| it.is_valid(self.time_ms)) {
            obstacle = obstacle.or(Some(Obstacle::unsure(
                SubIndication::OutOfBoundsNoPoe,
                "A certificate was not valid at the time of the signature.",
            )));
        }
        for (place, (certificate, issuer)) in links().enumerate() {
            let above = path.get(place + 1..).unwrap_or_default();
            let revocation = self
                .speakers(issuer, above)
                .into_iter()
                .map(|speaker| self.told(certificate, speaker));
            let revocation = revocation.fold(Revocation::NotJudged, Revocation::or);
            judged.revocation = judged.revocation.and(revocation);
            if let Revocation::Revoked { since_ms } = revocation {
                // Only what is proven to be older than the revocation is not its concern: whoever has a stolen key can claim
                // any time.
                let older = self.basis == Basis::Proven && self.time_ms < since_ms;
                if !older {
                    obstacle = obstacle.or(Some(revoked(place)));
                }
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
            // The certificate is itself trusted, and needs nobody's word.
            judged.revocation = Revocation::NotJudged;
        }
        judged.outcome = obstacle.map_or(Ok(()), Err);
        judged
    }

    /// What is at hand of a certificate's revocation that this one signed.
    fn told(&self, certificate: &Parsed<'_>, speaker: &Parsed<'_>) -> Revocation {
        let evidence = self.trust.evidence.iter();
        evidence
            .map(|evidence| evidence.of(certificate, speaker, self.time_ms, self.trust.work))
            .fold(Revocation::NotJudged, Revocation::or)
    }

    /// Who may say that an authority's certificates are revoked: itself, and other keys of it, such as an older one or one that is
    /// for lists alone, whose certificates lead to the same trusted one (RFC 5280 section 6.3.3 (f)). `above` is the rest of the
    /// path, from the authority on.
    fn speakers<'s>(
        &'s self,
        issuer: &'s Parsed<'s>,
        above: &[&'s Parsed<'s>],
    ) -> Vec<&'s Parsed<'s>> {
        let work = self.trust.work;
        let mut speakers = vec![issuer];
        // Most signatures embed nothing that anybody could have said.
        if self.trust.evidence.iter().all(|it| it.is_empty()) {
            return speakers;
        }
        let at_hand = self.trust.certificates.iter().copied();
        for other in self.trust.anchors.iter().chain(at_hand) {
            if other.sha256() == issuer.sha256() || !other.subject().is(issuer.subject(), work) {
                continue;
            }
            let is_anchor = || {
                let mut anchors = self.trust.anchors.iter();
                anchors.any(|anchor| anchor.sha256() == other.sha256())
            };
            let is_vouched_for = || {
                above.iter().any(|authority| {
                    authority.has_issued(other, work)
                        && !other.is_weakly_issued_by(authority)
                        && !matches!(self.told(other, authority), Revocation::Revoked { .. })
                })
            };
            if is_anchor() || is_vouched_for() {
                speakers.push(other);
            }
        }
        speakers
    }
}

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
        "Nothing at hand tells whether the signer's certificate was revoked, and the rules require that: a revocation list or OCSP answer of its issuer for that time is missing."
    } else {
        "Nothing at hand tells whether an authority's certificate was revoked, and the rules require that: a revocation list or OCSP answer of its issuer for that time is missing."
    };
    Obstacle::unsure(SubIndication::TryLater, sentence)
}

fn check_purpose(certificate: &Parsed<'_>, purpose: Purpose) -> Result<(), Obstacle> {
    let usages = certificate.extended_key_usages();
    let has = |known: &[&str]| usages.iter().any(|own| known.contains(&own.as_str()));
    let fits = match purpose {
        // Who logs in with a key does not sign documents with it, unless the certificate says both.
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
        // RFC 3161 section 2.3: this and no other, and whoever does not know it must not rely on the certificate.
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
    if fits {
        Ok(())
    } else {
        Err(Obstacle::unsure(
            SubIndication::ChainConstraintsFailure,
            "The certificate says that its key is not for this kind of signature.",
        ))
    }
}

/// Whether a certificate says that its key may sign others (RFC 5280 sections 4.2.1.3 and 4.2.1.9), with these below it.
fn may_issue(certificate: &Parsed<'_>, below: &[&Parsed<'_>], work: &Work) -> bool {
    let x509 = certificate.x509();
    let signs = match x509.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    let Ok(Some(constraints)) = x509.basic_constraints() else {
        return false;
    };
    // Authorities between this one and the signer; one that issued its own new certificate is none.
    let between = below.iter().skip(1);
    let between = between.filter(|it| !it.is_self_issued(work));
    let short = constraints.value.path_len_constraint;
    signs
        && constraints.value.ca
        && short.is_none_or(|most| between.count() <= usize::try_from(most).unwrap_or(usize::MAX))
}

/// Whether a certificate has a critical extension that is not judged here (RFC 5280 section 4.2), or restricts names or demands
/// policies, which count whether they are critical or not.
pub(super) fn demands_more(certificate: &Parsed<'_>) -> bool {
    let mut extensions = certificate.x509().extensions().iter();
    extensions.any(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(_) | ParsedExtension::PolicyConstraints(_) => true,
        ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::ExtendedKeyUsage(_)
        | ParsedExtension::SubjectAlternativeName(_)
        | ParsedExtension::CertificatePolicies(_)
        | ParsedExtension::PolicyMappings(_)
        | ParsedExtension::InhibitAnyPolicy(_)
        | ParsedExtension::CRLDistributionPoints(_)
        | ParsedExtension::AuthorityKeyIdentifier(_)
        | ParsedExtension::SubjectKeyIdentifier(_)
        | ParsedExtension::AuthorityInfoAccess(_) => false,
        // Statements about the certificate, which restrict nothing (RFC 3739 section 3.2.6).
        _ => extension.critical && extension.oid.to_id_string() != oid::QC_STATEMENTS,
    })
}
