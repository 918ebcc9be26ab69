//! How fast Tare's log and rsyslog write lines from `/dev/log` to a file, side by side in one guest.
//!
//! Both run in containers of that guest, under the same kernel, and write to the same file system. The lines come
//! from this program, in a container that sees the host. It sends them as fast as they are accepted, then waits until
//! the last one is in the file.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tare_qemu::{Base, Vm, secs};
use tare_tests::{Scratch, rsyslog};

use crate::boots::power_off;
use crate::guest::{DOCKER_READY, send};
use crate::results::Results;
use crate::systems::Name;

/// Lines per run, each about 130 bytes in the file.
pub(crate) const LINES: usize = 100_000;
/// Counted runs, after one that does not count.
const RUNS: usize = 9;
/// Tare's log limits a service's burst and rate by default; rsyslog does not.
const USER_DATA: &str = "[log]\nrate = 0\n";
/// Path of this program in the container.
const PROGRAM: &str = "bench";
const CONFIGURATION: &str = "\
    module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
    input(type=\"imuxsock\" Socket=\"/run/log.sock\")\n\
    *.* action(type=\"omfile\" file=\"/var/log/bench/rsyslog.log\")\n";
/// Timeout for the last line to arrive.
const PATIENCE: Duration = Duration::from_secs(300);

/// A log daemon; in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Keeper {
    /// Tare's service `log`.
    Tare,
    /// Debian's rsyslog.
    Rsyslog,
}

impl Keeper {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Tare, Self::Rsyslog];

    /// Its name in the report and on the wire.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Tare => "Tare's log",
            Self::Rsyslog => "rsyslog",
        }
    }

    /// The name of its process.
    fn process(self) -> &'static str {
        match self {
            Self::Tare => "tare-log",
            Self::Rsyslog => "rsyslogd",
        }
    }

    /// The socket behind `/dev/log`, as a container with the host's processes sees it.
    fn socket(self) -> &'static str {
        match self {
            Self::Tare => "/proc/1/root/run/tare/shared/log/dev-log",
            Self::Rsyslog => "/run/log.sock",
        }
    }

    /// The folder, and the name of the file that is written in it.
    fn file(self) -> (&'static Path, &'static str) {
        match self {
            Self::Tare => (Path::new("/proc/1/root/state/volumes/log"), "current.log"),
            Self::Rsyslog => (Path::new("/var/log/bench"), "rsyslog.log"),
        }
    }

    /// Sends all lines of a run and waits until they are in the file.
    fn take(self, run: usize) -> Result<Kept> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(self.socket()).context(self.socket())?;
        let before = processor_time(self.process())?;
        let start = Instant::now();
        for number in 0..LINES {
            socket.send(message(run, number).as_bytes())?;
        }
        self.wait_last(&text(run, LINES - 1))?;
        let took = start.elapsed().as_secs_f64();
        let processor = processor_time(self.process())? - before;
        let kept = self.count(&format!("run {run} line "))?;
        ensure!(kept == LINES, "{kept} lines of {LINES} were kept");
        Ok(Kept { took, processor })
    }

    fn wait_last(self, text: &str) -> Result<()> {
        let (folder, name) = self.file();
        let until = Instant::now() + PATIENCE;
        while !ends_with(&folder.join(name), text)? {
            ensure!(Instant::now() < until, "`{text}` does not come");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn count(self, text: &str) -> Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(self.file().0)? {
            let path = entry?.path();
            if path.is_file() {
                count += fs::read_to_string(&path)?.matches(text).count();
            }
        }
        Ok(count)
    }
}

/// The cost of a run, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// From sending the first line to the last one being in the file.
    pub(crate) took: f64,
    /// Processor time of the log daemon.
    pub(crate) processor: f64,
}

/// User and system time of the process with this name, in seconds (`proc_pid_stat(5)`).
fn processor_time(name: &str) -> Result<f64> {
    /// `USER_HZ`, the same on all our machines.
    const TICKS: f64 = 100.0;
    let name = format!("({name}) ");
    for entry in fs::read_dir("/proc")? {
        // A process may exit meanwhile.
        let stat = fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
        if let Some((_, fields)) = stat.split_once(&name) {
            let fields: Vec<&str> = fields.split(' ').collect();
            let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
            return Ok(ticks / TICKS);
        }
    }
    bail!("there is no {name}")
}

/// A line as `syslog(3)` sends it.
fn message(run: usize, number: usize) -> String {
    format!("<14>Nov 21 10:00:00 bench: {}", text(run, number))
}

