//! What a test says while it runs, kept for the case that it fails.

use std::cell::RefCell;
use std::panic;

thread_local! {
    /// Of the test that runs in this thread, if one does.
    static NOTES: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Adds a line to what the test of this thread says; elsewhere it is printed.
pub fn note(line: &str) {
    let noted = NOTES.with_borrow_mut(|notes| match notes {
        Some(notes) => {
            *notes += line;
            notes.push('\n');
            true
        }
        None => false,
    });
    if !noted {
        println!("{line}");
    }
}

/// From now on the notes of this thread are those of a test.
pub(super) fn begin() {
    NOTES.set(Some(String::new()));
}

/// The notes of the test that has ended.
pub(super) fn end() -> String {
    NOTES.take().unwrap_or_default()
}

/// A panic in a test is a note of that test.
pub(super) fn capture_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let in_test = NOTES.with_borrow(Option::is_some);
        match in_test {
            true => note(&panic.to_string()),
            false => usual(panic),
        }
    }));
}
