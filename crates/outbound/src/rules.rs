//! Rules about which addresses may be reached: nothing but public ones by https at port 443, and what operators allow.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::addresses::{Block, is_never, is_public};

/// The port of https.
const HTTPS: u16 = 443;

/// Addresses that may be reached.
///
/// Without an allowance these are public unicast addresses, by https, at port 443.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Addresses that may be reached in addition.
    pub allow: Vec<Allowance>,
}

impl Rules {
    /// Whether a connection may go to the address.
    pub(crate) fn permit(&self, address: IpAddr, port: u16, is_https: bool) -> bool {
        let is_allowed = || {
            self.allow
                .iter()
                .any(|allowance| allowance.covers(address, port))
        };
        let is_ordinary = is_https && port == HTTPS && is_public(address);
        !is_never(address) && (is_ordinary || is_allowed())
    }

    /// Whether there is any address to which such a connection may go.
    pub(crate) fn permit_some(&self, port: u16, is_https: bool) -> bool {
        let is_allowed = || self.allow.iter().any(|allowance| allowance.has_port(port));
        (is_https && port == HTTPS) || is_allowed()
    }
}

/// Addresses that an operator allows, also by plain http: at one port, or at all.
///
/// Written as an address or a block in CIDR notation, and after a colon the port. An address of IPv6 is always in
/// brackets, and only the address is, so that a port can't be taken for a part of it:
///
/// | text | allows |
/// | --- | --- |
/// | `10.0.0.0/8` | each address of the block, at all ports |
/// | `192.168.1.7:8443` | one address, at one port |
/// | `127.0.0.0/8:9000` | each address of the block, at one port |
/// | `[::1]`, `[::1]:8443` | one address of IPv6 |
/// | `[fd00::]/8`, `[fd00::]/8:8443` | a block of IPv6 |
///
/// Addresses of IPv4 that are written in IPv6 (`::ffff:10.0.0.1`) are not covered by a block of IPv4. Link-local
/// addresses and those of cloud metadata are never reached, even if a block covers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    block: Block,
    port: Option<u16>,
}

impl Allowance {
    fn covers(&self, address: IpAddr, port: u16) -> bool {
        self.has_port(port) && self.block.contains(address)
    }

    fn has_port(&self, port: u16) -> bool {
        self.port.is_none_or(|allowed| allowed == port)
    }
}

/// Reasons for which a text is no [`Allowance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowanceError {
    /// It is not written as one.
    #[error(
        "An allowance is an address or a block, and maybe a port: 10.0.0.0/8, 192.168.1.7:8443, [fd00::]/8 or [::1]:8443. Addresses of IPv6 are in brackets"
    )]
    Syntax,
    /// The address is not the first one of the block.
    #[error("The block does not begin with this address: write 10.0.0.0/8, not 10.1.2.3/8")]
    NotFirst,
    /// The addresses are never reached.
    #[error("Link-local addresses and those of cloud metadata can't be allowed")]
    Never,
}

impl FromStr for Allowance {
    type Err = AllowanceError;

    fn from_str(text: &str) -> Result<Self, AllowanceError> {
        let (first, rest) = match text.strip_prefix('[') {
            Some(text) => {
                let (address, rest) = text.split_once(']').ok_or(AllowanceError::Syntax)?;
                (address.parse::<Ipv6Addr>().map(IpAddr::V6), rest)
            }
            None => {
                let end = text.find(['/', ':']).unwrap_or(text.len());
                let (address, rest) = text.split_at(end);
                (address.parse::<Ipv4Addr>().map(IpAddr::V4), rest)
            }
        };
        let first = first.map_err(|_| AllowanceError::Syntax)?;
        let (prefix, port) = match rest.split_once(':') {
            Some((prefix, port)) => (prefix, Some(number(port)?)),
            None => (rest, None),
        };
        let bits = match prefix.strip_prefix('/') {
            Some(bits) => number(bits)?,
            None if prefix.is_empty() && first.is_ipv4() => 32,
            None if prefix.is_empty() => 128,
            None => return Err(AllowanceError::Syntax),
        };
        let is_too_long = bits > if first.is_ipv4() { 32 } else { 128 };
        if is_too_long || port == Some(0) {
            return Err(AllowanceError::Syntax);
        }
        if is_never(first) {
            return Err(AllowanceError::Never);
        }
        let block = Block::new(first, bits).ok_or(AllowanceError::NotFirst)?;
        Ok(Self { block, port })
    }
}

