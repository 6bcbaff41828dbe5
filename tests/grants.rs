//! What of the machine a handler sees: by default nothing; else what the operator granted. Of a program
//! there is the environment that tcpserver gives its children (UCSPI), too.

use crate::harness::{Serve, Server, Transport, guest, guest_component, wat};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The program as a core module and as a component.
fn probes() -> [PathBuf; 2] {
    [guest("probe"), guest_component("probe")]
}

fn says(server: &Server, order: &str) -> String {
    String::from_utf8(server.ask(format!("{order}\n"))).expect("text")
}

#[test]
fn a_module_has_no_arguments_environment_input_or_folders() {
    let server = Serve::new(wat("surroundings"))
        .environment("SECRET", "of the host")
        .start();
    // The first number, of arguments, may count the file's own name.
    let numbers: Vec<i32> = server
        .ask("not its standard input")
        .chunks(4)
        .map(|n| i32::from_le_bytes(n.try_into().unwrap()))
        .collect();
    assert_eq!(numbers[1..], [0, 0, 8]);
}

#[test]
fn a_program_over_tcp_has_the_environment_of_ucspi_and_no_more() {
    for probe in probes() {
        for transport in [Transport::Tcp, Transport::Tcp6] {
            if !transport.is_there() {
                continue;
            }
            let server = Serve::new(&probe)
                .on(transport)
                .environment("SECRET", "of the host")
                .start();
            let client = server.connect();
            let (remote_ip, remote_port) = ip_and_port(&client.address());
            let (local_ip, local_port) = ip_and_port(&server.address());
            let said = String::from_utf8(client.ask("environment\n")).unwrap();
            assert_eq!(
                said,
                format!(
                    "PROTO=TCP\nREMOTE_ADDR={remote_ip}\nREMOTE_PORT={remote_port}\n\
                     TCPLOCALIP={local_ip}\nTCPLOCALPORT={local_port}\n\
                     TCPREMOTEIP={remote_ip}\nTCPREMOTEPORT={remote_port}\n"
                )
            );
        }
    }
}

#[test]
fn a_program_over_udp_has_the_same_under_udps_names() {
    for probe in probes() {
        let server = Serve::new(&probe).on(Transport::Udp).start();
        let client = server.connect();
        let (remote_ip, remote_port) = ip_and_port(&client.address());
        let (local_ip, local_port) = ip_and_port(&server.address());
        let said = String::from_utf8(client.ask("environment\n")).unwrap();
        assert_eq!(
            said,
            format!(
                "PROTO=UDP\nREMOTE_ADDR={remote_ip}\nREMOTE_PORT={remote_port}\n\
                 UDPLOCALIP={local_ip}\nUDPLOCALPORT={local_port}\n\
                 UDPREMOTEIP={remote_ip}\nUDPREMOTEPORT={remote_port}\n"
            )
        );
    }
}

#[test]
fn a_program_over_unix_sockets_is_told_who_its_peer_is() {
    for probe in probes() {
        let server = Serve::new(&probe).on(Transport::Unix).start();
        let said = says(&server, "environment");
        let path = server.address().trim_start_matches("unix://").to_owned();
        let variables: Vec<&str> = said.lines().collect();
        assert!(variables.contains(&"PROTO=UNIX"), "{said}");
        assert!(
            variables.contains(&&*format!("UNIXLOCALPATH={path}")),
            "{said}"
        );
        assert!(
            variables.contains(&&*format!("UNIXREMOTEPID={}", std::process::id())),
            "{said}"
        );
        let user = nix::unistd::geteuid();
        let group = nix::unistd::getegid();
        assert!(
            variables.contains(&&*format!("UNIXREMOTEEUID={user}")),
            "{said}"
        );
        assert!(
            variables.contains(&&*format!("UNIXREMOTEEGID={group}")),
            "{said}"
        );

        let server = Serve::new(&probe).on(Transport::Unixgram).start();
        let said = says(&server, "environment");
        assert!(said.lines().any(|line| line == "PROTO=UNIXGRAM"), "{said}");
    }
}

fn ip_and_port(address: &str) -> (String, String) {
    let place = address.rsplit("//").next().unwrap();
    let (ip, port) = place.rsplit_once(':').unwrap();
    (ip.trim_matches(['[', ']']).to_owned(), port.to_owned())
}

