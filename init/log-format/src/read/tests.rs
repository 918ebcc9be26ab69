use super::*;
use crate::record::{Moment, Priority, Stamp, push};
use regex_lite::Regex;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

mod recent;

/// A temporary folder, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tare-read-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn append(&self, file: &str, bytes: &[u8]) {
        let path = self.0.join(file);
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
    }

    fn rotate(&self, number: u64) {
        let files = Files::of(&self.0);
        fs::rename(files.current(), files.rotated_path(number)).unwrap();
    }

    fn read(&self, filter: &Filter) -> Vec<String> {
        texts(&mut Reader::open(&self.0, filter).unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn texts(reader: &mut Reader) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        texts.push(record.text().into_owned());
    }
    texts
}

/// A record at `seconds`.
fn line(seconds: u64, boot: &str, service: &str, text: &str) -> Vec<u8> {
    let moment = Moment {
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        since_boot: Duration::from_secs(seconds),
    };
    let mut out = Vec::new();
    let stamp = Stamp::new(moment, boot);
    push(
        &mut out,
        &stamp,
        Priority::INFO,
        [service, "stdout"],
        text.as_bytes(),
    );
    out
}

const A: &str = "aaaaaaaa";
const B: &str = "bbbbbbbb";
const C: &str = "cccccccc";

#[test]
fn what_each_filter_lets_through() {
    let folder = Folder::new("filter");
    folder.append("00000002.log", &line(1, A, "ssh", "one"));
    folder.append("00000010.log", &line(2, B, "ssh", "two"));
    folder.append("00000010.log", &line(3, B, "time", "three"));
    folder.append(crate::CURRENT, &line(4, C, "engine", "four"));
    let filter = Filter::default;
    let services = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    for (filter, want) in [
        (filter(), vec!["one", "two", "three", "four"]),
        (
            Filter {
                services: services(&["ssh"]),
                ..filter()
            },
            vec!["one", "two"],
        ),
        (
            Filter {
                services: services(&["ssh", "time"]),
                ..filter()
            },
            vec!["one", "two", "three"],
        ),
        (
            Filter {
                since: at(3),
                ..filter()
            },
            vec!["three", "four"],
        ),
        (
            Filter {
                boot: Some(Boot::Back(0)),
                ..filter()
            },
            vec!["four"],
        ),
        (
            Filter {
                boot: Some(Boot::Back(1)),
                ..filter()
            },
            vec!["two", "three"],
        ),
        (
            Filter {
                boot: Some(Boot::Id(A.to_owned())),
                ..filter()
            },
            vec!["one"],
        ),
        (
            Filter {
                grep: Some(Regex::new("^t.*[eo]$").unwrap()),
                ..filter()
            },
            vec!["two", "three"],
        ),
    ] {
        assert_eq!(folder.read(&filter), want, "{filter:?}");
    }
    let gone = Filter {
        boot: Some(Boot::Back(3)),
        ..filter()
    };
    let error = Reader::open(&folder.0, &gone).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the log has no boot -3: it does not reach back so far"
    );
}

#[test]
fn what_is_no_record_is_passed_over() {
    let folder = Folder::new("foreign");
    fs::create_dir(folder.0.join("crash")).unwrap();
    folder.append("notes.log", &line(1, A, "a", "not one of the files"));
    folder.append("00000001.log", b"an earlier format\n\xff\xfe\n\n");
    folder.append("00000001.log", &line(1, A, "a", "good"));
    folder.append("00000001.log", &vec![b'x'; 300 << 10]);
    folder.append("00000001.log", b"\n");
    folder.append("00000001.log", &line(2, A, "a", "after a long line"));
    folder.append(crate::CURRENT, b"1970-01-01T00:00:02.000Z 2.0\n");
    folder.append(crate::CURRENT, &line(3, B, "a", "after a torn one"));
    // A hole that a power cut left.
    folder.append(
        crate::CURRENT,
        &line(4, B, "a", "cut off here")[..line(4, B, "a", "cut off").len() - 1],
    );
    folder.append(crate::CURRENT, &vec![0; 200 << 10]);
    folder.append(crate::CURRENT, &line(5, B, "a", "after a hole"));
    folder.append(crate::CURRENT, &[0; 100]);
    folder.append(crate::CURRENT, b"\n");
    folder.append(crate::CURRENT, &line(6, B, "a", "not yet complete")[..70]);
    let want = [
        "good",
        "after a long line",
        "after a torn one",
        "cut off",
        "after a hole",
    ];
    assert_eq!(folder.read(&Filter::default()), want);
}

#[test]
fn an_empty_folder_and_none() {
    let folder = Folder::new("empty");
    assert_eq!(folder.read(&Filter::default()), [""; 0]);
    let gone = Reader::open(&folder.0.join("gone"), &Filter::default())
        .unwrap()
        .next()
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_written_meanwhile_is_found_over_rotations() {
    let folder = Folder::new("follow");
    let mut reader = Reader::open(&folder.0, &Filter::default()).unwrap();
    reader.watch().unwrap();
    let mut found = Vec::new();
    for number in 1..=20_u64 {
        let text = number.to_string();
        let record = line(number, A, "a", &text);
        // In two writes, the first of which ends inside the record.
        folder.append(crate::CURRENT, &record[..30]);
        assert_eq!(texts(&mut reader), [""; 0]);
        folder.append(crate::CURRENT, &record[30..]);
        if number % 3 == 0 {
            folder.rotate(number);
        }
        reader.wait(Some(Duration::from_secs(10))).unwrap();
        found.extend(texts(&mut reader));
    }
    let want: Vec<String> = (1..=20).map(|number| number.to_string()).collect();
    assert_eq!(found, want);
}

#[test]
fn a_position_outlives_rotation_and_renaming() {
    let folder = Folder::new("position");
    for number in 1..=3 {
        folder.append(crate::CURRENT, &line(number, A, "a", &number.to_string()));
    }
    let mut reader = Reader::open(&folder.0, &Filter::default()).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().text(), "1");
    let position = reader.position().unwrap();
    folder.rotate(1);
    folder.append(crate::CURRENT, &line(4, A, "a", "4"));
    let mut resumed = Reader::resume(&folder.0, &position).unwrap().unwrap();
    assert_eq!(texts(&mut resumed), ["2", "3", "4"]);
    fs::remove_file(Files::of(&folder.0).rotated_path(1)).unwrap();
    assert!(Reader::resume(&folder.0, &position).unwrap().is_none());
    let mut fresh = Reader::resume(&folder.0, &Position::default())
        .unwrap()
        .unwrap();
    assert_eq!(texts(&mut fresh), ["4"]);
}

#[test]
fn a_power_cut_hides_nothing_of_the_next_boot() {
    let folder = Folder::new("cut");
    for number in 1..=4 {
        folder.append(crate::CURRENT, &line(number, A, "a", &number.to_string()));
    }
    let mut reader = Reader::open(&folder.0, &Filter::default()).unwrap();
    assert_eq!(texts(&mut reader).len(), 4);
    let position = reader.position().unwrap();
    let resume = || texts(&mut Reader::resume(&folder.0, &position).unwrap().unwrap());
    assert_eq!(resume(), [""; 0]);
    // The disk has the first two; the next boot writes after them.
    let current = OpenOptions::new()
        .write(true)
        .open(folder.0.join(crate::CURRENT));
    current.unwrap().set_len(position.offset / 2).unwrap();
    assert_eq!(resume(), [""; 0]);
    for number in 5..=8 {
        folder.append(crate::CURRENT, &line(number, B, "a", &number.to_string()));
    }
    assert_eq!(resume(), ["5", "6", "7", "8"]);
}
