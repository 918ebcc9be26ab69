//! The control socket and the `tare` command, on a machine.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says, services, wait_apps, wait_off, wait_service};
use tare_tests::{Checks, Varlinkctl, examples, on_machines, user_data};

/// The page whose examples are run.
const PAGE: &str = include_str!("../../docs/tare-command.md");
/// What every service of the demo machine may do.
const RIGHTS: &str = include_str!("control/rights.txt");
/// What the services that are off by default are for.
const ALL_SERVICES: &str = "\
    [metrics]\nlisten = '127.0.0.1:9100'\n[log.forward]\nto = 'udp://127.0.0.1:514'\n";
/// Runs what follows as somebody who is not root.
const SOMEBODY: &str = "setpriv --reuid 1000 --regid 1000 --clear-groups";

#[test]
fn the_command_and_its_socket() -> Result<()> {
    on_machines(|image| {
        let vm = boot(image, &format!("{}{ALL_SERVICES}", user_data::DEMO))?;
        wait_apps(&vm)?;
        let mut checks = Checks::default();
        checks.check("status as JSON", || status(&vm));
        checks.check("services as JSON", || list(&vm));
        for example in examples::of(PAGE) {
            checks.check(&example.command, || examples::run(&vm, &example));
        }
        checks.check("a picture of the boot", || {
            mentions(
                &vm,
                "tare boot plot",
                "<svg xmlns=\"http://www.w3.org/2000/svg\"",
            )
        });
        checks.check("what services may do", || rights(&vm));
        checks.check("exit statuses", || exit_statuses(&vm));
        checks.check("programs in containers", || exec(&vm));
        checks.check("others may nothing", || others_may_nothing(&vm));
        checks.check("colours on a terminal only", || colors(&vm));
        checks.check("top on a terminal", || top(&vm));
        checks.check("completions", || {
            mentions(&vm, "bash -ic 'complete -p tare' 2>/dev/null", "tare")
        });
        checks.check("manual pages", || {
            mentions(
                &vm,
                "mman tare-service-restart | cat",
                "Stops and starts a service",
            )
        });
        checks.check("varlinkctl and hostile clients", || over_the_socket(&vm));
        checks.check("power off", || {
            vm.ssh("tare poweroff")?;
            wait_off(&vm)
        });
        checks.verdict()
    })
}

#[test]
fn others_may_see_the_status() -> Result<()> {
    on_machines(|image| {
        let vm = boot(image, "[control]\nothers = 'status'\n")?;
        let mut checks = Checks::default();
        checks.check("status", || {
            let command = format!("{SOMEBODY} tare status --json");
            let status: Value = serde_json::from_str(&vm.ssh(&command)?)?;
            ensure!(status["hostname"] == "tare", "{status}");
            Ok(())
        });
        checks.check("and nothing else", || {
            let denied = "tare: permission denied: only root and the group `tare` may\n4\n";
            for command in [
                "reboot",
                "service show ssh",
                "service stop time",
                "events -f",
            ] {
                let command = format!("{SOMEBODY} tare {command} 2>&1; echo $?");
                says(&vm, &command, denied)?;
            }
            Ok(())
        });
        checks.check("a required service that is stopped", || degraded(&vm));
        checks.check("reboot", || reboot(&vm));
        checks.verdict()
    })
}

#[test]
fn figures_for_prometheus() -> Result<()> {
    on_machines(|image| {
        let vm = boot(image, "[metrics]\nlisten = '127.0.0.1:9100'\n")?;
        wait_service(&vm, "metrics", "ready", secs(30))?;
        let page = "curl --silent --show-error http://127.0.0.1:9100";
        for line in [
            "tare_health{health=\"ready\"} 1",
            "tare_service_state{service=\"metrics\",state=\"ready\"} 1",
            "tare_service_starts_total{service=\"ssh\"} 1",
            "# TYPE tare_service_cpu_seconds_total counter",
        ] {
            mentions(&vm, &format!("{page}/metrics"), line)?;
        }
        says(&vm, &format!("{page}/"), "metrics are at /metrics\n")?;
        // What answers the network may see how things are, and no more.
        let audit = vm.ssh("tare service audit metrics")?;
        let none = !audit.contains("permitted") && !audit.contains("ext4");
        ensure!(none, "{audit}");
        Ok(())
    })
}

