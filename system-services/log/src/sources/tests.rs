use super::*;
use crate::testing::{Folder, pipe};
use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use tare_log_format::{Filter, Reader};

/// What this process waits for, it causes itself; the rest is slack for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    folder: Folder,
    desk: Desk,
    sources: Sources,
    _stop: UnixStream,
}

impl Bench {
    /// The ledgers of the sources go to the folder `ledgers`, which does not exist yet.
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let (stop, watched) = UnixStream::pair().unwrap();
        let sources = Sources::open(&folder.path("ledgers"), &watched, None).unwrap();
        Self {
            desk: folder.desk(0, 1),
            folder,
            sources,
            _stop: stop,
        }
    }

    fn add(&mut self, name: &str, descriptor: impl Into<OwnedFd>) {
        let stream = Stream {
            service: "a".to_owned(),
            name: name.to_owned(),
            descriptor: descriptor.into(),
        };
        self.sources.add(vec![stream], &mut self.desk);
    }

    /// One round of the service.
    fn round(&mut self) {
        let ready = self.sources.wait(Some(Duration::from_millis(10))).unwrap();
        self.sources.read(&ready, &mut self.desk);
        self.sources.tick(&mut self.desk);
    }

    /// Continues until a text of `stream` is `want`, and returns all texts of that stream.
    fn texts_until(&mut self, stream: &str, want: &str) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.round();
            let texts = self.texts(stream);
            if texts.iter().any(|text| text == want) {
                return texts;
            }
            assert!(Instant::now() < until, "{texts:?}");
        }
    }

    fn texts(&self, stream: &str) -> Vec<String> {
        let mut reader = Reader::open(&self.folder.path("log"), &Filter::default()).unwrap();
        let mut texts = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            if record.stream == stream {
                texts.push(record.text().into_owned());
            }
        }
        texts
    }
}

#[test]
fn a_pipe_that_cannot_be_read_is_read_later() {
    let mut bench = Bench::new("sources-read");
    let (read, mut writer) = pipe();
    bench.add("stdout", read);
    writer.write_all(b"one\ntwo").unwrap();
    drop(writer);
    bench.round();
    // Its hang-up is not reported again and again meanwhile, either.
    let ready = bench.sources.wait(Some(Duration::ZERO)).unwrap();
    assert_eq!(ready.tokens, [0; 0]);
    bench.folder.folder("ledgers");
    assert_eq!(bench.texts_until("stdout", "two"), ["one", "two"]);
    assert!(bench.sources.pipes[0].is_none());
}

#[test]
fn streams_that_cannot_be_listened_to_are_listened_to_later() {
    let mut bench = Bench::new("sources-add");
    let ledgers = bench.folder.folder("ledgers");
    // Folders cannot be opened for writing.
    for name in ["a.stdout", "syslog"] {
        fs::create_dir(ledgers.join(name)).unwrap();
    }
    let (socket, caller) = UnixDatagram::pair().unwrap();
    bench.add("syslog", socket);
    let (old, new) = (pipe(), pipe());
    for ((read, mut writer), text) in [(old, "old\n"), (new, "new\n")] {
        writer.write_all(text.as_bytes()).unwrap();
        bench.add("stdout", read);
    }
    caller.send(b"<13>caller: hello").unwrap();
    bench.round();
    assert!(bench.sources.is_busy());
    assert_eq!(bench.texts("stdout"), [""; 0]);
    for name in ["a.stdout", "syslog"] {
        fs::remove_dir(ledgers.join(name)).unwrap();
    }
    assert_eq!(bench.texts_until("stdout", "new"), ["old", "new"]);
    assert_eq!(bench.texts_until("syslog", "hello"), ["hello"]);
    assert!(bench.sources.unheard.is_empty());
}
