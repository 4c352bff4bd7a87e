//! Object identifiers and the names people know them by.

use super::Algorithm;

/// `id-signedData` (RFC 5652 section 5.1).
pub(crate) const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
/// `id-signingTime` (RFC 5652 section 11.3).
pub(crate) const SIGNING_TIME: &str = "1.2.840.113549.1.9.5";

/// `id-contentType` and `id-messageDigest` (RFC 5652 sections 11.1 and 11.2).
pub(crate) const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub(crate) const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
/// `id-countersignature` (RFC 5652 section 11.4).
pub(crate) const COUNTERSIGNATURE: &str = "1.2.840.113549.1.9.6";
/// `id-aa-signingCertificate` and its version 2 (RFC 5035).
pub(crate) const SIGNING_CERTIFICATE: &str = "1.2.840.113549.1.9.16.2.12";
pub(crate) const SIGNING_CERTIFICATE_V2: &str = "1.2.840.113549.1.9.16.2.47";
/// `id-aa-signatureTimeStampToken` (RFC 3161 appendix A).
pub(crate) const SIGNATURE_TIMESTAMP: &str = "1.2.840.113549.1.9.16.2.14";
/// Attributes of the later levels of CAdES (ETSI EN 319 122-1): revocation values and archive time stamps.
pub(crate) const REVOCATION_VALUES: &str = "1.2.840.113549.1.9.16.2.24";
pub(crate) const ARCHIVE_TIMESTAMPS: [&str; 3] = [
    ARCHIVE_TIMESTAMP_V3,
    ARCHIVE_TIMESTAMP_V2,
    "1.2.840.113549.1.9.16.2.27",
];
pub(crate) const ARCHIVE_TIMESTAMP_V3: &str = "0.4.0.1733.2.4";
pub(crate) const ARCHIVE_TIMESTAMP_V2: &str = "1.2.840.113549.1.9.16.2.48";
/// Indices of the data that an archive time stamp covers, latest version first (ETSI EN 319 122-1 clause 5.5.2).
pub(crate) const HASH_INDICES: [&str; 3] = [HASH_INDEX_V3, "0.4.0.19122.1.4", "0.4.0.1733.2.5"];
pub(crate) const HASH_INDEX_V3: &str = "0.4.0.19122.1.5";
/// `id-ct-TSTInfo` (RFC 3161 section 2.4.2).
pub(crate) const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
/// `id-data` (RFC 5652 section 4).
pub(crate) const DATA: &str = "1.2.840.113549.1.7.1";
/// Certificates that a signer adds (ETSI EN 319 122-1 clause A.1.1.2).
pub(crate) const CERTIFICATE_VALUES: &str = "1.2.840.113549.1.9.16.2.23";
/// Extended key usages for signatures of people: any usage, mail, documents, and documents by Microsoft's OID (RFC 5280
/// section 4.2.1.12, RFC 9336).
pub(crate) const SIGNING_USAGES: [&str; 4] = [
    "2.5.29.37.0",
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.36",
    "1.3.6.1.4.1.311.10.3.12",
];
/// Extended key usages of servers, and of machines and people that log in to them (RFC 5280 section 4.2.1.12).
pub(crate) const SERVER_AND_CLIENT: [&str; 2] = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];
/// `id-kp-timeStamping` and `id-kp-OCSPSigning` (RFC 5280 section 4.2.1.12).
pub(crate) const TIME_STAMPING: &str = "1.3.6.1.5.5.7.3.8";
pub(crate) const OCSP_SIGNING: &str = "1.3.6.1.5.5.7.3.9";
/// `id-pkix-ocsp-basic` (RFC 6960 section 4.2.1), and `id-ri-ocsp-response`, by which a CMS embeds a whole response (RFC 5940).
pub(crate) const OCSP_BASIC: &str = "1.3.6.1.5.5.7.48.1.1";
pub(crate) const OCSP_RESPONSE: &str = "1.3.6.1.5.5.7.16.2";
/// `id-ce-extKeyUsage` (RFC 5280 section 4.2.1.12).
pub(crate) const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
/// Attributes of names (X.520).
pub(crate) const SERIAL_NUMBER: &str = "2.5.4.5";
pub(crate) const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";

