//! Time stamps (RFC 3161 section 2.4.2): what they state and what they prove.
//!
//! A time stamp proves that something existed, as long as the time stamp holds itself. It holds while the certificates
//! of its authority are good. After that, a later time stamp must prove that it existed while they were good (ETSI EN
//! 319 102-1 clause 5.6).

use std::collections::HashMap;

use asn1_rs::{Class, Tag};

use super::signed_data::{SignedData, read_content_alone};
use super::signer_info::SignerInfo;
use super::verify;
use crate::pki::ber::{Reader, Value};
use crate::pki::budget::{Budget, Sha256};
use crate::pki::chain::{Purpose, Trust};
use crate::pki::hash::Hash;
use crate::pki::oid;
use crate::pki::verdict::{Basis, MAX_SKEW_MS};

/// Most time stamps of a signature that are verified; each costs as much as a signature.
pub(crate) const MAX_TIMESTAMPS: usize = 32;
/// Cost of reading the content of a token, and a byte of it.
const READ_NS: u64 = 2_000;
const BYTE_NS: u64 = 1;

/// The stamped digest and the time: a `TSTInfo`.
#[derive(Debug)]
pub(crate) struct Imprint {
    /// OID of the digest algorithm.
    hash_oid: String,
    /// The digest of the stamped bytes.
    digest: Vec<u8>,
    /// The time of the stamp, in milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// Whether it follows rules that are unknown here. Nobody may rely on it then.
    has_unknown: bool,
}

/// Reads a token, without its signers; none if it is not a time stamp.
pub(super) fn read(token: &[u8]) -> Option<Imprint> {
    let (content_type, content) = read_content_alone(token).ok()?;
    Imprint::of(&content_type, &content?)
}

impl Imprint {
    /// Reads a token within a budget, without its signers.
    pub(crate) fn read(token: &[u8], budget: &Budget) -> Option<Self> {
        budget.spend(READ_NS).ok()?;
        budget.spend_each(token.len(), BYTE_NS).ok()?;
        read(token)
    }

    /// Reads the content of a token.
    fn of(content_type: &str, content: &[u8]) -> Option<Self> {
        if content_type != oid::TST_INFO {
            return None;
        }
        let mut fields = Reader::new(content)
            .expect(Tag::Sequence, "")
            .ok()?
            .inside();
        let version = fields.expect(Tag::Integer, "").ok()?;
        // The policy comes before the imprint, the serial number after it.
        fields.expect(Tag::Oid, "").ok()?;
        let mut imprint = fields.expect(Tag::Sequence, "").ok()?.inside();
        let algorithm = imprint.expect(Tag::Sequence, "").ok()?;
        let hash_oid = algorithm.inside().expect(Tag::Oid, "").ok()?.oid().ok()?;
        let digest = imprint.expect(Tag::OctetString, "").ok()?.octets().ok()?;
        fields.expect(Tag::Integer, "").ok()?;
        let time_ms = fields.expect(Tag::GeneralizedTime, "").ok()?.time_ms()?;
        let mut has_unknown = version.content() != [VERSION];
        // Accuracy, ordering, nonce and the authority's name do not matter here.
        while let Some(field) = fields.next().ok()? {
            has_unknown |= field.is(Class::ContextSpecific, 1) && has_critical(&field)?;
        }
        Some(Self {
            hash_oid,
            digest: digest.into_owned(),
            time_ms,
            has_unknown,
        })
    }

    /// The digest algorithm; none if it is too weak to prove anything, or the stamp follows unknown rules.
    pub(crate) fn hash(&self) -> Option<Hash> {
        Hash::of(&self.hash_oid).filter(|hash| !hash.is_weak() && !self.has_unknown)
    }

    /// Whether the stamped bytes have this digest.
    pub(crate) fn is(&self, digest: &[u8]) -> bool {
        self.digest == digest
    }

