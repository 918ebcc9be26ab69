//! The corpus of the fuzz targets, without a fuzzer: each file as it is, and cut.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use tare_hostile::TARGETS;

/// In how many places a file is cut, at most.
const CUTS: usize = 64;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let files = fs::read_dir(&folder).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn what_a_target_has_read_it_reads_whole_and_cut() {
    for (target, read) in TARGETS {
        let files = corpus(target);
        assert!(files.len() > 4, "{target}");
        for bytes in files {
            read(&bytes);
            let step = bytes.len().div_ceil(CUTS).max(1);
            for end in (0..bytes.len()).step_by(step) {
                read(&bytes[..end]);
            }
        }
    }
}
