use super::*;
use rustix::fs::{MemfdFlags, memfd_create};

const SECTOR: u64 = 512;

/// A disk of `mib` MiB with a table for 64 MiB: partitions at 1..5, 5..9 and 9..63 MiB.
fn disk(mib: u64) -> File {
    let disk = File::from(memfd_create("disk", MemfdFlags::CLOEXEC).unwrap());
    disk.set_len(mib << 20).unwrap();
    let mut entries = vec![0; 128 * entry::LEAST];
    for (number, (first, end)) in [(1, 5), (5, 9), (9, 63)].into_iter().enumerate() {
        let entry = &mut entries[number * entry::LEAST..];
        set64(entry, entry::FIRST, first * 2048);
        set64(entry, entry::LAST, end * 2048 - 1);
        set64(entry, entry::ATTRIBUTES, 1 << 60);
    }
    let mut header = vec![0; 512];
    header[..8].copy_from_slice(b"EFI PART");
    set32(&mut header, header::LENGTH, 92);
    set64(&mut header, header::OTHER, (64 << 11) - 1);
    set32(&mut header, header::ENTRY_COUNT, 128);
    set32(&mut header, header::ENTRY_LENGTH, 128);
    let table = Table {
        place: Place::Primary,
        sector: 512,
        mbr: vec![0; 512],
        header,
        entries,
        entry_length: 128,
    };
    table.write(&disk).unwrap();
    disk
}

fn read(disk: &File) -> io::Result<Table> {
    Table::read(disk, SECTOR, disk_size(disk).unwrap())
}

fn sectors(mib: u64) -> u64 {
    mib << 11
}

#[test]
fn what_is_written_is_read() {
    let disk = disk(64);
    let table = read(&disk).unwrap();
    let want = Extent {
        first: sectors(9),
        last: sectors(63) - 1,
    };
    assert_eq!(table.extent(3), Some(want));
    assert_eq!(table.extent(0), None);
    assert_eq!(table.extent(129), None);
}

#[test]
fn room_is_for_the_last_partition_only() {
    let table = read(&disk(64)).unwrap();
    for (number, mib, want) in [
        (3, 64, None),
        (3, 65, Some(sectors(64) - 1)),
        (3, 100, Some(sectors(99) - 1)),
        (2, 100, None),
    ] {
        assert_eq!(
            table.room(number, sectors(mib)),
            want,
            "{number} on {mib} MiB"
        );
    }
}

#[test]
fn a_grown_table_is_sound_at_both_ends() {
    let disk = disk(100);
    let mut table = read(&disk).unwrap();
    table.set_last(3, sectors(99) - 1, sectors(100));
    table.set_marked(3, true);
    table.write(&disk).unwrap();

    let primary = read(&disk).unwrap();
    assert_eq!(primary.extent(3).map(|own| own.last), Some(sectors(99) - 1));
    assert!(primary.is_marked(3) && !primary.is_marked(2));
    assert_eq!(
        get64(primary.entry(3).unwrap(), entry::ATTRIBUTES),
        1 << 60 | MARK
    );

    let mut backup = vec![0; 512];
    disk.read_exact_at(&mut backup, (sectors(100) - 1) * SECTOR)
        .unwrap();
    assert_eq!(header_crc(&backup), get32(&backup, header::CRC));
    assert_eq!(get64(&backup, header::OTHER), 1);
    assert_eq!(get64(&backup, header::LAST_USABLE), sectors(100) - 34);
    assert_eq!(get64(&backup, header::ENTRIES), sectors(100) - 33);
    assert_eq!(get32(&backup, header::ENTRIES_CRC), crc(&primary.entries));
}

#[test]
fn damage_at_both_ends_is_noticed() {
    let entries_of_backup = (sectors(64) - 33) * SECTOR;
    for (offset, want) in [
        (512, "the partition table has a damaged header"),
        (512 + 40, "the partition table has a damaged header"),
        (1024 + 7, "the partition table has damaged entries"),
    ] {
        let disk = disk(64);
        for offset in [offset, entries_of_backup] {
            disk.write_all_at(&[0xff], offset).unwrap();
        }
        assert_eq!(read(&disk).unwrap_err().to_string(), want);
    }
}

/// The bytes of both copies.
fn copies(disk: &File) -> [Vec<u8>; 2] {
    let length = disk_size(disk).unwrap();
    [0, length - 33 * SECTOR].map(|at| {
        let mut bytes = vec![0; 34 * SECTOR as usize - at.min(1) as usize * SECTOR as usize];
        disk.read_exact_at(&mut bytes, at).unwrap();
        bytes
    })
}

#[test]
fn either_copy_is_repaired_from_the_other() {
    let whole = disk(64);
    let mut table = read(&whole).unwrap();
    // With a protective MBR, which is repaired too.
    protect(&mut table.mbr, sectors(64));
    table.write(&whole).unwrap();
    assert_eq!(table.damaged_copy(&whole).unwrap(), None);
    let end = disk_size(&whole).unwrap();
    for (at, length, want) in [
        (0, 17 << 10, Place::Primary),
        (512, 1, Place::Primary),
        (1024, 1, Place::Primary),
        (end - 512, 512, Place::Backup),
        (end - 33 * SECTOR, 1, Place::Backup),
    ] {
        let disk = disk(64);
        table.write(&disk).unwrap();
        disk.write_all_at(&vec![0xa5; length], at).unwrap();
        let read = read(&disk).unwrap();
        assert_eq!(read.damaged_copy(&disk).unwrap(), Some(want), "{at}");
        read.write(&disk).unwrap();
        assert_eq!(copies(&disk), copies(&whole), "{at}");
    }
}

/// A disk that was enlarged has its backup where the disk used to end.
#[test]
fn a_backup_is_written_only_where_no_partition_is() {
    let disk = disk(64);
    disk.write_all_at(&[0xff; 512], (sectors(64) - 1) * SECTOR)
        .unwrap();
    let mut table = read(&disk).unwrap();
    disk.set_len(100 << 20).unwrap();
    assert_eq!(table.damaged_copy(&disk).unwrap(), Some(Place::Backup));
    let entry = table.entry_mut(3).unwrap();
    set64(entry, entry::LAST, sectors(70));
    assert_eq!(table.damaged_copy(&disk).unwrap(), None);
    disk.set_len(32 << 20).unwrap();
    assert_eq!(table.damaged_copy(&disk).unwrap(), None);
}
