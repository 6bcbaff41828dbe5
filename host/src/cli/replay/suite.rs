//! `sandsock test`: a folder of recordings as a suite of tests.

use std::fs;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, bail};
use clap::Args;

use super::{LoadArgs, Player, Replayed, read};
use crate::cli::log::{self, LogArgs};
use crate::recording::Recording;

/// Runs all recordings of a folder again, each as a test: the handler has to do what is recorded. Exits 0 only
/// where it does.
#[derive(Args)]
pub(in crate::cli) struct TestArgs {
    /// The folder: its files that end in .jsonl
    dir: PathBuf,
    /// The handler
    handler: PathBuf,
    /// Write what the handler does now into the recordings that differ
    #[arg(long)]
    update: bool,
    /// Requests at one time [default: the processors that there are]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    #[command(flatten)]
    load: LoadArgs,
}

/// One recording of a file.
struct Case {
    file: usize,
    name: String,
    recording: Recording,
}

pub(in crate::cli) fn main(args: TestArgs) -> anyhow::Result<ExitCode> {
    log::start(&LogArgs::quiet());
    let files = files(&args.dir)?;
    let mut cases = Vec::new();
    for (file, path) in files.iter().enumerate() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let recordings = read(path)?;
        let is_one = recordings.len() == 1;
        cases.extend(recordings.into_iter().map(|recording| Case {
            file,
            name: match is_one {
                true => name.to_string(),
                false => format!("{name}, request {}", recording.header.request.id),
            },
            recording,
        }));
    }
    let jobs = args.jobs.map_or_else(
        || thread::available_parallelism().map_or(1, NonZeroUsize::get),
        NonZeroUsize::get,
    );
    let jobs = jobs.min(cases.len()).min(1024);
    let player = Player::new(&args.load, u32::try_from(jobs).unwrap_or(1));
    let mut differing = 0;
    let mut stdout = io::stdout().lock();
    let mut replayed = play_all(&cases, jobs, |case| {
        player.play(&case.recording, &args.handler)
    })?;
    for (case, replayed) in cases.iter().zip(&replayed) {
        if replayed.is_same() {
            writeln!(stdout, "ok       {}", case.name)?;
            continue;
        }
        differing += 1;
        let word = if args.update { "updated" } else { "FAILED " };
        writeln!(stdout, "{word}  {}", case.name)?;
        for line in replayed
            .differences
            .iter()
            .chain(&replayed.notes)
            .chain(&replayed.lacks)
        {
            writeln!(stdout, "         {line}")?;
        }
    }
    let same = cases.len() - differing;
    let summary = match args.update {
        true => format!("{same} the same, {differing} updated"),
        false => format!("{same} passed, {differing} failed"),
    };
    writeln!(stdout, "{} recordings: {summary}", cases.len())?;
    if args.update {
        for (number, path) in files.iter().enumerate() {
            let of_it = cases.iter().zip(&mut replayed);
            let of_it: Vec<_> = of_it.filter(|(case, _)| case.file == number).collect();
            if of_it.iter().any(|(_, replayed)| !replayed.is_same()) {
                let mut bytes = Vec::new();
                for (case, replayed) in of_it {
                    let new = &mut replayed.recording;
                    // When and where it was recorded stays.
                    let old = &case.recording.header;
                    new.header.request.time.clone_from(&old.request.time);
                    let handler = &mut new.header.service.handler;
                    handler.file.clone_from(&old.service.handler.file);
                    bytes.extend(new.to_bytes());
                }
                write(path, &bytes)?;
            }
        }
    }
    Ok(match differing == 0 || args.update {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn files(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let what = || format!("cannot read {}", dir.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(what)? {
        let path = entry.with_context(what)?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!(
            "{} has no recordings: `sandsock serve --record` writes them, with the ending .jsonl",
            dir.display()
        );
    }
    files.sort();
    Ok(files)
}

/// In the order of the cases, however they end.
fn play_all(
    cases: &[Case],
    jobs: usize,
    play: impl Fn(&Case) -> anyhow::Result<Replayed> + Sync,
) -> anyhow::Result<Vec<Replayed>> {
    let next = AtomicUsize::new(0);
    let (sender, played) = mpsc::channel();
    let mut played: Vec<_> = thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let (next, play) = (&next, &play);
            scope.spawn(move || {
                while let Some((number, case)) = Some(next.fetch_add(1, Relaxed))
                    .and_then(|number| Some((number, cases.get(number)?)))
                {
                    let result = play(case).with_context(|| case.name.clone());
                    if sender.send((number, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        played.iter().collect()
    });
    played.sort_by_key(|(number, _)| *number);
    played.into_iter().map(|(_, result)| result).collect()
}

/// Whole, or not at all.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let what = || format!("cannot write {}", path.display());
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(what)?;
    file.write_all(bytes).with_context(what)?;
    // Who could read the test can read it still.
    let mode = fs::metadata(path).with_context(what)?.permissions();
    file.as_file().set_permissions(mode).with_context(what)?;
    file.persist(path).with_context(what)?;
    Ok(())
}
