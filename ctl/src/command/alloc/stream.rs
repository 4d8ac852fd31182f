//! Files and logs of an allocation as streams: from the start, the last lines or bytes, and what comes after.

use std::io::Write as _;
use std::time::Duration;

use nomadd_api::{ApiError, Client, Frames, Request};

/// What is shown of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The last lines.
    Lines(usize),
    /// The last bytes.
    Bytes(u64),
}

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a stream is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// What of it.
    pub part: Part,
    /// Whether what is written later is shown, too.
    pub follow: bool,
    /// Where.
    pub to: To,
}

/// How many bytes of the end are read for each line that is wanted, at first.
const LINE: u64 = 256;
/// At most so much of the end is read for the last lines, in bytes.
const MOST: u64 = 16 << 20;
/// How long the known part of a followed stream may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The part that `-tail`, `-n` and `-c` mean; each of the latter two implies the first.
pub fn part(tail: bool, lines: Option<usize>, bytes: Option<u64>) -> Result<Part, &'static str> {
    match (lines, bytes) {
        (Some(_), Some(_)) => Err("Only one of '-n' and '-c' may be set"),
        (Some(lines), None) => Ok(Part::Lines(lines)),
        (None, Some(bytes)) => Ok(Part::Bytes(bytes)),
        (None, None) if tail => Ok(Part::Lines(10)),
        (None, None) => Ok(Part::Whole),
    }
}

/// Shows a stream; `request` is a GET of `fs/logs` or `fs/stream` with the parameters that say which. Returns at its end,
/// or when nobody reads the output any more.
pub async fn show(client: &Client, request: Request, shown: Shown) -> Result<(), ApiError> {
    let lines = match shown.part {
        Part::Whole => return copy(client.frames(from(request, shown.follow, "start", 0)).await?, shown.to).await,
        Part::Bytes(bytes) => {
            return copy(client.frames(from(request, shown.follow, "end", bytes)).await?, shown.to).await;
        }
        Part::Lines(lines) => lines,
    };
    let mut window = (lines as u64).saturating_mul(LINE).clamp(4096, MOST);
    let known = loop {
        let read = collect(client.frames(from(request.clone(), false, "end", window)).await?).await?;
        let enough = newlines(&read) > lines || (read.len() as u64) < window;
        if enough || window >= MOST {
            break read;
        }
        window = window.saturating_mul(4).min(MOST);
    };
    if !shown.follow {
        put(shown.to, last_lines(&known, lines));
        return Ok(());
    }
    // Followed from the same distance to the end: as many bytes as were there a moment ago are the past, all later ones
    // are new. So no line is cut and none is missed in between.
    let mut frames = client.frames(from(request, true, "end", window)).await?;
    let mut past = Vec::new();
    let until = tokio::time::Instant::now() + PATIENCE;
    while past.len() < known.len() {
        match tokio::time::timeout_at(until, frames.next()).await {
            Ok(next) => match next? {
                Some(frame) => past.extend_from_slice(&frame.data.0),
                None => break,
            },
            Err(_) => break,
        }
    }
    let (before, after) = past.split_at(known.len().min(past.len()));
    if !put(shown.to, last_lines(before, lines)) || !put(shown.to, after) {
        return Ok(());
    }
    copy(frames, shown.to).await
}

fn from(request: Request, follow: bool, origin: &str, offset: u64) -> Request {
    request.query("follow", follow).query("origin", origin).query("offset", offset)
}

async fn copy(mut frames: Frames, to: To) -> Result<(), ApiError> {
    while let Some(frame) = frames.next().await? {
        if !put(to, &frame.data.0) {
            break;
        }
    }
    Ok(())
}

async fn collect(mut frames: Frames) -> Result<Vec<u8>, ApiError> {
    let mut all = Vec::new();
    while let Some(frame) = frames.next().await? {
        all.extend_from_slice(&frame.data.0);
    }
    Ok(all)
}

/// Writes; `false` when nobody reads.
pub fn put(to: To, bytes: &[u8]) -> bool {
    let written = match to {
        To::Stdout => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes).and_then(|()| out.flush())
        }
        To::Stderr => std::io::stderr().lock().write_all(bytes),
    };
    written.is_ok()
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// The end of a text with so many lines; a last one without its end counts.
fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    if lines == 0 {
        return &[];
    }
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(lines - 1).map_or(bytes, |start| &bytes[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole_ones() {
        for (text, lines, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\nb\n", 5, "a\nb\n"),
            ("a\n", 1, "a\n"),
            ("a\n", 0, ""),
            ("", 3, ""),
            ("\n\n\n", 1, "\n"),
        ] {
            assert_eq!(last_lines(text.as_bytes(), lines), expected.as_bytes(), "{text:?} {lines}");
        }
    }

    #[test]
    fn counts_imply_the_tail_and_exclude_each_other() {
        assert_eq!(part(false, None, None), Ok(Part::Whole));
        assert_eq!(part(true, None, None), Ok(Part::Lines(10)));
        assert_eq!(part(false, Some(3), None), Ok(Part::Lines(3)));
        assert_eq!(part(true, None, Some(70)), Ok(Part::Bytes(70)));
        assert!(part(true, Some(1), Some(1)).is_err());
    }
}
