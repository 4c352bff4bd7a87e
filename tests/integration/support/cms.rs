//! Signatures made from others by changing or removing parts of their DER.

/// The end of the header of the DER value at this offset, and the end of the value.
fn bounds(der: &[u8], place: usize) -> (usize, usize) {
    let first = usize::from(der[place + 1]);
    let digits = first.saturating_sub(0x80);
    let begin = place + 2 + digits;
    let length = if digits == 0 {
        first
    } else {
        let digits = der[place + 2..begin].iter();
        digits.fold(0, |length, digit| length * 256 + usize::from(*digit))
    };
    (begin, begin + length)
}

/// The DER values inside the value at this offset.
fn inside(der: &[u8], place: usize) -> Vec<&[u8]> {
    let (mut at, end) = bounds(der, place);
    let mut values = Vec::new();
    while at < end {
        let (_, after) = bounds(der, at);
        values.push(&der[at..after]);
        at = after;
    }
    values
}

fn value(tag: u8, inside: &[&[u8]]) -> Vec<u8> {
    let inside = inside.concat();
    let length = u32::try_from(inside.len()).unwrap().to_be_bytes();
    [&[tag, 0x84][..], &length, &inside].concat()
}

/// A CMS without the content that it carried, and that content.
pub(crate) fn detached(cms: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let outer = inside(cms, 0);
    let wrapped = inside(outer[1], 0);
    let mut fields = inside(wrapped[0], 0);
    let encapsulated = inside(fields[2], 0);
    let octets = inside(encapsulated[1], 0);
    let (begin, end) = bounds(octets[0], 0);
    let content = octets[0][begin..end].to_vec();
    let without = value(0x30, &encapsulated[..1]);
    fields[2] = &without;
    let data = value(0x30, &fields);
    (value(0x30, &[outer[0], &value(0xa0, &[&data])]), content)
}

/// A copy with another last byte. In a CMS without unsigned attributes, this byte belongs to the value of its last
/// signature.
pub(crate) fn forged(cms: &[u8]) -> Vec<u8> {
    let mut forged = cms.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    forged
}

/// A copy in which the first occurrence of some bytes is replaced by others of the same length.
#[track_caller]
pub(crate) fn replaced(cms: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut windows = cms.windows(from.len());
    let place = windows.position(|window| window == from).unwrap();
    let mut replaced = cms.to_vec();
    replaced[place..place + to.len()].copy_from_slice(to);
    replaced
}
