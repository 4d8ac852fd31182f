//! HCL2 in its own syntax → the tree. The parser is hcl-edit's; places and words of its errors are made here.
//!
//! Nothing outside of this file and its folder knows hcl-edit.

mod template;

use std::sync::Arc;

use hcl_edit::expr::{self as edit, BinaryOperator, ObjectKey, TraversalOperator, UnaryOperator};
use hcl_edit::structure::{self, BlockLabel, Structure};
use hcl_edit::{Span as _, parser};

use crate::diagnostic::{Outcome, Problem};
use crate::number::Number;
use crate::scan;
use crate::source::Span;
use crate::tree::{
    Access, Attribute, Binary, Block, Body, Call, Expression, For, Item, Kind, Label, Reference, Step, StepKind, Unary,
};

/// Summaries of errors that no HCL1 file has: such a file is meant to be HCL2.
pub(crate) const ONLY_HCL2: [&str; 6] = [
    "Attribute redefined",
    "Duplicate object key",
    "Nesting too deep",
    "Object too large",
    "Unclosed template directive",
    "Unexpected template directive",
];

const MISPLACED: &str = "Argument or block definition required";

/// Reads a whole file.
pub(crate) fn parse_body(source: &str) -> Outcome<Body> {
    let scanned = scan::scan(source);
    if let Err(problem) = &scanned
        && problem.summary != scan::UNCLOSED_BLOCK
    {
        return scanned.map(|()| Body::default());
    }
    let parsed = parser::parse_body(source).map_err(|error| syntax_problem(source, &error));
    let body = match (scanned, parsed) {
        (Ok(()), Ok(body)) => body,
        (Ok(()), Err(problem)) => return Err(problem),
        // What stands in the wrong place comes before the brace that is missing in the end.
        (Err(_), Err(problem)) if problem.summary == MISPLACED => return Err(problem),
        (Err(problem), _) => return Err(problem),
    };
    Lower { source, fixed: None }.body(&body)
}

/// Reads an expression that stands alone. With `fixed` all spans are this one.
pub(crate) fn parse_expression(source: &str, fixed: Option<Span>) -> Outcome<Expression> {
    let at = |problem| place(problem, fixed);
    let source = source.trim();
    scan::scan(source).map_err(at)?;
    let expression = parser::parse_expr(source).map_err(|error| {
        let mut problem = syntax_problem(source, &error);
        if problem.summary == "Invalid syntax" || problem.summary == MISPLACED {
            problem.summary = "Extra characters after expression".into();
            problem.detail = "An expression was read, but what follows does not belong to it.".to_owned();
        }
        at(problem)
    })?;
    Lower { source, fixed }.expression(&expression)
}

/// Reads a text that may contain `${…}`, such as a string of a JSON file.
pub(crate) fn parse_template(source: &str, fixed: Span) -> Outcome<Expression> {
    if !source.contains("${") && !source.contains("%{") {
        return Ok(Expression { span: fixed, kind: Kind::Text(Arc::from(source)) });
    }
    let template =
        parser::parse_template(source).map_err(|error| place(syntax_problem(source, &error), Some(fixed)))?;
    let lower = Lower { source, fixed: Some(fixed) };
    let kind = lower.template(&template, template::Form::Quoted)?;
    Ok(lower.wrap(kind, fixed))
}

fn place(mut problem: Problem, fixed: Option<Span>) -> Problem {
    if let Some(fixed) = fixed {
        problem.span = fixed;
    }
    problem
}

struct Lower<'a> {
    source: &'a str,
    fixed: Option<Span>,
}

