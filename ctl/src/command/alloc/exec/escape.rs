//! Leaving a session from the keyboard: the escape character and a dot at the beginning of a line. Pure.

/// The character that begins an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escape(u8);

impl Escape {
    /// Reads `-e`: one ASCII character, or `none`; `None` when it is neither.
    #[expect(clippy::option_option, reason = "the outer one is about the text, the inner one the user's choice")]
    pub fn parse(text: &str) -> Option<Option<Self>> {
        match text.as_bytes() {
            b"none" | b"" => Some(None),
            [one] => Some(Some(Self(*one))),
            _ => None,
        }
    }
}

/// Where in a line the keyboard is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    LineStart,
    Escape,
    Within,
}

/// What was typed so far.
#[derive(Debug, Default)]
pub struct Seen(At);

impl Seen {
    /// The bytes that go on to the command, and whether the session is left.
    pub fn pass(&mut self, escape: Escape, typed: Vec<u8>) -> (Vec<u8>, bool) {
        let mut on = Vec::with_capacity(typed.len() + 1);
        for byte in typed {
            match self.0 {
                At::LineStart if byte == escape.0 => {
                    // Held back until it is known what it means.
                    self.0 = At::Escape;
                    continue;
                }
                At::Escape if byte == b'.' => return (on, true),
                // Twice is the character itself.
                At::Escape if byte == escape.0 => {}
                At::Escape => on.push(escape.0),
                _ => {}
            }
            on.push(byte);
            self.0 = if matches!(byte, b'\r' | b'\n') { At::LineStart } else { At::Within };
        }
        (on, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_counts_only_at_the_beginning_of_a_line() {
        for (typed, on, left) in [
            (vec!["~."], "", true),
            (vec!["~", "."], "", true),
            (vec!["ls\r~."], "ls\r", true),
            (vec!["a~."], "a~.", false),
            (vec!["~~."], "~.", false),
            (vec!["~x"], "~x", false),
            (vec!["cd ~\r"], "cd ~\r", false),
        ] {
            let mut seen = Seen::default();
            let (mut passed, mut ended) = (Vec::new(), false);
            for piece in &typed {
                let (bytes, left) = seen.pass(Escape(b'~'), piece.as_bytes().to_vec());
                passed.extend(bytes);
                ended |= left;
            }
            assert_eq!((String::from_utf8(passed).unwrap().as_str(), ended), (on, left), "{typed:?}");
        }
        assert_eq!(Escape::parse("none"), Some(None));
        assert_eq!(Escape::parse("ab"), None);
    }
}
