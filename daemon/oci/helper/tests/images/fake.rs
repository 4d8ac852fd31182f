//! A registry that this test plays: it answers as it is told, well or badly, and counts what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use nomadd_oci::Digest;

use crate::build::Made;

/// How one path is answered.
#[derive(Clone)]
pub enum Answer {
    /// With these bytes.
    Bytes(Vec<u8>),
    /// With a status and a text.
    Status(u16, &'static str),
    /// With the bytes, but the connection breaks after so many of them, the first so many times.
    Breaking { bytes: Vec<u8>, after: usize, times: usize },
    /// Never, after the head of so many bytes.
    Hanging(usize),
    /// By leading there.
    Redirect(String),
    /// Without end.
    Endless,
    /// Only to those who know this header.
    Guarded { header: String, challenge: String, bytes: Vec<u8> },
}

pub struct Fake {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    answers: BTreeMap<String, Answer>,
    asked: Vec<(String, Vec<String>)>,
}

impl Fake {
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Mutex<Shared>>::default());
        shared.lock().unwrap().answers.insert("/v2/".to_owned(), Answer::Bytes(b"{}".to_vec()));
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                // A connection that breaks is this test's matter.
                std::thread::spawn(move || drop(serve(stream.unwrap(), &shared)));
            }
        });
        Self { address, shared }
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Keeps an image, and says what it is called.
    pub fn put(&self, repository: &str, made: &Made) -> String {
        for bytes in made.layers.iter().chain([&made.config]) {
            self.answer(&blob(repository, bytes), Answer::Bytes(bytes.clone()));
        }
        for name in ["1".to_owned(), Digest::of(&made.manifest).to_string()] {
            self.answer(&format!("/v2/{repository}/manifests/{name}"), Answer::Bytes(made.manifest.clone()));
        }
        format!("{}/{repository}:1", self.address)
    }

    /// How often a path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.shared.lock().unwrap().asked.iter().filter(|(asked, _)| asked == path).count()
    }

    /// All headers that it ever got.
    pub fn headers(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.iter().flat_map(|(_, headers)| headers.clone()).collect()
    }
}

/// Where a blob is.
pub fn blob(repository: &str, bytes: &[u8]) -> String {
    format!("/v2/{repository}/blobs/{}", Digest::of(bytes))
}

fn serve(stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        // Bytes of TLS are no line: the connection ends, as it does with any server that speaks HTTP.
        if reader.by_ref().take(4096).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim() {
                "" => break,
                header => headers.push(header.to_owned()),
            }
        }
        let offset = headers.iter().find_map(|header| {
            let value = header.to_ascii_lowercase();
            value.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
        });
        let answer = {
            let mut shared = shared.lock().unwrap();
            shared.asked.push((path.clone(), headers.clone()));
            let answer = shared.answers.get(&path).cloned().unwrap_or(Answer::Status(404, "{}"));
            if let Some(Answer::Breaking { times, .. }) = shared.answers.get_mut(&path) {
                *times = times.saturating_sub(1);
            }
            answer
        };
        let head = |status: &str, length: usize| format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
        match answer {
            Answer::Bytes(bytes) => part(&mut writer, &bytes, offset)?,
            Answer::Status(status, text) => write!(writer, "{}{text}", head(&format!("{status} no"), text.len()))?,
            Answer::Breaking { bytes, times: 0, .. } => part(&mut writer, &bytes, offset)?,
            Answer::Breaking { bytes, after, .. } => {
                writer.write_all(head("200 OK", bytes.len()).as_bytes())?;
                writer.write_all(&bytes[..after])?;
                return Ok(());
            }
            Answer::Hanging(length) => {
                writer.write_all(head("200 OK", length).as_bytes())?;
                // Until the other end has had enough.
                reader.read_to_end(&mut Vec::new())?;
            }
            Answer::Redirect(to) => {
                write!(writer, "HTTP/1.1 307 there\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")?;
            }
            Answer::Endless => {
                writer.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    writer.write_all(&[b' '; 1 << 16])?;
                }
            }
            Answer::Guarded { header, challenge, bytes } => match headers
                .iter()
                .any(|is| is.eq_ignore_ascii_case(&header))
            {
                true => part(&mut writer, &bytes, offset)?,
                false => {
                    write!(writer, "HTTP/1.1 401 no\r\nWWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n")?;
                }
            },
        }
    }
}

/// What was asked for from some byte on.
fn part(writer: &mut TcpStream, bytes: &[u8], offset: Option<usize>) -> std::io::Result<()> {
    match offset.filter(|offset| *offset < bytes.len()) {
        Some(offset) => {
            let (all, rest) = (bytes.len(), &bytes[offset..]);
            let range = format!("Content-Range: bytes {offset}-{}/{all}", all - 1);
            write!(writer, "HTTP/1.1 206 part\r\n{range}\r\nContent-Length: {}\r\n\r\n", rest.len())?;
            writer.write_all(rest)
        }
        None => {
            write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
            writer.write_all(bytes)
        }
    }
}
