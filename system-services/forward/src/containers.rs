//! The output of containers. The service `engine` reads it from the engine and passes it on over a socket, from where
//! the receiver has it; the engine's files are the buffer.
//!
//! Over a connection, this end sends its marks as one line of JSON. The other end sends a line for each line of a
//! container, `ID MARK STREAM NAME TEXT` with the text escaped as in the log, and `ID -` for a container that is
//! removed.

use crate::place::Marks;
use std::collections::BTreeMap;
use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;
use tare_engine_api::Mark;

/// The first descriptor that PID 1 hands over (`sd_listen_fds(3)`).
const SOCKET: i32 = 3;
/// The other end reads the marks before anything else. If it is stopped, the log does not wait for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// How much is read at once.
const AT_ONCE: usize = 64 << 10;

/// A line that a container has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) mark: Mark,
    pub(crate) stream: String,
    pub(crate) name: String,
    /// Escaped as in the log.
    pub(crate) text: Vec<u8>,
}

/// What the other end says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    Line(Line),
    Removed(String),
}

/// The socket, and the connection of the service `engine`, if it is there.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    listener: Option<UnixListener>,
    link: Option<Link>,
    /// Up to where lines have been returned.
    marks: Marks,
    /// What has changed of them since that was last asked for.
    changes: BTreeMap<String, Option<Mark>>,
}

#[derive(Debug)]
struct Link {
    stream: UnixStream,
    bytes: Vec<u8>,
    /// Up to where `bytes` have been returned.
    taken: usize,
}

impl Containers {
    /// Listens on the socket that PID 1 hands over; without one there are no lines.
    pub(crate) fn listen() -> io::Result<Self> {
        let is = |name: &str, want: &str| env::var(name).is_ok_and(|value| value == want);
        if !is("LISTEN_FDS", "1") || !is("LISTEN_PID", &std::process::id().to_string()) {
            return Ok(Self::default());
        }
        // SAFETY: PID 1 passed this descriptor open, and nothing else in this process uses it.
        Self::of(unsafe { UnixListener::from_raw_fd(SOCKET) })
    }

    fn of(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: Some(listener),
            ..Self::default()
        })
    }

    /// Begins anew at `marks`.
    pub(crate) fn begin(&mut self, marks: &Marks) {
        self.link = None;
        self.marks = marks.clone();
        self.changes.clear();
    }

    /// The next line; `None` if there is none yet.
    pub(crate) fn next_line(&mut self) -> Option<Line> {
        loop {
            match self.try_next() {
                Ok(Some(Message::Line(line))) => {
                    self.marks.insert(line.id.clone(), line.mark);
                    self.changes.insert(line.id.clone(), Some(line.mark));
                    return Some(line);
                }
                Ok(Some(Message::Removed(id))) => {
                    self.marks.remove(&id);
                    self.changes.insert(id, None);
                }
                Ok(None) => return None,
                Err(error) => {
                    self.link = None;
                    // It has ended, and comes back.
                    if error.kind() != ErrorKind::UnexpectedEof {
                        eprintln!("<4>output of containers: {error}");
                    }
                }
            }
        }
    }

    /// What has changed of the marks since the last call.
    pub(crate) fn changes(&mut self) -> BTreeMap<String, Option<Mark>> {
        std::mem::take(&mut self.changes)
    }

    fn try_next(&mut self) -> io::Result<Option<Message>> {
        let link = match &mut self.link {
            Some(link) => link,
            None => match accept(self.listener.as_ref(), &self.marks)? {
                Some(link) => self.link.insert(link),
                None => return Ok(None),
            },
        };
        loop {
            if let Some(message) = link.take()? {
                return Ok(Some(message));
            }
            if !link.read()? {
                return Ok(None);
            }
        }
    }
}

fn accept(listener: Option<&UnixListener>, marks: &Marks) -> io::Result<Option<Link>> {
    let mut stream = match listener.map(UnixListener::accept) {
        Some(Ok((stream, _))) => stream,
        Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => return Err(error),
        _ => return Ok(None),
    };
    let mut begin = serde_json::to_vec(marks)?;
    begin.push(b'\n');
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&begin)?;
    stream.set_nonblocking(true)?;
    Ok(Some(Link {
        stream,
        bytes: Vec::new(),
        taken: 0,
    }))
}

