//! Certificates (RFC 5280).

use std::cell::{OnceCell, RefCell};

use asn1_rs::{FromDer as _, Tag};
use serde::Serialize;
use strum::{Display, EnumIter, IntoEnumIterator as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Name;

use super::algorithm::AlgorithmIdentifier;
use super::ber::{Reader, hex};
use super::budget::{Budget, Exhausted, Sha256};
use super::extensions::Extensions;
use super::hash::Hash;
use super::name::describe_name;
use super::person::{bin, iin, role};
use super::public_key;
use super::same_name::DistinguishedName;
use super::{Certificate, Malformed, Name, oid};
use crate::digest::{sha256, to_hex};

/// A parsed certificate, with its encoding.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    certificate: X509Certificate<'a>,
    der: &'a [u8],
    subject: DistinguishedName<'a>,
    issuer: DistinguishedName<'a>,
    sha256: OnceCell<Sha256>,
    key_identifier: Option<&'a [u8]>,
    extensions: Extensions<'a>,
    /// `None` in the cell if the extension is present and can't be read.
    extended_key_usages: OnceCell<Option<Vec<String>>>,
    /// Digests of its subject and key, by which OCSP responses name an issuer.
    names: RefCell<Vec<(Hash, [Vec<u8>; 2])>>,
}

/// Largest certificate that is read, in bytes. The largest ones in use contain pictures.
const MAX_BYTES: usize = 256 * 1024;
/// Most extensions of a certificate that is read. Certificates in use have about ten. Each lookup goes through all of
/// them.
const MAX_EXTENSIONS: usize = 100;

/// Cost of reading a certificate, and each byte of it.
const READ_NS: u64 = 10_000;
const BYTE_NS: u64 = 40;
/// Cost of describing a certificate, and each attribute of its names.
const TELL_NS: u64 = 10_000;
const TELL_ATTRIBUTE_NS: u64 = 2_500;

impl<'a> Parsed<'a> {
    /// Reads a `CertificateSet`. Skips attribute certificates and unreadable ones: they name no signer.
    pub(crate) fn read_all(
        mut certificates: Reader<'a>,
        max: usize,
        budget: &Budget,
    ) -> Result<Vec<Self>, Malformed> {
        let mut all = Vec::new();
        while let Some(value) = certificates.next()? {
            if all.len() == max {
                return Err(Malformed("it has too many certificates to read"));
            }
            if value.is_sequence() {
                all.extend(Self::from_der_within(value.raw, budget));
            }
        }
        Ok(all)
    }

    /// Reads several encodings, and skips those that are not certificates.
    pub(crate) fn of_all(encodings: &'a [Vec<u8>], budget: &Budget) -> Vec<Self> {
        let encodings = encodings.iter();
        encodings
            .filter_map(|der| Self::from_der_within(der, budget))
            .collect()
    }

    /// Like [`Self::from_der`], but spends from a budget; none if that is exhausted.
    pub(crate) fn from_der_within(der: &'a [u8], budget: &Budget) -> Option<Self> {
        let bytes = der.len().min(MAX_BYTES);
        budget.spend(READ_NS + bytes as u64 * BYTE_NS).ok()?;
        Self::from_der(der)
    }

