//! The handler of the article that this project begins with, in Python's `socketserver` and in the Python SDK.

use super::{is_there, path_with_compilers};
use crate::harness::{Serve, workspace};
use std::fs;
use std::process::Command;

const FOLDER: &str = "guest-sdk/python/examples/article";

#[test]
fn it_differs_in_its_import_and_its_last_lines_and_in_nothing_else() {
    let read = |name: &str| fs::read_to_string(workspace().join(FOLDER).join(name)).unwrap();
    let (article, ours) = (read("server_article.py"), read("server_sandsock.py"));
    let article: Vec<_> = article.lines().collect();
    let ours: Vec<_> = ours.lines().collect();
    let last_lines = article
        .iter()
        .position(|line| line.starts_with("if __name__"))
        .expect("its last lines");
    assert_eq!(article[0], "import socketserver");
    assert_eq!(ours[0], "import sandsock as socketserver");
    assert!(last_lines > 5 && article[1].starts_with("class myTCPHandle("));
    assert_eq!(article[1..last_lines], ours[1..last_lines]);
    assert_eq!(ours[last_lines..], ["socketserver.serve(myTCPHandle)"]);
}

#[test]
fn it_answers_as_in_the_article() {
    if !is_there("componentize-py") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let built = dir.path().join("server.wasm");
    let output = Command::new("componentize-py")
        .arg("-d")
        .arg(workspace().join("wit"))
        .args(["-w", "full-handler", "componentize", "-p", FOLDER])
        .args(["-p", "guest-sdk/python", "server_sandsock", "-o"])
        .arg(&built)
        .current_dir(workspace())
        .env("PATH", path_with_compilers())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let server = Serve::new(&built).with("--compile-timeout 10m").start();
    let client = server.connect();
    let address = client.address();
    assert_eq!(client.ask("hello,server\n"), "你好".as_bytes());
    for said in [format!("connet from {address}"), "hello,server".to_owned()] {
        server.log().wait_for_line(|line| line.contains(&said));
    }
}
