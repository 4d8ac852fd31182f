//! The files that every container has of its own beside the image's: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`,
//! with the task's `extra_hosts` and `dns_*`. Written beside the container's root, and bound over those of the image.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use nomadd_supervisor::container::{Access, Mount};

use crate::schema::{ConfigError, Reader};

/// Where hosts are named when the allocation's network says nothing.
const HOSTS: &str =
    "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n";

/// What the task's config says of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Lines for `/etc/hosts`.
    hosts: Vec<(IpAddr, String)>,
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

impl Names {
    /// Reads `extra_hosts` (`NAME:ADDRESS`) and `dns_*`.
    pub fn read(config: &Reader<'_>, host_network: bool) -> Result<Self, ConfigError> {
        let mut names = Self {
            hosts: Vec::new(),
            servers: config.texts("dns_servers"),
            searches: config.texts("dns_search_domains"),
            options: config.texts("dns_options"),
        };
        for text in config.texts("extra_hosts") {
            let refuse = |reason: &str| Err(config.error("extra_hosts", &format!("holds {text:?}, {reason}")));
            let Some((name, address)) = text.split_once([':', '=']) else { return refuse("which is not NAME:ADDRESS") };
            let address = match address {
                "host-gateway" if host_network => IpAddr::from([127, 0, 0, 1]),
                "host-gateway" => {
                    return refuse("and host-gateway is known only in the host's network; name the address");
                }
                address => match address.trim_matches(['[', ']']).parse() {
                    Ok(address) => address,
                    Err(_) => return refuse("whose second part is no address"),
                },
            };
            if !is_word(name) {
                return refuse("whose first part is no name of a host");
            }
            names.hosts.push((address, name.to_owned()));
        }
        for (key, words) in
            [("dns_servers", &names.servers), ("dns_search_domains", &names.searches), ("dns_options", &names.options)]
        {
            if let Some(bad) = words.iter().find(|word| !is_word(word)) {
                return Err(config.error(key, &format!("holds {bad:?}, which is more than one word")));
            }
        }
        Ok(names)
    }

    /// The content of `/etc/hosts`.
    fn hosts(&self, base: &str, hostname: &str, host_network: bool) -> String {
        let mut text = base.to_owned();
        if !text.ends_with('\n') && !text.is_empty() {
            text.push('\n');
        }
        if host_network && !hostname.is_empty() {
            text.push_str(&format!("127.0.1.1 {hostname}\n"));
        }
        for (address, name) in &self.hosts {
            text.push_str(&format!("{address} {name}\n"));
        }
        text
    }

    /// The content of `/etc/resolv.conf`: what the task says instead of what is there.
    fn resolv_conf(&self, base: &str) -> String {
        let Self { servers, searches, options, .. } = self;
        let replaced = |line: &str| match line.split_ascii_whitespace().next() {
            Some("nameserver") => !servers.is_empty(),
            Some("search" | "domain") => !searches.is_empty(),
            Some("options") => !options.is_empty(),
            _ => false,
        };
        let mut text: String = base.lines().filter(|line| !replaced(line)).map(|line| format!("{line}\n")).collect();
        text.extend(servers.iter().map(|server| format!("nameserver {server}\n")));
        if !searches.is_empty() {
            text.push_str(&format!("search {}\n", searches.join(" ")));
        }
        if !options.is_empty() {
            text.push_str(&format!("options {}\n", options.join(" ")));
        }
        text
    }

    /// Writes the files into a directory, and says how they are bound; `given` are those of the allocation's network.
    pub fn write(
        &self,
        directory: &Path,
        given: &[(PathBuf, PathBuf)],
        hostname: &str,
        host_network: bool,
    ) -> io::Result<Vec<Mount>> {
        let base = |inside: &str, or: &str| match given.iter().find(|(_, target)| target == Path::new(inside)) {
            Some((path, _)) => fs::read_to_string(path),
            None if or.starts_with('/') => Ok(fs::read_to_string(or).unwrap_or_default()),
            None => Ok(or.to_owned()),
        };
        let is_given = given.iter().any(|(_, target)| target == Path::new("/etc/hosts"));
        let files = [
            ("hosts", self.hosts(&base("/etc/hosts", HOSTS)?, hostname, host_network && !is_given)),
            ("hostname", format!("{hostname}\n")),
            ("resolv.conf", self.resolv_conf(&base("/etc/resolv.conf", "/etc/resolv.conf")?)),
        ];
        let mut mounts = Vec::new();
        for (name, text) in files {
            let path = directory.join(name);
            fs::write(&path, text)?;
            mounts.push(Mount::bind(path, Path::new("/etc").join(name), Access::ReadWrite));
        }
        let ours = |target: &Path| mounts.iter().any(|mount| mount.target == target);
        let others: Vec<_> = given.iter().filter(|(_, target)| !ours(target)).cloned().collect();
        mounts.extend(others.into_iter().map(|(path, target)| Mount::bind(path, target, Access::ReadOnly)));
        Ok(mounts)
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::keys::KEYS;
    use serde_json::{Value, json};

    fn names(mut config: Value, host_network: bool) -> Result<Names, String> {
        config["image"] = json!("x");
        Names::read(&Reader::of("docker", &KEYS, &config).unwrap(), host_network).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_task_says_is_added_or_takes_the_place_of_the_hosts() {
        let config = json!({"extra_hosts": ["db:10.0.0.1", "six:[fd00::1]", "host.docker.internal:host-gateway"],
            "dns_servers": ["10.0.0.2"], "dns_options": ["ndots:1"]});
        let names = names(config, true).unwrap();
        let expected = "127.0.0.1 localhost\n127.0.1.1 me\n10.0.0.1 db\nfd00::1 six\n127.0.0.1 host.docker.internal\n";
        assert_eq!(names.hosts("127.0.0.1 localhost\n", "me", true), expected);
        let base = "search a.b\nnameserver 1.1.1.1\noptions x\n";
        assert_eq!(names.resolv_conf(base), "search a.b\nnameserver 10.0.0.2\noptions ndots:1\n");
        assert_eq!(Names::default().resolv_conf(base), base);
    }

    #[test]
    fn what_would_write_other_lines_is_refused() {
        for (config, reason) in [
            (json!({"extra_hosts": ["db"]}), "which is not NAME:ADDRESS"),
            (json!({"extra_hosts": ["db:x"]}), "is no address"),
            (json!({"extra_hosts": ["a b:1.1.1.1"]}), "no name of a host"),
            (json!({"extra_hosts": ["a:host-gateway"]}), "only in the host's network"),
            (json!({"dns_servers": ["1.1.1.1\nsearch evil"]}), "more than one word"),
        ] {
            let error = names(config, false).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
