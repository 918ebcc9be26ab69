use super::*;
use crate::testing::Folder;

fn write(spill: &mut Spill, lines: &[u8]) -> Place {
    let place = spill.place(lines.len() as u64).unwrap();
    spill.append(lines).unwrap();
    place
}

#[test]
fn what_waits_outlives_the_process_until_it_is_written() {
    let folder = Folder::new("spill-restart");
    let state = folder.root();
    let mut spill = Spill::open(&state, 0).unwrap();
    assert!(spill.is_empty());
    write(&mut spill, b"one\n");
    write(&mut spill, b"two\n");
    let mut spill = Spill::open(&state, 0).unwrap();
    assert_eq!(spill.contents().unwrap(), (0, b"one\ntwo\n".to_vec()));
    write(&mut spill, b"three\n");
    // Written to the disk, then killed before it was discarded.
    let written = spill.generation();
    let mut spill = Spill::open(&state, written).unwrap();
    assert!(spill.is_empty());
    write(&mut spill, b"four\n");
    let spill = Spill::open(&state, written).unwrap();
    assert_eq!(spill.contents().unwrap(), (0, b"four\n".to_vec()));
}

#[test]
fn memory_is_bounded_and_what_that_costs_is_counted() {
    let folder = Folder::new("spill-full");
    let mut spill = Spill::open(&folder.root(), 0).unwrap();
    let mut lines = 0;
    for number in 0..20_000 {
        write(&mut spill, format!("{number:099}\n").as_bytes());
        lines += 1;
        assert!(spill.length <= KEPT);
    }
    let (dropped, kept) = spill.contents().unwrap();
    assert_eq!(dropped + count(&kept), lines);
    assert!(kept.len() as u64 > KEPT / 2 && kept.starts_with(b"000"));
    assert!(kept.ends_with(b"19999\n"));
    assert_eq!(folder.names().len(), 1);
}

#[test]
fn a_write_that_was_cut_short_is_undone() {
    let folder = Folder::new("spill-finished");
    let state = folder.root();
    let mut spill = Spill::open(&state, 0).unwrap();
    write(&mut spill, b"one\n");
    let place = write(&mut spill, b"two\n");
    assert_eq!(spill.finished(place).unwrap(), Some(true));
    let longer = Place {
        length: place.length + 1,
        ..place
    };
    let mut spill = Spill::open(&state, 0).unwrap();
    assert_eq!(spill.finished(longer).unwrap(), Some(false));
    assert_eq!(spill.contents().unwrap().1, b"one\n");
    let on_disk = Place { file: 7, ..place };
    assert_eq!(spill.finished(on_disk).unwrap(), None);
}
