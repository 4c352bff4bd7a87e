//! Names in extensions (`GeneralName`, RFC 5280 section 4.2.1.6).

use asn1_rs::Class;

use super::ber::Value;
use super::budget::Budget;
use super::same_name::DistinguishedName;

const OTHER_NAME: u32 = 0;
/// `id-on-SmtpUTF8Mailbox` (RFC 9598 section 3): the content of its OID.
const SMTP_UTF8_MAILBOX: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 9];
/// Tags of the forms that are compared.
pub(super) const RFC822_NAME: u32 = 1;
pub(super) const DNS_NAME: u32 = 2;
pub(super) const DIRECTORY_NAME: u32 = 4;
pub(super) const URI: u32 = 6;
pub(super) const IP_ADDRESS: u32 = 7;

/// A name of any form.
#[derive(Debug)]
pub(super) struct GeneralName<'a> {
    form: u32,
    /// The content; of a directory name, the encoding.
    name: DistinguishedName<'a>,
}

impl<'a> GeneralName<'a> {
    pub(super) fn read(value: &Value<'a>) -> Option<Self> {
        let form = (0..=8).find(|form| value.is(Class::ContextSpecific, *form))?;
        Some(Self {
            form,
            name: DistinguishedName::new(if form == DIRECTORY_NAME {
                value.inside().next().ok()??.raw
            } else {
                value.content()
            }),
        })
    }

    /// A mailbox whose local part is not ASCII alone. It is of another form, but constraints on mailboxes apply to it
    /// (RFC 9598 section 6).
    pub(super) fn read_utf8_mailbox(value: &Value<'a>) -> Option<Self> {
        let mut fields = value.inside();
        let is_mailbox = value.is(Class::ContextSpecific, OTHER_NAME)
            && fields.next().ok()??.content() == SMTP_UTF8_MAILBOX;
        let mailbox = is_mailbox.then(|| fields.optional(0).ok()?)??;
        let text = mailbox.inside().next().ok()??;
        Some(Self::text(RFC822_NAME, text.content()))
    }

    pub(super) fn directory(der: &'a [u8]) -> Self {
        Self::text(DIRECTORY_NAME, der)
    }

    /// A name of this form and content.
    pub(super) fn text(form: u32, inside: &'a [u8]) -> Self {
        Self {
            form,
            name: DistinguishedName::new(inside),
        }
    }

    pub(super) fn form(&self) -> u32 {
        self.form
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.name.der()
    }

    /// Whether it is a directory name without parts.
    pub(super) fn is_empty_directory(&self) -> bool {
        self.form == DIRECTORY_NAME && matches!(self.bytes(), [0x30, 0] | [])
    }

    /// Whether a directory name begins with the parts of this one; none if the budget is exhausted.
    pub(super) fn contains_directory(&self, name: &Self, budget: &Budget) -> Option<bool> {
        self.name.contains(&name.name, budget)
    }

    /// Whether it is this directory name.
    pub(super) fn is_directory(&self, name: &DistinguishedName<'_>, budget: &Budget) -> bool {
        self.form == DIRECTORY_NAME && self.name.is(name, budget)
    }

    /// Its form, and a spelling that is common to all its encodings; none if the budget is exhausted.
    pub(super) fn key(&self, budget: &Budget) -> Option<(u32, Vec<u8>)> {
        let name = if self.form == DIRECTORY_NAME {
            self.name.key(budget)?
        } else {
            budget.spend_each(self.bytes().len(), 1).ok()?;
            self.bytes().to_vec()
        };
        Some((self.form, name))
    }
}
