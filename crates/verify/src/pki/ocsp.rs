//! OCSP responses (RFC 6960 section 4.2).

use std::cell::RefCell;
use std::collections::HashMap;

use asn1_rs::{Class, Tag};

use super::algorithm::AlgorithmIdentifier;
use super::ber::{Reader, Value};
use super::budget::{Budget, Sha256};
use super::certificate::Parsed;
use super::distribution::ALL_REASONS;
use super::extensions::Extension;
use super::hash::Hash;
use super::oid;
use super::public_key;
use super::revocation::{Statement, bits};
use super::same_name::DistinguishedName;
use super::signer::is_of_same_key;
use super::verdict::MAX_SKEW_MS;

/// Most certificates and most entries of a response; a response with more is not read.
const MAX_ENTRIES: usize = 20;

/// Cost of looking at a possible signer of a response.
const LOOK_NS: u64 = 1_000;

/// Known extensions, by the last number of their OIDs: `id-pkix-ocsp-nonce`, `-crl`, `-archive-cutoff` and
/// `-extended-revoke` (RFC 6960 section 4.4).
const NONCE: u8 = 2;
const CRL_REFERENCE: u8 = 3;
const ARCHIVE_CUTOFF: u8 = 6;
const EXTENDED_REVOKE: u8 = 9;

/// `id-pkix-ocsp-nocheck`.
const NO_CHECK: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 5];

/// A `BasicOCSPResponse`. It counts for nothing until an entitled signer of it is found.
#[derive(Debug)]
pub(super) struct Response<'a> {
    /// The signed part.
    tbs: &'a [u8],
    responder: Responder<'a>,
    made_ms: i64,
    entries: Vec<Entry<'a>>,
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
    certificates: Vec<Parsed<'a>>,
    /// The response follows rules that are unknown here: it shows no certificate to be good.
    unknown: bool,
    /// Whether the key of a certificate signed the response, by the certificate's digest.
    signed_by: RefCell<HashMap<Sha256, bool>>,
}

/// The limits within which a response shows certificates to be good.
struct Reliance {
    until_ms: i64,
    is_weak: bool,
}

/// The responder's identity.
#[derive(Debug)]
enum Responder<'a> {
    Name(DistinguishedName<'a>),
    /// SHA-1 of the key.
    Key(&'a [u8]),
}

/// A `SingleResponse`. Those with the status `unknown` are left out.
#[derive(Debug)]
struct Entry<'a> {
    hash: Hash,
    issuer_name: &'a [u8],
    issuer_key: &'a [u8],
    serial: &'a [u8],
    statement: Statement,
    /// The entry follows rules that are unknown here: it does not show the certificate to be good.
    unknown: bool,
}

/// The extensions of a response or an entry that matter (RFC 6960 section 4.4).
#[derive(Debug, Default)]
struct Further {
    /// The responder still knows certificates that expired at this time or later (`ArchiveCutoff`), in milliseconds
    /// since 1970.
    keeps_since_ms: Option<i64>,
    /// An extension is critical and not known here.
    unknown: bool,
}

impl Further {
    /// Reads the extensions inside of an explicit tag, if there are any.
    fn of(wrapper: Option<Value<'_>>) -> Self {
        let further = wrapper.map_or(Some(Self::default()), |wrapper| Self::read(&wrapper));
        further.unwrap_or(Self {
            unknown: true,
            ..Self::default()
        })
    }

    fn read(wrapper: &Value<'_>) -> Option<Self> {
        let mut further = Self::default();
        let mut all = wrapper.inside().next().ok()??.inside();
        while let Some(extension) = all.next().ok()? {
            let extension = Extension::read(&extension).ok()?;
            match extension.ocsp_number() {
                Some(ARCHIVE_CUTOFF) => further.keeps_since_ms = extension.time_ms(),
                Some(NONCE | CRL_REFERENCE | EXTENDED_REVOKE) => {}
                _ => further.unknown |= extension.critical,
            }
        }
        Some(further)
    }
}

impl<'a> Response<'a> {
    /// Reads a `BasicOCSPResponse`, or an `OCSPResponse` around one; none if `der` is neither.
    pub(super) fn read(der: &'a [u8], budget: &Budget) -> Option<Self> {
        let outer = Reader::new(der).expect(Tag::Sequence, "").ok()?;
        let mut fields = outer.inside();
        let first = fields.next().ok()??;
        if !first.is(Class::Universal, Tag::Enumerated.0) {
            return Self::read_basic(&outer, budget);
        }
        // OCSPResponse { status, [0] { SEQUENCE { OID, OCTET STRING } } }
        let wrapper = fields.optional(0).ok()??;
        let mut typed = wrapper.inside().next().ok()??.inside();
        let kind = typed.expect(Tag::Oid, "").ok()?.oid().ok()?;
        let octets = typed.expect(Tag::OctetString, "").ok()?;
        let basic = Reader::new(octets.content()).next().ok()??;
        (kind == oid::OCSP_BASIC).then(|| Self::read_basic(&basic, budget))?
    }

