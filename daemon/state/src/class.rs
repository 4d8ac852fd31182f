//! The computed class of a node: nodes of one class are alike to every constraint that names nothing unique.

use nomadd_model::Node;

/// `v1:` and a hash of what constraints can see of a node, without what is unique to it (semantics: computed class).
pub fn computed_class(node: &Node) -> String {
    let mut hash = Hash::default();
    hash.text(&node.datacenter);
    hash.text(&node.node_class);
    hash.text(&node.node_pool);
    for map in [&node.attributes, &node.meta] {
        let shared = map.iter().filter(|(key, _)| !key.starts_with("unique."));
        for (key, value) in shared {
            hash.text(key);
            hash.text(value);
        }
        hash.mark();
    }
    for group in &node.node_resources.devices {
        hash.text(&group.vendor);
        hash.text(&group.kind);
        hash.text(&group.name);
        for (key, value) in group.attributes.iter().filter(|(key, _)| !key.starts_with("unique.")) {
            hash.text(key);
            hash.text(&format!("{value:?}"));
        }
        hash.mark();
    }
    format!("v1:{:016x}{:016x}", hash.0 as u64, (hash.0 >> 64) as u64)
}

/// FNV-1a of 128 bits: stable for ever, and collisions only cost a wasted try.
struct Hash(u128);

impl Default for Hash {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Hash {
    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.byte(byte));
        self.mark();
    }
    /// Ends a part, so that "ab","c" differs from "a","bc".
    fn mark(&mut self) {
        self.byte(0xff);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_differ_in_class_by_what_constraints_can_see() {
        let node = |key: &str, value: &str| {
            let mut node = Node { datacenter: "dc1".into(), ..Node::default() };
            node.attributes.insert(key.into(), value.into());
            computed_class(&node)
        };
        assert_eq!(node("unique.hostname", "a"), node("unique.hostname", "b"));
        assert_ne!(node("kernel.name", "linux"), node("kernel.name", "plan9"));
        assert!(node("a", "bc").starts_with("v1:"));
        assert_ne!(node("a", "bc"), node("ab", "c"));
    }
}
