//! The extensions of a certificate that matter for a path (RFC 5280 section 4.2), found in one pass.

use asn1_rs::{Class, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

use super::Malformed;
use super::ber::{Reader, Value};

/// Encoded values of the extensions of a certificate.
#[derive(Debug, Default)]
pub(crate) struct Extensions<'a> {
    pub(super) alternative_names: Option<&'a [u8]>,
    pub(super) name_constraints: Option<&'a [u8]>,
    pub(super) distribution_points: Option<&'a [u8]>,
    pub(super) policies: Option<&'a [u8]>,
    pub(super) policy_mappings: Option<&'a [u8]>,
    pub(super) policy_constraints: Option<&'a [u8]>,
    pub(super) inhibit_any_policy: Option<&'a [u8]>,
    /// Whether a critical extension is not supported, or can't be read (RFC 5280 section 4.2).
    pub(super) has_unknown_critical: bool,
    /// Whether an extension occurs twice (RFC 5280 section 4.2).
    pub(super) is_repeated: bool,
}

/// `id-ce`, `id-ce-nameConstraints`, `id-pe-authorityInfoAccess`, and `id-pe-qcStatements`.
const CE: &[u8] = &[0x55, 0x1d];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];
const AUTHORITY_INFORMATION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
const QC_STATEMENTS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 3];
/// `id-pkix-ocsp`.
const OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
/// OIDs, without their last numbers, of known statements that restrict nothing that is judged here: of RFC 3739 section
/// 3.2.6.1, ETSI EN 319 412-5 and ETSI EN 319 412-1 clause 5.1.
const KNOWN_STATEMENTS: [&[u8]; 3] = [
    &[0x2b, 6, 1, 5, 5, 7, 11],
    &[4, 0, 0x8e, 0x46, 1],
    &[4, 0, 0x8b, 0xec, 0x49, 1],
];

impl<'a> Extensions<'a> {
    pub(crate) fn of(certificate: &X509Certificate<'a>) -> Self {
        let mut found = Self::default();
        // A bit for each extension that occurred, by the last number of its OID. All known numbers are under 64.
        let mut seen = 0_u64;
        for extension in certificate.extensions() {
            let parsed = extension.parsed_extension();
            // Name constraints are read where they apply, including those that the library can't parse.
            found.has_unknown_critical |= extension.critical
                && matches!(parsed, ParsedExtension::ParseError { .. })
                && extension.oid.as_bytes() != NAME_CONSTRAINTS;
            let number = match extension.oid.as_bytes() {
                [a, b, number] if [*a, *b] == CE => *number,
                AUTHORITY_INFORMATION => continue,
                QC_STATEMENTS => {
                    // Each statement is as critical as the whole extension (RFC 3739 section 3.2.6).
                    found.has_unknown_critical |=
                        extension.critical && !has_known_statements(extension.value);
                    continue;
                }
                _ => {
                    found.has_unknown_critical |= extension.critical;
                    continue;
                }
            };
            let bit = 1_u64.checked_shl(number.into()).unwrap_or(0);
            found.is_repeated |= seen & bit != 0;
            seen |= bit;
            let value = Some(extension.value);
            match number {
                17 => found.alternative_names = value,
                30 => found.name_constraints = value,
                31 => found.distribution_points = value,
                32 => found.policies = value,
                33 => found.policy_mappings = value,
                36 => found.policy_constraints = value,
                54 => found.inhibit_any_policy = value,
                // Key identifiers, key usages and basic constraints are read where they are needed.
                14 | 15 | 19 | 35 | 37 => {}
                _ => found.has_unknown_critical |= extension.critical,
            }
        }
        found
    }
}

/// Whether `QCStatements` has only known statements.
fn has_known_statements(value: &[u8]) -> bool {
    let Ok(list) = Reader::new(value).expect(Tag::Sequence, "") else {
        return false;
    };
    let mut all = list.inside();
    loop {
        match all.next() {
            Ok(None) => return true,
            Ok(Some(statement)) if is_known_statement(&statement) => {}
            _ => return false,
        }
    }
}

fn is_known_statement(statement: &Value<'_>) -> bool {
    let kind = statement.inside().expect(Tag::Oid, "");
    kind.is_ok_and(|kind| {
        let arc = kind.content().split_last().map(|(_, arc)| arc);
        arc.is_some_and(|arc| KNOWN_STATEMENTS.contains(&arc))
    })
}

/// An extension of a revocation list, of its entry or of an OCSP response.
pub(super) struct Extension<'a> {
    /// The content of its OID.
    kind: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

impl<'a> Extension<'a> {
    pub(super) fn read(extension: &Value<'a>) -> Result<Self, Malformed> {
        let mut fields = extension.inside();
        let kind = fields.expect(Tag::Oid, "an extension has no type")?;
        let mut value = fields.next()?;
        let mut critical = false;
        if let Some(flag) = &value
            && flag.is(Class::Universal, Tag::Boolean.0)
        {
            critical = flag.content() != [0];
            value = fields.next()?;
        }
        let value = value.ok_or(Malformed("an extension has no value"))?;
        Ok(Self {
            kind: kind.content(),
            critical,
            value: value.content(),
        })
    }

    /// The last number of its OID, if RFC 5280 defines that.
    pub(super) fn number(&self) -> Option<u8> {
        self.last_of(CE)
    }

    /// The last number of its OID, if RFC 6960 defines that.
    pub(super) fn ocsp_number(&self) -> Option<u8> {
        self.last_of(OCSP)
    }

    fn last_of(&self, arc: &[u8]) -> Option<u8> {
        match self.kind.strip_prefix(arc) {
            Some([number]) => Some(*number),
            _ => None,
        }
    }

    /// The time that its value holds.
    pub(super) fn time_ms(&self) -> Option<i64> {
        Reader::new(self.value).next().ok()??.time_ms()
    }
}
