//! HCL 1, the language in which Nomad's agent configuration, and the files of namespaces and node pools, are written:
//! blocks, `key = value`, quoted keys, commas or nothing between what stands on one line, heredocs. There are no
//! variables, functions or conditions in it.
//!
//! Called by `tree`; gives its `Entry` tree with places. Recursion is bounded, no text panics.

use std::collections::BTreeMap;

use crate::problem::{Place, Problem};
use crate::tree::{Entry, MAX_DEPTH, Node};

/// Reads a whole file.
pub(crate) fn parse(file: &str, text: &str) -> Result<BTreeMap<String, Entry>, Problem> {
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    Reader { file, text, starts, at: 0 }.body(None, 0)
}

type Read<T> = Result<T, Problem>;

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// Where each line begins.
    starts: Vec<usize>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn place(&self, at: usize) -> Place {
        let line = self.starts.partition_point(|start| *start <= at);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..at).map_or(0, |before| before.chars().count()) + 1;
        Place { file: self.file.to_owned(), line, column }
    }
    fn wrong<T>(&self, at: usize, sentence: impl std::fmt::Display) -> Read<T> {
        Err(Problem { place: self.place(at), sentence: format!("this is not HCL: {sentence}") })
    }
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }
    /// What stands here, for people.
    fn seen(&self) -> String {
        match self.peek() {
            None => "the end of the file".to_owned(),
            Some('\n' | '\r') => "the end of the line".to_owned(),
            Some(c) => format!("{c:?}"),
        }
    }

    /// Passes blanks and comments, and line ends if `lines`.
    fn skip(&mut self, lines: bool) -> Read<()> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches(|c: char| c.is_whitespace() && (lines || c != '\n')).len();
            let rest = &rest[blank..];
            let begin = self.at + blank;
            self.at = begin;
            if rest.starts_with('#') || rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(inside) = rest.strip_prefix("/*") {
                match inside.find("*/") {
                    Some(end) => self.at += end + 4,
                    None => return self.wrong(begin, "this comment is never closed"),
                }
            } else {
                return Ok(());
            }
        }
    }

    /// The items up to the end of the file, or to the brace that closes the one at `open`.
    fn body(&mut self, open: Option<usize>, depth: usize) -> Read<BTreeMap<String, Entry>> {
        if depth > MAX_DEPTH {
            let place = self.place(open.unwrap_or(self.at));
            return Err(Problem { place, sentence: format!("blocks are nested more than {MAX_DEPTH} deep") });
        }
        let mut entries = BTreeMap::new();
        loop {
            self.skip(true)?;
            match (self.peek(), open) {
                (None, None) => return Ok(entries),
                (None, Some(open)) => return self.wrong(open, "this brace is never closed"),
                (Some('}'), Some(_)) => {
                    self.at += 1;
                    return Ok(entries);
                }
                (Some('}'), None) => return self.wrong(self.at, "nothing is open that this brace could close"),
                // Commas may end an item, as newlines do.
                (Some(','), _) if !entries.is_empty() => self.at += 1,
                _ => self.item(&mut entries, depth)?,
            }
        }
    }

    /// `key = value`, `key { … }` or `key "label" { … }`.
    fn item(&mut self, entries: &mut BTreeMap<String, Entry>, depth: usize) -> Read<()> {
        let begin = self.at;
        let place = self.place(begin);
        let Some(key) = self.name()? else {
            return self.wrong(begin, format_args!("a key is expected here, not {}", self.seen()));
        };
        let mut labels = Vec::new();
        loop {
            self.skip(false)?;
            match self.peek() {
                Some('=' | ':') if labels.is_empty() => {
                    self.at += 1;
                    self.skip(true)?;
                    let node = self.value(depth + 1)?;
                    return self.set(entries, key, Entry { place, node }, begin);
                }
                Some('{') => {
                    let open = self.at;
                    self.at += 1;
                    let mut node = Node::Block(self.body(Some(open), depth + 1 + labels.len())?);
                    let labelled = !labels.is_empty();
                    for label in labels.into_iter().rev() {
                        node = Node::Block(BTreeMap::from([(label, Entry { place: place.clone(), node })]));
                    }
                    join(entries, &key, Entry { place, node }, labelled);
                    return Ok(());
                }
                _ if labels.len() >= MAX_DEPTH => return self.wrong(begin, "this block has too many labels"),
                _ => match self.name()? {
                    Some(label) => labels.push(label),
                    None => {
                        let seen = self.seen();
                        let wanted = format_args!("after {key:?} comes an equals sign or a block, not {seen}");
                        return self.wrong(self.at, wanted);
                    }
                },
            }
        }
    }

    fn set(&self, entries: &mut BTreeMap<String, Entry>, key: String, entry: Entry, at: usize) -> Read<()> {
        match entries.get(&key) {
            // `meta = { … }` is the same as `meta { … }`, which may stand more than once.
            Some(old) if !matches!((&old.node, &entry.node), (Node::Block(_) | Node::List(_), Node::Block(_))) => {
                let first = old.place.line;
                self.wrong(at, format_args!("{key:?} is set twice; it was set on line {first} before"))
            }
            _ => {
                join(entries, &key, entry, false);
                Ok(())
            }
        }
    }

    /// A word or a quoted text; `None` where there is neither.
    fn name(&mut self) -> Read<Option<String>> {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        match self.peek() {
            Some('"') => self.quoted().map(Some),
            Some(c) if c.is_alphanumeric() || c == '_' => {
                let rest = self.rest();
                let name = rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())].to_owned();
                self.at += name.len();
                Ok(Some(name))
            }
            _ => Ok(None),
        }
    }

    fn value(&mut self, depth: usize) -> Read<Node> {
        let begin = self.at;
        if depth > MAX_DEPTH {
            let sentence = format!("values are nested more than {MAX_DEPTH} deep");
            return Err(Problem { place: self.place(begin), sentence });
        }
        match self.peek() {
            Some('"') => self.quoted().map(Node::Text),
            Some('{') => {
                self.at += 1;
                self.body(Some(begin), depth + 1).map(Node::Block)
            }
            Some('[') => self.list(depth),
            Some('<') if self.rest().starts_with("<<") => self.heredoc().map(Node::Text),
            Some(c) if c.is_ascii_digit() || matches!(c, '-' | '+') => self.number(),
            _ => match self.name()?.as_deref() {
                Some("true") => Ok(Node::Bool(true)),
                Some("false") => Ok(Node::Bool(false)),
                Some("null") => Ok(Node::Null),
                Some(name) => {
                    let sentence = format!(
                        "{name} is no value: plain values only are taken here, no variables, functions or conditions; texts \
                         stand in quotes"
                    );
                    Err(Problem { place: self.place(begin), sentence })
                }
                None => self.wrong(begin, format_args!("a value is expected here, not {}", self.seen())),
            },
        }
    }

    fn list(&mut self, depth: usize) -> Read<Node> {
        let open = self.at;
        self.at += 1;
        let mut list = Vec::new();
        loop {
            self.skip(true)?;
            match self.peek() {
                None => return self.wrong(open, "this bracket is never closed"),
                Some(']') => {
                    self.at += 1;
                    return Ok(Node::List(list));
                }
                Some(',') if !list.is_empty() => self.at += 1,
                _ => {
                    let place = self.place(self.at);
                    let node = self.value(depth + 1)?;
                    list.push(Entry { place, node });
                    self.skip(true)?;
                    if !matches!(self.peek(), None | Some(',' | ']')) {
                        return self.wrong(self.at, format_args!("a comma is expected here, not {}", self.seen()));
                    }
                }
            }
        }
    }

    fn number(&mut self) -> Read<Node> {
        let begin = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '+' | '-' | '_')));
        let text = rest[..end.unwrap_or(rest.len())].to_owned();
        self.at += text.len();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.as_str()),
        };
        let whole = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
        let number = match whole {
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(|number| number as f64),
            // Rust reads words such as "inf", too.
            None if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok(),
            None => None,
        };
        match number {
            Some(number) => Ok(Node::Number(if negative { -number } else { number })),
            None => self.wrong(begin, format_args!("{text} is no number; texts stand in quotes: \"{text}\"")),
        }
    }

    /// A text in quotes, with its escapes read; `${…}` and what is in it stays as it is.
    fn quoted(&mut self) -> Read<String> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut braces = 0_usize;
        loop {
            let Some(c) = self.peek() else { return self.wrong(open, "this text is never closed") };
            let at = self.at;
            self.at += c.len_utf8();
            match c {
                '\n' if braces == 0 => return self.wrong(open, "this text is not closed on its line"),
                '"' if braces == 0 => return Ok(text),
                '$' if self.peek() == Some('{') => {
                    braces += 1;
                    self.at += 1;
                    text.push_str("${");
                }
                '{' if braces > 0 => {
                    braces += 1;
                    text.push(c);
                }
                '}' if braces > 0 => {
                    braces -= 1;
                    text.push(c);
                }
                '\\' if braces == 0 => text.push(self.escape(at)?),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, at: usize) -> Read<char> {
        let Some(c) = self.peek() else { return self.wrong(at, "this escape is not complete") };
        self.at += c.len_utf8();
        let digits = match c {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            '"' | '\\' => return Ok(c),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            c => {
                return self
                    .wrong(at, format_args!("\\{} is no escape; a backslash is written \\\\", c.escape_debug()));
            }
        };
        let number = self.rest().get(..digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match number.and_then(char::from_u32) {
            Some(read) => {
                self.at += digits;
                Ok(read)
            }
            None => self.wrong(at, format_args!("after \\{c} come {digits} hexadecimal digits of a character")),
        }
    }

    /// `<<WORD`, lines, `WORD`; with `<<-` the indentation that all lines share goes.
    fn heredoc(&mut self) -> Read<String> {
        let open = self.at;
        let rest = &self.text[(open + 2).min(self.text.len())..];
        let (indented, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
        let (head, mut body) = rest.split_once('\n').unwrap_or((rest, ""));
        let word = head.trim();
        if word.is_empty() || !word.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return self.wrong(open, "after << comes the word that ends this text");
        }
        let mut lines = Vec::new();
        while !body.is_empty() {
            let (line, next) = body.split_once('\n').unwrap_or((body, ""));
            if line.trim() == word {
                // The line end stays: it ends the item.
                self.at = self.text.len() - body.len() + line.trim_end_matches('\r').len();
                let shared = lines.iter().filter(|line: &&&str| !line.trim().is_empty()).map(|line| indent(line)).min();
                let cut = if indented { shared.unwrap_or(0) } else { 0 };
                return Ok(lines.iter().map(|line| format!("{}\n", line.get(cut..).unwrap_or_default())).collect());
            }
            lines.push(line);
            body = next;
        }
        self.wrong(open, format_args!("no line {word} ends this text"))
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// Joins a block to its like: labelled ones by label, others as a list.
fn join(entries: &mut BTreeMap<String, Entry>, key: &str, entry: Entry, labelled: bool) {
    let Some(existing) = entries.get_mut(key) else {
        entries.insert(key.to_owned(), entry);
        return;
    };
    match (&mut existing.node, entry.node) {
        (Node::Block(old), Node::Block(new)) if labelled => {
            for (label, inner) in new {
                join(old, &label, inner, false);
            }
        }
        (Node::List(list), node) => list.push(Entry { place: entry.place, node }),
        (_, node) => {
            let first = existing.clone();
            existing.node = Node::List(vec![first, Entry { place: entry.place, node }]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match node {
            Node::Block(block) => {
                let items = block.iter().map(|(key, entry)| format!("{key}={}", shown(&entry.node)));
                format!("{{{}}}", items.collect::<Vec<_>>().join(" "))
            }
            Node::List(list) => {
                let items = list.iter().map(|entry| shown(&entry.node));
                format!("[{}]", items.collect::<Vec<_>>().join(" "))
            }
            Node::Null => "null".to_owned(),
            other => other.shown(),
        }
    }
    fn read(text: &str) -> String {
        match parse("a.hcl", text) {
            Ok(block) => shown(&Node::Block(block)),
            Err(problem) => problem.to_string(),
        }
    }

    #[test]
    fn what_nomads_users_write_is_read() {
        for (text, expected) in [
            ("\"data_dir\" = \"/x\"", r#"{data_dir="/x"}"#),
            ("ports { http = 5656 rpc = 5657, serf = 5658 }", "{ports={http=5656 rpc=5657 serf=5658}}"),
            ("options {\n  \"driver.raw_exec.enable\" = \"1\"\n}", r#"{options={driver.raw_exec.enable="1"}}"#),
            ("meta = { \"rack\" = \"r1\", }", r#"{meta={rack="r1"}}"#),
            ("plugin \"raw_exec\" { config { enabled = true } }", "{plugin={raw_exec={config={enabled=true}}}}"),
            (
                "host_volume \"a\" { path = \"/a\" }\nhost_volume b { path = \"/b\" }",
                r#"{host_volume={a={path="/a"} b={path="/b"}}}"#,
            ),
            ("server_join { retry_join = [ \"a\", \"b\", ] }", r#"{server_join={retry_join=["a" "b"]}}"#),
            ("a = -1.5 # one\nb = 0x10 // two\n/* three\n */ c = 1e3", "{a=-1.5 b=16 c=1000}"),
            ("bind_addr = \"{{ GetInterfaceIP \\\"eth0\\\" }}\"", r#"{bind_addr="{{ GetInterfaceIP \"eth0\" }}"}"#),
            ("a = \"${f(\"x\")}\\n\"", r#"{a="${f(\"x\")}\n"}"#),
            ("a = <<-EOF\n    one\n      two\n    EOF\nb = 1", r#"{a="one\n  two\n" b=1}"#),
            ("a { b = 1 }\na { b = 2 }", "{a=[{b=1} {b=2}]}"),
            ("a = [{ b = 1 }, { b = 2 }]", "{a=[{b=1} {b=2}]}"),
            ("a = null\r\nb = true\r\n", "{a=null b=true}"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_where_it_is() {
        for (text, expected) in [
            ("a = {", "a.hcl:1:5: this is not HCL: this brace is never closed"),
            ("a {\n  b = 1\n", "a.hcl:1:3: this is not HCL: this brace is never closed"),
            ("a = 1\n}", "a.hcl:2:1: this is not HCL: nothing is open that this brace could close"),
            ("a = [1, 2", "a.hcl:1:5: this is not HCL: this bracket is never closed"),
            ("a = [1 2]", "a.hcl:1:8: this is not HCL: a comma is expected here, not '2'"),
            ("a = \"x\nb = 1", "a.hcl:1:5: this is not HCL: this text is not closed on its line"),
            ("a = \"\\q\"", "a.hcl:1:6: this is not HCL: \\q is no escape; a backslash is written \\\\"),
            ("interval = 10s", "a.hcl:1:12: this is not HCL: 10s is no number; texts stand in quotes: \"10s\""),
            ("a = b", "a.hcl:1:5: b is no value: plain values only are taken here"),
            (
                "a\n= 1",
                "a.hcl:1:2: this is not HCL: after \"a\" comes an equals sign or a block, not the end of the line",
            ),
            ("= 1", "a.hcl:1:1: this is not HCL: a key is expected here, not '='"),
            ("a = ", "a.hcl:1:5: this is not HCL: a value is expected here, not the end of the file"),
            ("a = 1\na = 2", "a.hcl:2:1: this is not HCL: \"a\" is set twice; it was set on line 1 before"),
            ("a = <<EOF\nx\n", "a.hcl:1:5: this is not HCL: no line EOF ends this text"),
            ("/* a", "a.hcl:1:1: this is not HCL: this comment is never closed"),
        ] {
            let found = read(text);
            assert!(found.starts_with(expected), "{text}\n{found}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        for text in ["a { ".repeat(5000), format!("a = {}", "[".repeat(5000)), format!("a = {}", "{ b = ".repeat(5000))]
        {
            assert!(read(&text).contains("nested more than"), "{}", read(&text));
        }
    }
}
