//! What `serve --record` has written, and what `replay` and `test` make of it.

use super::{Finished, sandsock};
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// One request of a file, as a text editor would show it.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// The file that it is in, alone or with others.
    pub(crate) file: PathBuf,
    /// The header, and the events behind it.
    pub(crate) lines: Vec<Value>,
}

impl Recording {
    /// All of a folder, the oldest file first.
    pub(crate) fn all_in(folder: &Path) -> Vec<Self> {
        let files = fs::read_dir(folder).expect("a folder of recordings");
        let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
        files.sort();
        files.iter().flat_map(|file| Self::all_of(file)).collect()
    }

    /// All of a file.
    pub(crate) fn all_of(file: &Path) -> Vec<Self> {
        let text = fs::read_to_string(file).expect("a recording is text");
        let mut recordings: Vec<Self> = Vec::new();
        for line in text.lines() {
            let line: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error} in {}: {line}", file.display()));
            match (recordings.last_mut(), line["recording"].is_null()) {
                (Some(recording), true) => recording.lines.push(line),
                _ => recordings.push(Recording {
                    file: file.to_owned(),
                    lines: vec![line],
                }),
            }
        }
        recordings
    }

    /// A field of the header.
    pub(crate) fn header(&self, field: &str) -> &Value {
        &self.lines[0][field]
    }

    /// All events of this name, in their order.
    pub(crate) fn events(&self, name: &str) -> Vec<&Value> {
        let lines = self.lines.iter().skip(1);
        lines.filter_map(|line| line.get(name)).collect()
    }

    /// The texts of all events of this name, one behind the other.
    pub(crate) fn text(&self, name: &str) -> String {
        let events = self.events(name).into_iter();
        events
            .map(|event| event.as_str().expect("a text"))
            .collect()
    }

    /// How the request ended.
    pub(crate) fn outcome(&self) -> &str {
        let last = self.lines.last().expect("a line");
        last["ended"]["outcome"].as_str().expect("an outcome")
    }

    /// The same as a file.
    pub(crate) fn to_file_text(&self) -> String {
        let lines = self.lines.iter();
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// The same for a person who looks at a failed test.
    fn shown(&self) -> String {
        let lines = self.lines.iter().map(Value::to_string);
        lines.fold(String::new(), |mut text, line| {
            let cut: String = line.chars().take(300).collect();
            let _ = writeln!(text, "  {cut}");
            text
        })
    }

    /// It runs again, by the handler that was recorded, and does the same.
    #[track_caller]
    pub(crate) fn replays_the_same(&self) {
        let id = self.header("id").to_string();
        let replayed = sandsock(
            &[
                OsStr::new("replay"),
                self.file.as_ref(),
                "--id".as_ref(),
                id.as_ref(),
            ],
            b"",
        );
        let expected = format!("request {id}: the same: {}\n", self.outcome());
        assert_eq!(
            replayed.text(),
            expected,
            "{}\n{}",
            replayed.stderr,
            self.shown()
        );
        assert_eq!(replayed.code, 0, "{replayed:?}");
    }
}

/// `sandsock replay` with another handler.
pub(crate) fn replay(file: &Path, handler: &Path) -> Finished {
    sandsock(
        &[OsStr::new("replay"), file.as_ref(), handler.as_ref()],
        b"",
    )
}

/// `sandsock test` with these options, separated by blanks.
pub(crate) fn test_recordings(folder: &Path, handler: &Path, options: &str) -> Finished {
    let mut args = vec![OsStr::new("test"), folder.as_ref(), handler.as_ref()];
    args.extend(options.split_whitespace().map(OsStr::new));
    sandsock(&args, b"")
}
