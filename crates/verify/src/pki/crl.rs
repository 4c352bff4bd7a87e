//! Lists of revoked certificates (RFC 5280 section 5). Read where they lie: the largest have megabytes.

use std::cell::RefCell;
use std::collections::HashSet;

use asn1_rs::{Class, Tag};

use super::algorithm::AlgorithmIdentifier;
use super::ber::{Reader, Value};
use super::certificate::Parsed;
use super::public_key;
use super::revocation::{Statement, bits, extensions};
use super::same_name::DistinguishedName;
use super::work::{Sha256, Work};
use super::{Malformed, oid};

/// What it costs to look through a byte of entries, or of names.
const BYTE_NS: u64 = 12;

/// A list, which may be anybody's until it was found to be an issuer's.
#[derive(Debug)]
pub(super) struct Crl<'a> {
    /// What is signed.
    tbs: &'a [u8],
    issuer: DistinguishedName<'a>,
    made_ms: i64,
    next_ms: Option<i64>,
    revoked: Option<Reader<'a>>,
    scope: Scope<'a>,
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
    /// Issuers, by their certificates' digests, and whether they signed it.
    signed_by: RefCell<Vec<(Sha256, bool)>>,
}

/// Which certificates a list is about (RFC 5280 section 5.2.5).
#[derive(Debug, Default)]
struct Scope<'a> {
    /// Encoding of the names of the place where it is published; it is about certificates that name that place.
    place: Option<Reader<'a>>,
    users_only: bool,
    authorities_only: bool,
    /// Its entries may be about certificates of others.
    indirect: bool,
    /// It is about none that we could tell: for some reasons, for attributes, of what changed, or by rules unknown here.
    unknown: bool,
}

impl<'a> Crl<'a> {
    /// Reads a `CertificateList`; none where it is none.
    pub(super) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der).expect(Tag::Sequence, "").ok()?.inside();
        let tbs = outer.expect(Tag::Sequence, "").ok()?;
        let algorithm = AlgorithmIdentifier::read(&outer.expect(Tag::Sequence, "").ok()?).ok()?;
        let signature = bits(&outer.expect(Tag::BitString, "").ok()?)?;
        let mut fields = tbs.inside();
        let mut field = fields.next().ok()??;
        if field.is(Class::Universal, Tag::Integer.0) {
            field = fields.next().ok()??;
        }
        // What it is signed with, once more.
        AlgorithmIdentifier::read(&field).ok()?;
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
        let scope = match field {
            None => Scope::default(),
            Some(wrapper) => Scope::read(wrapper.inside()).unwrap_or(Scope {
                unknown: true,
                indirect: true,
                ..Scope::default()
            }),
        };
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
        })
    }

    /// What it says of a certificate of this issuer. That it was revoked counts wherever it stands; that it was not only where the
    /// list is about such certificates.
    pub(super) fn of(
        &self,
        certificate: &Parsed<'_>,
        issuer: &Parsed<'_>,
        work: &Work,
    ) -> Option<Statement> {
        let told = self.issuer.is(certificate.issuer(), work)
            && !self.scope.indirect
            && self.is_signed_by(issuer, work);
        if !told || work.spend_each(self.tbs.len(), BYTE_NS).is_err() {
            return None;
        }
        let is_revoked_since_ms = match self.find(certificate.x509().raw_serial()) {
            Ok(found) => found,
            // What can't be read to its end does not say that something is not there.
            Err(Malformed(_)) => return None,
        };
        let says = is_revoked_since_ms.is_some() || self.scope.includes(certificate, work);
        says.then_some(Statement {
            made_ms: self.made_ms,
            next_ms: self.next_ms,
            is_revoked_since_ms,
        })
    }

    fn is_signed_by(&self, issuer: &Parsed<'_>, work: &Work) -> bool {
        let mut known = self.signed_by.borrow_mut();
        if let Some((_, signed)) = known.iter().find(|(other, _)| other == issuer.sha256()) {
            return *signed;
        }
        let key = issuer.x509().public_key();
        let may_sign = match issuer.x509().key_usage() {
            Ok(Some(usage)) => usage.value.crl_sign(),
            Ok(None) => true,
            Err(_) => false,
        };
        let signed = may_sign
            && issuer.subject().is(&self.issuer, work)
            && !public_key::is_weak(key, &self.algorithm, None)
            && issuer.has_signed(&self.algorithm, self.tbs, self.signature, work);
        known.push((*issuer.sha256(), signed));
        signed
    }

    /// Since when the certificate of this serial number is revoked, where it is.
    fn find(&self, serial: &[u8]) -> Result<Option<i64>, Malformed> {
        let Some(mut entries) = self.revoked else {
            return Ok(None);
        };
        while let Some(entry) = entries.next()? {
            let mut fields = entry.inside();
            let own = fields.expect(Tag::Integer, "an entry has no serial number")?;
            if own.content() != serial {
                continue;
            }
            let since = fields.next()?;
            let since_ms = since.and_then(|since| since.time_ms()).unwrap_or(i64::MIN);
            let removed = fields.next()?.is_some_and(|list| is_removed(&list));
            if !removed {
                return Ok(Some(since_ms));
            }
        }
        Ok(None)
    }
}

