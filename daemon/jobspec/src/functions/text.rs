//! Functions on texts. Lengths and offsets count what a reader sees as one character.

use regex::RegexBuilder;
use unicode_segmentation::UnicodeSegmentation as _;

use super::{Answer, Arguments, Failure, Function, texts_to_list};
use crate::number::Number;
use crate::value::{SIZE_LIMIT, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "chomp",
        parameters: &["str"],
        run: |a| Ok(Value::text(a.text(0)?.trim_end_matches(['\n', '\r']))),
    },
    Function { name: "indent", parameters: &["spaces", "str"], run: indent },
    Function { name: "join", parameters: &["separator", "lists..."], run: join },
    Function { name: "lower", parameters: &["str"], run: |a| Ok(Value::text(a.text(0)?.to_lowercase())) },
    Function { name: "regex_replace", parameters: &["str", "pattern", "replace"], run: regex_replace },
    Function { name: "replace", parameters: &["str", "substr", "replace"], run: replace },
    Function { name: "reverse", parameters: &["str"], run: reverse },
    Function { name: "split", parameters: &["separator", "str"], run: split },
    Function {
        name: "strlen",
        parameters: &["str"],
        run: |a| Ok(Value::Number(Number::from(a.text(0)?.graphemes(true).count()))),
    },
    Function { name: "strrev", parameters: &["str"], run: reverse },
    Function { name: "substr", parameters: &["str", "offset", "length"], run: substr },
    Function { name: "title", parameters: &["str"], run: title },
    Function { name: "trim", parameters: &["str", "cutset"], run: trim },
    Function { name: "trimprefix", parameters: &["str", "prefix"], run: trimprefix },
    Function { name: "trimspace", parameters: &["str"], run: |a| Ok(Value::text(a.text(0)?.trim())) },
    Function { name: "trimsuffix", parameters: &["str", "suffix"], run: trimsuffix },
    Function { name: "upper", parameters: &["str"], run: |a| Ok(Value::text(a.text(0)?.to_uppercase())) },
];

/// Refuses a result that would be too large before it is made.
pub(super) fn bounded(a: &Arguments<'_>, bytes: u64) -> Result<(), Failure> {
    if bytes > SIZE_LIMIT {
        return Err(Failure::Call(format!("the result would be larger than {} MiB", SIZE_LIMIT >> 20)));
    }
    a.spend(bytes)
}

fn indent(a: &Arguments<'_>) -> Answer {
    let (spaces, text) = (a.integer(0)?, a.text(1)?);
    let spaces = usize::try_from(spaces).map_err(|_| Failure::Argument(0, "must not be negative".to_owned()))?;
    let lines = text.bytes().filter(|byte| *byte == b'\n').count();
    bounded(a, (lines as u64).saturating_mul(spaces as u64).saturating_add(text.len() as u64))?;
    if lines == 0 {
        return Ok(Value::Text(text));
    }
    Ok(Value::text(text.replace('\n', &format!("\n{}", " ".repeat(spaces)))))
}

fn join(a: &Arguments<'_>) -> Answer {
    let separator = a.text(0)?;
    if a.len() < 2 {
        return Err("at least one list is required".into());
    }
    let mut texts = Vec::new();
    for index in 1..a.len() {
        texts.extend(a.texts(index)?);
    }
    let size = texts.iter().fold(0, |sum, text| sum + (text.len() + separator.len()) as u64);
    bounded(a, size)?;
    Ok(Value::text(texts.join(&separator)))
}

fn replace(a: &Arguments<'_>) -> Answer {
    let (text, from, to) = (a.text(0)?, a.text(1)?, a.text(2)?);
    let count = if from.is_empty() { text.len() + 1 } else { text.len() / from.len() };
    bounded(a, (count as u64).saturating_mul(to.len() as u64).saturating_add(text.len() as u64))?;
    Ok(Value::text(text.replace(&*from, &to)))
}

fn regex_replace(a: &Arguments<'_>) -> Answer {
    let (text, pattern, to) = (a.text(0)?, a.text(1)?, a.text(2)?);
    if pattern.len() > 4_096 {
        return Err(Failure::Argument(1, "a regular expression may have 4096 bytes".to_owned()));
    }
    let regex = RegexBuilder::new(&pattern).size_limit(1 << 20).dfa_size_limit(1 << 20).nest_limit(50).build();
    let regex = regex.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Failure::Argument(1, format!("invalid regular expression {pattern:?}: {reason}"))
    })?;
    // A match costs about pattern times text; each one can bring every group, which is at most the text.
    a.spend((text.len() as u64).saturating_mul(1 + pattern.len() as u64 / 8))?;
    let mut out = String::new();
    let mut after = 0;
    for found in regex.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[after..whole.start()]);
        found.expand(&to, &mut out);
        after = whole.end();
        a.spend(to.len() as u64 + 16)?;
        if out.len() as u64 > SIZE_LIMIT {
            return Err(Failure::Call(format!("the result would be larger than {} MiB", SIZE_LIMIT >> 20)));
        }
    }
    out.push_str(&text[after..]);
    Ok(Value::text(out))
}

fn reverse(a: &Arguments<'_>) -> Answer {
    Ok(Value::text(a.text(0)?.graphemes(true).rev().collect::<String>()))
}

fn split(a: &Arguments<'_>) -> Answer {
    let (separator, text) = (a.text(0)?, a.text(1)?);
    if separator.is_empty() {
        return Ok(texts_to_list(text.chars().map(String::from)));
    }
    Ok(texts_to_list(text.split(&*separator)))
}

fn substr(a: &Arguments<'_>) -> Answer {
    let (text, offset, length) = (a.text(0)?, a.integer(1)?, a.integer(2)?);
    let offset = if offset < 0 {
        let all = text.graphemes(true).count() as i64;
        (all + offset).max(0)
    } else {
        offset
    };
    let rest = text.graphemes(true).skip(usize::try_from(offset).unwrap_or(usize::MAX));
    Ok(Value::text(match usize::try_from(length) {
        Ok(length) => rest.take(length).collect::<String>(),
        Err(_) => rest.collect(),
    }))
}

fn title(a: &Arguments<'_>) -> Answer {
    let mut out = String::new();
    let mut inside = false;
    for c in a.text(0)?.chars() {
        let letter = c.is_alphanumeric() || c == '_' || c == '\'';
        if letter && !inside {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        inside = letter;
    }
    Ok(Value::text(out))
}

fn trim(a: &Arguments<'_>) -> Answer {
    let (text, cutset) = (a.text(0)?, a.text(1)?);
    a.spend((text.len() as u64).saturating_mul(cutset.len() as u64) / 16)?;
    Ok(Value::text(text.trim_matches(|c| cutset.contains(c))))
}

fn trimprefix(a: &Arguments<'_>) -> Answer {
    let (text, prefix) = (a.text(0)?, a.text(1)?);
    Ok(Value::text(text.strip_prefix(&*prefix).unwrap_or(&text)))
}

fn trimsuffix(a: &Arguments<'_>) -> Answer {
    let (text, suffix) = (a.text(0)?, a.text(1)?);
    Ok(Value::text(text.strip_suffix(&*suffix).unwrap_or(&text)))
}
