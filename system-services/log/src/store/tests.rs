use super::*;
use crate::testing::Folder;

const LIMITS: Limits = Limits {
    file: 1 << 20,
    total: 4 << 20,
    age: Duration::from_secs(3600),
};

fn store(folder: &Folder) -> Store {
    let (log, state) = (folder.path("log"), folder.folder("state"));
    Store::open(&log, &state, LIMITS, "3f2a90c1").unwrap()
}

fn ledger(folder: &Folder) -> Ledger {
    Ledger::open(&folder.folder("state").join("a.stdout")).unwrap()
}

fn mark(done: u64) -> Mark {
    Mark { done, dropped: 0 }
}

#[test]
fn a_write_and_its_step_are_one() {
    for (there, want) in [("one\ntw", 1), ("one\n", 1), ("one\ntwo\n", 2)] {
        let folder = Folder::new("store-one");
        folder.folder("log");
        let (mut store, mut ledger) = (store(&folder), ledger(&folder));
        store.commit(&mut ledger, mark(1), b"one\n");
        store.commit(&mut ledger, mark(2), b"two\n");
        // As after a kill in the second write.
        let log = folder.path("log").join("current.log");
        fs::File::options()
            .write(true)
            .open(&log)
            .unwrap()
            .set_len(there.len() as u64)
            .unwrap();
        let mut store = self::store(&folder);
        let mut ledger = self::ledger(&folder);
        assert_eq!(ledger.mark(), mark(want), "{there:?}");
        store.commit(&mut ledger, mark(3), b"three\n");
        let kept = ["one\n", "two\n"][..want as usize].concat();
        assert_eq!(folder.read("log/current.log"), format!("{kept}three\n"));
    }
}

#[test]
fn only_the_last_write_can_have_been_cut_short() {
    let folder = Folder::new("store-last");
    folder.folder("log");
    let (mut store, mut first) = (store(&folder), ledger(&folder));
    let mut second = Ledger::open(&folder.path("state").join("b.stdout")).unwrap();
    store.commit(&mut first, mark(1), b"a long line\n");
    store.commit(&mut second, mark(1), b"b\n");
    // Another process truncated the file while nothing was being written.
    fs::write(folder.path("log").join("current.log"), "").unwrap();
    self::store(&folder);
    assert_eq!(ledger(&folder).mark(), mark(1));
}

#[test]
fn lines_wait_for_the_disk_over_restarts() {
    let folder = Folder::new("store-wait");
    let (mut store, mut ledger) = (store(&folder), ledger(&folder));
    store.commit(&mut ledger, mark(1), b"one\n");
    store.tick();
    assert!(store.waits());
    let mut store = self::store(&folder);
    store.commit(&mut ledger, mark(2), b"two\n");
    folder.folder("log");
    store.commit(&mut ledger, mark(3), b"three\n");
    store.tick();
    assert!(!store.waits());
    store.commit(&mut ledger, mark(4), b"four\n");
    assert_eq!(folder.read("log/current.log"), "one\ntwo\nthree\nfour\n");
    assert_eq!(folder.path("state").read_dir().unwrap().count(), 2);
}

#[test]
fn old_files_are_looked_for_soon_after_the_start() {
    let folder = Folder::new("store-old");
    let old = fs::File::create(folder.folder("log").join("00000001.log")).unwrap();
    let now = Moment::now();
    old.set_modified(now.wall - LIMITS.age * 2).unwrap();
    let mut store = store(&folder);
    for (minutes, there) in [(1, true), (6, false)] {
        let passed = Duration::from_secs(minutes * 60);
        let later = Moment {
            wall: now.wall + passed,
            since_boot: now.since_boot + passed,
        };
        store.expire(later, true);
        assert_eq!(folder.path("log/00000001.log").exists(), there, "{minutes}");
    }
}

#[test]
fn what_does_not_fit_in_memory_is_counted() {
    let folder = Folder::new("store-lost");
    let (mut store, mut ledger) = (store(&folder), ledger(&folder));
    for number in 0..20_000 {
        store.commit(
            &mut ledger,
            mark(number),
            format!("{number:099}\n").as_bytes(),
        );
    }
    folder.folder("log");
    store.tick();
    let text = folder.read("log/current.log");
    let (note, kept) = text.split_once('\n').unwrap();
    let lost = 20_000 - kept.lines().count();
    let want = format!(" 3f2a90c1 3 log dropped {lost} lines lost while the disk took none");
    assert!(note.ends_with(&want), "{note}");
    assert!(kept.ends_with("19999\n"));
}
