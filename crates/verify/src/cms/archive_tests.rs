//! Chains of time stamps over signatures whose certificates expired long ago.

use super::stamper::{Stamper, certificate, sha256};
use super::verify;
use crate::judging::Judging;
use crate::pki::authority::{
    DATA, NOW_MS, Party, Role, SHA256, SIGNED_DATA, UTF8, algorithm, attribute, name, oid, sequence,
};
use crate::pki::ber::tlv;
use crate::pki::{Anchors, Basis, Indication, SubIndication, Verdict};

pub(super) const SIGNATURE_TIMESTAMP: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 14];
pub(super) const ARCHIVE_V2: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 48];
const ARCHIVE_V3: [u64; 6] = [0, 4, 0, 1733, 2, 4];
const INDEX_V1: [u64; 6] = [0, 4, 0, 1733, 2, 5];
const INDEX_V2: [u64; 6] = [0, 4, 0, 19122, 1, 4];
pub(super) const INDEX_V3: [u64; 6] = [0, 4, 0, 19122, 1, 5];
pub(super) const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
pub(super) const MESSAGE: &[u8] = b"a contract";
/// Noon of the first of March 2021.
pub(super) const SIGNED_MS: i64 = 1_614_600_000_000;

/// A signature of early 2021, by a certificate that ended with 2021, and everything that is added later.
pub(super) struct Archive {
    pub(super) root: Party,
    anchor: Vec<u8>,
    pub(super) content_info: Vec<u8>,
    /// The signer up to its signature, without its header.
    pub(super) signer: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) lists: Vec<Vec<u8>>,
    pub(super) unsigned: Vec<Vec<u8>>,
}

impl Archive {
    /// A signature with a time stamp of its value, by an authority whose certificate ended with 2022.
    pub(super) fn new() -> Self {
        let root = Party::new(name(UTF8, "Test Root"));
        let person = Party::new(name(UTF8, "Somebody"));
        let value = person.sign(MESSAGE);
        let signer = [
            tlv(0x02, &[1]),
            sequence(&[root.name.clone(), tlv(0x02, &[2])]),
            algorithm(&SHA256),
            algorithm(&ECDSA_SHA256),
            tlv(0x04, &value),
        ]
        .concat();
        let stamper = Stamper::new(&root, 3, ["20", "23"]);
        let stamp = stamper.stamp(&value, "20210301", &[]);
        Self {
            anchor: root.certify(&root, Role::Authority, 1),
            content_info: sequence(&[oid(&DATA), tlv(0xa0, &tlv(0x04, MESSAGE))]),
            signer,
            certificates: vec![certificate(&root, &person, 2, ["20", "22"], false)],
            lists: Vec::new(),
            unsigned: vec![attribute(&SIGNATURE_TIMESTAMP, &stamp)],
            value,
            root,
        }
    }

    pub(super) fn cms(&self) -> Vec<u8> {
        let signer = [&self.signer[..], &tlv(0xa1, &self.unsigned.concat())].concat();
        let mut fields = vec![
            tlv(0x02, &[1]),
            tlv(0x31, &algorithm(&SHA256)),
            self.content_info.clone(),
            tlv(0xa0, &self.certificates.concat()),
        ];
        if !self.lists.is_empty() {
            fields.push(tlv(0xa1, &self.lists.concat()));
        }
        fields.push(tlv(0x31, &tlv(0x30, &signer)));
        sequence(&[oid(&SIGNED_DATA), tlv(0xa0, &sequence(&fields))])
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.verdict_over(None)
    }

