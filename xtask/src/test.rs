//! All tests, and what came of them in one line at the end.

use crate::build;
use crate::languages;
use crate::run::{cargo, line, say};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write, stdout};
use std::process::{Command, Stdio};

/// Builds what the tests need and runs them; `arguments` are for `cargo test`.
pub(crate) fn test(arguments: &[String]) -> Result<()> {
    build::program()?;
    build::handlers()?;
    build::test_guests()?;
    languages::build()?;

    let mut total = Total::default();
    let mut tests = cargo();
    tests
        .args(["test", "--release", "--workspace", "--no-fail-fast"])
        .args(arguments);
    let mut failed = Vec::from_iter(run_tests(tests, &mut total)?);
    if arguments.is_empty() {
        failed.extend(run_tests(tests_under_fork(), &mut total)?);
        failed.extend(run_tests(schedules(), &mut total)?);
    }
    say(format!(
        "{} test binaries: {} passed, {} failed, {} ignored",
        total.binaries, total.passed, total.failed, total.ignored
    ));
    if !failed.is_empty() {
        bail!(
            "`{}` failed; what it printed above says which test, and why",
            failed.join("` and `")
        );
    }
    Ok(())
}

/// The tests of the program once more, where they do not name a concurrency themselves.
fn tests_under_fork() -> Command {
    let mut tests = cargo();
    tests
        .args(["test", "--release", "--package", "sandsock-tests"])
        .args(["--test", "main", "--"]);
    for named in [
        "admission::",
        "attacks::",
        "embedding::",
        "faults::",
        "fork::",
        "hostile_clients::",
        "kills::",
        "languages::",
        "leaks::",
        "matrix::",
        "parity::",
        "races::",
        "soak::",
    ] {
        tests.args(["--skip", named]);
    }
    tests.env("SANDSOCK_TEST_CONCURRENCY", "fork");
    tests
}

/// The server's threads, led through thousands of schedules: the library, built with other locks and threads.
fn schedules() -> Command {
    let mut tests = cargo();
    tests
        .args(["test", "--release", "--package", "sandsock", "--lib"])
        .args(["--features", "schedules", "--", "schedules::"]);
    tests
}

/// Runs tests and adds up what came of them; the command line of those that failed.
fn run_tests(mut tests: Command, total: &mut Total) -> Result<Option<String>> {
    let line = line(&tests);
    say(&line);
    let mut child = tests
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let output = child.stdout.take().context("no pipe to the tests")?;
    let mut out = stdout().lock();
    let mut bytes = Vec::new();
    let mut output = BufReader::new(output);
    while output.read_until(b'\n', &mut bytes)? > 0 {
        out.write_all(&bytes)?;
        total.add(&String::from_utf8_lossy(&bytes));
        bytes.clear();
    }
    Ok((!child.wait()?.success()).then_some(line))
}

/// What the test runners' closing lines add up to.
#[derive(Default, Debug, PartialEq)]
struct Total {
    binaries: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Total {
    /// Counts a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let count = |word: &str| -> u32 {
            let before = result
                .split([';', '.'])
                .find_map(|part| part.trim().strip_suffix(word));
            before
                .and_then(|number| number.trim().parse().ok())
                .unwrap_or(0)
        };
        self.binaries += 1;
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up_and_others_do_not_count() {
        let mut total = Total::default();
        total.add("running 3 tests\n");
        total.add("test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n");
        total.add(
            "test result: FAILED. 4 passed; 5 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(
            total,
            Total {
                binaries: 2,
                passed: 6,
                failed: 5,
                ignored: 1
            }
        );
    }
}
