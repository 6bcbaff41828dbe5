use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::{Limit, Size};

fn options(most: u32, size: u64) -> RecordOptions {
    RecordOptions {
        record_max: most,
        record_size: Limit::at(Size(size)),
        ..RecordOptions::default()
    }
}

fn kept(name: Option<&str>, length: usize) -> Kept {
    Kept {
        name: name.map(str::to_owned),
        head: None,
        bytes: vec![b'x'; length],
    }
}

fn batch(name: Option<&str>, length: usize) -> Batch {
    let mut batch = Batch::default();
    batch.push(kept(name, length));
    batch
}

fn file(number: usize) -> String {
    format!("20260101T00000{number}-echo-{number}.jsonl")
}

fn names(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn size(dir: &Path) -> u64 {
    let sizes = names(dir)
        .into_iter()
        .map(|name| dir.join(name).metadata().unwrap().len());
    sizes.sum()
}

#[test]
fn the_oldest_go_and_what_is_not_ours_stays() {
    let dir = tempfile::tempdir().unwrap();
    let others = ["0-notes.txt", "notes.jsonl"];
    for other in others {
        fs::write(dir.path().join(other), "mine").unwrap();
    }
    let mut folder = Folder::new(dir.path(), &options(2, 1 << 20)).unwrap();
    for number in 0..5 {
        folder.write(&batch(Some(&file(number)), 10));
    }
    let expected = [others[0].to_owned(), file(3), file(4), others[1].to_owned()];
    assert_eq!(names(dir.path()), expected);
    // A server that is started later counts what it finds, and what one that was killed has left.
    fs::write(dir.path().join(".sandsock-left"), "half").unwrap();
    let mut folder = Folder::new(dir.path(), &options(2, 1 << 20)).unwrap();
    folder.write(&batch(Some(&file(6)), 10));
    let expected = [others[0].to_owned(), file(4), file(6), others[1].to_owned()];
    assert_eq!(names(dir.path()), expected);
}

#[test]
fn no_mix_of_recordings_is_larger_or_more_than_allowed() {
    for (most, largest) in [(1, 1000), (3, 1000), (100, 1000), (3, 5000)] {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(dir.path(), &options(most, largest)).unwrap();
        for number in 0..300 {
            let name = file(number);
            let name = (number % 7 == 0).then_some(&*name);
            folder.write(&batch(name, 1 + 37 * number % 200));
            let there = names(dir.path()).len();
            assert!(there <= most as usize, "{most} {largest}: {there} files");
            assert!(size(dir.path()) <= largest, "{most} {largest}");
            assert_eq!(folder.bytes, size(dir.path()));
        }
        assert!(size(dir.path()) > 0);
    }
}

#[test]
fn successes_share_a_file_until_it_is_large() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = Folder::new(dir.path(), &options(1000, 80_000)).unwrap();
    for _ in 0..50 {
        folder.append(&[b'x'; 1000]).unwrap();
    }
    let there = names(dir.path());
    assert!((4..=6).contains(&there.len()), "{there:?}");
    assert_eq!(size(dir.path()), 50_000);
    for name in there {
        let mode = dir
            .path()
            .join(name)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn one_that_is_larger_than_all_may_be_is_lost_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = Folder::new(dir.path(), &options(10, 100)).unwrap();
    folder.write(&batch(Some(&file(1)), 60));
    folder.write(&batch(Some(&file(2)), 101));
    assert!(folder.told.is_some(), "it is said");
    assert_eq!(names(dir.path()), [file(1)]);
}

#[test]
fn a_folder_that_vanishes_loses_recordings_and_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("recordings");
    prepare_folder(&place).unwrap();
    let mut folder = Folder::new(&place, &options(10, 1 << 20)).unwrap();
    fs::remove_dir(&place).unwrap();
    assert!(folder.write_file(&file(1), b"x").is_err());
    assert!(folder.append(b"x").is_err());
    prepare_folder(&place).unwrap();
    folder.write(&batch(Some(&file(2)), 10));
    folder.append(b"x").unwrap();
    assert_eq!(names(&place).len(), 2);
}

#[test]
fn a_folder_for_others_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o755, 0o770, 0o701] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = prepare_folder(dir.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }
}

#[test]
fn what_waits_is_written_before_it_ends_and_what_comes_later_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::start(dir.path(), &options(1000, 1 << 20)).unwrap();
    for _ in 0..100 {
        keeper.keep(kept(None, 10));
    }
    keeper.finish();
    assert_eq!(size(dir.path()), 1000);
    keeper.keep(kept(None, 10));
    keeper.finish();
    assert_eq!(size(dir.path()), 1000);
}
