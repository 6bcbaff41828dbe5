//! What the figures were taken on and with.

use crate::world::World;
use anyhow::Result;
use std::fs::read_to_string;
use std::process::Command;

/// Lines of `what: which`.
pub fn describe(world: &World) -> Result<Vec<(String, String)>> {
    let line = |what: &str, which: String| (what.to_owned(), which);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Ok(vec![
        line("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        line("processor", format!("{} × {cores}", processor())),
        line("kernel", read("/proc/sys/kernel/osrelease")),
        line("memory", memory()),
        line(
            "load before",
            read("/proc/loadavg")
                .split(' ')
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        line("sandsock", sandsock(world)),
        line("wasmtime", locked(world, "wasmtime")?),
        line("rustc", said("rustc", &["--version"])),
        line("Python", world.python_version.clone()),
    ])
}

fn read(path: &str) -> String {
    read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

fn processor() -> String {
    let all = read("/proc/cpuinfo");
    let mut lines = all.lines();
    let name = lines.find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.to_owned(),
    )
}

fn memory() -> String {
    let all = read("/proc/meminfo");
    let kib = all
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or_else(String::new, |kib| format!("{} GiB", kib >> 20))
}

/// The version, and the commit where there is one.
fn sandsock(world: &World) -> String {
    let program = world.program("sandsock");
    let version = said(&program.to_string_lossy(), &["--version"]);
    let root = world.root.to_string_lossy();
    let commit = said("git", &["-C", &root, "describe", "--always", "--dirty"]);
    format!("{version} {commit}").trim().to_owned()
}

/// The version that Cargo.lock names.
fn locked(world: &World, package: &str) -> Result<String> {
    let lock = read_to_string(world.root.join("Cargo.lock"))?;
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next().and_then(|line| line.split('"').nth(1));
    Ok(version.unwrap_or_default().to_owned())
}
