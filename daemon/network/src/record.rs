//! What was set up for whom, on disk: written before the first plugin is called, so that whoever comes after a crash can take it
//! down, and again with the result.
//!
//! JSON, so that people can read it; unknown fields are ignored, missing ones are empty.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nomadd_model::spec::DNSConfig;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chain::Wish;
use crate::configuration::Configuration;
use crate::outcome::Outcome;

/// The version that this release writes and the newest that it reads.
const VERSION: u32 = 1;
/// The record's file.
const FILE: &str = "network.json";

/// What was set up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The form of the record.
    pub version: u32,
    /// The plugins; `None` where none is called.
    pub configuration: Option<Configuration>,
    /// What they were called for.
    pub wish: Wish,
    /// What they answered; null until they have.
    pub result: Value,
    /// Whether everything was set up.
    pub complete: bool,
    /// What it came to.
    pub interface: String,
    /// Its IPv4 address, or "".
    pub address: String,
    /// Its IPv6 address, or "".
    pub address6: String,
    /// The name servers that the allocation uses, where they are not the host's.
    pub dns: Option<DNSConfig>,
    /// Its host name, or "".
    pub hostname: String,
}

impl Record {
    /// A record of what is about to be set up.
    pub fn new(configuration: Option<Configuration>, wish: Wish) -> Self {
        Self { version: VERSION, configuration, wish, ..Self::default() }
    }

    /// Notes what it came to.
    pub fn came_to(&mut self, outcome: Outcome) {
        let Outcome { interface, address, address6, dns } = outcome;
        (self.interface, self.address, self.address6) = (interface, address, address6);
        self.dns = self.dns.take().or(dns);
    }

    /// Writes it into a folder, whole or not at all.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let fresh = folder.join(format!("{FILE}.new"));
        let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
        io::Write::write_all(&mut file, &serde_json::to_vec_pretty(self)?)?;
        fs::rename(&fresh, folder.join(FILE))
    }

    /// Reads it; `None` where there is none that this release understands.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let record: Option<Self> = serde_json::from_slice(&text).ok();
        Ok(record.filter(|record| record.version <= VERSION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Bridge;

    #[test]
    fn a_record_comes_back_and_a_torn_or_later_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), None);
        let wish = Wish { id: "x".to_owned(), namespace: "/n".into(), ..Wish::default() };
        let mut record = Record::new(Some(Configuration::bridge(&Bridge::default())), wish);
        record.came_to(Outcome { address: "10.0.0.2".to_owned(), ..Outcome::default() });
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), Some(record.clone()));
        record.version = VERSION + 1;
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), None);
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), None);
    }

    #[test]
    fn what_the_first_release_wrote_is_read() {
        let text = include_str!("../tests/kept/0.1.0/network.json");
        let record: Record = serde_json::from_str(text).unwrap();
        assert!(record.complete);
        assert_eq!((record.address.as_str(), record.interface.as_str()), ("172.26.64.2", "eth0"));
        assert_eq!(record.wish.ports[0].host_port, 28_080);
        assert_eq!(record.configuration.unwrap().plugins.len(), 3);
        // Nothing of it is passed over.
        let again: Record = serde_json::from_str(text).unwrap();
        let (written, kept): (Value, Value) =
            (serde_json::to_value(again).unwrap(), serde_json::from_str(text).unwrap());
        assert_eq!(written, kept);
    }
}