    #[track_caller]
    pub(super) fn verdict_over(&self, document: Option<&[u8]>) -> Verdict {
        let anchors = Anchors::new([self.anchor.clone()]);
        let judging = Judging {
            document,
            ..Judging::new(&anchors, NOW_MS)
        };
        let mut verdicts = verify(&self.cms(), &judging).unwrap();
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0)
    }

    /// The bytes that an archive time stamp of version 3 stamps, with this index.
    fn stamped(&self, index: &[u8]) -> Vec<u8> {
        [&oid(&DATA)[..], &sha256(MESSAGE), &self.signer, index].concat()
    }

    /// An index of everything present. It has a digest of the bytes that `of` makes from each unsigned attribute.
    fn index(&self, of: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let list = |digests: Vec<Vec<u8>>| {
            let digests: Vec<_> = digests.iter().map(|digest| tlv(0x04, digest)).collect();
            sequence(&digests)
        };
        let whole = |values: &[Vec<u8>]| list(values.iter().map(|value| sha256(value)).collect());
        let attributes = self.unsigned.iter();
        sequence(&[
            algorithm(&SHA256),
            whole(&self.certificates),
            whole(&self.lists),
            list(attributes.map(|it| sha256(&of(it))).collect()),
        ])
    }

    /// An index of version 3: its digests are of an attribute's type and only value.
    pub(super) fn index_v3(&self) -> Vec<u8> {
        self.index(type_and_value)
    }

    /// Adds an archive time stamp.
    pub(super) fn archive(&mut self, stamper: &Stamper, day: &str, version: &[u64], index: &[u8]) {
        let attributes = attribute(version, index);
        let token = stamper.stamp(&self.stamped(index), day, &attributes);
        self.unsigned.push(attribute(&ARCHIVE_V3, &token));
    }

    pub(super) fn stamper(&self, serial: u8, years: [&str; 2]) -> Stamper {
        Stamper::new(&self.root, serial, years)
    }
}

/// The type and the only value of an attribute, concatenated. All lengths must have two bytes.
fn type_and_value(attribute: &[u8]) -> Vec<u8> {
    assert_eq!((attribute[0], attribute[1]), (0x30, 0x82));
    let kind = 2 + usize::from(attribute[5]);
    let set = &attribute[4 + kind..];
    assert_eq!((set[0], set[1]), (0x31, 0x82));
    [&attribute[4..4 + kind], &set[4..]].concat()
}

#[track_caller]
pub(super) fn assert_proven(verdict: &Verdict) {
    assert_eq!(verdict.indication, Indication::TotalPassed, "{verdict:?}");
    assert_eq!(verdict.judged_by, Basis::Proven, "{verdict:?}");
    assert_eq!(verdict.proven_time_ms, Some(SIGNED_MS), "{verdict:?}");
}

#[track_caller]
pub(super) fn assert_over(verdict: &Verdict) {
    assert_eq!(verdict.intact, Some(true), "{verdict:?}");
    let why = Some(SubIndication::OutOfBoundsNoPoe);
    assert_eq!(verdict.sub_indication, why, "{verdict:?}");
}

#[test]
fn a_stamp_by_a_certificate_that_is_over_proves_nothing_by_itself() {
    let archive = Archive::new();
    assert_over(&archive.verdict());
    assert_eq!(archive.verdict().proven_time_ms, None);
}

#[test]
fn an_archive_stamp_proves_that_an_older_one_was_there_in_time() {
    for (version, by_value) in [(&INDEX_V1, false), (&INDEX_V2, false), (&INDEX_V3, true)] {
        let mut archive = Archive::new();
        let stamper = archive.stamper(4, ["22", "30"]);
        let index = if by_value {
            archive.index_v3()
        } else {
            archive.index(<[u8]>::to_vec)
        };
        archive.archive(&stamper, "20220601", version, &index);
        assert_proven(&archive.verdict());
        // A later addition is not stamped, and does no harm.
        let other = Party::new(name(UTF8, "Somebody else"));
        let more = certificate(&archive.root, &other, 9, ["20", "30"], false);
        archive.certificates.push(more);
        assert_proven(&archive.verdict());
    }
}

#[test]
fn a_chain_of_archive_stamps_is_as_good_as_its_last_one() {
    let mut archive = Archive::new();
    for (serial, years, day) in [
        (4, ["22", "24"], "20220601"),
        (5, ["23", "26"], "20230601"),
        (6, ["25", "30"], "20250601"),
    ] {
        let stamper = archive.stamper(serial, years);
        let index = archive.index_v3();
        archive.archive(&stamper, day, &INDEX_V3, &index);
    }
    assert_proven(&archive.verdict());
    // Without the last, or one between.
    for lost in [3, 2] {
        let mut broken = Archive {
            root: Party::new(name(UTF8, "Test Root")),
            unsigned: archive.unsigned.clone(),
            anchor: archive.anchor.clone(),
            content_info: archive.content_info.clone(),
            signer: archive.signer.clone(),
            value: archive.value.clone(),
            certificates: archive.certificates.clone(),
            lists: Vec::new(),
        };
        broken.unsigned.remove(lost);
        assert_over(&broken.verdict());
    }
}