fn text(run: usize, number: usize) -> String {
    format!("run {run} line {number:06}: GET /index.html HTTP/1.1 200 5120 from 192.0.2.17")
}

/// Whether the end of the file contains `text`. The file may not exist yet.
fn ends_with(path: &Path, text: &str) -> Result<bool> {
    const TAIL: u64 = 4096;
    let Ok(mut file) = File::open(path) else {
        return Ok(false);
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).contains(text))
}

/// In the container: starts rsyslog and writes `KEEPER: SECONDS PROCESSOR` for each run.
///
/// # Errors
/// A line is lost.
pub(crate) fn run() -> Result<()> {
    fs::write("/etc/bench.conf", CONFIGURATION)?;
    let mut rsyslog = Command::new("/usr/sbin/rsyslogd")
        .args(["-n", "-f", "/etc/bench.conf"])
        .spawn()?;
    let done = wait_socket(&mut rsyslog).and_then(|()| take_turns());
    rsyslog.kill()?;
    rsyslog.wait()?;
    done
}

fn wait_socket(rsyslog: &mut Child) -> Result<()> {
    while !Path::new(Keeper::Rsyslog.socket()).exists() {
        let ended = rsyslog.try_wait()?;
        ensure!(ended.is_none(), "rsyslog has ended: {ended:?}");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn take_turns() -> Result<()> {
    for run in 0..=RUNS {
        for keeper in Keeper::ALL {
            let kept = keeper.take(run).context(keeper.label())?;
            if run > 0 {
                println!("{}: {} {}", keeper.label(), kept.took, kept.processor);
            }
        }
    }
    Ok(())
}

/// Boots Tare once more and lets both log daemons take lines in turn.
///
/// # Errors
/// A machine cannot be made, or a line is lost.
pub(crate) fn measure(tare: &Base, results: &mut Results) -> Result<()> {
    let folder = Scratch::new("rsyslog")?;
    let root = rootfs(folder.path())?;
    let vm = Vm::of(tare.clone())
        .direct()
        .parallel()
        .user_data(USER_DATA)
        .boot()?;
    vm.wait_ssh(secs(60))?;
    vm.ssh_within(DOCKER_READY, secs(60))?;
    import(&vm, &root)?;
    let run = format!(
        "docker run --rm --privileged --pid host --network host -v bench:/var/log/bench \
         tare/rsyslog /{PROGRAM} --log"
    );
    let said = vm.ssh_within(&run, secs(300))?;
    for keeper in Keeper::ALL {
        let kept = kept_by(keeper, &said)?;
        eprintln!("{:12} {LINES} lines: {kept:.2?}", keeper.label());
        results.logs.insert(keeper, kept);
    }
    power_off(Name::Tare, &vm)?;
    folder.remove()
}

/// The container's output for one log daemon.
fn kept_by(keeper: Keeper, said: &str) -> Result<Vec<Kept>> {
    let prefix = format!("{}: ", keeper.label());
    let lines = said.lines().filter_map(|line| line.strip_prefix(&prefix));
    let kept = lines.map(|line| {
        let (took, processor) = line.split_once(' ').context("two times")?;
        Ok(Kept {
            took: took.parse()?,
            processor: processor.parse()?,
        })
    });
    let kept: Vec<Kept> = kept.collect::<Result<_>>()?;
    ensure!(kept.len() == RUNS, "{} runs: {said}", kept.len());
    Ok(kept)
}

/// A container's root filesystem with rsyslog and this program.
fn rootfs(folder: &Path) -> Result<PathBuf> {
    let root = rsyslog::unpack(folder)?;
    for directory in ["dev", "etc", "proc", "run", "sys", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    let own = env::current_exe().context("find this program")?;
    fs::copy(own, root.join(PROGRAM))?;
    Ok(root)
}

/// Gives the guest's engine the image `tare/rsyslog`.
fn import(vm: &Vm, root: &Path) -> Result<()> {
    let mut archive = Command::new("tar")
        .arg("--directory")
        .arg(root)
        .args(["--create", "."])
        .stdout(Stdio::piped())
        .spawn()
        .context("start tar")?;
    let output = archive.stdout.take().context("tar has no output")?;
    send(vm, "docker import - tare/rsyslog", output)?;
    let status = archive.wait()?;
    ensure!(status.success(), "tar: {status}");
    Ok(())
}
