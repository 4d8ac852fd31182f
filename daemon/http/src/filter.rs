//! Filter expressions (`?filter=`): the language of go-bexpr over the JSON form of an object.
//!
//! `parse` bounds and reads the text, `evaluate` decides about one object. Fields have the API's names and are those of the
//! full object, not of the list's stub. Pure; called by the list endpoints.

mod evaluate;
mod parse;

use serde_json::Value;

/// A parsed filter.
#[derive(Clone, Debug)]
pub struct Filter(Expression);

/// The longest expression, in bytes.
const MAX_LENGTH: usize = 4096;
/// The deepest nesting of `not`, parentheses, `any` and `all`.
const MAX_DEPTH: usize = 32;

/// A filter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The text is no expression.
    #[error("failed to read filter expression: 1:{} ({at}): {reason}", at + 1)]
    Syntax {
        /// The byte at which it went wrong.
        at: usize,
        /// What was expected.
        reason: String,
    },
    /// The text is too long.
    #[error("failed to read filter expression: it has {0} bytes; at most {MAX_LENGTH} are allowed")]
    TooLong(usize),
    /// The object has no such field.
    #[error(
        "error finding value in datum: /{path} at part {part}: couldn't find key: struct field with name {name:?}{hint}"
    )]
    UnknownField {
        /// The whole selector.
        path: String,
        /// Which part of it.
        part: usize,
        /// The name that was not found.
        name: String,
        /// A name that may have been meant.
        hint: String,
    },
    /// The operator does not fit the field.
    #[error("{operator} cannot be used with {path}, which is {found}")]
    Mismatch {
        /// The operator.
        operator: &'static str,
        /// The field.
        path: String,
        /// What it is.
        found: &'static str,
    },
}

impl Filter {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > MAX_LENGTH {
            return Err(FilterError::TooLong(text.len()));
        }
        parse::expression(text).map(Self)
    }
    /// Whether an object (its API form) passes.
    pub fn matches(&self, object: &Value) -> Result<bool, FilterError> {
        evaluate::expression(&self.0, object, &[])
    }
}

#[derive(Clone, Debug)]
enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Match { selector: Vec<String>, test: Test },
    Each { all: bool, selector: Vec<String>, names: Vec<String>, inner: Box<Expression> },
}

#[derive(Clone, Debug)]
enum Test {
    Equal(String),
    NotEqual(String),
    /// The value stands in the selected list, map or text.
    Contains(String),
    NotContains(String),
    Empty,
    NotEmpty,
    Matches(regex::Regex),
    NotMatches(regex::Regex),
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> Value {
        json!({
            "ID": "a1", "NodePool": "gpu", "Status": "ready", "CreateIndex": 7, "Drain": false, "Datacenters": ["dc1", "dc2"],
            "Meta": {"tier": "gold", "a.b": "x"}, "Events": [{"Message": "hello"}, {"Message": "bye"}], "Periodic": null,
        })
    }

    #[test]
    fn expressions_decide_as_people_expect() {
        for (text, expected) in [
            (r#"NodePool == "gpu""#, true),
            (r#"NodePool != gpu"#, false),
            (r#"Status == ready and CreateIndex == 7"#, true),
            (r#"not (Status == ready) or Drain == false"#, true),
            (r#""dc1" in Datacenters"#, true),
            (r#""dc9" not in Datacenters"#, true),
            (r#"Datacenters contains "dc2""#, true),
            (r#"Meta.tier == "gold""#, true),
            (r#"Meta["a.b"] == "x""#, true),
            (r#"Meta.nothing == "x""#, false),
            (r#"Meta.nothing != "x""#, true),
            (r#""tier" in Meta"#, true),
            (r#"Meta is not empty"#, true),
            (r#"Datacenters is empty"#, false),
            (r#"ID matches "^a[0-9]$""#, true),
            (r#"ID not matches "^b""#, true),
            (r#"any Events as e { e.Message == "bye" }"#, true),
            (r#"all Events as _, e { e.Message == "bye" }"#, false),
            (r#""/Meta/tier" == `gold`"#, true),
            (r#"Periodic.Spec == "x""#, false),
        ] {
            assert_eq!(Filter::parse(text).unwrap().matches(&node()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_say_what_and_where() {
        let failed = |text: &str| match Filter::parse(text) {
            Err(error) => error.to_string(),
            Ok(filter) => filter.matches(&node()).unwrap_err().to_string(),
        };
        assert!(failed("Type is bad").contains("1:9 (8)"), "{}", failed("Type is bad"));
        assert!(failed("Nope == \"x\"").contains("couldn't find key: struct field with name \"Nope\""));
        assert!(failed("Statuss == x").contains("did you mean \"Status\"?"));
        assert!(failed("ID matches \"(\"").contains("1:12"));
        assert!(failed(&"(".repeat(100)).contains("nested"));
        assert!(failed(&"a".repeat(5000)).contains("5000 bytes"));
        assert!(failed("").contains("1:1 (0)"));
    }
}
