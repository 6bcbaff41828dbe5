//! `run --watch`: again whenever the handler's file or the input's changes.
//!
//! What is watched are the folders that lead to the files, with inotify(7): a compiler puts a new file in the old
//! one's place, and a deployment turns a link over. Whether something has changed is then seen from the files.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::Run;
use crate::apart::places;
use crate::cli::signals::{self, Signal};
use crate::request::lock;
use crate::text::Printable;

/// A build writes more than one file, and more than once: nothing may happen for so long, and then it is over.
const QUIET: Duration = Duration::from_millis(50);

/// A folder in which there is always something going on is looked at all the same.
const AT_LAST: Duration = Duration::from_secs(1);

enum Message {
    /// Something has happened in a folder.
    Happened,
    /// It is asked for.
    Again,
    Stop,
}

/// Runs, and runs again, until a signal ends it.
pub(super) fn main(run: &mut Run) -> anyhow::Result<ExitCode> {
    let (sender, messages) = mpsc::channel();
    let (happened, request) = (sender.clone(), run.request.clone());
    let taken = signals::take().context("signals cannot be listened for")?;
    signals::listen(taken, move |signal| {
        let message = match signal {
            Signal::Stop(_) => {
                if let Some(request) = &*lock(&request) {
                    request.cut();
                }
                Message::Stop
            }
            Signal::Reload => Message::Again,
            Signal::Child => return,
        };
        // Where nobody receives any more the program is at its end.
        let _ = sender.send(message);
    })
    .context("signals cannot be listened for")?;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC).context("files cannot be watched")?;
    let inotify = Arc::new(inotify);
    let reading = inotify.clone();
    thread::Builder::new()
        .name("watch".to_owned())
        .stack_size(256 << 10)
        .spawn(move || {
            // An error that is no signal's is one of the descriptor, which is ours.
            while matches!(reading.read_events(), Ok(_) | Err(Errno::EINTR)) {
                if happened.send(Message::Happened).is_err() {
                    return;
                }
            }
        })
        .context("no thread is to be had")?;
    let files: Vec<PathBuf> = [Some(run.args.handler.handler.as_path()), run.input.file()]
        .into_iter()
        .flatten()
        .map(Path::to_owned)
        .collect();
    loop {
        // Before they are read: what changes meanwhile is seen afterwards.
        watch(&inotify, &files)?;
        let seen = identities(&files);
        if let Err(error) = run.once() {
            // A build that is broken is what one sits here to mend.
            let error = format!("{error:#}");
            let _ = writeln!(io::stderr(), "error: {}", Printable(&error));
        }
        let log = &run.args.log;
        if log.tells_requests() && !log.is_json() {
            say(&files);
        }
        if wait(&inotify, &messages, &files, &seen)? == Next::Stop {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Run,
    Stop,
}

fn wait(
    inotify: &Inotify,
    messages: &Receiver<Message>,
    files: &[PathBuf],
    seen: &[Option<Identity>],
) -> anyhow::Result<Next> {
    loop {
        match messages.recv() {
            Ok(Message::Happened) => {}
            Ok(Message::Again) => return Ok(Next::Run),
            Ok(Message::Stop) | Err(_) => return Ok(Next::Stop),
        }
        let until = Instant::now() + AT_LAST;
        while Instant::now() < until {
            match messages.recv_timeout(QUIET) {
                Ok(Message::Happened) => {}
                Ok(Message::Again) => return Ok(Next::Run),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(Next::Stop),
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        // A folder may have gone, or come, or be another one now.
        watch(inotify, files)?;
        let now = identities(files);
        // While a file is away it is about to come again.
        if now != seen && now.iter().all(Option::is_some) {
            return Ok(Next::Run);
        }
    }
}

/// What makes a file another one, or changes it.
type Identity = (u64, u64, i64, i64, u64);

fn identities(files: &[PathBuf]) -> Vec<Option<Identity>> {
    let identity = |found: fs::Metadata| {
        (
            found.dev(),
            found.ino(),
            found.mtime(),
            found.mtime_nsec(),
            found.size(),
        )
    };
    let look = |file: &PathBuf| fs::metadata(file).ok().map(identity);
    files.iter().map(look).collect()
}

/// Watches the folders that lead to the files. A folder that is watched already stays so.
fn watch(inotify: &Inotify, files: &[PathBuf]) -> anyhow::Result<()> {
    let flags = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    for file in files {
        let mut folders = places(file);
        // The file itself may be a link, or away.
        folders.retain(|place| place != file);
        folders.extend(file.parent().map(Path::to_owned));
        for place in folders {
            // Of a folder that is not there, the one in which it will be.
            let there = place.ancestors().find(|folder| folder.is_dir());
            let there = there.unwrap_or(Path::new("."));
            match inotify.add_watch(there, flags) {
                // Gone meanwhile: its own folder has told.
                Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("{} cannot be watched", there.display()));
                }
            }
        }
    }
    Ok(())
}

fn say(files: &[PathBuf]) {
    let names: Vec<_> = files
        .iter()
        .map(|file| Printable(&file.to_string_lossy()).to_string())
        .collect();
    let names = names.join(" or ");
    // Who does not read it sees it from what happens.
    let _ = writeln!(io::stderr(), "watching   {names}; Ctrl-C ends it");
}
