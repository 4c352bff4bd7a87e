//! Time stamps that break rules, and time stamps of countersignatures and detached signatures.

use super::archive_tests::{
    ARCHIVE_V2, Archive, ECDSA_SHA256, INDEX_V3, MESSAGE, SIGNATURE_TIMESTAMP, SIGNED_MS,
    assert_over, assert_proven,
};
use super::stamper::{Making, Stamper, TIME_STAMPING, certificate, sha256, usages};
use super::{Level, inspect};
use crate::pki::authority::{
    DATA, Parts, Party, Role, SHA256, UTF8, algorithm, attribute, extension, name, oid, sequence,
};
use crate::pki::ber::tlv;
use crate::pki::{Basis, Indication, SubIndication};

const COUNTERSIGNATURE: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 6];
const CODE_SIGNING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 3];

impl Archive {
    /// Replaces its unsigned attributes by this token, as the only stamp of the value.
    fn stamped_by(mut self, token: impl FnOnce(&Self) -> Vec<u8>) -> Self {
        let token = token(&self);
        self.unsigned = vec![attribute(&SIGNATURE_TIMESTAMP, &token)];
        self
    }

    fn proven_ms(&self) -> Option<i64> {
        self.verdict().proven_time_ms
    }
}

#[test]
fn whose_key_is_for_time_stamps_alone_may_make_them() {
    let by = |usages: &[u8]| {
        let archive = Archive::new().stamped_by(|archive| {
            let stamper = Stamper::with_usages(&archive.root, 4, usages);
            stamper.stamp(&archive.value, "20210301", &[])
        });
        archive.proven_ms()
    };
    assert_eq!(by(&usages(true, &[&TIME_STAMPING])), Some(SIGNED_MS));
    assert_eq!(by(&usages(false, &[&TIME_STAMPING])), None);
    assert_eq!(by(&usages(true, &[&TIME_STAMPING, &CODE_SIGNING])), None);
    assert_eq!(by(&usages(true, &[&CODE_SIGNING])), None);
    let twice = usages(true, &[&TIME_STAMPING]).repeat(2);
    assert_eq!(by(&twice), None);
    assert_eq!(by(&[]), None);
}

#[test]
fn tokens_that_are_not_made_as_they_must_be_prove_nothing() {
    let made = |making: Making| {
        let archive = Archive::new().stamped_by(|archive| {
            let stamper = archive.stamper(4, ["20", "30"]);
            stamper.stamp_as(&archive.value, "20210301", &[], &making)
        });
        archive.proven_ms()
    };
    let with = |fields: Vec<u8>| {
        made(Making {
            fields,
            ..Making::default()
        })
    };
    let extensions = |is_critical| tlv(0xa1, &extension(&[1, 2, 3, 4], is_critical, &[5, 0]));
    // Accuracy, ordering, a nonce and a name.
    let usual = [
        sequence(&[tlv(0x02, &[1])]),
        tlv(0x01, &[0xff]),
        tlv(0x02, &[9]),
        tlv(0xa0, &tlv(0xa4, &name(UTF8, "Stamper 4"))),
        extensions(false),
    ];
    assert_eq!(with(usual.concat()), Some(SIGNED_MS));
    assert_eq!(with(extensions(true)), None);
    let wrong = [
        Making {
            version: 2,
            ..Making::default()
        },
        Making {
            content_type: &DATA,
            ..Making::default()
        },
        Making {
            names_certificate: false,
            ..Making::default()
        },
        Making {
            signers: 0,
            ..Making::default()
        },
        Making {
            signers: 2,
            ..Making::default()
        },
    ];
    for (place, making) in wrong.into_iter().enumerate() {
        assert_eq!(made(making), None, "{place}");
    }
}

#[test]
fn times_that_cannot_be_are_not_proven() {
    for (years, day) in [
        // Before the stamper's certificate begins, by a certificate that has expired by now, and in the future.
        (["22", "30"], "20210301"),
        (["20", "25"], "20210301"),
        (["20", "30"], "20270301"),
    ] {
        let archive = Archive::new().stamped_by(|archive| {
            let stamper = archive.stamper(4, years);
            stamper.stamp(&archive.value, day, &[])
        });
        assert_eq!(archive.proven_ms(), None, "{years:?} {day}");
    }
    // Before the signer's certificate begins.
    let early = Archive::new().stamped_by(|archive| {
        let stamper = Stamper::new(&archive.root, 4, ["10", "30"]);
        stamper.stamp(&archive.value, "20150301", &[])
    });
    assert_over(&early.verdict());
}

