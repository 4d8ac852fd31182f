//! The task drivers of this node.

use nomadd_driver::{Fingerprint, Registry};
use nomadd_model::{DriverInfo, Node, Time};

/// Adds every known driver, and the attribute `driver.<name>` of those that work.
pub fn fingerprint(node: &mut Node, drivers: &Registry, now: Time) {
    for (name, report) in drivers.fingerprint() {
        let Fingerprint { detected, healthy, description, attributes } = report;
        if detected && healthy {
            super::set(node, &format!("driver.{name}"), "1");
            for (attribute, value) in attributes.iter().filter(|(attribute, _)| **attribute != format!("driver.{name}"))
            {
                super::set(node, attribute, value);
            }
        }
        let info = DriverInfo { attributes, detected, healthy, health_description: description, update_time: now };
        node.drivers.insert(name, info);
    }
}
