//! Output and effects of the `tare` command.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Deserializer, Value};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says, services};

use super::SOMEBODY;

/// The rights of every service of the demo machine.
const RIGHTS: &str = include_str!("rights.txt");

fn json(vm: &Vm, command: &str) -> Result<Value> {
    let text = vm.ssh(&format!("tare {command} --json"))?;
    serde_json::from_str(&text).with_context(|| format!("`tare {command} --json` says {text}"))
}

pub(crate) fn status(vm: &Vm) -> Result<()> {
    let status = json(vm, "status --check")?;
    for (key, want) in [
        ("health", "ready"),
        ("hostname", "tare"),
        ("slot", "system-a"),
    ] {
        ensure!(status[key] == want, "{key} is {}, not {want}", status[key]);
    }
    ensure!(status["problems"] == Value::Array(vec![]), "{status}");
    let addresses = status["addresses"].to_string();
    ensure!(addresses.contains("10.0.2.15/24"), "{addresses}");
    ensure!(status["state"]["volatile"] == false, "{}", status["state"]);
    let machine_id = vm.ssh("cat /run/host/machine-id")?;
    ensure!(status["machine_id"] == machine_id.trim_end(), "{status}");
    let ready = status["ready_at"].as_u64().context("ready_at")?;
    let uptime = status["uptime"].as_u64().context("uptime")?;
    ensure!(0 < ready && ready < uptime, "ready at {ready}, up {uptime}");
    Ok(())
}

/// Services that run at the end of a boot.
const READY: [&str; 8] = [
    "console", "dhcp", "engine", "forward", "log", "metrics", "ssh", "time",
];
/// Services that are done by then.
const DONE: [&str; 3] = ["app.demo", "apps", "storage"];

/// A service that runs on request, and one that runs once a week.
const WAITING: [&str; 2] = ["toolbox", "trim"];

/// All services in their states, and what the kernel reports about them.
pub(crate) fn list(vm: &Vm) -> Result<()> {
    let list = json(vm, "service list")?;
    let list = list["services"].as_array().context("services")?;
    let mut states = BTreeMap::new();
    for service in list {
        let text = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
        let runs = service["pid"].is_u64();
        ensure!(runs == (text("state") == "ready"), "{service}");
        ensure!(
            !runs || service["memory"].as_u64() > Some(1 << 16),
            "{service}"
        );
        ensure!(!runs || service["cpu"].as_u64() > Some(0), "{service}");
        states.insert(text("name"), text("state"));
    }
    let want: BTreeMap<String, String> = READY
        .map(|name| (name.to_owned(), "ready".to_owned()))
        .into_iter()
        .chain(DONE.map(|name| (name.to_owned(), "done".to_owned())))
        .chain(WAITING.map(|name| (name.to_owned(), "waiting".to_owned())))
        .collect();
    ensure!(states == want, "{states:?} is not {want:?}");
    Ok(())
}

/// Every right of every service is in a golden file, so that a new one shows in review.
pub(crate) fn rights(vm: &Vm) -> Result<()> {
    let mut got = String::new();
    for name in services(vm)?.keys() {
        got += &vm.ssh(&format!("tare service audit {name}"))?;
    }
    ensure!(
        got == RIGHTS,
        "rights differ from tests/tests/machines/control/rights.txt:\n{got}"
    );
    Ok(())
}

pub(crate) fn exit_statuses(vm: &Vm) -> Result<()> {
    for (command, want) in [
        ("tare status --check", "0\n"),
        (
            "tare service show nothing 2>&1",
            "tare: there is no service `nothing`\n1\n",
        ),
        ("tare dance 2>/dev/null", "2\n"),
        (
            "tare --socket /nothing version 2>/dev/null | grep -c unknown",
            "2\n0\n",
        ),
        ("tare --socket /nothing status 2>/dev/null", "3\n"),
    ] {
        says(
            vm,
            &format!("{command}; echo $?").replace("status --check;", "status --check >/dev/null;"),
            want,
        )?;
    }
    Ok(())
}

