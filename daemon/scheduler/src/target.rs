//! Targets of constraints, affinities and spreads: `${attr.kernel.name}`, `${meta.rack}`, or a literal.
//!
//! Parsed once per evaluation, resolved per class or per node. Called by feasibility, ranking and `why`.

use nomadd_model::Node;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The text itself.
    Literal(String),
    /// `${node.unique.id}`
    NodeId,
    /// `${node.unique.name}`
    NodeName,
    /// `${node.datacenter}`
    Datacenter,
    /// `${node.class}`
    NodeClass,
    /// `${node.pool}`
    NodePool,
    /// `${attr.KEY}`
    Attribute(String),
    /// `${meta.KEY}`
    Meta(String),
    /// Anything else in `${}`: never found.
    Nothing,
}

impl Target {
    /// Parses a target; text without a leading `${` is a literal.
    pub fn parse(text: &str) -> Self {
        let Some(inner) = text.strip_prefix("${") else { return Self::Literal(text.to_owned()) };
        let inner = inner.strip_suffix('}').unwrap_or(inner);
        match inner {
            "node.unique.id" => Self::NodeId,
            "node.unique.name" => Self::NodeName,
            "node.datacenter" => Self::Datacenter,
            "node.class" => Self::NodeClass,
            "node.pool" => Self::NodePool,
            _ => match (inner.strip_prefix("attr."), inner.strip_prefix("meta.")) {
                (Some(key), _) => Self::Attribute(key.to_owned()),
                (_, Some(key)) => Self::Meta(key.to_owned()),
                _ => Self::Nothing,
            },
        }
    }

    /// Whether nodes of one class may differ in it.
    pub fn is_unique(&self) -> bool {
        match self {
            Self::NodeId | Self::NodeName => true,
            Self::Attribute(key) | Self::Meta(key) => key.starts_with("unique."),
            _ => false,
        }
    }

    /// The literal, when it is one.
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// The value on a node, if there is one. `id` is the node's id as text, made by the caller only when needed.
    pub fn resolve<'a>(&'a self, node: &'a Node, id: &'a str) -> Option<&'a str> {
        match self {
            Self::Literal(text) => Some(text),
            Self::NodeId => Some(id),
            Self::NodeName => Some(&node.name),
            Self::Datacenter => Some(&node.datacenter),
            Self::NodeClass => Some(&node.node_class),
            Self::NodePool => Some(&node.node_pool),
            Self::Attribute(key) => node.attributes.get(key.as_str()).map(|value| value.as_str()),
            Self::Meta(key) => node.meta.get(key.as_str()).map(|value| value.as_str()),
            Self::Nothing => None,
        }
    }
}

/// Whether a target as written escapes the computed class.
pub fn escapes_class(text: &str) -> bool {
    ["${unique.", "${node.unique.", "${attr.unique.", "${meta.unique."].iter().any(|prefix| text.starts_with(prefix))
}

/// Whether a datacenter matches one of a job's globs (`*` stands for any text).
pub fn datacenter_matches(pattern: &str, datacenter: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == datacenter };
    let Some(mut remaining) = datacenter.strip_prefix(head) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return remaining.ends_with(piece);
        }
        match remaining.find(piece) {
            Some(at) => remaining = remaining.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_datacenters() {
        for (pattern, datacenter, expected) in [
            ("*", "dc1", true),
            ("dc1", "dc1", true),
            ("dc1", "dc10", false),
            ("dc*", "dc10", true),
            ("*-west", "us-west", true),
            ("us-*-1", "us-west-1", true),
            ("us-*-1", "us-1", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
        ] {
            assert_eq!(datacenter_matches(pattern, datacenter), expected, "{pattern} {datacenter}");
        }
    }
}
