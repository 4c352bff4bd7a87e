//! Revocation of certificates, by the information at hand: lists (`crl`) and OCSP responses (`ocsp`). Nothing is
//! fetched.

use asn1_rs::{Class, Tag};
use serde::Serialize;

use super::ber::{Reader, Value};
use super::budget::Budget;
use super::certificate::Parsed;
use super::crl::Crl;
use super::ocsp::Response;
use super::oid;
use crate::time::Time;

/// Most lists and responses of a file that are read. The largest honest files, after several renewals, have some
/// dozens.
const MAX_EVIDENCE: usize = 200;

/// Cost of looking at a list or response, and of reading a byte of it.
const CHOICE_NS: u64 = 100;
const BYTE_NS: u64 = 20;

/// Whether certificates of a chain were revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "RevocationReport")]
pub enum Revocation {
    /// Nothing at hand says whether some of them were revoked.
    NotJudged,
    /// None was revoked, by information that was made for the judged time or later.
    Good {
        /// The time at which the oldest of this information was made, in milliseconds since 1970.
        as_of_ms: i64,
    },
    /// A certificate was revoked.
    Revoked {
        /// The time of the revocation, in milliseconds since 1970; [`i64::MIN`] if it can't be read.
        since_ms: i64,
    },
}

/// Whether certificates were revoked, as reports say it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Revocation))]
pub(crate) struct RevocationReport {
    /// The status.
    status: RevocationStatus,
    /// If good: the time at which this was so.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Time>,
    /// If revoked: the time of the revocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
}

/// Whether certificates were revoked; `not_judged` if that is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(crate) enum RevocationStatus {
    NotJudged,
    Good,
    Revoked,
}

impl From<Revocation> for RevocationReport {
    fn from(revocation: Revocation) -> Self {
        let (status, as_of, since) = match revocation {
            Revocation::NotJudged => (RevocationStatus::NotJudged, None, None),
            Revocation::Good { as_of_ms } => {
                (RevocationStatus::Good, Time::from_ms(as_of_ms), None)
            }
            Revocation::Revoked { since_ms } => {
                (RevocationStatus::Revoked, None, Time::from_ms(since_ms))
            }
        };
        Self {
            status,
            as_of,
            since,
        }
    }
}

/// Revocation lists and OCSP responses that came with a signature.
#[derive(Debug, Default)]
pub(crate) struct Evidence<'a> {
    lists: Vec<Crl<'a>>,
    answers: Vec<Response<'a>>,
}

impl<'a> Evidence<'a> {
    /// Adds a `CertificateList`; ignores one that can't be read.
    pub(crate) fn add_list(&mut self, der: &'a [u8], budget: &Budget) {
        if self.has_room(der, budget) {
            self.lists.extend(Crl::read(der));
        }
    }

    fn has_room(&self, der: &[u8], budget: &Budget) -> bool {
        self.lists.len() + self.answers.len() < MAX_EVIDENCE
            && budget.spend_each(der.len(), BYTE_NS).is_ok()
    }

    /// Adds a `BasicOCSPResponse`, or an `OCSPResponse` around one; ignores one that can't be read.
    pub(crate) fn add_answer(&mut self, der: &'a [u8], budget: &Budget) {
        if self.has_room(der, budget) {
            self.answers.extend(Response::read(der, budget));
        }
    }

    /// Adds the content of a `RevocationInfoChoices` (RFC 5652 section 10.2.1). OCSP responses are in the form of RFC
    /// 5940, or bare, as other signers write them.
    pub(crate) fn add_choices(&mut self, mut choices: Reader<'a>, budget: &Budget) {
        while let Ok(Some(choice)) = choices.next() {
            if budget.spend(CHOICE_NS).is_err() {
                return;
            }
            if choice.is_sequence() {
                self.add_list(choice.raw, budget);
            } else if choice.is(Class::ContextSpecific, 1) {
                let mut fields = choice.inside();
                let is_answer = fields
                    .expect(Tag::Oid, "")
                    .and_then(|kind| kind.oid())
                    .is_ok_and(|kind| {
                        [oid::OCSP_RESPONSE, oid::OCSP_BASIC].contains(&kind.as_str())
                    });
                if let Ok(Some(answer)) = fields.next()
                    && is_answer
                {
                    self.add_answer(answer.raw, budget);
                }
            }
        }
    }