#[test]
fn nobody_has_stamped_what_was_made_later() {
    for (later, proven) in [("20210501", SIGNED_MS), ("20210701", 1_625_140_800_000)] {
        let mut archive = Archive::new();
        let good = archive.stamper(4, ["20", "30"]);
        let stamp = good.stamp(&archive.value, later, &[]);
        archive
            .unsigned
            .push(attribute(&SIGNATURE_TIMESTAMP, &stamp));
        let index = archive.index_v3();
        let stamper = archive.stamper(5, ["20", "30"]);
        archive.archive(&stamper, "20210601", &INDEX_V3, &index);
        assert_eq!(archive.proven_ms(), Some(proven), "{later}");
    }
    // A time stated by an untrusted authority is no reason to doubt another.
    let mut archive = Archive::new();
    let stranger = Stamper::new(&Party::new(name(UTF8, "Stranger")), 4, ["20", "30"]);
    let stamp = stranger.stamp(&archive.value, "20210701", &[]);
    archive
        .unsigned
        .push(attribute(&SIGNATURE_TIMESTAMP, &stamp));
    let index = archive.index_v3();
    let stamper = archive.stamper(5, ["20", "30"]);
    archive.archive(&stamper, "20210601", &INDEX_V3, &index);
    assert_proven(&archive.verdict());
}

#[test]
fn a_stamp_of_version_2_stamps_nothing_along_that_it_leaves_out() {
    let mut archive = Archive::new();
    // Two stamps by an authority whose certificate has expired share an attribute; one of them is later than the good
    // stamp.
    let over = archive.stamper(3, ["20", "23"]);
    archive.unsigned.clear();
    let stamped = [
        &archive.content_info[..],
        &tlv(0xa0, &archive.certificates.concat()),
        &archive.signer,
    ]
    .concat();
    let good = archive.stamper(4, ["20", "30"]);
    let token = good.stamp(&stamped, "20210901", &[]);
    archive.unsigned.push(attribute(&ARCHIVE_V2, &token));
    let older = over.stamp(&stamped, "20210301", &[]);
    let later = over.stamp(b"whatever", "20220301", &[]);
    let both = [older, later].concat();
    archive.unsigned.push(attribute(&ARCHIVE_V2, &both));
    let verdict = archive.verdict();
    assert_eq!(verdict.proven_time_ms, Some(1_630_497_600_000));
}

#[test]
fn archive_stamps_are_judged_by_the_digest_that_was_signed_along_where_the_content_is_elsewhere() {
    let mut archive = Archive::detached();
    assert_eq!(archive.proven_ms(), None);
    let index = archive.index_v3();
    let stamper = archive.stamper(4, ["22", "30"]);
    archive.archive(&stamper, "20220601", &INDEX_V3, &index);
    let verdict = archive.verdict();
    let apart = verdict.apart_from_content.unwrap();
    assert_eq!(apart.indication, Indication::TotalPassed, "{apart:?}");
    assert_eq!(verdict.proven_time_ms, Some(SIGNED_MS));
    assert_proven(&archive.verdict_over(Some(MESSAGE)));
    assert_eq!(archive.verdict_over(Some(b"other")).intact, Some(false));
}

impl Archive {
    /// A detached signature, with the signed digest of the content.
    fn detached() -> Self {
        let mut archive = Self::new();
        let person = Party::new(name(UTF8, "Somebody"));
        archive.certificates = vec![certificate(&archive.root, &person, 2, ["20", "22"], false)];
        archive.content_info = sequence(&[oid(&DATA)]);
        let attributes = [
            attribute(&[1, 2, 840, 113_549, 1, 9, 3], &oid(&DATA)),
            attribute(&[1, 2, 840, 113_549, 1, 9, 4], &tlv(0x04, &sha256(MESSAGE))),
        ]
        .concat();
        archive.value = person.sign(&tlv(0x31, &attributes));
        archive.signer = [
            tlv(0x02, &[1]),
            sequence(&[archive.root.name.clone(), tlv(0x02, &[2])]),
            algorithm(&SHA256),
            tlv(0xa0, &attributes),
            algorithm(&ECDSA_SHA256),
            tlv(0x04, &archive.value),
        ]
        .concat();
        archive.stamped_by(|archive| {
            let stamper = archive.stamper(3, ["20", "23"]);
            stamper.stamp(&archive.value, "20210301", &[])
        })
    }

