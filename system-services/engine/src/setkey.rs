//! The hook of a container's network: tells dockerd the network namespace that the runtime has made for a container.
//!
//! The message and its answer are those of moby's `libnetwork/sandbox_externalkey_unix.go`. If anything about them
//! fails, dockerd itself is executed as the hook, as without this program: a version of dockerd with other messages
//! costs time, and no container.

use crate::syslog;
use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use serde::Deserialize;
use serde_json::json;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The argument that calls for this, and the name by which dockerd knows the hook.
pub(crate) const NAME: &str = "libnetwork-setkey";
/// Before the folder of dockerd's state.
pub(crate) const EXEC_ROOT: &str = "-exec-root=";
/// Below that folder.
const SOCKETS: &str = "libnetwork";
const SUCCESS: &str = "success";
/// dockerd's client reads no more, either.
const LONGEST_ANSWER: u64 = 1024;

/// What is read of the container's state, which the runtime writes to stdin (OCI runtime specification, "State").
#[derive(Deserialize)]
struct State {
    pid: u32,
}

/// What to tell, and where.
#[derive(Debug, PartialEq, Eq)]
struct Hook {
    socket: PathBuf,
    container: String,
}

impl Hook {
    /// Of dockerd's arguments: `-exec-root=FOLDER CONTAINER CONTROLLER`.
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let [root, container, controller] = arguments else {
            return None;
        };
        let root = Path::new(root.to_str()?.strip_prefix(EXEC_ROOT)?);
        let socket = format!("{}.sock", controller.to_str()?);
        Some(Self {
            socket: root.join(SOCKETS).join(socket),
            container: container.to_str()?.to_owned(),
        })
    }

    /// Gives dockerd the network namespace of the process in `state`, JSON.
    fn tell(&self, state: &[u8]) -> Result<()> {
        let state: State =
            serde_json::from_slice(state).context("the container's state on stdin")?;
        let key = format!("/proc/{}/ns/net", state.pid);
        let message = json!({"ContainerID": self.container, "Key": key});
        let answer = self.ask(&message.to_string());
        let answer = answer.with_context(|| self.socket.display().to_string())?;
        match answer.as_str() {
            SUCCESS => Ok(()),
            "" => bail!("{}: closed without an answer", self.socket.display()),
            other => bail!("{}: {other}", self.socket.display()),
        }
    }

    /// In one write: dockerd reads once. It closes the connection after its answer, which takes as long as it is busy
    /// with other containers.
    fn ask(&self, message: &str) -> io::Result<String> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.write_all(message.as_bytes())?;
        let mut answer = String::new();
        stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
        Ok(answer)
    }
}

/// Runs the hook: `arguments` are dockerd's, and then the path at which the runtime finds dockerd itself.
///
/// # Errors
/// dockerd cannot be told, and cannot be executed.
pub(crate) fn run(arguments: &[OsString]) -> Result<()> {
    let (dockerd, arguments) = arguments.split_last().context("no arguments")?;
    let mut state = Vec::new();
    let told = io::stdin().read_to_end(&mut state).context("read stdin");
    let told = told.and_then(|_| {
        let hook = Hook::parse(arguments);
        let hook = hook.with_context(|| format!("{arguments:?} is not what dockerd passes"));
        hook?.tell(&state)
    });
    let Err(error) = told else {
        return Ok(());
    };
    let error = format!("{NAME}: {error:#}; leaving it to dockerd");
    eprintln!("{error}");
    // The runtime shows what a hook writes only if the hook fails.
    if let Err(error) = syslog::warn(&error) {
        eprintln!("log: {error}");
    }
    let failed = match dockerds(dockerd, arguments, &state) {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    };
    Err(anyhow!("{}: {failed}", Path::new(dockerd).display()))
}

