//! Explains a failed test: queries the machine of this thread while it still exists.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::Duration;

use crate::console::Console;
use crate::ssh::Ssh;
use crate::wait::unlimit_waits;

/// Lines of the console.
const LINES: usize = 100;
/// The commands to run; our own machines have all of them.
const QUESTIONS: [&str; 3] = ["tare status", "tare logs -n 200", "docker ps -a"];
/// Timeout for an answer, real time.
const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    /// The last machine that this thread started, until it is queried.
    static WITNESS: RefCell<Option<(Option<Ssh>, Console)>> = const { RefCell::new(None) };
    static COLLECTED: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on [`collect`] queries this machine.
pub(crate) fn watch(ssh: Option<Ssh>, console: Console) {
    WITNESS.set(Some((ssh, console)));
}

/// Queries the last machine that this thread started, once; a test does so at its first failure.
pub fn collect() {
    let Some((ssh, console)) = WITNESS.take() else {
        return;
    };
    // The machine may still answer after the test's own time limit.
    unlimit_waits();
    let mut text = console.end(LINES);
    for question in QUESTIONS {
        let answer = ssh.as_ref().map(|ssh| ssh.login(question, PATIENCE));
        let Some(Ok(output)) = answer else {
            let _ = writeln!(text, "$ {question}\n(no answer)");
            break;
        };
        let (out, err) = (&output.stdout, &output.stderr);
        let [out, err] = [out, err].map(|bytes| String::from_utf8_lossy(bytes));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "$ {question}\n{out}{err}");
        if output.status.code() == Some(255) {
            break;
        }
    }
    COLLECTED.with_borrow_mut(|all| *all += &text);
}

/// What was collected in this thread since the last call.
pub fn take() -> String {
    WITNESS.take();
    COLLECTED.take()
}
