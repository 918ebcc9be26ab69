use super::*;
use crate::leave_clean;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::UNIX_EPOCH;

/// Large enough for two backup superblocks.
const SIZE: u64 = 512 << 20;
const MIB: u64 = 1 << 20;

/// A partition, as a file.
struct Partition {
    path: PathBuf,
    file: File,
}

impl Partition {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tare-storage-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).unwrap();
        file.set_len(SIZE).unwrap();
        Self { path, file }
    }

    /// With a file system of ours, and a file `precious` on it.
    fn used(name: &str) -> Self {
        let partition = Self::new(name);
        leave_clean(&partition.path, Contents::Blank, false).unwrap();
        let source = partition.path.with_extension("source");
        fs::write(&source, "precious").unwrap();
        partition.debugfs(&format!("write {} precious", source.display()));
        fs::remove_file(source).unwrap();
        assert!(partition.has_precious());
        partition
    }

    fn debugfs(&self, request: &str) -> String {
        let mut debugfs = Command::new("/usr/sbin/debugfs");
        debugfs.args(["-w", "-R", request]).arg(&self.path);
        let output = debugfs.stderr(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether `e2fsck` finds nothing to correct.
    fn is_sound(&self) -> bool {
        let mut e2fsck = Command::new("/usr/sbin/e2fsck");
        let output = e2fsck.args(["-f", "-n"]).arg(&self.path).output().unwrap();
        output.status.success()
    }

    fn has_precious(&self) -> bool {
        self.debugfs("cat precious") == "precious"
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    /// Does what the service does, except for the partition table.
    fn prepare(&self, marked: bool) -> io::Result<()> {
        leave_clean(&self.path, contents(&self.path, marked)?, marked)
    }
}

impl Drop for Partition {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = self.path.parent().map(fs::remove_dir);
    }
}

/// Bytes that are the same in each run.
fn noise(length: u64) -> Vec<u8> {
    let next = |seed: &mut u32| {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((*seed >> 24) as u8)
    };
    std::iter::repeat_n((), length as usize)
        .scan(1, |seed, ()| next(seed))
        .collect()
}

/// A change to a used partition.
type Change = fn(&Partition);

#[test]
fn a_file_system_of_ours_is_never_lost() {
    let cases: [(&str, bool, Change); 11] = [
        ("as it is", false, |_| {}),
        ("a mark that stayed", true, |_| {}),
        ("zeroed superblock", false, |it| it.write(1024, &[0; 1024])),
        ("a damaged superblock", false, |it| {
            it.write(1024 + 100, &noise(700));
        }),
        ("noise over the first block", false, |it| {
            it.write(0, &noise(4096));
        }),
        ("zeros over the descriptors too", false, |it| {
            it.write(0, &vec![0; 128 << 10])
        }),
        ("a zeroed superblock and backup", false, |it| {
            it.write(1024, &[0; 1024]);
            it.write(32768 * 4096, &[0; 1024]);
        }),
        ("errors recorded", false, |it| {
            it.debugfs("set_super_value state 2");
        }),
        ("the magic erased, as wipefs does", false, |it| {
            it.write(1024 + 0x38, &[0; 2]);
        }),
        ("a mark over a bitmap of noise", true, |it| {
            it.write(65 * 4096, &noise(4096));
        }),
        ("50 times 4 KiB of noise", false, |it| {
            // As the kernel records when it finds damage.
            it.debugfs("set_super_value state 2");
            // Bitmaps and inodes, except for the block that holds the root directory's and the
            // file's.
            let bitmaps = 65..73;
            let inodes = (0..42).map(|number| 74 + number * 48);
            bitmaps
                .chain(inodes)
                .for_each(|block| it.write(block * 4096, &noise(4096)));
        }),
    ];
    for (what, marked, change) in cases {
        let partition = Partition::used("ours");
        change(&partition);
        partition
            .prepare(marked)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(partition.has_precious(), "{what}");
        assert!(partition.is_sound(), "{what}");
        let again = contents(&partition.path, false).unwrap();
        assert!(
            matches!(again, Contents::Ext4(found) if found.clean),
            "{what}"
        );
    }
}

#[test]
fn what_is_not_ours_is_not_written_to() {
    let cases: [(&str, bool, Change, &str); 10] = [
        (
            "LUKS over our file system",
            false,
            |it| {
                it.write(0, &noise(4 * MIB));
                it.write(0, &[0; 4096]);
                it.write(0, b"LUKS\xba\xbe\0\x02");
            },
            "crypto_LUKS",
        ),
        (
            "an encrypted volume without a header",
            false,
            |it| it.write(0, &noise(4 * MIB)),
            "not ext4 and not empty",
        ),
        (
            "a volume whose first MiB was zeroed",
            false,
            |it| {
                it.write(0, &noise(4 * MIB));
                it.write(0, &vec![0; MIB as usize]);
            },
            "not ext4 and not empty",
        ),
        (
            "our file system without its root directory",
            false,
            |it| it.write(0, &vec![0; MIB as usize]),
            "not ext4 and not empty",
        ),
        (
            "XFS",
            false,
            |it| {
                it.write(0, &noise(MIB));
                it.write(0, b"XFSB\0\0\x10\0");
            },
            "not ext4 and not empty",
        ),
        (
            "swap, on a marked partition",
            true,
            |it| {
                it.write(0, &noise(MIB));
                it.write(4096 - 10, b"SWAPSPACE2");
                it.write(1024, &[1, 0, 0, 0, 0xff, 0, 0, 0]);
            },
            "swap",
        ),
        (
            "a RAID member with our file system below",
            false,
            |it| {
                it.write(4096, &md_superblock());
            },
            "linux_raid_member",
        ),
        (
            "an ext4 with another label",
            false,
            |it| {
                it.debugfs("set_super_value volume_name mine");
            },
            "ext4 labelled \"mine\"",
        ),
        (
            "an ext4 without a label, on a marked partition",
            true,
            |it| {
                it.debugfs("set_super_value volume_name \"\"");
            },
            "ext4",
        ),
        (
            "a partition table",
            false,
            |it| {
                it.write(0, &vec![0; 5 * MIB as usize]);
                it.write(446, &[0, 0, 2, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
                it.write(510, &[0x55, 0xaa]);
            },
            "a partition table (dos)",
        ),
    ];
    for (what, marked, change, want) in cases {
        let partition = Partition::used("foreign");
        change(&partition);
        partition.file.set_modified(UNIX_EPOCH).unwrap();
        let error = partition.prepare(marked).unwrap_err().to_string();
        let (found, _) = error.split_once(';').unwrap_or((&error, ""));
        assert_eq!(found, want, "{what}");
        let modified = partition.file.metadata().unwrap().modified().unwrap();
        assert_eq!(modified, UNIX_EPOCH, "{what}");
    }
}

/// The superblock of Linux's software RAID, version 1.2, with its checksum (`linux/raid/md_p.h`).
fn md_superblock() -> Vec<u8> {
    let mut bytes = vec![0; 256];
    bytes[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    bytes[4] = 1;
    bytes[16..32].copy_from_slice(&noise(16));
    // Its own position, in sectors.
    bytes[144] = 8;
    let words = bytes
        .chunks(4)
        .map(|word| u64::from(u32::from_le_bytes([word[0], word[1], word[2], word[3]])));
    let sum: u64 = words.sum();
    let folded = (sum & 0xffff_ffff) + (sum >> 32);
    bytes[216..220].copy_from_slice(&(folded as u32).to_le_bytes());
    bytes
}

#[test]
fn what_is_blank_is_formatted() {
    let cases: [(&str, bool, Change); 3] = [
        ("a new disk", true, |_| {}),
        ("an image over an older, larger file system", false, |it| {
            it.write(0, &vec![0; BLANK as usize]);
        }),
        ("an image whose zeros were not written", true, |it| {
            it.write(0, &noise(4 * MIB));
        }),
    ];
    for (what, marked, change) in cases {
        let partition = match what {
            "a new disk" => Partition::new("blank"),
            _ => Partition::used("blank"),
        };
        change(&partition);
        partition
            .prepare(marked)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = contents(&partition.path, false).unwrap();
        assert!(
            matches!(found, Contents::Ext4(found) if found.clean),
            "{what}"
        );
        assert!(!partition.has_precious(), "{what}");
    }
}

#[test]
fn what_blkid_says_of_a_block_device() {
    const PARTITION: &str = "DEVNAME=/dev/vda4\nPART_ENTRY_SCHEME=gpt\nPART_ENTRY_NAME=state\n\
        PART_ENTRY_UUID=eb394e21-e8ed-893b-9bd7-e89818255cde\nPART_ENTRY_FLAGS=0x1000000000000\n";
    let other = |what: &str| Found::Other(what.to_owned());
    for (more, want) in [
        ("", Found::Nothing),
        ("LABEL=state\nTYPE=ext4\n", Found::Ext4(Ok(()))),
        ("LABEL=state\nTYPE=xfs\n", other("xfs labelled \"state\"")),
        ("TYPE=ext2\n", Found::Ext4(Err("ext2".to_owned()))),
        ("PTTYPE=gpt\n", other("a partition table (gpt)")),
        ("USAGE=other\n", other("content that blkid does not name")),
    ] {
        assert_eq!(found(&(PARTITION.to_owned() + more)), want, "{more}");
    }
}

#[test]
fn a_partition_of_an_image_is_blank_whatever_its_length() {
    let partition = Partition::new("short");
    partition.file.set_len(4 * MIB).unwrap();
    assert_eq!(contents(&partition.path, false).unwrap(), Contents::Blank);
}

#[test]
fn a_device_that_cannot_be_read_is_an_error() {
    let error = contents(Path::new("/no/such/device"), true).unwrap_err();
    assert_eq!(error.to_string(), "No such file or directory (os error 2)");
}