    /// Reads a single certificate in DER; none if `der` is not one.
    pub(crate) fn from_der(der: &'a [u8]) -> Option<Self> {
        let value = Reader::new(der).next().ok()??;
        if value.raw.len() > MAX_BYTES {
            return None;
        }
        // The three fields are the signed part, the algorithm and the signature (RFC 5280 section 4.1). A fourth one
        // would not be signed.
        let mut fields = value.inside();
        for _ in 0..3 {
            fields.next().ok()??;
        }
        if fields.next().ok()?.is_some() {
            return None;
        }
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let der = der.get(..der.len() - rest.len())?;
        if certificate.extensions().len() > MAX_EXTENSIONS {
            return None;
        }
        let key_identifier = certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(own) => Some(own.0),
                _ => None,
            });
        Some(Self {
            subject: DistinguishedName::new(certificate.tbs_certificate.subject.as_raw()),
            issuer: DistinguishedName::new(certificate.tbs_certificate.issuer.as_raw()),
            key_identifier,
            extensions: Extensions::of(&certificate),
            certificate,
            der,
            sha256: OnceCell::new(),
            extended_key_usages: OnceCell::new(),
            names: RefCell::default(),
        })
    }

    /// Its encoding.
    pub(crate) fn der(&self) -> &'a [u8] {
        self.der
    }

    /// The subject's name.
    pub(crate) fn subject(&self) -> &DistinguishedName<'a> {
        &self.subject
    }

    /// The issuer's name.
    pub(crate) fn issuer(&self) -> &DistinguishedName<'a> {
        &self.issuer
    }

    /// Whether it names itself as its issuer (RFC 5280 section 3.2).
    pub(crate) fn is_self_issued(&self, budget: &Budget) -> bool {
        self.subject.is(&self.issuer, budget)
    }

    /// SHA-256 of its encoding.
    pub(crate) fn sha256(&self) -> &Sha256 {
        self.sha256.get_or_init(|| sha256(self.der))
    }

    /// Whether it is valid at this time, in milliseconds since 1970.
    pub(crate) fn is_valid(&self, time_ms: i64) -> bool {
        // Times in certificates are whole seconds, and the last second is part of the validity.
        let time_ms = time_ms.div_euclid(1000).saturating_mul(1000);
        (self.not_before_ms()..=self.not_after_ms()).contains(&time_ms)
    }

    /// The end of its validity, in milliseconds since 1970.
    pub(crate) fn not_after_ms(&self) -> i64 {
        let end = self.certificate.validity().not_after;
        end.timestamp().saturating_mul(1000)
    }

    fn not_before_ms(&self) -> i64 {
        let begin = self.certificate.validity().not_before;
        begin.timestamp().saturating_mul(1000)
    }

    /// Whether its key usages (RFC 5280 section 4.2.1.3) satisfy `asked`, which receives digitalSignature and
    /// nonRepudiation. A certificate without key usages satisfies everything.
    pub(crate) fn key_usage_has(&self, asked: impl Fn(bool, bool) -> bool) -> bool {
        match self.certificate.key_usage() {
            Ok(Some(usage)) => asked(
                usage.value.digital_signature(),
                usage.value.non_repudiation(),
            ),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Whether its signature by `issuer` is too weak to prove anything today, although it may verify.
    pub(crate) fn is_weakly_issued_by(&self, issuer: &Parsed<'_>) -> bool {
        let key = issuer.x509().public_key();
        let algorithm = self.signature_algorithm();
        algorithm.is_none_or(|algorithm| public_key::is_weak(key, &algorithm, None))
    }

    /// Whether this certificate's key made `signature` over `message`.
    pub(crate) fn has_signed(
        &self,
        algorithm: &AlgorithmIdentifier<'_>,
        message: &[u8],
        signature: &[u8],
        budget: &Budget,
    ) -> bool {
        let key = self.certificate.public_key();
        public_key::verify(key, algorithm, None, message, signature, budget) == Ok(true)
    }

    /// Whether this certificate issued `of`: its subject is the issuer there, and its key made the signature.
    pub(crate) fn has_issued(&self, of: &Parsed<'_>, budget: &Budget) -> bool {
        let x509 = of.x509();
        // Both fields must name the same algorithm (RFC 5280 section 4.1.1.2): only one of them is signed.
        x509.signature_algorithm == x509.tbs_certificate.signature
            && self.subject.is(&of.issuer, budget)
            && budget.issued(self.sha256(), of.sha256(), || {
                let signature = &x509.signature_value.data;
                of.signature_algorithm().is_some_and(|algorithm| {
                    self.has_signed(&algorithm, x509.tbs_certificate.as_ref(), signature, budget)
                })
            })
    }

    /// The algorithm of its signature.
    pub(crate) fn signature_algorithm(&self) -> Option<AlgorithmIdentifier<'a>> {
        // Certificate { tbsCertificate, signatureAlgorithm, signature }
        let mut fields = Reader::new(self.der).next().ok()??.inside();
        fields.next().ok()??;
        AlgorithmIdentifier::read(&fields.next().ok()??).ok()
    }

    /// The parsed certificate.
    pub(crate) fn x509(&self) -> &X509Certificate<'a> {
        &self.certificate
    }

    /// The issuer's encoded name and the serial number.
    pub(crate) fn identity(&self) -> (&'a [u8], &'a [u8]) {
        let tbs = &self.certificate.tbs_certificate;
        (tbs.issuer.as_raw(), tbs.raw_serial())
    }

    /// Its extensions that matter for a path.
    pub(super) fn extensions(&self) -> &Extensions<'a> {
        &self.extensions
    }

    /// The subject key identifier (RFC 5280 section 4.2.1.2).
    pub(crate) fn key_identifier(&self) -> Option<&'a [u8]> {
        self.key_identifier
    }

    /// Whether these are the digests of its subject and its key (RFC 6960 section 4.1.1). The subject may also be spelt
    /// as in `of`, a certificate that it issued.
    pub(crate) fn is_named(
        &self,
        hash: Hash,
        [subject, key]: [&[u8]; 2],
        of: &Parsed<'_>,
        budget: &Budget,
    ) -> bool {
        let digest = |bytes: &[u8]| match budget.spend_hash(hash, bytes.len()) {
            Ok(()) => hash.digest(bytes),
            Err(Exhausted) => Vec::new(),
        };
        let mut names = self.names.borrow_mut();
        let known = names.iter().position(|(other, _)| *other == hash);
        let place = known.unwrap_or_else(|| {
            let own = [self.subject.der(), self.key_bits()];
            names.push((hash, own.map(digest)));
            names.len() - 1
        });
        let [own_subject, own_key] = &names[place].1;
        let is_spelt_so = || {
            let issuer = of.issuer().der();
            issuer != self.subject.der() && digest(issuer) == subject
        };
        own_key == key && (own_subject == subject || is_spelt_so())
    }

    /// The bits of its public key, without the algorithm.
    pub(crate) fn key_bits(&self) -> &[u8] {
        &self.certificate.public_key().subject_public_key.data
    }

    pub(crate) fn describe(&self, budget: &Budget) -> Result<Certificate, Malformed> {
        let names = [self.certificate.subject(), self.certificate.issuer()];
        let attributes = names.map(|name| name.iter_attributes().count());
        budget.spend(TELL_NS)?;
        budget.spend_each(attributes.iter().sum(), TELL_ATTRIBUTE_NS)?;
        budget.spend_each(self.der.len(), BYTE_NS)?;
        Ok(Certificate {
            subject: describe_name(self.certificate.subject()),
            issuer: describe_name(self.certificate.issuer()),
            serial: hex(self.certificate.raw_serial()),
            not_before_ms: self.not_before_ms(),
            not_after_ms: self.not_after_ms(),
            sha256: to_hex(self.sha256()),
            public_key_algorithm: oid::algorithm(
                self.certificate
                    .public_key()
                    .algorithm
                    .algorithm
                    .to_id_string(),
            ),
            key_usages: self.key_usages(),
            extended_key_usages: self.extended_key_usages().to_vec(),
            roles: self
                .extended_key_usages()
                .iter()
                .filter_map(|usage| role(usage))
                .collect(),
            iin: iin(self.certificate.subject()),
            bin: bin(self.certificate.subject()),
            der: self.der.to_vec(),
        })
    }
}

