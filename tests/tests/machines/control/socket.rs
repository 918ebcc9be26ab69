//! Clients of the control socket itself: systemd's, and hostile ones.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, starts};
use tare_tests::{Checks, Varlinkctl};

use super::PAGE;

pub(crate) fn all(vm: &Vm) -> Result<()> {
    let varlinkctl = Varlinkctl::at(vm)?;
    let mut checks = Checks::default();
    checks.check("varlinkctl", || introspect_and_call(&varlinkctl));
    checks.check("varlinkctl as documented", || {
        as_documented(vm, &varlinkctl)
    });
    checks.check("hostile clients", || hostile(vm, &varlinkctl));
    checks.verdict()
}

fn introspect_and_call(varlinkctl: &Varlinkctl) -> Result<()> {
    const SOCKET: &str = "/run/tare/tare.sock";
    for (arguments, want) in [
        (&["info", SOCKET][..], "org.tare.Control"),
        (&["list-interfaces", SOCKET], "org.varlink.service"),
        (
            &["introspect", SOCKET, "org.varlink.service"],
            "method GetInfo(",
        ),
        (
            &["call", SOCKET, "org.tare.Control.GetStatus", "{}"],
            "system-a",
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

/// Runs the commands of the page exactly as written.
fn as_documented(vm: &Vm, varlinkctl: &Varlinkctl) -> Result<()> {
    let wants = ["method RestartService(", "OpenSSH", "\"time\""];
    let lines = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("varlinkctl "));
    let mut shown = 0;
    for (line, want) in lines.zip(wants) {
        let words: Vec<&str> = line
            .split(' ')
            .map(|word| word.trim_matches('\''))
            .collect();
        let said = match words.contains(&"--more") {
            true => varlinkctl.output_during(&words, || restart(vm))?,
            false => varlinkctl.output(&words)?,
        };
        ensure!(said.contains(want), "{line} does not say {want:?}:\n{said}");
        shown += 1;
    }
    ensure!(shown == wants.len(), "the page has {shown} lines");
    Ok(())
}

/// More than once, because the listener may not be connected before the first restart.
fn restart(vm: &Vm) -> Result<()> {
    (0..3).try_for_each(|_| {
        vm.ssh_within("tare service restart time", secs(20))
            .map(drop)
    })
}

/// Over the forwarded socket, so that the clients are ssh's on the machine.
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
    // Of the sixty, the last ones are still connected. Once it has an answer, ssh has passed on all of them, of which the
    // latest push out the earliest, and another caller, too.
    let last = crowd.last_mut().context("a crowd")?;
    last.write_all(call)?;
    let mut answer = [0; 14];
    last.read_exact(&mut answer)?;
    ensure!(&answer == b"{\"parameters\":", "{answer:?}");
    mentions(vm, "tare status", "ready")?;
    for gone in [&mut endless, &mut broken, &mut half] {
        let mut rest = Vec::new();
        gone.set_read_timeout(Some(vm.scaled(secs(30))))?;
        let _ = gone
            .read_to_end(&mut rest)
            .context("the end of a connection")?;
        ensure!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
    let after = starts(vm)?;
    ensure!(after == before, "starts were {before:?} and are {after:?}");
    Ok(())
}
