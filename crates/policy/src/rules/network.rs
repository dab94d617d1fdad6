//! Addresses of the policy language: `ip("10.0.0.0/8")`.

use std::{fmt, net::IpAddr};

/// An address, or a range of them written with a prefix length.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Network {
    address: IpAddr,
    /// Leading bits that count: all of them for a single address.
    prefix: u8,
}

impl Network {
    /// Reads an address or a range; never an IPv4 address inside an IPv6 one, which two readers could take
    /// for two different things.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mixed = text.matches(':').count() >= 2 && text.matches('.').count() >= 2;
        if mixed {
            return None;
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest = bits(address);
        let prefix = match prefix {
            None => longest,
            Some(prefix) => {
                let digits = prefix.bytes().all(|b| b.is_ascii_digit());
                let canonical = digits && (prefix == "0" || !prefix.starts_with('0'));
                let length: u8 = canonical.then(|| prefix.parse().ok()).flatten()?;
                Some(length).filter(|length| *length <= longest)?
            }
        };
        Some(Self { address, prefix })
    }

    pub(super) fn is_v4(self) -> bool {
        self.address.is_ipv4()
    }

    pub(super) fn is_v6(self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether every address of the range is a loopback address.
    pub(super) fn is_loopback(self) -> bool {
        self.address.is_loopback() && self.prefix >= if self.is_v4() { 8 } else { 128 }
    }

    /// Whether every address of the range is a multicast address.
    pub(super) fn is_multicast(self) -> bool {
        self.address.is_multicast() && self.prefix >= if self.is_v4() { 4 } else { 8 }
    }

    /// Whether every address of this range is in the other.
    pub(super) fn is_within(self, other: Self) -> bool {
        self.is_v4() == other.is_v4()
            && self.prefix >= other.prefix
            && self.leading(other.prefix) == other.leading(other.prefix)
    }

    /// The first so many bits of the address, the rest zero.
    fn leading(self, prefix: u8) -> u128 {
        let (number, width) = match self.address {
            IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let dropped = u32::from(width - prefix.min(width));
        number.checked_shr(dropped).unwrap_or(0)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.prefix == bits(self.address) {
            return Ok(());
        }
        write!(f, "/{}", self.prefix)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}