    /// Adds the content of a `RevocationValues` (ETSI EN 319 122-1 clause A.1.5.2).
    pub(crate) fn add_values(&mut self, values: &Value<'a>, budget: &Budget) {
        let mut fields = values.inside();
        for (tag, add) in [
            (0, Self::add_list as fn(&mut Self, &'a [u8], &Budget)),
            (1, Self::add_answer),
        ] {
            let Ok(Some(wrapper)) = fields.optional(tag) else {
                continue;
            };
            let Ok(Some(all)) = wrapper.inside().next() else {
                continue;
            };
            let mut all = all.inside();
            while let Ok(Some(one)) = all.next() {
                if budget.spend(CHOICE_NS).is_err() {
                    return;
                }
                add(self, one.raw, budget);
            }
        }
    }

    pub(super) fn lists(&self) -> &[Crl<'a>] {
        &self.lists
    }

    pub(super) fn answers(&self) -> &[Response<'a>] {
        &self.answers
    }
}

impl Revocation {
    /// Combines two results for one certificate: a revocation counts, otherwise the newest.
    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Revoked { since_ms: a }, Self::Revoked { since_ms: b }) => {
                Self::Revoked { since_ms: a.min(b) }
            }
            (revoked @ Self::Revoked { .. }, _) | (_, revoked @ Self::Revoked { .. }) => revoked,
            (Self::Good { as_of_ms: a }, Self::Good { as_of_ms: b }) => {
                Self::Good { as_of_ms: a.max(b) }
            }
            (good @ Self::Good { .. }, _) | (_, good) => good,
        }
    }

    /// Combines the results for two certificates: a revocation of either, otherwise what is known of both.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Revoked { .. }, _) | (_, Self::Revoked { .. }) => self.or(other),
            (Self::Good { as_of_ms: a }, Self::Good { as_of_ms: b }) => {
                Self::Good { as_of_ms: a.min(b) }
            }
            _ => Self::NotJudged,
        }
    }
}

/// A statement of a list or response about one certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement {
    /// The time at which it was made, in milliseconds since 1970.
    pub(super) made_ms: i64,
    /// The time of the next update, in milliseconds since 1970.
    pub(super) next_ms: Option<i64>,
    /// The statement also covers certificates that expired at this time or later, in milliseconds since 1970.
    pub(super) keeps_since_ms: Option<i64>,
    /// The time of the revocation, in milliseconds since 1970, or [`i64::MIN`] if it can't be read; none if the
    /// certificate is good.
    pub(super) is_revoked_since_ms: Option<i64>,
    /// The reasons that the statement covers.
    pub(super) reasons: u16,
}

impl Statement {
    /// Whether the statement shows that a certificate was good at a time, unless it revokes it.
    ///
    /// The statement must be made at that time or later, or be valid until then. It must not be made after the
    /// certificate expired: authorities drop expired certificates, unless they say that they keep them.
    pub(super) fn is_about(&self, time_ms: i64, certificate: &Parsed<'_>) -> bool {
        let reaches = self.made_ms >= time_ms || self.next_ms.is_some_and(|next| next >= time_ms);
        let end_ms = certificate.not_after_ms();
        let is_kept = self.keeps_since_ms.is_some_and(|since| since <= end_ms);
        reaches && (self.made_ms <= end_ms || is_kept)
    }
}

/// The content of a BIT STRING of whole bytes.
pub(super) fn bits<'a>(value: &Value<'a>) -> Option<&'a [u8]> {
    match value.content() {
        [0, bits @ ..] => Some(bits),
        _ => None,
    }
}
