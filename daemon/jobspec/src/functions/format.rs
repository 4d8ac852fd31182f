//! `format` and `formatlist`: Go's verbs.

use num_bigint::BigInt;
use num_traits::Signed as _;

use super::text::bounded;
use super::{Answer, Arguments, Failure, Function, encoding};
use crate::number::Number;
use crate::value::{ListKind, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "format",
        parameters: &["format", "args..."],
        run: |a| Ok(Value::text(format(a, &a.text(0)?, a.values.get(1..).unwrap_or_default())?)),
    },
    Function { name: "formatlist", parameters: &["format", "args..."], run: formatlist },
];

const WIDTH_LIMIT: usize = 1_024;

#[derive(Default)]
struct Verb {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

fn formatlist(a: &Arguments<'_>) -> Answer {
    let template = a.text(0)?;
    let arguments = a.values.get(1..).unwrap_or_default();
    let lengths =
        arguments.iter().enumerate().filter_map(|(at, value)| value.as_list().map(|list| (at, list.items.len())));
    let lengths: Vec<(usize, usize)> = lengths.collect();
    let length = lengths.first().map_or(1, |(_, length)| *length);
    if let Some((at, other)) = lengths.iter().find(|(_, other)| *other != length) {
        return Err(Failure::Argument(
            at + 1,
            format!("argument {} has {other} elements, but argument {} has {length}", at + 1, lengths[0].0 + 1),
        ));
    }
    let rows = (0..length).map(|row| {
        let values: Vec<Value> = arguments
            .iter()
            .map(|value| value.as_list().map_or_else(|| value.clone(), |list| list.items[row].clone()))
            .collect();
        a.spend(64 * values.len() as u64)?;
        Ok(Value::text(format(a, &template, &values)?))
    });
    Ok(Value::list(ListKind::List, rows.collect::<Result<_, Failure>>()?))
}

fn format(a: &Arguments<'_>, template: &str, values: &[Value]) -> Result<String, Failure> {
    let mut out = String::new();
    let mut chars = template.char_indices().peekable();
    let mut next = 0;
    let mut highest = 0;
    let mut explicit = false;
    while let Some((start, c)) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        let unsupported = || {
            Failure::Argument(
                0,
                format!(
                    "{:?} at offset {start} is no format verb",
                    template.get(start..).unwrap_or_default().chars().take(10).collect::<String>()
                ),
            )
        };
        let mut precise = false;
        let letter = loop {
            let Some((_, c)) = chars.next() else {
                return Err(Failure::Argument(0, format!("unterminated format verb at offset {start}")));
            };
            match c {
                '-' => verb.minus = true,
                '+' => verb.plus = true,
                '#' => verb.sharp = true,
                ' ' => verb.space = true,
                '0' if verb.width.is_none() && !precise => verb.zero = true,
                '0'..='9' => {
                    let slot = if precise { &mut verb.precision } else { &mut verb.width };
                    let digit = c as usize - '0' as usize;
                    *slot = Some((slot.unwrap_or(0) * 10 + digit).min(WIDTH_LIMIT + 1));
                }
                '.' => {
                    precise = true;
                    verb.precision = Some(0);
                }
                '[' => {
                    let mut number = 0_usize;
                    for (_, c) in chars.by_ref() {
                        match c {
                            ']' => break,
                            '0'..='9' => number = number.saturating_mul(10).saturating_add(c as usize - '0' as usize),
                            _ => return Err(unsupported()),
                        }
                    }
                    next = number.checked_sub(1).ok_or_else(unsupported)?;
                    explicit = true;
                }
                '*' => return Err(Failure::Argument(0, "a width of * is not supported".to_owned())),
                letter => break letter,
            }
        };
        if verb.width.max(verb.precision).is_some_and(|width| width > WIDTH_LIMIT) {
            return Err(Failure::Argument(0, format!("width and precision may be at most {WIDTH_LIMIT}")));
        }
        if letter == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = values.get(next) else {
            return Err(Failure::Argument(
                0,
                format!(
                    "not enough arguments: {:?} at offset {start} needs one more than {}",
                    template.get(start..start + 2).unwrap_or("%"),
                    values.len()
                ),
            ));
        };
        next += 1;
        highest = highest.max(next);
        let text = one(&verb, letter, value).map_err(|message| match message {
            Some(message) => Failure::Argument(next, message),
            None => unsupported(),
        })?;
        bounded(a, text.len() as u64)?;
        pad(
            &verb,
            &text,
            matches!(letter, 'd' | 'b' | 'o' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E' | 'g' | 'G')
                && value.to_number().is_some(),
            &mut out,
        );
    }
    if highest < values.len() && !explicit {
        return Err(Failure::Argument(highest + 1, format!("too many arguments: the format uses {highest}")));
    }
    Ok(out)
}

fn pad(verb: &Verb, text: &str, number: bool, out: &mut String) {
    let missing = verb.width.unwrap_or(0).saturating_sub(text.chars().count());
    if verb.minus {
        out.push_str(text);
        out.push_str(&" ".repeat(missing));
    } else if verb.zero && number {
        let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+', ' '])));
        out.push_str(sign);
        out.push_str(&"0".repeat(missing));
        out.push_str(digits);
    } else {
        out.push_str(&if verb.zero { "0" } else { " " }.repeat(missing));
        out.push_str(text);
    }
}

/// One value by one verb; `None` for a verb that does not exist.
fn one(verb: &Verb, letter: char, value: &Value) -> Result<String, Option<String>> {
    let number = || {
        value.to_number().ok_or_else(|| {
            Some(format!("unsupported value for \"%{letter}\": a number is required, but have {}", value.type_name()))
        })
    };
    let text = || {
        value.to_text().ok_or_else(|| {
            Some(format!("unsupported value for \"%{letter}\": string required, but have {}", value.type_name()))
        })
    };
    let cut =
        |text: &str| verb.precision.map_or_else(|| text.to_owned(), |precision| text.chars().take(precision).collect());
    let sign = |text: String| match (text.starts_with('-'), verb.plus, verb.space) {
        (false, true, _) => format!("+{text}"),
        (false, false, true) => format!(" {text}"),
        _ => text,
    };
    match letter {
        'v' if verb.sharp => Ok(encoding::to_json_text(value)),
        'v' => Ok(match value {
            Value::Null => "null".to_owned(),
            Value::Text(text) => text.to_string(),
            Value::Number(number) => sign(general(number, verb.precision)),
            Value::Bool(bool) => bool.to_string(),
            other => encoding::to_json_text(other),
        }),
        't' => value.to_bool().map(|bool| bool.to_string()).ok_or_else(|| Some("a bool is required".to_owned())),
        's' => Ok(cut(&text()?)),
        'q' => Ok(quoted(&cut(&text()?))),
        'd' | 'b' | 'o' | 'x' | 'X' => {
            if let ('x' | 'X', Value::Text(text)) = (letter, value)
                && value.to_number().is_none()
            {
                let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                return Ok(if letter == 'X' { hex.to_uppercase() } else { hex });
            }
            let integer = number()?.trunc().to_integer().cloned().unwrap_or_default();
            let radix = match letter {
                'b' => 2,
                'o' => 8,
                'd' => 10,
                _ => 16,
            };
            let digits = integer.abs().to_str_radix(radix);
            let digits = if letter == 'X' { digits.to_uppercase() } else { digits };
            let prefix = match (verb.sharp, letter) {
                (true, 'x') => "0x",
                (true, 'X') => "0X",
                (true, 'o') => "0",
                (true, 'b') => "0b",
                _ => "",
            };
            let minus = if integer < BigInt::from(0) { "-" } else { "" };
            Ok(sign(format!("{minus}{prefix}{digits}")))
        }
        'f' | 'F' => Ok(sign(number()?.to_fixed(verb.precision.unwrap_or(6)))),
        'e' | 'E' => {
            let text = exponent(number()?.to_f64(), verb.precision.unwrap_or(6));
            Ok(sign(if letter == 'E' { text.to_uppercase() } else { text }))
        }
        'g' | 'G' => Ok(sign(general(&number()?, verb.precision))),
        _ => Err(None),
    }
}

/// `1.500000e+03`, with at least two digits of exponent.
fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// The shorter of both forms, as `%g`.
fn general(number: &Number, precision: Option<usize>) -> String {
    let float = number.to_f64();
    let magnitude = if float == 0.0 { 0.0 } else { float.abs().log10().floor() };
    match precision {
        None if !(-4.0..21.0).contains(&magnitude) => {
            let text = format!("{float:e}");
            let digits = text.split('e').next().unwrap_or_default().trim_start_matches('-').len().saturating_sub(2);
            exponent(float, digits)
        }
        None => number.to_string(),
        Some(precision) => {
            let precision = precision.max(1);
            if magnitude < -4.0 || magnitude >= precision as f64 {
                exponent(float, precision - 1)
            } else {
                let text = number.to_fixed((precision as i64 - 1 - magnitude as i64).max(0) as usize);
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
            }
        }
    }
}

fn quoted(text: &str) -> String {
    encoding::to_json_text(&Value::text(text)).replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
}
