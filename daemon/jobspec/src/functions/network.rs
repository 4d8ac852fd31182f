//! Functions on IP networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use num_bigint::BigInt;
use num_traits::ToPrimitive as _;

use super::{Answer, Arguments, Failure, Function, texts_to_list};
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "cidrhost", parameters: &["prefix", "hostnum"], run: cidrhost },
    Function { name: "cidrnetmask", parameters: &["prefix"], run: cidrnetmask },
    Function { name: "cidrsubnet", parameters: &["prefix", "newbits", "netnum"], run: cidrsubnet },
    Function { name: "cidrsubnets", parameters: &["prefix", "newbits..."], run: cidrsubnets },
];

/// A network as numbers: its first address, the bits of its prefix and of an address.
struct Net {
    base: u128,
    prefix: u32,
    bits: u32,
}

impl Net {
    fn read(a: &Arguments<'_>) -> Result<Self, Failure> {
        let text = a.text(0)?;
        let net: IpNet = text.parse().map_err(|_| {
            Failure::Argument(0, format!("invalid CIDR expression: {text:?}; such as 10.0.0.0/16 is expected"))
        })?;
        Ok(match net.trunc() {
            IpNet::V4(net) => {
                Self { base: u128::from(u32::from(net.network())), prefix: u32::from(net.prefix_len()), bits: 32 }
            }
            IpNet::V6(net) => Self { base: u128::from(net.network()), prefix: u32::from(net.prefix_len()), bits: 128 },
        })
    }

    fn address(&self, number: u128) -> IpAddr {
        if self.bits == 32 { IpAddr::V4(Ipv4Addr::from(number as u32)) } else { IpAddr::V6(Ipv6Addr::from(number)) }
    }

    /// The prefix of a part of this network.
    fn extended(&self, newbits: i64, index: usize) -> Result<u32, Failure> {
        let prefix = u32::try_from(newbits).ok().and_then(|newbits| self.prefix.checked_add(newbits));
        prefix.filter(|prefix| *prefix <= self.bits).ok_or_else(|| {
            let message =
                format!("cannot extend a prefix of {} by {newbits}: an address has {} bits", self.prefix, self.bits);
            Failure::Argument(index, message)
        })
    }

    /// How many bits there are behind a prefix, as a count; none for all of IPv6.
    fn count(&self, bits: u32) -> Option<u128> {
        1_u128.checked_shl(bits)
    }
}

fn cidrhost(a: &Arguments<'_>) -> Answer {
    let net = Net::read(a)?;
    let number = a.number(1)?;
    let Some(number) = number.to_integer() else { return Err(a.wrong(1, "a whole number")) };
    let hosts = net.bits - net.prefix;
    let size = BigInt::from(1) << hosts;
    let at = if number < &BigInt::from(0) { &size + number } else { number.clone() };
    if at < BigInt::from(0) || at >= size {
        return Err(Failure::Argument(
            1,
            format!("a network with a prefix of {} has no host number {number}", net.prefix),
        ));
    }
    Ok(Value::text(net.address(net.base | at.to_u128().unwrap_or(0)).to_string()))
}

fn cidrnetmask(a: &Arguments<'_>) -> Answer {
    let net = Net::read(a)?;
    if net.bits == 128 {
        return Err(Failure::Argument(0, "only IPv4 networks have a netmask, and this is IPv6".to_owned()));
    }
    let mask = u32::MAX.checked_shl(32 - net.prefix).unwrap_or(0);
    Ok(Value::text(Ipv4Addr::from(mask).to_string()))
}

fn cidrsubnet(a: &Arguments<'_>) -> Answer {
    let net = Net::read(a)?;
    let newbits = a.integer(1)?;
    let prefix = net.extended(newbits, 1)?;
    let number = a.number(2)?;
    let number = number.to_integer().and_then(num_traits::ToPrimitive::to_u128);
    let number = number.filter(|number| net.count(prefix - net.prefix).is_none_or(|count| *number < count));
    let number = number
        .ok_or_else(|| Failure::Argument(2, format!("{newbits} more bits of prefix give no network of that number")))?;
    let base = net.base | number.checked_shl(net.bits - prefix).unwrap_or(0);
    Ok(Value::text(format!("{}/{prefix}", net.address(base))))
}

fn cidrsubnets(a: &Arguments<'_>) -> Answer {
    let net = Net::read(a)?;
    let mut next = Some(net.base);
    let last = net.base | net.count(net.bits - net.prefix).map_or(u128::MAX, |count| count - 1);
    let mut parts = Vec::new();
    for index in 1..a.len() {
        let newbits = a.integer(index)?;
        if newbits < 1 {
            return Err(Failure::Argument(index, "must be at least one bit".to_owned()));
        }
        let prefix = net.extended(newbits, index)?;
        let size = net.count(net.bits - prefix).ok_or("the network is too large")?;
        // The next place that such a network can begin at.
        let full =
            || Failure::Argument(index, format!("there is no room left for a network with a prefix of {prefix} bits"));
        let base = next.ok_or_else(full)?.checked_next_multiple_of(size).ok_or_else(full)?;
        let end = base.checked_add(size - 1).filter(|end| *end <= last).ok_or_else(full)?;
        parts.push(format!("{}/{prefix}", net.address(base)));
        next = end.checked_add(1);
    }
    Ok(texts_to_list(parts))
}
