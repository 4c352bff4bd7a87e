//! Certificate revocation lists (RFC 5280 section 5). They are read in place: the largest have megabytes.

use std::cell::RefCell;
use std::collections::HashMap;

use asn1_rs::{Class, Tag};

use super::Malformed;
use super::algorithm::AlgorithmIdentifier;
use super::ber::Reader;
use super::budget::{Budget, Sha256};
use super::certificate::Parsed;
use super::distribution::{ALL_REASONS, Point, keys};
use super::extensions::Extension;
use super::general_name::{DIRECTORY_NAME, GeneralName};
use super::public_key;
use super::revocation::{Statement, bits};
use super::same_name::DistinguishedName;
use super::scope::Scope;

/// Cost of scanning a byte of entries.
const BYTE_NS: u64 = 12;

/// A revocation list. It counts for nothing until an entitled signer of it is found.
#[derive(Debug)]
pub(super) struct Crl<'a> {
    /// The signed part.
    tbs: &'a [u8],
    pub(super) issuer: DistinguishedName<'a>,
    pub(super) made_ms: i64,
    pub(super) next_ms: Option<i64>,
    revoked: Option<Reader<'a>>,
    scope: Scope<'a>,
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
    /// Whether the key of a certificate signed the list, by the certificate's digest.
    signed_by: RefCell<HashMap<Sha256, bool>>,
    /// Results of looking up certificates in the entries, by the certificates' digests.
    found: RefCell<HashMap<Sha256, Option<Lookup>>>,
}

/// The result of looking up a certificate in the entries of a list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lookup {
    pub(super) entry: Option<Entry>,
    /// An entry has an unknown critical extension: the list shows no certificate to be good (RFC 5280 section 5.3).
    has_unknown: bool,
}

/// An entry of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The time of the revocation, in milliseconds since 1970, or [`i64::MIN`] if it can't be read.
    pub(super) since_ms: i64,
    /// `CRLReason`.
    pub(super) reason: u8,
}

/// `certificateHold` and `removeFromCRL` (RFC 5280 section 5.3.1).
pub(super) const HOLD: u8 = 6;
pub(super) const REMOVED: u8 = 8;

