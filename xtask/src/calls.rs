//! System calls that the program makes and is not allowed: all tests under `--harden log`, and what the kernel tells.

use crate::run::{cargo, run, say};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

/// Where the kernel's log is read; where it is told to keep no lines back (proc_sys_kernel(5)).
const LOG: &str = "/dev/kmsg";
const RATE: &str = "/proc/sys/kernel/printk_ratelimit";

/// `O_NONBLOCK`, for the log: what is there is read, and nothing waited for.
const NO_WAIT: i32 = 0o4000;

/// Runs the tests of the program; `arguments` are the test runner's.
pub(crate) fn calls(arguments: &[String]) -> Result<()> {
    let mut options = File::options();
    let log = options.read(true).custom_flags(NO_WAIT).open(LOG);
    let mut log =
        log.with_context(|| format!("cannot read {LOG}: be root, on Linux with audit"))?;
    log.seek(SeekFrom::End(0))?;
    let rate = fs::read_to_string(RATE)?;
    fs::write(RATE, "0")?;
    let mut tests = cargo();
    tests
        .args(["test", "--release", "--package", "sandsock-tests"])
        .args(["--test", "main", "--"])
        .args(arguments)
        .env("SANDSOCK_TEST_HARDEN", "log");
    let tested = run(&mut tests);
    fs::write(RATE, rate)?;
    let found = misses(&mut BufReader::new(log))?;
    for ((process, call), times) in &found {
        say(format!(
            "{process} has made call {call} {times} times: `ausyscall {call}` names it"
        ));
    }
    tested?;
    if !found.is_empty() {
        bail!(
            "each call belongs into a list of host/src/harden/calls/lists.rs, or is not to be made"
        );
    }
    say("no call was made that is not allowed");
    Ok(())
}

/// Processes by their names, calls by their numbers, and how often.
fn misses(log: &mut impl BufRead) -> Result<BTreeMap<(String, u32), u32>> {
    let mut found = BTreeMap::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        match log.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(found),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(found),
            // What was there was overwritten meanwhile (Linux, ABI/testing/dev-kmsg).
            Err(error) if error.kind() == ErrorKind::BrokenPipe => continue,
            Err(error) => return Err(error.into()),
        }
        if let Some(miss) = miss(&String::from_utf8_lossy(&line)) {
            *found.entry(miss).or_default() += 1;
        }
    }
}

/// What a line of the log says of this program: `… type=1326 … comm="sandsock" exe="…/sandsock" … syscall=41 …`.
fn miss(line: &str) -> Option<(String, u32)> {
    let value = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split([' ', '"']).next()
    };
    let is_ours = line.contains("type=1326") && value(" exe=\"")?.ends_with("/sandsock");
    let call = value(" syscall=")?.parse().ok()?;
    is_ours.then_some((value(" comm=\"")?.to_owned(), call))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_names_process_and_call() {
        let line = r#"5,12,99,-;audit: type=1326 audit(1.6:2): auid=4 pid=10 comm="loading" exe="/x/release/sandsock" sig=0 arch=c000003e syscall=41 compat=0"#;
        assert_eq!(miss(line), Some(("loading".to_owned(), 41)));
        assert_eq!(miss(&line.replace("1326", "1327")), None);
        assert_eq!(miss(&line.replace("release/sandsock", "bin/python3")), None);
        assert_eq!(miss("6,1,2,-;eth0: up"), None);
    }
}
