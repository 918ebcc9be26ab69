//! PID 1's part: pipes and a socket that outlive the service, which gets them over descriptor 3.

use fastrand::Rng;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, setsockopt,
    socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::{self, File};
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tare_log_format::{Filter, Reader};

/// The log's configuration on all machines of these tests: small files, no rate limit.
pub(crate) const CONFIG: &str = r#"{"total":"1GiB","file":"1MiB","age":"1h","rate":0,"burst":1}"#;

/// A machine with nothing but the service.
pub(crate) struct Machine {
    root: PathBuf,
    pipes: Vec<(String, OwnedFd, File)>,
    socket: UnixDatagram,
    notify: UnixDatagram,
    service: Option<(Child, OwnedFd)>,
}

impl Machine {
    pub(crate) fn new(name: &str, config: &str, services: &[&str]) -> Self {
        let root = std::env::temp_dir().join(format!("tare-log-{}-{name}", std::process::id()));
        for folder in ["log", "state", "pstore"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("config"), config).unwrap();
        let socket = UnixDatagram::bind(root.join("dev-log")).unwrap();
        setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
        let notify = UnixDatagram::bind(root.join("notify")).unwrap();
        let pipe = |name: &&str| {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            ((*name).to_owned(), read, File::from(write))
        };
        Self {
            pipes: services.iter().map(pipe).collect(),
            root,
            socket,
            notify,
            service: None,
        }
    }

    /// Starts the service, passes everything to it, and waits until it is ready.
    pub(crate) fn start(&mut self) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
        let (ours, theirs) = pair.unwrap();
        let first = r#"{"service":"syslog","streams":["syslog"],"boot":"3f2a90c1-0000"}"#;
        hand_over(&ours, first, self.socket.as_raw_fd());
        let mut command = Command::new("sh");
        // Sets up descriptor 3 without unsafe code.
        command.args(["-c", "exec 3<&0 </dev/null; exec \"$@\"", "sh"]);
        command.arg(env!("CARGO_BIN_EXE_tare-log"));
        command.args(["log", "state", "config", "pstore"].map(|name| self.root.join(name)));
        command.env("NOTIFY_SOCKET", self.root.join("notify"));
        let child = command.stdin(Stdio::from(theirs)).spawn().unwrap();
        for (name, read, _) in &self.pipes {
            let message = format!(r#"{{"service":"{name}","streams":["stdout"]}}"#);
            hand_over(&ours, &message, read.as_raw_fd());
        }
        self.notify.recv(&mut [0; 64]).unwrap();
        self.service = Some((child, ours));
    }

    pub(crate) fn kill(&mut self) {
        let (mut child, _) = self.service.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops the service as PID 1 does.
    pub(crate) fn stop(&mut self) {
        let (mut child, _) = self.service.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Closes what `service` writes to, as PID 1 does on shutdown once the service has stopped.
    pub(crate) fn close(&mut self, service: &str) {
        let mut pipes = self.pipes.iter_mut();
        let pipe = pipes.find(|(name, ..)| name == service);
        pipe.unwrap().2 = pipe_with(PipeFlags::CLOEXEC).unwrap().1.into();
    }

    /// What `service` writes to.
    pub(crate) fn output(&self, service: &str) -> File {
        let pipe = self.pipes.iter().find(|(name, ..)| name == service);
        pipe.unwrap().2.try_clone().unwrap()
    }

    /// A caller of `syslog(3)`.
    pub(crate) fn caller(&self) -> UnixDatagram {
        let caller = UnixDatagram::unbound().unwrap();
        caller.connect(self.root.join("dev-log")).unwrap();
        caller
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// The texts of the records of `service`.
    pub(crate) fn texts(&self, service: &str) -> Vec<String> {
        let filter = Filter {
            services: vec![service.to_owned()],
            ..Filter::default()
        };
        let mut reader = Reader::open(&self.log(), &filter).unwrap();
        let mut texts = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            texts.push(record.text().into_owned());
        }
        texts
    }
}

fn hand_over(line: &OwnedFd, message: &str, descriptor: RawFd) {
    let descriptors = [descriptor];
    let control = [ControlMessage::ScmRights(&descriptors)];
    let payload = [IoSlice::new(message.as_bytes())];
    sendmsg::<UnixAddr>(
        line.as_raw_fd(),
        &payload,
        &control,
        MsgFlags::empty(),
        None,
    )
    .unwrap();
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some((mut child, _)) = self.service.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

/// Random numbers that differ from run to run. The seed is printed, for failures.
pub(crate) fn random() -> Rng {
    let random = Rng::new();
    println!("seed {}", random.get_seed());
    random
}
