//! What a network came to, read from the result of its last plugin. Pure.

use nomadd_model::spec::DNSConfig;
use serde_json::Value;

/// No result has more addresses or devices.
const MOST: usize = 256;

/// The device, addresses and name servers that a namespace got.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The device inside.
    pub interface: String,
    /// Its IPv4 address, or "".
    pub address: String,
    /// Its IPv6 address, or "".
    pub address6: String,
    /// The name servers that the network brings along.
    pub dns: Option<DNSConfig>,
}

/// Reads a result of CNI 0.3.0 or later; what is wrong, in a clause.
pub fn read(result: &Value) -> Result<Outcome, String> {
    let list = |key: &str| result[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let (interfaces, addresses) = (list("interfaces"), list("ips"));
    if interfaces.len() > MOST || addresses.len() > MOST {
        return Err(format!("it has more than {MOST} devices or addresses"));
    }
    // A device with a sandbox is in the namespace; the others are the host's.
    let inside = |interface: &Value| interface["sandbox"].as_str().is_some_and(|sandbox| !sandbox.is_empty());
    let own = |address: &Value| {
        let at = address["interface"].as_u64().and_then(|at| usize::try_from(at).ok());
        // Without devices everything that has an address is inside.
        at.map_or(interfaces.is_empty(), |at| interfaces.get(at).is_some_and(inside))
    };
    let mut outcome = Outcome::default();
    for address in addresses.iter().filter(|address| own(address)) {
        let text = address["address"].as_str().unwrap_or_default();
        let plain = text.split('/').next().unwrap_or_default();
        let family = plain.parse::<std::net::IpAddr>().map_err(|_| format!("{text:?} is no address"))?;
        let place = if family.is_ipv4() { &mut outcome.address } else { &mut outcome.address6 };
        if place.is_empty() {
            *place = family.to_string();
        }
        if outcome.interface.is_empty()
            && let Some(at) = address["interface"].as_u64()
        {
            let named = interfaces.get(usize::try_from(at).unwrap_or(usize::MAX));
            outcome.interface = named.and_then(|named| named["name"].as_str()).unwrap_or_default().to_owned();
        }
    }
    if outcome.address.is_empty() && outcome.address6.is_empty() {
        return Err("it gives the allocation no address".to_owned());
    }
    outcome.dns = dns(&result["dns"]);
    Ok(outcome)
}

fn dns(value: &Value) -> Option<DNSConfig> {
    let texts = |key: &str| {
        let list = value[key].as_array().map(Vec::as_slice).unwrap_or_default();
        let texts: Vec<String> = list.iter().take(MOST).filter_map(Value::as_str).map(str::to_owned).collect();
        (!texts.is_empty()).then_some(texts)
    };
    let found = DNSConfig { servers: texts("nameservers"), searches: texts("search"), options: texts("options") };
    (found != DNSConfig::default()).then_some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_address_of_the_device_inside_counts() {
        let result = json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                { "name": "nomad", "mac": "aa" },
                { "name": "veth1", "mac": "bb" },
                { "name": "eth0", "mac": "cc", "sandbox": "/run/netns/x" },
            ],
            "ips": [
                { "address": "10.9.9.9/8", "interface": 0 },
                { "address": "172.26.64.5/20", "gateway": "172.26.64.1", "interface": 2 },
                { "address": "fd00:a::2/64", "interface": 2 },
            ],
            "dns": { "nameservers": ["10.0.0.53"] },
        });
        let outcome = read(&result).unwrap();
        assert_eq!((outcome.interface.as_str(), outcome.address.as_str()), ("eth0", "172.26.64.5"));
        assert_eq!(outcome.address6, "fd00:a::2");
        assert_eq!(outcome.dns.unwrap().servers, Some(vec!["10.0.0.53".to_owned()]));
    }

    #[test]
    fn a_result_without_an_address_or_with_a_wrong_one_is_said_to_be_so() {
        for (result, expected) in [
            (json!({}), "no address"),
            (json!(null), "no address"),
            (json!({ "ips": [{ "address": "10.1.2/8" }] }), "\"10.1.2/8\""),
            (json!({ "ips": vec![json!({ "address": "10.0.0.1/8" }); 1000] }), "more than"),
            (
                json!({ "interfaces": [{ "name": "nomad" }], "ips": [{ "address": "10.1.2.3/8", "interface": 7 }] }),
                "no address",
            ),
        ] {
            let error = read(&result).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(read(&json!({ "ips": [{ "address": "10.1.2.3/8" }] })).unwrap().address, "10.1.2.3");
    }
}
