//! strace(1), which counts system calls and puts faults into them.

use std::process::Command;

/// What [`super::Serve::through`] starts the program with: strace with these expressions (`-e`), whose
/// process is not the one that the test started, and writes to `trace`. `None`, with a line that says so,
/// where strace is not installed or a container forbids it.
pub(crate) fn strace(trace: &str, expressions: &[&str]) -> Option<Vec<String>> {
    let mut wrapper: Vec<String> = ["strace", "-D", "-f", "-qq", "-o", trace]
        .map(String::from)
        .into();
    for expression in expressions {
        wrapper.extend(["-e".to_owned(), (*expression).to_owned()]);
    }
    let trial = Command::new("strace")
        .args(["-D", "-f", "-o", "/dev/null", "true"])
        .output();
    let works = trial.is_ok_and(|output| output.status.success() && output.stderr.is_empty());
    if !works {
        eprintln!("SKIPPED: strace does not work here, so there is no {expressions:?}");
    }
    works.then_some(wrapper)
}

/// As [`strace`]: the program's system calls, with these faults put into them (`accept4:error=EMFILE`).
pub(crate) fn faults(faults: &[&str]) -> Option<Vec<String>> {
    let inject: Vec<_> = faults
        .iter()
        .map(|fault| format!("inject={fault}"))
        .collect();
    let calls: Vec<_> = faults
        .iter()
        .map(|fault| fault.split(':').next().expect("a call"))
        .collect();
    let mut expressions = vec![format!("trace={}", calls.join(","))];
    expressions.extend(inject);
    let expressions: Vec<_> = expressions.iter().map(String::as_str).collect();
    strace("/dev/null", &expressions)
}
