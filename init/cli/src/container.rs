//! `tare logs --container`: what a container has written, as the engine keeps it.

use crate::Failed;
use crate::args::Lines;
use crate::logs;
use crate::run::Context;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::time::{Duration, SystemTime};
use tare_engine_api::{
    Container, Engine, EngineError, Line, Mark, Output, Resumed, Stream, Wanted,
};
use tare_log_format::{Priority, Record, escape, harmless, wall_text};

/// The log driver that keeps nothing.
const NO_DRIVER: &str = "none";

/// Shows the output of container `name`.
pub(crate) fn logs(
    context: &Context,
    engine: &Engine,
    name: &str,
    lines: &Lines,
) -> Result<(), Failed> {
    let failed = |error| failure(name, error);
    let container = engine.container(name).map_err(failed)?;
    if container.log_driver == NO_DRIVER {
        return Err(Failed::NotSo(format!(
            "the log driver of container `{name}` is `{NO_DRIVER}`, which keeps no output"
        )));
    }
    let out = BufWriter::new(io::stdout().lock());
    let mut view = View::new(context, lines, container, out);
    view.show(engine).map_err(|error| match error {
        Error::Engine(error) => failure(name, error),
        Error::Output(error) => error.into(),
    })
}

/// Which requests show what is wanted: the engine counts lines before `--grep` sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    follow: bool,
    /// The engine's selection.
    last: Option<usize>,
    /// Ours.
    keep: Option<usize>,
}

fn plan(lines: &Lines) -> Vec<Request> {
    let last = logs::last(lines);
    let request = |follow, last, keep| Request { follow, last, keep };
    match (lines.grep.is_some(), last) {
        (true, Some(_)) if lines.follow => {
            vec![request(false, None, last), request(true, None, None)]
        }
        (true, Some(_)) => vec![request(false, None, last)],
        _ => vec![request(lines.follow, last, None)],
    }
}

/// Why output cannot be shown.
enum Error {
    Engine(EngineError),
    Output(io::Error),
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

struct View<'a, Out> {
    context: &'a Context,
    lines: &'a Lines,
    container: Container,
    resumed: Resumed,
    out: Out,
}

impl<'a, Out: Write> View<'a, Out> {
    fn new(context: &'a Context, lines: &'a Lines, container: Container, out: Out) -> Self {
        Self {
            context,
            lines,
            container,
            resumed: Resumed::at(lines.since.map(mark).unwrap_or_default()),
            out,
        }
    }

    fn show(&mut self, engine: &Engine) -> Result<(), Error> {
        for request in plan(self.lines) {
            self.carry_out(engine, request)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, engine: &Engine, request: Request) -> Result<(), Error> {
        let wanted = Wanted {
            follow: request.follow,
            since: (self.resumed.mark() != Mark::default()).then(|| self.resumed.mark()),
            last: request.last,
        };
        self.resumed = Resumed::at(self.resumed.mark());
        let mut connection = engine.output(&self.container.id, &wanted)?;
        let (mut output, mut kept) = (Output::default(), VecDeque::new());
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = connection.read(&mut buffer).map_err(EngineError::Talk)?;
            output.push(&buffer[..length]);
            while let Some(line) = output.next_line()? {
                self.take(line, request.keep, &mut kept)?;
            }
            if length == 0 {
                break;
            }
            self.out.flush()?;
        }
        if let Some(line) = output.end()? {
            self.take(line, request.keep, &mut kept)?;
        }
        for line in kept {
            self.out.write_all(&line)?;
        }
        Ok(self.out.flush()?)
    }

    /// Shows `line`, or keeps it with the last `keep` of them, if it is wanted.
    fn take(
        &mut self,
        line: Line,
        keep: Option<usize>,
        kept: &mut VecDeque<Vec<u8>>,
    ) -> Result<(), Error> {
        if line.stream == Stream::Engine {
            let why = String::from_utf8_lossy(&line.text).into_owned();
            return Err(EngineError::Talk(io::Error::other(why)).into());
        }
        if !self.resumed.is_new(line.time) {
            return Ok(());
        }
        let Some(shown) = self.shown(&line) else {
            return Ok(());
        };
        match keep {
            None => self.out.write_all(shown.as_bytes())?,
            Some(count) => {
                kept.push_back(shown.into_bytes());
                kept.drain(..kept.len().saturating_sub(count));
            }
        }
        Ok(())
    }

    /// `None` if `--grep` leaves it out.
    fn shown(&self, line: &Line) -> Option<String> {
        let wall = wall_text(SystemTime::UNIX_EPOCH + Duration::from_nanos(line.time));
        let mut text = Vec::new();
        escape(&line.text, &mut text);
        let record = Record {
            wall: &wall,
            since_boot: "0.000000",
            boot: "00000000",
            priority: Priority::INFO,
            service: &self.container.name,
            stream: line.stream.name(),
            text: &text,
        };
        let grep = self.lines.grep.as_ref();
        if grep.is_some_and(|grep| !grep.is_match(&record.text())) {
            return None;
        }
        Some(match self.context.json {
            true => json(&record, &line.text),
            false => logs::line(&record, self.context.style),
        })
    }
}

/// A line of `text` as JSON: a record's keys, except those that the engine does not know.
fn json(record: &Record<'_>, text: &[u8]) -> String {
    #[derive(Serialize)]
    struct Json<'a> {
        time: &'a str,
        container: &'a str,
        stream: &'a str,
        text: &'a str,
    }
    let json = Json {
        time: record.wall,
        container: record.service,
        stream: record.stream,
        text: &String::from_utf8_lossy(text),
    };
    // Strings can always be serialised.
    harmless(&serde_json::to_string(&json).unwrap_or_default()) + "\n"
}

/// The beginning of what is wanted.
fn mark(since: SystemTime) -> Mark {
    let since = since.duration_since(SystemTime::UNIX_EPOCH);
    let nanoseconds = since.unwrap_or_default().as_nanos();
    Mark::at(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// What the command says for `error` about container `name`.
fn failure(name: &str, error: EngineError) -> Failed {
    match error {
        EngineError::Refused { status: 404, .. } => {
            Failed::NotSo(format!("there is no container `{name}`"))
        }
        EngineError::Connect { ref source, .. }
            if matches!(
                source.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            Failed::NotSo("the engine does not run".to_owned())
        }
        error => Failed::Engine(error),
    }
}

#[cfg(test)]
mod tests;