/// With the service's rights, on our own input and output. Disconnecting stops the program.
pub(crate) fn exec(vm: &Vm) -> Result<()> {
    for (command, want) in [
        ("echo in | tare service exec ssh -- cat", "in\n"),
        (
            "tare service exec ssh -- sh -c 'echo err >&2' 2>&1",
            "err\n",
        ),
        (
            "tare service exec ssh --env A=b -- sh -c 'echo $A; exit 7'; echo $?",
            "b\n7\n",
        ),
        (
            "tare service exec ssh -- sh -c 'kill -9 $$'; echo $?",
            "137\n",
        ),
        (
            "tare service exec apps -- true 2>&1; echo $?",
            "tare: apps does not run\n1\n",
        ),
        (
            "tare service exec time -- touch /x >/dev/null 2>&1; echo $?",
            "1\n",
        ),
    ] {
        says(vm, command, want)?;
    }
    mentions(
        vm,
        "tare service exec ssh -- /nothing 2>&1 || true",
        "/nothing",
    )?;
    // The program's command line begins with its path, wherever that is; the client's does not.
    let hang_up = "tare service exec ssh -- sleep 4321 & client=$!; \
        until pgrep -fx '[^ ]*sleep 4321' >/dev/null; do sleep 0.1; done; kill $client; \
        while pgrep -fx '[^ ]*sleep 4321' >/dev/null; do sleep 0.1; done";
    vm.ssh_within(hang_up, secs(30)).map(drop)
}

/// Denied by the socket's mode, so that PID 1 does not even see the attempt. Members of the group have full access.
pub(crate) fn others_may_nothing(vm: &Vm) -> Result<()> {
    let denied = "tare: connect to /run/tare/tare.sock: Permission denied (os error 13)\n4\n";
    says(vm, &format!("{SOMEBODY} tare status 2>&1; echo $?"), denied)?;
    for group in ["--regid 988 --clear-groups", "--regid 1000 --groups 988"] {
        let command = format!("setpriv --reuid 1000 {group} tare service stop time");
        says(vm, &command, "time is stopped\n")?;
        vm.ssh("tare service start time")?;
    }
    Ok(())
}

pub(crate) fn colors(vm: &Vm) -> Result<()> {
    let count = |command: &str| format!("{command} | grep -c '\u{1b}' || true");
    says(vm, &count("tare status"), "0\n")?;
    says(vm, &count("tare --color always status | head -n 1"), "1\n")?;
    for (environment, want) in [("", true), ("NO_COLOR=1", false), ("TERM=dumb", false)] {
        let screen = on_terminal(vm, &format!("{environment} tare status"), b"")?;
        ensure!(
            screen.contains('\u{1b}') == want,
            "{environment}: {screen:?}"
        );
    }
    Ok(())
}

/// Every command with output, with a key of that output.
pub(crate) fn all_as_json(vm: &Vm) -> Result<()> {
    for (command, key) in [
        ("version", "system"),
        ("service stop time", "state"),
        ("service start time", "state"),
        ("service restart time", "state"),
        ("service show time", "configuration"),
        ("service audit", "services"),
        ("service audit time", "services"),
        ("service logs time -n 2", "text"),
        ("logs -n 2", "text"),
        ("boot analyze", "spans"),
        ("config show", "metrics.listen"),
        ("config get log", "log.rate"),
        ("events", "kind"),
    ] {
        let text = vm.ssh(&format!("tare {command} --json"))?;
        let values = Deserializer::from_str(&text).into_iter();
        let values: Vec<Value> = values
            .collect::<Result<_, _>>()
            .with_context(|| format!("`tare {command} --json` says {text}"))?;
        let all = !values.is_empty() && values.iter().all(|value| value.get(key).is_some());
        ensure!(all, "`tare {command} --json` has no {key}: {text}");
    }
    for command in [
        "tare top -n 1 --json",
        "timeout 60 tare top --json | head -n 1",
    ] {
        let rows: Value = serde_json::from_str(&vm.ssh(command)?).context(command)?;
        ensure!(rows[0]["service"].is_string(), "`{command}` says {rows}");
    }
    Ok(())
}

