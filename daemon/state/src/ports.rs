//! Port lists such as `22,80,8000-8100`, as nodes reserve them.

/// A set of ports, as ranges in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortRanges(Vec<(u16, u16)>);

impl PortRanges {
    /// Reads a list of ports and ranges; parts that are neither are left out (the client has refused them before).
    pub fn parse(text: &str) -> Self {
        let mut ranges: Vec<(u16, u16)> = text
            .split(',')
            .filter_map(|part| {
                let part = part.trim();
                let (low, high) = part.split_once('-').unwrap_or((part, part));
                let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
                (low <= high).then_some((low, high))
            })
            .collect();
        ranges.sort_unstable();
        Self(ranges)
    }
    /// Whether a port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|&(low, high)| (low..=high).contains(&port))
    }
    /// All ranges, both ends included.
    pub fn ranges(&self) -> impl Iterator<Item = (u16, u16)> {
        self.0.iter().copied()
    }
    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_ports_and_ranges_are_read_and_nonsense_is_left_out() {
        let ports = PortRanges::parse("8000-8100, 22,x,9-1,70000,80");
        for (port, within) in
            [(22, true), (80, true), (81, false), (8000, true), (8100, true), (8101, false), (5, false)]
        {
            assert_eq!(ports.contains(port), within, "{port}");
        }
        assert!(PortRanges::parse("").is_empty());
    }
}