    /// Whether the stamp is of these bytes.
    pub(crate) fn is_of(&self, bytes: &[u8], budget: &Budget) -> bool {
        self.hash().is_some_and(|hash| {
            budget.spend_hash(hash, bytes.len()).is_ok() && self.is(&hash.digest(bytes))
        })
    }
}

/// The version of a `TSTInfo`.
const VERSION: u8 = 1;

/// Whether one of these extensions is critical. No extension of time stamps is known here.
fn has_critical(extensions: &Value<'_>) -> Option<bool> {
    let mut extensions = extensions.inside();
    while let Some(extension) = extensions.next().ok()? {
        let mut fields = extension.inside();
        fields.expect(Tag::Oid, "").ok()?;
        let critical = fields.expect(Tag::Boolean, "");
        if critical.is_ok_and(|critical| critical.content() != [0]) {
            return Some(true);
        }
    }
    Some(false)
}

/// A parsed token of a time stamp.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    cms: SignedData<'t>,
    pub(super) imprint: Imprint,
}

impl<'t> Token<'t> {
    /// Reads a token in BER; none if it is not a time stamp.
    pub(crate) fn read(ber: &'t [u8], budget: &Budget) -> Option<Self> {
        budget.spend(READ_NS).ok()?;
        let cms = SignedData::read(ber, budget).ok()?;
        let imprint = Imprint::of(&cms.content_type, cms.content.as_deref()?)?;
        Some(Self { cms, imprint })
    }

    /// The time that it states, in milliseconds since 1970.
    pub(super) fn time_ms(&self) -> i64 {
        self.imprint.time_ms
    }

    /// The signer of the token; none unless there is exactly one (RFC 3161 section 2.4.2).
    pub(super) fn stamper(&self) -> Option<&SignerInfo<'t>> {
        match self.cms.signers.as_slice() {
            [stamper] => Some(stamper),
            _ => None,
        }
    }
}

/// A time stamp of a signature.
#[derive(Debug)]
pub(crate) struct Stamp<'t> {
    pub(crate) token: Token<'t>,
    /// The other parts that it covers; none if it is not of the signature.
    pub(crate) along: Option<Along>,
}

/// The parts that a time stamp covers beside the signature.
#[derive(Debug, Default)]
pub(crate) struct Along {
    /// Indices of other stamps among all stamps of the signature.
    pub(crate) stamps: Vec<usize>,
    /// Indices of countersignatures of the signature.
    pub(crate) countersignatures: Vec<usize>,
    /// Digests of certificates.
    pub(crate) certificates: Vec<Sha256>,
}

/// A time at which something is known to have existed, in milliseconds since 1970: a proven one, or that of the
/// verification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existence {
    pub(crate) time_ms: i64,
    pub(crate) basis: Basis,
}

impl Existence {
    /// The earliest of the proven times, or the time of the verification if there is none.
    pub(crate) fn new(now_ms: i64, proven_ms: impl IntoIterator<Item = i64>) -> Self {
        match proven_ms.into_iter().min() {
            Some(time_ms) => Self {
                time_ms,
                basis: Basis::Proven,
            },
            None => Self {
                time_ms: now_ms,
                basis: Basis::Now,
            },
        }
    }

    /// The time, if it is proven.
    pub(crate) fn proven_ms(self) -> Option<i64> {
        (self.basis == Basis::Proven).then_some(self.time_ms)
    }
}

/// The proofs by the time stamps of a signature.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    /// The earliest time at which the signature existed, in milliseconds since 1970.
    pub(crate) time_ms: Option<i64>,
    /// Such times of countersignatures, by their indices.
    pub(crate) countersignatures: HashMap<usize, i64>,
    /// Such times of certificates, by their digests.
    pub(crate) certificates: HashMap<Sha256, i64>,
}

/// Notes that something existed at a time; the earliest time counts.
pub(crate) fn note<K: Eq + std::hash::Hash>(known: &mut HashMap<K, i64>, what: K, time_ms: i64) {
    let known = known.entry(what).or_insert(time_ms);
    *known = time_ms.min(*known);
}

