//! Granted folders as a recording has them, for a replay.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{EntryKind, Event, Recording};
use crate::config::DirGrant;

/// Makes the folders anew that a recording has something of, in a folder that goes with the result.
///
/// # Errors
///
/// What the system says.
pub(crate) fn restore(recording: &Recording) -> io::Result<(TempDir, Vec<DirGrant>)> {
    let home = tempfile::tempdir()?;
    let mut grants = Vec::new();
    for (number, (guest, writable)) in recording.header.service.handler.dirs.iter().enumerate() {
        let host = home.path().join(number.to_string());
        fs::create_dir(&host)?;
        grants.push(DirGrant {
            host,
            guest: guest.clone(),
            writable: *writable,
        });
    }
    let place = |folder: &str, path: &str| {
        let grant = grants.iter().find(|grant| grant.guest == folder)?;
        Some(grant.host.join(beneath(path)?))
    };
    // The first time that it was seen is what counts: later it may have been changed by the handler itself.
    for timed in recording.events.iter().rev() {
        match &timed.event {
            Event::Folder {
                folder,
                path,
                entries,
            } => {
                let Some(folder) = place(folder, path) else {
                    continue;
                };
                fs::create_dir_all(&folder)?;
                for entry in entries {
                    let Some(name) = beneath(&entry.name) else {
                        continue;
                    };
                    let path = folder.join(name);
                    if entry.kind == EntryKind::Folder {
                        fs::create_dir_all(&path)?;
                    } else if !path.exists() {
                        let file = File::create(&path)?;
                        file.set_len(entry.size)?;
                        modified(&file, entry.modified)?;
                    }
                }
            }
            Event::File {
                folder,
                path,
                modified: at,
                content,
            } => {
                let Some(path) = place(folder, path) else {
                    continue;
                };
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder)?;
                }
                let mut file = File::create(&path)?;
                file.write_all(&content.0)?;
                modified(&file, *at)?;
            }
            _ => {}
        }
    }
    Ok((home, grants))
}

/// A recording may come from anywhere: nothing of it lies outside the folder.
fn beneath(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let is_beneath = path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    is_beneath.then(|| path.to_owned())
}

fn modified(file: &File, seconds: i64) -> io::Result<()> {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    file.set_modified(SystemTime::UNIX_EPOCH + since)
}
