//! Time stamps (RFC 3161 section 2.4.2): what they say, and what they prove.
//!
//! A time stamp proves that something was there while it holds itself: as long as the certificates of whoever made it are good, or
//! from when on a later one proves that it was there when they were (ETSI EN 319 102-1 clause 5.6).

use std::collections::HashMap;

use asn1_rs::{Class, Tag};

use super::signed_data::{SignedData, read_content_alone};
use super::signer_info::SignerInfo;
use super::verify;
use crate::pki::ber::{Reader, Value};
use crate::pki::chain::{Purpose, Trust};
use crate::pki::hash::Hash;
use crate::pki::oid;
use crate::pki::verdict::{Basis, MAX_SKEW_MS};
use crate::pki::work::{Sha256, Work};

/// Most time stamps of a signature that are verified; each costs what a signature does.
pub(crate) const MAX_TIMESTAMPS: usize = 32;
/// What it costs to read a token's inside, and a byte of it.
const READ_NS: u64 = 2_000;
const BYTE_NS: u64 = 1;

/// What was stamped, and when: a `TSTInfo`.
#[derive(Debug)]
pub(crate) struct Imprint {
    /// OID of what was hashed with.
    hash_oid: String,
    /// The digest of what was stamped.
    digest: Vec<u8>,
    /// When, in milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// Whether it follows rules that are unknown here, so that nobody may rely on it.
    has_unknown: bool,
}

/// Reads a token, without those who signed it; none where it is no time stamp.
pub(super) fn read(token: &[u8]) -> Option<Imprint> {
    let (content_type, content) = read_content_alone(token).ok()?;
    Imprint::of(&content_type, &content?)
}

impl Imprint {
    /// Reads a token within a budget, without those who signed it.
    pub(crate) fn read(token: &[u8], work: &Work) -> Option<Self> {
        work.spend(READ_NS).ok()?;
        work.spend_each(token.len(), BYTE_NS).ok()?;
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
        // Its policy comes before the imprint, the serial number after it.
        fields.expect(Tag::Oid, "").ok()?;
        let mut imprint = fields.expect(Tag::Sequence, "").ok()?.inside();
        let algorithm = imprint.expect(Tag::Sequence, "").ok()?;
        let hash_oid = algorithm.inside().expect(Tag::Oid, "").ok()?.oid().ok()?;
        let digest = imprint.expect(Tag::OctetString, "").ok()?.octets().ok()?;
        fields.expect(Tag::Integer, "").ok()?;
        let time_ms = fields.expect(Tag::GeneralizedTime, "").ok()?.time_ms()?;
        let mut has_unknown = version.content() != [VERSION];
        // Accuracy, ordering, nonce and the stamper's name say nothing that is asked for here.
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

    /// What it was hashed with, where that still proves something, and all that the stamp says is known here.
    pub(crate) fn hash(&self) -> Option<Hash> {
        Hash::of(&self.hash_oid).filter(|hash| !hash.is_weak() && !self.has_unknown)
    }

    /// Whether what was stamped has this digest.
    pub(crate) fn is(&self, digest: &[u8]) -> bool {
        self.digest == digest
    }

    /// Whether these bytes were stamped.
    pub(crate) fn is_of(&self, bytes: &[u8], work: &Work) -> bool {
        self.hash().is_some_and(|hash| {
            work.spend_hash(hash, bytes.len()).is_ok() && self.is(&hash.digest(bytes))
        })
    }
}

/// The version of a `TSTInfo`.
const VERSION: u8 = 1;

/// Whether one of these extensions is critical. None of those of time stamps is known here.
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

/// A time stamp's token, taken apart.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    cms: SignedData<'t>,
    pub(super) imprint: Imprint,
}

impl<'t> Token<'t> {
    /// Reads a token in BER; none where it is no time stamp.
    pub(crate) fn read(ber: &'t [u8], work: &Work) -> Option<Self> {
        work.spend(READ_NS).ok()?;
        let cms = SignedData::read(ber, work).ok()?;
        let imprint = Imprint::of(&cms.content_type, cms.content.as_deref()?)?;
        Some(Self { cms, imprint })
    }

