//! The sandbox alone: set-up, handle, tear-down of an instance, sockets taken off.

use super::{Bound, Section, Subject, figure};
use crate::figures::{Figures, Metric};
use Bound::AtMost;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const TIME: Metric = "µs";

/// The name, and the handler's path in the target folder or the workspace.
const HANDLERS: [(&str, &str); 5] = [
    ("small module", "benches/small.wat"),
    ("echo, module", "handlers/echo.wasm"),
    ("echo, component", "handlers/echo.component.wasm"),
    ("hello, module", "handlers/hello.wasm"),
    ("hello, component", "handlers/hello.component.wasm"),
];

pub(super) fn section(world: &crate::world::World) -> Section {
    let subjects = HANDLERS.map(|(name, path)| {
        let file = world.handler(path);
        let file = file.unwrap_or_else(|| world.root.join(path));
        let lacks = (!file.is_file()).then(|| format!("{} is not there", file.display()));
        Subject {
            name,
            lacks,
            measure: Box::new(move |world, amount| {
                let program = world.program("bench-instance");
                let nanos = in_memory(&program, &file, amount.in_memory)?;
                Ok(Figures::default().with(TIME, nanos / 1e3))
            }),
        }
    });
    Section {
        key: "instance",
        title: "Set-up and tear-down of the sandbox",
        work: "A request in memory, `hello,server\\n`, by the library: the median over requests one after the \
               other, on one thread. `hello` prints two lines besides. (`cargo xtask bench parts` has the same with more statistics.)"
            .to_owned(),
        subjects: subjects.into(),
        metrics: vec![TIME],
        picture: TIME,
        targets: vec![
            figure("small module", TIME, AtMost(3.0)),
            figure("echo, module", TIME, AtMost(5.0)),
            figure("echo, component", TIME, AtMost(7.0)),
        ],
    }
}

/// Nanoseconds of a request at the median, by a process of its own.
fn in_memory(program: &Path, handler: &Path, requests: usize) -> Result<f64> {
    let output = Command::new(program)
        .arg(handler)
        .arg(requests.to_string())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("bench-instance {}: {said}", handler.display());
    }
    text.trim()
        .parse()
        .with_context(|| format!("bench-instance has printed {text:?}"))
}
