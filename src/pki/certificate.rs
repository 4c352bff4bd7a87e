//! Certificates (RFC 5280).

use std::cell::{OnceCell, RefCell};

use asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Name;

use super::algorithm::AlgorithmIdentifier;
use super::ber::{Reader, hex};
use super::hash::Hash;
use super::name::describe_name;
use super::person::Person;
use super::public_key;
use super::work::{Sha256, Work};
use super::{Certificate, Malformed, Name, oid};
use crate::digest::{sha256, to_hex};

/// A certificate, taken apart, and its encoding.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    certificate: X509Certificate<'a>,
    der: &'a [u8],
    sha256: OnceCell<Sha256>,
    key_identifier: Option<&'a [u8]>,
    /// Digests of its subject and key, by which answers about revocation name it.
    names: RefCell<Vec<(Hash, [Vec<u8>; 2])>>,
}

/// Largest certificate that is read, in bytes; the largest that are in use have a tenth of it.
const MAX_BYTES: usize = 64 * 1024;

impl<'a> Parsed<'a> {
    /// Reads a `CertificateSet`. Attribute certificates and what can't be read are passed over: they name no signer.
    pub(crate) fn read_all(
        mut certificates: Reader<'a>,
        max: usize,
    ) -> Result<Vec<Self>, Malformed> {
        let mut all = Vec::new();
        while let Some(value) = certificates.next()? {
            if all.len() == max {
                return Err(Malformed("it has too many certificates to read"));
            }
            if value.is_sequence() {
                all.extend(Self::from_der(value.raw));
            }
        }
        Ok(all)
    }

    /// A certificate by itself, in DER; none where it is none.
    pub(crate) fn from_der(der: &'a [u8]) -> Option<Self> {
        let value = Reader::new(der).next().ok()??;
        if value.raw.len() > MAX_BYTES {
            return None;
        }
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let der = der.get(..der.len() - rest.len())?;
        let key_identifier = certificate
            .extensions()
            .iter()
            .find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(own) => Some(own.0),
                _ => None,
            });
        Some(Self {
            certificate,
            der,
            sha256: OnceCell::new(),
            key_identifier,
            names: RefCell::default(),
        })
    }

    /// Its encoding.
    pub(crate) fn der(&self) -> &'a [u8] {
        self.der
    }

    /// SHA-256 of its encoding.
    pub(crate) fn sha256(&self) -> &Sha256 {
        self.sha256.get_or_init(|| sha256(self.der))
    }

    /// Whether it is valid at this time, in milliseconds since 1970.
    pub(crate) fn is_valid(&self, time_ms: i64) -> bool {
        (self.not_before_ms()..=self.not_after_ms()).contains(&time_ms)
    }

    /// Until when it is valid, in milliseconds since 1970.
    pub(crate) fn not_after_ms(&self) -> i64 {
        let end = self.certificate.validity().not_after;
        end.timestamp().saturating_mul(1000)
    }

    fn not_before_ms(&self) -> i64 {
        let begin = self.certificate.validity().not_before;
        begin.timestamp().saturating_mul(1000)
    }

    /// Whether its key may sign, by its key usages if it has any (RFC 5280 section 4.2.1.3): as what is asked, which is given
    /// digitalSignature and nonRepudiation.
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

    /// Whether its signature, though it may hold, proves nothing today, where this is who issued it.
    pub(crate) fn is_weakly_issued_by(&self, issuer: &Parsed<'_>) -> bool {
        let key = issuer.x509().public_key();
        let algorithm = self.signature_algorithm();
        algorithm.is_none_or(|algorithm| public_key::is_weak(key, &algorithm, None))
    }

    /// Whether this certificate's key has signed something.
    pub(crate) fn has_signed(
        &self,
        algorithm: &AlgorithmIdentifier<'_>,
        message: &[u8],
        signature: &[u8],
        work: &Work,
    ) -> bool {
        let key = self.certificate.public_key();
        public_key::verify(key, algorithm, None, message, signature, work) == Ok(true)
    }

    /// Whether this one's key has signed that certificate, and this one's subject is that one's issuer.
    pub(crate) fn has_issued(&self, of: &Parsed<'_>, work: &Work) -> bool {
        let x509 = of.x509();
        let names = self.certificate.subject().as_raw() == x509.issuer().as_raw();
        names
            && work.issued(self.sha256(), of.sha256(), || {
                let signature = &x509.signature_value.data;
                of.signature_algorithm().is_some_and(|algorithm| {
                    self.has_signed(&algorithm, x509.tbs_certificate.as_ref(), signature, work)
                })
            })
    }

    /// What it is signed with.
    pub(crate) fn signature_algorithm(&self) -> Option<AlgorithmIdentifier<'a>> {
        // Certificate { tbsCertificate, signatureAlgorithm, signature }
        let mut fields = Reader::new(self.der).next().ok()??.inside();
        fields.next().ok()??;
        AlgorithmIdentifier::read(&fields.next().ok()??).ok()
    }

    /// The certificate, taken apart.
    pub(crate) fn x509(&self) -> &X509Certificate<'a> {
        &self.certificate
    }

    /// Whether this is the certificate of that issuer, as encoded, and serial number.
    pub(crate) fn is(&self, issuer: &[u8], serial: &[u8]) -> bool {
        self.certificate.issuer().as_raw() == issuer && self.certificate.raw_serial() == serial
    }

    /// Whether the certificate names its key so (RFC 5280 section 4.2.1.2).
    pub(crate) fn has_key_identifier(&self, identifier: &[u8]) -> bool {
        self.key_identifier == Some(identifier)
    }

    /// Whether these are the digests of its subject and its key (RFC 6960 section 4.1.1).
    pub(crate) fn is_named(&self, hash: Hash, subject: &[u8], key: &[u8]) -> bool {
        let mut names = self.names.borrow_mut();
        let known = names.iter().position(|(other, _)| *other == hash);
        let place = known.unwrap_or_else(|| {
            let own = [self.certificate.subject().as_raw(), self.key_bits()];
            names.push((hash, own.map(|bytes| hash.digest(bytes))));
            names.len() - 1
        });
        let [own_subject, own_key] = &names[place].1;
        own_subject == subject && own_key == key
    }

    /// Its key, without what it is of.
    pub(crate) fn key_bits(&self) -> &[u8] {
        &self.certificate.public_key().subject_public_key.data
    }

    pub(crate) fn describe(&self) -> Result<Certificate, Malformed> {
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
            extended_key_usages: self.extended_key_usages(),
            person: Person::of(self.certificate.subject()),
        })
    }
}