#[test]
fn variables_that_the_operator_grants_are_there_and_win() {
    for probe in probes() {
        let server = Serve::new(&probe)
            .environment("INHERITED", "from outside")
            .environment("SECRET", "of the host")
            .arg("--env")
            .arg("GREETING=hello = world")
            .arg("--env")
            .arg("EMPTY=")
            .arg("--env")
            .arg("PROTO=mine")
            .with("--inherit-env INHERITED")
            .start();
        let said = says(&server, "environment");
        let variables: Vec<&str> = said.lines().collect();
        for expected in [
            "GREETING=hello = world",
            "EMPTY=",
            "PROTO=mine",
            "INHERITED=from outside",
        ] {
            assert!(variables.contains(&expected), "{expected} in {said}");
        }
        assert!(!said.contains("SECRET"), "{said}");
        assert!(!variables.contains(&"PROTO=TCP"), "{said}");
    }
}

#[test]
fn a_variable_to_inherit_that_is_not_there_is_an_error() {
    Serve::new(guest("probe"))
        .with("--inherit-env NO_SUCH_VARIABLE")
        .run_to_end()
        .is_an_error(1, &["NO_SUCH_VARIABLE"]);
}

/// `outside/` with a secret, and beside it `granted/`, with ways that seem to lead there.
fn folders() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("granted/sub")).unwrap();
    fs::create_dir(at("outside")).unwrap();
    fs::write(at("outside/secret"), "secret").unwrap();
    fs::write(at("granted/file"), "content").unwrap();
    symlink(at("outside/secret"), at("granted/absolute")).unwrap();
    symlink("../outside/secret", at("granted/relative")).unwrap();
    symlink("../outside", at("granted/folder")).unwrap();
    symlink("file", at("granted/inside")).unwrap();
    symlink("/proc/self", at("granted/proc")).unwrap();
    dir
}

fn with_folder(probe: &Path, dir: &TempDir, rights: &str) -> Server {
    Serve::new(probe)
        .arg("--dir")
        .arg(format!(
            "{}::/data{rights}",
            dir.path().join("granted").display()
        ))
        .with("--deadline 20s")
        .start()
}

#[test]
fn without_a_grant_there_are_no_folders() {
    for probe in probes() {
        let server = Serve::new(&probe).start();
        for order in ["read /etc/passwd", "list /", "list .", "write /tmp/x y"] {
            assert!(says(&server, order).starts_with("error:"), "{order}");
        }
    }
}

#[test]
fn a_granted_folder_can_be_read_but_not_written() {
    let dir = folders();
    for probe in probes() {
        let server = with_folder(&probe, &dir, "");
        assert_eq!(says(&server, "read /data/file"), "content");
        assert_eq!(says(&server, "read /data/inside"), "content");
        assert_eq!(
            says(&server, "list /data"),
            "absolute\nfile\nfolder\ninside\nproc\nrelative\nsub\n"
        );
        for order in [
            "write /data/file changed",
            "write /data/new text",
            "remove /data/file",
            "rename /data/file /data/sub/file",
        ] {
            assert!(says(&server, order).starts_with("error:"), "{order}");
        }
        assert_eq!(
            fs::read_to_string(dir.path().join("granted/file")).unwrap(),
            "content"
        );
        assert!(!dir.path().join("granted/new").exists());
    }
}

#[test]
fn the_first_thing_that_a_program_does_may_be_to_open_a_file() {
    let dir = folders();
    let server = with_folder(&wat("reads-a-file"), &dir, "");
    assert_eq!(server.ask(""), b"content", "{}", server.request());
}

#[test]
fn a_file_of_any_size_can_be_read_piece_by_piece() {
    const SIZE: u64 = 200 << 20;
    let dir = folders();
    // It takes no room: all of it is a hole.
    let file = fs::File::create(dir.path().join("granted/large")).unwrap();
    file.set_len(SIZE).unwrap();
    for probe in probes() {
        let server = with_folder(&probe, &dir, "");
        assert_eq!(says(&server, "count /data/large"), format!("{SIZE}\n"));
    }
}

