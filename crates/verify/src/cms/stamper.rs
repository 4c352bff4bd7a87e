//! Time stamps for tests, by authorities that this makes by itself, of any time.

use aws_lc_rs::digest::{SHA256 as SHA_256, digest};

use crate::pki::authority::{
    Party, SHA256, SIGNED_DATA, algorithm, attribute, name, oid, sequence,
};
use crate::pki::ber::tlv;

const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
const TST_INFO: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 1, 4];
const CONTENT_TYPE: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 3];
const MESSAGE_DIGEST: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 4];
const SIGNING_CERTIFICATE_V2: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 47];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
const TIME_STAMPING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 8];
const UTF8: u8 = 0x0c;

pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA_256, bytes).as_ref().to_vec()
}

/// A certificate with a serial number, valid from the beginning of one year (two digits) to that of another.
pub(crate) fn certificate(
    issuer: &Party,
    of: &Party,
    serial: u8,
    years: [&str; 2],
    stamps: bool,
) -> Vec<u8> {
    let extension =
        |kind: &[u64], value: &[u8]| sequence(&[oid(kind), tlv(0x01, &[0xff]), tlv(0x04, value)]);
    let mut extensions = vec![extension(&KEY_USAGE, &[3, 2, 7, 0x80])];
    if stamps {
        let usages = sequence(&[oid(&TIME_STAMPING)]);
        extensions.push(extension(&EXTENDED_KEY_USAGE, &usages));
    }
    let validity = years.map(|year| tlv(0x17, format!("{year}0101000000Z").as_bytes()));
    issuer.signed(
        sequence(&[
            tlv(0xa0, &tlv(0x02, &[2])),
            tlv(0x02, &[serial]),
            algorithm(&ECDSA_SHA256),
            issuer.name.clone(),
            sequence(&validity),
            of.name.clone(),
            of.public_key(),
            tlv(0xa3, &sequence(&extensions)),
        ]),
        algorithm(&ECDSA_SHA256),
    )
}

/// An authority that stamps.
pub(crate) struct Stamper {
    party: Party,
    issuer: Vec<u8>,
    serial: u8,
    certificate: Vec<u8>,
}

impl Stamper {
    /// One whose certificate is by this issuer and for these years.
    pub(crate) fn new(issuer: &Party, serial: u8, years: [&str; 2]) -> Self {
        let party = Party::new(name(UTF8, &format!("Stamper {serial}")));
        Self {
            certificate: certificate(issuer, &party, serial, years, true),
            issuer: issuer.name.clone(),
            party,
            serial,
        }
    }

    /// A token of some bytes, made at a time (`YYYYMMDD`), with these unsigned attributes.
    pub(crate) fn stamp(&self, stamped: &[u8], day: &str, unsigned: &[u8]) -> Vec<u8> {
        let info = sequence(&[
            tlv(0x02, &[1]),
            oid(&[1, 2, 3]),
            sequence(&[algorithm(&SHA256), tlv(0x04, &sha256(stamped))]),
            tlv(0x02, &[1]),
            tlv(0x18, format!("{day}120000Z").as_bytes()),
        ]);
        let named = sequence(&[tlv(0x04, &sha256(&self.certificate))]);
        let attributes = [
            attribute(&CONTENT_TYPE, &oid(&TST_INFO)),
            attribute(&MESSAGE_DIGEST, &tlv(0x04, &sha256(&info))),
            attribute(&SIGNING_CERTIFICATE_V2, &sequence(&[sequence(&[named])])),
        ]
        .concat();
        let value = self.party.sign(&tlv(0x31, &attributes));
        let mut signer = vec![
            tlv(0x02, &[1]),
            sequence(&[self.issuer.clone(), tlv(0x02, &[self.serial])]),
            algorithm(&SHA256),
            tlv(0xa0, &attributes),
            algorithm(&ECDSA_SHA256),
            tlv(0x04, &value),
        ];
        if !unsigned.is_empty() {
            signer.push(tlv(0xa1, unsigned));
        }
        let signed_data = sequence(&[
            tlv(0x02, &[3]),
            tlv(0x31, &algorithm(&SHA256)),
            sequence(&[oid(&TST_INFO), tlv(0xa0, &tlv(0x04, &info))]),
            tlv(0xa0, &self.certificate),
            tlv(0x31, &sequence(&signer)),
        ]);
        sequence(&[oid(&SIGNED_DATA), tlv(0xa0, &signed_data)])
    }
}
