//! The programs that hand sockets over, themselves: systemd's own for trying it out, socat, and ipsvd.
//! Where one is not installed its tests say so and are skipped.

use crate::harness::{
    Answers, CONCURRENCIES, Client, Op, PATIENCE, Serve, Server, example, handler, program, script,
    strace, wat,
};
use Op::Write;
use std::collections::BTreeSet;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

fn is_installed(program: &str) -> bool {
    let mut trial = Command::new(program);
    let is_there = trial
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    is_there
}

/// What systemd passes on of the environment it has to be told.
const SOCKET_ACTIVATE: [&str; 3] = ["systemd-socket-activate", "-E", "XDG_CACHE_HOME"];

/// Started by it, once it listens at `place`: none where that was taken meanwhile.
fn try_activated(serve: Serve, place: &str, options: &[&str]) -> Option<Server> {
    let mut wrapper = SOCKET_ACTIVATE.to_vec();
    wrapper.extend(["-l", place]);
    wrapper.extend(options);
    let server = serve.through(&wrapper).start_unheard();
    wait_for(|| {
        let has_ended = server.log().has_ended();
        let lines = server.log().lines();
        let listens = lines.iter().any(|line| line.starts_with("Listening on"));
        (listens || has_ended).then_some(listens)
    })
    .then_some(server)
}

/// The same at a port that was free a moment ago, with its address.
fn activated_on_a_port(
    serve: impl Fn() -> Serve,
    scheme: &str,
    options: &[&str],
) -> (Server, String) {
    for _ in 0..10 {
        let place = match scheme {
            "udp" => UdpSocket::bind("127.0.0.1:0").unwrap().local_addr(),
            _ => TcpListener::bind("127.0.0.1:0").unwrap().local_addr(),
        };
        let place = place.unwrap().to_string();
        if let Some(server) = try_activated(serve(), &place, options) {
            return (server, format!("{scheme}://{place}"));
        }
    }
    panic!("no port stays free");
}

/// The same at a path.
fn activated_at_a_path(
    serve: Serve,
    dir: &Path,
    scheme: &str,
    options: &[&str],
) -> (Server, String) {
    let path = dir.join(scheme);
    // systemd replaces no file; an earlier one of this test's is in the way.
    let _ = fs::remove_file(&path);
    let server = try_activated(serve, path.to_str().unwrap(), options).expect("it listens");
    (server, format!("{scheme}://{}", path.display()))
}

#[track_caller]
fn wait_for<T>(look: impl Fn() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "it does not come");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Three clients have their bytes back and no others, and three requests are logged.
#[track_caller]
fn echoes(server: &Server, address: &str) {
    for n in 1..=3 {
        assert_eq!(Client::connect(address).ask("to and fro"), b"to and fro");
        let event = &server.requests(n)[n - 1];
        assert_eq!(event["outcome"], "ok", "{address}: {event}");
    }
}

/// What was run for each of them has ended, and whoever ran it knows.
#[track_caller]
fn echoes_and_nothing_stays(server: &Server, address: &str) {
    echoes(server, address);
    nothing_stays(server);
}

#[track_caller]
fn nothing_stays(server: &Server) {
    wait_for(|| server.process().children().is_empty().then_some(()));
}

