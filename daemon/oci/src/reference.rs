//! What an image is called: registry, repository, tag, digest, with the defaults that people leave out.
//!
//! Pure. Follows what Docker's users are used to: no registry is docker.io, no folder there is `library/`, no tag is
//! `latest`.

use std::fmt;

use crate::digest::Digest;

/// The registry of names without one.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The folder of its official images.
const OFFICIAL: &str = "library/";
/// The tag of names without one.
pub const LATEST: &str = "latest";
/// The longest name, in bytes.
const LONGEST: usize = 1024;

/// The full name of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of an image: {reason}")]
pub struct ReferenceError {
    /// As it was written, cut off when it is long.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Reference {
    /// Reads a name such as `redis:7`, `ghcr.io/owner/name@sha256:…` or `127.0.0.1:5000/x`; `https://` and `docker://`
    /// before it are left out, as Nomad does.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        let fail = |reason| ReferenceError { text: text.chars().take(120).collect(), reason };
        let rest = text.trim();
        let rest = rest.strip_prefix("https://").or_else(|| rest.strip_prefix("docker://")).unwrap_or(rest);
        if rest.is_empty() {
            return Err(fail("it is empty"));
        }
        if rest.len() > LONGEST {
            return Err(fail("it is longer than 1024 bytes"));
        }
        let (rest, digest) = match rest.split_once('@') {
            Some((rest, digest)) => {
                let digest =
                    Digest::parse(digest).map_err(|_| fail("a digest is sha256: and 64 hexadecimal digits"))?;
                (rest, Some(digest))
            }
            None => (rest, None),
        };
        let (registry, path) = match rest.split_once('/') {
            Some((first, path)) if is_host(first) => (first.to_ascii_lowercase(), path),
            _ => (DEFAULT_REGISTRY.to_owned(), rest),
        };
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) if is_tag(tag) => (path, Some(tag.to_owned())),
            Some(_) => return Err(fail("a tag is up to 128 letters, digits, '.', '_' and '-'")),
            None => (path, None),
        };
        if !is_registry(&registry) {
            return Err(fail("its registry is not HOST or HOST:PORT"));
        }
        if path.chars().any(|letter| letter.is_ascii_uppercase()) {
            return Err(fail("its repository must be in lower case"));
        }
        if !path.split('/').all(is_component) {
            return Err(fail("a repository is words of a-z, 0-9, '.', '_' and '-', with '/' between them"));
        }
        let registry = match registry.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
            _ => registry,
        };
        let repository = match path.contains('/') || registry != DEFAULT_REGISTRY {
            true => path.to_owned(),
            false => format!("{OFFICIAL}{path}"),
        };
        // With a digest the tag says nothing more; without either it is the newest.
        let tag = if digest.is_some() { tag } else { Some(tag.unwrap_or_else(|| LATEST.to_owned())) };
        Ok(Self { registry, repository, tag, digest })
    }

    /// `HOST` or `HOST:PORT`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one: then the tag is not looked at.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the name may mean another image tomorrow as a matter of course: its tag is `latest`.
    pub fn is_moving(&self) -> bool {
        self.digest.is_none() && self.tag.as_deref() == Some(LATEST)
    }

    /// As people write it: without what is understood.
    pub fn familiar(&self) -> String {
        let repository = match self.registry == DEFAULT_REGISTRY {
            true => self.repository.strip_prefix(OFFICIAL).unwrap_or(&self.repository).to_owned(),
            false => format!("{}/{}", self.registry, self.repository),
        };
        format!("{repository}{}", self.end())
    }

    fn end(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}"));
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}"));
        tag.into_iter().chain(digest).collect()
    }
}

/// The full name.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.end())
    }
}

/// Whether the part before the first `/` is a host: it has a dot, a port, or is `localhost`.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) || text.eq_ignore_ascii_case("localhost")
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((inner, "")) => (inner, None),
            Some((inner, port)) => (inner, port.strip_prefix(':')),
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if text.starts_with('[') {
        if host.parse::<std::net::Ipv6Addr>().is_err() || !(text.ends_with(']') || port.is_some()) {
            return false;
        }
    } else {
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !host.split('.').all(label) {
            return false;
        }
    }
    port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

fn is_tag(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=128).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with(['.', '-'])
}

fn is_component(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'.' | b'-');
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    text.bytes().all(inner) && end(text.bytes().next()) && end(text.bytes().next_back()) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, full: &str, familiar: &str) {
        let reference = Reference::parse(text).unwrap();
        assert_eq!((reference.to_string().as_str(), reference.familiar().as_str()), (full, familiar));
        assert_eq!(Reference::parse(full).unwrap(), reference, "the full name means the same");
    }

    #[test]
    fn what_people_leave_out_is_understood() {
        check("redis", "docker.io/library/redis:latest", "redis:latest");
        check("redis:7", "docker.io/library/redis:7", "redis:7");
        check("hashicorp/http-echo", "docker.io/hashicorp/http-echo:latest", "hashicorp/http-echo:latest");
        check("https://index.docker.io/library/redis:7", "docker.io/library/redis:7", "redis:7");
        check("localhost/x", "localhost/x:latest", "localhost/x:latest");
        check("127.0.0.1:5000/a/b_c:v1.2", "127.0.0.1:5000/a/b_c:v1.2", "127.0.0.1:5000/a/b_c:v1.2");
        check("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest");
        let digest = format!("sha256:{}", "0a".repeat(32));
        let (full, familiar) = (format!("docker.io/library/redis@{digest}"), format!("redis@{digest}"));
        check(&format!("redis@{digest}"), &full, &familiar);
        assert!(!Reference::parse(&full).unwrap().is_moving());
        assert!(Reference::parse("redis").unwrap().is_moving() && !Reference::parse("redis:7").unwrap().is_moving());
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let check = |text: &str, reason: &str| {
            let error = Reference::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        };
        check("", "it is empty");
        check("Redis", "must be in lower case");
        check("a b", "a repository is words");
        check("redis:", "a tag is up to");
        check("redis:a b", "a tag is up to");
        check("redis@sha256:12", "a digest is sha256:");
        check("a.b:x/y", "its registry is not HOST");
        check("-a.b/y", "its registry is not HOST");
        check("[::1/y", "its registry is not HOST");
        check("a/../b", "a repository is words");
        check("a//b", "a repository is words");
        check("${image}", "a repository is words");
        check(&"a".repeat(2000), "longer than 1024");
    }
}
