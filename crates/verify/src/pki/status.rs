//! Whether a certificate of a path was revoked, by lists and answers of those who are entitled to say so (RFC 5280 section 6.3, RFC
//! 6960 section 4.2.2.2). A certificate that anybody of these lists is revoked, whatever else is told.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::certificate::Parsed;
use super::chain::Trust;
use super::crl::{Crl, Found, HOLD, REMOVED};
use super::distribution::ALL_REASONS;
use super::ocsp;
use super::revocation::{Revocation, Statement};
use super::signer::is_of_same_key;
use super::work::Sha256;

/// What it costs to look at a list, and at somebody who may have signed it.
const LOOK_NS: u64 = 300;
/// What it costs to pass an extension of a certificate, which is done some times.
const EXTENSION_NS: u64 = 20;
/// How many that sign lists may be vouched for by one another's lists.
const MAX_DEPTH: usize = 4;

/// What is known of those who sign lists and answers, for one search.
#[derive(Debug, Default)]
pub(super) struct Signers {
    /// Whether a path leads from a certificate, by its digest, to the trusted one, at a time in milliseconds since 1970.
    known: RefCell<HashMap<(Sha256, Sha256, i64), bool>>,
    /// Those who are being judged: none is vouched for by its own list.
    asked: RefCell<Vec<Sha256>>,
    /// Issuers, by the digests of their certificates, and the places of those at hand that they have issued for answers.
    delegates: RefCell<HashMap<Sha256, Vec<usize>>>,
}

/// A certificate whose revocation is asked for, and the rest of its path, its issuer first.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) certificate: &'p Parsed<'p>,
    pub(super) above: &'p [&'p Parsed<'p>],
}

/// What a list that counts says of the certificate.
struct Heard<'l> {
    list: &'l Crl<'l>,
    found: Found,
    /// Reasons for which it tells that the certificate is good.
    reasons: u16,
    /// The end of the time in which it is relied on for that, in milliseconds since 1970.
    until_ms: i64,
}

impl Trust<'_> {
    /// What is at hand of a certificate's revocation.
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
            told.extend(answer.of(certificate, issuer, delegates, is_revoked, self.work));
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

    /// Certificates at hand that an issuer has issued for answers, each once. They are looked for once for all answers: nobody but the
    /// issuer can make them many.
    fn delegates(&self, issuer: &Parsed<'_>, signers: &Signers) -> Vec<&Parsed<'_>> {
        let mut known = signers.delegates.borrow_mut();
        let places = known.entry(*issuer.sha256()).or_insert_with(|| {
            let mut seen = HashSet::new();
            let at_hand = self.certificates.iter().enumerate();
            let delegates = at_hand.filter(|(_, it)| {
                let extensions = it.x509().extensions().len() as u64;
                self.work.spend(LOOK_NS + extensions * EXTENSION_NS).is_ok()
                    && ocsp::is_delegate(it, issuer, self.work)
                    && seen.insert(*it.sha256())
            });
            delegates.map(|(place, _)| place).collect()
        });
        let found = places
            .iter()
            .filter_map(|place| self.certificates.get(*place));
        found.copied().collect()
    }

    /// What lists say.
    fn listed(&self, place: Place<'_>, signers: &Signers) -> Vec<Statement> {
        let mut heard = Vec::new();
        for list in self.evidence.iter().flat_map(|it| it.lists()) {
            if self.work.spend(LOOK_NS).is_err() {
                return Vec::new();
            }
            let Some(reasons) = list.reasons_of(place.certificate, self.work) else {
                continue;
            };
            let Some(until_ms) = self.word_until_ms(list, place, signers) else {
                continue;
            };
            if let Some(found) = list.find(place.certificate, self.work) {
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

    /// The end of the time, in milliseconds since 1970, in which the signer of a list is relied on for good certificates; none if
    /// nobody who is entitled signed it: an authority of the path, a trusted one, or one that has a path to the same trusted one (RFC
    /// 5280 section 6.3.3 (f)). A weak signature may be forged, and is relied on for revoked certificates alone: nobody forges his
    /// own revocation.
    fn word_until_ms(&self, list: &Crl<'_>, place: Place<'_>, signers: &Signers) -> Option<i64> {
        let work = self.work;
        let has_signed = |signer: &Parsed<'_>| {
            work.spend(LOOK_NS).is_ok()
                && signer.subject().is(&list.issuer, work)
                && list.is_signed_by(signer, work)
        };
        let word = |signer: &Parsed<'_>, until_ms| {
            if list.is_weak_by(signer) {
                i64::MIN
            } else {
                until_ms
            }
        };
        // The path is judged itself, and who is trusted needs nobody's word.
        let mut known = place.above.iter().copied().chain(self.anchors);
        if let Some(signer) = known.find(|it| has_signed(it)) {
            return Some(word(signer, i64::MAX));
        }
        // A key that leaked when its certificate was over can sign lists of any time before, that are to be valid for ever.
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
            // A key does not vouch for itself, or a stolen one always would.
            let is_own = is_of_same_key(signer, place.certificate, work);
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

    /// Whether a path leads from somebody who signs lists to the trusted one of this path.
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

    /// Adds what this list says, together with those that tell what changed since.
    fn tell(&self, all: &[Self], told: &mut Vec<Statement>, trust: &Trust<'_>) {
        let Self { list, found, .. } = self;
        let revoked = |since_ms| Statement {
            is_revoked_since_ms: Some(since_ms),
            ..list.good(self.reasons)
        };
        if list.is_delta() {
            // Alone it says nothing of what it does not list.
            told.extend(found.revoked().map(|entry| revoked(entry.since_ms)));
            return;
        }
        let changes = all.iter().filter(|other| {
            trust.work.spend(LOOK_NS).is_ok()
                && other.list.is_delta()
                && other.list.completes(list, trust.work)
        });
        let newest = changes.reduce(|one, other| {
            if other.list.is_newer(one.list) {
                other
            } else {
                one
            }
        });
        // What tells of fewer reasons can't let go of a certificate.
        let newest = newest.filter(|it| it.reasons & self.reasons == self.reasons);
        let is_lifted = |entry: super::crl::Entry| {
            let removed = newest.and_then(|newest| newest.found.entry);
            let is_removed = removed.is_some_and(|it| it.reason == REMOVED);
            entry.reason == HOLD && is_removed && self.reasons != 0
        };
        match found.revoked() {
            Some(entry) if !is_lifted(entry) => told.push(revoked(entry.since_ms)),
            Some(_) => {}
            // A complete list removes nobody (RFC 5280 section 5.3.1).
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