/// Digest, key and signature algorithms.
const ALGORITHMS: [(&str, &str); 66] = [
    ("1.2.840.113549.2.5", "MD5"),
    ("1.3.14.3.2.26", "SHA-1"),
    ("2.16.840.1.101.3.4.2.4", "SHA-224"),
    ("2.16.840.1.101.3.4.2.1", "SHA-256"),
    ("2.16.840.1.101.3.4.2.2", "SHA-384"),
    ("2.16.840.1.101.3.4.2.3", "SHA-512"),
    ("2.16.840.1.101.3.4.2.5", "SHA-512/224"),
    ("2.16.840.1.101.3.4.2.6", "SHA-512/256"),
    ("2.16.840.1.101.3.4.2.7", "SHA3-224"),
    ("2.16.840.1.101.3.4.2.8", "SHA3-256"),
    ("2.16.840.1.101.3.4.2.9", "SHA3-384"),
    ("2.16.840.1.101.3.4.2.10", "SHA3-512"),
    ("2.16.840.1.101.3.4.2.11", "SHAKE128"),
    ("2.16.840.1.101.3.4.2.12", "SHAKE256"),
    ("2.16.840.1.101.3.4.2.18", "SHAKE256"),
    ("1.3.36.3.2.1", "RIPEMD-160"),
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.113549.1.1.11", "RSA with SHA-256"),
    ("1.2.840.113549.1.1.12", "RSA with SHA-384"),
    ("1.2.840.113549.1.1.13", "RSA with SHA-512"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.2.840.113549.1.1.15", "RSA with SHA-512/224"),
    ("1.2.840.113549.1.1.16", "RSA with SHA-512/256"),
    ("2.16.840.1.101.3.4.3.13", "RSA with SHA3-224"),
    ("2.16.840.1.101.3.4.3.14", "RSA with SHA3-256"),
    ("2.16.840.1.101.3.4.3.15", "RSA with SHA3-384"),
    ("2.16.840.1.101.3.4.3.16", "RSA with SHA3-512"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("1.2.840.10045.2.1", "EC"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("2.16.840.1.101.3.4.3.9", "ECDSA with SHA3-224"),
    ("2.16.840.1.101.3.4.3.10", "ECDSA with SHA3-256"),
    ("2.16.840.1.101.3.4.3.11", "ECDSA with SHA3-384"),
    ("2.16.840.1.101.3.4.3.12", "ECDSA with SHA3-512"),
    ("1.3.6.1.5.5.7.6.32", "ECDSA with SHAKE128"),
    ("1.3.6.1.5.5.7.6.33", "ECDSA with SHAKE256"),
    ("0.4.0.127.0.7.1.1.4.1.1", "plain ECDSA with SHA-1"),
    ("0.4.0.127.0.7.1.1.4.1.2", "plain ECDSA with SHA-224"),
    ("0.4.0.127.0.7.1.1.4.1.3", "plain ECDSA with SHA-256"),
    ("0.4.0.127.0.7.1.1.4.1.4", "plain ECDSA with SHA-384"),
    ("0.4.0.127.0.7.1.1.4.1.5", "plain ECDSA with SHA-512"),
    ("0.4.0.127.0.7.1.1.4.1.8", "plain ECDSA with SHA3-224"),
    ("0.4.0.127.0.7.1.1.4.1.9", "plain ECDSA with SHA3-256"),
    ("0.4.0.127.0.7.1.1.4.1.10", "plain ECDSA with SHA3-384"),
    ("0.4.0.127.0.7.1.1.4.1.11", "plain ECDSA with SHA3-512"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    // Russia, RFC 9215.
    ("1.2.643.7.1.1.1.1", "GOST R 34.10-2012 (256)"),
    ("1.2.643.7.1.1.1.2", "GOST R 34.10-2012 (512)"),
    (
        "1.2.643.7.1.1.3.2",
        "GOST R 34.10-2012 (256) with GOST R 34.11-2012 (256)",
    ),
    (
        "1.2.643.7.1.1.3.3",
        "GOST R 34.10-2012 (512) with GOST R 34.11-2012 (512)",
    ),
    ("1.2.643.7.1.1.2.2", "GOST R 34.11-2012 (256)"),
    ("1.2.643.7.1.1.2.3", "GOST R 34.11-2012 (512)"),
    // Kazakhstan's national certification authority.
    ("1.2.398.3.10.1.1.1.1", "GOST 34.310-2004"),
    (
        "1.2.398.3.10.1.1.1.2",
        "GOST 34.310-2004 with GOST 34.311-95",
    ),
    ("1.2.398.3.10.1.1.2.2", "GOST R 34.10-2015 (512)"),
    (
        "1.2.398.3.10.1.1.2.3.2",
        "GOST R 34.10-2015 (512) with GOST R 34.11-2015 (512)",
    ),
    ("1.2.398.3.10.1.3.3", "GOST R 34.11-2015 (512)"),
];

/// Types of name attributes (RFC 4519, RFC 5280 appendix A), with their usual short names.
const NAME_ATTRIBUTES: [(&str, &str); 20] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The algorithm of an OID.
pub(crate) fn algorithm(oid: String) -> Algorithm {
    Algorithm {
        name: look_up(&ALGORITHMS, &oid),
        oid,
    }
}

/// The short name of a type of name attribute.
pub(crate) fn name_attribute(oid: &str) -> Option<&'static str> {
    look_up(&NAME_ATTRIBUTES, oid)
}

/// The dotted form of an OID, from the content of its encoding (X.690 section 8.19). None if a number has more than the
/// 128 bits of a UUID (X.667), or is cut off.
pub(crate) fn dotted(content: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc = 0_u128;
    for byte in content {
        arc = arc.checked_mul(0x80)? + u128::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                // The first number encodes two: the first of these is 0, 1 or 2, and the second is under 40 unless the
                // first is 2.
                let first = (arc / 40).min(2);
                arcs.push(first.to_string());
                arc -= 40 * first;
            }
            arcs.push(arc.to_string());
            arc = 0;
        }
    }
    let is_whole = content.last().is_some_and(|last| last & 0x80 == 0);
    is_whole.then(|| arcs.join("."))
}

fn look_up(table: &[(&str, &'static str)], oid: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(known, _)| *known == oid)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_of_any_kind_are_read() {
        let uuid = [&[0x69, 0x83][..], &[0xff; 17], &[0x7f]].concat();
        let too_large = [&[0x69, 0x84][..], &[0x80; 17], &[0]].concat();
        for (content, text) in [
            (&[0x2a, 0x86][..], None),
            (&[0x2a, 0x86, 0x48, 1], Some("1.2.840.1")),
            (&[0x55, 0x1d, 0x20, 0], Some("2.5.29.32.0")),
            (&[0x88, 0x37, 1], Some("2.999.1")),
            (&uuid, Some("2.25.340282366920938463463374607431768211455")),
            (&too_large, None),
            (&[], None),
        ] {
            assert_eq!(dotted(content).as_deref(), text, "{content:x?}");
        }
    }
}
