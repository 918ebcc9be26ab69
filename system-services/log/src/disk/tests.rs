use super::*;
use crate::testing::Folder;

const LINE: &[u8] = b"1970-01-02T00:00:00.000Z 1.000000 3f2a90c1 6 a stdout x\n";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn limits(file: u64, total: u64) -> Limits {
    let age = DAY;
    Limits { file, total, age }
}

fn disk(folder: &Folder, file: u64, total: u64) -> Disk {
    Disk::new(&folder.root(), limits(file, total))
}

fn write(disk: &mut Disk, lines: &[u8]) -> Place {
    let place = disk.place(lines.len() as u64).unwrap();
    disk.append(lines).unwrap();
    place
}

#[test]
fn lines_are_appended_over_restarts() {
    let folder = Folder::new("disk-append");
    for _ in 0..2 {
        write(&mut disk(&folder, 1000, 4000), b"line\n");
    }
    assert_eq!(folder.read("current.log"), "line\nline\n");
}

#[test]
fn a_line_that_was_cut_off_is_ended() {
    let folder = Folder::new("disk-cut");
    std::fs::write(folder.path("current.log"), "half a li").unwrap();
    write(&mut disk(&folder, 1000, 4000), b"next\n");
    assert_eq!(folder.read("current.log"), "half a li\nnext\n");
}

#[test]
fn files_are_rotated_and_the_oldest_go() {
    let folder = Folder::new("disk-rotate");
    std::fs::write(folder.path("notes.log"), "mine").unwrap();
    std::fs::create_dir(folder.path("crash")).unwrap();
    let mut disk = disk(&folder, 100, 400);
    for _ in 0..20 {
        write(&mut disk, LINE);
    }
    // One line fits in a file, and the files in 400 bytes leave 100 for the next one.
    let rotated = (15..20).map(|number| format!("{number:08}.log"));
    let others = ["crash", "current.log", "notes.log"].map(str::to_owned);
    let want: Vec<String> = rotated.chain(others).collect();
    assert_eq!(folder.names(), want);
}

#[test]
fn numbers_go_on_when_all_files_are_gone() {
    let folder = Folder::new("disk-numbers");
    let mut disk = disk(&folder, 10, 1000);
    for _ in 0..2 {
        write(&mut disk, LINE);
        write(&mut disk, LINE);
        for name in folder.names().iter().filter(|name| name.starts_with('0')) {
            std::fs::remove_file(folder.path(name)).unwrap();
        }
    }
    write(&mut disk, LINE);
    assert_eq!(folder.names(), ["00000004.log", "current.log"]);
}

#[test]
fn a_write_that_was_cut_short_is_undone_and_another_is_left() {
    let folder = Folder::new("disk-finished");
    for (there, want, left) in [
        ("before\n", false, "before\n"),
        ("before\nhal", false, "before\n"),
        ("before\nwhole\n", true, "before\nwhole\n"),
        ("before\nwhole\nmore\n", true, "before\nwhole\nmore\n"),
    ] {
        std::fs::write(folder.path("current.log"), there).unwrap();
        let file = std::fs::metadata(folder.path("current.log")).unwrap().ino();
        let place = Place {
            file,
            offset: 7,
            length: 6,
        };
        let disk = disk(&folder, 1000, 4000);
        assert_eq!(disk.finished(place).unwrap(), want, "{there:?}");
        assert_eq!(folder.read("current.log"), left);
        let elsewhere = Place {
            file: file + 1,
            ..place
        };
        assert!(disk.finished(elsewhere).unwrap());
    }
}

#[test]
fn a_removed_or_truncated_file_is_noticed() {
    let folder = Folder::new("disk-check");
    let mut disk = disk(&folder, 1000, 4000);
    write(&mut disk, b"one\n");
    std::fs::remove_file(folder.path("current.log")).unwrap();
    disk.check();
    write(&mut disk, b"two\n");
    std::fs::write(folder.path("current.log"), "").unwrap();
    disk.check();
    assert_eq!(write(&mut disk, b"three\n").offset, 0);
    assert_eq!(folder.read("current.log"), "three\n");
}

#[test]
fn old_files_go_only_by_a_clock_that_follows_a_time_source() {
    let folder = Folder::new("disk-age");
    let mut disk = disk(&folder, 10, 1000);
    write(&mut disk, LINE);
    write(&mut disk, LINE);
    let now = SystemTime::now();
    // A clock that is thirty years ahead throughout.
    for days in [0, 1, 60] {
        let ahead = now + DAY * (365 * 30 + days);
        disk.expire(ahead, false).unwrap();
        assert_eq!(folder.names(), ["00000001.log", "current.log"]);
    }
    // On a machine whose clock stood at 1970 when they were written.
    let old = fs::File::open(folder.root().join("00000001.log")).unwrap();
    let written = old.metadata().unwrap().modified().unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH + DAY).unwrap();
    disk.expire(now + DAY * 2, true).unwrap();
    // The current file is rotated because of its first line's age, and is then too old itself.
    assert_eq!(folder.names(), ["00000001.log"]);
    old.set_modified(written).unwrap();
    disk.expire(now + DAY * 2, true).unwrap();
    assert_eq!(folder.names(), [""; 0]);
    write(&mut disk, LINE);
    assert_eq!(folder.names(), ["current.log"]);
}
