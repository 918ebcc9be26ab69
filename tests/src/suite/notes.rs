//! A test's output while it runs, kept in case it fails.

use std::cell::RefCell;
use std::panic;

thread_local! {
    /// The notes of the test in this thread, if any.
    static NOTES: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Adds a line to the notes of this thread's test. Without a test, prints it.
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

/// Starts the notes of a test in this thread.
pub(super) fn begin() {
    NOTES.set(Some(String::new()));
}

/// The notes of the test that has ended.
pub(super) fn end() -> String {
    NOTES.take().unwrap_or_default()
}

/// Adds panics in a test to its notes.
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
