//! Where the log goes may be full, closed or stuck: no request is held up by that, and nothing ends.

use crate::harness::{Op, Serve, Server, script, wat};
use std::fs::OpenOptions;
use std::process::Command;

/// Serves with standard error sent elsewhere by a shell.
fn logging_to(redirection: &str) -> Server {
    Serve::new(wat("script"))
        .through(&["bash", "-c", &format!("exec \"$@\" {redirection}"), "bash"])
        .start()
}

/// Far more lines than a pipe holds.
fn serves_what_logs_a_lot(server: &mut Server) {
    let line = "x".repeat(200);
    let orders = [vec![Op::Print(&line); 50], vec![Op::Write("done")]].concat();
    for _ in 0..100 {
        assert_eq!(server.ask(script(&orders)), b"done");
    }
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn a_full_disk_is_no_reason_to_stop() {
    serves_what_logs_a_lot(&mut logging_to("2>/dev/full"));
}

#[test]
fn a_closed_pipe_is_no_reason_to_stop() {
    serves_what_logs_a_lot(&mut logging_to("2> >(exit 0)"));
}

#[test]
fn a_closed_standard_error_is_no_reason_to_stop() {
    serves_what_logs_a_lot(&mut logging_to("2>&-"));
}

#[test]
fn a_reader_that_is_stuck_holds_no_request_up() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("log");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    // For reading and writing, so that opening waits for nobody; it is never read.
    let _stuck = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    serves_what_logs_a_lot(&mut logging_to(&format!("2>{}", fifo.display())));
}