fn boot(image: &Image, user_data: &str) -> Result<Vm> {
    let vm = Vm::of(image)
        .direct()
        .exit_on_reboot()
        .user_data(user_data)
        .boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(10))?;
    Ok(vm)
}

fn degraded(vm: &Vm) -> Result<()> {
    says(vm, "tare service stop engine", "engine is stopped\n")?;
    says(vm, "tare status --check >/dev/null; echo $?", "5\n")?;
    mentions(vm, "tare status", "  engine is stopped, and required\n")?;
    says(vm, "tare service start engine", "engine is ready\n")?;
    says(vm, "tare status --check >/dev/null; echo $?", "0\n")
}

fn reboot(vm: &Vm) -> Result<()> {
    vm.ssh("tare reboot")?;
    let exit = vm.wait_exit(secs(45))?;
    let reason = exit.reason.as_deref();
    ensure!(reason == Some("guest-reset"), "it did not reboot: {exit:?}");
    Ok(())
}

fn json(vm: &Vm, command: &str) -> Result<Value> {
    let text = vm.ssh(&format!("tare {command} --json"))?;
    serde_json::from_str(&text).with_context(|| format!("`tare {command} --json` says {text}"))
}

fn status(vm: &Vm) -> Result<()> {
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

/// The same services in the same states as in `/run/host/services`, and what the kernel says of them.
fn list(vm: &Vm) -> Result<()> {
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
    let want = services(vm)?;
    ensure!(states == want, "{states:?} is not {want:?}");
    Ok(())
}

/// Every right of every service is in a golden file: a new one shows in review.
fn rights(vm: &Vm) -> Result<()> {
    let names = vm.ssh("cut -d ' ' -f 1 /run/host/services")?;
    let mut got = String::new();
    for name in names.lines() {
        got += &vm.ssh(&format!("tare service audit {name}"))?;
    }
    ensure!(
        got == RIGHTS,
        "rights differ from tests/control/rights.txt:\n{got}"
    );
    Ok(())
}

fn exit_statuses(vm: &Vm) -> Result<()> {
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

/// With the service's rights, on our own input and output; who hangs up ends it.
fn exec(vm: &Vm) -> Result<()> {
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
    let hang_up = "timeout 2 tare service exec ssh -- sleep $((4000 + 321)); \
        while pgrep -f 'sleep 432[1]' >/dev/null; do sleep 0.1; done";
    vm.ssh_within(hang_up, secs(30)).map(drop)
}

/// By the socket's mode, so that PID 1 does not even hear of it; members of the group may everything.
fn others_may_nothing(vm: &Vm) -> Result<()> {
    let denied = "tare: connect to /run/tare/tare.sock: Permission denied (os error 13)\n4\n";
    says(vm, &format!("{SOMEBODY} tare status 2>&1; echo $?"), denied)?;
    for group in ["--regid 988 --clear-groups", "--regid 1000 --groups 988"] {
        let command = format!("setpriv --reuid 1000 {group} tare service stop time");
        says(vm, &command, "time is stopped\n")?;
        vm.ssh("tare service start time")?;
    }
    Ok(())
}

fn colors(vm: &Vm) -> Result<()> {
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

/// With a terminal, over ssh; the key ends it.
fn top(vm: &Vm) -> Result<()> {
    let screen = on_terminal(vm, "timeout --foreground 60 tare top", b"mq")?;
    for part in ["\u{1b}[?1049h", "SERVICE", "engine", "\u{1b}[?1049l"] {
        ensure!(
            screen.contains(part),
            "the screen has no {part:?}: {screen:?}"
        );
    }
    Ok(())
}

/// What `command` shows on a terminal when `keys` are typed there.
fn on_terminal(vm: &Vm, command: &str, keys: &[u8]) -> Result<String> {
    let mut ssh = Command::new("ssh")
        .arg("-F")
        .arg(vm.machine().folder().join("ssh-config"))
        .args(["-tt", "tare", &format!("TERM=xterm {command}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    // Held open until the end: a terminal that hangs up would end the command.
    let mut input = ssh.stdin.take().context("ssh's input")?;
    input.write_all(keys)?;
    let output = ssh.wait_with_output()?;
    drop(input);
    let screen = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}: {screen}", output.status);
    Ok(screen.into_owned())
}

fn over_the_socket(vm: &Vm) -> Result<()> {
    let varlinkctl = Varlinkctl::at(vm)?;
    let mut checks = Checks::default();
    checks.check("varlinkctl", || introspect_and_call(&varlinkctl));
    checks.check("hostile clients", || hostile(vm, &varlinkctl));
    checks.verdict()
}

fn introspect_and_call(varlinkctl: &Varlinkctl) -> Result<()> {
    for (arguments, want) in [
        (&["info", "SOCKET"][..], "org.tare.Control"),
        (&["list-interfaces", "SOCKET"], "org.varlink.service"),
        (
            &["introspect", "SOCKET", "org.tare.Control"],
            "method RestartService(",
        ),
        (
            &["introspect", "SOCKET", "org.varlink.service"],
            "method GetInfo(",
        ),
        (
            &["call", "SOCKET", "org.tare.Control.GetStatus", "{}"],
            "system-a",
        ),
        (
            &[
                "call",
                "--json=short",
                "SOCKET",
                "org.tare.Control.ShowService",
                r#"{"name":"ssh"}"#,
            ],
            "OpenSSH",
        ),
    ] {
        let said = varlinkctl.output(arguments)?;
        ensure!(
            said.contains(want),
            "{arguments:?} does not say {want:?}:\n{said}"
        );
    }
    Ok(())
}

/// Over the forwarded socket, so that ssh's own clients are the machine's.
fn hostile(vm: &Vm, varlinkctl: &Varlinkctl) -> Result<()> {
    let connect = || UnixStream::connect(varlinkctl.socket()).context("connect");
    let call = b"{\"method\":\"org.tare.Control.ListServices\"}\0";
    let before = starts(vm)?;
    // Endless, broken, half and unread messages, all at once.
    let mut endless = connect()?;
    let _ = endless.write_all(&[b' '; 1 << 20]);
    let mut broken = connect()?;
    broken.write_all(b"\xff{]\0")?;
    let mut half = connect()?;
    half.write_all(b"{\"method\":")?;
    let mut unread = connect()?;
    let _ = unread.write_all(&call.repeat(2000));
    let mut crowd = (0..60).map(|_| connect()).collect::<Result<Vec<_>>>()?;
    mentions(vm, "tare status", "ready")?;
    for gone in [&mut endless, &mut broken, &mut half] {
        let mut rest = Vec::new();
        gone.set_read_timeout(Some(vm.scaled(secs(30))))?;
        let _ = gone
            .read_to_end(&mut rest)
            .context("the end of a connection")?;
        ensure!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
    // Of sixty, those that came last have seats.
    let last = crowd.last_mut().context("a crowd")?;
    last.write_all(call)?;
    let mut answer = [0; 14];
    last.read_exact(&mut answer)?;
    ensure!(&answer == b"{\"parameters\":", "{answer:?}");
    let after = starts(vm)?;
    ensure!(after == before, "starts were {before} and are {after}");
    Ok(())
}

/// How often each service was started.
fn starts(vm: &Vm) -> Result<String> {
    vm.ssh("tare service list --json | grep -E '\"(name|starts)\"'")
}
