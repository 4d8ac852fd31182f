//! Devices: which groups of a node fulfil a request, and which instances are given out.
//!
//! Called by `feasible` (are there enough healthy ones at all) and by `offer` (which are free, with their affinities).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use nomadd_model::{AllocatedDeviceResource, AllocatedResources, Attribute, Node, NodeDeviceResource, RequestedDevice};

use crate::constraint::{Comparison, Test};

/// Names a group of devices of a node: vendor, type, name.
type Group = (String, String, String);

/// Which device instances are taken on a node.
#[derive(Debug, Clone, Default)]
pub struct DeviceTable {
    taken: BTreeMap<Group, BTreeSet<String>>,
}

impl DeviceTable {
    /// Marks the devices of an allocation as taken.
    pub fn add(&mut self, resources: &AllocatedResources) {
        for device in resources.tasks.values().flat_map(|task| &task.devices) {
            let AllocatedDeviceResource { device_ids, name, kind, vendor } = device;
            self.taken
                .entry((vendor.clone(), kind.clone(), name.clone()))
                .or_default()
                .extend(device_ids.iter().cloned());
        }
    }

    /// Takes instances for a request: the group with the highest sum of affinities that has enough free ones.
    /// Answers them with the sum of matched affinity weights.
    pub fn assign(&mut self, node: &Node, request: &RequestedDevice) -> Result<(AllocatedDeviceResource, f64), String> {
        let mut best: Option<(f64, &NodeDeviceResource, Vec<String>)> = None;
        let mut matched = false;
        for group in node.node_resources.devices.iter().filter(|group| fits(group, request)) {
            matched = true;
            let key = (group.vendor.clone(), group.kind.clone(), group.name.clone());
            let taken = self.taken.get(&key);
            let wanted = request.count.max(1) as usize;
            let free: Vec<String> = group
                .instances
                .iter()
                .filter(|instance| instance.healthy && !taken.is_some_and(|taken| taken.contains(&instance.id)))
                .map(|instance| instance.id.clone())
                .take(wanted)
                .collect();
            if free.len() < wanted {
                continue;
            }
            let sum = affinity(group, request);
            if best.as_ref().is_none_or(|(score, ..)| sum > *score) {
                best = Some((sum, group, free));
            }
        }
        let Some((sum, group, ids)) = best else {
            return Err(if matched { "no devices match request".into() } else { "missing devices".into() });
        };
        let key = (group.vendor.clone(), group.kind.clone(), group.name.clone());
        self.taken.entry(key).or_default().extend(ids.iter().cloned());
        let (name, kind, vendor) = (group.name.clone(), group.kind.clone(), group.vendor.clone());
        Ok((AllocatedDeviceResource { device_ids: ids, name, kind, vendor }, sum))
    }
}

/// Whether a node has enough healthy devices for all requests, were they all free.
pub fn has_devices<'a>(node: &Node, requests: impl Iterator<Item = &'a RequestedDevice>) -> bool {
    let mut table = DeviceTable::default();
    requests.into_iter().all(|request| table.assign(node, request).is_ok())
}

/// The sum of the absolute affinity weights of a request.
pub fn total_weight(request: &RequestedDevice) -> f64 {
    request.affinities.iter().map(|affinity| affinity.weight.abs() as f64).sum()
}

fn affinity(group: &NodeDeviceResource, request: &RequestedDevice) -> f64 {
    let matching = request
        .affinities
        .iter()
        .filter(|affinity| holds(group, &affinity.l_target, &affinity.operand, &affinity.r_target));
    matching.map(|affinity| affinity.weight as f64).sum()
}

fn fits(group: &NodeDeviceResource, request: &RequestedDevice) -> bool {
    let mut parts = request.name.splitn(3, '/');
    let named = match (parts.next(), parts.next(), parts.next()) {
        (Some(kind), None, None) => group.kind == kind,
        (Some(vendor), Some(kind), None) => group.vendor == vendor && group.kind == kind,
        (Some(vendor), Some(kind), Some(name)) => group.vendor == vendor && group.kind == kind && group.name == name,
        _ => false,
    };
    named && request.constraints.iter().all(|rule| holds(group, &rule.l_target, &rule.operand, &rule.r_target))
}