    /// Adds a countersignature by a certificate that ended with 2021. `unsigned` makes its unsigned attributes from its
    /// value.
    fn countersign(&mut self, unsigned: impl FnOnce(&[u8]) -> Vec<u8>) {
        let person = Party::new(name(UTF8, "Notary"));
        let own = certificate(&self.root, &person, 7, ["20", "22"], false);
        self.certificates.push(own);
        let value = person.sign(&self.value);
        let unsigned = unsigned(&value);
        let signer = sequence(&[
            tlv(0x02, &[1]),
            sequence(&[self.root.name.clone(), tlv(0x02, &[7])]),
            algorithm(&SHA256),
            algorithm(&ECDSA_SHA256),
            tlv(0x04, &value),
            // A long attribute, so that all lengths have two bytes.
            tlv(
                0xa1,
                &[attribute(&[1, 2, 3, 4], &tlv(0x04, &[7; 300])), unsigned].concat(),
            ),
        ]);
        self.unsigned.push(attribute(&COUNTERSIGNATURE, &signer));
    }
}

#[test]
fn stamps_of_a_signature_and_of_its_countersignature_are_not_taken_for_each_other() {
    let mut archive = Archive::new().stamped_by(|archive| {
        let stamper = archive.stamper(3, ["20", "30"]);
        stamper.stamp(&archive.value, "20210301", &[])
    });
    archive.countersign(|_| Vec::new());
    let verdict = archive.verdict();
    assert_proven(&verdict);
    assert_over(&verdict.countersignatures[0]);

    let mut archive = Archive::new();
    archive.unsigned.clear();
    let stamper = archive.stamper(3, ["20", "30"]);
    archive.countersign(|value| {
        let token = stamper.stamp(value, "20210301", &[]);
        attribute(&SIGNATURE_TIMESTAMP, &token)
    });
    let verdict = archive.verdict();
    assert_over(&verdict);
    assert_proven(&verdict.countersignatures[0]);
}

#[test]
fn an_archive_stamp_proves_that_a_countersignature_was_there() {
    // The countersigner's stamp is by an authority whose certificate has expired by now.
    for is_stamped in [false, true] {
        let mut archive = Archive::new();
        let over = archive.stamper(8, ["20", "23"]);
        archive.countersign(|value| {
            let token = over.stamp(value, "20210301", &[]);
            let stamp = attribute(&SIGNATURE_TIMESTAMP, &token);
            if is_stamped { stamp } else { Vec::new() }
        });
        let before = archive.verdict();
        assert_over(&before.countersignatures[0]);
        let mut late = archive.unsigned.clone();
        let index = archive.index_v3();
        let stamper = archive.stamper(4, ["20", "30"]);
        archive.archive(&stamper, "20211001", &INDEX_V3, &index);
        let verdict = archive.verdict();
        assert_proven(&verdict);
        let countersigned = &verdict.countersignatures[0];
        if is_stamped {
            assert_proven(countersigned);
        } else {
            assert_eq!(countersigned.indication, Indication::TotalPassed);
            assert_eq!(countersigned.judged_by, Basis::Proven);
            assert_eq!(countersigned.proven_time_ms, Some(1_633_089_600_000));
        }
        // A countersignature that came after the archive stamp is not proven by it.
        let other = late.pop().unwrap();
        archive.unsigned = late;
        let index = archive.index_v3();
        archive.archive(&stamper, "20211001", &INDEX_V3, &index);
        archive.unsigned.push(other);
        let verdict = archive.verdict();
        assert_proven(&verdict);
        let why = Some(SubIndication::OutOfBoundsNoPoe);
        assert_eq!(verdict.countersignatures[0].sub_indication, why);
    }
}

