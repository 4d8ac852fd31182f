//! Who a container runs as: the task's user or the image's, by the passwd and group files of its own root. Those are
//! opened by the kernel beneath the root, so that links in them lead nowhere else.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

/// The largest file of users that is read, in bytes.
const MOST: u64 = 4 << 20;

/// A user in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Other groups.
    pub groups: Vec<u32>,
    /// Its home, if the root names one.
    pub home: Option<String>,
}

/// Opens a file of a root, wherever its links lead within.
pub fn open_in(root: &Path, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let root = rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?))
}

/// Finds `USER`, `USER:GROUP` (names or numbers; empty is root) and more groups; a clause when there is none such.
pub fn find(root: &Path, wanted: &str, more: &[String]) -> Result<User, String> {
    let read = |path: &str| {
        let mut text = String::new();
        match open_in(root, path).and_then(|file| {
            if !file.metadata()?.is_file() {
                return Err(io::Error::other("it is no file"));
            }
            file.take(MOST).read_to_string(&mut text)
        }) {
            Ok(_) => text,
            // An image without users has root and numbers.
            Err(_) => String::new(),
        }
    };
    resolve(&read("etc/passwd"), &read("etc/group"), wanted, more)
}

fn resolve(passwd: &str, group: &str, wanted: &str, more: &[String]) -> Result<User, String> {
    let (user, of_group) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let users = || passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() >= 6);
    let groups = || group.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|fields| fields.len() >= 3);
    let number = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    let entry = users().find(|fields| fields[0] == user).or_else(|| users().find(|fields| fields[2] == user));
    let mut found = match (&entry, number(user)) {
        (Some(fields), _) => {
            let id = |text: &str| number(text).ok_or_else(|| format!("user {user:?} has the id {text:?} in the image"));
            let home = Some(fields[5].to_owned()).filter(|home| home.starts_with('/'));
            User { uid: id(fields[2])?, gid: id(fields[3])?, groups: Vec::new(), home }
        }
        (None, Some(uid)) => User { uid, ..User::default() },
        (None, None) => {
            return Err(format!("the image has no user {user:?} (etc/passwd); use one it has, or a number"));
        }
    };
    let of_name = |name: &str| {
        let entry = groups().find(|fields| fields[0] == name).and_then(|fields| number(fields[2]));
        entry
            .or_else(|| number(name))
            .ok_or_else(|| format!("the image has no group {name:?} (etc/group); use one it has, or a number"))
    };
    match of_group {
        Some(name) => found.gid = of_name(name)?,
        None => {
            let name = entry.as_ref().map(|fields| fields[0].to_owned());
            let is_member = |fields: &Vec<&str>| {
                let members = fields.get(3).copied().unwrap_or_default();
                name.as_deref().is_some_and(|name| members.split(',').any(|member| member == name))
            };
            found.groups = groups().filter(is_member).filter_map(|fields| number(fields[2])).take(256).collect();
        }
    }
    for name in more {
        found.groups.push(of_name(name)?);
    }
    found.groups.sort_unstable();
    found.groups.dedup();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/srv:/bin/sh\n7:x:1000:1000::/seven:/bin/sh\nbad:x:y:0::/:/\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:web,root\ntape:x:26:\n";

    fn check(wanted: &str, more: &[&str], uid: u32, gid: u32, groups: &[u32]) {
        let more: Vec<String> = more.iter().map(|name| (*name).to_owned()).collect();
        let user = resolve(PASSWD, GROUP, wanted, &more).unwrap();
        assert_eq!((user.uid, user.gid, user.groups.as_slice()), (uid, gid, groups), "{wanted}");
    }

    #[test]
    fn names_and_numbers_are_found_as_the_image_has_them() {
        check("", &[], 0, 0, &[50]);
        check("web", &[], 33, 34, &[50]);
        check("33", &[], 33, 34, &[50]);
        check("web:tape", &["logs", "99"], 33, 26, &[50, 99]);
        check("4711", &[], 4711, 0, &[]);
        check("4711:4712", &[], 4711, 4712, &[]);
        check("7", &[], 1000, 1000, &[]);
        assert_eq!(resolve(PASSWD, GROUP, "web", &[]).unwrap().home.as_deref(), Some("/srv"));
    }

    #[test]
    fn who_is_not_there_is_named() {
        for (wanted, reason) in [
            ("nobody", "the image has no user \"nobody\""),
            ("web:nogroup", "the image has no group \"nogroup\""),
            ("bad", "has the id \"y\""),
            ("4294967295", "the image has no user"),
        ] {
            let error = resolve(PASSWD, GROUP, wanted, &[]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