impl Link {
    /// The next message that has arrived.
    fn take(&mut self) -> io::Result<Option<Message>> {
        let rest = &self.bytes[self.taken..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let message = parse(&rest[..end]);
        self.taken += end + 1;
        let odd = || io::Error::new(ErrorKind::InvalidData, "not a line of a container");
        message.map(Some).ok_or_else(odd)
    }

    /// Reads what has arrived; whether there was anything.
    fn read(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        let longest = tare_log_format::LONGEST_LINE + AT_ONCE;
        if self.bytes.len() > longest {
            return Err(io::Error::new(ErrorKind::InvalidData, "a line without end"));
        }
        let mut buffer = vec![0; AT_ONCE];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.bytes.extend_from_slice(&buffer[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn parse(line: &[u8]) -> Option<Message> {
    let mut fields = line.splitn(5, |byte| *byte == b' ');
    let mut word = || {
        let word = std::str::from_utf8(fields.next()?).ok()?;
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic());
        is_word.then(|| word.to_owned())
    };
    let (id, mark) = (word()?, word()?);
    if mark == "-" {
        return Some(Message::Removed(id));
    }
    Some(Message::Line(Line {
        id,
        mark: mark.parse().ok()?,
        stream: word()?,
        name: word()?,
        text: fields.next()?.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::path::PathBuf;

    /// The socket, and what listens there.
    fn listening(name: &str) -> (PathBuf, Containers) {
        let name = format!("tare-forward-{name}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let containers = Containers::of(UnixListener::bind(&path).unwrap()).unwrap();
        (path, containers)
    }

    /// The marks that a new connection begins with.
    fn begun(stream: &UnixStream) -> String {
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn a_connection_goes_on_where_the_last_one_was() {
        let (path, mut containers) = listening("goes-on");
        containers.begin(&[("a".to_owned(), Mark::at(5)), ("c".to_owned(), Mark::at(6))].into());
        assert_eq!(containers.next_line(), None);
        let mut stream = UnixStream::connect(&path).unwrap();
        assert_eq!(containers.next_line(), None);
        assert_eq!(begun(&stream), "{\"a\":\"5:0\",\"c\":\"6:0\"}\n");
        stream
            .write_all(b"a 7:2 stdout web x \\x1b\nb 8:1 stderr db \nc -\nb 9:1 st")
            .unwrap();
        let line = |id: &str, mark: &str, stream: &str, name: &str, text: &[u8]| Line {
            id: id.to_owned(),
            mark: mark.parse().unwrap(),
            stream: stream.to_owned(),
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let first = line("a", "7:2", "stdout", "web", b"x \\x1b");
        assert_eq!(containers.next_line(), Some(first));
        let second = line("b", "8:1", "stderr", "db", b"");
        assert_eq!(containers.next_line(), Some(second));
        assert_eq!(containers.next_line(), None);
        let changes = [
            ("a", "7:2".parse().ok()),
            ("b", "8:1".parse().ok()),
            ("c", None),
        ];
        let changes = changes.map(|(id, mark)| (id.to_owned(), mark));
        assert_eq!(containers.changes(), changes.into());
        assert_eq!(containers.changes(), BTreeMap::new());
        drop(stream);
        assert_eq!(containers.next_line(), None);
        // What has been returned is not sent again over the next one, but from the marks of a new beginning.
        let stream = UnixStream::connect(&path).unwrap();
        assert_eq!(containers.next_line(), None);
        assert_eq!(begun(&stream), "{\"a\":\"7:2\",\"b\":\"8:1\"}\n");
        containers.begin(&Marks::new());
        assert_eq!((&stream).read(&mut [0; 9]).unwrap(), 0);
        let stream = UnixStream::connect(&path).unwrap();
        assert_eq!(containers.next_line(), None);
        assert_eq!(begun(&stream), "{}\n");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn marks_that_are_not_read_keep_nothing_waiting() {
        let (path, mut containers) = listening("stopped");
        // More than a socket's buffer holds.
        let marks = (0..100_000).map(|id: u32| (format!("{id:064x}"), Mark::at(1)));
        containers.begin(&marks.collect());
        let stream = UnixStream::connect(&path).unwrap();
        assert_eq!(containers.next_line(), None);
        drop(stream);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_not_a_line_ends_the_connection() {
        let (path, mut containers) = listening("odd");
        for text in ["a\n", "a b stdout web x\n", "a 1:1 stdout web\n", "\n"] {
            let mut stream = UnixStream::connect(&path).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
            assert_eq!(containers.next_line(), None);
            begun(&stream);
            assert_eq!(stream.read(&mut [0; 9]).unwrap_or(0), 0, "{text:?}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
