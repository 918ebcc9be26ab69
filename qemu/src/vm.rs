//! A running machine.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::argv::QMP_SOCKET;
use crate::builder::{Base, Builder, SSH};
use crate::console::Console;
use crate::evidence;
use crate::lost::Lost;
use crate::machine::Machine;
use crate::ports::{Forward, parse_usernet};
use crate::qmp::Qmp;
use crate::ssh::Ssh;
use crate::wait::{Deadline, secs};

/// QEMU's own error output, in the machine's folder.
const ERRORS: &str = "qemu.err";
/// PID 1 prints this when all required services are ready.
const READY: &str = "tare: ready";
/// From start to [`READY`].
const BOOT: Duration = secs(45);
/// QEMU opens its monitor in a tenth of a second, unless its host is busy.
const QMP_OPENS: Duration = secs(30);
/// How many machines this program has started.
static STARTED: AtomicU32 = AtomicU32::new(0);
/// Between two attempts if there is no event to wait for.
pub(crate) const AGAIN: Duration = Duration::from_millis(50);

/// One run of a [`Machine`]. Dropping it pulls the plug.
///
/// Every wait has a timeout for a real CPU, which is multiplied in emulation. It fails at once, with the console's
/// tail, when the console shows one of [`crate::FORBIDDEN`].
#[derive(Debug)]
pub struct Vm {
    machine: Machine,
    child: Mutex<Child>,
    console: Console,
    input: Mutex<ChildStdin>,
    qmp: Qmp,
    forwards: Vec<Forward>,
    ssh: Option<Ssh>,
    started: Instant,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// QEMU's exit status.
    pub status: ExitStatus,
    /// QEMU's reason, such as `guest-shutdown` or `guest-reset`; none if it was killed.
    pub reason: Option<String>,
}

impl Vm {
    /// A machine under construction, with firmware, 1 GiB, two processors and a network on which ssh is forwarded.
    pub fn of(base: impl Into<Base>) -> Builder {
        Builder::new(base.into())
    }

    pub(crate) fn start(machine: Machine) -> Result<Self> {
        // Connecting to a socket left by an earlier boot would fail.
        let _ = fs::remove_file(machine.folder().join(QMP_SOCKET));
        STARTED.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let (mut child, input, console) = spawn(&machine)?;
        let qmp = connect(&machine, &mut child)?;
        let mut vm = Self {
            machine,
            child: Mutex::new(child),
            console,
            input: Mutex::new(input),
            qmp,
            forwards: Vec::new(),
            ssh: None,
            started,
        };
        vm.resolve_forwards()?;
        evidence::watch(vm.ssh.clone(), vm.console.clone());
        Ok(vm)
    }

    /// How many machines this program has started.
    pub fn started() -> u32 {
        STARTED.load(Ordering::Relaxed)
    }

    /// Asks QEMU for the ports it has opened, some of which it chose itself.
    fn resolve_forwards(&mut self) -> Result<()> {
        self.forwards = parse_usernet(&self.qmp.monitor("info usernet")?)?;
        if let Some(port) = self.port(SSH) {
            self.ssh = Some(Ssh::configure(
                self.machine.folder(),
                port,
                self.machine.key(),
            )?);
        }
        Ok(())
    }

    pub(crate) fn client(&self) -> Result<&Ssh> {
        self.ssh.as_ref().context("ssh is not forwarded")
    }

    /// The machine, for the next boot.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The serial console.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// QEMU's monitor.
    pub fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// Since QEMU was started.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The host's port that is forwarded to `guest`.
    pub fn port(&self, guest: u16) -> Option<u16> {
        self.forwards
            .iter()
            .find(|forward| forward.guest == guest)
            .map(|forward| forward.host)
    }

    /// `patience`, multiplied if this machine is emulated.
    pub fn scaled(&self, patience: Duration) -> Duration {
        patience * self.machine.shape().acceleration.slowness()
    }

    pub(crate) fn deadline(&self, patience: Duration) -> Deadline {
        Deadline::after(self.scaled(patience))
    }

    /// Waits until PID 1 reports that all required services are ready, and returns that line.
    ///
    /// # Errors
    /// PID 1 is late, QEMU exits, or the console shows a forbidden line.
    pub fn wait_ready(&self) -> Result<String> {
        self.wait_line(READY, BOOT)
    }

    /// As [`Vm::wait_ready`], for a boot that began after `mark`, a [`Console::mark`].
    ///
    /// # Errors
    /// As [`Vm::wait_ready`].
    pub fn wait_ready_after(&self, mark: usize, patience: Duration) -> Result<String> {
        let ready = self.wait_line_after(mark, READY, patience)?;
        // The earlier boot has left connections behind.
        if let Some(ssh) = &self.ssh {
            ssh.hang_up();
        }
        Ok(ready)
    }

