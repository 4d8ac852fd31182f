//! What must hold for constraints, affinities and spreads, wherever they stand.

use std::collections::BTreeSet;

use nomadd_model::spec::{Constraint, SpreadTarget};
use nomadd_model::{Affinity, JobType, Spread};

use crate::operand;
use crate::problems::Problems;

pub(crate) fn constraints(constraints: &[Constraint]) -> Problems {
    let mut problems = Problems::default();
    for (index, each) in constraints.iter().enumerate() {
        problems.nest(format_args!("Constraint {} validation failed", index + 1), constraint(each));
    }
    problems
}

fn constraint(constraint: &Constraint) -> Problems {
    let Constraint { l_target, r_target, operand } = constraint;
    let mut problems = Problems::default();
    let mut needs_left = true;
    match operand.as_str() {
        "" => problems.push("Missing constraint operand"),
        "distinct_hosts" => needs_left = false,
        "set_contains" | "set_contains_all" | "set_contains_any" => {
            problems.push_if(r_target.is_empty(), "Set contains constraint requires an RTarget");
        }
        "regexp" => {
            if let Err(wrong) = operand::regexp(r_target) {
                problems.push(format!("Regular expression failed to compile: {wrong}"));
            }
        }
        "version" => {
            if let Err(wrong) = operand::version(r_target) {
                problems.push(format!("Version constraint is invalid: {wrong}"));
            }
        }
        "semver" => {
            if let Err(wrong) = operand::semver(r_target) {
                problems.push(format!("Semver constraint is invalid: {wrong}"));
            }
        }
        "distinct_property" => match r_target.as_str() {
            "" => {}
            text => match text.parse::<u64>() {
                Err(wrong) => problems.push(format!("Failed to convert RTarget {text:?} to uint64: {wrong}")),
                Ok(0) => problems.push("Distinct Property must have an allowed count of 1 or greater: 0 < 1"),
                Ok(_) => {}
            },
        },
        "is_set" | "is_not_set" => {
            if !r_target.is_empty() {
                problems.push(format!("Operator {operand:?} does not support an RTarget"));
            }
        }
        "=" | "==" | "is" | "!=" | "not" | "<" | "<=" | ">" | ">=" => {
            if r_target.is_empty() {
                problems.push(format!("Operator {operand:?} requires an RTarget"));
            }
        }
        other => {
            problems.push(format!("Unknown constraint type {other:?}"));
            needs_left = false;
        }
    }
    problems.push_if(needs_left && l_target.is_empty(), "No LTarget provided but is required by constraint");
    problems
}

pub(crate) fn affinities(affinities: &[Affinity], kind: JobType) -> Problems {
    let mut problems = Problems::default();
    if kind == JobType::System {
        problems.push_if(!affinities.is_empty(), "System jobs may not have an affinity block");
        return problems;
    }
    for (index, each) in affinities.iter().enumerate() {
        problems.nest(format_args!("Affinity {} validation failed", index + 1), affinity(each));
    }
    problems
}

fn affinity(affinity: &Affinity) -> Problems {
    let Affinity { l_target, operand, r_target, weight } = affinity;
    let mut problems = Problems::default();
    match operand.as_str() {
        "" => problems.push("Missing affinity operand"),
        "set_contains" | "set_contains_all" | "set_contains_any" => {
            problems.push_if(r_target.is_empty(), "Set contains operators require an RTarget");
        }
        "regexp" => {
            if let Err(wrong) = operand::regexp(r_target) {
                problems.push(format!("Regular expression failed to compile: {wrong}"));
            }
        }
        "version" => {
            if let Err(wrong) = operand::version(r_target) {
                problems.push(format!("Version affinity is invalid: {wrong}"));
            }
        }
        "semver" => {
            if let Err(wrong) = operand::semver(r_target) {
                problems.push(format!("Semver affinity is invalid: {wrong}"));
            }
        }
        "=" | "==" | "is" | "!=" | "not" | "<" | "<=" | ">" | ">=" => {
            if r_target.is_empty() {
                problems.push(format!("Operator {operand:?} requires an RTarget"));
            }
        }
        other => problems.push(format!("Unknown affinity operator {other:?}")),
    }
    problems.push_if(l_target.is_empty(), "No LTarget provided but is required");
    problems.push_if(*weight == 0, "Affinity weight cannot be zero");
    problems.push_if(!(-100..=100).contains(weight), "Affinity weight must be within the range [-100,100]");
    problems
}