    /// When it was made, as it says, in milliseconds since 1970.
    pub(super) fn time_ms(&self) -> i64 {
        self.imprint.time_ms
    }

    /// Who made it: one alone (RFC 3161 section 2.4.2).
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
    /// What it stamps beside the signature; none where it is not of that.
    pub(crate) along: Option<Along>,
}

/// What a time stamp stamps beside the signature.
#[derive(Debug, Default)]
pub(crate) struct Along {
    /// Places of others among all stamps of the signature.
    pub(crate) stamps: Vec<usize>,
    /// Places of signatures of this signature.
    pub(crate) countersignatures: Vec<usize>,
    /// Certificates, by their digests.
    pub(crate) certificates: Vec<Sha256>,
}

/// Since when something is known to have been there: a time in milliseconds since 1970 that is proven, or that of the verification.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existence {
    pub(crate) time_ms: i64,
    pub(crate) basis: Basis,
}

impl Existence {
    /// It is there today, and is proven to have been there at one of these times, if any.
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

    /// The time, where it is proven.
    pub(crate) fn proven_ms(self) -> Option<i64> {
        (self.basis == Basis::Proven).then_some(self.time_ms)
    }
}

/// What the time stamps of a signature prove.
#[derive(Debug, Default)]
pub(crate) struct Proven {
    /// The earliest time at which the signature was there, in milliseconds since 1970.
    pub(crate) time_ms: Option<i64>,
    /// The same for signatures of it, by their places.
    pub(crate) countersignatures: HashMap<usize, i64>,
    /// And for certificates, by their digests.
    pub(crate) certificates: HashMap<Sha256, i64>,
}

/// Notes that something was there at a time; the earliest one counts.
pub(crate) fn note<K: Eq + std::hash::Hash>(known: &mut HashMap<K, i64>, what: K, time_ms: i64) {
    let known = known.entry(what).or_insert(time_ms);
    *known = time_ms.min(*known);
}

/// What stamps prove of a signature that was there already: those count that are of it, intact, and by somebody who is trusted to
/// stamp, today or when a later one that holds proves this one to have been there.
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
    // Who stamps another one is later than that; of two at the same time, the one that stamps more is.
    let mut order: Vec<_> = along.collect();
    order.sort_by_key(|(_, stamp, along)| {
        std::cmp::Reverse((stamp.token.time_ms(), along.stamps.len()))
    });
    for (place, stamp, along) in order.into_iter().take(MAX_TIMESTAMPS) {
        let time_ms = stamp.token.time_ms();
        // Nobody has stamped what was made later (EN 319 102-1 clause 5.5.4): one of the two clocks was wrong.
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

/// Whether a stamp is intact, by somebody who is trusted to stamp, and was good when it is proven to have been there.
fn holds(token: &Token<'_>, trust: &Trust<'_>, existed: Existence) -> bool {
    let work = trust.work;
    let Some(stamper) = token.stamper() else {
        return false;
    };
    let (cms, time_ms) = (&token.cms, token.time_ms());
    let (evidence, added) = (cms.evidence(work), cms.added_certificates(work));
    if work.spend_each(trust.certificates.len(), 1).is_err() {
        return false;
    }
    let mut all = trust.clone();
    all.certificates.extend(&cms.certificates);
    all.certificates.extend(&added);
    all.evidence.push(&evidence);
    // Its certificate may be left out of it (RFC 3161 section 2.4.1, `certReq`).
    let candidates = verify::candidates(stamper, &all.certificates, work);
    let Some(&certificate) = candidates.first() else {
        return false;
    };
    if time_ms > existed.time_ms.saturating_add(MAX_SKEW_MS)
        || !certificate.is_valid(time_ms)
        || !verify::is_intact_token(cms, stamper, certificate, work)
    {
        return false;
    }
    let judged = all.judge(
        certificate,
        Purpose::TimeStamping,
        existed.time_ms,
        existed.basis,
    );
    // The certificates of a token are as old as it is.
    let judged = judged.where_proven(|sha256| {
        let mut own = cms.certificates.iter().chain(&added).chain([certificate]);
        own.any(|it| it.sha256() == sha256)
            .then_some(existed.time_ms)
    });
    judged.outcome.is_ok()
}