#[test]
fn a_level_is_told_by_all_that_is_there_of_it() {
    let root = Party::new(name(UTF8, "Test Root"));
    let list = root.list_since(&[9], "220101");
    let named = attribute(&[1, 2, 840, 113_549, 1, 9, 16, 2, 47], &sequence(&[]));
    let stamp = attribute(&SIGNATURE_TIMESTAMP, &sequence(&[]));
    let values = attribute(&[1, 2, 840, 113_549, 1, 9, 16, 2, 24], &sequence(&[]));
    let level = |unsigned: &[&[u8]], lists: &[Vec<u8>]| {
        let cms = root.cms_of(&Parts {
            content: tlv(0x04, MESSAGE),
            signed: MESSAGE.to_vec(),
            attributes: Some(named.clone()),
            unsigned: unsigned.concat(),
            identifier: (&root.name, 2),
            certificates: &[],
            lists,
        });
        inspect(&cms).unwrap().signers.remove(0).level
    };
    let list = [list];
    assert_eq!(level(&[], &[]), Level::B);
    assert_eq!(level(&[], &list), Level::B);
    assert_eq!(level(&[&values], &[]), Level::B);
    assert_eq!(level(&[&stamp], &[]), Level::T);
    assert_eq!(level(&[&stamp], &list), Level::Lt);
    assert_eq!(level(&[&stamp, &values], &[]), Level::Lt);
    let archived = attribute(&ARCHIVE_V2, &sequence(&[]));
    assert_eq!(level(&[&stamp, &archived], &list), Level::Lta);
}

impl Archive {
    /// A signature of March 2021 below an authority that was revoked in June 2022. `is_named` says whether the signed
    /// attributes name its certificate.
    fn below_a_revoked_authority(is_named: bool) -> Self {
        let mut archive = Self::new();
        let [middle, person] = ["Middle", "Somebody"].map(|it| Party::new(name(UTF8, it)));
        let own = certificate(&middle, &person, 2, ["20", "22"], false);
        let named = sequence(&[sequence(&[sequence(&[tlv(0x04, &sha256(&own))])])]);
        let attributes = [
            attribute(&[1, 2, 840, 113_549, 1, 9, 3], &oid(&DATA)),
            attribute(&[1, 2, 840, 113_549, 1, 9, 4], &tlv(0x04, &sha256(MESSAGE))),
            attribute(&[1, 2, 840, 113_549, 1, 9, 16, 2, 47], &named),
        ];
        let attributes = attributes[..if is_named { 3 } else { 2 }].concat();
        archive.value = person.sign(&tlv(0x31, &attributes));
        archive.signer = [
            tlv(0x02, &[1]),
            sequence(&[middle.name.clone(), tlv(0x02, &[2])]),
            algorithm(&SHA256),
            tlv(0xa0, &attributes),
            algorithm(&ECDSA_SHA256),
            tlv(0x04, &archive.value),
        ]
        .concat();
        let authority = archive.root.certify(&middle, Role::Authority, 5);
        archive.certificates = vec![own, authority];
        archive.lists = vec![archive.root.list_since(&[5], "220601")];
        archive.stamped_by(|archive| {
            let stamper = archive.stamper(3, ["20", "30"]);
            stamper.stamp(&archive.value, "20210301", &[])
        })
    }
}

#[test]
fn below_a_revoked_authority_certificates_must_be_proven_to_be_older() {
    assert_proven(&Archive::below_a_revoked_authority(true).verdict());
    let archived = |day: &str, names_certificates: bool| {
        let mut archive = Archive::below_a_revoked_authority(false);
        let certificates = archive.certificates.clone();
        if !names_certificates {
            archive.certificates.clear();
        }
        let index = archive.index_v3();
        archive.certificates = certificates;
        let stamper = archive.stamper(4, ["20", "30"]);
        archive.archive(&stamper, day, &INDEX_V3, &index);
        archive.verdict()
    };
    assert_proven(&archived("20220301", true));
    let why = Some(SubIndication::RevokedCaNoPoe);
    for verdict in [
        Archive::below_a_revoked_authority(false).verdict(),
        // The archive stamp does not cover them, or is later than the revocation.
        archived("20220301", false),
        archived("20220901", true),
    ] {
        assert_eq!(verdict.proven_time_ms, Some(SIGNED_MS));
        assert_eq!(verdict.sub_indication, why, "{verdict:?}");
    }
}