/// dockerd as the hook.
fn dockerds(dockerd: &OsStr, arguments: &[OsString], state: &[u8]) -> io::Result<Command> {
    let mut stdin = File::from(memfd_create("state", MemfdFlags::CLOEXEC)?);
    stdin.write_all(state)?;
    stdin.rewind()?;
    let mut command = Command::new(dockerd);
    command.arg0(NAME).args(arguments).stdin(stdin);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env;
    use std::fs;
    use std::os::unix::net::UnixListener;
    use std::thread;

    const STATE: &[u8] =
        br#"{"ociVersion":"1.1.0","id":"c0ffee","status":"creating","pid":71,"bundle":"/b"}"#;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    /// A folder for a socket, and the hook that uses it.
    fn hook(name: &str) -> (PathBuf, Hook) {
        let name = format!("tare-setkey-{name}-{}", std::process::id());
        let root = env::temp_dir().join(name);
        fs::create_dir_all(root.join(SOCKETS)).unwrap();
        let root_argument = format!("{EXEC_ROOT}{}", root.display());
        let hook = Hook::parse(&arguments(&[&root_argument, "c0ffee", "1bad"]));
        (root, hook.unwrap())
    }

    /// What [`Hook::tell`] fails with if dockerd says `answer`, and what dockerd reads in its one read.
    fn told(name: &str, answer: &str) -> (Option<String>, String) {
        let (root, hook) = hook(name);
        let dockerd = UnixListener::bind(&hook.socket).unwrap();
        let (told, message) = thread::scope(|scope| {
            let message = scope.spawn(|| {
                let (mut client, _) = dockerd.accept().unwrap();
                let mut message = [0; 1280];
                let length = client.read(&mut message).unwrap();
                client.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&message[..length]).into_owned()
            });
            (hook.tell(STATE), message.join().unwrap())
        });
        fs::remove_dir_all(&root).unwrap();
        let error = told.err().map(|error| format!("{error:#}"));
        let error = error.map(|error| error.replace(&root.display().to_string(), "ROOT"));
        (error, message)
    }

    #[test]
    fn arguments_are_dockerds() {
        let words = ["-exec-root=/run/docker", "c0ffee", "1bad"];
        let want = Hook {
            socket: PathBuf::from("/run/docker/libnetwork/1bad.sock"),
            container: "c0ffee".to_owned(),
        };
        assert_eq!(Hook::parse(&arguments(&words)), Some(want));
        for other in [
            &words[..2],
            &["/run/docker", "c0ffee", "1bad"],
            &["-exec-root=/run/docker", "c0ffee", "1bad", "more"],
        ] {
            assert_eq!(Hook::parse(&arguments(other)), None, "{other:?}");
        }
    }

    #[test]
    fn dockerd_is_told_and_answers() {
        let message = r#"{"ContainerID":"c0ffee","Key":"/proc/71/ns/net"}"#;
        for (name, answer, want) in [
            ("success", "success", None),
            (
                "error",
                "failed to get sandbox for c0ffee",
                Some("ROOT/libnetwork/1bad.sock: failed to get sandbox for c0ffee"),
            ),
            (
                "closed",
                "",
                Some("ROOT/libnetwork/1bad.sock: closed without an answer"),
            ),
        ] {
            let told = told(name, answer);
            assert_eq!(told, (want.map(str::to_owned), message.to_owned()));
        }
    }

    #[test]
    fn dockerd_that_does_not_listen_is_named() {
        let (root, hook) = hook("absent");
        let error = format!("{:#}", hook.tell(STATE).unwrap_err());
        let socket = hook.socket.display();
        assert_eq!(
            error,
            format!("{socket}: No such file or directory (os error 2)")
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_state_that_is_none_is_an_error() {
        let (root, hook) = hook("garbage");
        for (state, want) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("hello", "expected value at line 1 column 1"),
            ("{\"id\":\"a\"}", "missing field `pid` at line 1 column 10"),
            (
                "{\"pid\":-1}",
                "invalid value: integer `-1`, expected u32 at line 1 column 9",
            ),
        ] {
            let error = format!("{:#}", hook.tell(state.as_bytes()).unwrap_err());
            let want = format!("the container's state on stdin: {want}");
            assert_eq!(error, want, "{state:?}");
        }
        fs::remove_dir_all(root).unwrap();
    }

    /// `cat` shows the name and the arguments with which it is executed, and then its stdin.
    #[test]
    fn dockerd_is_executed_as_the_runtime_would_have() {
        let arguments = arguments(&["/proc/self/cmdline", "-", "-u"]);
        let mut command = dockerds("cat".as_ref(), &arguments, STATE).unwrap();
        let output = command.output().unwrap();
        let name = b"libnetwork-setkey\0/proc/self/cmdline\0-\0-u\0";
        assert_eq!(output.stdout, [&name[..], STATE].concat());
    }
}
