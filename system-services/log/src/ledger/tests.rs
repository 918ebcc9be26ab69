use super::*;
use crate::testing::{Folder, pipe};
use std::io::{ErrorKind, Write};

const AFTER: Mark = Mark {
    done: 3,
    dropped: 4,
};

#[test]
fn a_note_outlives_the_process() {
    let folder = Folder::new("ledger-note");
    let path = folder.path("a");
    let ledger = Ledger::open(&path).unwrap();
    let fresh = (Ledger::look(&path), ledger.mark());
    assert_eq!(fresh, (Some(Note::default()), Mark::default()));
    let place = Place {
        file: 7,
        offset: 8,
        length: 9,
    };
    ledger.intend(5, place, AFTER).unwrap();
    let mut ledger = Ledger::open(&path).unwrap();
    let want = Note {
        sequence: 5,
        place,
        before: Mark::default(),
        after: AFTER,
    };
    assert_eq!((Ledger::look(&path), ledger.mark()), (Some(want), AFTER));
    ledger.settle(6, Mark::default()).unwrap();
    assert_eq!(Ledger::open(&path).unwrap().mark(), Mark::default());
}

#[test]
fn a_file_that_is_no_ledger_begins_anew() {
    let folder = Folder::new("ledger-foreign");
    let path = folder.path("a");
    for bytes in [&b""[..], b"short", &[b'x'; 10_000]] {
        std::fs::write(&path, bytes).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(
            (ledger.mark(), ledger.given().unwrap()),
            (Mark::default(), 0)
        );
    }
}

#[test]
fn bytes_of_a_pipe_are_kept_until_they_are_done() {
    let folder = Folder::new("ledger-pipe");
    let ledger = Ledger::open(&folder.path("a")).unwrap();
    let (read, mut write) = pipe();
    write.write_all(b"0123456789").unwrap();
    assert_eq!(ledger.take(&read, 0, 6).unwrap(), 6);
    let mut ledger = Ledger::open(&folder.path("a")).unwrap();
    assert_eq!(ledger.given().unwrap(), 6);
    assert_eq!(ledger.take(&read, 6, 100).unwrap(), 4);
    let empty = ledger.take(&read, 10, 100).unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::WouldBlock);
    ledger.accept(AFTER);
    ledger.free().unwrap();
    let mut rest = [0; 7];
    ledger.read(&mut rest, 3).unwrap();
    assert_eq!(&rest, b"3456789");
    drop(write);
    assert_eq!(ledger.take(&read, 10, 100).unwrap(), 0);
}