/// The proofs by the stamps of a signature. `existence` is the time at which the signature is known to have existed.
///
/// A stamp counts if it is of the signature, intact, and by an authority that is trusted to stamp. It must be good
/// today, or at a time at which a later stamp that counts proves it to have existed.
pub(crate) fn prove(stamps: &[Stamp<'_>], trust: &Trust<'_>, existence: Existence) -> Proven {
    let mut proven = Proven {
        time_ms: existence.proven_ms(),
        ..Proven::default()
    };
    if trust.anchors.is_empty() {
        return proven;
    }
    let mut existed = vec![existence; stamps.len()];
    let mut held = vec![false; stamps.len()];
    let along = stamps
        .iter()
        .enumerate()
        .filter_map(|(place, stamp)| Some((place, stamp, stamp.along.as_ref()?)));
    // A stamp is later than the stamps that it covers. Of two at the same time, the one that covers more is later.
    let mut order: Vec<_> = along.collect();
    order.sort_by_key(|(_, stamp, along)| {
        std::cmp::Reverse((stamp.token.time_ms(), along.stamps.len()))
    });
    for (place, stamp, along) in order.into_iter().take(MAX_TIMESTAMPS) {
        let time_ms = stamp.token.time_ms();
        // Nothing is stamped before it exists (EN 319 102-1 clause 5.5.4): one of the two clocks was wrong.
        let is_later = |other: &usize| {
            held.get(*other) == Some(&true)
                && stamps.get(*other).is_some_and(|other| {
                    other.token.time_ms() > time_ms.saturating_add(MAX_SKEW_MS)
                })
        };
        let Some(&known) = existed.get(place) else {
            continue;
        };
        if along.stamps.iter().any(is_later) || !holds(&stamp.token, trust, known) {
            continue;
        }
        if let Some(held) = held.get_mut(place) {
            *held = true;
        }
        proven.time_ms = proven.time_ms.into_iter().chain([time_ms]).min();
        for place in &along.stamps {
            if let Some(known) = existed.get_mut(*place).filter(|it| it.time_ms > time_ms) {
                *known = Existence::new(time_ms, [time_ms]);
            }
        }
        for place in &along.countersignatures {
            note(&mut proven.countersignatures, *place, time_ms);
        }
        for certificate in &along.certificates {
            note(&mut proven.certificates, *certificate, time_ms);
        }
    }
    proven
}

/// Whether a stamp is intact, is by an authority that is trusted to stamp, and was good when it is proven to have
/// existed.
fn holds(token: &Token<'_>, trust: &Trust<'_>, existed: Existence) -> bool {
    let budget = trust.budget;
    let Some(stamper) = token.stamper() else {
        return false;
    };
    let (cms, time_ms) = (&token.cms, token.time_ms());
    let (evidence, added) = (cms.evidence(budget), cms.added_certificates(budget));
    if budget.spend_each(trust.certificates.len(), 1).is_err() {
        return false;
    }
    let mut all = trust.clone();
    all.certificates.extend(&cms.certificates);
    all.certificates.extend(&added);
    all.evidence.push(&evidence);
    // The token may leave out its certificate (RFC 3161 section 2.4.1, `certReq`).
    let candidates = verify::candidates(stamper, &all.certificates, budget);
    let Some(&certificate) = candidates.first() else {
        return false;
    };
    if time_ms > existed.time_ms.saturating_add(MAX_SKEW_MS)
        || !certificate.is_valid(time_ms)
        || !verify::is_intact_token(cms, stamper, certificate, budget)
    {
        return false;
    }
    let judged = all.judge(
        certificate,
        Purpose::TimeStamping,
        existed.time_ms,
        existed.basis,
    );
    // The certificates of a token are as old as the token.
    let judged = judged.where_proven(|sha256| {
        let mut own = cms.certificates.iter().chain(&added).chain([certificate]);
        own.any(|it| it.sha256() == sha256)
            .then_some(existed.time_ms)
    });
    judged.outcome.is_ok()
}
