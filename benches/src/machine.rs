//! What the figures were taken on and with.

use crate::process::{Processes, TICKS};
use crate::world::World;
use anyhow::Result;
use std::fmt;
use std::fs::read_to_string;
use std::process::Command;
use std::time::{Duration, Instant};

/// How busy the machine is with other things: what their part was tells how far figures can be trusted.
pub struct Watch {
    began: Instant,
    busy: Busy,
    ours: Duration,
}

/// Shares of all processors.
#[derive(Default)]
pub struct Meanwhile {
    /// Other programs, and what the kernel does for nobody in particular.
    pub others: f64,
    /// What a hypervisor gave to others (proc_stat(5), `steal`).
    pub stolen: f64,
}

impl fmt::Display for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} % of the processors; taken by a hypervisor: {:.0} %",
            self.others * 100.0,
            self.stolen * 100.0
        )
    }
}

impl Watch {
    /// Watches from now on.
    pub fn begin() -> Self {
        Watch {
            began: Instant::now(),
            busy: busy(),
            ours: ours(),
        }
    }

    /// What there was besides this program since.
    pub fn end(&self) -> Meanwhile {
        let (now, ours) = (busy(), ours().saturating_sub(self.ours));
        let others = (now.programs.saturating_sub(self.busy.programs)).saturating_sub(ours);
        let stolen = now.stolen.saturating_sub(self.busy.stolen);
        let all = self.began.elapsed().as_secs_f64() * cores() as f64;
        Meanwhile {
            others: others.as_secs_f64() / all,
            stolen: stolen.as_secs_f64() / all,
        }
    }
}

/// Of this process and of all that it has started.
fn ours() -> Duration {
    Processes(std::process::id()).cpu()
}

/// Time of all processors since the start of the system (proc_stat(5)).
#[derive(Debug, PartialEq)]
struct Busy {
    programs: Duration,
    stolen: Duration,
}

fn busy() -> Busy {
    busy_in(&read("/proc/stat"))
}

fn busy_in(text: &str) -> Busy {
    let first = text.lines().next().unwrap_or_default();
    let fields = first.split_whitespace().skip(1).map(str::parse);
    let fields: Vec<u64> = fields.map(Result::unwrap_or_default).collect();
    let of = |numbers: &[usize]| {
        let ticks: u64 = numbers.iter().filter_map(|&n| fields.get(n)).sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    };
    Busy {
        // user, nice, system, irq, softirq: the rest are idle time, steal, and guests that are in user time already.
        programs: of(&[0, 1, 2, 5, 6]),
        stolen: of(&[7]),
    }
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
    let version = said(&world.sandsock.to_string_lossy(), &["--version"]);
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
    fn a_processor_is_busy_but_while_it_idles_waits_or_is_taken() {
        let stat = "cpu  100 20 30 9000 800 4 6 5 7 8\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        let busy = Busy {
            programs: Duration::from_millis(1600),
            stolen: Duration::from_millis(50),
        };
        assert_eq!(busy_in(stat), busy);
    }
}
