//! The person or organisation that a certificate of Kazakhstan's national certification authority names, by its rules
//! for subjects.

use x509_parser::x509::X509Name;

use super::oid;

/// Number of digits of an IIN and of a BIN.
const DIGITS: usize = 12;

/// The individual identification number of a subject (`serialNumber=IIN…`).
pub(super) fn iin(subject: &X509Name<'_>) -> Option<String> {
    number(subject, oid::SERIAL_NUMBER, "IIN")
}

/// The business identification number of a subject (`OU=BIN…`).
pub(super) fn bin(subject: &X509Name<'_>) -> Option<String> {
    number(subject, oid::ORGANIZATIONAL_UNIT, "BIN")
}

fn number(subject: &X509Name<'_>, oid: &str, prefix: &str) -> Option<String> {
    let mut attributes = subject.iter_attributes();
    attributes.find_map(|attribute| {
        if attribute.attr_type().to_id_string() != oid {
            return None;
        }
        let digits = attribute.as_str().ok()?.strip_prefix(prefix)?;
        let whole = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        whole.then(|| digits.to_owned())
    })
}

/// The role that an extended key usage of the authority stands for.
pub(super) fn role(extended_key_usage: &str) -> Option<&'static str> {
    Some(match extended_key_usage {
        "1.2.398.3.3.4.1.1" => "individual",
        "1.2.398.3.3.4.1.2" => "organisation",
        "1.2.398.3.3.4.1.2.1" => "chief executive",
        "1.2.398.3.3.4.1.2.2" => "right to sign",
        "1.2.398.3.3.4.1.2.3" => "right to sign finance",
        "1.2.398.3.3.4.1.2.4" => "personnel",
        "1.2.398.3.3.4.1.2.5" => "employee",
        _ => return None,
    })
}
