//! What is said of a file, in the form that Go programs know: mode text, times, the type of its content.

use nomadd_model::{AllocFileInfo, Time};
use rustix::fs::{FileType, Stat};

/// The entry of a file in a list.
pub fn of(name: &str, stat: &Stat) -> AllocFileInfo {
    let kind = FileType::from_raw_mode(stat.st_mode);
    #[expect(clippy::useless_conversion, reason = "the types of these fields differ between platforms")]
    let mod_time = Time(i64::from(stat.st_mtime) * 1_000_000_000 + i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    AllocFileInfo {
        content_type: String::new(),
        file_mode: mode(kind, stat.st_mode),
        is_dir: kind == FileType::Directory,
        mod_time,
        name: name.to_owned(),
        size: stat.st_size,
    }
}

/// The mode as Go writes it: `drwxr-xr-x`, `prw-------`, `dtrwxrwxrwx`.
fn mode(kind: FileType, mode: u32) -> String {
    let mut text = String::with_capacity(12);
    text.push_str(match kind {
        FileType::Directory => "d",
        FileType::Symlink => "L",
        FileType::Fifo => "p",
        FileType::Socket => "S",
        FileType::BlockDevice | FileType::CharacterDevice => "D",
        _ => "",
    });
    for (bit, letter) in [(0o4000, 'u'), (0o2000, 'g')] {
        if mode & bit != 0 {
            text.push(letter);
        }
    }
    if kind == FileType::CharacterDevice {
        text.push('c');
    }
    if mode & 0o1000 != 0 {
        text.push('t');
    }
    if text.is_empty() {
        text.push('-');
    }
    for (place, letter) in "rwxrwxrwx".chars().enumerate() {
        text.push(if mode & (0o400 >> place) != 0 { letter } else { '-' });
    }
    text
}

/// What a file is that is neither a directory nor regular.
pub fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::Symlink => "symbolic link",
        FileType::BlockDevice | FileType::CharacterDevice => "device",
        FileType::Directory => "directory",
        _ => "special file",
    }
}

/// The type of a file's content: by its name, else by its first bytes.
pub fn content_type(name: &str, head: &[u8]) -> String {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let known = match extension.as_deref() {
        Some("json") => "application/json",
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("xml") => "text/xml; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("pdf") => "application/pdf",
        Some("wasm") => "application/wasm",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let binary = |byte: &u8| matches!(byte, 0..=8 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if head.starts_with(b"\x1f\x8b\x08") {
        "application/x-gzip".to_owned()
    } else if head.iter().any(binary) {
        "application/octet-stream".to_owned()
    } else {
        "text/plain; charset=utf-8".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_in_go() {
        for (kind, bits, text) in [
            (FileType::Directory, 0o755, "drwxr-xr-x"),
            (FileType::RegularFile, 0o644, "-rw-r--r--"),
            (FileType::Fifo, 0o600, "prw-------"),
            (FileType::Socket, 0o666, "Srw-rw-rw-"),
            (FileType::Directory, 0o1777, "dtrwxrwxrwx"),
            (FileType::RegularFile, 0o4755, "urwxr-xr-x"),
            (FileType::CharacterDevice, 0o620, "Dcrw--w----"),
        ] {
            assert_eq!(mode(kind, bits), text);
        }
    }

    #[test]
    fn content_is_told_by_name_and_bytes() {
        for (name, head, kind) in [
            ("x.stdout.0", &b"hello\n"[..], "text/plain; charset=utf-8"),
            ("x", b"", "text/plain; charset=utf-8"),
            ("x", b"\x7fELF\x02\x01\x01\0", "application/octet-stream"),
            ("x.json", b"{}", "application/json"),
        ] {
            assert_eq!(content_type(name, head), kind, "{name}");
        }
    }
}
