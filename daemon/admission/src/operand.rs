//! Right sides of operators that have a grammar of their own, parsed as the scheduler will parse them.

use nomadd_scheduler::constraint::version::Requirements;

/// The largest compiled form of a pattern, in bytes; a larger one would only cost servers memory.
const LARGEST_PATTERN: usize = 1 << 20;

/// Whether a text is a regular expression of bearable size. A value that only a node knows is taken as it is.
pub(crate) fn regexp(text: &str) -> Result<(), String> {
    if is_reference(text) {
        return Ok(());
    }
    match regex::RegexBuilder::new(text).size_limit(LARGEST_PATTERN).build() {
        Ok(_) => Ok(()),
        // The last line says what is wrong; those before it draw the place.
        Err(wrong) => {
            Err(wrong.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
    }
}

/// Whether a text is a list of version requirements, such as `>= 1.2, < 3`.
pub(crate) fn version(text: &str) -> Result<(), String> {
    requirements(text, false)
}

/// Whether a text is a list of requirements by SemVer 2.0.
pub(crate) fn semver(text: &str) -> Result<(), String> {
    requirements(text, true)
}

fn requirements(text: &str, strict: bool) -> Result<(), String> {
    if is_reference(text) {
        return Ok(());
    }
    Requirements::parse(text, strict).map(drop).map_err(|wrong| wrong.to_string())
}

fn is_reference(text: &str) -> bool {
    text.starts_with("${")
}