#[test]
fn systemd_starts_it_for_a_listener_by_number_or_name() {
    if !is_installed(SOCKET_ACTIVATE[0]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for concurrency in CONCURRENCIES {
        for (address, names) in [("fd://3", ""), ("fd://echo", "--fdname=echo")] {
            let names: &[&str] = if names.is_empty() { &[] } else { &[names] };
            let serve = || {
                let serve = Serve::new(handler("echo")).at(address);
                serve.with("--concurrency").arg(concurrency)
            };
            for (mut server, address) in [
                activated_on_a_port(serve, "tcp", names),
                activated_at_a_path(serve(), dir.path(), "unix", names),
            ] {
                echoes(&server, &address);
                assert_eq!(server.address(), address);
                assert_eq!(server.terminate().code(), Some(0));
            }
        }
    }
}

#[test]
fn systemd_starts_it_for_datagrams() {
    if !is_installed(SOCKET_ACTIVATE[0]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for concurrency in CONCURRENCIES {
        let serve = || {
            let serve = Serve::new(handler("echo")).at("fd://3");
            serve.with("--concurrency").arg(concurrency)
        };
        let (mut server, address) = activated_on_a_port(serve, "udp", &["-d"]);
        echoes(&server, &address);
        assert_eq!(server.terminate().code(), Some(0));

        let (mut server, address) = activated_at_a_path(serve(), dir.path(), "unixgram", &["-d"]);
        // The packet that starts it is older than the question for its sender: this tool has no PassCredentials=yes.
        Client::connect(&address).send("first");
        let first = server.request();
        let why = first["detail"].as_str().unwrap_or_default();
        assert!(why.contains("PassCredentials=yes"), "{first}");
        for n in 2..=3 {
            assert_eq!(Client::connect(&address).ask("to and fro"), b"to and fro");
            assert_eq!(server.requests(n)[n - 1]["outcome"], "ok");
        }
        assert_eq!(server.terminate().code(), Some(0));
    }
}

#[test]
fn systemd_starts_it_for_each_connection() {
    if !is_installed(SOCKET_ACTIVATE[0]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let inetd: &[&str] = &["--accept", "--inetd"];
    for (address, options) in [("fd://0", inetd), ("fd://3", &["--accept"])] {
        let serve = || Serve::new(handler("echo")).at(address);
        for (server, address) in [
            activated_on_a_port(serve, "tcp", options),
            activated_at_a_path(serve(), dir.path(), "unix", options),
        ] {
            echoes_and_nothing_stays(&server, &address);
        }
    }
}

/// A value of one of the example's unit files.
fn unit(ending: &str, key: &str) -> String {
    let text = fs::read_to_string(example(&format!("systemd/sandsock-echo.{ending}"))).unwrap();
    let line = text.lines().find(|line| line.starts_with(key));
    let (_, value) = line.and_then(|line| line.split_once('=')).expect(key);
    value.to_owned()
}

#[test]
fn the_units_of_the_example_are_what_systemd_understands() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for ending in ["socket", "service"] {
        let name = format!("sandsock-echo.{ending}");
        let text = fs::read_to_string(example(&format!("systemd/{name}"))).unwrap();
        // It wants to see the program where the unit says that it is.
        let text = text.replace("/usr/local/bin/sandsock", program().to_str().unwrap());
        fs::write(dir.path().join(name), text).unwrap();
    }
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(["sandsock-echo.socket", "sandsock-echo.service"].map(|n| dir.path().join(n)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // What it does not know it only warns of.
    assert!(!said.contains("sandsock-echo"), "{said}");
}

#[test]
fn the_command_of_the_example_serves_what_its_socket_hands_over() {
    if !is_installed(SOCKET_ACTIVATE[0]) {
        return;
    }
    let command = unit("service", "ExecStart=");
    let mut words = command.split_whitespace().skip(1);
    assert_eq!(words.next(), Some("serve"));
    let words: Vec<_> = words.collect();
    let [options @ .., address, file] = &words[..] else {
        panic!("{words:?}");
    };
    assert!(file.ends_with("/echo.wasm"));
    let name = format!("--fdname={}", unit("socket", "FileDescriptorName="));
    let serve = || {
        let serve = Serve::new(handler("echo")).at(*address);
        serve.with(&options.join(" "))
    };
    for (scheme, options) in [("tcp", &[&*name][..]), ("udp", &["-d", &name])] {
        let (server, address) = activated_on_a_port(serve, scheme, options);
        echoes(&server, &address);
    }
}

#[test]
fn socat_runs_it_for_each_connection() {
    if !is_installed("socat") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("listener");
    let at_path = format!("UNIX-LISTEN:{},fork,unlink-early", path.display());
    // Through a pair of sockets of its own, and with the connection itself.
    for listen in ["TCP4-LISTEN:0,bind=127.0.0.1,fork", &at_path] {
        for how in ["", ",nofork"] {
            let run = format!(r#"exec socat -d -d {listen} "EXEC:\"$*\"{how}""#);
            let server = Serve::new(handler("echo"))
                .at("fd://0")
                .through(&["sh", "-c", &run, "sh"])
                .start_unheard();
            let line = server
                .log()
                .wait_for_line(|line| line.contains(" listening on "));
            let address = match listen.starts_with("TCP4") {
                true => format!("tcp://{}", line.split_whitespace().last().unwrap()),
                false => format!("unix://{}", path.display()),
            };
            echoes_and_nothing_stays(&server, &address);
        }
    }
}

#[test]
fn tcpsvd_runs_it_for_each_connection() {
    if !is_installed("tcpsvd") {
        return;
    }
    let server = Serve::new(wat("script"))
        .at("fd://0")
        .through(&["tcpsvd", "127.0.0.1", "0"])
        .start_unheard();
    let place = wait_for(|| listening_at(&server.process().sockets()));
    for n in 1..=3 {
        let client = Client::connect(&format!("tcp://{place}"));
        let own = client.address();
        let orders = [Op::ClientAddress(255), Op::ServerAddress(255), Write("end")];
        let mut answers = Answers(client.ask(script(&orders)));
        assert_eq!(answers.counted(), own.as_bytes());
        assert_eq!(answers.counted(), place.as_bytes());
        assert_eq!(answers.text(3), "end");
        answers.end();
        assert_eq!(server.requests(n)[n - 1]["client"], own);
    }
    nothing_stays(&server);
}

#[test]
fn udpsvd_runs_it_for_packets() {
    if !is_installed("udpsvd") {
        return;
    }
    let server = Serve::new(handler("echo"))
        .at("fd://0")
        .with("--once")
        .through(&["udpsvd", "127.0.0.1", "0"])
        .start_unheard();
    let place = wait_for(|| listening_at(&server.process().sockets()));
    echoes_and_nothing_stays(&server, &format!("udp://{place}"));
}

/// Where one of these sockets waits, as proc(5) has it: addresses in hexadecimal digits, the numbers of
/// sockets in the tenth column.
fn listening_at(sockets: &[String]) -> Option<String> {
    const WAITS: [(&str, &str); 2] = [("tcp", "0A"), ("udp", "07")];
    WAITS.iter().find_map(|(protocol, state)| {
        let table = fs::read_to_string(format!("/proc/net/{protocol}")).ok()?;
        table.lines().skip(1).find_map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let is_it =
                columns[3] == *state && sockets.contains(&format!("socket:[{}]", columns[9]));
            let (_, port) = columns[1].split_once(':')?;
            let port = u16::from_str_radix(port, 16).ok()?;
            (is_it && port != 0).then(|| format!("127.0.0.1:{port}"))
        })
    })
}

/// What of the system calls that it makes the example's unit would kill it for.
#[test]
fn the_unit_of_the_example_lets_through_what_it_calls() {
    let Ok(listing) = Command::new("systemd-analyze")
        .arg("syscall-filter")
        .output()
    else {
        eprintln!("SKIPPED: systemd-analyze is not installed");
        return;
    };
    let unit = fs::read_to_string(example("systemd/sandsock-echo.service")).unwrap();
    let filter = unit
        .lines()
        .find_map(|line| line.strip_prefix("SystemCallFilter="));
    let sets = String::from_utf8(listing.stdout).unwrap();
    let mut allowed = BTreeSet::new();
    let mut wanted: Vec<_> = filter
        .expect("a filter")
        .split_whitespace()
        .map(String::from)
        .collect();
    while let Some(word) = wanted.pop() {
        if word.starts_with('@') {
            let of_it = sets.lines().skip_while(|line| *line != word).skip(1);
            let of_it = of_it
                .take_while(|line| line.starts_with(' '))
                .map(str::trim);
            wanted.extend(
                of_it
                    .filter(|line| !line.starts_with('#'))
                    .map(String::from),
            );
        } else {
            allowed.insert(word);
        }
    }
    assert!(
        allowed.contains("accept4") && allowed.len() > 100,
        "{allowed:?}"
    );
    for concurrency in ["threads", "fork"] {
        let dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("trace");
        let Some(strace) = strace(trace.to_str().unwrap(), &["signal=none"]) else {
            return;
        };
        let mut server = Serve::new(handler("echo"))
            .with("--cache off --concurrency")
            .arg(concurrency)
            .through(&strace)
            .start();
        assert_eq!(server.ask("x"), b"x");
        assert!(server.terminate().success());
        let trace = fs::read_to_string(trace).unwrap();
        let calls = trace.lines().filter_map(|line| {
            let call = line.split_once(' ')?.1.trim_start().split_once('(')?.0;
            call.chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_')
                .then_some(call)
        });
        let killed: BTreeSet<_> = calls.filter(|call| !allowed.contains(*call)).collect();
        assert!(killed.is_empty(), "{concurrency}: {killed:?}");
    }
}
