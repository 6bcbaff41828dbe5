//! A private folder in which compiled code is kept.
//!
//! Loading compiled code runs whatever it says, so nothing is taken from a folder or a file that
//! somebody else could have written. A name is made from everything that the code depends on.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::Engine;

use super::compiled::Compiled;
use super::snapshot::{Surroundings, may_want_snapshot};
use crate::events;
use crate::private::{is_private, make_private};

/// Files that are kept; the oldest go first.
const MOST: usize = 128;

/// At the end of each file there is a digest of what stands before it, in bytes: a disk that was full
/// or failed must not have a say in what is run.
const DIGEST: usize = 32;

/// Why a folder is not used as a cache.
#[derive(Debug, thiserror::Error)]
#[error("cannot keep compiled code in {}: {problem}", folder.display())]
pub struct CacheError {
    /// The folder.
    pub folder: PathBuf,
    /// What is wrong, and what to do.
    pub problem: String,
}

/// A private folder of compiled code.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Uses a folder, and makes it where it is not there (mode 0700).
    ///
    /// # Errors
    ///
    /// It cannot be made, or it is not ours alone.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        let fail = |problem: String| CacheError {
            folder: folder.to_owned(),
            problem,
        };
        let is_private = make_private(folder, 0o077).map_err(|error| fail(error.to_string()))?;
        if !is_private {
            return Err(fail(
                "it has to belong to the user that serves, with mode 0700, so that nobody else can write to it: `chown` and `chmod 700` it, or use --cache off".to_owned(),
            ));
        }
        Ok(Cache {
            folder: folder.to_owned(),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The user's cache folder for this program; `None` where there is no home. Without `HOME` the system's list of users is
    /// asked, which loads libraries: once, before the program gives up what that takes.
    pub fn default_folder() -> Option<PathBuf> {
        use etcetera::BaseStrategy;
        static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
        let find = || {
            let base = etcetera::choose_base_strategy().ok()?;
            Some(base.cache_dir().join("sandsock"))
        };
        FOLDER.get_or_init(find).clone()
    }

    /// What `compile` makes of `file`, and of `surroundings` where its code depends on them, from the folder where it
    /// is there; otherwise it is made and kept.
    ///
    /// # Errors
    ///
    /// Those of `compile`. A cache that fails costs time and nothing else.
    pub(crate) fn get_or_compile<E>(
        &self,
        engine: &Engine,
        file: &[u8],
        surroundings: Option<&Surroundings>,
        compile: impl FnOnce() -> Result<Compiled, E>,
    ) -> Result<Compiled, E> {
        let path = self.folder.join(name(engine, file, surroundings));
        if let Some(compiled) = self.read(&path).and_then(Compiled::from_cache) {
            return Ok(compiled);
        }
        let compiled = compile()?;
        if let Err(error) = self.write(&path, compiled.bytes()) {
            events::warning(&format!(
                "compiled code cannot be kept in {}: {error}",
                self.folder.display()
            ));
        }
        Ok(compiled)
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let mut file = fs::File::open(path).ok()?;
        if !is_private(&file.metadata().ok()?, 0o022) {
            events::warning(&format!(
                "{} is not used: others could have written it",
                path.display()
            ));
            return None;
        }
        let mut entry = Vec::new();
        io::Read::read_to_end(&mut file, &mut entry).ok()?;
        let code = entry
            .split_last_chunk::<DIGEST>()
            .filter(|(code, digest)| Sha256::digest(code)[..] == digest[..])
            .map(|(code, _)| code.len());
        match code {
            Some(length) => {
                entry.truncate(length);
                Some(entry)
            }
            None => {
                events::warning(&format!("compiled code in {} is damaged", path.display()));
                None
            }
        }
    }

    /// Whoever reads sees the whole file or none.
    fn write(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        self.prune();
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.folder)?;
        file.write_all(code)?;
        file.write_all(&Sha256::digest(code))?;
        file.persist(path)?;
        Ok(())
    }

    /// Only what has the name of an entry is ours to remove: the folder may hold other things.
    fn prune(&self) {
        let Ok(folder) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut entries: Vec<(SystemTime, PathBuf)> = folder
            .filter_map(|file| {
                let file = file.ok().filter(|file| is_entry(&file.file_name()))?;
                Some((file.metadata().ok()?.modified().ok()?, file.path()))
            })
            .collect();
        self.prune_unfinished();
        entries.sort();
        for (_, path) in entries.iter().rev().skip(MOST - 1) {
            // Another program may have been faster.
            let _ = fs::remove_file(path);
        }
    }

    /// What programs have left that were killed while they wrote an entry.
    fn prune_unfinished(&self) {
        let unfinished = fs::read_dir(&self.folder).into_iter().flatten();
        for file in unfinished.filter_map(Result::ok) {
            let is_ours = file.file_name().to_string_lossy().starts_with(UNFINISHED);
            let modified = file.metadata().and_then(|found| found.modified()).ok();
            let age = modified.and_then(|modified| modified.elapsed().ok());
            if is_ours && age.is_some_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// How the name of an entry begins that is being written.
const UNFINISHED: &str = ".sandsock-";

/// Nobody writes an entry for so long.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The ending of an entry's name; before it stands a digest in hexadecimal.
const ENDING: &str = ".cwasm";

fn is_entry(name: &std::ffi::OsStr) -> bool {
    name.to_str()
        .and_then(|name| name.strip_suffix(ENDING))
        .is_some_and(|digest| {
            digest.len() == 2 * DIGEST && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// How entries are laid out: a new number for each change.
const LAYOUT: u8 = 4;

/// Digest of the file, this program's version, the engine's version and its settings; and of what the file's
/// initialisation sees, if it could have a snapshot.
fn name(engine: &Engine, file: &[u8], surroundings: Option<&Surroundings>) -> String {
    struct Sink(Sha256);
    impl Hasher for Sink {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut sink = Sink(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut sink);
    sink.0.update(env!("CARGO_PKG_VERSION"));
    sink.0.update([LAYOUT]);
    sink.0.update((file.len() as u64).to_le_bytes());
    sink.0.update(file);
    if may_want_snapshot(file) {
        sink.0
            .update(surroundings.map_or(Vec::new(), Surroundings::to_bytes));
    }
    let digest = sink.0.finalize();
    let mut name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    name.push_str(ENDING);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn only_a_private_folder_is_used() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("a/b");
        Cache::open(&folder).unwrap();
        assert_eq!(0o700, fs::metadata(&folder).unwrap().mode() & 0o777);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
        assert!(Cache::open(&folder).is_err());
    }

    #[test]
    fn what_was_left_unfinished_long_ago_goes() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        let cache = Cache::open(&folder).unwrap();
        let left = |name: &str, age: Duration| {
            let file = fs::File::create(folder.join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        left(".sandsock-old", 2 * ABANDONED);
        left(".sandsock-new", ABANDONED / 2);
        left("not-ours", 2 * ABANDONED);
        cache.prune();
        let is_there = |name: &str| folder.join(name).exists();
        assert!(!is_there(".sandsock-old") && is_there(".sandsock-new") && is_there("not-ours"));
    }

    #[test]
    fn the_oldest_files_go() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        let cache = Cache::open(&folder).unwrap();
        for number in 0..MOST + 10 {
            fs::write(folder.join(format!("{number}.txt")), "not ours").unwrap();
            let name = format!("{number:064x}.cwasm");
            cache.write(&folder.join(name), b"x").unwrap();
        }
        assert_eq!(2 * MOST + 10, fs::read_dir(&folder).unwrap().count());
    }
}