/// Shows events after the request, as they happen.
pub(crate) fn follow_events(vm: &Vm) -> Result<()> {
    const FOLLOW: &str = "timeout 100 tare events -f >/tmp/events 2>/dev/null </dev/null & \
        until [ -s /tmp/events ]; do sleep 0.1; done; read now rest </proc/uptime; \
        tare service restart time >/dev/null; \
        until awk -v now=$now '$1 > now && /time: starting -> ready/ { seen = 1 } END { exit !seen }' \
        /tmp/events; do sleep 0.1; done; kill $!; rm /tmp/events";
    vm.ssh_within(FOLLOW, secs(30)).map(drop)
}

/// As a user gets them, by Tab.
pub(crate) fn completions(vm: &Vm) -> Result<()> {
    let keys = b"tare ser\tlist -\x15docker ru\t--privil\t-\x15docker inspect demo-\t-\x15exit\r";
    let screen = on_terminal_after("~# ", vm, "bash --login", keys)?;
    for want in [
        "tare service list -",
        "docker run --privileged -",
        "docker inspect demo-web-1 -",
    ] {
        ensure!(screen.contains(want), "no {want:?}: {screen:?}");
    }
    Ok(())
}

/// A program on a terminal has one like it, with job control, and Ctrl-C is for the program.
pub(crate) fn exec_on_terminal(vm: &Vm) -> Result<()> {
    for (command, want) in [
        ("tare service exec ssh -- tty", "/dev/pts/"),
        (
            "tare service exec ssh -- sh -c 'echo $TERM >/dev/tty'",
            "xterm\r\n",
        ),
        (
            "stty rows 33 cols 77; tare service exec ssh -- stty size",
            "33 77\r\n",
        ),
        (
            "tare service exec -it ssh -- bash -ic 'case $- in *m*) echo has jobs; esac'",
            "has jobs\r\n",
        ),
    ] {
        let screen = on_terminal(vm, command, b"")?;
        ensure!(screen.contains(want), "{command}: {screen:?}");
    }
    let sleep = "timeout --foreground 60 tare service exec ssh -- \
        sh -c 'echo started; exec sleep 1000'; echo status $?";
    let screen = on_terminal_after("started", vm, sleep, b"\x03")?;
    ensure!(screen.contains("status 130\r\n"), "{screen:?}");
    Ok(())
}

/// With a terminal, over ssh; a key ends it.
pub(crate) fn top(vm: &Vm) -> Result<()> {
    let screen = on_terminal(vm, "timeout --foreground 60 tare top", b"mq")?;
    for part in ["\u{1b}[?1049h", "SERVICE", "engine", "\u{1b}[?1049l"] {
        ensure!(
            screen.contains(part),
            "the screen has no {part:?}: {screen:?}"
        );
    }
    Ok(())
}

/// The screen of `command` on a terminal when `keys` are typed there.
fn on_terminal(vm: &Vm, command: &str, keys: &[u8]) -> Result<String> {
    on_terminal_after("", vm, command, keys)
}

/// The same when `keys` are typed after `cue` is on the screen.
pub(super) fn on_terminal_after(cue: &str, vm: &Vm, command: &str, keys: &[u8]) -> Result<String> {
    let mut ssh = Command::new("ssh")
        .arg("-F")
        .arg(vm.machine().folder().join("ssh-config"))
        .args(["-tt", "tare", &format!("TERM=xterm {command}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Held open until the end, because a terminal that hangs up would end the command.
    let mut input = ssh.stdin.take().context("ssh's input")?;
    let mut output = ssh.stdout.take().context("ssh's output")?;
    let mut screen = Vec::new();
    while !String::from_utf8_lossy(&screen).contains(cue) {
        let mut part = [0; 1024];
        let length = output.read(&mut part)?;
        ensure!(length > 0, "`{command}` ended without {cue:?}");
        screen.extend(&part[..length]);
    }
    input.write_all(keys)?;
    output.read_to_end(&mut screen)?;
    let status = ssh.wait()?;
    drop(input);
    let screen = String::from_utf8_lossy(&screen);
    ensure!(status.success(), "{status}: {screen}");
    Ok(screen.into_owned())
}