/// A value of a device, or a literal: a number in its base unit, a truth value, or text.
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Number(f64, &'static str),
    Truth(bool),
    Text(Cow<'a, str>),
}

fn holds(group: &NodeDeviceResource, left: &str, operator: &str, right: &str) -> bool {
    let (left, right) = (resolve(group, left), resolve(group, right));
    match operator {
        "is_set" => return left.is_some(),
        "is_not_set" => return left.is_none(),
        "!=" | "not" if left.is_none() || right.is_none() => return left.is_some() != right.is_some(),
        _ => {}
    }
    let (Some(left), Some(right)) = (left, right) else { return false };
    let comparison = match operator {
        "=" | "==" | "is" => return compare(&left, &right).is_some_and(|ordering| ordering.is_eq()),
        "!=" | "not" => return compare(&left, &right).is_some_and(|ordering| ordering.is_ne()),
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => {
            let (Some(left), Some(right)) = (text_of(&left), text_of(&right)) else { return false };
            return Test::parse(operator, Some(&right)).holds(Some(&left), Some(&right));
        }
    };
    compare(&left, &right).is_some_and(|ordering| comparison.holds(ordering))
}

/// `None` when the two cannot be compared (different kinds or units): then nothing is satisfied.
fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Value::Number(left, unit), Value::Number(right, other)) if unit == other => left.partial_cmp(right),
        (Value::Truth(left), Value::Truth(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        _ => None,
    }
}

fn text_of(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone().into_owned()),
        Value::Number(number, "") => Some(number.to_string()),
        Value::Number(..) | Value::Truth(_) => None,
    }
}

fn resolve<'a>(group: &'a NodeDeviceResource, target: &'a str) -> Option<Value<'a>> {
    let Some(inner) = target.strip_prefix("${") else { return Some(literal(target)) };
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let text = |text: &'a str| Some(Value::Text(Cow::Borrowed(text)));
    match inner {
        "device.model" => text(&group.name),
        "device.vendor" => text(&group.vendor),
        "device.type" => text(&group.kind),
        "device.ids" => {
            let ids: Vec<&str> = group.instances.iter().map(|instance| instance.id.as_str()).collect();
            Some(Value::Text(Cow::Owned(ids.join(","))))
        }
        _ => {
            let attribute = group.attributes.get(inner.strip_prefix("device.attr.")?)?;
            let Attribute { bool_val, float_val, int_val, string_val, unit } = attribute;
            let number = int_val.map(|number| number as f64).or(*float_val);
            match (number, bool_val, string_val) {
                (Some(number), ..) => {
                    let (scale, base) = scale_of(unit)?;
                    Some(Value::Number(number * scale, base))
                }
                (_, Some(truth), _) => Some(Value::Truth(*truth)),
                (_, _, Some(string)) => text(string),
                _ => None,
            }
        }
    }
}

/// `24 GiB`, `1.5`, `true`, or text.
fn literal(text: &str) -> Value<'_> {
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+')).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    if let (Ok(number), Some((scale, base))) = (number.parse::<f64>(), scale_of(unit.trim())) {
        return Value::Number(number * scale, base);
    }
    match trimmed {
        "true" => Value::Truth(true),
        "false" => Value::Truth(false),
        _ => Value::Text(Cow::Borrowed(text)),
    }
}

