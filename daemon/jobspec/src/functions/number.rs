//! Functions on numbers.

use num_bigint::BigInt;

use super::{Answer, Arguments, Failure, Function};
use crate::number::Number;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "abs", parameters: &["num"], run: |a| Ok(Value::Number(a.number(0)?.abs())) },
    Function { name: "ceil", parameters: &["num"], run: |a| Ok(Value::Number(a.number(0)?.ceil())) },
    Function { name: "floor", parameters: &["num"], run: |a| Ok(Value::Number(a.number(0)?.floor())) },
    Function { name: "log", parameters: &["num", "base"], run: log },
    Function { name: "max", parameters: &["numbers..."], run: |a| extreme(a, |new, best| new > best) },
    Function { name: "min", parameters: &["numbers..."], run: |a| extreme(a, |new, best| new < best) },
    Function { name: "parseint", parameters: &["number", "base"], run: parseint },
    Function { name: "pow", parameters: &["num", "power"], run: pow },
    Function { name: "signum", parameters: &["num"], run: signum },
];

fn extreme(a: &Arguments<'_>, better: fn(&Number, &Number) -> bool) -> Answer {
    let mut best = None;
    for index in 0..a.len() {
        let number = a.number(index)?;
        if best.as_ref().is_none_or(|best| better(&number, best)) {
            best = Some(number);
        }
    }
    best.map(Value::Number).ok_or_else(|| "must pass at least one number".into())
}

fn finite(number: f64, what: &str) -> Answer {
    Number::from_f64(number).map(Value::Number).ok_or_else(|| Failure::Call(format!("{what} is not a finite number")))
}

fn log(a: &Arguments<'_>) -> Answer {
    let (number, base) = (a.number(0)?.to_f64(), a.number(1)?.to_f64());
    finite(number.ln() / base.ln(), "the logarithm")
}

fn pow(a: &Arguments<'_>) -> Answer {
    finite(a.number(0)?.to_f64().powf(a.number(1)?.to_f64()), "the power")
}

fn signum(a: &Arguments<'_>) -> Answer {
    let number = a.number(0)?;
    Ok(Value::Number(Number::from(if number.is_zero() {
        0_i64
    } else if number.is_negative() {
        -1
    } else {
        1
    })))
}

/// Digits above 9 are letters; above base 36 the small letters come before the large ones.
fn parseint(a: &Arguments<'_>) -> Answer {
    let (text, base) = (a.text(0)?, a.integer(1)?);
    if !(2..=62).contains(&base) {
        return Err(Failure::Argument(1, "base must be a whole number between 2 and 62 inclusive".to_owned()));
    }
    let cannot = || Failure::Argument(0, format!("cannot parse {text:?} as a base {base} integer"));
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if digits.is_empty() || digits.len() > 2_000 {
        return Err(cannot());
    }
    let mut number = BigInt::from(0);
    for c in digits.chars() {
        let digit = match c {
            '0'..='9' => i64::from(c as u32 - '0' as u32),
            'a'..='z' => i64::from(c as u32 - 'a' as u32) + 10,
            'A'..='Z' => i64::from(c as u32 - 'A' as u32) + if base > 36 { 36 } else { 10 },
            _ => return Err(cannot()),
        };
        if digit >= base {
            return Err(cannot());
        }
        number = number * base + digit;
    }
    Ok(Value::Number(Number::from(if negative { -number } else { number })))
}