/// A usage of a certificate's key (RFC 5280 section 4.2.1.3). The usages are in the order of the bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display, EnumIter)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum KeyUsage {
    /// Signatures of anything but certificates and revocation lists.
    DigitalSignature,
    /// Signatures that commit their signer.
    NonRepudiation,
    /// Encryption of keys.
    KeyEncipherment,
    /// Encryption of data.
    DataEncipherment,
    /// Agreement on keys.
    KeyAgreement,
    /// Signatures of certificates.
    KeyCertSign,
    /// Signatures of certificate revocation lists.
    #[serde(rename = "cRLSign")]
    #[strum(serialize = "cRLSign")]
    CrlSign,
    /// Encryption only, with agreement on keys.
    EncipherOnly,
    /// Decryption only, with agreement on keys.
    DecipherOnly,
}

impl Parsed<'_> {
    /// The usages of its key, by the names of RFC 5280 section 4.2.1.3.
    fn key_usages(&self) -> Vec<KeyUsage> {
        let Ok(Some(usage)) = self.certificate.key_usage() else {
            return Vec::new();
        };
        let flags = usage.value.flags;
        let set = KeyUsage::iter().enumerate();
        set.filter(|(bit, _)| flags >> bit & 1 == 1)
            .map(|(_, usage)| usage)
            .collect()
    }

    /// OIDs of the extended usages of its key (RFC 5280 section 4.2.1.12).
    pub(crate) fn extended_key_usages(&self) -> &[String] {
        self.readable_usages().unwrap_or_default()
    }

    /// Whether its extended key usages are present and can't be read.
    pub(crate) fn has_unreadable_usages(&self) -> bool {
        self.readable_usages().is_none()
    }

    fn readable_usages(&self) -> Option<&[String]> {
        let usages = self.extended_key_usages.get_or_init(|| {
            let extensions = self.certificate.extensions().iter();
            let mut found = Vec::new();
            for extension in
                extensions.filter(|it| it.oid.to_id_string() == oid::EXTENDED_KEY_USAGE)
            {
                // Read from the encoding, since the parser keeps the usages that it knows apart from others.
                let list = Reader::new(extension.value).expect(Tag::Sequence, "");
                let mut usages = list.ok()?.inside();
                let before = found.len();
                while let Some(usage) = usages.next().ok()? {
                    found.push(usage.oid().ok()?);
                }
                // At least one must be present: an empty list could mean all usages or none.
                if found.len() == before {
                    return None;
                }
            }
            Some(found)
        });
        usages.as_deref()
    }
}

/// Describes a certificate in DER; none if `der` is not one.
pub fn describe_certificate(der: &[u8]) -> Option<Certificate> {
    describe_certificate_within(der, &Budget::new())
}

/// Like [`describe_certificate`], but spends from a budget; none also if that is exhausted.
pub fn describe_certificate_within(der: &[u8], budget: &Budget) -> Option<Certificate> {
    Parsed::from_der_within(der, budget)?.describe(budget).ok()
}

/// Reads and describes an encoded name.
pub(crate) fn read_name(der: &[u8], budget: &Budget) -> Result<Name, Malformed> {
    budget.spend_each(der.len(), BYTE_NS)?;
    let (_, name) =
        X509Name::from_der(der).map_err(|_| Malformed("a signer's issuer is not a name"))?;
    budget.spend_each(name.iter_attributes().count(), TELL_ATTRIBUTE_NS)?;
    Ok(describe_name(&name))
}
