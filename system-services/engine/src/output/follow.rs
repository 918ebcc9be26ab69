//! The output of one container, on its way from dockerd.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use tare_engine_api::{Container, Engine, EngineError, Mark, Output, Resumed, Stream, Wanted};
use tare_log_format::escape;

/// Log drivers whose files are all that is kept of a container's output. Others have sent it elsewhere already:
/// `syslog` without an address, to this machine's log, which is forwarded.
const KEEPING: [&str; 2] = ["local", "json-file"];
/// How much is read of one container before it is the next one's turn.
const AT_ONCE: usize = 32 << 10;

/// Connections to dockerd for the output of a container, and for what it is.
#[derive(Debug)]
pub(super) struct Follow {
    id: String,
    /// The answer to what the container is, until it has arrived. Output waits for it.
    inspection: Option<(UnixStream, Vec<u8>)>,
    name: String,
    connection: UnixStream,
    output: Output,
    resumed: Resumed,
}

/// What became of a container's output.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    GoesOn,
    Ended,
}

impl Follow {
    /// Requests the output of container `id` after `mark`. What the container is may have been requested already.
    ///
    /// # Errors
    /// dockerd cannot be reached.
    pub(super) fn begin(
        engine: &Engine,
        id: &str,
        mark: Option<Mark>,
        inspection: Option<UnixStream>,
    ) -> Result<Self, EngineError> {
        let wanted = Wanted {
            follow: true,
            since: mark,
            last: None,
        };
        let connection = engine.output(id, &wanted)?;
        let inspection = inspection.map_or_else(|| engine.inspect(id), Ok)?;
        Ok(Self {
            id: id.to_owned(),
            inspection: Some((inspection, Vec::new())),
            name: String::new(),
            connection,
            output: Output::default(),
            resumed: Resumed::at(mark.unwrap_or_default()),
        })
    }

    /// The connection from which something is expected.
    pub(super) fn expected(&self) -> &UnixStream {
        let inspection = self.inspection.as_ref();
        inspection.map_or(&self.connection, |(connection, _)| connection)
    }

    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }

    pub(super) fn mark(&self) -> Mark {
        self.resumed.mark()
    }

    /// Takes what has arrived, and appends complete lines to `out`, one message each.
    ///
    /// # Errors
    /// dockerd refused, or the connection broke.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) -> Result<Outcome, EngineError> {
        let mut buffer = vec![0; AT_ONCE];
        if let Some((connection, answer)) = &mut self.inspection {
            let length = read(connection, &mut buffer)?;
            answer.extend_from_slice(&buffer[..length]);
            if length > 0 {
                return Ok(Outcome::GoesOn);
            }
            let container = Container::parse(answer)?;
            if !KEEPING.contains(&&*container.log_driver) {
                return Ok(Outcome::Ended);
            }
            self.name = container.name;
            self.inspection = None;
            return Ok(Outcome::GoesOn);
        }
        let length = read(&mut self.connection, &mut buffer)?;
        self.output.push(&buffer[..length]);
        while let Some(line) = self.output.next_line()? {
            self.pass(&line, out);
        }
        if length > 0 {
            return Ok(Outcome::GoesOn);
        }
        let last = std::mem::take(&mut self.output).end()?;
        if let Some(line) = last {
            self.pass(&line, out);
        }
        Ok(Outcome::Ended)
    }

    fn pass(&mut self, line: &tare_engine_api::Line, out: &mut Vec<u8>) {
        if line.stream == Stream::Engine {
            let text = String::from_utf8_lossy(&line.text);
            eprintln!("<4>output of container {}: {text}", self.name);
            return;
        }
        if self.resumed.is_new(line.time) {
            let (id, mark, name) = (&self.id, self.resumed.mark(), &self.name);
            // Writing to a vector does not fail.
            let _ = write!(out, "{id} {mark} {} {name} ", line.stream.name());
            escape(&line.text, out);
            out.push(b'\n');
        }
    }
}

/// Reads what has arrived; 0 at the end.
fn read(connection: &mut UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match connection.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
