//! Constraint operators: what `left operator right` means, and which right sides make no sense.
//!
//! A right side is parsed once (`Test::parse`) and then checked against many nodes. Where the values come from is
//! `target`'s matter; `distinct_hosts` and `distinct_property` look at allocations and live in `feasible::distinct`.
//! Called by feasibility, by affinities, and by admission (`validate`).

use std::cmp::Ordering;

use regex::Regex;

use crate::constraint::version::{Requirements, Version};

pub mod version;

/// Why a constraint cannot be meant as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// Nobody knows this operator.
    #[error("unknown constraint operator {0:?}")]
    UnknownOperator(String),
    /// The operator is missing.
    #[error("missing constraint operand")]
    MissingOperator,
    /// The operator compares with something, and nothing is given.
    #[error("operator {0:?} requires an RTarget")]
    MissingRight(String),
    /// The operator looks at an attribute, and none is given.
    #[error("no LTarget provided but is required by constraint")]
    MissingLeft,
    /// The right side is no regular expression.
    #[error("regular expression failed to compile: {0}")]
    Regexp(String),
    /// The right side is no list of version requirements.
    #[error("version constraint is invalid: {0}")]
    Version(#[from] version::VersionError),
    /// `distinct_property` counts up to a number of at least 1.
    #[error("distinct_property must have an allowed count of 1 or greater: {0}")]
    DistinctCount(String),
    /// `distinct_hosts` is a switch.
    #[error("distinct_hosts takes true or false, not {0:?}")]
    DistinctHosts(String),
}

/// An operator with its right side, parsed.
#[derive(Debug, Clone)]
pub enum Test {
    /// Text equality.
    Equal,
    /// Text inequality; a missing left side differs from everything but a missing right side.
    Different,
    /// Integers, else floats, else bytes are compared.
    Order(Comparison),
    /// Version requirements; `None` when the right side is only known per node or does not parse.
    Version {
        /// SemVer 2.0 precedence instead of the loose rules.
        strict: bool,
        /// The parsed right side.
        requirements: Option<Requirements>,
    },
    /// An unanchored search; `None` as above.
    Regexp(Option<Regex>),
    /// Every item on the right is on the left.
    ContainsAll,
    /// Some item on the right is on the left.
    ContainsAny,
    /// The left side exists.
    IsSet,
    /// The left side does not exist.
    IsNotSet,
    /// Never true.
    Unknown,
}

/// The four orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether an ordering satisfies it.
    pub const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Test {
    /// Parses an operator; `right` is the right side where it is the same for all nodes.
    pub fn parse(operator: &str, right: Option<&str>) -> Self {
        match operator {
            "=" | "==" | "is" => Self::Equal,
            "!=" | "not" => Self::Different,
            "<" => Self::Order(Comparison::Less),
            "<=" => Self::Order(Comparison::LessOrEqual),
            ">" => Self::Order(Comparison::Greater),
            ">=" => Self::Order(Comparison::GreaterOrEqual),
            "version" | "semver" => {
                let strict = operator == "semver";
                Self::Version { strict, requirements: right.and_then(|right| Requirements::parse(right, strict).ok()) }
            }
            "regexp" => Self::Regexp(right.and_then(|right| Regex::new(right).ok())),
            "set_contains" | "set_contains_all" => Self::ContainsAll,
            "set_contains_any" => Self::ContainsAny,
            "is_set" => Self::IsSet,
            "is_not_set" => Self::IsNotSet,
            _ => Self::Unknown,
        }
    }

    /// Whether `left` and `right` (absent: the attribute does not exist) satisfy it.
    pub fn holds(&self, left: Option<&str>, right: Option<&str>) -> bool {
        match self {
            Self::IsSet => left.is_some(),
            Self::IsNotSet => left.is_none(),
            Self::Different => left.unwrap_or_default() != right.unwrap_or_default(),
            Self::Unknown => false,
            _ => match (left, right) {
                (Some(left), Some(right)) => self.compare(left, right),
                _ => false,
            },
        }
    }

    fn compare(&self, left: &str, right: &str) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Order(comparison) => comparison.holds(order(left, right)),
            Self::Version { strict, requirements } => {
                let Some(version) = Version::parse(left) else { return false };
                match requirements {
                    Some(requirements) => requirements.match_version(&version),
                    None => Requirements::parse(right, *strict).is_ok_and(|parsed| parsed.match_version(&version)),
                }
            }
            Self::Regexp(Some(regex)) => regex.is_match(left),
            Self::Regexp(None) => Regex::new(right).is_ok_and(|regex| regex.is_match(left)),
            Self::ContainsAll => items(right).all(|wanted| items(left).any(|item| item == wanted)),
            Self::ContainsAny => items(right).any(|wanted| items(left).any(|item| item == wanted)),
            Self::Different | Self::IsSet | Self::IsNotSet | Self::Unknown => false,
        }
    }
}

/// Whether `left operator right` holds; `None` stands for something that does not exist.
pub fn check(operator: &str, left: Option<&str>, right: Option<&str>) -> bool {
    Test::parse(operator, None).holds(left, right)
}

