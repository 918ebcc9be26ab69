//! Files: those that are generated, and examples of user-data that is right and wrong.

use super::verdict::{Validator, problems};
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn the_files_in_docs_are_what_the_types_say() {
    for file in crate::files() {
        let text = fs::read_to_string(&file.path).unwrap_or_default();
        assert!(
            text == file.text,
            "{} is not up to date: run `cargo schema`",
            file.path.display()
        );
    }
}

/// User-data in `tests/user-data/COLOUR`. Its names say what it shows.
fn user_data(colour: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/user-data")
        .join(colour);
    let files = fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn the_reader_and_the_schema_accept_what_is_right() {
    let schema = Validator::new();
    let files = user_data("green");
    assert_eq!(files.len(), 18);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(problems(&text), [""; 0], "{}", file.display());
        assert_eq!(schema.error(&text), None, "{}", file.display());
    }
}

#[test]
fn the_reader_and_the_schema_refuse_what_is_wrong() {
    let schema = Validator::new();
    let files = user_data("red");
    assert_eq!(files.len(), 26);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert_ne!(problems(&text), [""; 0], "{}", file.display());
        assert_ne!(schema.error(&text), None, "{}", file.display());
    }
}
