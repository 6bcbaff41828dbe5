//! Unsafe code is counted: what is new is seen where it is reviewed.

use crate::layout::root;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Each file with unsafe code, and how often the word stands in it.
const KNOWN: &str = include_str!("../unsafe_code.txt");

fn count_in(folder: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                count_in(&path, found);
            }
        } else if name.ends_with(".rs") {
            let source = fs::read_to_string(&path).expect("a source file");
            let code = source
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default());
            let count = code
                .flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_'))
                .filter(|word| *word == concat!("un", "safe"))
                .count();
            if count > 0 {
                let path = path.strip_prefix(root()).expect("in the workspace");
                found.insert(path.display().to_string(), count);
            }
        }
    }
}

#[test]
fn there_is_no_more_of_it_than_is_known() {
    let mut found = BTreeMap::new();
    count_in(&root(), &mut found);
    let found: String = found
        .iter()
        .map(|(file, count)| format!("{count:3} {file}\n"))
        .collect();
    assert!(
        found == KNOWN,
        "what there is now is this; where it is meant, it goes into xtask/unsafe_code.txt:\n{found}"
    );
}
