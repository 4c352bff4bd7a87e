//! Constraints of an authority on the names of the certificates below it (RFC 5280 section 4.2.1.10).
//!
//! Names of the forms directoryName, rfc822Name, dNSName, URI and iPAddress are compared. If a constraint has another
//! form and a certificate has a name of that form, they can't be compared, and the certificate is refused.

use asn1_rs::{Class, Tag};

use super::ber::{Reader, Value};
use super::budget::Budget;
use super::certificate::Parsed;
use super::general_name::{DIRECTORY_NAME, DNS_NAME, GeneralName, IP_ADDRESS, RFC822_NAME, URI};

/// Cost of comparing a name with a constraint, besides preparing either.
const COMPARE_NS: u64 = 100;
const BYTE_NS: u64 = 4;
/// Cost of looking at the form of a constraint.
const FORM_NS: u64 = 5;
/// Cost of reading a name or a constraint.
const READ_NS: u64 = 500;

/// A violation of name constraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// An extension can't be read, or a constraint uses `minimum` or `maximum`.
    Unreadable,
    /// A certificate has a name that an authority excludes, or does not permit.
    NotPermitted,
    /// A certificate has a name of a constrained form that can't be compared.
    Unknown,
    /// The budget is exhausted.
    Exhausted,
}

/// The constraints of a path's authorities so far, one set for each authority that has some.
#[derive(Debug, Default)]
pub(super) struct NameConstraints<'a>(Vec<Subtrees<'a>>);

/// The `NameConstraints` of one authority.
#[derive(Debug, Default)]
struct Subtrees<'a> {
    permitted: Vec<GeneralName<'a>>,
    excluded: Vec<GeneralName<'a>>,
}

impl<'a> NameConstraints<'a> {
    /// Adds the constraints of an authority.
    pub(super) fn add(&mut self, value: &'a [u8], budget: &Budget) -> Result<(), Wrong> {
        budget
            .spend_each(value.len(), BYTE_NS)
            .map_err(|_| Wrong::Exhausted)?;
        let list = Reader::new(value).expect(Tag::Sequence, "");
        let mut fields = list.map_err(|_| Wrong::Unreadable)?.inside();
        let mut subtrees = Subtrees::default();
        while let Some(field) = fields.next().map_err(|_| Wrong::Unreadable)? {
            let side = if field.is(Class::ContextSpecific, 0) {
                &mut subtrees.permitted
            } else if field.is(Class::ContextSpecific, 1) {
                &mut subtrees.excluded
            } else {
                return Err(Wrong::Unreadable);
            };
            let mut all = field.inside();
            while let Some(one) = all.next().map_err(|_| Wrong::Unreadable)? {
                budget.spend(READ_NS).map_err(|_| Wrong::Exhausted)?;
                side.push(read_subtree(&one).ok_or(Wrong::Unreadable)?);
            }
            // `GeneralSubtrees` has at least one member: without any, it could mean all names or none.
            if side.is_empty() {
                return Err(Wrong::Unreadable);
            }
        }
        // At least one of the two must be present (RFC 5280 section 4.2.1.10).
        if subtrees.permitted.is_empty() && subtrees.excluded.is_empty() {
            return Err(Wrong::Unreadable);
        }
        self.0.push(subtrees);
        Ok(())
    }

