//! Causes trouble on command, as lines of [`crate::line`]: `write PATH TEXT` (to a kernel file), `hold SECONDS PATH
//! TEXT` (then restores the old text), `clock SECONDS` (since 1970), `fill PATH` and `free PATH`, `freeze PATH`
//! (makes the file system there read-only), `hog` (all memory), `rss` and `anonymous` (of PID 1, in KiB), `kmsg
//! NUMBER` (of lines on the kernel's console, in the background), `zombies NUMBER`, `panic` and `crash` (PID 1).

use crate::{greed, line};
use nix::errno::Errno;
use nix::libc::{SYS_epoll_pwait, SYS_epoll_wait};
use nix::mount::{MsFlags, mount};
use nix::sys::ptrace::{self, Options};
use nix::sys::time::TimeSpec;
use nix::sys::wait::waitpid;
use nix::time::{ClockId, clock_settime};
use nix::unistd::{ForkResult, Pid, fork};
use std::fs;
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

/// Serves commands on `port` for ever.
pub(crate) fn fault(port: &str) -> ! {
    line::serve(&line::bind(port), |command, rest| {
        let answer = match command {
            "rss" => memory("Rss:"),
            "anonymous" => memory("Anonymous:"),
            "fill" => Ok(greed::fill(rest).trim_end().to_owned()),
            _ => make(command, rest).map(|()| "done".to_owned()),
        };
        answer.unwrap_or_else(|error| error.to_string()) + "\n"
    })
}

/// Exact, whereas `/proc/1/status` omits the latest per-processor counts.
fn memory(name: &str) -> io::Result<String> {
    let rollup = fs::read_to_string("/proc/1/smaps_rollup")?;
    let figure = rollup.lines().find_map(|line| line.strip_prefix(name));
    let number = figure.and_then(|figure| figure.split_whitespace().next());
    Ok(number.unwrap_or_default().to_owned())
}

fn make(command: &str, rest: &str) -> io::Result<()> {
    let mut words = rest.splitn(3, ' ');
    let mut word = || words.next().unwrap_or_default();
    match command {
        "write" => fs::write(word(), word()),
        "hold" => hold(number(word())?, word(), word()),
        "clock" => set_clock(number(word())?),
        "free" => fs::remove_file(word()),
        "freeze" => freeze(word()),
        "kmsg" => flood_console(number(word())?),
        "hog" => greed::hoard(),
        "zombies" => Ok(bear(number(word())?)?),
        "panic" => Ok(break_init()?),
        "crash" => Ok(crash_init()?),
        other => Err(io::Error::other(format!("no command {other}"))),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    let none = |_| io::Error::other(format!("`{word}` is no number"));
    word.parse().map_err(none)
}

fn hold(seconds: u64, path: &str, text: &str) -> io::Result<()> {
    let before = fs::read_to_string(path)?;
    fs::write(path, text)?;
    thread::sleep(Duration::from_secs(seconds));
    fs::write(path, before)
}

/// A write may block as long as the console does.
fn flood_console(lines: u32) -> io::Result<()> {
    let mut kmsg = fs::OpenOptions::new().write(true).open("/dev/kmsg")?;
    thread::spawn(move || {
        for line in 0..lines {
            // The level of an error, which consoles show.
            let _ = kmsg.write_all(format!("<3>flood {line}{:.<60}\n", "").as_bytes());
        }
    });
    Ok(())
}

fn set_clock(seconds: i64) -> io::Result<()> {
    Ok(clock_settime(
        ClockId::CLOCK_REALTIME,
        TimeSpec::new(seconds, 0),
    )?)
}

fn freeze(path: &str) -> io::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    Ok(mount(
        None::<&str>,
        path,
        None::<&str>,
        flags,
        None::<&str>,
    )?)
}

/// Forks children that exit at once, and never reaps them.
fn bear(zombies: u32) -> nix::Result<()> {
    for _ in 0..zombies {
        // SAFETY: this process has one thread, so the child finds no lock taken; it exits at once.
        match unsafe { fork() }? {
            ForkResult::Parent { .. } => {}
            ForkResult::Child => std::process::exit(0),
        }
    }
    Ok(())
}

/// Lets PID 1 continue at an address without code.
fn crash_init() -> nix::Result<()> {
    let init = stop_init()?;
    let mut registers = ptrace::getregs(init)?;
    registers.rip = 0;
    ptrace::setregs(init, registers)?;
    ptrace::detach(init, None)
}

fn stop_init() -> nix::Result<Pid> {
    let init = Pid::from_raw(1);
    ptrace::seize(init, Options::empty())?;
    ptrace::interrupt(init)?;
    waitpid(init, None)?;
    Ok(init)
}

/// Makes PID 1's next wait for events fail with an error that no kernel returns, which makes its event loop panic.
fn break_init() -> nix::Result<()> {
    let init = stop_init()?;
    loop {
        ptrace::syscall(init, None)?;
        waitpid(init, None)?;
        let mut registers = ptrace::getregs(init)?;
        let call = registers.orig_rax as i64;
        let waits = call == SYS_epoll_wait || call == SYS_epoll_pwait;
        // At syscall entry, the kernel shows ENOSYS as the result (ptrace(2), syscall-stops).
        if waits && registers.rax != result(Errno::ENOSYS) {
            registers.rax = result(Errno::EBADF);
            ptrace::setregs(init, registers)?;
            return ptrace::detach(init, None);
        }
    }
}

/// The way a system call returns an error.
fn result(errno: Errno) -> u64 {
    -i64::from(errno as i32) as u64
}
