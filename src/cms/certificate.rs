//! Certificates that a CMS embeds (RFC 5280).

use asn1_rs::FromDer as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::X509Name;

use super::ber::{Reader, hex};
use super::name::describe_name;
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
            if value.is_sequence()
                && let Ok((_, certificate)) = X509Certificate::from_der(value.raw)
            {
                all.push(Self {
                    certificate,
                    der: value.raw,
                });
            }
        }
        Ok(all)
    }

    /// Size of its encoding, in bytes.
    pub(super) fn len(&self) -> usize {
        self.der.len()
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
        })
    }
}

/// Reads an encoded name by itself.
pub(super) fn read_name(der: &[u8]) -> Result<Name, InspectError> {
    let (_, name) = X509Name::from_der(der)
        .map_err(|_| InspectError::Malformed("a signer's issuer is no name"))?;
    Ok(describe_name(&name))
}