    /// Checks that all authorities above a certificate permit all of its names.
    pub(super) fn check(
        &self,
        certificate: &Parsed<'_>,
        alternative_names: Option<&[u8]>,
        budget: &Budget,
    ) -> Result<(), Wrong> {
        if self.0.is_empty() {
            return Ok(());
        }
        let subject = GeneralName::directory(certificate.subject().der());
        let subject_bytes = subject.bytes().len();
        let mut names = vec![subject];
        if let Some(value) = alternative_names {
            budget
                .spend_each(value.len(), BYTE_NS)
                .map_err(|_| Wrong::Exhausted)?;
            let list = Reader::new(value).expect(Tag::Sequence, "");
            let mut all = list.map_err(|_| Wrong::Unreadable)?.inside();
            while let Some(one) = all.next().map_err(|_| Wrong::Unreadable)? {
                budget.spend(READ_NS).map_err(|_| Wrong::Exhausted)?;
                names.push(GeneralName::read(&one).ok_or(Wrong::Unreadable)?);
                names.extend(GeneralName::read_utf8_mailbox(&one));
            }
        }
        // Without an rfc822Name, a mail address in the subject counts as one. RFC 5280 asks for that only if there are
        // no alternative names at all, which a name of any other form would evade.
        if !names.iter().any(|it| it.form() == RFC822_NAME) {
            budget
                .spend_each(subject_bytes, BYTE_NS)
                .map_err(|_| Wrong::Exhausted)?;
            for address in certificate.x509().subject().iter_email() {
                budget.spend(READ_NS).map_err(|_| Wrong::Exhausted)?;
                let value = address.attr_value();
                let is_readable =
                    [Tag::Ia5String, Tag::Utf8String, Tag::PrintableString].contains(&value.tag());
                // An address in another encoding is not a mailbox, and can't be compared.
                let text = if is_readable { value.data } else { &[] };
                names.push(GeneralName::text(RFC822_NAME, text));
            }
        }
        for name in &names {
            for subtrees in &self.0 {
                subtrees.check(name, budget)?;
            }
        }
        Ok(())
    }
}

impl Subtrees<'_> {
    fn check(&self, name: &GeneralName<'_>, budget: &Budget) -> Result<(), Wrong> {
        let all = self.permitted.len() + self.excluded.len();
        budget
            .spend_each(2 * all, FORM_NS)
            .map_err(|_| Wrong::Exhausted)?;
        // An empty subject is not a name.
        if name.is_empty_directory() {
            return Ok(());
        }
        let of_form = |all: &'_ [GeneralName<'_>]| all.iter().any(|it| it.form() == name.form());
        for excluded in self.excluded.iter().filter(|it| it.form() == name.form()) {
            if matches(name, excluded, true, budget)? {
                return Err(Wrong::NotPermitted);
            }
        }
        if !of_form(&self.permitted) {
            return Ok(());
        }
        for permitted in self.permitted.iter().filter(|it| it.form() == name.form()) {
            if matches(name, permitted, false, budget)? {
                return Ok(());
            }
        }
        Err(Wrong::NotPermitted)
    }
}

/// Reads a `GeneralSubtree`, whose `minimum` must be 0 and `maximum` absent.
fn read_subtree<'a>(subtree: &Value<'a>) -> Option<GeneralName<'a>> {
    let mut fields = subtree.inside();
    let base = GeneralName::read(&fields.next().ok()??)?;
    let minimum = fields.optional(0).ok()?;
    let is_zero = minimum.is_none_or(|minimum| minimum.content() == [0]);
    let rest = fields.next().ok()?;
    (is_zero && rest.is_none()).then_some(base)
}

