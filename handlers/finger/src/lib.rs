//! The Finger User Information Protocol (RFC 1288), out of a folder that the operator grants as
//! `/finger`: the file `/finger/NAME` is what is told of the user NAME. Nobody logs in here, so the
//! list of users is the list of the files.

#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead, Read, Write};
use std::path::Path;

use sandsock_guest::{Handler, Request, Result};

/// Answers one query.
#[derive(Default)]
struct Finger;

/// More than any name; what is longer is cut, and answered as what it then is.
const LONGEST_QUERY: u64 = 512;

impl Handler for Finger {
    fn handle(&mut self, request: &mut Request) -> Result {
        let mut query = Vec::new();
        request
            .rfile
            .by_ref()
            .take(LONGEST_QUERY)
            .read_until(b'\n', &mut query)?;
        let answer = answer(&String::from_utf8_lossy(&query), Path::new("/finger"))?;
        request.wfile.write_all(&answer)?;
        Ok(())
    }
}

/// `/W` (section 2.5.4) may ask for more, and there is no more.
fn answer(query: &str, folder: &Path) -> Result<Vec<u8>> {
    if !folder.is_dir() {
        return Err("no folder of users: grant one with --dir FOLDER::/finger".into());
    }
    let query = query.trim();
    match query.strip_prefix("/W").unwrap_or(query).trim_start() {
        "" => users(folder),
        // Section 3.2.1, in its words: to forward is to let strangers act in this host's name.
        query if query.contains('@') => Ok(b"Finger forwarding service denied\r\n".to_vec()),
        name if is_name(name) => user(&folder.join(name)),
        _ => Ok(b"finger: not the name of a user\r\n".to_vec()),
    }
}

/// No name leads out of the folder, or to a hidden file, or to another system's idea of a path.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !text.starts_with('.') && text.chars().all(allowed)
}

fn users(folder: &Path) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str()
            && is_name(name)
            && entry.path().is_file()
        {
            names.push(format!("{name}\r\n"));
        }
    }
    names.sort_unstable();
    Ok(names.concat().into_bytes())
}

fn user(path: &Path) -> Result<Vec<u8>> {
    if !path.is_file() {
        return Ok(b"finger: no such user\r\n".to_vec());
    }
    let mut answer = Vec::new();
    for line in fs::read(path)?.split_inclusive(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        answer.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        answer.extend_from_slice(b"\r\n");
    }
    Ok(answer)
}

sandsock_guest::handler!(Finger);

#[cfg(test)]
mod tests;
