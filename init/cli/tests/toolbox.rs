//! `tare toolbox` on a machine whose toolbox does not run yet; the test is PID 1.

#![expect(
    clippy::unwrap_used,
    reason = "tests; clippy knows only the functions that have the attribute"
)]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longer than `tare` waits before it says that it waits.
const SLOW: Duration = Duration::from_millis(1500);

/// One end of a connection: PID 1's.
struct Connection(BufReader<UnixStream>);

impl Connection {
    fn accept(listener: &UnixListener) -> Self {
        Self(BufReader::new(listener.accept().unwrap().0))
    }

    /// The next call of `method`, and its parameters. Descriptors are dropped.
    fn called(&mut self, method: &str) -> Value {
        let mut bytes = Vec::new();
        self.0.read_until(0, &mut bytes).unwrap();
        bytes.pop();
        let call: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(call["method"], format!("org.tare.Control.{method}"));
        call["parameters"].clone()
    }

    fn reply(&mut self, parameters: &Value, continues: bool) {
        let reply = json!({"parameters": parameters, "continues": continues});
        let stream = self.0.get_mut();
        stream.write_all(format!("{reply}\0").as_bytes()).unwrap();
    }
}

fn service(state: &str) -> Value {
    let toolbox = json!({
        "name": "toolbox", "description": "", "state": state, "since": 0, "required": false, "starts": 0, "pid": null,
        "memory": null, "cpu": null, "tasks": null, "text": "", "last_exit": null,
    });
    json!({"services": [toolbox]})
}

fn event(kind: &str, old: Option<&str>, new: Option<&str>) -> Value {
    let service = new.map(|_| "toolbox");
    json!({"event": {
        "time": 0, "kind": kind, "service": service, "old_state": old, "new_state": new, "text": "",
    }})
}

/// Runs `tare toolbox -- no-such-program` in `/`, with a slow start.
fn run() -> (Value, Output) {
    let socket = format!("tare-toolbox-{}.sock", std::process::id());
    let socket = std::env::temp_dir().join(socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let tare = Command::new(env!("CARGO_BIN_EXE_tare"))
        .arg("--socket")
        .arg(&socket)
        .args(["toolbox", "--", "no-such-program"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = Connection::accept(&listener);
    events.called("Monitor");
    events.reply(&event("begin", None, None), true);
    let mut calls = Connection::accept(&listener);
    calls.called("ListServices");
    calls.reply(&service("waiting"), false);
    assert_eq!(calls.called("StartService"), json!({"name": "toolbox"}));
    calls.reply(&json!({}), false);
    calls.called("ListServices");
    calls.reply(&service("starting"), false);
    std::thread::sleep(SLOW);
    events.reply(&event("service", Some("starting"), Some("ready")), true);
    let mut exec = Connection::accept(&listener);
    let asked = exec.called("ExecInService");
    exec.reply(&json!({"status": 127, "signal": null}), false);
    std::fs::remove_file(&socket).unwrap();
    (asked, tare.wait_with_output().unwrap())
}

#[test]
fn it_starts_says_so_if_that_takes_long_and_ends_as_its_program() {
    let (asked, output) = run();
    assert_eq!(asked["name"], "toolbox");
    let args = json!(["/usr/libexec/tare/toolbox", "/", "no-such-program"]);
    assert_eq!(asked["args"], args);
    assert_eq!(output.status.code(), Some(127));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "tare: starting the toolbox\n");
}
