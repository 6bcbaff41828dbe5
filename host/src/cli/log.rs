//! The log, on standard error: text for people, or one flat JSON object a line.
//!
//! Lines are written by a thread of their own, so that whoever reads them slowly, or not at all,
//! holds no request up; what does not fit meanwhile is dropped, and counted.

mod form;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use clap::{Args, ValueEnum};
use nix::poll::PollFlags;
use tracing::{Metadata, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::events::{self, GUEST, PER_REQUEST};
use crate::poll;
use crate::request::lock;
use form::{Escaped, OfChildren, Text};

/// Options of the log.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Log (on standard error)")]
pub(super) struct LogArgs {
    /// Text for people, or one JSON object a line
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Tell more
    #[arg(short, long)]
    verbose: bool,
    /// Leave out what belongs to single requests
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
}

impl LogArgs {
    /// Warnings, and nothing of single requests.
    pub(super) fn quiet() -> Self {
        LogArgs {
            quiet: true,
            ..LogArgs::default()
        }
    }

    /// Whether what belongs to single requests is told.
    pub(super) fn tells_requests(&self) -> bool {
        !self.quiet
    }

    /// Whether lines are for programs.
    pub(super) fn is_json(&self) -> bool {
        self.log_format == LogFormat::Json
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Lines that wait to be written; more are dropped. With the longest lines of guests, each character
/// escaped, they are some 20 MB.
const WAITING: usize = 4 * 1024;

/// Of those, lines of guests: what they print must not push out what is said of them.
const WAITING_OF_GUESTS: usize = WAITING / 2;

/// Writes what is left when it is dropped.
static GUARD: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// What writes lines, also those that another process has made.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Starts the log of this process.
pub(super) fn start(args: &LogArgs) {
    let waiting = Arc::new(AtomicUsize::new(0));
    let (writer, guard) = NonBlockingBuilder::default()
        // We drop before it would.
        .buffered_lines_limit(2 * WAITING)
        .lossy(true)
        .thread_name("log")
        .finish(Written {
            stderr: io::stderr(),
            waiting: waiting.clone(),
        });
    *lock(&GUARD) = Some(guard);
    let queue = Queue { writer, waiting };
    let _ = QUEUE.set(queue.clone());
    start_with(args, queue);
}

/// Lines that were dropped.
static LOST: AtomicU64 = AtomicU64::new(0);

/// So many lines were lost before they came here.
pub(super) fn lost(lines: u64) {
    LOST.fetch_add(lines, Relaxed);
}

/// A whole line of a process of ours, as its log has made it.
pub(super) fn line(of: Of, line: &[u8]) {
    if let Some(queue) = QUEUE.get() {
        queue.put(of, line);
    }
}

/// Whose words a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Host,
    Guest,
}

impl Of {
    pub(super) fn event(metadata: &Metadata<'_>) -> Self {
        match metadata.target() == events::GUEST {
            true => Of::Guest,
            false => Of::Host,
        }
    }
}

/// The lines that wait to be written.
#[derive(Clone)]
struct Queue {
    writer: NonBlocking,
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    fn put(&self, of: Of, line: &[u8]) {
        let most = match of {
            Of::Host => WAITING,
            Of::Guest => WAITING_OF_GUESTS,
        };
        if self.waiting.fetch_add(1, Relaxed) >= most {
            self.waiting.fetch_sub(1, Relaxed);
            lost(1);
            return;
        }
        // It has room for more than we let in.
        let _ = self.writer.clone().write_all(line);
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self, Of::Host)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        Line(self, Of::event(metadata))
    }
}

/// Takes one line by one call.
struct Line<'a>(&'a Queue, Of);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(self.1, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where lines are written, whole, and do not wait any more.
struct Written {
    stderr: io::Stderr,
    waiting: Arc<AtomicUsize>,
}

impl Write for Written {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = self.stderr.write_all(line);
        self.waiting.fetch_sub(1, Relaxed);
        written.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stderr.flush()
    }
}

/// Starts the log of this process with a writer that takes each line by one call.
pub(super) fn start_with<W>(args: &LogArgs, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    listen(Registry::default().with(lines(args, writer)));
}

/// As [`start_with`], in a process whose children tell their events to its supervisor in JSON.
pub(super) fn start_for_supervisor<W>(args: &LogArgs, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match args.log_format {
        LogFormat::Text => layer.event_format(OfChildren::beside(Text)).boxed(),
        LogFormat::Json => layer
            .fmt_fields(JsonFields::new())
            .event_format(OfChildren::beside(Escaped(json())))
            .boxed(),
    };
    listen(Registry::default().with(wanted(args, layer)));
}

/// As [`start_with`], with another listener to what happens. It makes everything that it listens to cost more.
pub(super) fn start_beside<W, L>(args: &LogArgs, writer: W, other: L)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    L: Layer<Registry> + Send + Sync,
{
    listen(Registry::default().with(other).with(lines(args, writer)));
}

fn listen(subscriber: impl Subscriber + Send + Sync) {
    // It fails only where there is a log already, which is then as good.
    let _ = tracing::subscriber::set_global_default(subscriber);
    // A panic costs its request and is an event like any other, not lines between the events.
    std::panic::set_hook(Box::new(|panic| events::panic(&panic.to_string())));
}

/// What writes lines, and hears of nothing else.
fn lines<S, W>(args: &LogArgs, writer: W) -> impl Layer<S> + use<S, W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match args.log_format {
        LogFormat::Text => layer.event_format(Text).boxed(),
        LogFormat::Json => layer
            .fmt_fields(JsonFields::new())
            .event_format(Escaped(json()))
            .boxed(),
    };
    wanted(args, layer)
}

/// One flat object a line.
fn json() -> Format<Json> {
    tracing_subscriber::fmt::format()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_current_span(false)
        .with_span_list(false)
}

/// A layer for what is to be told, and no more.
fn wanted<S, L>(args: &LogArgs, layer: L) -> impl Layer<S> + use<S, L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    let quiet = args.quiet;
    let level = match args.verbose {
        true => LevelFilter::DEBUG,
        false => LevelFilter::INFO,
    };
    let wanted = filter_fn(move |event| {
        event.target().starts_with("sandsock")
            && !(quiet && [PER_REQUEST, GUEST].contains(&event.target()))
    })
    .with_max_level_hint(level);
    layer.with_filter(wanted).with_filter(level)
}

/// Writes what is left, for a bounded time, and says how much was lost.
pub(super) fn flush() {
    let Some(guard) = lock(&GUARD).take() else {
        return;
    };
    drop(guard);
    let lost = LOST.load(Relaxed);
    let mut stderr = io::stderr();
    // A reader that is stuck must not hold up the end, and one that has gone needs no count.
    let is_read = poll::wait(stderr.as_fd(), PollFlags::POLLOUT, Some(Duration::ZERO));
    if lost > 0 && is_read.unwrap_or(false) {
        let _ = io::Write::write_fmt(
            &mut stderr,
            format_args!(
                "warning: {lost} lines of the log were dropped, since nobody read them in time\n"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_writes_lines_hears_of_no_host_calls() {
        let verbose = LogArgs {
            verbose: true,
            ..LogArgs::default()
        };
        for (args, level) in [
            (LogArgs::default(), LevelFilter::INFO),
            (verbose, LevelFilter::DEBUG),
        ] {
            let log = Registry::default().with(lines(&args, io::sink));
            // Above it an event is one comparison.
            assert_eq!(Some(level), log.max_level_hint());
        }
    }
}
