//! The log: on standard error, so that standard output is what was asked for.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use anstream::{AutoStream, ColorChoice};
use serde_json::json;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::arguments::{LogFormat, LogLevel};

/// Starts it.
pub fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    // Of libraries only warnings: their finer lines show URLs and messages, and so tickets.
    let filter = EnvFilter::new(format!("warn,origin_publisher={level}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // The library would report a failed write with `eprintln!`, which panics.
        .log_internal_errors(false)
        .with_writer(Log::to(io::stderr, format));
    match format {
        LogFormat::Human => log
            // As the help does: NO_COLOR, CLICOLOR, CLICOLOR_FORCE, and what the terminal can.
            .with_ansi(AutoStream::choice(&io::stderr()) != ColorChoice::Never)
            .with_target(false)
            .init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// Writes a line to standard error, beside the log. Where that cannot be written, nobody reads it.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Where the log goes. Lines that cannot be written are lost, and the first that can be says so.
#[derive(Debug)]
struct Log<F> {
    open: F,
    format: LogFormat,
    lost: Mutex<Lost>,
}

#[derive(Debug, Default)]
struct Lost {
    lines: u64,
    reason: String,
}

impl Lost {
    /// Returns what is said of them; a line that was cut may stand before it.
    fn note(&self, format: LogFormat) -> String {
        let Self { lines, reason } = self;
        match format {
            LogFormat::Human => format!("\n{lines} lines of the log were lost: {reason}\n"),
            LogFormat::Json => {
                let message = "lines of the log were lost";
                format!(
                    "\n{}\n",
                    json!({ "level": "WARN", "message": message, "lines": lines, "reason": reason })
                )
            }
        }
    }
}

impl<W: Write, F: Fn() -> W> Log<F> {
    fn to(open: F, format: LogFormat) -> Self {
        Self {
            open,
            format,
            lost: Mutex::default(),
        }
    }

    fn write_line(&self, line: &[u8]) -> io::Result<()> {
        // Nothing under this lock can leave it half changed.
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = (self.open)();
        let written = if lost.lines > 0 {
            out.write_all(lost.note(self.format).as_bytes())
                .inspect(|()| lost.lines = 0)
        } else {
            Ok(())
        }
        .and_then(|()| out.write_all(line));
        if let Err(error) = &written {
            lost.lines += 1;
            lost.reason = error.to_string();
        }
        written
    }
}

impl<'a, W: Write + 'a, F: Fn() -> W + 'a> MakeWriter<'a> for Log<F> {
    type Writer = Line<'a, F>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

/// Takes one line, which comes in one piece.
#[derive(Debug)]
struct Line<'a, F>(&'a Log<F>);

impl<W: Write, F: Fn() -> W> Write for Line<'_, F> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_line(line).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    /// A disk with room for so many bytes.
    #[derive(Debug, Clone, Default)]
    struct Disk(Rc<RefCell<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (written, room) = &mut *self.0.borrow_mut();
            let fits = bytes.len().min(room.saturating_sub(written.len()));
            if fits == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_are_lost_are_counted_and_said_once() {
        let disk = Disk::default();
        disk.0.borrow_mut().1 = 6;
        let log = Log::to(|| disk.clone(), LogFormat::Human);
        let write = |line: &str| log.make_writer().write_all(line.as_bytes()).is_ok();
        assert!(write("one\n"));
        assert!(!write("two\n") && !write("three\n"));
        disk.0.borrow_mut().1 = 1000;
        assert!(write("four\n") && write("five\n"));
        let written = String::from_utf8(disk.0.borrow().0.clone()).unwrap();
        let reason = io::Error::from(io::ErrorKind::StorageFull);
        let note = format!("2 lines of the log were lost: {reason}\n");
        assert_eq!(written, format!("one\ntw\n{note}four\nfive\n"));
    }
}
