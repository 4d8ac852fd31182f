//! Writes what was found: lines for people, the same without colours for pipes, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::json;

use crate::doctor::judge::{Finding, Verdict, exit_code};

/// In which form the answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Lines.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// Writes to standard output. Whoever closes it early has seen enough.
pub fn write(findings: &[Finding], form: Form) {
    let mut out = io::stdout().lock();
    let text = match form {
        Form::Json => format!("{:#}\n", json(findings)),
        Form::Text => {
            let coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            lines(findings, if coloured { Colour::On } else { Colour::Off })
        }
    };
    drop(out.write_all(text.as_bytes()));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Colour {
    On,
    Off,
}

fn word(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::Well => ("ok", "32"),
        Verdict::Advice => ("advice", "33"),
        Verdict::Unknown => ("unknown", "35"),
        Verdict::Problem => ("problem", "31"),
    }
}

fn lines(findings: &[Finding], colour: Colour) -> String {
    let mut text = String::new();
    for Finding { check, verdict, message, repair } in findings {
        let (word, code) = word(*verdict);
        let padded = format!("{word:<8}");
        let first = if colour == Colour::On { format!("\u{1b}[{code}m{padded}\u{1b}[0m") } else { padded };
        text.push_str(&format!("{first} {check:<14} {message}\n"));
        if let Some(repair) = repair {
            text.push_str(&format!("{:<8} {:<14} repair: {repair}\n", "", ""));
        }
    }
    let count = |wanted: Verdict| findings.iter().filter(|finding| finding.verdict == wanted).count();
    let plural = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
    text.push_str(&format!(
        "\n{}, {}, {}.\n",
        plural(count(Verdict::Problem), "problem", "problems"),
        plural(count(Verdict::Advice), "piece of advice", "pieces of advice"),
        plural(count(Verdict::Unknown), "thing that could not be looked at", "things that could not be looked at"),
    ));
    text
}

fn json(findings: &[Finding]) -> serde_json::Value {
    let one = |Finding { check, verdict, message, repair }: &Finding| json!({ "Check": check, "Verdict": word(*verdict).0, "Message": message, "Repair": repair });
    json!({ "ExitCode": exit_code(findings), "Findings": findings.iter().map(one).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        let finding = |check, verdict, message: &str, repair: Option<&str>| Finding {
            check,
            verdict,
            message: message.to_owned(),
            repair: repair.map(str::to_owned),
        };
        vec![
            finding("kernel", Verdict::Well, "Linux 6.1", None),
            finding("cni", Verdict::Advice, "missing", Some("apt-get install x")),
            finding("ports", Verdict::Problem, "taken", Some("end it")),
        ]
    }

    #[test]
    fn lines_are_plain_where_nobody_looks_and_coloured_where_somebody_does() {
        let plain = lines(&findings(), Colour::Off);
        assert_eq!(
            plain,
            "ok       kernel         Linux 6.1\n\
             advice   cni            missing\n\
             \x20                       repair: apt-get install x\n\
             problem  ports          taken\n\
             \x20                       repair: end it\n\
             \n1 problem, 1 piece of advice, 0 things that could not be looked at.\n"
        );
        let coloured = lines(&findings(), Colour::On);
        assert!(coloured.contains("\u{1b}[31mproblem \u{1b}[0m ports"), "{coloured}");
    }

    #[test]
    fn programs_get_an_object_with_the_exit_code() {
        let value = json(&findings());
        assert_eq!(value["ExitCode"], 1);
        assert_eq!(value["Findings"][1]["Repair"], "apt-get install x");
        assert_eq!(value["Findings"][0]["Repair"], serde_json::Value::Null);
    }
}
