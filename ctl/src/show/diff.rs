//! What differs between two versions of a job, aligned and coloured as `job plan` and `job history -p` show it.
//!
//! A line is: indent, marker (`+ `, `- `, `+/- ` or nothing), padding up to the widest marker of its neighbours, words.

use nomadd_model::{FieldDiff, JobDiff, ObjectDiff, TaskDiff, TaskGroupDiff};

use crate::context::Context;

/// The whole difference without a line end at the end; `verbose` shows what is inside of new and deleted parts.
pub fn job(diff: &JobDiff, verbose: bool, context: &Context) -> String {
    let painter = Painter { context, verbose };
    let mut out = format!("{}{}\n", painter.marker(&diff.kind), context.bold(&format!("Job: {:?}", diff.id)));
    let mut widths = Widths::of(&diff.fields, &diff.objects);
    widths.markers(diff.task_groups.iter().map(|group| &*group.kind));
    if diff.kind == "Edited" || verbose {
        painter.parts(&mut out, &diff.fields, &diff.objects, 0, widths);
    }
    for group in &diff.task_groups {
        painter.group(&mut out, group, widths.marker - width(&group.kind));
        out.push('\n');
    }
    out.trim().to_owned()
}

#[derive(Clone, Copy)]
struct Widths {
    name: usize,
    marker: usize,
}

impl Widths {
    fn of(fields: &[FieldDiff], objects: &[ObjectDiff]) -> Self {
        let name = fields.iter().map(|field| field.name.len()).max().unwrap_or(0);
        let mut widths = Self { name, marker: 0 };
        widths.markers(fields.iter().map(|field| &*field.kind));
        widths.markers(objects.iter().map(|object| &*object.kind));
        widths
    }
    fn markers<'a>(&mut self, kinds: impl Iterator<Item = &'a str>) {
        self.marker = kinds.map(width).fold(self.marker, usize::max);
    }
}

/// How wide a marker is.
fn width(kind: &str) -> usize {
    match kind {
        "Added" | "Deleted" => 2,
        "Edited" => 4,
        _ => 0,
    }
}

fn spaces(count: usize) -> String {
    " ".repeat(count)
}

struct Painter<'a> {
    context: &'a Context,
    verbose: bool,
}

impl Painter<'_> {
    fn marker(&self, kind: &str) -> String {
        let (style, sign) = match kind {
            "Added" => ("32", "+"),
            "Deleted" => ("31", "-"),
            "Edited" => ("93", "+/-"),
            _ => return String::new(),
        };
        format!("{} ", self.context.paint(style, sign))
    }

    fn group(&self, out: &mut String, group: &TaskGroupDiff, padding: usize) {
        let title = self.context.bold(&format!("Task Group: {:?}", group.name));
        out.push_str(&format!("{}{}{title}", self.marker(&group.kind), spaces(padding)));
        let updates: Vec<String> = group
            .updates
            .iter()
            .map(|(kind, count)| {
                let style = match kind.as_str() {
                    "create" => "32",
                    "destroy" => "31",
                    "migrate" => "34",
                    "in-place update" => "36",
                    "create/destroy update" => "33",
                    "canary" => "93",
                    _ => "0",
                };
                self.context.paint(style, &format!("{count} {kind}"))
            })
            .collect();
        if !updates.is_empty() {
            out.push_str(&format!(" ({})", updates.join(", ")));
        }
        out.push('\n');
        let mut widths = Widths::of(&group.fields, &group.objects);
        widths.markers(group.tasks.iter().map(|task| &*task.kind));
        if group.kind == "Edited" || self.verbose {
            self.parts(out, &group.fields, &group.objects, padding + 2, widths);
        }
        for task in &group.tasks {
            self.task(out, task, padding + 2, widths.marker - width(&task.kind));
            out.push('\n');
        }
    }

    fn task(&self, out: &mut String, task: &TaskDiff, indent: usize, padding: usize) {
        let title = self.context.bold(&format!("Task: {:?}", task.name));
        out.push_str(&format!("{}{}{}{title}", spaces(indent), self.marker(&task.kind), spaces(padding)));
        out.push_str(&self.annotations(&task.annotations));
        if task.kind == "None" || (task.kind != "Edited" && !self.verbose) {
            return;
        }
        out.push('\n');
        self.parts(out, &task.fields, &task.objects, indent + 2, Widths::of(&task.fields, &task.objects));
        // The caller ends the last line.
        if out.ends_with('\n') {
            out.pop();
        }
    }

    fn annotations(&self, annotations: &[String]) -> String {
        if annotations.is_empty() {
            return String::new();
        }
        let painted = annotations.iter().map(|annotation| match annotation.as_str() {
            "forces create" => self.context.paint("32", annotation),
            "forces destroy" => self.context.paint("31", annotation),
            "forces in-place update" => self.context.paint("36", annotation),
            "forces create/destroy update" => self.context.paint("33", annotation),
            _ => annotation.clone(),
        });
        format!(" ({})", painted.collect::<Vec<_>>().join(", "))
    }

    /// Fields, then blocks, each line with its end.
    fn parts(&self, out: &mut String, fields: &[FieldDiff], objects: &[ObjectDiff], indent: usize, widths: Widths) {
        for field in fields {
            let padding = spaces(widths.marker - width(&field.kind));
            let before = spaces(widths.name - field.name.len());
            let values = match field.kind.as_str() {
                "Deleted" => format!("{:?}", Quoted(&field.old)),
                "Edited" => format!("{:?} => {:?}", Quoted(&field.old), Quoted(&field.new)),
                _ => format!("{:?}", Quoted(&field.new)),
            };
            let marker = self.marker(&field.kind);
            let annotations = self.annotations(&field.annotations);
            out.push_str(&format!(
                "{}{marker}{padding}{}: {before}{values}{annotations}\n",
                spaces(indent),
                field.name
            ));
        }
        for object in objects {
            let padding = widths.marker - width(&object.kind);
            let marker = self.marker(&object.kind);
            out.push_str(&format!("{}{marker}{}{} {{\n", spaces(indent), spaces(padding), object.name));
            let inner = Widths::of(&object.fields, &object.objects);
            self.parts(out, &object.fields, &object.objects, indent + padding + 2, inner);
            out.push_str(&format!("{}}}\n", spaces(indent + width(&object.kind) + padding)));
        }
    }
}

/// A text in quotes with Go's escapes.
struct Quoted<'a>(&'a str);

impl std::fmt::Debug for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{7}' => f.write_str("\\a")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{b}' => f.write_str("\\v")?,
                '\u{c}' => f.write_str("\\f")?,
                c if (c as u32) < 0x20 || c == '\u{7f}' => write!(f, "\\x{:02x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}
