//! From a certificate to somebody who is trusted (RFC 5280 section 6, without policies and constraints of names).

use super::certificate::Embedded;
use super::public_key;
use super::signed_data::AlgorithmIdentifier;

/// Longest chain, anchor included.
const MAX_LENGTH: usize = 8;
/// Most signatures that are verified for one chain: certificates that name one another could make it long.
const MAX_SIGNATURES: usize = 64;

/// Certificates that are trusted.
#[derive(Debug, Clone, Default)]
pub struct Anchors(Vec<Vec<u8>>);

impl Anchors {
    /// Those of DER encodings, of which what is no certificate is left out.
    pub fn new(encodings: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let encodings = encodings.into_iter();
        Self(
            encodings
                .filter(|der| Embedded::from_der(der).is_some())
                .collect(),
        )
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn certificates(&self) -> impl Iterator<Item = Embedded<'_>> {
        self.0.iter().filter_map(|der| Embedded::from_der(der))
    }
}

/// What became of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chain {
    /// Nobody is trusted, so nothing was judged.
    NotJudged,
    /// It ends with a trusted certificate. All of it is valid from the first to the second of these, in milliseconds since
    /// 1970.
    Trusted(i64, i64),
    /// It ends nowhere.
    Untrusted,
}

/// Looks for a chain from a certificate over embedded ones to a trusted one.
pub(super) fn find(of: &Embedded<'_>, embedded: &[&Embedded<'_>], anchors: &Anchors) -> Chain {
    if anchors.is_empty() {
        return Chain::NotJudged;
    }
    let anchors: Vec<_> = anchors.certificates().collect();
    let mut left = MAX_SIGNATURES;
    match climb(of, embedded, &anchors, MAX_LENGTH, &mut left) {
        Some((begin, end)) => Chain::Trusted(begin, end),
        None => Chain::Untrusted,
    }
}

fn climb(
    of: &Embedded<'_>,
    embedded: &[&Embedded<'_>],
    anchors: &[Embedded<'_>],
    length: usize,
    left: &mut usize,
) -> Option<(i64, i64)> {
    let (begin, end) = validity_ms(of);
    if anchors.iter().any(|anchor| anchor.der() == of.der()) {
        return Some((begin, end));
    }
    if length == 0 {
        return None;
    }
    for issuer in anchors.iter().chain(embedded.iter().copied()) {
        let x509 = issuer.x509();
        let names = x509.subject().as_raw() == of.x509().issuer().as_raw();
        if !names || issuer.der() == of.der() || !may_issue(issuer) || *left == 0 {
            continue;
        }
        *left -= 1;
        if !has_issued(issuer, of) {
            continue;
        }
        if let Some((from, until)) = climb(issuer, embedded, anchors, length - 1, left) {
            return Some((begin.max(from), end.min(until)));
        }
    }
    None
}

/// Whether a certificate says that its key may sign others (RFC 5280 sections 4.2.1.3 and 4.2.1.9).
fn may_issue(certificate: &Embedded<'_>) -> bool {
    let x509 = certificate.x509();
    let signs = match x509.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    signs && x509.is_ca()
}

/// Whether a certificate's signature is that of this issuer.
fn has_issued(issuer: &Embedded<'_>, of: &Embedded<'_>) -> bool {
    let x509 = of.x509();
    let algorithm = AlgorithmIdentifier {
        oid: x509.signature_algorithm.algorithm.to_id_string(),
        parameters: of.signature_parameters(),
    };
    public_key::verify(
        issuer.x509().public_key(),
        &algorithm,
        None,
        x509.tbs_certificate.as_ref(),
        &x509.signature_value.data,
    ) == Ok(true)
}

fn validity_ms(certificate: &Embedded<'_>) -> (i64, i64) {
    let validity = certificate.x509().validity();
    let ms = |seconds: i64| seconds.saturating_mul(1000);
    (
        ms(validity.not_before.timestamp()),
        ms(validity.not_after.timestamp()),
    )
}