/// The factor to the base unit, and that unit.
fn scale_of(unit: &str) -> Option<(f64, &'static str)> {
    let (per_second, unit) = match unit.strip_suffix("/s") {
        Some(rest) => (true, rest),
        None => (false, unit),
    };
    const BINARY: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    const DECIMAL: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let power =
        |units: &[&str; 6], base: f64| units.iter().position(|known| *known == unit).map(|at| base.powi(at as i32 + 1));
    let bytes = power(&BINARY, 1024.0).or(power(&DECIMAL, 1000.0)).or(match unit {
        "B" => Some(1.0),
        "KB" => Some(1000.0),
        _ => None,
    });
    if let Some(scale) = bytes {
        return Some((scale, if per_second { "B/s" } else { "B" }));
    }
    if per_second {
        return None;
    }
    Some(match unit {
        "" => (1.0, ""),
        "Hz" => (1.0, "Hz"),
        "kHz" | "KHz" => (1e3, "Hz"),
        "MHz" => (1e6, "Hz"),
        "GHz" => (1e9, "Hz"),
        "mW" => (1e-3, "W"),
        "W" => (1.0, "W"),
        "kW" | "KW" => (1e3, "W"),
        "MW" => (1e6, "W"),
        "GW" => (1e9, "W"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use nomadd_model::spec::Constraint;
    use nomadd_model::{Affinity, NodeDevice};

    use super::*;

    fn gpu(name: &str, memory_mib: i64, ids: &[&str]) -> NodeDeviceResource {
        let memory = Attribute { int_val: Some(memory_mib), unit: "MiB".into(), ..Attribute::default() };
        NodeDeviceResource {
            attributes: BTreeMap::from([("memory".to_owned(), memory)]),
            instances: ids
                .iter()
                .map(|id| NodeDevice { id: (*id).into(), healthy: true, ..NodeDevice::default() })
                .collect(),
            name: name.into(),
            kind: "gpu".into(),
            vendor: "nvidia".into(),
        }
    }

    fn request(name: &str, count: u64) -> RequestedDevice {
        RequestedDevice { name: name.into(), count, ..RequestedDevice::default() }
    }

    #[test]
    fn requests_match_by_type_vendor_and_name() {
        let mut node = Node::default();
        node.node_resources.devices = vec![gpu("1080ti", 11_264, &["a", "b"])];
        for (name, expected) in [
            ("gpu", true),
            ("nvidia/gpu", true),
            ("nvidia/gpu/1080ti", true),
            ("amd/gpu", false),
            ("nvidia/gpu/a100", false),
        ] {
            assert_eq!(has_devices(&node, [request(name, 1)].iter()), expected, "{name}");
        }
        assert!(!has_devices(&node, [request("gpu", 3)].iter()));
    }

    #[test]
    fn constraints_compare_after_unit_conversion() {
        let group = gpu("a100", 40_960, &["a"]);
        for (operator, right, expected) in [
            (">=", "40 GiB", true),
            (">", "40 GiB", false),
            ("<", "1 TB", true),
            (">", "10 GHz", false),
            ("=", "x", false),
        ] {
            assert_eq!(holds(&group, "${device.attr.memory}", operator, right), expected, "{operator} {right}");
        }
        assert!(holds(&group, "${device.ids}", "set_contains", "a"));
        assert!(holds(&group, "${device.model}", "regexp", "^a1"));
    }

    #[test]
    fn the_group_with_the_higher_affinity_is_given_out_until_it_is_empty() {
        let mut node = Node::default();
        node.node_resources.devices = vec![gpu("small", 8_192, &["s"]), gpu("big", 40_960, &["b"])];
        let mut wanted = request("gpu", 1);
        wanted.affinities = vec![Affinity {
            l_target: "${device.model}".into(),
            operand: "=".into(),
            r_target: "big".into(),
            weight: 50,
        }];
        wanted.constraints = vec![Constraint {
            l_target: "${device.attr.memory}".into(),
            operand: ">".into(),
            r_target: "1 GiB".into(),
        }];
        let mut table = DeviceTable::default();
        assert_eq!(table.assign(&node, &wanted).unwrap().0.device_ids, ["b"]);
        assert_eq!(table.assign(&node, &wanted).unwrap().0.device_ids, ["s"]);
        assert_eq!(table.assign(&node, &wanted).unwrap_err(), "no devices match request");
    }
}
