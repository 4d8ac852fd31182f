//! Versions and requirements on them, loose (`version`) and by SemVer 2.0 precedence (`semver`).
//!
//! Called by `constraint` only.

use std::cmp::Ordering;

/// Why a text is no list of requirements.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// Not an operator and a version.
    #[error("malformed constraint {0:?}")]
    Malformed(String),
    /// `~>` needs the loose rules.
    #[error("operator ~> is not allowed in semver constraint {0:?}")]
    PessimisticInSemver(String),
}

/// A version: numbers, a pre-release, and build metadata that is not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    segments: Vec<u64>,
    /// How many segments were written; `1.2` stands for 1.2.0.
    written: usize,
    prerelease: String,
}

impl Version {
    /// Reads `1`, `1.2`, `v1.2.3`, `1.2.3-beta.1+build`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = text.split_once('+').map_or((text, None), |(text, metadata)| (text, Some(metadata)));
        if metadata.is_some_and(|metadata| !is_identifiers(metadata)) {
            return None;
        }
        let numbers_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, rest) = text.split_at(numbers_end);
        // `1.2beta` is a pre-release too; a dash alone is none.
        let prerelease = rest.strip_prefix('-').unwrap_or(rest);
        if rest.starts_with('-') && prerelease.is_empty() || !prerelease.is_empty() && !is_identifiers(prerelease) {
            return None;
        }
        let mut segments = Vec::with_capacity(3);
        for number in numbers.split('.') {
            segments.push(number.parse().ok()?);
        }
        let written = segments.len();
        while segments.len() < 3 {
            segments.push(0);
        }
        Some(Self { segments, written, prerelease: prerelease.to_owned() })
    }

    fn segment(&self, at: usize) -> u64 {
        self.segments.get(at).copied().unwrap_or(0)
    }

    fn compare_segments(&self, other: &Self) -> Ordering {
        let longest = self.segments.len().max(other.segments.len());
        (0..longest).map(|at| self.segment(at).cmp(&other.segment(at))).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare_segments(other).then_with(|| match (self.prerelease.is_empty(), other.prerelease.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_prereleases(&self.prerelease, &other.prerelease),
        })
    }
}

fn is_identifiers(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'~'))
}

/// SemVer 2.0, section 11: numbers by value and below texts, a longer list wins when all before is equal.
fn compare_prereleases(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        let ordering = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(left), Some(right)) => match (left.parse::<u64>(), right.parse::<u64>()) {
                (Ok(left), Ok(right)) => left.cmp(&right),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => left.cmp(right),
            },
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Different,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Pessimistic,
}

/// A comma-separated list of requirements; all must hold.
#[derive(Debug, Clone)]
pub struct Requirements {
    all: Vec<(Operator, Version)>,
    strict: bool,
}

impl Requirements {
    /// Parses `>= 1.2, < 2`; `strict` is the `semver` operator.
    pub fn parse(text: &str, strict: bool) -> Result<Self, VersionError> {
        let mut all = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let digits = part.find(|c: char| !matches!(c, '=' | '!' | '<' | '>' | '~')).unwrap_or(part.len());
            let operator = match part.get(..digits).unwrap_or_default() {
                "" | "=" => Operator::Equal,
                "!=" => Operator::Different,
                ">" => Operator::Greater,
                "<" => Operator::Less,
                ">=" => Operator::GreaterOrEqual,
                "<=" => Operator::LessOrEqual,
                "~>" if strict => return Err(VersionError::PessimisticInSemver(part.to_owned())),
                "~>" => Operator::Pessimistic,
                _ => return Err(VersionError::Malformed(part.to_owned())),
            };
            let version = Version::parse(part.get(digits..).unwrap_or_default());
            all.push((operator, version.ok_or_else(|| VersionError::Malformed(part.to_owned()))?));
        }
        Ok(Self { all, strict })
    }

    /// Whether a version satisfies all of them.
    pub fn match_version(&self, version: &Version) -> bool {
        self.all.iter().all(|(operator, wanted)| self.one(*operator, version, wanted))
    }

    fn one(&self, operator: Operator, version: &Version, wanted: &Version) -> bool {
        match operator {
            Operator::Equal => return version == wanted || version.cmp(wanted).is_eq(),
            Operator::Different => return version.cmp(wanted).is_ne(),
            _ => {}
        }
        // By the loose rules a pre-release only satisfies a requirement that itself names one of the same base.
        let (is, named) = (!version.prerelease.is_empty(), !wanted.prerelease.is_empty());
        let bases_differ = version.compare_segments(wanted).is_ne();
        if !self.strict && (is && (!named || bases_differ) || operator == Operator::Pessimistic && !is && named) {
            return false;
        }
        let ordering = version.cmp(wanted);
        match operator {
            Operator::Greater => ordering.is_gt(),
            Operator::Less => ordering.is_lt(),
            Operator::GreaterOrEqual => ordering.is_ge(),
            Operator::LessOrEqual => ordering.is_le(),
            Operator::Pessimistic => {
                // All written segments but the last are fixed; the last one and what follows may grow.
                let fixed = wanted.written.saturating_sub(1);
                ordering.is_ge() && (0..fixed).all(|at| version.segment(at) == wanted.segment(at))
            }
            Operator::Equal | Operator::Different => false,
        }
    }
}
