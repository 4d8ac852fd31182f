//! Templates: which white space the strip markers (`~`) and an indented heredoc take away.
//!
//! Both work on the pieces that the language's own scanner sees: in a heredoc every line is a piece of its own, so a
//! strip marker reaches to the end of its line, and a line whose beginning was stripped is not a line for the indent.

use std::sync::Arc;

use hcl_edit::Span as _;
use hcl_edit::template::{Directive, Element, ForDirective, IfDirective, Interpolation, Strip, Template};
use unicode_segmentation::UnicodeSegmentation as _;

use super::Lower;
use crate::diagnostic::Outcome;
use crate::tree::{Kind, Part, TemplateFor};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Quoted,
    Heredoc,
    IndentedHeredoc,
}

/// A template, flat.
enum Piece<'e> {
    Text(String),
    Value(&'e Interpolation, Option<std::ops::Range<usize>>),
    If(&'e IfDirective),
    Else(Strip),
    EndIf(Strip),
    For(&'e ForDirective),
    EndFor(Strip),
}

impl Piece<'_> {
    fn strip(&self) -> Strip {
        match self {
            Self::Text(_) => Strip::None,
            Self::Value(value, _) => value.strip,
            Self::If(directive) => directive.if_expr.strip,
            Self::For(directive) => directive.for_expr.strip,
            Self::Else(strip) | Self::EndIf(strip) | Self::EndFor(strip) => *strip,
        }
    }
}

impl Lower<'_> {
    pub(super) fn template(&self, template: &Template, form: Form) -> Outcome<Kind> {
        let mut pieces = Vec::new();
        self.flatten(template, form, &mut pieces);
        if let [Piece::Value(value, range)] = &*pieces {
            return Ok(self.interpolated(value, range.clone())?.kind);
        }
        strip(&mut pieces);
        if form == Form::IndentedHeredoc {
            unindent(&mut pieces);
        }
        let mut pieces = pieces.into_iter();
        let mut parts = self.parts(&mut pieces)?.0;
        match &mut *parts {
            [] => Ok(Kind::Text(Arc::from(""))),
            [Part::Text(text)] => Ok(Kind::Text(Arc::from(text.as_str()))),
            _ => Ok(Kind::Template(parts)),
        }
    }

    fn flatten<'e>(&self, template: &'e Template, form: Form, pieces: &mut Vec<Piece<'e>>) {
        for element in template {
            match element {
                Element::Literal(text) if form == Form::Quoted => pieces.push(Piece::Text(text.as_str().to_owned())),
                // The text as it is in the file: the parser has already taken an indent away, in its own way.
                Element::Literal(text) => {
                    let raw = self.slice(text.span()).replace("$${", "${").replace("%%{", "%{");
                    pieces.extend(raw.split_inclusive('\n').map(|line| Piece::Text(line.to_owned())));
                }
                Element::Interpolation(value) => pieces.push(Piece::Value(value, value.span())),
                Element::Directive(directive) => match &**directive {
                    Directive::If(directive) => {
                        pieces.push(Piece::If(directive));
                        self.flatten(&directive.if_expr.template, form, pieces);
                        if let Some(other) = &directive.else_expr {
                            pieces.push(Piece::Else(other.strip));
                            self.flatten(&other.template, form, pieces);
                        }
                        pieces.push(Piece::EndIf(directive.endif_expr.strip));
                    }
                    Directive::For(directive) => {
                        pieces.push(Piece::For(directive));
                        self.flatten(&directive.for_expr.template, form, pieces);
                        pieces.push(Piece::EndFor(directive.endfor_expr.strip));
                    }
                },
            }
        }
    }

    /// A bare name in `${ }` that only the client knows keeps the text between the braces as it was written.
    fn interpolated(
        &self,
        value: &Interpolation,
        range: Option<std::ops::Range<usize>>,
    ) -> Outcome<crate::tree::Expression> {
        let mut expression = self.expression(&value.expr)?;
        let bare =
            matches!(value.expr, hcl_edit::expr::Expression::Variable(_) | hcl_edit::expr::Expression::Traversal(_));
        if let (true, Strip::None, Kind::Reference(reference)) = (bare, value.strip, &mut expression.kind) {
            let written = self.slice(range);
            if written.starts_with("${") && written.ends_with('}') {
                reference.text = Arc::from(written);
            }
        }
        Ok(expression)
    }

    /// Builds the parts up to the piece that ends this level, which is returned too.
    fn parts<'e>(&self, pieces: &mut impl Iterator<Item = Piece<'e>>) -> Outcome<(Vec<Part>, Option<Piece<'e>>)> {
        let mut parts: Vec<Part> = Vec::new();
        while let Some(piece) = pieces.next() {
            match piece {
                Piece::Text(text) => match parts.last_mut() {
                    Some(Part::Text(before)) => before.push_str(&text),
                    _ if text.is_empty() => {}
                    _ => parts.push(Part::Text(text)),
                },
                Piece::Value(value, range) => parts.push(Part::Value(self.interpolated(value, range)?)),
                Piece::If(directive) => {
                    let condition = self.expression(&directive.if_expr.cond_expr)?;
                    let (yes, end) = self.parts(pieces)?;
                    let no = if matches!(end, Some(Piece::Else(_))) { self.parts(pieces)?.0 } else { Vec::new() };
                    parts.push(Part::If(condition, yes, no));
                }
                Piece::For(directive) => {
                    let form = &directive.for_expr;
                    let collection = self.expression(&form.collection_expr)?;
                    let key_name = form.key_var.as_ref().map(|name| Arc::from(name.as_str()));
                    let body = self.parts(pieces)?.0;
                    parts.push(Part::For(TemplateFor {
                        key_name,
                        value_name: Arc::from(form.value_var.as_str()),
                        collection,
                        body,
                    }));
                }
                end => return Ok((parts, Some(end))),
            }
        }
        Ok((parts, None))
    }
}

fn strip(pieces: &mut [Piece<'_>]) {
    for at in 0..pieces.len() {
        let strip = pieces[at].strip();
        if strip.strip_start()
            && let Some(Piece::Text(text)) = at.checked_sub(1).and_then(|at| pieces.get_mut(at))
        {
            text.truncate(text.trim_end().len());
        }
        if strip.strip_end()
            && let Some(Piece::Text(text)) = pieces.get_mut(at + 1)
        {
            *text = text.trim_start().to_owned();
        }
    }
}

/// Takes the indent that all lines have in common from each of them.
fn unindent(pieces: &mut [Piece<'_>]) {
    let blanks = |text: &str| text[..text.len() - text.trim_start().len()].graphemes(true).count();
    let mut least = usize::MAX;
    let mut lines = Vec::new();
    let mut at_line_start = true;
    for (at, piece) in pieces.iter().enumerate() {
        let Piece::Text(text) = piece else {
            if std::mem::take(&mut at_line_start) {
                least = 0;
            }
            continue;
        };
        if std::mem::take(&mut at_line_start) && !(text.trim().is_empty() && text.ends_with('\n')) {
            least = least.min(blanks(text));
            lines.push(at);
        }
        at_line_start = text.ends_with('\n');
    }
    for at in lines {
        if let Some(Piece::Text(text)) = pieces.get_mut(at) {
            let cut: usize = text.graphemes(true).take(least).map(str::len).sum();
            text.drain(..cut);
        }
    }
}
