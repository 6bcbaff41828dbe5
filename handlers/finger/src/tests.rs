//! The queries of RFC 1288, section 2.3, on a folder of three users.
#![cfg(not(target_family = "wasm"))]

use std::path::PathBuf;

use sandsock_guest::test::run;
use tempfile::TempDir;

use super::*;

/// Beside the users' files lies what must not be told of.
fn folder() -> (TempDir, PathBuf) {
    let outer = tempfile::tempdir().expect("a temporary folder");
    let folder = outer.path().join("finger");
    fs::create_dir_all(folder.join("a-folder")).expect("a folder");
    for (name, text) in [
        ("finger/ada", "Ada Lovelace\nPlan: the Analytical Engine\n"),
        ("finger/jon.postel", "Jon Postel\r\nPlan:\r\n\r\nRFCs"),
        ("finger/nobody", ""),
        ("finger/.hidden", "hidden\n"),
        ("finger/not a name", "not a name\n"),
        ("secret", "secret\n"),
    ] {
        fs::write(outer.path().join(name), text).expect("a file");
    }
    (outer, folder)
}

fn finger(query: &str) -> String {
    let (_outer, folder) = folder();
    let answer = answer(query, &folder).expect("an answer");
    String::from_utf8(answer).expect("text")
}

#[test]
fn a_name_is_answered_with_its_file() {
    assert_eq!(
        finger("ada\r\n"),
        "Ada Lovelace\r\nPlan: the Analytical Engine\r\n"
    );
}

#[test]
fn every_line_of_an_answer_ends_with_crlf() {
    assert_eq!(
        finger("jon.postel\r\n"),
        "Jon Postel\r\nPlan:\r\n\r\nRFCs\r\n"
    );
}

#[test]
fn an_empty_query_lists_the_users() {
    assert_eq!(finger("\r\n"), "ada\r\njon.postel\r\nnobody\r\n");
}

#[test]
fn a_client_may_leave_out_the_carriage_return_or_the_whole_end() {
    assert_eq!(finger("ada\n"), finger("ada\r\n"));
    assert_eq!(finger("ada"), finger("ada\r\n"));
}

#[test]
fn the_token_for_more_is_understood() {
    assert_eq!(finger("/W ada\r\n"), finger("ada\r\n"));
    assert_eq!(finger("/W   ada\r\n"), finger("ada\r\n"));
    assert_eq!(finger("/W\r\n"), finger("\r\n"));
    assert_eq!(finger("/W \r\n"), finger("\r\n"));
}

#[test]
fn forwarding_is_refused() {
    let denied = "Finger forwarding service denied\r\n";
    for query in [
        "ada@host",
        "@host",
        "ada@host1@host2",
        "/W ada@host",
        "/W @host",
        "../x@host",
    ] {
        assert_eq!(finger(&format!("{query}\r\n")), denied, "{query}");
    }
}

#[test]
fn an_unknown_name_is_no_user() {
    for query in ["charles", "a-folder", "Ada"] {
        assert_eq!(finger(query), "finger: no such user\r\n", "{query}");
    }
}

#[test]
fn what_is_not_a_name_reads_no_file() {
    let refused = "finger: not the name of a user\r\n";
    for query in [
        ".hidden",
        ".",
        "..",
        "../secret",
        "../finger/ada",
        "/etc/passwd",
        "a-folder/../ada",
        "not a name",
        "ada jon.postel",
        "ada\0",
        "ada;ls",
        "ad\u{e4}",
        "*",
        "/w ada",
    ] {
        assert_eq!(finger(query), refused, "{query:?}");
    }
}

#[test]
fn a_name_longer_than_a_file_name_can_be_is_no_user() {
    assert_eq!(finger(&"x".repeat(512)), "finger: no such user\r\n");
}

#[test]
fn a_user_of_whom_nothing_is_told_is_an_empty_answer() {
    assert_eq!(finger("nobody\r\n"), "");
}

#[test]
fn a_folder_that_was_not_granted_is_an_error_that_says_what_to_do() {
    let mut request = Request::in_memory("ada\r\n");
    let error = run::<Finger>(&mut request).unwrap_err();
    assert!(error.to_string().contains("--dir FOLDER::/finger"));
    assert!(request.written().is_empty());
}
