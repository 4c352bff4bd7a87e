//! Time stamps of any time for tests, by authorities made here.

use aws_lc_rs::digest::{SHA256 as SHA_256, digest};

use crate::pki::authority::{
    Party, SHA256, SIGNED_DATA, algorithm, attribute, extension, name, oid, sequence,
};
use crate::pki::ber::tlv;

const ECDSA_SHA256: [u64; 7] = [1, 2, 840, 10045, 4, 3, 2];
const TST_INFO: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 1, 4];
const CONTENT_TYPE: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 3];
const MESSAGE_DIGEST: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 4];
const SIGNING_CERTIFICATE_V2: [u64; 9] = [1, 2, 840, 113_549, 1, 9, 16, 2, 47];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
pub(crate) const TIME_STAMPING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 8];
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
    let usages = if stamps {
        usages(true, &[&TIME_STAMPING])
    } else {
        Vec::new()
    };
    certificate_with(issuer, of, serial, years, &usages)
}

/// The extension that restricts a key to these usages.
pub(crate) fn usages(is_critical: bool, usages: &[&[u64]]) -> Vec<u8> {
    let usages: Vec<_> = usages.iter().map(|usage| oid(usage)).collect();
    extension(&EXTENDED_KEY_USAGE, is_critical, &sequence(&usages))
}

/// Like [`certificate`], with this extension.
fn certificate_with(
    issuer: &Party,
    of: &Party,
    serial: u8,
    years: [&str; 2],
    usages: &[u8],
) -> Vec<u8> {
    let extensions = [
        extension(&KEY_USAGE, true, &[3, 2, 7, 0x80]),
        usages.to_vec(),
    ];
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

/// Options for making a token.
pub(crate) struct Making {
    pub(crate) version: u8,
    /// The fields after the time.
    pub(crate) fields: Vec<u8>,
    pub(crate) content_type: &'static [u64],
    /// Whether the signed attributes name the certificate.
    pub(crate) names_certificate: bool,
    /// The number of copies of the signer.
    pub(crate) signers: usize,
}

impl Default for Making {
    fn default() -> Self {
        Self {
            version: 1,
            fields: Vec::new(),
            content_type: &TST_INFO,
            names_certificate: true,
            signers: 1,
        }
    }
}

/// A time-stamping authority.
pub(crate) struct Stamper {
    party: Party,
    issuer: Vec<u8>,
    serial: u8,
    certificate: Vec<u8>,
}

impl Stamper {
    /// An authority with a certificate of this issuer, for these years.
    pub(crate) fn new(issuer: &Party, serial: u8, years: [&str; 2]) -> Self {
        let party = Party::new(name(UTF8, &format!("Stamper {serial}")));
        Self {
            certificate: certificate(issuer, &party, serial, years, true),
            issuer: issuer.name.clone(),
            party,
            serial,
        }
    }

    /// Like [`Self::new`], with another extension that restricts its key.
    pub(crate) fn with_usages(issuer: &Party, serial: u8, usages: &[u8]) -> Self {
        let party = Party::new(name(UTF8, &format!("Stamper {serial}")));
        let certificate = certificate_with(issuer, &party, serial, ["20", "30"], usages);
        Self {
            certificate,
            issuer: issuer.name.clone(),
            party,
            serial,
        }
    }

    /// A token of some bytes, made on a day (`YYYYMMDD`), with these unsigned attributes.
    pub(crate) fn stamp(&self, stamped: &[u8], day: &str, unsigned: &[u8]) -> Vec<u8> {
        self.stamp_as(stamped, day, unsigned, &Making::default())
    }

    /// A token that is made with these options.
    pub(crate) fn stamp_as(
        &self,
        stamped: &[u8],
        day: &str,
        unsigned: &[u8],
        making: &Making,
    ) -> Vec<u8> {
        let info = sequence(&[
            tlv(0x02, &[making.version]),
            oid(&[1, 2, 3]),
            sequence(&[algorithm(&SHA256), tlv(0x04, &sha256(stamped))]),
            tlv(0x02, &[1]),
            tlv(0x18, format!("{day}120000Z").as_bytes()),
            making.fields.clone(),
        ]);
        let content_type = oid(making.content_type);
        let named = sequence(&[tlv(0x04, &sha256(&self.certificate))]);
        let mut attributes = vec![
            attribute(&CONTENT_TYPE, &content_type),
            attribute(&MESSAGE_DIGEST, &tlv(0x04, &sha256(&info))),
        ];
        if making.names_certificate {
            let named = sequence(&[sequence(&[named])]);
            attributes.push(attribute(&SIGNING_CERTIFICATE_V2, &named));
        }
        let attributes = attributes.concat();
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
            sequence(&[content_type, tlv(0xa0, &tlv(0x04, &info))]),
            tlv(0xa0, &self.certificate),
            tlv(0x31, &sequence(&signer).repeat(making.signers)),
        ]);
        sequence(&[oid(&SIGNED_DATA), tlv(0xa0, &signed_data)])
    }
}
