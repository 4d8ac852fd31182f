//! A copy of the task's output in the system's journal: a datagram per line, by the journal's native protocol. The files
//! are the truth: nothing here ever waits. Lines that the journal does not take within a tenth of a second, or that
//! are too many to keep so long, are counted, and the journal is told how many are only in the files.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nomadd_executor::logs::Stream;
use nomadd_executor::spec::JournalSpec;

use crate::sys;

/// How long a line waits for the journal.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the rest of the lines may take when the task has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How many bytes may wait: what a task writes in that time at 100,000 lines of a hundred bytes a second.
const MOST_WAITING: usize = 1 << 20;
/// The longest line of the journal, as it cuts them itself; longer ones become several.
const LONGEST: usize = 48 << 10;
/// How many datagrams one system call sends.
const BATCH: usize = 64;
/// How long a journal that refused connections is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// The copy of both streams of a task.
pub struct Journal {
    spec: JournalSpec,
    socket: Option<UnixDatagram>,
    /// When the journal may be looked for again.
    again: Option<Instant>,
    /// What precedes the text of a line, by stream.
    prefixes: [Vec<u8>; 2],
    /// The beginning of a line that has not ended yet, by stream.
    open: [Vec<u8>; 2],
    /// Lines that wait: the stream, the length, the bytes.
    waiting: Vec<u8>,
    /// How much of `waiting` was sent.
    sent: usize,
    since: Option<Instant>,
    missed: u64,
    /// Nothing more is tried for what the task wrote last.
    full: bool,
}

impl Journal {
    /// Connects; `None` on a host without journal.
    pub fn open(spec: &JournalSpec) -> Option<Self> {
        let socket = connect(spec).ok()?;
        let prefix = |priority: u8| {
            let mut prefix = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER={}\n", spec.identifier).into_bytes();
            for field in &spec.fields {
                prefix.extend_from_slice(field);
                prefix.push(b'\n');
            }
            prefix.extend_from_slice(b"MESSAGE=");
            prefix
        };
        Some(Self {
            spec: spec.clone(),
            socket: Some(socket),
            again: None,
            // Informational, and an error.
            prefixes: [prefix(6), prefix(3)],
            open: [Vec::new(), Vec::new()],
            waiting: Vec::new(),
            sent: 0,
            since: None,
            missed: 0,
            full: false,
        })
    }

    /// Copies what the task wrote.
    pub fn write(&mut self, stream: Stream, mut data: &[u8]) {
        let place = place(stream);
        self.full = false;
        while !data.is_empty() {
            let end = data.iter().position(|byte| *byte == b'\n');
            let (line, rest) = match end {
                Some(end) => (&data[..end], &data[end + 1..]),
                None => (data, &[][..]),
            };
            let room = LONGEST - self.open[place].len();
            if line.len() > room {
                self.open[place].extend_from_slice(&line[..room]);
                self.close(place);
                data = &data[room..];
                continue;
            }
            if end.is_none() {
                self.open[place].extend_from_slice(line);
            } else if self.open[place].is_empty() {
                self.keep(place, line);
            } else {
                self.open[place].extend_from_slice(line);
                self.close(place);
            }
            data = rest;
        }
        self.send();
    }

    /// A stream has ended: what it wrote without a line feed is a line.
    pub fn end(&mut self, stream: Stream) {
        let place = place(stream);
        if !self.open[place].is_empty() {
            self.close(place);
            self.send();
        }
    }

    /// What becomes writable when there is something to do, if there is.
    pub fn blocked(&self) -> Option<(BorrowedFd<'_>, Duration)> {
        let since = self.since?;
        Some((self.socket.as_ref()?.as_fd(), PATIENCE.saturating_sub(since.elapsed())))
    }

    /// Sends what waits, gives up what waits for too long.
    pub fn send(&mut self) {
        if self.sent < self.waiting.len()
            && let Err(error) = self.send_waiting()
            && error.kind() != io::ErrorKind::WouldBlock
        {
            // The journal was restarted in another place, or is gone.
            self.socket = None;
            self.again = Some(Instant::now() + PAUSE);
        }
        if self.socket.is_none() && self.again.is_some_and(|at| at <= Instant::now()) {
            self.socket = connect(&self.spec).ok();
            self.again = self.socket.is_none().then(|| Instant::now() + PAUSE);
        }
        if self.sent == self.waiting.len() {
            (self.sent, self.since) = (0, None);
            self.waiting.clear();
            // What one burst needed is not kept for the years that the task runs.
            if self.waiting.capacity() > LONGEST {
                self.waiting = Vec::new();
            }
            self.tell();
        } else if self.since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE || self.socket.is_none() {
            self.give_up();
        }
    }

