//! How fast strangers may leave something here: slowly, each address and all together.

use std::net::IpAddr;

use crate::outside::addresses::network;

/// Most in a minute: of one address (of IPv6, one network), and of all.
const OF_ADDRESS: usize = 10;
const OF_ALL: usize = 60;
const MINUTE_MS: i64 = 60 * 1000;

/// Who came lately.
#[derive(Debug, Default)]
pub(crate) struct Pace(Vec<(IpAddr, i64)>);

/// Too many came lately.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooFast;

impl Pace {
    /// Somebody comes, unless too many did.
    pub(crate) fn step(&mut self, from: IpAddr, now_ms: i64) -> Result<(), TooFast> {
        let from = network(from);
        self.0.retain(|(_, at_ms)| now_ms - at_ms < MINUTE_MS);
        let of_address = self.0.iter().filter(|(address, _)| *address == from).count();
        if of_address >= OF_ADDRESS || self.0.len() >= OF_ALL {
            return Err(TooFast);
        }
        self.0.push((from, now_ms));
        Ok(())
    }
}
