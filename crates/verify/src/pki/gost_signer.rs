//! A signer by GOST R 34.10-2015 for tests: OpenSSL can't make such signatures.

use super::authority::{DATA, SIGNED_DATA, UTF8, algorithm, name, oid, sequence};
use super::ber::tlv;
use super::gost::tests::{key, sign_with};
use super::hash::Hash;

/// OIDs of its key and its signatures, as Kazakhstan's authority defines them.
const KEY: [u64; 9] = [1, 2, 398, 3, 10, 1, 1, 2, 2];
const SIGNATURE: [u64; 10] = [1, 2, 398, 3, 10, 1, 1, 2, 3, 2];
const STREEBOG: [u64; 8] = [1, 2, 398, 3, 10, 1, 3, 3];

/// The signer's name.
fn own_name() -> Vec<u8> {
    name(UTF8, "GOST")
}

/// The signer's certificate, without a valid signature, in DER.
pub(crate) fn certificate() -> Vec<u8> {
    let validity = [&b"260101000000Z"[..], b"491231235959Z"].map(|time| tlv(0x17, time));
    let public_key = [vec![0], tlv(0x04, &key())].concat();
    let tbs = sequence(&[
        tlv(0xa0, &tlv(0x02, &[2])),
        tlv(0x02, &[1]),
        algorithm(&SIGNATURE),
        own_name(),
        sequence(&validity),
        own_name(),
        sequence(&[algorithm(&KEY), tlv(0x03, &public_key)]),
    ]);
    sequence(&[tbs, algorithm(&SIGNATURE), tlv(0x03, &[0, 0])])
}

/// A signature of a message.
pub(crate) fn sign(message: &[u8]) -> Vec<u8> {
    sign_with(&Hash::Streebog512.digest(message))
}

/// A CMS with a message and its signature, without signed attributes, in DER.
pub(crate) fn cms(message: &[u8]) -> Vec<u8> {
    let signer = sequence(&[
        tlv(0x02, &[1]),
        sequence(&[own_name(), tlv(0x02, &[1])]),
        algorithm(&STREEBOG),
        algorithm(&SIGNATURE),
        tlv(0x04, &sign(message)),
    ]);
    let signed_data = sequence(&[
        tlv(0x02, &[1]),
        tlv(0x31, &algorithm(&STREEBOG)),
        sequence(&[oid(&DATA), tlv(0xa0, &tlv(0x04, message))]),
        tlv(0xa0, &certificate()),
        tlv(0x31, &signer),
    ]);
    sequence(&[oid(&SIGNED_DATA), tlv(0xa0, &signed_data)])
}
