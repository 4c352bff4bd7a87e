//! The scope of a revocation list, by its extensions (RFC 5280 section 5.2).

use asn1_rs::{Class, Tag};

use super::ber::{Reader, Value};
use super::distribution::{PlaceName, read_reasons};
use super::extensions::Extension;

/// The extensions of a list that matter.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    /// The whole `IssuingDistributionPoint` (RFC 5280 section 5.2.5).
    pub(super) point: Option<&'a [u8]>,
    /// The place of publication. The list covers certificates that name this place.
    pub(super) place: Option<PlaceName<'a>>,
    pub(super) users_only: bool,
    pub(super) authorities_only: bool,
    pub(super) attributes_only: bool,
    /// Entries may be about certificates of other issuers.
    pub(super) indirect: bool,
    /// The only reasons that the list covers.
    pub(super) reasons: Option<u16>,
    pub(super) number: Option<&'a [u8]>,
    /// For a delta list: the number of the list whose changes it has.
    pub(super) base: Option<&'a [u8]>,
    pub(super) authority_key: Option<&'a [u8]>,
    /// The list keeps certificates that expired at this time or later (`expiredCertsOnCRL`, X.509 section 9.5.2.8).
    pub(super) keeps_since_ms: Option<i64>,
    /// The list follows rules that are unknown here: it shows no certificate to be good.
    pub(super) unknown: bool,
}

impl<'a> Scope<'a> {
    pub(super) fn read(wrapper: &Value<'a>) -> Option<Self> {
        let mut scope = Self::default();
        let mut extensions = wrapper.inside().next().ok()??.inside();
        while let Some(extension) = extensions.next().ok()? {
            let extension = Extension::read(&extension).ok()?;
            let value = extension.value;
            let integer = || {
                let integer = Reader::new(value).expect(Tag::Integer, "").ok()?;
                Some(integer.content())
            };
            match extension.number() {
                Some(20) => scope.number = Some(integer()?),
                Some(27) => scope.base = Some(integer()?),
                Some(28) => {
                    scope.point = Some(value);
                    scope.read_point(value)?;
                }
                Some(35) => scope.authority_key = Some(value),
                Some(60) => scope.keeps_since_ms = extension.time_ms(),
                _ => scope.unknown |= extension.critical,
            }
        }
        Some(scope)
    }

    fn read_point(&mut self, value: &'a [u8]) -> Option<()> {
        let mut fields = Reader::new(value).next().ok()??.inside();
        while let Some(field) = fields.next().ok()? {
            let is = |tag| field.is(Class::ContextSpecific, tag);
            let set = field.content() != [0];
            if is(0) {
                self.place = Some(PlaceName::read(&field)?);
            } else if is(1) {
                self.users_only = set;
            } else if is(2) {
                self.authorities_only = set;
            } else if is(3) {
                self.reasons = Some(read_reasons(&field)?);
            } else if is(4) {
                self.indirect = set;
            } else if is(5) {
                self.attributes_only = set;
            } else {
                self.unknown = true;
            }
        }
        Some(())
    }
}
