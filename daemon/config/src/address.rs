//! Addresses: plain ones, and go-sockaddr templates such as `{{ GetInterfaceIP "eth0" }}`.
//!
//! The host's interfaces are handed in, so that this stays pure.

use std::net::IpAddr;

/// An interface of the host with its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its addresses and the lengths of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Whether the default route goes through it.
    pub default_route: bool,
    /// Whether it is up.
    pub up: bool,
    /// Whether it is a loopback.
    pub loopback: bool,
}

/// The interfaces of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces(pub Vec<Interface>);

/// One address and the interface that has it.
#[derive(Clone, Debug)]
struct Found<'a> {
    interface: &'a Interface,
    address: IpAddr,
    prefix: u8,
}

/// The longest template, in bytes.
const MAX_LENGTH: usize = 1024;

impl Interfaces {
    fn all(&self) -> Vec<Found<'_>> {
        self.0
            .iter()
            .flat_map(|interface| {
                interface.addresses.iter().map(move |&(address, prefix)| Found { interface, address, prefix })
            })
            .collect()
    }
    /// The first private address of the interface with the default route, or of any other.
    pub fn private_address(&self) -> Option<IpAddr> {
        let mut found = self.all();
        found.retain(|found| is_private(found.address) && !found.interface.loopback);
        found.sort_by_key(|found| (!found.interface.default_route, found.address));
        found.first().map(|found| found.address)
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1])),
        IpAddr::V6(v6) => v6.segments()[0] & 0xfe00 == 0xfc00,
    }
}
fn is_public(address: IpAddr) -> bool {
    !is_private(address)
        && !address.is_loopback()
        && !address.is_unspecified()
        && match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 != 0xfe80,
        }
}

/// The addresses that a text names: one or more, separated by spaces; templates are filled in first.
pub fn resolve(text: &str, interfaces: &Interfaces) -> Result<Vec<IpAddr>, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("the address has {} bytes; at most {MAX_LENGTH} are read", text.len()));
    }
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (template, after) =
            after.split_once("}}").ok_or_else(|| format!("the template {text:?} has no closing \"}}}}\""))?;
        filled.push_str(before);
        filled.push_str(&fill(template, interfaces)?);
        rest = after;
    }
    filled.push_str(rest);
    let parts: Vec<&str> = filled.split_whitespace().collect();
    if parts.is_empty() {
        return Err(format!("{text:?} gives no address on this host"));
    }
    parts
        .into_iter()
        .map(|part| {
            let bare = part.strip_prefix('[').and_then(|part| part.strip_suffix(']')).unwrap_or(part);
            if bare == "localhost" {
                return Ok(IpAddr::from([127, 0, 0, 1]));
            }
            bare.parse().map_err(|_| format!("{part:?} is no IP address"))
        })
        .collect()
}

