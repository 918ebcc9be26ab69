use super::*;
use crate::testing::{Folder, pipe};
use std::fs::File;
use std::io::Write;
use tare_log_format::{Filter, Moment, Reader};

struct Bench {
    folder: Folder,
    desk: Desk,
    pipe: Pipe,
    writer: File,
}

impl Bench {
    fn new(name: &str, lines: u32, burst: u32) -> Self {
        let folder = Folder::new(name);
        let desk = folder.desk(lines, burst);
        let (read, writer) = pipe();
        let pipe = Pipe::new("a", "stdout", read.into(), &folder.path("state")).unwrap();
        Self {
            folder,
            desk,
            pipe,
            writer,
        }
    }

    fn texts(&self) -> Vec<String> {
        let mut reader = Reader::open(&self.folder.path("log"), &Filter::default()).unwrap();
        let mut texts = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            let (priority, stream) = (record.priority.number(), record.stream);
            texts.push(format!("{priority} {stream} {}", record.text()));
        }
        texts
    }

    /// Advances the time.
    fn later(&mut self, seconds: u64) {
        self.desk.now = Moment {
            since_boot: self.desk.now.since_boot + Duration::from_secs(seconds),
            ..self.desk.now
        };
    }
}

#[test]
fn lines_with_and_without_a_priority() {
    let mut bench = Bench::new("pipe-lines", 0, 1);
    bench.writer.write_all(b"one\n<3>two\nthr").unwrap();
    let want = Taken {
        bytes: 14,
        flooded: false,
    };
    assert_eq!(bench.pipe.read(&mut bench.desk).unwrap(), want);
    bench.writer.write_all(b"ee\n").unwrap();
    bench.pipe.read(&mut bench.desk).unwrap();
    assert_eq!(
        bench.texts(),
        ["6 stdout one", "3 stdout two", "6 stdout three"]
    );
}

#[test]
fn an_open_line_is_ended_once_nothing_came_for_a_while() {
    let mut bench = Bench::new("pipe-open", 0, 1);
    bench.writer.write_all(b"login: ").unwrap();
    bench.pipe.read(&mut bench.desk).unwrap();
    bench.pipe.tick(&mut bench.desk);
    assert_eq!(bench.texts(), [""; 0]);
    assert!(bench.pipe.is_busy());
    bench.pipe.tick(&mut bench.desk);
    assert_eq!(bench.texts(), ["6 stdout login: "]);
    assert!(!bench.pipe.is_busy());
}

#[test]
fn what_is_too_much_is_dropped_and_counted() {
    let mut bench = Bench::new("pipe-flood", 10, 3);
    bench.writer.write_all(b"1\n2\n3\n4\n5\n").unwrap();
    assert!(bench.pipe.read(&mut bench.desk).unwrap().flooded);
    assert_eq!(bench.texts(), ["6 stdout 1", "6 stdout 2", "6 stdout 3"]);
    bench.later(1);
    bench.writer.write_all(b"6\n").unwrap();
    assert!(!bench.pipe.read(&mut bench.desk).unwrap().flooded);
    let note = "4 dropped 2 lines dropped: more than 10 a second";
    assert_eq!(bench.texts()[3..], [note, "6 stdout 6"]);
}

#[test]
fn the_next_run_goes_on_with_an_open_line() {
    let mut bench = Bench::new("pipe-restart", 0, 1);
    bench.writer.write_all(b"one\ntw").unwrap();
    bench.pipe.drain(&mut bench.desk);
    assert_eq!(bench.texts(), ["6 stdout one"]);
    bench.writer.write_all(b"o\n").unwrap();
    let copy = bench.pipe.as_fd().try_clone_to_owned().unwrap();
    bench.pipe = Pipe::new("a", "stdout", copy, &bench.folder.path("state")).unwrap();
    bench.pipe.read(&mut bench.desk).unwrap();
    assert_eq!(bench.texts(), ["6 stdout one", "6 stdout two"]);
}

#[test]
fn an_open_line_without_a_writer_is_not_left_to_the_next_run() {
    let mut bench = Bench::new("pipe-ended", 0, 1);
    bench.writer.write_all(b"last words").unwrap();
    bench.writer = pipe().1;
    bench.pipe.drain(&mut bench.desk);
    assert_eq!(bench.texts(), ["6 stdout last words"]);
}

#[test]
fn the_end_of_a_stream_ends_its_line_and_its_ledger() {
    let mut bench = Bench::new("pipe-end", 0, 1);
    bench.writer.write_all(b"last words").unwrap();
    bench.pipe.read(&mut bench.desk).unwrap();
    let Bench {
        writer,
        mut pipe,
        mut desk,
        folder,
    } = bench;
    drop(writer);
    assert_eq!(
        pipe.read(&mut desk).unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    pipe.close(&mut desk);
    assert!(
        folder
            .read("log/current.log")
            .ends_with("a stdout last words\n")
    );
    assert!(!folder.path("state/a.stdout").exists());
}
