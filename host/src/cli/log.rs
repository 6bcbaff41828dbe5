//! The log, on standard error: text for people, or one flat JSON object a line.
//!
//! Lines are written by a thread of their own, so that whoever reads them slowly, or not at all,
//! holds no request up; what does not fit meanwhile is dropped, and counted.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use clap::{Args, ValueEnum};
use nix::poll::PollFlags;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::events::{self, GUEST, PER_REQUEST};
use crate::poll;
use crate::request::lock;
use crate::text::is_unprintable;

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
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match args.log_format {
        LogFormat::Text => layer.event_format(Text).boxed(),
        LogFormat::Json => layer
            .fmt_fields(JsonFields::new())
            .event_format(Escaped(
                tracing_subscriber::fmt::format()
                    .json()
                    .flatten_event(true)
                    .with_target(false)
                    .with_current_span(false)
                    .with_span_list(false),
            ))
            .boxed(),
    };
    let registry = Registry::default().with(layer.with_filter(wanted).with_filter(level));
    // It fails only where there is a log already, which is then as good.
    let _ = tracing::subscriber::set_global_default(registry);
    // A panic costs its request and is an event like any other, not lines between the events.
    std::panic::set_hook(Box::new(|panic| events::panic(&panic.to_string())));
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

/// JSON may hold most control characters as they are; a terminal that shows it must not act on them.
struct Escaped<F>(F);

impl<S, N, F> FormatEvent<S, N> for Escaped<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.0
            .format_event(context, Writer::new(&mut line), event)?;
        for character in line.trim_end_matches('\n').chars() {
            // They can stand within strings only, and all of them have four digits.
            if is_unprintable(character) {
                write!(writer, "\\u{:04x}", u32::from(character))?;
            } else {
                writer.write_char(character)?;
            }
        }
        writeln!(writer)
    }
}

/// `2026-01-02T03:04:05.678901Z INFO request id=1 client=127.0.0.1:4711 outcome=ok …`
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN ",
            Level::INFO => "INFO ",
            _ => "DEBUG",
        };
        write!(writer, " {level}")?;
        let mut fields = Fields {
            writer,
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        writeln!(fields.writer)
    }
}

/// Writes `key=value` one after the other; the event's name stands alone.
struct Fields<'a> {
    writer: Writer<'a>,
    result: fmt::Result,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.try_put(field.name(), value);
        }
    }

    fn try_put(&mut self, name: &str, value: &str) -> fmt::Result {
        self.writer.write_char(' ')?;
        if name == "event" {
            return self.writer.write_str(value);
        }
        write!(self.writer, "{name}=")?;
        let is_plain =
            !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
        if is_plain {
            return self.writer.write_str(value);
        }
        // What a guest prints must not be able to move the terminal's cursor, or to look like a line.
        self.writer.write_char('"')?;
        for character in value.chars() {
            match character {
                '"' | '\\' => write!(self.writer, "\\{character}")?,
                c if is_unprintable(c) => write!(self.writer, "{}", c.escape_default())?,
                c => self.writer.write_char(c)?,
            }
        }
        self.writer.write_char('"')
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, if value { "true" } else { "false" });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}
