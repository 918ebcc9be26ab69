//! What is said about each of many wrong texts.

use super::*;

const FILE: &str = "src/layers/tests/bad.txt";

/// The file with what is said now: texts, of which each line begins with `> `, and the problems below them.
fn said(file: &str) -> String {
    let blocks = file.split("\n\n").map(|block| {
        let lines: Vec<&str> = block.lines().filter(|line| line.starts_with('>')).collect();
        let text: String = lines
            .iter()
            .map(|line| format!("{}\n", line.strip_prefix("> ").unwrap_or_default()))
            .collect();
        let problems = problems(&text);
        [lines.join("\n"), problems.join("\n")].join("\n")
    });
    blocks.collect::<Vec<_>>().join("\n\n") + "\n"
}

/// `TARE_GOLDEN=write cargo test -p tare-config` rewrites the file.
#[test]
fn every_wrong_text_is_answered_as_written_down() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let file = std::fs::read_to_string(&path).unwrap();
    let said = said(&file);
    if std::env::var_os("TARE_GOLDEN").is_some() {
        std::fs::write(&path, &said).unwrap();
    }
    let blank = said
        .split("\n\n")
        .filter(|block| block.lines().all(|line| line.starts_with('>')));
    assert_eq!(
        blank.collect::<Vec<_>>(),
        [""; 0],
        "nothing is wrong with these"
    );
    let count = file.split("\n\n").count();
    assert!(count >= 150, "{count}");
    for (got, want) in said.lines().zip(file.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(said, std::fs::read_to_string(&path).unwrap());
}
