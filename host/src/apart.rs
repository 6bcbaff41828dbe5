//! What the server itself lives from lies apart from what a handler was granted: compiled code, which is run as it lies
//! there; recordings and core dumps, which have other clients' data; the handler's file; a socket's folder.
//!
//! Folders are compared by device and inode, and with each folder around them: a name says nothing. What is mounted in a
//! granted folder is granted, too, and may be such a folder once more (mount(8), `--bind`).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::config::DirGrant;

/// Grants that would make one another say something else: what is in a folder that may be written to may be written to,
/// whatever another grant says of it.
///
/// # Errors
///
/// Which, and what to do.
pub(crate) fn grants_agree(grants: &[DirGrant]) -> Result<(), String> {
    for only_read in grants.iter().filter(|grant| !grant.writable) {
        for writable in grants.iter().filter(|grant| grant.writable) {
            if reached(writable).any(|folder| lies_in(&only_read.host, &folder)) {
                return Err(format!(
                    "--dir {}: it lies in {}, which is granted with `:rw`: the handler could change it there; grant folders that lie apart, or both with `:rw`",
                    only_read.host.display(),
                    writable.host.display()
                ));
            }
        }
    }
    Ok(())
}

/// No grant has this folder in it, or lies in it; `what` it is, with its option.
///
/// # Errors
///
/// Which grant, and what to do.
pub(crate) fn is_closed(grants: &[DirGrant], folder: &Path, what: &str) -> Result<(), String> {
    for grant in grants {
        if reached(grant).any(|reached| lies_in(folder, &reached) || lies_in(&reached, folder)) {
            return Err(format!(
                "--dir {}: {what} is {}, which no handler may reach: grant a folder that lies apart from it, or choose another one there",
                grant.host.display(),
                folder.display()
            ));
        }
    }
    Ok(())
}

/// No writable grant has in it what is at this path, or a link on the way there; `what` it is.
///
/// # Errors
///
/// Which grant, and what to do.
pub(crate) fn is_unchangeable(grants: &[DirGrant], file: &Path, what: &str) -> Result<(), String> {
    let writable = || grants.iter().filter(|grant| grant.writable);
    if writable().next().is_none() {
        return Ok(());
    }
    let links = ways(file).filter_map(|way| folder_of(&way.link?.at));
    let places: Vec<PathBuf> = places(file).into_iter().chain(links).collect();
    let mut folders = places.iter().filter(|place| place.is_dir());
    let reaches = |grant: &DirGrant, folder| reached(grant).any(|found| lies_in(folder, &found));
    match folders.find_map(|folder| writable().find(|grant| reaches(grant, folder))) {
        Some(grant) => Err(format!(
            "--dir {}: {what} lies in it, {}, and the handler could put another in its place: grant a folder of its own with `:rw`, or leave `:rw` out",
            grant.host.display(),
            file.display()
        )),
        None => Ok(()),
    }
}

/// What is mounted, as [`remember_mounts`] found it.
static REMEMBERED: OnceLock<Vec<u8>> = OnceLock::new();

/// A program that gives up what it does not need cannot read any more what is mounted: for it mounts are from now on
/// what they are now.
pub(crate) fn remember_mounts() {
    REMEMBERED.get_or_init(|| read_mounts().unwrap_or_default());
}

/// As proc_pid_mountinfo(5) has it.
fn read_mounts() -> io::Result<Vec<u8>> {
    fs::read("/proc/self/mountinfo")
}

/// A granted folder, and what is mounted in it.
fn reached(grant: &DirGrant) -> impl Iterator<Item = PathBuf> {
    let folder = grant.host.canonicalize();
    let mounts = read_mounts().unwrap_or_else(|_| REMEMBERED.get().cloned().unwrap_or_default());
    let mounts: Vec<PathBuf> = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4).map(unescaped))
        .filter(|mount| {
            folder
                .as_ref()
                .is_ok_and(|folder| mount.starts_with(folder))
        })
        .collect();
    [grant.host.clone()].into_iter().chain(mounts)
}

