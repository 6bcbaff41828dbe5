//! What the figures were taken on and with.

use crate::process::{Processes, TICKS};
use crate::world::World;
use anyhow::Result;
use std::fs::read_to_string;
use std::process::Command;
use std::time::{Duration, Instant};

/// How busy the machine is with other things: what their part was tells how far figures can be trusted.
pub struct Others {
    began: Instant,
    all: Duration,
    ours: Duration,
}

impl Others {
    /// Watches from now on.
    pub fn watch() -> Self {
        Others {
            began: Instant::now(),
            all: busy(),
            ours: ours(),
        }
    }

    /// Their share of all processors since.
    pub fn share(&self) -> f64 {
        let all = busy().saturating_sub(self.all);
        let others = all.saturating_sub(ours().saturating_sub(self.ours));
        others.as_secs_f64() / (self.began.elapsed().as_secs_f64() * cores() as f64)
    }
}

/// Of this process and of all that it has started.
fn ours() -> Duration {
    Processes(std::process::id()).cpu()
}

/// Of all processors since the start of the system (proc_stat(5)), what a hypervisor took included.
fn busy() -> Duration {
    busy_in(&read("/proc/stat"))
}

fn busy_in(text: &str) -> Duration {
    let first = text.lines().next().unwrap_or_default();
    let fields = first.split_whitespace().skip(1).take(8).enumerate();
    // The fourth and fifth are idle time.
    let busy = fields.filter(|(number, _)| *number != 3 && *number != 4);
    let ticks: u64 = busy
        .filter_map(|(_, field)| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Lines of `what: which`.
pub fn describe(world: &World) -> Result<Vec<(String, String)>> {
    let line = |what: &str, which: String| (what.to_owned(), which);
    Ok(vec![
        line("date", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        line("processor", format!("{} × {}", processor(), cores())),
        line("kernel", read("/proc/sys/kernel/osrelease")),
        line("memory", memory()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_busy_but_while_it_idles_or_waits() {
        let stat = "cpu  100 20 30 9000 800 4 5 6 7 8\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_in(stat), Duration::from_millis(1650));
    }
}
