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
        sector: 512,
        mbr: vec![0; 512],
        header,
        entries,
        entry_length: 128,
    };
    table.write(&disk).unwrap();
    disk
}

fn sectors(mib: u64) -> u64 {
    mib << 11
}

#[test]
fn what_is_written_is_read() {
    let disk = disk(64);
    let table = Table::read(&disk, SECTOR).unwrap();
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
    let table = Table::read(&disk(64), SECTOR).unwrap();
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
    let mut table = Table::read(&disk, SECTOR).unwrap();
    table.set_last(3, sectors(99) - 1, sectors(100));
    table.set_formatting(3, true);
    table.write(&disk).unwrap();

    let primary = Table::read(&disk, SECTOR).unwrap();
    assert_eq!(primary.extent(3).map(|own| own.last), Some(sectors(99) - 1));
    assert!(primary.is_formatting(3) && !primary.is_formatting(2));
    assert_eq!(
        get64(primary.entry(3).unwrap(), entry::ATTRIBUTES),
        1 << 60 | FORMATTING
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
fn damage_is_noticed() {
    for (offset, want) in [
        (512, "the partition table has a damaged header"),
        (512 + 40, "the partition table has a damaged header"),
        (1024 + 7, "the partition table has damaged entries"),
    ] {
        let disk = disk(64);
        disk.write_all_at(&[0xff], offset).unwrap();
        assert_eq!(Table::read(&disk, SECTOR).unwrap_err().to_string(), want);
    }
}