/// A path as mountinfo has it: blanks and the like are a backslash and three octal digits.
fn unescaped(mut text: &[u8]) -> PathBuf {
    let mut path = Vec::new();
    while let Some((first, rest)) = text.split_first() {
        let digits = rest.get(..3).and_then(|digits| str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                path.push(byte);
                text = &rest[3..];
            }
            None => {
                path.push(*first);
                text = rest;
            }
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

/// Whether a folder is another one, or lies in it. What is not there lies nowhere: whoever opens it says so.
fn lies_in(folder: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let (Ok(folder), Some(other)) = (folder.canonicalize(), identity(other)) else {
        return false;
    };
    folder
        .ancestors()
        .any(|around| identity(around) == Some(other))
}

/// Where a handler is read from: the folder that it is in, since a new one is put in the old one's place, and
/// of each link on the way the folder of what it leads to, since such a link is what a deployment turns over.
pub(crate) fn places(path: &Path) -> Vec<PathBuf> {
    let folders = ways(path).flat_map(|way| {
        let led_to = way.link.and_then(|link| folder_of(&link.target));
        folder_of(&way.path).into_iter().chain(led_to)
    });
    // The whole system is more than a handler's folder, whatever it is called.
    [path.to_owned()]
        .into_iter()
        .chain(folders)
        .filter(|place| !is_root_folder(place))
        .collect()
}

/// A path, and the first link on it.
struct Way {
    path: PathBuf,
    link: Option<Link>,
}

struct Link {
    at: PathBuf,
    /// What it leads to.
    target: PathBuf,
    /// What of the path is behind it.
    rest: PathBuf,
}

/// A path, as it is and with one link after the other followed.
fn ways(path: &Path) -> impl Iterator<Item = Way> {
    /// As many as the system follows (path_resolution(7)).
    const LINKS: usize = 40;
    let way = |path: PathBuf| Way {
        link: first_link(&path),
        path,
    };
    let first = std::path::absolute(path).ok().map(way);
    std::iter::successors(first, move |last| {
        let link = last.link.as_ref()?;
        Some(way(link.target.join(&link.rest)))
    })
    .take(LINKS)
}

fn is_root_folder(path: &Path) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    identity(path).is_ok_and(|found| identity(Path::new("/")).is_ok_and(|root| root == found))
}

fn first_link(path: &Path) -> Option<Link> {
    let mut at = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        at.push(component);
        if let Ok(target) = fs::read_link(&at) {
            let target = at.parent()?.join(target);
            let rest = components.as_path();
            // An empty rest would add a slash.
            let (target, rest) = match rest.as_os_str().is_empty() {
                true => (target.parent()?.to_owned(), target.file_name()?.into()),
                false => (target, rest.to_owned()),
            };
            return Some(Link { at, target, rest });
        }
    }
    None
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> Option<PathBuf> {
    match path.parent()? {
        folder if folder.as_os_str().is_empty() => Some(".".into()),
        folder => Some(folder.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn grant(text: String) -> DirGrant {
        text.parse().unwrap()
    }

    #[test]
    fn folders_are_compared_by_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["data/inner/cache", "beside"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        symlink(at("data"), at("link")).unwrap();
        let granted = |path: &str| [grant(format!("{}::/d", at(path).display()))];
        for around in [
            "data",
            "data/inner",
            "data/inner/cache",
            "link",
            "link/inner/../inner",
        ] {
            assert!(
                is_closed(&granted(around), &at("data/inner/cache"), "x").is_err(),
                "{around}"
            );
            assert!(
                is_closed(&granted("link/inner/cache"), &at(around), "x").is_err(),
                "{around}"
            );
        }
        for apart in ["beside", "nothing"] {
            assert!(
                is_closed(&granted(apart), &at("data/inner/cache"), "x").is_ok(),
                "{apart}"
            );
        }
    }

    #[test]
    fn a_mount_has_the_name_that_it_has() {
        assert_eq!(unescaped(b"/a\\040b\\134\\"), Path::new("/a b\\\\"));
        assert_eq!(unescaped(b"/\\09x"), Path::new("/\\09x"));
    }

    #[test]
    fn what_may_be_written_is_not_granted_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path).display().to_string();
        fs::create_dir_all(dir.path().join("data/inner")).unwrap();
        let both = |one: String, other: String| grants_agree(&[grant(one), grant(other)]);
        let (outer, inner) = (at("data"), at("data/inner"));
        assert!(both(format!("{inner}::/i"), format!("{outer}::/o:rw")).is_err());
        assert!(both(format!("{outer}::/i"), format!("{outer}::/o:rw")).is_err());
        assert!(both(format!("{inner}::/i:rw"), format!("{outer}::/o")).is_ok());
        assert!(both(format!("{inner}::/i:rw"), format!("{outer}::/o:rw")).is_ok());
    }

    #[test]
    fn a_file_and_each_link_to_it_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for folder in ["app/releases/41", "links", "beside"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("app/releases/41/a.wasm"), "").unwrap();
        symlink(at("app/releases/41"), at("links/current")).unwrap();
        let file = at("links/current/a.wasm");
        let granted = |path: &str, mode: &str| [grant(format!("{}::/d{mode}", at(path).display()))];
        for folder in ["app", "app/releases", "app/releases/41", "links", ""] {
            assert!(
                is_unchangeable(&granted(folder, ":rw"), &file, "x").is_err(),
                "{folder}"
            );
            assert!(
                is_unchangeable(&granted(folder, ""), &file, "x").is_ok(),
                "{folder}"
            );
        }
        assert!(is_unchangeable(&granted("beside", ":rw"), &file, "x").is_ok());
    }

    #[test]
    fn a_handler_may_come_from_where_a_link_may_lead_next() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("app/releases/41")).unwrap();
        fs::write(root.join("app/releases/41/echo.wasm"), "").unwrap();
        symlink("releases/41", root.join("app/current")).unwrap();
        symlink("app/current/echo.wasm", root.join("echo.wasm")).unwrap();
        let found = places(&root.join("echo.wasm"));
        for expected in ["", "app/current", "app/releases", "app/releases/41"] {
            assert!(
                found.contains(&root.join(expected)),
                "{expected}: {found:?}"
            );
        }
        assert!(!found.contains(&PathBuf::from("/")));
        let up = PathBuf::from("../".repeat(40) + "echo.wasm");
        assert!(!places(&up).iter().any(|place| is_root_folder(place)));
    }
}
