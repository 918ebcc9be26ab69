//! The corpus of the fuzz targets, without a fuzzer: each file as it is, and those written by hand cut, too.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use tare_hostile::TARGETS;

/// The length of the names that the fuzzer gives to files that it has found.
const FOUND: usize = 40;

/// In how many places a file is cut, at most.
const CUTS: usize = 64;

fn corpus(target: &str) -> Vec<(OsString, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&folder).unwrap();
    let read = files.map(|file| {
        let file = file.unwrap();
        (file.file_name(), fs::read(file.path()).unwrap())
    });
    read.collect()
}

#[test]
fn what_a_target_has_read_it_reads_whole_and_cut() {
    for (target, read) in TARGETS {
        let files = corpus(target);
        assert!(files.len() > 4, "{target}");
        for (name, bytes) in files {
            read(&bytes);
            if name.len() == FOUND {
                continue;
            }
            let step = bytes.len().div_ceil(CUTS).max(1);
            for end in (0..bytes.len()).step_by(step) {
                read(&bytes[..end]);
            }
        }
    }
}
