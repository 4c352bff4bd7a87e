//! Certificates that a CMS embeds (RFC 5280).

use asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Name;

use super::ber::{Reader, hex};
use super::name::describe_name;
use super::person::Person;
use super::{Certificate, InspectError, Name, oid};

/// An embedded certificate, and its encoding.
#[derive(Debug)]
pub(super) struct Embedded<'a> {
    certificate: X509Certificate<'a>,
    der: &'a [u8],
}

impl<'a> Embedded<'a> {
    /// Reads a `CertificateSet`. Attribute certificates and what can't be read are passed over: they name no signer.
    pub(super) fn read_all(
        mut certificates: Reader<'a>,
        max: usize,
    ) -> Result<Vec<Self>, InspectError> {
        let mut all = Vec::new();
        while let Some(value) = certificates.next()? {
            if all.len() == max {
                return Err(InspectError::Malformed(
                    "it has too many certificates to read",
                ));
            }
            if value.is_sequence() {
                all.extend(Self::from_der(value.raw));
            }
        }
        Ok(all)
    }

    /// A certificate by itself, in DER; none where it is none.
    pub(super) fn from_der(der: &'a [u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let der = der.get(..der.len() - rest.len())?;
        Some(Self { certificate, der })
    }

    /// Its encoding.
    pub(super) fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Encoding of the parameters of the algorithm that it is signed with.
    pub(super) fn signature_parameters(&self) -> Option<&'a [u8]> {
        // Certificate { tbsCertificate, signatureAlgorithm { OID, parameters }, … }
        let mut fields = Reader::new(self.der).next().ok()??.inside();
        fields.next().ok()??;
        let mut algorithm = fields.next().ok()??.inside();
        algorithm.next().ok()??;
        Some(algorithm.next().ok()??.raw)
    }

    /// The certificate, taken apart.
    pub(super) fn x509(&self) -> &X509Certificate<'a> {
        &self.certificate
    }

    /// Whether this is the certificate of that issuer, as encoded, and serial number.
    pub(super) fn is(&self, issuer: &[u8], serial: &[u8]) -> bool {
        self.certificate.issuer().as_raw() == issuer && self.certificate.raw_serial() == serial
    }

    /// Whether the certificate names its key so (RFC 5280 section 4.2.1.2).
    pub(super) fn has_key_identifier(&self, identifier: &[u8]) -> bool {
        self.certificate.extensions().iter().any(|extension| {
            matches!(extension.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(own) if own.0 == identifier)
        })
    }

    pub(super) fn describe(&self) -> Result<Certificate, InspectError> {
        let validity = self.certificate.validity();
        Ok(Certificate {
            subject: describe_name(self.certificate.subject()),
            issuer: describe_name(self.certificate.issuer()),
            serial: hex(self.certificate.raw_serial()),
            not_before_ms: validity.not_before.timestamp().saturating_mul(1000),
            not_after_ms: validity.not_after.timestamp().saturating_mul(1000),
            sha256: crate::digest::to_hex(&crate::digest::sha256(self.der)),
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

impl Embedded<'_> {
    /// What its key is for (RFC 5280 section 4.2.1.3), by the names there.
    fn key_usages(&self) -> Vec<&'static str> {
        const NAMES: [&str; 9] = [
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
        let Ok(Some(usage)) = self.certificate.key_usage() else {
            return Vec::new();
        };
        let flags = usage.value.flags;
        let set = NAMES.iter().enumerate();
        set.filter(|(bit, _)| flags >> bit & 1 == 1)
            .map(|(_, name)| *name)
            .collect()
    }

    /// OIDs of what else its key is for (RFC 5280 section 4.2.1.12).
    fn extended_key_usages(&self) -> Vec<String> {
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
    Embedded::from_der(der)?.describe().ok()
}

/// Reads an encoded name by itself.
pub(super) fn read_name(der: &[u8]) -> Result<Name, InspectError> {
    let (_, name) = X509Name::from_der(der)
        .map_err(|_| InspectError::Malformed("a signer's issuer is no name"))?;
    Ok(describe_name(&name))
}