#[test]
fn what_the_index_does_not_name_is_not_proven() {
    let mut archive = Archive::new();
    let stamper = archive.stamper(4, ["22", "30"]);
    let stamp = archive.unsigned.remove(0);
    let index = archive.index_v3();
    archive.unsigned.push(stamp);
    archive.archive(&stamper, "20220601", &INDEX_V3, &index);
    let verdict = archive.verdict();
    // The signature itself existed then, but its certificate had already expired.
    assert_over(&verdict);
    assert_eq!(verdict.proven_time_ms, Some(1_654_084_800_000));
}

#[test]
fn an_archive_stamp_of_something_else_proves_nothing() {
    let changes: [fn(&mut Archive); 4] = [
        // A certificate and an attribute that the index names are missing.
        |archive| {
            archive.certificates.remove(1);
        },
        |archive| {
            archive.unsigned.remove(1);
        },
        // The version is not signed, only stamped.
        |archive| archive.signer[2] = 3,
        |archive| {
            let last = archive.unsigned.pop().unwrap();
            let place = last.len() - 20;
            let mut changed = last;
            changed[place] ^= 1;
            archive.unsigned.push(changed);
        },
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut archive = Archive::new();
        let other = Party::new(name(UTF8, "Somebody else"));
        let more = certificate(&archive.root, &other, 9, ["20", "30"], false);
        archive.certificates.push(more);
        let long = attribute(&[1, 2, 3, 4], &tlv(0x04, &[7; 300]));
        archive.unsigned.push(long);
        let stamper = archive.stamper(4, ["22", "30"]);
        let index = archive.index_v3();
        archive.archive(&stamper, "20220601", &INDEX_V3, &index);
        assert_proven(&archive.verdict());
        change(&mut archive);
        let verdict = archive.verdict();
        assert_over(&verdict);
        assert_eq!(verdict.proven_time_ms, None, "{place}");
    }
}

#[test]
fn a_stamper_that_was_revoked_later_than_a_stamp_is_proven_stays_good() {
    for (revoked, passes) in [("220901", true), ("220501", false)] {
        let mut archive = Archive::new();
        let list = archive.root.list_since(&[3], revoked);
        archive.lists.push(list);
        let stamper = archive.stamper(4, ["22", "30"]);
        let index = archive.index_v3();
        archive.archive(&stamper, "20220601", &INDEX_V3, &index);
        if passes {
            assert_proven(&archive.verdict());
        } else {
            assert_over(&archive.verdict());
        }
    }
}

#[test]
fn archive_stamps_of_version_2_are_of_all_that_was_there() {
    for with_header in [true, false] {
        let mut archive = Archive::new();
        let stamper = archive.stamper(4, ["22", "30"]);
        let attributes = archive.unsigned.concat();
        let attributes = if with_header {
            tlv(0xa1, &attributes)
        } else {
            attributes
        };
        let stamped = [
            &archive.content_info[..],
            &tlv(0xa0, &archive.certificates.concat()),
            &archive.signer,
            &attributes,
        ]
        .concat();
        let token = stamper.stamp(&stamped, "20220601", &[]);
        archive.unsigned.push(attribute(&ARCHIVE_V2, &token));
        assert_proven(&archive.verdict());
        // A later stamp is not covered.
        let later = archive.stamper(5, ["22", "30"]);
        let token = later.stamp(b"something else", "20230601", &[]);
        archive.unsigned.push(attribute(&ARCHIVE_V2, &token));
        assert_proven(&archive.verdict());
        archive.certificates.push(archive.anchor.clone());
        assert_over(&archive.verdict());
    }
}

#[test]
fn archive_stamps_of_detached_signatures_are_of_the_document() {
    let mut archive = Archive::new();
    let stamper = archive.stamper(4, ["22", "30"]);
    archive.content_info = sequence(&[oid(&DATA)]);
    let index = archive.index_v3();
    archive.archive(&stamper, "20220601", &INDEX_V3, &index);
    assert_proven(&archive.verdict_over(Some(MESSAGE)));
    let verdict = archive.verdict();
    assert_eq!(
        verdict.sub_indication,
        Some(SubIndication::SignedDataNotFound)
    );
}