    /// The last words, when nobody waits for this process any more: goes on as long as the journal takes lines.
    pub fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.end(stream);
        }
        let deadline = Instant::now() + LAST_WORDS;
        while let Some((socket, patience)) = self.blocked() {
            if Instant::now() >= deadline {
                break;
            }
            drop(sys::wait_writable(socket, patience.max(Duration::from_millis(1))));
            self.send();
        }
        self.give_up();
        if let Some(socket) = self.socket.as_ref().filter(|_| self.missed > 0) {
            drop(sys::wait_writable(socket.as_fd(), LAST_WORDS));
        }
        self.tell();
    }

    fn close(&mut self, place: usize) {
        let line = std::mem::take(&mut self.open[place]);
        self.keep(place, &line);
    }

    /// Puts a line behind those that wait.
    fn keep(&mut self, place: usize, line: &[u8]) {
        if self.waiting.len() + line.len() > MOST_WAITING {
            if !self.full {
                drop(self.send_waiting());
                self.waiting.drain(..self.sent);
                self.sent = 0;
            }
            self.full = self.waiting.len() + line.len() > MOST_WAITING;
            if self.full {
                self.missed += 1;
                return;
            }
        }
        self.waiting.push(place as u8);
        self.waiting.extend_from_slice(&(line.len() as u32).to_ne_bytes());
        self.waiting.extend_from_slice(line);
    }

    fn send_waiting(&mut self) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        loop {
            let lines = Lines(&self.waiting[self.sent..]).take(BATCH);
            let messages: Vec<[&[u8]; 3]> =
                lines.map(|(place, line)| [&*self.prefixes[place], line, &b"\n"[..]]).collect();
            if messages.is_empty() {
                return Ok(());
            }
            let count = sys::send_all(socket, &messages)?;
            self.since = None;
            self.sent += messages[..count].iter().map(|[_, line, _]| HEAD + line.len()).sum::<usize>();
        }
    }

    fn give_up(&mut self) {
        self.missed += Lines(&self.waiting[self.sent..]).count() as u64;
        self.waiting = Vec::new();
        (self.sent, self.since) = (0, None);
    }

    /// Tells the journal what it lacks.
    fn tell(&mut self) {
        let Some(socket) = self.socket.as_ref().filter(|_| self.missed > 0) else { return };
        let text = format!("nomadd: {} lines only in the file", self.missed);
        let message = [&*self.prefixes[1], text.as_bytes(), &b"\n"[..]];
        if sys::send_all(socket, &[message]).is_ok_and(|count| count == 1) {
            self.missed = 0;
        }
    }
}

/// The bytes before each line that waits.
const HEAD: usize = 5;

/// The lines that wait.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_first_chunk::<HEAD>()?;
        let [place, a, b, c, d] = *head;
        let (line, rest) = rest.split_at_checked(u32::from_ne_bytes([a, b, c, d]) as usize)?;
        self.0 = rest;
        Some((usize::from(place), line))
    }
}

fn place(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

fn connect(spec: &JournalSpec) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(&spec.socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Receiver(UnixDatagram, PathBuf);
    impl Receiver {
        fn new(name: &str) -> (Self, Journal) {
            let path = std::env::temp_dir().join(format!("nomadd-journal-{}-{name}", std::process::id()));
            let socket = UnixDatagram::bind(&path).unwrap();
            socket.set_nonblocking(true).unwrap();
            let spec = JournalSpec { socket: path.clone(), identifier: "t".into(), fields: vec![b"F=1".to_vec()] };
            (Self(socket, path), Journal::open(&spec).unwrap())
        }
        fn next(&self) -> Option<String> {
            let mut buffer = vec![0; 2 * LONGEST];
            let length = self.0.recv(&mut buffer).ok()?;
            Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
        }
        fn texts(&self) -> Vec<String> {
            let text = |datagram: String| datagram.split_once("MESSAGE=").unwrap().1.trim_end_matches('\n').to_owned();
            std::iter::from_fn(|| self.next().map(text)).collect()
        }
    }
    impl Drop for Receiver {
        fn drop(&mut self) {
            drop(std::fs::remove_file(&self.1));
        }
    }

    #[test]
    fn lines_come_whole_with_their_fields_and_the_priority_of_their_stream() {
        let (receiver, mut journal) = Receiver::new("fields");
        journal.write(Stream::Stdout, b"one\ntw");
        journal.write(Stream::Stderr, b"bad\n");
        journal.write(Stream::Stdout, b"o\nend");
        assert_eq!(receiver.next().unwrap(), "PRIORITY=6\nSYSLOG_IDENTIFIER=t\nF=1\nMESSAGE=one\n");
        assert_eq!(receiver.next().unwrap(), "PRIORITY=3\nSYSLOG_IDENTIFIER=t\nF=1\nMESSAGE=bad\n");
        assert_eq!(receiver.texts(), ["two"]);
        journal.finish();
        assert_eq!(receiver.texts(), ["end"]);
    }

    #[test]
    fn a_line_that_is_too_long_becomes_several() {
        let (receiver, mut journal) = Receiver::new("long");
        let line = "x".repeat(LONGEST + 10);
        journal.write(Stream::Stdout, format!("a\n{line}\nb\n").as_bytes());
        let lengths: Vec<usize> = receiver.texts().iter().map(String::len).collect();
        assert_eq!(lengths, [1, LONGEST, 10, 1]);
    }

    #[test]
    fn a_journal_that_does_not_read_costs_no_wait_and_is_told_what_it_lacks() {
        let (receiver, mut journal) = Receiver::new("full");
        let lines = "0123456789\n".repeat(10_000);
        let (begun, mut written) = (Instant::now(), 0);
        while journal.missed == 0 {
            journal.write(Stream::Stdout, lines.as_bytes());
            written += 10_000;
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is given up");
        }
        journal.give_up();
        let missed = journal.missed;
        let mut received = receiver.texts();
        journal.send();
        received.extend(receiver.texts());
        assert_eq!(received.pop().unwrap(), format!("nomadd: {missed} lines only in the file"));
        assert_eq!(received.len() as u64 + missed, written);
        assert_eq!(journal.missed, 0);
    }

    #[test]
    fn a_journal_that_ended_is_no_trouble() {
        let (receiver, mut journal) = Receiver::new("gone");
        drop(receiver);
        journal.write(Stream::Stdout, b"one\ntwo\n");
        assert!(journal.blocked().is_none());
        assert_eq!(journal.missed, 2);
        journal.finish();
    }
}