    fn read_basic(basic: &Value<'a>, budget: &Budget) -> Option<Self> {
        let mut fields = basic.inside();
        let tbs = fields.expect(Tag::Sequence, "").ok()?;
        let algorithm = AlgorithmIdentifier::read(&fields.expect(Tag::Sequence, "").ok()?).ok()?;
        let signature = bits(&fields.expect(Tag::BitString, "").ok()?)?;
        let certificates = match fields.optional(0).ok()? {
            Some(wrapper) => {
                let all = wrapper.inside().next().ok()??;
                Parsed::read_all(all.inside(), MAX_ENTRIES, budget).ok()?
            }
            None => Vec::new(),
        };
        let mut data = tbs.inside();
        let mut field = data.next().ok()??;
        if field.is(Class::ContextSpecific, 0) {
            // The version.
            field = data.next().ok()??;
        }
        let inner = field.inside().next().ok()??;
        let responder = if field.is(Class::ContextSpecific, 1) {
            Responder::Name(DistinguishedName::new(inner.raw))
        } else {
            Responder::Key(inner.content())
        };
        let made_ms = data.next().ok()??.time_ms()?;
        let mut all = data.expect(Tag::Sequence, "").ok()?.inside();
        let unknown = Further::of(data.optional(1).ok()?).unknown;
        let mut entries = Vec::new();
        while let Some(entry) = all.next().ok()? {
            if entries.len() == MAX_ENTRIES {
                return None;
            }
            entries.extend(Entry::read(&entry));
        }
        Some(Self {
            tbs: tbs.raw,
            responder,
            made_ms,
            entries,
            algorithm,
            signature,
            certificates,
            unknown,
            signed_by: RefCell::default(),
        })
    }

    /// The statements about a certificate of this issuer. `delegates` returns certificates at hand that the issuer
    /// issued for signing responses.
    pub(super) fn of<'d>(
        &self,
        certificate: &Parsed<'_>,
        issuer: &Parsed<'_>,
        delegates: impl FnOnce() -> Vec<&'d Parsed<'d>>,
        is_revoked: impl Fn(&Parsed<'_>) -> bool,
        budget: &Budget,
    ) -> Vec<Statement> {
        let serial = certificate.x509().raw_serial();
        let about = self.entries.iter().filter(|entry| {
            budget.is_same(entry.serial, serial)
                && issuer.is_named(
                    entry.hash,
                    [entry.issuer_name, entry.issuer_key],
                    certificate,
                    budget,
                )
        });
        let about: Vec<_> = about.collect();
        if about.is_empty() {
            return Vec::new();
        }
        let Some(reliance) = self.reliance(certificate, issuer, delegates, is_revoked, budget)
        else {
            return Vec::new();
        };
        let told = about.into_iter().map(|entry| {
            let told = entry.statement;
            // A status can't be later than the response.
            let is_early = told.made_ms > self.made_ms.saturating_add(MAX_SKEW_MS);
            let is_good = !(self.unknown || entry.unknown || reliance.is_weak || is_early);
            Statement {
                next_ms: told.next_ms.map(|next| next.min(reliance.until_ms)),
                reasons: if is_good { told.reasons } else { 0 },
                ..told
            }
        });
        told.collect()
    }

