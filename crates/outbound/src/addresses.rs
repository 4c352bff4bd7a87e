//! Tells addresses of the public internet from all others.
//!
//! The lists follow IANA's registries of special-purpose addresses (iana-ipv4-special-registry,
//! iana-ipv6-special-registry). An entry that IANA calls globally reachable is refused all the same if it is no place for a
//! server: anycast sinks of DNS, relays, translators. What is permitted in spite of that is up to [`crate::Rules`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses with a common prefix, in the notation of CIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    first: IpAddr,
    bits: u8,
}

impl Block {
    const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Self {
        let first = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        Self { first, bits }
    }

    const fn v6(first: u128, bits: u8) -> Self {
        let first = IpAddr::V6(Ipv6Addr::from_bits(first));
        Self { first, bits }
    }

    /// A block, unless the prefix is too long or `first` is not its first address.
    pub(crate) fn new(first: IpAddr, bits: u8) -> Option<Self> {
        let is_first = match first {
            IpAddr::V4(first) => {
                let host = 32_u32.checked_sub(bits.into())?;
                first.to_bits().trailing_zeros() >= host
            }
            IpAddr::V6(first) => {
                let host = 128_u32.checked_sub(bits.into())?;
                first.to_bits().trailing_zeros() >= host
            }
        };
        is_first.then_some(Self { first, bits })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        // A shift by the whole width is None, which equals None: a prefix of 0 bits contains everything.
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let host = 32_u32.saturating_sub(bits);
                first.to_bits().checked_shr(host) == address.to_bits().checked_shr(host)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let host = 128_u32.saturating_sub(bits);
                first.to_bits().checked_shr(host) == address.to_bits().checked_shr(host)
            }
            _ => false,
        }
    }

    /// The first address, and the length of the prefix.
    pub(crate) fn parts(&self) -> (IpAddr, u8) {
        (self.first, self.bits)
    }

    /// Whether the block is a single address.
    pub(crate) fn is_single(&self) -> bool {
        self.bits == if self.first.is_ipv4() { 32 } else { 128 }
    }
}

/// Reached by nobody, whatever the rules allow: link-local addresses, and those at which clouds give out credentials.
const NEVER: [Block; 8] = [
    Block::v4(169, 254, 0, 0, 16),
    // Azure's WireServer, which is a public address.
    Block::v4(168, 63, 129, 16, 32),
    // Alibaba Cloud.
    Block::v4(100, 100, 100, 200, 32),
    // Oracle Cloud, the classic one.
    Block::v4(192, 0, 0, 192, 32),
    Block::v6(0xfe80 << 112, 10),
    // Amazon, Google and Scaleway.
    Block::v6(0xfd00_0ec2_0000_0000_0000_0000_0000_0254, 128),
    Block::v6(0xfd20_00ce_0000_0000_0000_0000_0000_0254, 128),
    Block::v6(0xfd00_0042_0000_0000_0000_0000_0000_0042, 128),
];

/// Special-purpose addresses of IPv4.
const SPECIAL_V4: [Block; 18] = [
    // "This network"; Linux takes 0.0.0.0 for the host itself.
    Block::v4(0, 0, 0, 0, 8),
    Block::v4(10, 0, 0, 0, 8),
    // Shared by a provider and its customers (CGNAT).
    Block::v4(100, 64, 0, 0, 10),
    Block::v4(127, 0, 0, 0, 8),
    Block::v4(169, 254, 0, 0, 16),
    Block::v4(172, 16, 0, 0, 12),
    // IETF protocol assignments, of which two anycast addresses are reachable.
    Block::v4(192, 0, 0, 0, 24),
    // Documentation.
    Block::v4(192, 0, 2, 0, 24),
    // AS112, AMT and the former 6to4 relays.
    Block::v4(192, 31, 196, 0, 24),
    Block::v4(192, 52, 193, 0, 24),
    Block::v4(192, 88, 99, 0, 24),
    Block::v4(192, 168, 0, 0, 16),
    Block::v4(192, 175, 48, 0, 24),
    // Benchmarks.
    Block::v4(198, 18, 0, 0, 15),
    // Documentation.
    Block::v4(198, 51, 100, 0, 24),
    Block::v4(203, 0, 113, 0, 24),
    // Multicast; then reserved addresses and broadcast.
    Block::v4(224, 0, 0, 0, 4),
    Block::v4(240, 0, 0, 0, 4),
];

/// All that IANA gives out as global unicast. What lies outside is loopback, mapped and translated IPv4 (`::/96`,
/// `::ffff:0:0/96`, `64:ff9b::/96`, `64:ff9b:1::/48`), discard (`100::/64`), segment routing (`5f00::/16`), unique local,
/// link-local, site-local, multicast, or not assigned yet.
const GLOBAL_V6: Block = Block::v6(0x2000 << 112, 3);