/// Whether a name is in the subtree of a base of the same form. A name that can't be compared is an error.
fn matches(
    name: &GeneralName<'_>,
    base: &GeneralName<'_>,
    excludes: bool,
    budget: &Budget,
) -> Result<bool, Wrong> {
    let bytes = name.bytes().len() + base.bytes().len();
    budget
        .spend(COMPARE_NS + bytes as u64 * BYTE_NS)
        .map_err(|_| Wrong::Exhausted)?;
    let text = |name: &GeneralName<'_>| {
        let text = std::str::from_utf8(name.bytes()).ok();
        let text = text.filter(|text| text.is_ascii());
        text.map(str::to_ascii_lowercase).ok_or(Wrong::Unknown)
    };
    let host_of = |base: &GeneralName<'_>| {
        let mut host = text(base)?;
        trim_root(&mut host);
        Ok(host)
    };
    match name.form() {
        DIRECTORY_NAME => base
            .contains_directory(name, budget)
            .ok_or(Wrong::Exhausted),
        RFC822_NAME => {
            let (local, host) = mailbox(name.bytes()).ok_or(Wrong::Unknown)?;
            match mailbox(base.bytes()) {
                // A single mailbox, whose local part is compared exactly.
                Some((own, at)) => Ok(own == local && at == host),
                None if base.bytes().contains(&b'@') => Err(Wrong::Unknown),
                None => Ok(is_host_in(&host, &host_of(base)?)),
            }
        }
        DNS_NAME => {
            let (name, base) = (host_of(name)?, host_of(base)?);
            let own = name.strip_prefix("*.").unwrap_or(&name);
            host_name(own).ok_or(Wrong::Unknown)?;
            if !excludes {
                return Ok(is_domain_in(&name, &base));
            }
            // RFC 5280 defines no leading period. An authority that excludes a name with one may also mean the domain
            // itself. A wildcard may stand for an excluded name.
            let base = base.strip_prefix('.').unwrap_or(&base);
            Ok(is_domain_in(&name, base) || (own != name && is_domain_in(base, own)))
        }
        URI => {
            let host = host(&text(name)?).ok_or(Wrong::Unknown)?;
            Ok(is_host_in(&host, &host_of(base)?))
        }
        IP_ADDRESS => {
            let (address, base) = (name.bytes(), base.bytes());
            let (own, mask) = base.split_at_checked(base.len() / 2).unwrap_or_default();
            let is_address = |bytes: &[u8]| [4, 16].contains(&bytes.len());
            if own.len() != mask.len() || !is_address(own) || !is_address(address) {
                return Err(Wrong::Unreadable);
            }
            let mut bytes = address.iter().zip(own).zip(mask);
            Ok(address.len() == own.len()
                && bytes.all(|((address, own), mask)| address & mask == own & mask))
        }
        _ => Err(Wrong::Unknown),
    }
}

/// The local part and the host of a mailbox, the host in lower case.
fn mailbox(address: &[u8]) -> Option<(&str, String)> {
    let address = std::str::from_utf8(address).ok()?;
    let (local, host) = address.rsplit_once('@')?;
    let host = host_name(host)?;
    // Only a quoted local part may contain another `@` (RFC 5321 section 4.1.2).
    let is_local = !local.is_empty() && (!local.contains('@') || local.starts_with('"'));
    is_local.then_some((local, host))
}

/// Whether a domain is `base` or below it. If `base` begins with a period, only domains below it count.
fn is_domain_in(name: &str, base: &str) -> bool {
    let above = name.strip_suffix(base);
    base.is_empty()
        || above.is_some_and(|above| {
            if base.starts_with('.') {
                !above.is_empty()
            } else {
                above.is_empty() || above.ends_with('.')
            }
        })
}

/// Whether a host is `base` or, if `base` begins with a period, a host within that domain. An empty `base` contains
/// every host.
fn is_host_in(host: &str, base: &str) -> bool {
    if base.starts_with('.') {
        host.len() > base.len() && host.ends_with(base)
    } else {
        host == base || base.is_empty()
    }
}

/// The host of a URI, which must be a name (RFC 5280 section 4.2.1.10).
fn host(uri: &str) -> Option<String> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?;
    let is_name = host.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_name.then(|| host_name(host))?
}

/// A host name in one spelling. None if it has other characters, such as percent signs or brackets: it may stand for
/// another host.
fn host_name(text: &str) -> Option<String> {
    let mut name = text.to_ascii_lowercase();
    trim_root(&mut name);
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || [b'-', b'_'].contains(&byte);
    let mut labels = name.split('.');
    labels
        .all(|label| !label.is_empty() && label.bytes().all(is_usual))
        .then_some(name)
}

/// Removes the period at the end of a name, which stands for the root of all domains.
fn trim_root(name: &mut String) {
    if name.ends_with('.') {
        name.pop();
    }
}
