//! The revocation of a certificate of a path, by lists and responses of entitled signers (RFC 5280 section 6.3, RFC
//! 6960 section 4.2.2.2). If any of these revokes a certificate, it is revoked, whatever the others say.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::budget::Sha256;
use super::certificate::Parsed;
use super::chain::Trust;
use super::crl::{Crl, HOLD, Lookup, REMOVED};
use super::distribution::ALL_REASONS;
use super::ocsp;
use super::revocation::{Revocation, Statement};
use super::signer::is_of_same_key;

/// Cost of looking at a list, and at a possible signer of it.
const LOOK_NS: u64 = 300;
/// Cost of looking at an extension of a certificate, which happens several times.
const EXTENSION_NS: u64 = 20;
/// Most signers of lists in a row, each of which depends on a list of the next.
const MAX_DEPTH: usize = 4;

/// Results about signers of lists and responses, cached for one search.
#[derive(Debug, Default)]
pub(super) struct Signers {
    /// Whether a path leads from a certificate to an anchor, both by their digests, at a time in milliseconds since
    /// 1970.
    known: RefCell<HashMap<(Sha256, Sha256, i64), bool>>,
    /// Signers that are being judged. None is vouched for by its own list.
    asked: RefCell<Vec<Sha256>>,
    /// The delegates of an issuer, as indices of certificates at hand, by the digest of the issuer's certificate.
    delegates: RefCell<HashMap<Sha256, Vec<usize>>>,
}

/// A certificate whose revocation is in question, and the rest of its path, its issuer first.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) certificate: &'p Parsed<'p>,
    pub(super) above: &'p [&'p Parsed<'p>],
}

/// The result of an entitled list for the certificate.
struct Heard<'l> {
    list: &'l Crl<'l>,
    found: Lookup,
    /// The reasons for which it shows that the certificate is good.
    reasons: u16,
    /// The time, in milliseconds since 1970, until which the list is relied on for that.
    until_ms: i64,
}

impl Trust<'_> {
    /// The revocation of a certificate, by the information at hand.
    pub(super) fn revocation(
        &self,
        place: Place<'_>,
        time_ms: i64,
        signers: &Signers,
    ) -> Revocation {
        let Some((issuer, _)) = place.above.split_first() else {
            return Revocation::NotJudged;
        };
        let certificate = place.certificate;
        let mut told = self.listed(place, signers);
        for answer in self.evidence.iter().flat_map(|it| it.answers()) {
            let is_revoked = |delegate: &Parsed<'_>| {
                let place = Place {
                    certificate: delegate,
                    above: place.above,
                };
                let told = self.listed(place, signers);
                told.iter().any(|it| it.is_revoked_since_ms.is_some())
            };
            let delegates = || self.delegates(issuer, signers);
            told.extend(answer.of(certificate, issuer, delegates, is_revoked, self.budget));
        }
        let revoked = told.iter().filter_map(|it| it.is_revoked_since_ms).min();
        if let Some(since_ms) = revoked {
            return Revocation::Revoked { since_ms };
        }
        told.retain(|it| it.is_about(time_ms, certificate));
        told.sort_by_key(|it| std::cmp::Reverse(it.made_ms));
        let mut reasons = 0;
        for statement in told {
            reasons |= statement.reasons;
            if reasons == ALL_REASONS {
                return Revocation::Good {
                    as_of_ms: statement.made_ms,
                };
            }
        }
        Revocation::NotJudged
    }

    /// Certificates at hand that an issuer issued for signing responses, each once. The search runs once for all
    /// responses: only the issuer itself could make the result long.
    fn delegates(&self, issuer: &Parsed<'_>, signers: &Signers) -> Vec<&Parsed<'_>> {
        let mut known = signers.delegates.borrow_mut();
        let places = known.entry(*issuer.sha256()).or_insert_with(|| {
            let mut seen = HashSet::new();
            let at_hand = self.certificates.iter().enumerate();
            let delegates = at_hand.filter(|(_, it)| {
                let extensions = it.x509().extensions().len() as u64;
                self.budget
                    .spend(LOOK_NS + extensions * EXTENSION_NS)
                    .is_ok()
                    && ocsp::is_delegate(it, issuer, self.budget)
                    && seen.insert(*it.sha256())
            });
            delegates.map(|(place, _)| place).collect()
        });
        let found = places
            .iter()
            .filter_map(|place| self.certificates.get(*place));
        found.copied().collect()
    }

    /// The statements of lists.
    fn listed(&self, place: Place<'_>, signers: &Signers) -> Vec<Statement> {
        let mut heard = Vec::new();
        for list in self.evidence.iter().flat_map(|it| it.lists()) {
            if self.budget.spend(LOOK_NS).is_err() {
                return Vec::new();
            }
            let Some(reasons) = list.reasons_of(place.certificate, self.budget) else {
                continue;
            };
            let Some(until_ms) = self.word_until_ms(list, place, signers) else {
                continue;
            };
            if let Some(found) = list.find(place.certificate, self.budget) {
                heard.push(Heard {
                    list,
                    found,
                    reasons: if until_ms < list.made_ms { 0 } else { reasons },
                    until_ms,
                });
            }
        }
        let mut told = Vec::new();
        for one in &heard {
            one.tell(&heard, &mut told, self);
        }
        told
    }

    /// The time, in milliseconds since 1970, until which the signer of a list is relied on for good certificates.
    ///
    /// None if no entitled signer signed it: an authority of the path, a trust anchor, or a certificate that has a path
    /// to the same anchor (RFC 5280 section 6.3.3 (f)). A weak signature may be forged, so it counts for revoked
    /// certificates only: nobody forges the revocation of their own.
    fn word_until_ms(&self, list: &Crl<'_>, place: Place<'_>, signers: &Signers) -> Option<i64> {
        let budget = self.budget;
        let has_signed = |signer: &Parsed<'_>| {
            budget.spend(LOOK_NS).is_ok()
                && signer.subject().is(&list.issuer, budget)
                && list.is_signed_by(signer, budget)
        };
        let word = |signer: &Parsed<'_>, until_ms| {
            if list.is_weak_by(signer) {
                i64::MIN
            } else {
                until_ms
            }
        };
        // The path itself is judged elsewhere, and a trust anchor needs no proof.
        let mut known = place.above.iter().copied().chain(self.anchors);
        if let Some(signer) = known.find(|it| has_signed(it)) {
            return Some(word(signer, i64::MAX));
        }
        // A key that leaked after its certificate expired can sign lists that claim any earlier time and never expire.
        let mut latest: Option<&Parsed<'_>> = None;
        for signer in self.certificates.iter().copied() {
            let end_ms = signer.not_after_ms();
            if latest.is_none_or(|it| it.not_after_ms() < end_ms)
                && has_signed(signer)
                && self.leads(signer, list.made_ms, place, signers)
            {
                latest = Some(signer);
                if list.next_ms.is_none_or(|next| next <= end_ms) {
                    break;
                }
            }
        }
        latest.map(|signer| {
            // A key does not vouch for itself; otherwise a stolen key always would.
            let is_own = is_of_same_key(signer, place.certificate, budget);
            word(
                signer,
                if is_own {
                    i64::MIN
                } else {
                    signer.not_after_ms()
                },
            )
        })
    }

    /// Whether a path leads from a signer of lists to the anchor of this path.
    fn leads(
        &self,
        signer: &Parsed<'_>,
        time_ms: i64,
        place: Place<'_>,
        signers: &Signers,
    ) -> bool {
        let Some(anchor) = place.above.last() else {
            return false;
        };
        let key = (*signer.sha256(), *anchor.sha256(), time_ms);
        if let Some(known) = signers.known.borrow().get(&key) {
            return *known;
        }
        {
            let mut asked = signers.asked.borrow_mut();
            if asked.len() == MAX_DEPTH || asked.contains(signer.sha256()) {
                return false;
            }
            asked.push(*signer.sha256());
        }
        let leads = self.has_path(signer, anchor, time_ms, signers);
        signers.asked.borrow_mut().pop();
        signers.known.borrow_mut().insert(key, leads);
        leads
    }
}

