//! strace(1), which counts system calls and puts faults into them.

use super::{PATIENCE, Process};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

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
    let expressions = expressions(faults);
    let expressions: Vec<_> = expressions.iter().map(String::as_str).collect();
    strace("/dev/null", &expressions)
}

fn expressions(faults: &[&str]) -> Vec<String> {
    let calls: Vec<_> = faults
        .iter()
        .map(|fault| fault.split(':').next().expect("a call"))
        .collect();
    let inject = faults.iter().map(|fault| format!("inject={fault}"));
    [format!("trace={}", calls.join(","))]
        .into_iter()
        .chain(inject)
        .collect()
}

/// Faults in the system calls of processes that run already, from now until this is dropped.
pub(crate) struct Faults(Child);

impl Faults {
    /// Puts these faults into the calls of all threads of this process, and of the children that it will have.
    pub(crate) fn put_into(process: Process, faults: &[&str]) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &process.0.to_string(), "-o", "/dev/null"]);
        for expression in expressions(faults) {
            command.args(["-e", &expression]);
        }
        let mut strace = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace starts");
        // It says so of each thread.
        let mut said = BufReader::new(strace.stderr.take().expect("a pipe")).lines();
        let attached = said.by_ref().flatten().take(1).collect::<Vec<_>>();
        assert!(attached[0].contains("attached"), "{attached:?}");
        let is_traced = || process.tasks_with("TracerPid", &strace.id().to_string());
        let until = Instant::now() + PATIENCE;
        while is_traced() < process.threads() {
            assert!(Instant::now() < until, "not all threads are traced");
        }
        // What it says later is of no interest, but must not block it.
        std::thread::spawn(move || said.for_each(drop));
        Faults(strace)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // It detaches, and ends; the process runs on.
        Process(self.0.id()).signal(super::signal::INT);
        let _ = self.0.wait();
    }
}
