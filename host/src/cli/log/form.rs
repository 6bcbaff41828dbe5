//! How a line of the log looks, so that nothing a guest prints can look like another, or act on a terminal.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::forked::is_child;
use crate::text::{is_unprintable, json_escape};

/// JSON may hold most control characters as they are; a terminal that shows it must not act on them.
pub(super) struct Escaped<F>(pub(super) F);

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
            // They can stand within strings only.
            if is_unprintable(character) {
                json_escape(character, &mut writer)?;
            } else {
                writer.write_char(character)?;
            }
        }
        writeln!(writer)
    }
}

/// A process's own events as a line; those of its forked children in JSON, from which the supervisor makes a line.
pub(super) struct OfChildren<F> {
    own: F,
    json: Format<Json, ()>,
}

impl<F> OfChildren<F> {
    pub(super) fn beside(own: F) -> Self {
        let json = super::json().without_time().with_level(false);
        OfChildren { own, json }
    }
}

impl<S, N, F> FormatEvent<S, N> for OfChildren<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match is_child() {
            true => self.json.format_event(context, writer, event),
            false => self.own.format_event(context, writer, event),
        }
    }
}

/// `2026-01-02T03:04:05.678901Z INFO request id=1 client=127.0.0.1:4711 outcome=ok …`
pub(super) struct Text;

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
