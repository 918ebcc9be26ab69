//! The progress of a build on the terminal: named stages with elapsed time, a bar for the long ones, and a log file
//! per stage that a failure refers to.
//!
//! On a terminal a stage is one live line; elsewhere (CI, a pipe) it is plain lines.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How many lines of a failed stage's log are shown.
const TAIL_LINES: usize = 15;
/// Without a terminal, progress is reported in steps of this many percent.
const PLAIN_STEP: u64 = 10;

/// Runs stages and reports on them. Cheap to clone; stages may run in parallel in threads.
#[derive(Debug, Clone)]
pub struct Progress {
    log_dir: PathBuf,
    /// The live lines of the stages under way, on a terminal.
    bars: Option<MultiProgress>,
}

impl Progress {
    /// Reports on stderr, with one log file for each stage in `log_dir` (made when first needed).
    pub fn new(log_dir: &Path) -> Self {
        Self {
            log_dir: log_dir.to_owned(),
            bars: std::io::stderr().is_terminal().then(MultiProgress::new),
        }
    }

    /// Runs `work` as the stage `name` and prints how long it took.
    ///
    /// # Errors
    /// What `work` returned, with the stage's name; the log's path and last lines go to stderr.
    pub fn stage<T>(&self, name: &str, work: impl FnOnce(&Stage) -> Result<T>) -> Result<T> {
        let stage = Stage::begin(name, self);
        let result = work(&stage);
        stage.end(result.is_ok());
        result.with_context(|| format!("stage `{name}` failed"))
    }
}

/// A running stage: takes its sub-processes' output and its progress.
#[derive(Debug)]
pub struct Stage {
    name: String,
    started: Instant,
    log_path: PathBuf,
    log: OnceLock<File>,
    message: Mutex<String>,
    total: AtomicU64,
    reported: AtomicU64,
    bars: Option<MultiProgress>,
    bar: Option<ProgressBar>,
}

impl Stage {
    fn begin(name: &str, progress: &Progress) -> Self {
        let bars = progress.bars.clone();
        let bar = bars.as_ref().map(|bars| bars.add(spinner(name)));
        if bar.is_none() {
            eprintln!("{name} ...");
        }
        Self {
            name: name.to_owned(),
            started: Instant::now(),
            log_path: progress.log_dir.join(log_name(name)),
            log: OnceLock::new(),
            message: Mutex::default(),
            total: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            bars,
            bar,
        }
    }

    fn end(&self, ok: bool) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let message = self.lock_message().clone();
        self.say(&summary(&self.name, ok, self.started.elapsed(), &message));
        if !ok && self.log.get().is_some() {
            let tail = indented_tail(&self.log_path);
            self.say(&format!("{tail}  log: {}", self.log_path.display()));
        }
    }

    /// Prints lines above the live ones of all stages.
    fn say(&self, lines: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{lines}")),
            None => eprintln!("{lines}"),
        }
    }

    /// Runs `cmd` with stdout and stderr in the stage's log.
    ///
    /// # Errors
    /// The command cannot be started or does not exit with 0; names the command and the log.
    pub fn run(&self, cmd: &mut Command) -> Result<()> {
        let log = self.log_for(cmd)?;
        cmd.stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let status = cmd
            .status()
            .with_context(|| format!("start {}", line_of(cmd)))?;
        self.require_success(cmd, status)
    }

    /// Like [`Stage::run`], and passes each line of stdout to `watch` as it arrives (for a bar).
    ///
    /// # Errors
    /// As [`Stage::run`].
    pub fn run_watched(&self, cmd: &mut Command, mut watch: impl FnMut(&str)) -> Result<()> {
        let mut log = self.log_for(cmd)?;
        cmd.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?);
        let mut child = cmd
            .spawn()
            .with_context(|| format!("start {}", line_of(cmd)))?;
        if let Some(stdout) = child.stdout.take() {
            for line in BufReader::new(stdout).split(b'\n') {
                let line = line?;
                log.write_all(&line)?;
                log.write_all(b"\n")?;
                watch(&String::from_utf8_lossy(&line));
            }
        }
        self.require_success(cmd, child.wait()?)
    }

    /// Runs `cmd` and returns its stdout; stderr goes to the stage's log.
    ///
    /// # Errors
    /// As [`Stage::run`].
    pub fn output(&self, cmd: &mut Command) -> Result<Vec<u8>> {
        let log = self.log_for(cmd)?;
        cmd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        // `spawn`, because `Command::output` would take stderr away from the log.
        let child = cmd
            .spawn()
            .with_context(|| format!("start {}", line_of(cmd)))?;
        let output = child.wait_with_output()?;
        self.require_success(cmd, output.status)?;
        Ok(output.stdout)
    }

    /// Turns the spinner into a bar of `n` units.
    pub fn total(&self, n: u64) {
        self.total.store(n, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_length(n);
            bar.set_style(style(" {bar:30} {pos}/{len}"));
        }
    }

    /// Reports that `n` of the units announced by [`Stage::total`] are done.
    pub fn position(&self, n: u64) {
        match &self.bar {
            Some(bar) => bar.set_position(n),
            None => self.plain_position(n),
        }
    }

    /// Sets a short message about the current work; the last one stays next to the stage's time.
    pub fn message(&self, message: &str) {
        message.clone_into(&mut self.lock_message());
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }

    /// Prints a warning at once.
    pub fn warn(&self, warning: &str) {
        self.say(&format!("warning: {}: {warning}", self.name));
    }

    /// The path of this stage's log, which the first command creates.
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    fn plain_position(&self, n: u64) {
        let percent = (n * 100)
            .checked_div(self.total.load(Ordering::Relaxed))
            .unwrap_or(0);
        let step = percent / PLAIN_STEP * PLAIN_STEP;
        if step > self.reported.fetch_max(step, Ordering::Relaxed) && step < 100 {
            self.say(&format!("{} {step} %", self.name));
        }
    }

    /// The log, with the command line of `cmd` written to it.
    fn log_for(&self, cmd: &Command) -> Result<File> {
        let mut log = self.open_log()?.try_clone()?;
        writeln!(log, "$ {}", line_of(cmd))?;
        Ok(log)
    }

    /// Opens the log at the first command only, so that a stage with nothing to do keeps the log of the run that did
    /// the work.
    fn open_log(&self) -> Result<&File> {
        if let Some(log) = self.log.get() {
            return Ok(log);
        }
        let fresh = create_log(&self.log_path)
            .with_context(|| format!("create log {}", self.log_path.display()))?;
        Ok(self.log.get_or_init(|| fresh))
    }

    fn require_success(&self, cmd: &Command, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!(
                "{}: {status} (log: {})",
                name_of(cmd),
                self.log_path.display()
            );
        }
        Ok(())
    }

    fn lock_message(&self) -> MutexGuard<'_, String> {
        // A poisoned lock still holds a valid message.
        self.message.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts an empty log; append mode, because several processes write to it.