    /// Waits for a line of the console that contains `text`. An earlier line counts, too.
    ///
    /// # Errors
    /// As [`Vm::wait_ready`].
    pub fn wait_line(&self, text: &str, patience: Duration) -> Result<String> {
        self.wait_line_after(0, text, patience)
    }

    /// As [`Vm::wait_line`], for lines after `mark`, a [`Console::mark`].
    ///
    /// # Errors
    /// As [`Vm::wait_ready`].
    pub fn wait_line_after(&self, mark: usize, text: &str, patience: Duration) -> Result<String> {
        self.console.wait_line(mark, text, self.deadline(patience))
    }

    /// Types on the serial console.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn type_in(&self, text: &str) -> Result<()> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        input
            .write_all(text.as_bytes())
            .context("type on the console")
    }

    /// Presses the ACPI power button.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn power_button(&self) -> Result<()> {
        self.qmp.power_button()
    }

    /// Presses Ctrl, Alt and Delete on the PS/2 keyboard.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn ctrl_alt_del(&self) -> Result<()> {
        self.qmp.keys(&["ctrl", "alt", "delete"])
    }

    /// Waits until the guest has powered itself off and QEMU has exited.
    ///
    /// # Errors
    /// The machine is late, or the console has shown a forbidden line at any time.
    pub fn wait_exit(&self, patience: Duration) -> Result<Exit> {
        self.console.wait_end(self.deadline(patience))?;
        let status = self.lock_child().wait()?;
        self.console.require_clean()?;
        let event = self.qmp.event_at_exit("SHUTDOWN");
        let reason = event.and_then(|event| Some(event["data"]["reason"].as_str()?.to_owned()));
        Ok(Exit { status, reason })
    }

    /// Pulls the plug.
    ///
    /// # Errors
    /// QEMU cannot be waited for, or the console has shown a forbidden line at any time.
    pub fn kill(self) -> Result<()> {
        self.end()?;
        self.console.require_clean()
    }

    fn end(&self) -> Result<()> {
        let mut child = self.lock_child();
        if child.try_wait()?.is_none() {
            child.kill()?;
            child.wait()?;
        }
        // A forbidden line may be among the last.
        self.console.drain();
        Ok(())
    }

    /// Fails if waiting for the guest has become pointless.
    pub(crate) fn require_well(&self) -> Result<()> {
        self.console.require_clean()?;
        match self.lock_child().try_wait()? {
            Some(status) => {
                Err(Lost::from(self.explained(&anyhow!("QEMU has exited: {status}"))).into())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn explained(&self, error: &anyhow::Error) -> anyhow::Error {
        self.console.explained(&format!("{error:#}"))
    }

    fn lock_child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Vm {
    /// A test that forgets to check must not miss a forbidden line.
    #[expect(clippy::panic, reason = "a drop has no other way to fail the test")]
    fn drop(&mut self) {
        if self
            .lock_child()
            .try_wait()
            .is_ok_and(|exit| exit.is_none())
        {
            evidence::collect();
        }
        if let Err(error) = self.end() {
            eprintln!("QEMU may still run: {error:#}");
        }
        if let (Some(line), false) = (self.console.unreported(), thread::panicking()) {
            panic!("the console shows `{line}`\n{}", self.console.tail());
        }
    }
}

fn spawn(machine: &Machine) -> Result<(Child, ChildStdin, Console)> {
    let (mut qemu, log) = machine.command();
    let errors = machine.folder().join(ERRORS);
    qemu.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?);
    let mut child = qemu.spawn().context("start QEMU")?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (input, output) = pipes.context("QEMU was started without pipes")?;
    let console = Console::read(
        output,
        [&log, &errors],
        machine.tolerated(),
        machine.cited(),
    );
    Ok((child, input, console))
}

/// Opens the monitor, or ends QEMU and reports its error output.
fn connect(machine: &Machine, child: &mut Child) -> Result<Qmp> {
    wait_monitor(machine, child).or_else(|error| {
        // It may have exited already, which is the likely reason.
        let _ = child.kill();
        child.wait()?;
        let said = fs::read_to_string(machine.folder().join(ERRORS)).unwrap_or_default();
        Err(error.context(format!("QEMU does not start: {}", said.trim_end())))
    })
}

fn wait_monitor(machine: &Machine, child: &mut Child) -> Result<Qmp> {
    let deadline = Deadline::after(QMP_OPENS);
    loop {
        match Qmp::connect(machine.folder(), QMP_SOCKET) {
            Ok(qmp) => return Ok(qmp),
            Err(error) if deadline.left().is_none() => return Err(error),
            Err(_) => thread::sleep(AGAIN),
        }
        if let Some(status) = child.try_wait()? {
            bail!("{status}");
        }
    }
}
