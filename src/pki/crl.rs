//! Lists of revoked certificates (RFC 5280 section 5). Read where they lie: the largest have megabytes.

use std::cell::RefCell;

use asn1_rs::{Class, Tag};

use super::algorithm::AlgorithmIdentifier;
use super::ber::Reader;
use super::certificate::Parsed;
use super::oid;
use super::public_key;
use super::revocation::{Statement, bits, extensions};
use super::work::{Sha256, Work};

/// A list, which may be anybody's until it was found to be an issuer's.
#[derive(Debug)]
pub(super) struct Crl<'a> {
    /// What is signed.
    tbs: &'a [u8],
    issuer: &'a [u8],
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
    /// It is about none that we could tell: of other issuers, for some reasons, for attributes, or by rules unknown here.
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
        let issuer = fields.expect(Tag::Sequence, "").ok()?.raw;
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

    /// What it says of a certificate of this issuer; none where it is not about that.
    pub(super) fn of(
        &self,
        certificate: &Parsed<'_>,
        issuer: &Parsed<'_>,
        work: &Work,
    ) -> Option<Statement> {
        let about = self.issuer == certificate.x509().issuer().as_raw()
            && self.scope.includes(certificate)
            && self.is_signed_by(issuer, work);
        about.then(|| self.entry(certificate, work)).flatten()
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
            && issuer.x509().subject().as_raw() == self.issuer
            && !public_key::is_weak(key, &self.algorithm, None)
            && issuer.has_signed(&self.algorithm, self.tbs, self.signature, work);
        known.push((*issuer.sha256(), signed));
        signed
    }

    /// Looks for the certificate among the revoked ones. An entry that can't be read leaves all unsaid.
    fn entry(&self, certificate: &Parsed<'_>, work: &Work) -> Option<Statement> {
        let mut statement = Statement {
            made_ms: self.made_ms,
            next_ms: self.next_ms,
            is_revoked_since_ms: None,
        };
        let Some(mut entries) = self.revoked else {
            return Some(statement);
        };
        // Looking through takes about as long as hashing.
        if !work.spend(self.tbs.len() / super::work::BYTES_A_UNIT) {
            return None;
        }
        let serial = certificate.x509().raw_serial();
        while let Some(entry) = entries.next().ok()? {
            let mut fields = entry.inside();
            let own = fields.expect(Tag::Integer, "").ok()?;
            if own.content() == serial {
                statement.is_revoked_since_ms = Some(fields.next().ok()??.time_ms()?);
                break;
            }
        }
        Some(statement)
    }
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
                } else {
                    // [3] only some reasons, [4] indirect, [5] only attribute certificates
                    scope.unknown |= is(3) || set;
                }
            }
        }
        Some(scope)
    }

    fn includes(&self, certificate: &Parsed<'_>) -> bool {
        let is_ca = certificate.x509().is_ca();
        if self.unknown || (self.users_only && is_ca) || (self.authorities_only && !is_ca) {
            return false;
        }
        self.place
            .is_none_or(|place| names_place(certificate, place).unwrap_or(false))
    }
}

/// Whether a certificate says that its revocation is published under one of these names.
fn names_place(certificate: &Parsed<'_>, place: Reader<'_>) -> Option<bool> {
    let mut own = certificate.x509().extensions().iter();
    let own = own.find(|own| own.oid.to_id_string() == oid::DISTRIBUTION_POINTS)?;
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
            let mut places = place;
            while let Some(other) = places.next().ok()? {
                if other.raw == name.raw {
                    return Some(true);
                }
            }
        }
    }
    Some(false)
}