impl Lower<'_> {
    fn span(&self, range: Option<std::ops::Range<usize>>) -> Span {
        self.fixed.unwrap_or_else(|| range.map(Span::from).unwrap_or_default())
    }

    fn slice(&self, range: Option<std::ops::Range<usize>>) -> &str {
        range.and_then(|range| self.source.get(range)).unwrap_or_default()
    }

    fn body(&self, body: &structure::Body) -> Outcome<Body> {
        let mut items = Vec::with_capacity(body.len());
        for structure in body {
            items.push(match structure {
                Structure::Attribute(attribute) => Item::Attribute(Attribute {
                    name: attribute.key.as_str().to_owned(),
                    name_span: self.span(attribute.key.span()),
                    span: self.span(attribute.span()),
                    value: self.expression(&attribute.value)?,
                }),
                Structure::Block(block) => Item::Block(self.block(block)?),
            });
        }
        Ok(Body { items })
    }

    fn block(&self, block: &structure::Block) -> Outcome<Block> {
        let labels = block.labels.iter().map(|label| {
            let (text, span) = match label {
                BlockLabel::Ident(ident) => (ident.as_str(), ident.span()),
                BlockLabel::String(string) => (string.as_str(), string.span()),
            };
            Label { text: text.to_owned(), span: self.span(span) }
        });
        let labels: Vec<Label> = labels.collect();
        let kind_span = self.span(block.ident.span());
        let head_end = labels.last().map_or(kind_span, |label| label.span).end as usize;
        let brace = self.source.get(head_end..).and_then(|rest| rest.find('{')).map_or(head_end, |at| head_end + at);
        let body = self.body(&block.body)?;
        Ok(Block { kind: block.ident.as_str().to_owned(), kind_span, labels, brace: Span::new(brace, brace + 1), body })
    }

    fn wrap(&self, kind: Kind, span: Span) -> Expression {
        Expression { span, kind }
    }

    fn expressions<'e>(&self, items: impl IntoIterator<Item = &'e edit::Expression>) -> Outcome<Vec<Expression>> {
        items.into_iter().map(|item| self.expression(item)).collect()
    }

    fn expression(&self, expression: &edit::Expression) -> Outcome<Expression> {
        let span = self.span(expression.span());
        let kind = match expression {
            edit::Expression::Null(_) => Kind::Null,
            edit::Expression::Bool(bool) => Kind::Bool(*bool.value()),
            edit::Expression::Number(_) => {
                let text: String = self.slice(expression.span()).split_whitespace().collect();
                let number = Number::parse(&text);
                Kind::Number(number.ok_or_else(|| {
                    Problem::new(span, "Invalid number literal", "This number has too many digits, or is none.")
                })?)
            }
            edit::Expression::String(text) => Kind::Text(Arc::from(text.as_str())),
            edit::Expression::Array(items) => Kind::List(self.expressions(items)?),
            edit::Expression::Object(object) => {
                let items =
                    object.iter().map(|(key, value)| Ok((self.object_key(key)?, self.expression(value.expr())?)));
                Kind::Object(items.collect::<Outcome<_>>()?)
            }
            edit::Expression::StringTemplate(template) => self.template(template, template::Form::Quoted)?,
            edit::Expression::HeredocTemplate(heredoc) => {
                let indented = self.slice(expression.span()).starts_with("<<-");
                self.template(
                    &heredoc.template,
                    if indented { template::Form::IndentedHeredoc } else { template::Form::Heredoc },
                )?
            }
            edit::Expression::Parenthesis(inner) => return self.expression(inner.inner()),
            edit::Expression::Variable(name) => {
                let text = format!("${{{}}}", name.as_str());
                Kind::Reference(Box::new(Reference {
                    root: Arc::from(name.as_str()),
                    steps: Vec::new(),
                    text: Arc::from(text),
                }))
            }
            edit::Expression::Conditional(form) => Kind::Conditional(Box::new((
                self.expression(&form.cond_expr)?,
                self.expression(&form.true_expr)?,
                self.expression(&form.false_expr)?,
            ))),
            edit::Expression::FuncCall(call) => self.call(call)?,
            edit::Expression::Traversal(traversal) => self.traversal(traversal, expression.span())?,
            edit::Expression::UnaryOp(operation) => {
                let operator = match *operation.operator.value() {
                    UnaryOperator::Neg => Unary::Negate,
                    UnaryOperator::Not => Unary::Not,
                };
                Kind::Unary(operator, Box::new(self.expression(&operation.expr)?))
            }
            edit::Expression::BinaryOp(operation) => {
                let operator = binary(*operation.operator.value());
                Kind::Binary(
                    operator,
                    Box::new((self.expression(&operation.lhs_expr)?, self.expression(&operation.rhs_expr)?)),
                )
            }
            edit::Expression::ForExpr(form) => Kind::For(Box::new(For {
                key_name: form.intro.key_var.as_ref().map(|name| Arc::from(name.as_str())),
                value_name: Arc::from(form.intro.value_var.as_str()),
                collection: self.expression(&form.intro.collection_expr)?,
                key: form.key_expr.as_ref().map(|key| self.expression(key)).transpose()?,
                value: self.expression(&form.value_expr)?,
                condition: form.cond.as_ref().map(|condition| self.expression(&condition.expr)).transpose()?,
                group: form.grouping,
            })),
        };
        Ok(self.wrap(kind, span))
    }

    fn object_key(&self, key: &ObjectKey) -> Outcome<Expression> {
        match key {
            ObjectKey::Ident(name) => Ok(self.wrap(Kind::Text(Arc::from(name.as_str())), self.span(name.span()))),
            ObjectKey::Expression(edit::Expression::Traversal(traversal)) => {
                let detail = "A key with a dot can mean two things: put it in quotes if it is a name, in parentheses if it is a reference.";
                Err(Problem::new(self.span(traversal.span()), "Ambiguous attribute key", detail))
            }
            ObjectKey::Expression(expression) => self.expression(expression),
        }
    }

    fn call(&self, call: &edit::FuncCall) -> Outcome<Kind> {
        let name_span = self.span(call.name.name.span());
        let path = call.name.namespace.iter().map(|part| part.as_str()).chain([call.name.name.as_str()]);
        let end = name_span.end as usize;
        let open = self.source.get(end..).and_then(|rest| rest.find('(')).map_or(end, |at| end + at + 1);
        let head = self.fixed.unwrap_or(Span { start: name_span.start, end: open as u32 });
        let arguments = self.expressions(call.args.iter())?;
        let name = path.collect::<Vec<_>>().join("::");
        Ok(Kind::Call(Box::new(Call { name, head, arguments, expand: call.args.expand_final() })))
    }

    fn traversal(&self, traversal: &edit::Traversal, range: Option<std::ops::Range<usize>>) -> Outcome<Kind> {
        let steps = traversal.operators.iter().map(|operator| {
            let span = self.span(operator.span());
            let kind = match operator.value() {
                TraversalOperator::GetAttr(name) => StepKind::Attribute(Arc::from(name.as_str())),
                TraversalOperator::Index(key) => StepKind::Index(self.expression(key)?),
                TraversalOperator::LegacyIndex(index) => {
                    let number = Number::parse(&index.value().to_string()).unwrap_or_else(Number::zero);
                    StepKind::Index(self.wrap(Kind::Number(number), span))
                }
                TraversalOperator::AttrSplat(_) => StepKind::AttributeSplat,
                TraversalOperator::FullSplat(_) => StepKind::FullSplat,
            };
            Ok(Step { span, kind })
        });
        let steps: Vec<Step> = steps.collect::<Outcome<_>>()?;
        if let edit::Expression::Variable(name) = &traversal.expr {
            let text = format!("${{{}}}", self.slice(range));
            return Ok(Kind::Reference(Box::new(Reference {
                root: Arc::from(name.as_str()),
                steps,
                text: Arc::from(text),
            })));
        }
        Ok(Kind::Access(Box::new(Access { of: self.expression(&traversal.expr)?, steps })))
    }
}

