//! `tare service exec` on a terminal, between a person (the other end of the terminal) and PID 1 with a program; the
//! test is both.

#![expect(
    clippy::unwrap_used,
    reason = "tests; clippy knows only the functions that have the attribute"
)]

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetwinsize};
use std::fs::File;
use std::io::{BufRead, BufReader, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// The command on a terminal, after its call.
struct Exec {
    client: Child,
    /// Both ends of the client's terminal: the person's, then the client's own.
    person: File,
    terminal: File,
    pid1: UnixStream,
    call: serde_json::Value,
    /// The program's descriptors.
    stdio: Vec<File>,
}

impl Exec {
    fn start(name: &str) -> Self {
        let (person, terminal) = pty();
        tcsetwinsize(&terminal, size(33, 77)).unwrap();
        // Below cargo's folder the path could be too long for a socket.
        let socket = format!("tare-{name}-{}.sock", std::process::id());
        let socket = std::env::temp_dir().join(socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let stdio = || Stdio::from(terminal.try_clone().unwrap());
        let client = Command::new(env!("CARGO_BIN_EXE_tare"))
            .arg("--socket")
            .arg(&socket)
            .args(["service", "exec", "a", "--", "b"])
            .env("TERM", "vt220")
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .spawn()
            .unwrap();
        let (pid1, _) = listener.accept().unwrap();
        std::fs::remove_file(&socket).unwrap();
        let (call, stdio) = receive(&pid1);
        Self {
            client,
            person,
            terminal,
            pid1,
            call,
            stdio,
        }
    }

    fn take_stdio(&mut self) -> [File; 3] {
        std::mem::take(&mut self.stdio).try_into().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.client.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

fn pty() -> (File, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    (master.into(), slave.into())
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn is_raw(terminal: &File) -> bool {
    let modes = tcgetattr(terminal).unwrap().local_modes;
    !modes.intersects(LocalModes::ISIG | LocalModes::ICANON | LocalModes::ECHO)
}

/// A call and its descriptors.
fn receive(pid1: &UnixStream) -> (serde_json::Value, Vec<File>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(pid1, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
    assert!(!received.flags.contains(ReturnFlags::CTRUNC));
    let mut stdio: Vec<OwnedFd> = vec![];
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            stdio.extend(descriptors);
        }
    }
    let call = serde_json::from_slice(&bytes[..received.bytes - 1]).unwrap();
    (call, stdio.into_iter().map(File::from).collect())
}

#[test]
fn a_program_on_a_terminal_has_one_of_its_own() {
    let mut exec = Exec::start("exec");
    assert_eq!(
        exec.call["parameters"]["environment"],
        serde_json::json!(["TERM=vt220"])
    );
    let [stdin, mut stdout, stderr] = exec.take_stdio();
    assert!(isatty(&stdin) && isatty(&stdout) && isatty(&stderr));
    assert!(is_raw(&exec.terminal) && !is_raw(&stdin));

    assert_eq!(tcgetwinsize(&stdin).unwrap(), size(33, 77));
    tcsetwinsize(&exec.terminal, size(20, 50)).unwrap();
    exec.signal(Signal::WINCH);
    let until = Instant::now() + DEADLINE;
    while tcgetwinsize(&stdin).unwrap() != size(20, 50) {
        assert!(Instant::now() < until, "the size stays");
        std::thread::sleep(Duration::from_millis(10));
    }

    // The program's terminal echoes the keys and edits the line.
    exec.person.write_all(b"hex\x7fllo\r").unwrap();
    let mut line = String::new();
    BufReader::new(&stdin).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    stdout.write_all(&[b'.'; 3000]).unwrap();
    stdout.write_all(b"\nlast\n").unwrap();
    let reply = b"{\"parameters\":{\"status\":7,\"signal\":null}}\0";
    exec.pid1.write_all(reply).unwrap();
    assert_eq!(exec.client.wait().unwrap().code(), Some(7));
    let want = format!("hex\x08 \x08llo\r\n{}\r\nlast\r\n", ".".repeat(3000));
    let mut screen = vec![0; want.len()];
    exec.person.read_exact(&mut screen).unwrap();
    assert_eq!(String::from_utf8(screen).unwrap(), want);
    assert!(!is_raw(&exec.terminal));
}

/// PID 1 sees the end of the connection, and the kernel hangs up the program's terminal.
#[test]
fn a_signal_leaves_the_terminal_as_it_was() {
    let mut exec = Exec::start("exec-signal");
    assert!(is_raw(&exec.terminal));
    exec.signal(Signal::TERM);
    assert_eq!(exec.client.wait().unwrap().code(), Some(143));
    assert!(!is_raw(&exec.terminal));
    assert_eq!(exec.pid1.read(&mut [0]).unwrap(), 0);
    assert_eq!(exec.stdio[0].read(&mut [0]).unwrap(), 0);
}