/// Whether an entry says that its certificate is revoked no more (`removeFromCRL`, RFC 5280 section 5.3.1).
fn is_removed(list: &Value<'_>) -> bool {
    let extensions = extensions(list).unwrap_or_default();
    extensions
        .iter()
        .any(|extension| extension.oid == oid::REASON_CODE && extension.value == [0x0a, 1, 8])
}

impl<'a> Scope<'a> {
    fn read(mut wrapper: Reader<'a>) -> Option<Self> {
        let mut scope = Self::default();
        for extension in extensions(&wrapper.next().ok()??).ok()? {
            if extension.oid != oid::ISSUING_DISTRIBUTION_POINT {
                // Among these, that the list has only what changed.
                scope.unknown |= extension.critical;
                continue;
            }
            let point = Reader::new(extension.value).next().ok()??;
            let mut fields = point.inside();
            while let Some(field) = fields.next().ok()? {
                let is = |tag| field.is(Class::ContextSpecific, tag);
                let set = field.content() != [0];
                if is(0) {
                    // DistributionPointName ::= CHOICE { fullName [0] GeneralNames, … }
                    let name = field.inside().next().ok()??;
                    scope.unknown |= !name.is(Class::ContextSpecific, 0);
                    scope.place = Some(name.inside());
                } else if is(1) {
                    scope.users_only = set;
                } else if is(2) {
                    scope.authorities_only = set;
                } else if is(4) {
                    scope.indirect = set;
                } else {
                    // [3] only some reasons, [5] only attribute certificates
                    scope.unknown |= is(3) || set;
                }
            }
        }
        Some(scope)
    }

    fn includes(&self, certificate: &Parsed<'_>, work: &Work) -> bool {
        let is_ca = certificate.x509().is_ca();
        if self.unknown || (self.users_only && is_ca) || (self.authorities_only && !is_ca) {
            return false;
        }
        self.place
            .is_none_or(|place| names_place(certificate, place, work).unwrap_or(false))
    }
}

/// Whether a certificate says that its revocation is published under one of these names.
fn names_place(certificate: &Parsed<'_>, place: Reader<'_>, work: &Work) -> Option<bool> {
    let mut own = certificate.x509().extensions().iter();
    let own = own.find(|own| own.oid.to_id_string() == oid::DISTRIBUTION_POINTS)?;
    work.spend_each(own.value.len(), BYTE_NS).ok()?;
    let mut names_of_place = HashSet::new();
    let mut places = place;
    while let Some(name) = places.next().ok()? {
        names_of_place.insert(name.raw);
    }
    // SEQUENCE OF DistributionPoint { [0] { [0] fullName }, … }
    let mut points = Reader::new(own.value).next().ok()??.inside();
    while let Some(point) = points.next().ok()? {
        let Ok(Some(wrapper)) = point.inside().optional(0) else {
            continue;
        };
        let Ok(Some(names)) = wrapper.inside().optional(0) else {
            continue;
        };
        let mut names = names.inside();
        while let Some(name) = names.next().ok()? {
            if names_of_place.contains(name.raw) {
                return Some(true);
            }
        }
    }
    Some(false)
}