    /// The limits within which the response counts; none unless the issuer signed it, or a delegate of the issuer that
    /// was not revoked (RFC 6960 section 4.2.2.2).
    ///
    /// The delegate's certificate need not come with the response (section 4.2.1).
    fn reliance<'d>(
        &self,
        certificate: &Parsed<'_>,
        issuer: &Parsed<'_>,
        delegates: impl FnOnce() -> Vec<&'d Parsed<'d>>,
        is_revoked: impl Fn(&Parsed<'_>) -> bool,
        budget: &Budget,
    ) -> Option<Reliance> {
        let is_weak =
            |key: &Parsed<'_>| public_key::is_weak(key.x509().public_key(), &self.algorithm, None);
        if self.is_signed_by(issuer, budget) {
            return Some(Reliance {
                until_ms: i64::MAX,
                is_weak: is_weak(issuer),
            });
        }
        let by_delegate = |delegate: &Parsed<'_>| {
            let speaks = budget.spend(LOOK_NS).is_ok()
                && delegate.is_valid(self.made_ms)
                && is_delegate(delegate, issuer, budget)
                && self.is_signed_by(delegate, budget)
                // This may depend on the response itself, so it is not cached.
                && (is_never_revoked(delegate) || !is_revoked(delegate));
            // A key that leaked after its certificate expired can sign responses that claim any earlier time and never
            // expire.
            speaks.then(|| Reliance {
                until_ms: delegate.not_after_ms(),
                // A key does not vouch for itself; otherwise a stolen key always would.
                is_weak: is_weak(delegate)
                    || delegate.is_weakly_issued_by(issuer)
                    || is_of_same_key(delegate, certificate, budget),
            })
        };
        let own = self.certificates.iter().find_map(by_delegate);
        own.or_else(|| delegates().into_iter().find_map(by_delegate))
    }

    /// Whether `responder` signed the response, and has the name or key that the response gives.
    fn is_signed_by(&self, responder: &Parsed<'_>, budget: &Budget) -> bool {
        let mut known = self.signed_by.borrow_mut();
        *known.entry(*responder.sha256()).or_insert_with(|| {
            self.responder.is(responder, budget)
                && responder.has_signed(&self.algorithm, self.tbs, self.signature, budget)
        })
    }
}

/// Whether an issuer lets this certificate sign responses (RFC 6960 section 4.2.2.2), or it is for another key of the
/// issuer.
pub(super) fn is_delegate(certificate: &Parsed<'_>, issuer: &Parsed<'_>, budget: &Budget) -> bool {
    let extensions = certificate.extensions();
    !extensions.has_unknown_critical
        && !extensions.is_repeated
        && (may_respond(certificate) || is_authority(certificate, budget))
        && issuer.has_issued(certificate, budget)
}

/// Whether the issuer says that a delegate is not to be checked for revocation (`id-pkix-ocsp-nocheck`, RFC 6960
/// section 4.2.2.2.1).
fn is_never_revoked(delegate: &Parsed<'_>) -> bool {
    let mut extensions = delegate.x509().extensions().iter();
    extensions.any(|extension| extension.oid.as_bytes() == NO_CHECK)
}

fn may_respond(delegate: &Parsed<'_>) -> bool {
    let usages = delegate.x509().extended_key_usage();
    matches!(usages, Ok(Some(usages)) if usages.value.ocsp_signing)
        && delegate.key_usage_has(|signs, commits| signs || commits)
}

/// Whether an authority issued the certificate to itself, for another key that issues certificates.
fn is_authority(certificate: &Parsed<'_>, budget: &Budget) -> bool {
    let issues = match certificate.x509().key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    issues && certificate.x509().is_ca() && certificate.is_self_issued(budget)
}

impl Responder<'_> {
    fn is(&self, certificate: &Parsed<'_>, budget: &Budget) -> bool {
        match self {
            Self::Name(name) => certificate.subject().is(name, budget),
            Self::Key(sha1) => {
                let key = certificate.key_bits();
                budget.spend_hash(Hash::Sha1, key.len()).is_ok() && Hash::Sha1.digest(key) == *sha1
            }
        }
    }
}

impl<'a> Entry<'a> {
    fn read(entry: &Value<'a>) -> Option<Self> {
        let mut fields = entry.inside();
        // CertID { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber }
        let mut id = fields.expect(Tag::Sequence, "").ok()?.inside();
        let algorithm = AlgorithmIdentifier::read(&id.expect(Tag::Sequence, "").ok()?).ok()?;
        let issuer_name = id.expect(Tag::OctetString, "").ok()?.content();
        let issuer_key = id.expect(Tag::OctetString, "").ok()?.content();
        let serial = id.expect(Tag::Integer, "").ok()?.content();
        // CertStatus ::= CHOICE { good [0], revoked [1] { time, … }, unknown [2] }
        let status = fields.next().ok()??;
        let is_revoked_since_ms = if status.is(Class::ContextSpecific, 0) {
            None
        } else if status.is(Class::ContextSpecific, 1) {
            Some(status.inside().next().ok()??.time_ms().unwrap_or(i64::MIN))
        } else {
            return None;
        };
        let made_ms = fields.next().ok()??.time_ms()?;
        let next_ms = match fields.optional(0).ok()? {
            Some(wrapper) => Some(wrapper.inside().next().ok()??.time_ms()?),
            None => None,
        };
        let further = Further::of(fields.optional(1).ok()?);
        Some(Self {
            hash: Hash::of(&algorithm.oid)?,
            issuer_name,
            issuer_key,
            serial,
            statement: Statement {
                made_ms,
                next_ms,
                keeps_since_ms: further.keeps_since_ms,
                is_revoked_since_ms,
                reasons: ALL_REASONS,
            },
            unknown: further.unknown,
        })
    }
}