/// Evaluates the inside of one template: functions joined by `|`.
fn fill(template: &str, interfaces: &Interfaces) -> Result<String, String> {
    let mut found: Option<Vec<Found<'_>>> = None;
    let mut texts: Option<Vec<String>> = None;
    for stage in template.split('|') {
        let words = words(stage)?;
        let Some((name, arguments)) = words.split_first() else {
            return Err(format!("an empty stage in the template {template:?}"));
        };
        let argument =
            |at: usize| arguments.get(at).map(String::as_str).ok_or_else(|| format!("{name} needs another argument"));
        let all = || interfaces.all();
        let chosen = |keep: &dyn Fn(&Found<'_>) -> bool| {
            let mut addresses: Vec<_> = all().into_iter().filter(|found| keep(found)).collect();
            addresses.sort_by_key(|found| (!found.interface.default_route, found.address));
            addresses.into_iter().map(|found| found.address.to_string()).collect::<Vec<_>>()
        };
        match name.as_str() {
            "GetAllInterfaces" => found = Some(all()),
            "GetDefaultInterfaces" => {
                found = Some(all().into_iter().filter(|found| found.interface.default_route).collect())
            }
            "GetPrivateInterfaces" => {
                found = Some(all().into_iter().filter(|found| is_private(found.address)).collect())
            }
            "GetPublicInterfaces" => found = Some(all().into_iter().filter(|found| is_public(found.address)).collect()),
            "GetPrivateIP" => {
                texts = Some(
                    chosen(&|found| is_private(found.address) && !found.interface.loopback)
                        .into_iter()
                        .take(1)
                        .collect(),
                )
            }
            "GetPrivateIPs" => texts = Some(chosen(&|found| is_private(found.address))),
            "GetPublicIP" => texts = Some(chosen(&|found| is_public(found.address)).into_iter().take(1).collect()),
            "GetPublicIPs" => texts = Some(chosen(&|found| is_public(found.address))),
            "GetInterfaceIP" | "GetInterfaceIPs" => {
                let wanted = argument(0)?;
                if !interfaces.0.iter().any(|interface| interface.name == wanted) {
                    let known: Vec<&str> = interfaces.0.iter().map(|interface| interface.name.as_str()).collect();
                    return Err(format!("this host has no interface {wanted:?}; it has {}", known.join(", ")));
                }
                let mut of: Vec<_> = all().into_iter().filter(|found| found.interface.name == wanted).collect();
                of.sort_by_key(|found| (found.address.is_ipv6(), found.address));
                let count = if name == "GetInterfaceIP" { 1 } else { of.len() };
                texts = Some(of.into_iter().take(count).map(|found| found.address.to_string()).collect());
            }
            "include" | "exclude" => {
                let (attribute, value) = (argument(0)?.to_owned(), argument(1)?.to_owned());
                let list = found.take().ok_or_else(|| format!("{name} needs a list of interfaces before it"))?;
                let mut kept = Vec::new();
                for item in list {
                    if matches(&item, &attribute, &value)? == (name == "include") {
                        kept.push(item);
                    }
                }
                found = Some(kept);
            }
            "sort" => {
                let by = argument(0)?;
                let mut list = found.take().ok_or("sort needs a list of interfaces before it")?;
                let (key, down) = by.strip_prefix('-').map_or((by.trim_start_matches('+'), false), |key| (key, true));
                match key {
                    "default" => list.sort_by_key(|item| (!item.interface.default_route, item.address)),
                    "name" => list.sort_by(|a, b| a.interface.name.cmp(&b.interface.name)),
                    "address" => list.sort_by_key(|item| item.address),
                    "size" => list.sort_by_key(|item| item.prefix),
                    "private" => list.sort_by_key(|item| !is_private(item.address)),
                    "type" => list.sort_by_key(|item| item.address.is_ipv6()),
                    other => {
                        return Err(format!(
                            "sort knows default, name, address, size, private and type, not {other:?}"
                        ));
                    }
                }
                if down {
                    list.reverse();
                }
                found = Some(list);
            }
            "limit" => {
                let count: usize = argument(0)?.parse().map_err(|_| "limit needs a number".to_owned())?;
                found = Some(
                    found.take().ok_or("limit needs a list of interfaces before it")?.into_iter().take(count).collect(),
                );
            }
            "unique" => {
                argument(0)?;
                let mut list = found.take().ok_or("unique needs a list of interfaces before it")?;
                list.dedup_by_key(|item| item.address);
                found = Some(list);
            }
            "attr" => {
                let attribute = argument(0)?;
                let list = found.take().ok_or("attr needs a list of interfaces before it")?;
                texts = Some(list.first().map(|item| value(item, attribute)).transpose()?.into_iter().collect());
            }
            "join" => {
                let (attribute, separator) = (argument(0)?, argument(1)?);
                let list = found.take().ok_or("join needs a list of interfaces before it")?;
                let values: Vec<String> = list.iter().map(|item| value(item, attribute)).collect::<Result<_, _>>()?;
                texts = Some(vec![values.join(separator)]);
            }
            "math" => {
                let (attribute, amount) = (argument(0)?, argument(1)?);
                if attribute != "address" {
                    return Err(format!("math is there for \"address\" only, not {attribute:?}"));
                }
                let step: i64 =
                    amount.parse().map_err(|_| format!("math needs a number such as \"+1\", not {amount:?}"))?;
                let mut list = found.take().ok_or("math needs a list of interfaces before it")?;
                for item in &mut list {
                    if let IpAddr::V4(v4) = item.address {
                        let moved = i64::from(u32::from(v4)).saturating_add(step).clamp(0, i64::from(u32::MAX));
                        item.address = IpAddr::from(std::net::Ipv4Addr::from(u32::try_from(moved).unwrap_or(u32::MAX)));
                    }
                }
                found = Some(list);
            }
            other => {
                return Err(format!(
                    "unknown template function {other:?}; GetInterfaceIP, GetPrivateIP, GetPublicIP, GetAllInterfaces, GetDefaultInterfaces and GetPrivateInterfaces are known, with include, exclude, sort, limit, unique, math, attr and join"
                ));
            }
        }
    }
    match (texts, found) {
        (Some(texts), _) => Ok(texts.join(" ")),
        (None, Some(list)) => Ok(list.iter().map(|item| item.address.to_string()).collect::<Vec<_>>().join(" ")),
        (None, None) => Err(format!("the template {template:?} gives nothing")),
    }
}

