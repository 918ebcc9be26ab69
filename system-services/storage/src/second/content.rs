//! What a disk holds, according to `blkid(8)`.

use super::plan::Content;
use crate::contents::{self, BLANK, Probe};
use crate::ext4;
use std::fs::File;
use std::io;
use std::path::Path;
use tare_config::machine::FileSystem;

/// Examines `device`. It is blank if nothing is found on it and its first 64 MiB are zeros: others may be data that
/// `blkid` does not know, such as a disk that is encrypted without a header.
///
/// # Errors
/// When it cannot be read, or `blkid` cannot be run.
pub(super) fn of(device: &Path) -> io::Result<Content> {
    let file = File::open(device)?;
    // blkid does not distinguish an unreadable device from an empty one.
    ext4::read(&file, 0, 1 << 20)?;
    let content = match contents::probe(device)? {
        Probe::Nothing => Content::Blank,
        Probe::Ambivalent => Content::Other("more than one kind of content".to_owned()),
        Probe::Text(text) => named(&text),
    };
    match content {
        Content::Blank if contents::zeros(&file)? < BLANK => {
            Ok(Content::Other("data that blkid does not know".to_owned()))
        }
        content => Ok(content),
    }
}

/// Parses the output of `blkid --output export`, one `KEY=VALUE` per line.
fn named(text: &str) -> Content {
    let value = |key: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let label = value("LABEL").unwrap_or_default();
    let kind = match value("TYPE") {
        Some("ext4") => FileSystem::Ext4,
        Some("xfs") => FileSystem::Xfs,
        Some(other) if label.is_empty() => return Content::Other(other.to_owned()),
        Some(other) => return Content::Other(format!("{other} labelled \"{label}\"")),
        None => match value("PTTYPE") {
            Some(kind) => return Content::Other(format!("a partition table ({kind})")),
            None if text.lines().all(contents::is_about_partition) => return Content::Blank,
            None => return Content::Other("content that blkid does not name".to_owned()),
        },
    };
    Content::FileSystem {
        kind,
        label: label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_blkid_says() {
        let other = |what: &str| Content::Other(what.to_owned());
        let file_system = |kind, label: &str| Content::FileSystem {
            kind,
            label: label.to_owned(),
        };
        for (text, want) in [
            (
                "DEVNAME=/dev/vdb\nLABEL=data\nTYPE=ext4\n",
                file_system(FileSystem::Ext4, "data"),
            ),
            (
                "TYPE=xfs\nBLOCK_SIZE=512\n",
                file_system(FileSystem::Xfs, ""),
            ),
            ("TYPE=crypto_LUKS\n", other("crypto_LUKS")),
            ("TYPE=LVM2_member\n", other("LVM2_member")),
            (
                "LABEL=CIDATA\nTYPE=vfat\n",
                other("vfat labelled \"CIDATA\""),
            ),
            ("PTTYPE=gpt\n", other("a partition table (gpt)")),
            ("DEVNAME=/dev/vdb1\nPART_ENTRY_NUMBER=1\n", Content::Blank),
            (
                "MINIMUM_IO_SIZE=512\n",
                other("content that blkid does not name"),
            ),
        ] {
            assert_eq!(named(text), want, "{text}");
        }
    }

    #[test]
    fn what_is_made_is_found_and_clean() {
        let path = std::env::temp_dir().join(format!("tare-made-{}", std::process::id()));
        File::create(&path).unwrap().set_len(80 << 20).unwrap();
        if !Path::new("/usr/sbin/mkfs.ext4").exists() || of(&path).is_err() {
            println!("skipped: needs mkfs.ext4 and blkid");
            return std::fs::remove_file(&path).unwrap();
        }
        crate::tools::make_second(&path, FileSystem::Ext4, Some("data")).unwrap();
        let want = Content::FileSystem {
            kind: FileSystem::Ext4,
            label: "data".to_owned(),
        };
        assert_eq!(of(&path).unwrap(), want);
        crate::tools::preen(&path).unwrap();
        let found = ext4::superblock(&File::open(&path).unwrap()).unwrap();
        assert!(found.is_some_and(|found| found.clean), "{found:?}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_disk_with_unknown_data_is_not_blank() {
        let path = std::env::temp_dir().join(format!("tare-content-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        file.set_len(80 << 20).unwrap();
        let Ok(blank) = of(&path) else {
            println!("skipped: needs blkid");
            return std::fs::remove_file(&path).unwrap();
        };
        assert_eq!(blank, Content::Blank);
        std::os::unix::fs::FileExt::write_at(&file, b"x", 63 << 20).unwrap();
        let want = Content::Other("data that blkid does not know".to_owned());
        assert_eq!(of(&path).unwrap(), want);
        std::fs::remove_file(&path).unwrap();
    }
}
