//! Reads the text of a filter.

use regex::RegexBuilder;

use super::{Expression, FilterError, MAX_DEPTH, Test};

/// The largest compiled regular expression, in bytes.
const MAX_REGEX: usize = 1 << 20;

pub(super) fn expression(text: &str) -> Result<Expression, FilterError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let parsed = parser.or()?;
    parser.space();
    if parser.at < text.len() {
        return Err(parser.wrong("an operator or the end of the expression was expected"));
    }
    Ok(parsed)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }
    fn wrong(&self, reason: impl Into<String>) -> FilterError {
        FilterError::Syntax { at: self.at, reason: reason.into() }
    }
    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }
    fn symbol(&mut self, symbol: &str) -> bool {
        self.space();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len();
        }
        found
    }
    /// A word that ends where a name ends.
    fn word(&mut self, word: &str) -> bool {
        self.space();
        let found = self.rest().strip_prefix(word).is_some_and(|after| !after.starts_with(is_name));
        if found {
            self.at += word.len();
        }
        found
    }
    fn deeper(&mut self) -> Result<(), FilterError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.wrong(format!("nested more than {MAX_DEPTH} deep"))) } else { Ok(()) }
    }

    fn or(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Expression::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }
    fn and(&mut self) -> Result<Expression, FilterError> {
        let mut left = self.unary()?;
        while self.word("and") {
            left = Expression::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }
    fn unary(&mut self) -> Result<Expression, FilterError> {
        self.deeper()?;
        let parsed = if self.word("not") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.symbol("(") {
            let inner = self.or()?;
            if !self.symbol(")") {
                return Err(self.wrong("\")\" was expected"));
            }
            inner
        } else if self.word("any") {
            self.each(false)?
        } else if self.word("all") {
            self.each(true)?
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(parsed)
    }
    fn each(&mut self, all: bool) -> Result<Expression, FilterError> {
        let selector = self.selector()?;
        if !self.word("as") {
            return Err(self.wrong("\"as\" was expected"));
        }
        let mut names = vec![self.name()?];
        if self.symbol(",") {
            names.push(self.name()?);
        }
        if !self.symbol("{") {
            return Err(self.wrong("\"{\" was expected"));
        }
        let inner = Box::new(self.or()?);
        if !self.symbol("}") {
            return Err(self.wrong("\"}\" was expected"));
        }
        Ok(Expression::Each { all, selector, names, inner })
    }

    fn test(&mut self) -> Result<Expression, FilterError> {
        self.space();
        let start = self.at;
        // `value in selector` begins with a value; everything else begins with a selector.
        if let Ok(value) = self.value() {
            if self.word("in") {
                return Ok(Expression::Match { selector: self.selector()?, test: Test::Contains(value) });
            }
            let before_not = self.at;
            if self.word("not") && self.word("in") {
                return Ok(Expression::Match { selector: self.selector()?, test: Test::NotContains(value) });
            }
            self.at = before_not;
        }
        self.at = start;
        let selector = self.selector()?;
        let test = if self.symbol("==") {
            Test::Equal(self.value()?)
        } else if self.symbol("!=") {
            Test::NotEqual(self.value()?)
        } else if self.word("contains") {
            Test::Contains(self.value()?)
        } else if self.word("matches") {
            Test::Matches(self.regex()?)
        } else if self.word("is") {
            if self.word("empty") || self.word("nil") {
                Test::Empty
            } else if self.word("not") && (self.word("empty") || self.word("nil")) {
                Test::NotEmpty
            } else {
                self.space();
                return Err(self.wrong("no match found, expected: \"empty\", \"nil\", \"not\" or [ \\t\\r\\n]"));
            }
        } else if self.word("not") {
            if self.word("contains") {
                Test::NotContains(self.value()?)
            } else if self.word("matches") {
                Test::NotMatches(self.regex()?)
            } else {
                return Err(self.wrong("no match found, expected: \"contains\", \"in\" or \"matches\""));
            }
        } else {
            self.space();
            return Err(self.wrong(
                "no match found, expected: \"!=\", \"==\", \"contains\", \"in\", \"is\", \"matches\" or \"not\"",
            ));
        };
        Ok(Expression::Match { selector, test })
    }

    fn name(&mut self) -> Result<String, FilterError> {
        self.space();
        let rest = self.rest();
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        if end == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wrong("a name was expected"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }
    fn selector(&mut self) -> Result<Vec<String>, FilterError> {
        self.space();
        if self.rest().starts_with("\"/") {
            let pointer = self.quoted()?;
            return Ok(pointer[1..].split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect());
        }
        let mut parts = vec![self.name()?];
        loop {
            if self.rest().starts_with('.') {
                self.at += 1;
                parts.push(self.name_or_number()?);
            } else if self.rest().starts_with('[') {
                self.at += 1;
                self.space();
                parts.push(self.quoted()?);
                if !self.symbol("]") {
                    return Err(self.wrong("\"]\" was expected"));
                }
            } else {
                return Ok(parts);
            }
        }
    }
    fn name_or_number(&mut self) -> Result<String, FilterError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.wrong("a name was expected"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }
    fn quoted(&mut self) -> Result<String, FilterError> {
        let rest = self.rest();
        let Some(quote @ ('"' | '`')) = rest.chars().next() else {
            return Err(self.wrong("a quoted text was expected"));
        };
        let mut text = String::new();
        let mut escaped = false;
        for (index, c) in rest.char_indices().skip(1) {
            match c {
                _ if escaped => {
                    if !matches!(c, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(c);
                    escaped = false;
                }
                '\\' if quote == '"' => escaped = true,
                _ if c == quote => {
                    self.at += index + c.len_utf8();
                    return Ok(text);
                }
                _ => text.push(c),
            }
        }
        Err(self.wrong("the quote is not closed"))
    }
    fn value(&mut self) -> Result<String, FilterError> {
        self.space();
        let rest = self.rest();
        if rest.starts_with(['"', '`']) {
            return self.quoted();
        }
        let end = rest.find(|c: char| !(is_name(c) || matches!(c, '-' | '.' | '+'))).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.wrong("a value was expected"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }
    fn regex(&mut self) -> Result<regex::Regex, FilterError> {
        self.space();
        let start = self.at;
        let pattern = self.value()?;
        RegexBuilder::new(&pattern).size_limit(MAX_REGEX).build().map_err(|error| FilterError::Syntax {
            at: start,
            reason: format!("invalid regular expression {pattern:?}: {}", error.to_string().replace('\n', " ")),
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
