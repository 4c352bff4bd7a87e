//! Which names an authority lets those below it have (RFC 5280 section 4.2.1.10).
//!
//! Names of the forms directoryName, rfc822Name, dNSName, URI and iPAddress are compared. If a constraint is of another form and a
//! certificate has a name of that form, nothing can be said, and the certificate is refused.

use asn1_rs::{Class, Tag};

use super::ber::{Reader, Value};
use super::certificate::Parsed;
use super::general_name::{DIRECTORY_NAME, DNS_NAME, GeneralName, IP_ADDRESS, RFC822_NAME, URI};
use super::work::Work;

/// What it costs to compare a name with a constraint, besides preparing either.
const COMPARE_NS: u64 = 100;
const BYTE_NS: u64 = 4;
/// What it costs to look at the form of a constraint.
const FORM_NS: u64 = 5;
/// What it costs to read a name or a constraint.
const READ_NS: u64 = 500;

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The extension can't be read, or restricts names by more than their beginnings (`minimum`, `maximum`).
    Unreadable,
    /// A certificate has a name that an authority excludes, or does not permit.
    NotPermitted,
    /// A certificate has a name of a form that is restricted and can't be compared.
    Unknown,
    /// The work is exhausted.
    Exhausted,
}

/// What the authorities of a path so far restrict, one set for each that does.
#[derive(Debug, Default)]
pub(super) struct NameConstraints<'a>(Vec<Subtrees<'a>>);

/// `NameConstraints`.
#[derive(Debug, Default)]
struct Subtrees<'a> {
    permitted: Vec<GeneralName<'a>>,
    excluded: Vec<GeneralName<'a>>,
}

impl<'a> NameConstraints<'a> {
    /// Takes the constraints of an authority.
    pub(super) fn add(&mut self, value: &'a [u8], work: &Work) -> Result<(), Wrong> {
        work.spend_each(value.len(), BYTE_NS)
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
                work.spend(READ_NS).map_err(|_| Wrong::Exhausted)?;
                side.push(read_subtree(&one).ok_or(Wrong::Unreadable)?);
            }
            // `GeneralSubtrees` has at least one: without any, it could mean all or none.
            if side.is_empty() {
                return Err(Wrong::Unreadable);
            }
        }
        // One of both is there (RFC 5280 section 4.2.1.10).
        if subtrees.permitted.is_empty() && subtrees.excluded.is_empty() {
            return Err(Wrong::Unreadable);
        }
        self.0.push(subtrees);
        Ok(())
    }

    /// Whether a certificate has only names that all authorities above it permit.
    pub(super) fn check(
        &self,
        certificate: &Parsed<'_>,
        alternative_names: Option<&[u8]>,
        work: &Work,
    ) -> Result<(), Wrong> {
        if self.0.is_empty() {
            return Ok(());
        }
        let subject = GeneralName::directory(certificate.subject().der());
        let subject_bytes = subject.bytes().len();
        let mut names = vec![subject];
        if let Some(value) = alternative_names {
            work.spend_each(value.len(), BYTE_NS)
                .map_err(|_| Wrong::Exhausted)?;
            let list = Reader::new(value).expect(Tag::Sequence, "");
            let mut all = list.map_err(|_| Wrong::Unreadable)?.inside();
            while let Some(one) = all.next().map_err(|_| Wrong::Unreadable)? {
                work.spend(READ_NS).map_err(|_| Wrong::Exhausted)?;
                names.push(GeneralName::read(&one).ok_or(Wrong::Unreadable)?);
                names.extend(GeneralName::read_utf8_mailbox(&one));
            }
        }
        // Then an address in the subject counts as such. RFC 5280 asks for that only where there are no alternative names at all,
        // which a name of any other form would evade.
        if !names.iter().any(|it| it.form() == RFC822_NAME) {
            work.spend_each(subject_bytes, BYTE_NS)
                .map_err(|_| Wrong::Exhausted)?;
            for address in certificate.x509().subject().iter_email() {
                work.spend(READ_NS).map_err(|_| Wrong::Exhausted)?;
                let value = address.attr_value();
                let is_readable =
                    [Tag::Ia5String, Tag::Utf8String, Tag::PrintableString].contains(&value.tag());
                // One in another encoding is no mailbox, and can't be compared.
                let text = if is_readable { value.data } else { &[] };
                names.push(GeneralName::text(RFC822_NAME, text));
            }
        }
        for name in &names {
            for subtrees in &self.0 {
                subtrees.check(name, work)?;
            }
        }
        Ok(())
    }
}

impl Subtrees<'_> {
    fn check(&self, name: &GeneralName<'_>, work: &Work) -> Result<(), Wrong> {
        let all = self.permitted.len() + self.excluded.len();
        work.spend_each(2 * all, FORM_NS)
            .map_err(|_| Wrong::Exhausted)?;
        // A subject without parts is none.
        if name.is_empty_directory() {
            return Ok(());
        }
        let of_form = |all: &'_ [GeneralName<'_>]| all.iter().any(|it| it.form() == name.form());
        for excluded in self.excluded.iter().filter(|it| it.form() == name.form()) {
            if matches(name, excluded, true, work)? {
                return Err(Wrong::NotPermitted);
            }
        }
        if !of_form(&self.permitted) {
            return Ok(());
        }
        for permitted in self.permitted.iter().filter(|it| it.form() == name.form()) {
            if matches(name, permitted, false, work)? {
                return Ok(());
            }
        }
        Err(Wrong::NotPermitted)
    }
}

/// `GeneralSubtree`, of which `minimum` is 0 and `maximum` absent.
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
    work: &Work,
) -> Result<bool, Wrong> {
    let bytes = name.bytes().len() + base.bytes().len();
    work.spend(COMPARE_NS + bytes as u64 * BYTE_NS)
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
        DIRECTORY_NAME => base.contains_directory(name, work).ok_or(Wrong::Exhausted),
        RFC822_NAME => {
            let (local, host) = mailbox(name.bytes()).ok_or(Wrong::Unknown)?;
            match mailbox(base.bytes()) {
                // One mailbox, whose local part is compared to the letter.
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
            // RFC 5280 knows no period in front. Whoever excludes by it may mean the domain itself, too; and what a wildcard stands
            // for may be what is excluded.
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

/// The two parts of a mailbox, the second in lower case.
fn mailbox(address: &[u8]) -> Option<(&str, String)> {
    let address = std::str::from_utf8(address).ok()?;
    let (local, host) = address.rsplit_once('@')?;
    let host = host_name(host)?;
    // Only a quoted string may have another one (RFC 5321 section 4.1.2).
    let is_local = !local.is_empty() && (!local.contains('@') || local.starts_with('"'));
    is_local.then_some((local, host))
}

/// Whether a domain is this one, or has more labels on its left; where that begins with a period, only the latter.
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

/// Whether a host is this one, or where that begins with a period one within the domain.
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

/// A host's name in one spelling. One of other characters, such as percent signs and brackets, may stand for another host.
fn host_name(text: &str) -> Option<String> {
    let mut name = text.to_ascii_lowercase();
    trim_root(&mut name);
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || [b'-', b'_'].contains(&byte);
    let mut labels = name.split('.');
    labels
        .all(|label| !label.is_empty() && label.bytes().all(is_usual))
        .then_some(name)
}

/// Leaves out the period at the end of a name, which stands for the root of all domains.
fn trim_root(name: &mut String) {
    if name.ends_with('.') {
        name.pop();
    }
}
