//! Operators and conditions.

use super::{Evaluator, Scope};
use crate::diagnostic::{Outcome, Problem};
use crate::number::Number;
use crate::source::Span;
use crate::tree::{Binary, Expression, Kind, Unary};
use crate::value::Value;

impl Evaluator<'_> {
    pub(super) fn number(&self, value: &Value, span: Span) -> Outcome<Number> {
        value.to_number().ok_or_else(|| operand(value, "a number", span))
    }

    pub(super) fn bool(&self, value: &Value, span: Span) -> Outcome<bool> {
        value.to_bool().ok_or_else(|| operand(value, "a bool", span))
    }

    pub(super) fn unary(
        &self,
        operator: Unary,
        expression: &Expression,
        span: Span,
        scope: &Scope<'_>,
    ) -> Outcome<Value> {
        let value = self.evaluate(expression, scope)?;
        self.charge(span, 48)?;
        match operator {
            Unary::Negate => Ok(Value::Number(self.number(&value, expression.span)?.negate())),
            Unary::Not => Ok(Value::Bool(!self.bool(&value, expression.span)?)),
        }
    }

    pub(super) fn binary(
        &self,
        operator: Binary,
        left: &Expression,
        right: &Expression,
        span: Span,
        scope: &Scope<'_>,
    ) -> Outcome<Value> {
        let first = self.evaluate(left, scope)?;
        if let Binary::And | Binary::Or = operator {
            let first = self.bool(&first, left.span)?;
            if first == (operator == Binary::Or) {
                return Ok(Value::Bool(first));
            }
            let second = self.evaluate(right, scope)?;
            return Ok(Value::Bool(self.bool(&second, right.span)?));
        }
        let second = self.evaluate(right, scope)?;
        if let Binary::Equal | Binary::NotEqual = operator {
            self.charge(span, first.size().min(second.size()))?;
            return Ok(Value::Bool(first.equals(&second) == (operator == Binary::Equal)));
        }
        let (a, b) = (self.number(&first, left.span)?, self.number(&second, right.span)?);
        self.charge(span, 256)?;
        let result = match operator {
            Binary::Less => return Ok(Value::Bool(a < b)),
            Binary::LessOrEqual => return Ok(Value::Bool(a <= b)),
            Binary::Greater => return Ok(Value::Bool(a > b)),
            Binary::GreaterOrEqual => return Ok(Value::Bool(a >= b)),
            Binary::Add => a.add(&b),
            Binary::Subtract => a.subtract(&b),
            Binary::Multiply => a.multiply(&b),
            Binary::Divide if b.is_zero() => {
                return Err(Problem::new(right.span, "Division by zero", "Can't divide by zero."));
            }
            Binary::Divide => a.divide(&b),
            Binary::Remainder if b.is_zero() => {
                return Err(Problem::new(
                    right.span,
                    "Division by zero",
                    "Can't take the remainder of a division by zero.",
                ));
            }
            _ => a.remainder(&b),
        };
        result
            .map(Value::Number)
            .ok_or_else(|| Problem::new(span, "Operation failed", "The result has too many digits."))
    }

    pub(super) fn conditional(
        &self,
        condition: &Expression,
        yes: &Expression,
        no: &Expression,
        scope: &Scope<'_>,
    ) -> Outcome<Value> {
        let value = self.evaluate(condition, scope)?;
        if value.is_null() {
            return Err(Problem::new(
                condition.span,
                "Null condition",
                "A condition is true or false, but this one is null.",
            ));
        }
        let Some(holds) = value.to_bool() else {
            let detail = format!("A condition is true or false, but this one is a {}.", value.type_name());
            return Err(Problem::new(condition.span, "Incorrect condition type", detail));
        };
        let (chosen, other) = if holds { (yes, no) } else { (no, yes) };
        let value = self.evaluate(chosen, scope)?;
        // Both sides have one type: a number beside a string is a string. What the other side fails on is of no interest.
        if let (Value::Number(_) | Value::Bool(_), Kind::Text(_) | Kind::Template(_)) = (&value, &other.kind)
            && let Some(text) = value.to_text()
        {
            return Ok(Value::Text(text));
        }
        Ok(value)
    }
}

fn operand(value: &Value, need: &str, span: Span) -> Problem {
    let detail = match value {
        Value::Text(text) if text.starts_with("${") => {
            format!(
                "Unsuitable value for this operand: {need} is required, but {text} is known only where the task runs."
            )
        }
        Value::Null => format!("Unsuitable value for this operand: {need} is required, but this is null."),
        other => format!("Unsuitable value for this operand: {need} is required, but this is a {}.", other.type_name()),
    };
    Problem::new(span, "Invalid operand", detail)
}