fn create_log(path: &Path) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create(path)?;
    File::options().append(true).open(path)
}

fn spinner(name: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_style(style(""));
    bar.set_prefix(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn style(bar: &str) -> ProgressStyle {
    let template = format!("{{spinner}} {{prefix}}{bar} {{elapsed}} {{wide_msg:.dim}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn summary(name: &str, ok: bool, elapsed: Duration, message: &str) -> String {
    let mut line = match ok {
        true => format!("{name}: {:.1} s", elapsed.as_secs_f64()),
        false => format!("{name}: failed after {:.1} s", elapsed.as_secs_f64()),
    };
    if !message.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(line, " ({message})");
    }
    line
}

/// `Build kernel 6.12` -> `build-kernel-6.12.log`
fn log_name(stage: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    format!("{}.log", stage.chars().map(keep).collect::<String>())
}

/// A command in an error: of one of trixie's programs ([`Tools::run`]) its name, for its line is long and in the log.
///
/// [`Tools::run`]: crate::tools::Tools::run
fn name_of(cmd: &Command) -> String {
    let words: Vec<_> = cmd.get_args().collect();
    match words[..] {
        [option, _, program, ..] if option == "--library-path" => {
            let name = Path::new(program).file_name().unwrap_or(program);
            name.to_string_lossy().into_owned()
        }
        _ => line_of(cmd),
    }
}

/// A command as one would type it, without quoting: for logs and errors.
fn line_of(cmd: &Command) -> String {
    let words = std::iter::once(cmd.get_program()).chain(cmd.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn indented_tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
    tail.iter().map(|line| format!("  | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(test: &str) -> Progress {
        let log_dir =
            std::env::temp_dir().join(format!("tare-progress-{test}-{}", std::process::id()));
        Progress {
            log_dir,
            bars: None,
        }
    }

    #[test]
    fn log_names_are_file_names() {
        for (stage, want) in [
            ("kernel", "kernel.log"),
            ("Root file/systems", "root-file-systems.log"),
        ] {
            assert_eq!(log_name(stage), want);
        }
    }

    #[test]
    fn a_program_of_trixie_has_a_short_name() {
        let mut command = Command::new("/x/ld-linux-x86-64.so.2");
        command.args(["--library-path", "/x/lib", "/x/usr/bin/skopeo", "copy"]);
        assert_eq!(name_of(&command), "skopeo");
        let mut command = Command::new("make");
        assert_eq!(name_of(command.arg("all")), "make all");
    }

    #[test]
    fn summaries_say_time_and_outcome() {
        let time = Duration::from_millis(12_340);
        assert_eq!(summary("kernel", true, time, ""), "kernel: 12.3 s");
        assert_eq!(
            summary("kernel", true, time, "cached"),
            "kernel: 12.3 s (cached)"
        );
        assert_eq!(
            summary("kernel", false, time, ""),
            "kernel: failed after 12.3 s"
        );
    }

    #[test]
    fn a_failing_command_is_named_with_its_log() {
        let progress = progress("fail");
        let path = progress.log_dir.join("make.log");
        let error = progress
            .stage("make", |stage| {
                stage.run(Command::new("sh").args(["-c", "echo oops >&2; exit 3"]))
            })
            .unwrap_err();
        let want = format!(
            "sh -c echo oops >&2; exit 3: exit status: 3 (log: {})",
            path.display()
        );
        assert_eq!(error.root_cause().to_string(), want);
        assert_eq!(
            indented_tail(&path),
            "  | $ sh -c echo oops >&2; exit 3\n  | oops\n"
        );
        fs::remove_dir_all(progress.log_dir).unwrap();
    }

    #[test]
    fn output_and_watched_lines_reach_the_caller() {
        let progress = progress("output");
        let mut seen = Vec::new();
        let stdout = progress
            .stage("both", |stage| {
                stage.run_watched(Command::new("printf").arg("a\nb\n"), |line| {
                    seen.push(line.to_owned())
                })?;
                stage.output(Command::new("echo").arg("c"))
            })
            .unwrap();
        assert_eq!(
            (seen.join(","), stdout),
            ("a,b".to_owned(), b"c\n".to_vec())
        );
        fs::remove_dir_all(progress.log_dir).unwrap();
    }
}