/// Whether a constraint can be meant as written; admission refuses a job otherwise.
pub fn validate(operator: &str, left: &str, right: &str) -> Result<(), ConstraintError> {
    let interpolated = right.starts_with("${");
    let needs_right = || match right {
        "" => Err(ConstraintError::MissingRight(operator.to_owned())),
        _ => Ok(()),
    };
    let needs_left = || match left {
        "" => Err(ConstraintError::MissingLeft),
        _ => Ok(()),
    };
    match operator {
        "" => Err(ConstraintError::MissingOperator),
        "distinct_hosts" => match right {
            "" | "true" | "false" | "1" | "0" | "t" | "f" | "T" | "F" | "TRUE" | "FALSE" | "True" | "False" => Ok(()),
            other => Err(ConstraintError::DistinctHosts(other.to_owned())),
        },
        "distinct_property" => {
            needs_left()?;
            match right.parse::<u64>() {
                Ok(1..) => Ok(()),
                _ if right.is_empty() => Ok(()),
                _ => Err(ConstraintError::DistinctCount(right.to_owned())),
            }
        }
        "is_set" | "is_not_set" => match right {
            "" => needs_left(),
            _ => Err(ConstraintError::UnknownOperator(format!("{operator} {right}"))),
        },
        "regexp" => {
            needs_left()?;
            needs_right()?;
            match Regex::new(right) {
                Err(source) if !interpolated => Err(ConstraintError::Regexp(one_line(&source.to_string()))),
                _ => Ok(()),
            }
        }
        "version" | "semver" => {
            needs_left()?;
            needs_right()?;
            match interpolated {
                true => Ok(()),
                false => Ok(Requirements::parse(right, operator == "semver").map(|_| ())?),
            }
        }
        "set_contains" | "set_contains_all" | "set_contains_any" => needs_left().and_then(|()| needs_right()),
        "=" | "==" | "is" | "!=" | "not" | "<" | "<=" | ">" | ">=" => {
            needs_left()?;
            match operator {
                "<" | "<=" | ">" | ">=" => needs_right(),
                _ => Ok(()),
            }
        }
        other => Err(ConstraintError::UnknownOperator(other.to_owned())),
    }
}

/// The last line of a multi-line error says what is wrong.
fn one_line(text: &str) -> String {
    text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim)
}

/// Integers when both are, else floats when both are, else bytes.
fn order(left: &str, right: &str) -> Ordering {
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return left.cmp(&right);
    }
    if let (Ok(left), Ok(right)) = (left.parse::<f64>(), right.parse::<f64>()) {
        return left.partial_cmp(&right).unwrap_or(Ordering::Equal);
    }
    left.as_bytes().cmp(right.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_compares_as_in_nomad() {
        for (left, operator, right, expected) in [
            ("linux", "=", "linux", true),
            ("linux", "==", "linux ", false),
            ("linux", "is", "windows", false),
            ("linux", "!=", "windows", true),
            ("linux", "not", "linux", false),
            ("10", ">", "9", true),
            ("10", "<", "9", false),
            ("1.5", ">=", "1.25", true),
            ("abc", "<", "abd", true),
            ("5.10.0", "version", ">= 5.4, < 6", true),
            ("v5.10", "version", "~> 5.9", true),
            ("6.0", "version", "~> 5.9", false),
            ("1.8.0-beta", "version", ">= 1.8.0", false),
            ("1.8.0-beta", "version", ">= 1.7.0", false),
            ("1.8.0-beta.2", "version", ">= 1.8.0-beta.1", true),
            ("1.8.0-beta", "semver", ">= 1.7.0", true),
            ("1.8.0-beta", "semver", ">= 1.8.0", false),
            ("1.8.0+ent", "semver", ">= 1.8.0", true),
            ("no version", "version", "> 1", false),
            ("x86_64", "regexp", "^x86", true),
            ("amd64", "regexp", "d6", true),
            ("amd64", "regexp", "(", false),
            ("a, b,c", "set_contains", "c,a", true),
            ("a,b", "set_contains_all", "a,c", false),
            ("a,b", "set_contains_any", "c, b", true),
            ("a", "is_set", "", true),
            ("a", "is_not_set", "", false),
            ("a", "resembles", "a", false),
        ] {
            assert_eq!(check(operator, Some(left), Some(right)), expected, "{left} {operator} {right}");
        }
    }

    #[test]
    fn a_missing_attribute_only_passes_what_does_not_need_it() {
        for (operator, expected) in [
            ("=", false),
            ("!=", true),
            ("<", false),
            ("version", false),
            ("regexp", false),
            ("is_set", false),
            ("is_not_set", true),
        ] {
            assert_eq!(check(operator, None, Some("1")), expected, "{operator}");
        }
        assert!(!check("!=", None, None), "two missing values are equal");
    }

    #[test]
    fn admission_learns_what_is_wrong() {
        for (operator, left, right, message) in [
            ("regexp", "${attr.x}", "(", "regular expression failed to compile: unclosed group"),
            ("version", "${attr.x}", "soon", "version constraint is invalid: malformed constraint \"soon\""),
            (
                "semver",
                "${attr.x}",
                "~> 1.2",
                "version constraint is invalid: operator ~> is not allowed in semver constraint \"~> 1.2\"",
            ),
            ("like", "a", "b", "unknown constraint operator \"like\""),
            (
                "distinct_property",
                "${meta.rack}",
                "0",
                "distinct_property must have an allowed count of 1 or greater: 0",
            ),
            ("distinct_property", "", "", "no LTarget provided but is required by constraint"),
            ("<", "${attr.x}", "", "operator \"<\" requires an RTarget"),
            ("", "a", "b", "missing constraint operand"),
        ] {
            assert_eq!(validate(operator, left, right).unwrap_err().to_string(), message);
        }
        assert_eq!(validate("distinct_hosts", "", "true"), Ok(()));
        assert_eq!(validate("=", "${attr.x}", ""), Ok(()));
    }
}