/// Special-purpose addresses within [`GLOBAL_V6`].
const SPECIAL_V6: [Block; 6] = [
    // IETF protocol assignments: Teredo, benchmarks, AMT, AS112, ORCHID, drone identifiers.
    Block::v6(0x2001 << 112, 23),
    // Documentation.
    Block::v6(0x2001_0db8 << 96, 32),
    Block::v6(0x3fff << 112, 20),
    // 6to4.
    Block::v6(0x2002 << 112, 16),
    // AS112.
    Block::v6(0x2620_004f_8000 << 80, 48),
    // The former 6bone.
    Block::v6(0x3ffe << 112, 16),
];

/// Whether a server on the public internet can have the address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    let special: &[Block] = match address {
        IpAddr::V4(_) => &SPECIAL_V4,
        IpAddr::V6(_) if GLOBAL_V6.contains(address) => &SPECIAL_V6,
        IpAddr::V6(_) => return false,
    };
    !is_never(address) && !special.iter().any(|block| block.contains(address))
}

/// Whether no rule can allow the address, nor the address of IPv4 that a translator or tunnel would make of it.
pub(crate) fn is_never(address: IpAddr) -> bool {
    let within = match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => embedded(address).map(IpAddr::V4),
    };
    [Some(address), within]
        .into_iter()
        .flatten()
        .any(|address| NEVER.iter().any(|block| block.contains(address)))
}

/// The address of IPv4 to which a packet to this address may go in the end.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        // Compatible, mapped (RFC 4291) and translated (RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        // NAT64 (RFC 6052, RFC 8215).
        [0x64, 0xff9b, 0 | 1, .., high, low] => (high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => (high, low),
        // Teredo (RFC 4380), which stores the complement.
        [0x2001, 0, .., high, low] => (!high, !low),
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn public_addresses_are_public() {
        for text in "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 \
             172.15.255.255 172.32.0.0 192.0.1.1 192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 \
             2001:200::1 2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450:4001:800::200e"
            .split_whitespace()
        {
            assert!(is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn special_purpose_addresses_are_not_public() {
        for text in "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 \
             169.254.0.1 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.1 192.0.0.9 192.0.0.170 192.0.2.1 \
             192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.1 192.175.48.1 198.18.0.1 198.19.255.255 \
             198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16 :: \
             ::1 ::7f00:1 ::10.0.0.1 ::ffff:127.0.0.1 ::ffff:1.1.1.1 ::ffff:0:10.0.0.1 64:ff9b::1.1.1.1 \
             64:ff9b::10.0.0.1 64:ff9b:1::10.0.0.1 100::1 100:0:0:1::1 2001::1 2001:1::1 2001:2::1 2001:3::1 \
             2001:4:112::1 2001:10::1 2001:20::1 2001:30::1 2001:1ff:ffff::1 2001:db8::1 2002::1 \
             2002:a00:1::1 2620:4f:8000::1 3ffe::1 3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1 fd00::1 \
             fdff::1 fe80::1 febf::1 fec0::1 ff02::1 ffff::1"
            .split_whitespace()
        {
            assert!(!is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn metadata_is_found_within_translated_addresses() {
        for text in "169.254.169.254 ::ffff:169.254.169.254 ::169.254.169.254 ::ffff:0:169.254.169.254 \
             64:ff9b::169.254.169.254 64:ff9b:1::169.254.169.254 2002:a9fe:a9fe::1 2001:0:1:2:3:4:5601:5601 \
             2a00::5efe:a9fe:a9fe fe80::a9fe:a9fe fd00:ec2::254 fd20:ce::254 fd00:42::42 \
             ::ffff:168.63.129.16 100.100.100.200 192.0.0.192"
            .split_whitespace()
        {
            assert!(is_never(address(text)), "{text}");
        }
        for text in "10.0.0.1 ::1 fd00::1 ::ffff:10.0.0.1 2002:a00:1::1 1.1.1.1".split_whitespace()
        {
            assert!(!is_never(address(text)), "{text}");
        }
    }

    #[test]
    fn blocks_contain_their_first_and_last_address() {
        for (first, bits, last, next) in [
            ("10.0.0.0", 8, "10.255.255.255", "11.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3", "10.1.2.4"),
            (
                "fd00::",
                8,
                "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                "fe00::",
            ),
        ] {
            let block = Block::new(address(first), bits).unwrap();
            assert!(block.contains(address(first)) && block.contains(address(last)));
            assert!(!block.contains(address(next)));
        }
        let all = Block::new(address("0.0.0.0"), 0).unwrap();
        assert!(all.contains(address("255.255.255.255")) && !all.contains(address("::")));
        assert_eq!(Block::new(address("10.0.0.1"), 8), None);
        assert_eq!(Block::new(address("10.0.0.0"), 33), None);
        assert_eq!(Block::new(address("::"), 129), None);
    }
}