#[test]
fn a_folder_granted_for_writing_can_be_written() {
    for probe in probes() {
        let dir = folders();
        let server = with_folder(&probe, &dir, ":rw");
        assert_eq!(says(&server, "write /data/sub/new text"), "written\n");
        assert_eq!(
            fs::read_to_string(dir.path().join("granted/sub/new")).unwrap(),
            "text"
        );
        assert_eq!(
            says(&server, "rename /data/sub/new /data/newer"),
            "renamed\n"
        );
        assert_eq!(says(&server, "remove /data/newer"), "removed\n");
        assert!(!dir.path().join("granted/newer").exists());
    }
}

#[test]
fn no_path_leads_out_of_a_granted_folder() {
    for rights in ["", ":rw"] {
        for probe in probes() {
            let dir = folders();
            let server = with_folder(&probe, &dir, rights);
            let absolute = dir.path().join("outside/secret");
            let host_path = format!("read {}", absolute.display());
            for order in [
                "read /data/../outside/secret",
                "read /data/sub/../../outside/secret",
                "read /data/absolute",
                "read /data/relative",
                "read /data/folder/secret",
                "read /data/proc/environ",
                "list /data/proc/fd",
                "list /data/folder",
                "list /data/..",
                "link /data/../outside/secret /data/linked",
                "link /data/folder/secret /data/linked",
                "link /data/file /data/folder/linked",
                "read /etc/passwd",
                "write /data/relative overwritten",
                "write /data/folder/secret overwritten",
                "rename /data/file /data/../outside/moved",
                "rename /data/file /data/folder/moved",
                &host_path,
            ] {
                let said = says(&server, order);
                assert!(said.starts_with("error:"), "{order}: {said}");
            }
            assert_eq!(fs::read_to_string(absolute).unwrap(), "secret");
            assert!(!dir.path().join("outside/moved").exists());
        }
    }
}

/// What is open for reading does not become writable by way of another folder.
#[test]
fn what_may_be_read_is_not_moved_or_linked_to_where_it_may_be_written() {
    for probe in probes() {
        let dir = folders();
        fs::create_dir(dir.path().join("writable")).unwrap();
        let server = Serve::new(&probe)
            .arg("--dir")
            .arg(format!("{}::/one", dir.path().join("granted").display()))
            .arg("--dir")
            .arg(format!(
                "{}::/two:rw",
                dir.path().join("writable").display()
            ))
            .start();
        for order in [
            "link /one/file /two/file",
            "rename /one/file /two/file",
            "link /one/relative /two/file",
            "read /two/file",
        ] {
            let said = says(&server, order);
            assert!(said.starts_with("error:"), "{order}: {said}");
        }
        let file = dir.path().join("granted/file");
        assert_eq!(fs::read_to_string(file).unwrap(), "content");
    }
}

/// A hard link to the symbolic link is a link that leads out as well.
#[test]
fn a_hard_link_of_a_link_leads_nowhere_else() {
    for probe in probes() {
        let dir = folders();
        let server = with_folder(&probe, &dir, ":rw");
        says(&server, "link /data/relative /data/linked");
        says(&server, "rename /data/absolute /data/moved");
        for order in ["read /data/linked", "read /data/moved"] {
            let said = says(&server, order);
            assert!(said.starts_with("error:"), "{order}: {said}");
        }
    }
}

#[test]
fn a_fifo_in_a_granted_folder_does_not_open() {
    let dir = folders();
    let fifo = dir.path().join("granted/fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    for rights in ["", ":rw"] {
        for probe in probes() {
            let server = with_folder(&probe, &dir, rights);
            let said = says(&server, "read /data/fifo");
            assert!(said.starts_with("error:"), "{said}");
            assert_eq!(
                server.request()["outcome"],
                "ok",
                "it had to wait for its deadline"
            );
            if rights == ":rw" {
                assert!(says(&server, "write /data/fifo x").starts_with("error:"));
            }
        }
    }
}

#[test]
fn several_folders_can_be_granted() {
    let dir = folders();
    for probe in probes() {
        let server = Serve::new(&probe)
            .arg("--dir")
            .arg(format!("{}::/one", dir.path().join("granted").display()))
            .arg("--dir")
            .arg(format!("{}::/two", dir.path().join("outside").display()))
            .start();
        assert_eq!(says(&server, "read /one/file"), "content");
        assert_eq!(says(&server, "read /two/secret"), "secret");
    }
}