/// What a key may be for (RFC 5280 section 4.2.1.3), in the order of the bits.
pub const KEY_USAGES: &[&str] = &[
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

impl Parsed<'_> {
    /// What its key is for (RFC 5280 section 4.2.1.3), by the names there.
    fn key_usages(&self) -> Vec<&'static str> {
        let Ok(Some(usage)) = self.certificate.key_usage() else {
            return Vec::new();
        };
        let flags = usage.value.flags;
        let set = KEY_USAGES.iter().enumerate();
        set.filter(|(bit, _)| flags >> bit & 1 == 1)
            .map(|(_, name)| *name)
            .collect()
    }

    /// OIDs of what else its key is for (RFC 5280 section 4.2.1.12).
    pub(crate) fn extended_key_usages(&self) -> Vec<String> {
        let mut found = Vec::new();
        for extension in self.certificate.extensions() {
            if extension.oid.to_id_string() != oid::EXTENDED_KEY_USAGE {
                continue;
            }
            // As encoded, since the reader of certificates keeps apart those that it knows.
            if let Ok(Some(usages)) = Reader::new(extension.value).next() {
                let mut usages = usages.inside();
                while let Ok(Some(usage)) = usages.next() {
                    found.extend(usage.oid());
                }
            }
        }
        found
    }
}

/// A certificate by itself, in DER; none where it is none.
pub fn describe_certificate(der: &[u8]) -> Option<Certificate> {
    Parsed::from_der(der)?.describe().ok()
}

/// Reads an encoded name by itself.
pub(crate) fn read_name(der: &[u8]) -> Result<Name, Malformed> {
    let (_, name) =
        X509Name::from_der(der).map_err(|_| Malformed("a signer's issuer is no name"))?;
    Ok(describe_name(&name))
}
