//! The one syntax tree that HCL2, HCL1 and JSON files are brought into, before anything is evaluated.
//!
//! Spans point into the file; text that came out of a JSON string has the span of that string.

use std::sync::Arc;

use crate::number::Number;
use crate::source::Span;

/// What stands in a file or between the braces of a block.
#[derive(Debug, Default)]
pub struct Body {
    pub items: Vec<Item>,
}

#[derive(Debug)]
pub enum Item {
    Attribute(Attribute),
    Block(Block),
}

#[derive(Debug)]
pub struct Attribute {
    pub name: String,
    pub name_span: Span,
    /// Name and value.
    pub span: Span,
    pub value: Expression,
}

#[derive(Debug)]
pub struct Block {
    pub kind: String,
    pub kind_span: Span,
    pub labels: Vec<Label>,
    /// The opening brace.
    pub brace: Span,
    pub body: Body,
}

impl Block {
    /// Type and labels.
    pub fn head(&self) -> Span {
        self.labels.last().map_or(self.kind_span, |label| self.kind_span.to(label.span))
    }
}

#[derive(Debug, Clone)]
pub struct Label {
    pub text: String,
    pub span: Span,
}

#[derive(Debug)]
pub struct Expression {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    Text(Arc<str>),
    Template(Vec<Part>),
    List(Vec<Expression>),
    /// An object as written; a bare word as key is a `Text`.
    Object(Vec<(Expression, Expression)>),
    Reference(Box<Reference>),
    Access(Box<Access>),
    Call(Box<Call>),
    Unary(Unary, Box<Expression>),
    Binary(Binary, Box<(Expression, Expression)>),
    Conditional(Box<(Expression, Expression, Expression)>),
    For(Box<For>),
}

/// A name and what is taken out of it: `var.x[0].y`.
#[derive(Debug)]
pub struct Reference {
    pub root: Arc<str>,
    pub steps: Vec<Step>,
    /// The text that stays in the job when nobody here knows the name: `${attr.kernel.name}`.
    pub text: Arc<str>,
}

/// Something taken out of the result of an expression.
#[derive(Debug)]
pub struct Access {
    pub of: Expression,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub span: Span,
    pub kind: StepKind,
}

#[derive(Debug)]
pub enum StepKind {
    Attribute(Arc<str>),
    Index(Expression),
    /// `.*`: the attributes after it are taken from each element.
    AttributeSplat,
    /// `[*]`: everything after it is taken from each element.
    FullSplat,
}

#[derive(Debug)]
pub struct Call {
    pub name: String,
    /// The name and the opening parenthesis.
    pub head: Span,
    pub arguments: Vec<Expression>,
    /// `f(list...)`
    pub expand: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    Negate,
    Not,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
}

#[derive(Debug)]
pub struct For {
    pub key_name: Option<Arc<str>>,
    pub value_name: Arc<str>,
    pub collection: Expression,
    /// Present in the object form.
    pub key: Option<Expression>,
    pub value: Expression,
    pub condition: Option<Expression>,
    /// `=> value...`
    pub group: bool,
}

/// A piece of a template.
#[derive(Debug)]
pub enum Part {
    Text(String),
    Value(Expression),
    If(Expression, Vec<Part>, Vec<Part>),
    For(TemplateFor),
}

#[derive(Debug)]
pub struct TemplateFor {
    pub key_name: Option<Arc<str>>,
    pub value_name: Arc<str>,
    pub collection: Expression,
    pub body: Vec<Part>,
}