fn value(item: &Found<'_>, attribute: &str) -> Result<String, String> {
    match attribute {
        "address" => Ok(item.address.to_string()),
        "name" => Ok(item.interface.name.clone()),
        "size" => Ok(item.prefix.to_string()),
        "type" => Ok(if item.address.is_ipv6() { "IPv6" } else { "IPv4" }.to_owned()),
        other => Err(format!("address, name, size and type can be shown, not {other:?}")),
    }
}

fn matches(item: &Found<'_>, attribute: &str, wanted: &str) -> Result<bool, String> {
    Ok(match attribute {
        "name" => wanted.split('|').any(|name| item.interface.name == name.trim_matches(['^', '$'])),
        "type" => match wanted.to_ascii_lowercase().as_str() {
            "ipv4" | "v4" => item.address.is_ipv4(),
            "ipv6" | "v6" => item.address.is_ipv6(),
            "ip" => true,
            other => return Err(format!("the type is ipv4, ipv6 or ip, not {other:?}")),
        },
        "address" => wanted.split('|').any(|address| item.address.to_string() == address),
        "network" => {
            let (base, length) = wanted
                .split_once('/')
                .ok_or_else(|| format!("a network such as 10.0.0.0/8 is expected, not {wanted:?}"))?;
            let base: IpAddr = base.parse().map_err(|_| format!("{wanted:?} is no network"))?;
            let length: u8 = length.parse().map_err(|_| format!("{wanted:?} is no network"))?;
            within(item.address, base, length)
        }
        "flags" | "flag" => wanted.split('|').all(|flag| match flag {
            "up" => item.interface.up,
            "loopback" => item.interface.loopback,
            "forwardable" => !item.interface.loopback && !matches!(item.address, IpAddr::V4(v4) if v4.is_link_local()),
            _ => false,
        }),
        "rfc" => match wanted {
            "1918" => matches!(item.address, IpAddr::V4(v4) if v4.is_private()),
            "6890" => !is_public(item.address),
            other => return Err(format!("rfc 1918 and 6890 are known, not {other:?}")),
        },
        "size" => item.prefix.to_string() == wanted,
        other => {
            return Err(format!("name, type, address, network, flags, rfc and size can be asked for, not {other:?}"));
        }
    })
}

fn within(address: IpAddr, base: IpAddr, length: u8) -> bool {
    match (address, base) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0);
            u32::from(a) & mask == u32::from(b) & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0);
            u128::from(a) & mask == u128::from(b) & mask
        }
        _ => false,
    }
}

/// Splits a stage into words; quoted ones keep their spaces.
fn words(stage: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = stage.trim();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = quoted.split_once('"').ok_or_else(|| format!("a quote is not closed in {stage:?}"))?;
            words.push(word.to_owned());
            rest = after.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            words.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
    }
    Ok(words)
}
