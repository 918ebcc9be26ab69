use super::*;
use crate::disk::Limits;
use crate::limit::{Buckets, Rate};
use crate::store::Store;
use crate::testing::Folder;
use std::time::Duration;

fn desk(folder: &Folder) -> Desk {
    let limits = Limits {
        file: 1 << 20,
        total: 4 << 20,
        age: Duration::from_secs(3600),
    };
    let (log, state) = (folder.folder("log"), folder.folder("state"));
    let store = Store::open(&log, &state, limits, "3f2a90c1").unwrap();
    Desk::new(store, Buckets::new(Rate { lines: 0, burst: 1 }))
}

fn leave(folder: &Folder, name: &str, text: &str, seconds: u64) {
    let path = folder.folder("pstore").join(name);
    fs::write(&path, text).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

fn run(folder: &Folder) {
    let (pstore, log, state) = (
        folder.folder("pstore"),
        folder.folder("log"),
        folder.folder("state"),
    );
    collect(&pstore, &log, &state, &mut desk(folder)).unwrap();
}

#[test]
fn records_are_moved_and_noted_once() {
    let folder = Folder::new("crash-moved");
    run(&folder);
    let parts = [
        "Panic#1 Part1\n[ 2.0] Kernel panic: x\n",
        "Panic#1 Part2\n[ 1.0] before\n",
    ];
    // As after a run that was killed between copying and removing: the records are there again.
    for _ in 0..2 {
        leave(&folder, "dmesg-efi_pstore-1", parts[0], 86_400);
        leave(&folder, "dmesg-efi_pstore-2", parts[1], 86_399);
        run(&folder);
    }
    assert_eq!(fs::read_dir(folder.path("pstore")).unwrap().count(), 0);
    let kept = folder.read("log/crash/1970-01-02T00:00:00Z/dmesg.txt");
    assert_eq!(kept, "[ 1.0] before\n[ 2.0] Kernel panic: x\n");
    assert_eq!(
        folder.read("log/crash/1970-01-02T00:00:00Z/dmesg-efi_pstore-1"),
        parts[0]
    );
    let log = folder.read("log/current.log");
    let want =
        "kernel pstore an earlier boot crashed, see crash/1970-01-02T00:00:00Z: Kernel panic: x\n";
    assert!(log.ends_with(want) && log.lines().count() == 1, "{log}");
}

#[test]
fn the_oldest_crashes_go() {
    let folder = Folder::new("crash-many");
    for number in 0..20 {
        leave(&folder, "console-ramoops-0", "words", number);
        run(&folder);
    }
    let kept = fs::read_dir(folder.path("log/crash")).unwrap().count();
    assert_eq!(kept, KEPT);
    assert!(folder.path("log/crash/1970-01-01T00:00:19Z").exists());
}