/// Reads a number without sign or leading zeros.
fn number<T: FromStr + ToString>(text: &str) -> Result<T, AllowanceError> {
    text.parse()
        .ok()
        .filter(|number: &T| number.to_string() == text)
        .ok_or(AllowanceError::Syntax)
}

impl fmt::Display for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, bits) = self.block.parts();
        match first {
            IpAddr::V4(first) => write!(f, "{first}")?,
            IpAddr::V6(first) => write!(f, "[{first}]")?,
        }
        if !self.block.is_single() {
            write!(f, "/{bits}")?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allow: &[&str]) -> Rules {
        let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        Rules { allow }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn allowances_are_written_in_one_way() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.168.1.7:8443",
            "127.0.0.0/8:9000",
            "192.168.1.7",
            "[fd00::]/8",
            "[fd00::]/8:8443",
            "[::1]",
            "[::1]:65535",
        ] {
            assert_eq!(text.parse::<Allowance>().unwrap().to_string(), text);
        }
        assert_eq!(
            "10.0.0.1/32".parse::<Allowance>().unwrap().to_string(),
            "10.0.0.1"
        );
        for text in [
            "",
            "10",
            "10.0.0",
            "010.0.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "10.0.0.0/8:",
            "10.0.0.0/8:0",
            "10.0.0.0/8:65536",
            "10.0.0.0:1/8",
            " 10.0.0.0/8",
            "fd00::/8",
            "::1",
            "[fd00::/8]",
            "[fd00::]8",
            "[fd00::]/129",
            "[fd00::",
            "[10.0.0.1]",
            "[fe80::1%eth0]",
            "localhost",
            "*",
        ] {
            assert_eq!(
                text.parse::<Allowance>(),
                Err(AllowanceError::Syntax),
                "{text}"
            );
        }
        assert_eq!(
            "10.1.2.3/8".parse::<Allowance>(),
            Err(AllowanceError::NotFirst)
        );
        for text in [
            "169.254.169.254",
            "169.254.0.0/16",
            "[fe80::]/10",
            "[fd00:ec2::254]:80",
        ] {
            assert_eq!(
                text.parse::<Allowance>(),
                Err(AllowanceError::Never),
                "{text}"
            );
        }
    }

    #[test]
    fn without_an_allowance_only_https_to_public_addresses_is_permitted() {
        let rules = Rules::default();
        assert!(rules.permit(address("1.1.1.1"), 443, true));
        assert!(!rules.permit(address("1.1.1.1"), 443, false));
        assert!(!rules.permit(address("1.1.1.1"), 8443, true));
        assert!(!rules.permit(address("10.0.0.1"), 443, true));
        assert!(rules.permit_some(443, true));
        assert!(!rules.permit_some(80, false) && !rules.permit_some(443, false));
    }

    #[test]
    fn an_allowance_permits_http_at_its_port() {
        let rules = rules(&["10.0.0.0/8", "127.0.0.1:9000", "[fd00::]/8:8443"]);
        assert!(rules.permit(address("10.1.2.3"), 80, false));
        assert!(rules.permit(address("10.1.2.3"), 443, true));
        assert!(rules.permit(address("127.0.0.1"), 9000, false));
        assert!(!rules.permit(address("127.0.0.1"), 443, true));
        assert!(!rules.permit(address("127.0.0.2"), 9000, false));
        assert!(rules.permit(address("fd00::1"), 8443, false));
        assert!(!rules.permit(address("fd00::1"), 80, false));
        assert!(!rules.permit(address("::ffff:10.0.0.1"), 80, false));
    }

    #[test]
    fn nothing_allows_metadata() {
        let rules = rules(&["0.0.0.0/0", "[::]/0"]);
        assert!(rules.permit(address("10.0.0.1"), 80, false));
        for text in [
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
        ] {
            assert!(!rules.permit(address(text), 80, false), "{text}");
        }
    }
}
