//! Inside the floor: the same container, started by every means in turn.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsFd;
use tare_container::{Bundle, Launch, cgroup, launch};

use crate::bare::Bare;

/// The kernel tears down namespaces and cgroups after their last process has ended. The next start must not pay for
/// that.
const SETTLE: Duration = Duration::from_millis(300);

/// A way to start a container; in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Means {
    /// The program alone, in no container.
    Exec,
    /// A minimal container.
    Bare,
    /// As Tare's PID 1 does.
    Tare,
    /// `crun run`.
    Crun,
    /// `runc run`.
    Runc,
}

impl Means {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [Self::Exec, Self::Bare, Self::Tare, Self::Crun, Self::Runc];

    /// Its name in the report and on the wire.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Exec => "fork and exec, no container",
            Self::Bare => "the least container",
            Self::Tare => "Tare",
            Self::Crun => "crun run",
            Self::Runc => "runc run",
        }
    }

    /// Starts the container and waits for its end. Returns when its program started, if that can be observed.
    fn start(self, bundle: &Bundle, bare: &Bare) -> Result<Option<Instant>> {
        match self {
            Self::Exec => exec(bundle).map(|()| None),
            Self::Bare => least(bare).map(Some),
            Self::Tare => tare(bundle).map(Some),
            Self::Crun => runtime("crun", bundle).map(|()| None),
            Self::Runc => runtime("runc", bundle).map(|()| None),
        }
    }
}

/// Starts the bundle at `path` `runs` times by each means and writes `MEANS: SECONDS` lines, followed by `SECONDS
/// UNTIL IT RAN` if known.
///
/// # Errors
/// A container does not start, or fails.
pub(crate) fn run(path: &Path, runs: usize) -> Result<()> {
    let bundle = Bundle::load(path)?;
    let bare = Bare::of(&bundle)?;
    cgroup::prepare()?;
    // The first start of each reads its program from disk.
    for round in 0..=runs {
        for means in Means::ALL {
            thread::sleep(SETTLE);
            let start = Instant::now();
            let ran = means.start(&bundle, &bare).with_context(|| means.label())?;
            if round > 0 {
                let until = ran.map(|ran| (ran - start).as_secs_f64().to_string());
                let whole = start.elapsed().as_secs_f64();
                println!("{}: {whole} {}", means.label(), until.unwrap_or_default());
            }
        }
    }
    Ok(())
}

fn exec(bundle: &Bundle) -> Result<()> {
    let program = bundle.path.join("rootfs/usr/bin/busybox");
    succeeds(Command::new(program).arg("true"))
}

fn runtime(program: &str, bundle: &Bundle) -> Result<()> {
    let mut run = Command::new(program);
    succeeds(
        run.arg("run")
            .arg("--bundle")
            .arg(&bundle.path)
            .arg("bench"),
    )
}

fn succeeds(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "{status}");
    Ok(())
}

fn tare(bundle: &Bundle) -> Result<Instant> {
    let running = launch(bundle, &Launch::default(), Duration::from_secs(60))?;
    let ran = Instant::now();
    poll(
        &mut [PollFd::new(running.pidfd.as_fd(), PollFlags::POLLIN)],
        PollTimeout::NONE,
    )?;
    ends_well(Pid::from_raw(running.pid))?;
    fs::remove_dir(&running.cgroup)?;
    Ok(ran)
}

fn least(bare: &Bare) -> Result<Instant> {
    let pid = bare.start()?;
    let ran = Instant::now();
    ends_well(pid)?;
    Ok(ran)
}

fn ends_well(pid: Pid) -> Result<()> {
    let status = waitpid(pid, None)?;
    ensure!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
    Ok(())
}