pub(crate) fn spreads(spreads: &[Spread], kind: JobType) -> Problems {
    let mut problems = Problems::default();
    if kind == JobType::System {
        problems.push_if(!spreads.is_empty(), "System jobs may not have a spread block");
        return problems;
    }
    for (index, each) in spreads.iter().enumerate() {
        problems.nest(format_args!("Spread {} validation failed", index + 1), spread(each));
    }
    problems
}

fn spread(spread: &Spread) -> Problems {
    let Spread { attribute, spread_target, weight } = spread;
    let mut problems = Problems::default();
    problems.push_if(attribute.is_empty(), "Missing spread attribute");
    problems.push_if(!(1..=100).contains(weight), "Spread block must have a positive weight from 0 to 100");
    let mut seen = BTreeSet::new();
    let mut sum = 0_u64;
    for SpreadTarget { value, percent } in spread_target {
        if !seen.insert(value) {
            problems.push(format!("Spread target value {value:?} already defined"));
        }
        if *percent > 100 {
            problems.push(format!("Spread target percentage for value {value:?} must be between 0 and 100"));
        }
        sum = sum.saturating_add(*percent);
    }
    if sum > 100 {
        problems.push(format!("Sum of spread target percentages must not be greater than 100%; got {sum}%"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(l_target: &str, operand: &str, r_target: &str) -> Vec<String> {
        let (l_target, operand, r_target) = (l_target.into(), operand.into(), r_target.into());
        constraint(&Constraint { l_target, r_target, operand }).into_texts()
    }

    #[test]
    fn every_operator_says_what_it_misses() {
        let none: &[&str] = &[];
        for (left, operator, right, expected) in [
            ("${attr.x}", "=", "1", none),
            ("", "distinct_hosts", "true", none),
            ("${attr.x}", "is_set", "", none),
            ("${attr.x}", "version", ">= 1.2, < 3", none),
            ("${attr.x}", "regexp", "^a+$", none),
            ("${attr.x}", "=", "", &["Operator \"=\" requires an RTarget"]),
            ("", "=", "a", &["No LTarget provided but is required by constraint"]),
            ("a", "is_set", "b", &["Operator \"is_set\" does not support an RTarget"]),
            ("a", "set_contains", "", &["Set contains constraint requires an RTarget"]),
            ("a", "distinct_property", "0", &["Distinct Property must have an allowed count of 1 or greater: 0 < 1"]),
            ("a", "like", "b", &["Unknown constraint type \"like\""]),
        ] {
            assert_eq!(of(left, operator, right), expected, "{left} {operator} {right}");
        }
        for (operator, right, start) in [
            ("regexp", "(", "Regular expression failed to compile: "),
            ("regexp", "(a{1000}){1000}", "Regular expression failed to compile: "),
            ("version", "soon", "Version constraint is invalid: "),
            ("semver", "~> 1", "Semver constraint is invalid: "),
        ] {
            let texts = of("a", operator, right);
            assert!(texts.len() == 1 && texts[0].starts_with(start), "{operator} {right}: {texts:?}");
        }
    }

    #[test]
    fn weights_and_percentages_have_bounds() {
        let wish = Affinity { l_target: "a".into(), operand: "=".into(), r_target: "b".into(), weight: 0 };
        assert_eq!(affinity(&wish).into_texts(), ["Affinity weight cannot be zero"]);
        assert_eq!(
            affinity(&Affinity { weight: 101, ..wish }).into_texts(),
            ["Affinity weight must be within the range [-100,100]"]
        );
        let target = |value: &str, percent| SpreadTarget { value: value.into(), percent };
        let wide = Spread { attribute: "a".into(), weight: 50, spread_target: vec![target("x", 60), target("x", 70)] };
        assert_eq!(
            spread(&wide).into_texts(),
            [
                "Spread target value \"x\" already defined",
                "Sum of spread target percentages must not be greater than 100%; got 130%",
            ]
        );
    }
}
