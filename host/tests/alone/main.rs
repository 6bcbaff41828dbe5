//! What needs a process of its own, with one thread: forking, and counting what a process has open. The
//! tests run one after the other on the main thread, so that a client sends before its server serves.

#[path = "../../../tests/harness/client.rs"]
#[allow(dead_code, reason = "the program's tests use all of it")]
mod client;

mod descriptors;
mod fork;

use std::time::Duration;

/// How long a test waits for what must come. It is reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    type Test = (&'static str, fn());
    let tests: [Test; 13] = [
        ("native_handlers_fork", fork::native_handlers_fork),
        ("wasm_handlers_fork", fork::wasm_handlers_fork),
        (
            "only_own_children_are_collected",
            fork::only_own_children_are_collected,
        ),
        (
            "at_max_children_accepting_waits",
            fork::at_max_children_accepting_waits,
        ),
        ("max_children_is_pythons", fork::max_children_is_pythons),
        (
            "failures_in_a_child_are_told_there",
            fork::failures_in_a_child_are_told_there,
        ),
        (
            "a_child_that_dies_is_nobody_elses_end",
            fork::a_child_that_dies_is_nobody_elses_end,
        ),
        (
            "closing_waits_for_children",
            fork::closing_waits_for_children,
        ),
        (
            "closing_cuts_what_does_not_end",
            fork::closing_cuts_what_does_not_end,
        ),
        (
            "shutdown_ends_a_loop_that_forks",
            fork::shutdown_ends_a_loop_that_forks,
        ),
        (
            "starts_and_stops_leave_no_child",
            fork::starts_and_stops_leave_no_child,
        ),
        (
            "a_thread_that_was_started_meanwhile",
            fork::a_thread_that_was_started_meanwhile,
        ),
        (
            "failed_binds_leave_no_descriptor",
            descriptors::failed_binds_leave_no_descriptor,
        ),
    ];
    // Cargo hands on what it was given for all tests.
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let mut passed = 0;
    for (name, test) in tests {
        if wanted.as_ref().is_none_or(|wanted| name.contains(wanted)) {
            test();
            assert!(no_children(), "{name} has left a child");
            println!("test {name} ... ok");
            passed += 1;
        }
    }
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored");
}

/// waitid(2) says so where there is none, ended or not.
pub(crate) fn no_children() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, look) == Err(nix::errno::Errno::ECHILD)
}