impl<'a> Crl<'a> {
    /// Reads a `CertificateList`; none if `der` is not one.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der).expect(Tag::Sequence, "").ok()?.inside();
        let tbs = outer.expect(Tag::Sequence, "").ok()?;
        let named = outer.expect(Tag::Sequence, "").ok()?;
        let algorithm = AlgorithmIdentifier::read(&named).ok()?;
        let signature = bits(&outer.expect(Tag::BitString, "").ok()?)?;
        let mut fields = tbs.inside();
        let mut field = fields.next().ok()??;
        if field.is(Class::Universal, Tag::Integer.0) {
            field = fields.next().ok()??;
        }
        // The signature's algorithm again: only this field is signed (RFC 5280 section 5.1.1.2).
        let says_another = field.raw != named.raw;
        let issuer = DistinguishedName::new(fields.expect(Tag::Sequence, "").ok()?.raw);
        let made_ms = fields.next().ok()??.time_ms()?;
        let mut field = fields.next().ok()?;
        let next_ms = field.as_ref().and_then(|field| field.time_ms());
        if next_ms.is_some() {
            field = fields.next().ok()?;
        }
        let revoked = field.as_ref().filter(|field| field.is_sequence());
        let revoked = revoked.map(|entries| entries.inside());
        if revoked.is_some() {
            field = fields.next().ok()?;
        }
        let mut scope = match field {
            None => Scope::default(),
            Some(wrapper) => Scope::read(&wrapper).unwrap_or(Scope {
                unknown: true,
                ..Scope::default()
            }),
        };
        scope.unknown |= says_another;
        Some(Self {
            tbs: tbs.raw,
            issuer,
            made_ms,
            next_ms,
            revoked,
            scope,
            algorithm,
            signature,
            signed_by: RefCell::default(),
            found: RefCell::default(),
        })
    }

    /// The reasons for which the list says whether a certificate is revoked (RFC 5280 section 6.3.3 (b) and (d)).
    ///
    /// With 0, only an entry for the certificate counts, and its absence proves nothing. None if the list does not
    /// cover certificates of that issuer.
    pub(super) fn reasons_of(&self, certificate: &Parsed<'_>, budget: &Budget) -> Option<u16> {
        let points = certificate.extensions().distribution_points;
        let points = points.map_or(Vec::new(), |value| Point::read_all(value, budget));
        let is_own = self.issuer.is(certificate.issuer(), budget);
        let publishes =
            |point: &Point<'_>| self.scope.indirect && point.is_published_by(&self.issuer, budget);
        if !is_own && !points.iter().any(publishes) {
            return None;
        }
        let is_ca = certificate.x509().is_ca();
        let scope = &self.scope;
        let left_out = scope.unknown
            || scope.attributes_only
            || (scope.users_only && is_ca)
            || (scope.authorities_only && !is_ca);
        if left_out {
            return Some(0);
        }
        // The last point is the issuer itself. It stands for lists that the certificate's own points do not name (RFC
        // 5280 section 6.3.3).
        let issuer = Point {
            reasons: ALL_REASONS,
            ..Point::default()
        };
        let mut reasons = 0;
        for point in points.iter().chain([&issuer]) {
            let fits = match point.publisher {
                Some(_) => publishes(point),
                None => is_own,
            };
            if fits && self.is_of_place(point, certificate, budget) {
                reasons |= point.reasons & scope.reasons.unwrap_or(ALL_REASONS);
            }
        }
        Some(reasons)
    }

    /// Whether the list belongs to a distribution point of the certificate (RFC 5280 section 6.3.3 (b) (2) (i)).
    fn is_of_place(&self, point: &Point<'_>, certificate: &Parsed<'_>, budget: &Budget) -> bool {
        let Some(place) = self.scope.place else {
            return true;
        };
        let Some(place) = place.keys(&self.issuer, budget) else {
            return false;
        };
        let publisher = match point.publisher {
            Some(_) => &self.issuer,
            None => certificate.issuer(),
        };
        let own = match (&point.name, point.publisher) {
            (Some(name), _) => name.keys(publisher, budget),
            (None, Some(publishers)) => keys(publishers, budget),
            (None, None) => {
                let issuer = publisher.key(budget);
                return issuer.is_some_and(|issuer| place.contains(&(DIRECTORY_NAME, issuer)));
            }
        };
        own.is_some_and(|own| !own.is_disjoint(&place))
    }

    /// Whether it is a delta list, which has only changes.
    pub(super) fn is_delta(&self) -> bool {
        self.scope.base.is_some()
    }

    /// Whether this delta list may be combined with a complete one (RFC 5280 section 5.2.4).
    pub(super) fn completes(&self, other: &Self, budget: &Budget) -> bool {
        let (own, of) = (&self.scope, &other.scope);
        let (Some(base), Some(number), Some(complete)) = (own.base, own.number, of.number) else {
            return false;
        };
        number_of(base) <= number_of(complete)
            && number_of(complete) < number_of(number)
            && own.point == of.point
            && own.authority_key == of.authority_key
            && self.issuer.is(&other.issuer, budget)
    }

    /// Whether this list has a higher number than the other.
    pub(super) fn is_newer(&self, other: &Self) -> bool {
        let number = |list: &Self| list.scope.number.map(number_of);
        number(self) > number(other)
    }

    /// Whether `signer` signed the list, may sign lists, and has the name of the list's issuer.
    pub(super) fn is_signed_by(&self, signer: &Parsed<'_>, budget: &Budget) -> bool {
        let mut known = self.signed_by.borrow_mut();
        if let Some(signed) = known.get(signer.sha256()) {
            return *signed;
        }
        let may_sign = match signer.x509().key_usage() {
            Ok(Some(usage)) => usage.value.crl_sign(),
            Ok(None) => true,
            Err(_) => false,
        };
        let signed = may_sign
            && signer.subject().is(&self.issuer, budget)
            && signer.has_signed(&self.algorithm, self.tbs, self.signature, budget);
        known.insert(*signer.sha256(), signed);
        signed
    }

    /// Whether a signature by `signer` is too weak to prove anything today, although it may verify.
    pub(super) fn is_weak_by(&self, signer: &Parsed<'_>) -> bool {
        public_key::is_weak(signer.x509().public_key(), &self.algorithm, None)
    }

    /// A statement that certificates not on the list are good, for these reasons.
    pub(super) fn good(&self, reasons: u16) -> Statement {
        Statement {
            made_ms: self.made_ms,
            next_ms: self.next_ms,
            keeps_since_ms: self.scope.keeps_since_ms,
            is_revoked_since_ms: None,
            reasons,
        }
    }

    /// Looks up a certificate in the entries; none if these can't be read, or the budget is exhausted.
    pub(super) fn find(&self, certificate: &Parsed<'_>, budget: &Budget) -> Option<Lookup> {
        let mut known = self.found.borrow_mut();
        let found = known.entry(*certificate.sha256()).or_insert_with(|| {
            budget.spend_each(self.tbs.len(), BYTE_NS).ok()?;
            self.scan(certificate, budget).ok()?
        });
        *found
    }

    fn scan(&self, certificate: &Parsed<'_>, budget: &Budget) -> Result<Option<Lookup>, Malformed> {
        let mut found = Lookup::default();
        let Some(mut entries) = self.revoked else {
            return Ok(Some(found));
        };
        let serial = certificate.x509().raw_serial();
        // An entry is about the issuer that was last named, by itself or by an entry before (RFC 5280 section 5.3.3).
        let mut is_of_issuer = self.issuer.is(certificate.issuer(), budget);
        while let Some(entry) = entries.next()? {
            let mut fields = entry.inside();
            let own = fields.expect(Tag::Integer, "an entry has no serial number")?;
            let since = fields.next()?;
            let mut reason = 0;
            if let Some(list) = fields.next()? {
                let mut extensions = list.inside();
                while let Some(extension) = extensions.next()? {
                    let extension = Extension::read(&extension)?;
                    let value = extension.value;
                    match extension.number() {
                        Some(21) => reason = value.last().copied().unwrap_or_default(),
                        Some(29) => is_of_issuer = names(value, certificate.issuer(), budget),
                        Some(23 | 24) => {}
                        _ => found.has_unknown |= extension.critical,
                    }
                }
            }
            if is_of_issuer && own.content() == serial {
                let since_ms = since.and_then(|since| since.time_ms()).unwrap_or(i64::MIN);
                let entry = Entry { since_ms, reason };
                if reason != REMOVED {
                    found.entry = Some(entry);
                    return Ok(Some(found));
                }
                found.entry = Some(entry);
            }
        }
        Ok(Some(found))
    }
}

impl Lookup {
    /// The entry, unless it removes the certificate from the list.
    pub(super) fn revoked(&self) -> Option<Entry> {
        self.entry.filter(|entry| entry.reason != REMOVED)
    }

    /// Whether the entries show that the certificate is good: none revokes it.
    pub(super) fn is_good(&self) -> bool {
        !self.has_unknown && self.revoked().is_none()
    }
}

/// Whether a `certificateIssuer` names this issuer.
fn names(value: &[u8], issuer: &DistinguishedName<'_>, budget: &Budget) -> bool {
    let Ok(list) = Reader::new(value).expect(Tag::Sequence, "") else {
        return false;
    };
    let mut all = list.inside();
    while let Ok(Some(one)) = all.next() {
        if GeneralName::read(&one).is_some_and(|one| one.is_directory(issuer, budget)) {
            return true;
        }
    }
    false
}

/// A non-negative number in a form that compares by value: first its length, then its digits.
fn number_of(content: &[u8]) -> (usize, &[u8]) {
    let zeros = content.iter().take_while(|byte| **byte == 0).count();
    let digits = content.get(zeros..).unwrap_or_default();
    (digits.len(), digits)
}
