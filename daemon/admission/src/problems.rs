//! Lists of errors and warnings, and Nomad's texts for them.

/// What was found to be wrong, in order.
#[derive(Default)]
pub(crate) struct Problems(Vec<String>);

impl Problems {
    /// Adds one.
    pub(crate) fn push(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    /// Adds one if it is so.
    pub(crate) fn push_if(&mut self, wrong: bool, text: &str) {
        if wrong {
            self.push(text);
        }
    }

    /// Adds all of another list.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds another list as one problem that is named by `place`.
    pub(crate) fn nest(&mut self, place: std::fmt::Arguments<'_>, inner: Self) {
        if !inner.0.is_empty() {
            self.push(format!("{place}: {}", error_text(&inner.0)));
        }
    }

    pub(crate) fn into_texts(self) -> Vec<String> {
        self.0
    }
}

/// Nomad's text of a list of errors; empty for none.
pub fn error_text(errors: &[String]) -> String {
    let head = match errors.len() {
        0 => return String::new(),
        1 => "1 error occurred:".to_owned(),
        count => format!("{count} errors occurred:"),
    };
    let points: String = errors.iter().map(|error| format!("\n\t* {error}")).collect();
    format!("{head}{points}\n\n")
}

/// Nomad's text of a list of warnings; empty for none.
pub fn warning_text(warnings: &[String]) -> String {
    let head = match warnings.len() {
        0 => return String::new(),
        1 => "1 warning:\n".to_owned(),
        count => format!("{count} warnings:\n"),
    };
    let points: String = warnings.iter().map(|warning| format!("\n* {warning}")).collect();
    format!("{head}{points}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_nest_as_in_nomad() {
        let mut task = Problems::default();
        task.push("Missing task driver");
        let mut group = Problems::default();
        group.nest(format_args!("Task t validation failed"), task);
        let text = error_text(&group.into_texts());
        assert_eq!(
            text,
            "1 error occurred:\n\t* Task t validation failed: 1 error occurred:\n\t* Missing task driver\n\n\n\n"
        );
        assert_eq!(warning_text(&["a".into(), "b".into()]), "2 warnings:\n\n* a\n* b");
        assert_eq!((error_text(&[]), warning_text(&[])), (String::new(), String::new()));
    }
}