impl Heard<'_> {
    /// A statement that the certificate is good, for these reasons.
    fn good(&self, reasons: u16) -> Statement {
        let told = self.list.good(reasons);
        Statement {
            next_ms: told.next_ms.map(|next| next.min(self.until_ms)),
            ..told
        }
    }

    /// Adds the statements of this list, combined with those of its newest delta list.
    fn tell(&self, all: &[Self], told: &mut Vec<Statement>, trust: &Trust<'_>) {
        let Self { list, found, .. } = self;
        let revoked = |since_ms| Statement {
            is_revoked_since_ms: Some(since_ms),
            ..list.good(self.reasons)
        };
        if list.is_delta() {
            // A delta list alone says nothing about certificates that it does not have.
            told.extend(found.revoked().map(|entry| revoked(entry.since_ms)));
            return;
        }
        let changes = all.iter().filter(|other| {
            trust.budget.spend(LOOK_NS).is_ok()
                && other.list.is_delta()
                && other.list.completes(list, trust.budget)
        });
        let newest = changes.reduce(|one, other| {
            if other.list.is_newer(one.list) {
                other
            } else {
                one
            }
        });
        // A delta list that covers fewer reasons can't lift a hold.
        let newest = newest.filter(|it| it.reasons & self.reasons == self.reasons);
        let is_lifted = |entry: super::crl::Entry| {
            let removed = newest.and_then(|newest| newest.found.entry);
            let is_removed = removed.is_some_and(|it| it.reason == REMOVED);
            entry.reason == HOLD && is_removed && self.reasons != 0
        };
        match found.revoked() {
            Some(entry) if !is_lifted(entry) => told.push(revoked(entry.since_ms)),
            Some(_) => {}
            // A complete list can't remove a certificate (RFC 5280 section 5.3.1).
            None if found.entry.is_none() && found.is_good() && self.reasons != 0 => {
                told.push(self.good(self.reasons));
            }
            None => return,
        }
        if let Some(newest) = newest
            && newest.found.is_good()
        {
            told.push(newest.good(self.reasons));
        }
    }
}