fn binary(operator: BinaryOperator) -> Binary {
    match operator {
        BinaryOperator::Eq => Binary::Equal,
        BinaryOperator::NotEq => Binary::NotEqual,
        BinaryOperator::LessEq => Binary::LessOrEqual,
        BinaryOperator::GreaterEq => Binary::GreaterOrEqual,
        BinaryOperator::Less => Binary::Less,
        BinaryOperator::Greater => Binary::Greater,
        BinaryOperator::Plus => Binary::Add,
        BinaryOperator::Minus => Binary::Subtract,
        BinaryOperator::Mul => Binary::Multiply,
        BinaryOperator::Div => Binary::Divide,
        BinaryOperator::Mod => Binary::Remainder,
        BinaryOperator::And => Binary::And,
        BinaryOperator::Or => Binary::Or,
    }
}

/// Says what is wrong at the place where the parser stopped, in words for people who write job files.
fn syntax_problem(source: &str, error: &parser::Error) -> Problem {
    let mut at = error.location().offset();
    // The parser points at the last character when it wants to point behind it.
    if at + 1 >= source.len() && error.message().contains("newline") {
        at = source.len();
    }
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let rest = &source[at..];
    let line_start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let before = source[line_start..at].trim();
    let next = rest.chars().next();
    let word = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(rest.len());
    let length = if rest.starts_with("...") { 3 } else { word.max(next.map_or(0, char::len_utf8)) };
    let span = Span::new(at, at + length);
    let message = error.message();
    if message.contains("nesting depth") || message.contains("chained binary operators") {
        return Problem::new(span, "Nesting too deep", "Blocks, expressions and operators are nested too deep here.");
    }
    if message.contains("redefined attribute") {
        let name = &rest[..word];
        let detail = format!("The argument {name:?} was already set above. Each argument may be set only once.");
        return Problem::new(span, "Attribute redefined", detail);
    }
    if message.contains("redefined object key") {
        return Problem::new(span, "Duplicate object key", "This key was already set in the same object.");
    }
    if message.contains("escape sequence") || message.contains("unicode") {
        let backslash = source[..at].rfind('\\').unwrap_or(at);
        let span = Span::new(backslash, (backslash + 1).max(at));
        let detail = "The backslash begins an escape; known are \\n, \\r, \\t, \\\", \\\\, \\uNNNN and \\UNNNNNNNN. Write \\\\ for a backslash.";
        return Problem::new(span, "Invalid escape sequence", detail);
    }
    if message.starts_with("invalid expression") || (before.ends_with('=') && !before.ends_with("==")) {
        let detail = "Expected the start of an expression, but found an invalid expression token.";
        return match next {
            None => Problem::new(
                span,
                "Missing expression",
                "Expected the start of an expression, but found the end of the file.",
            ),
            Some('\'') => {
                Problem::new(span, "Invalid character", "Strings stand in double quotes (\"), not in single ones.")
            }
            _ => Problem::new(span, "Invalid expression", detail),
        };
    }
    if before.is_empty() && !message.contains("structure") {
        return match next {
            Some('"') => {
                let end = rest[1..].find(['"', '\n']).map_or(rest.len(), |end| end + 2);
                Problem::new(Span::new(at, at + end), "Invalid argument name", "Argument names must not be quoted.")
            }
            _ if rest.starts_with("...") => {
                let detail = "An argument or block definition is required here.";
                Problem::new(span, MISPLACED, detail)
                    .hint("... stands for lines that were left out: put the real ones here")
            }
            None => Problem::new(
                span,
                "Unexpected end of file",
                "An argument, a block or a closing brace is required here.",
            ),
            _ => Problem::new(span, MISPLACED, "An argument or block definition is required here."),
        };
    }
    if message.contains("newline") || message.contains("\\n") {
        return match next {
            Some(',') => {
                let detail = "Each argument stands in a line of its own, without a comma at its end.";
                Problem::new(span, "Unexpected comma after argument", detail)
            }
            _ if before.contains('{') && !before.contains('}') => {
                let detail =
                    "After the opening brace either a new line follows, or one argument and the closing brace.";
                Problem::new(span, "Invalid single-argument block definition", detail)
            }
            _ if before.ends_with('}') => Problem::new(
                span,
                "Missing newline after block definition",
                "A block definition must end with a newline.",
            ),
            _ => {
                Problem::new(span, "Missing newline after argument", "An argument definition must end with a newline.")
            }
        };
    }
    if message.starts_with("invalid structure") {
        let detail = "A label in quotes, an opening brace or an equals sign must follow here.";
        return Problem::new(span, "Invalid block definition", detail);
    }
    let found = match next {
        None => "the end of the file".to_owned(),
        Some('\n' | '\r') => "the end of the line".to_owned(),
        Some(_) => format!("{:?}", &rest[..length]),
    };
    Problem::new(span, "Invalid syntax", format!("Found {found}: {message}."))
}
