use super::*;
use std::time::{Duration, SystemTime};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tare-log-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn store(&self, file: u64, total: u64) -> Store {
        Store::new(&self.0, Limits { file, total })
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn entry(text: &[u8]) -> Entry<'_> {
    Entry {
        at: Moment {
            wall: SystemTime::UNIX_EPOCH,
            since_boot: Duration::ZERO,
        },
        who: "a",
        place: "stdout",
        text,
    }
}

const HEAD: &str = "1970-01-01T00:00:00.000Z 0.000000 a stdout ";

#[test]
fn lines_are_appended_over_restarts() {
    let folder = Folder::new("append");
    for text in ["one", "two"] {
        let mut store = folder.store(1000, 4000);
        store.push(&entry(text.as_bytes()));
        store.close();
    }
    assert_eq!(folder.read(CURRENT), format!("{HEAD}one\n{HEAD}two\n"));
}

#[test]
fn a_line_that_was_cut_off_is_ended() {
    let folder = Folder::new("cut");
    fs::write(folder.0.join(CURRENT), "half a li").unwrap();
    let mut store = folder.store(1000, 4000);
    store.push(&entry(b"next"));
    store.close();
    assert_eq!(folder.read(CURRENT), format!("half a li\n{HEAD}next\n"));
}

#[test]
fn files_are_rotated_and_the_oldest_go() {
    let folder = Folder::new("rotate");
    let mut store = folder.store(100, 400);
    for number in 0..20 {
        store.push(&entry(format!("{number:057}").as_bytes()));
        store.write();
    }
    // A line is 101 bytes: each fills a file, and of four one is kept free for the next.
    assert_eq!(folder.files(), ["00000019.log", "00000020.log"]);
    assert!(folder.read("00000020.log").ends_with("0019\n"));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let folder = Folder::new("others");
    fs::write(folder.0.join("notes.log"), "mine").unwrap();
    let mut store = folder.store(10, 10);
    store.push(&entry(b"text"));
    store.close();
    assert_eq!(folder.files(), ["notes.log"]);
}

#[test]
fn lines_wait_in_bounded_memory_until_they_can_be_written() {
    let folder = Folder::new("wait");
    let gone = folder.0.join("not-yet");
    let mut store = Store::new(
        &gone,
        Limits {
            file: 1 << 20,
            total: 4 << 20,
        },
    );
    for number in 0..20_000 {
        store.push(&entry(format!("{number}").as_bytes()));
    }
    store.write();
    assert!(store.waiting.len() <= KEPT + 100);
    let lost = store.lost;
    fs::create_dir(&gone).unwrap();
    store.write();
    let text = fs::read_to_string(gone.join(CURRENT)).unwrap();
    let note = format!("log store {lost} lines lost while nothing could be written\n");
    assert!(text.ends_with(&note), "{}", text.lines().last().unwrap());
    assert_eq!(text.lines().count() as u64 - 1 + lost, 20_000);
    assert!(text.contains(&format!("{HEAD}19999\n")));
}

#[test]
fn a_full_disk_costs_the_oldest_file() {
    let folder = Folder::new("full");
    fs::write(folder.0.join("00000001.log"), "old").unwrap();
    fs::write(folder.0.join("00000002.log"), "young").unwrap();
    folder
        .store(100, 400)
        .fail(&io::ErrorKind::StorageFull.into());
    assert_eq!(folder.files(), ["00000002.log"]);
}
