//! The files of a namespace that programs look names up in: `hosts`, `resolv.conf`, `hostname`. Texts in, texts out; `networks`
//! writes them.

use nomadd_model::spec::DNSConfig;

/// Where the host's resolver really is, on hosts whose own file only names a stub on a loopback address.
pub const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";

/// The `hosts` of a namespace: loopback, and its own name at its addresses.
pub fn hosts(addresses: &[&str], hostname: &str) -> String {
    let mut text = String::from(
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nfe00::0 ip6-localnet\nff00::0 ip6-mcastprefix\n\
         ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n",
    );
    for address in addresses.iter().filter(|address| !address.is_empty() && !hostname.is_empty()) {
        let short = hostname.split('.').next().unwrap_or_default();
        let names = if short == hostname { hostname.to_owned() } else { format!("{hostname} {short}") };
        text.push_str(&format!("{address} {names}\n"));
    }
    text
}

/// The `resolv.conf` of a namespace: what is wished, and of what is not wished the host's. In a namespace of its own the host's
/// loopback cannot be reached, so name servers there are left out: `behind` is what the host's stub asks.
pub fn resolv_conf(wished: Option<&DNSConfig>, host: &str, behind: &str, own_namespace: OwnNamespace) -> String {
    let mut known = read(host);
    if own_namespace == OwnNamespace::Yes {
        let reachable = |servers: &[String]| servers.iter().filter(|server| !is_loopback(server)).cloned().collect();
        let mut servers: Vec<String> = reachable(&known.0);
        if servers.is_empty() {
            servers = reachable(&read(behind).0);
        }
        known.0 = servers;
    }
    let (servers, searches, options) = known;
    let pick = |wish: Option<&Option<Vec<String>>>, known: Vec<String>| match wish {
        Some(Some(wished)) if !wished.is_empty() => wished.clone(),
        _ => known,
    };
    let servers = pick(wished.map(|dns| &dns.servers), servers);
    let searches = pick(wished.map(|dns| &dns.searches), searches);
    let options = pick(wished.map(|dns| &dns.options), options);
    let mut text = String::new();
    if !searches.is_empty() {
        text.push_str(&format!("search {}\n", searches.join(" ")));
    }
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

/// Whether the files are for a namespace of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnNamespace {
    /// The host's loopback is out of reach.
    Yes,
    /// It is the host's.
    No,
}

/// Name servers, search domains and options of a file.
fn read(text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut servers, mut searches, mut options) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let rest = |words: std::str::SplitAsciiWhitespace<'_>| words.map(str::to_owned).collect::<Vec<_>>();
        match words.next() {
            Some("nameserver") => servers.extend(words.next().map(str::to_owned)),
            // The last one counts.
            Some("search" | "domain") => searches = rest(words),
            Some("options") => options.extend(rest(words)),
            _ => {}
        }
    }
    (servers, searches, options)
}

fn is_loopback(server: &str) -> bool {
    let plain = server.split('%').next().unwrap_or_default();
    plain.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A value that would end its line in such a file, if there is one.
pub fn unfit(dns: &DNSConfig) -> Option<&str> {
    let all = [&dns.servers, &dns.searches, &dns.options];
    let texts = all.into_iter().flatten().flatten();
    texts
        .map(String::as_str)
        .find(|text| text.is_empty() || text.chars().any(|letter| letter.is_control() || letter == ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Option<Vec<String>> {
        Some(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn a_namespace_does_not_ask_the_hosts_loopback() {
        let host = "# stub\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n";
        let behind = "nameserver 10.0.0.1\nnameserver 10.0.0.2\n";
        let text = resolv_conf(None, host, behind, OwnNamespace::Yes);
        assert_eq!(text, "search lan\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions edns0 trust-ad\n");
        let text = resolv_conf(None, host, behind, OwnNamespace::No);
        assert_eq!(text, "search lan\nnameserver 127.0.0.53\noptions edns0 trust-ad\n");
        assert_eq!(resolv_conf(None, "nameserver ::1\n", "", OwnNamespace::Yes), "");
    }

    #[test]
    fn what_a_job_wishes_replaces_the_hosts_part_of_the_same_kind() {
        let wish = DNSConfig { servers: list(&["1.1.1.1"]), searches: None, options: list(&[]) };
        let text = resolv_conf(Some(&wish), "search lan\nnameserver 9.9.9.9\noptions a\n", "", OwnNamespace::Yes);
        assert_eq!(text, "search lan\nnameserver 1.1.1.1\noptions a\n");
    }

    #[test]
    fn the_own_name_stands_at_every_address() {
        let text = hosts(&["172.26.64.2", "fd00::2", ""], "web.lan");
        assert!(text.ends_with("\n172.26.64.2 web.lan web\nfd00::2 web.lan web\n"), "{text}");
        assert!(hosts(&["172.26.64.2"], "").ends_with("ip6-allrouters\n"));
    }

    #[test]
    fn a_value_that_would_end_its_line_is_found() {
        let wish = DNSConfig { servers: list(&["1.1.1.1"]), searches: list(&["a\nnameserver 6.6.6.6"]), options: None };
        assert_eq!(unfit(&wish), Some("a\nnameserver 6.6.6.6"));
        assert_eq!(unfit(&DNSConfig { servers: list(&["1.1.1.1"]), ..DNSConfig::default() }), None);
    }
}
