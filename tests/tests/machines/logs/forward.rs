//! What a receiver gets, and what reaches the log through `/dev/log`.

use super::{TALKER, talk};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tare_image::Image;
use tare_qemu::{Vm, free_port, secs};
use tare_tests::guest::{power_off, says, wait_apps, wait_service};
use tare_tests::rsyslog::{Rsyslog, Transport};
use tare_tests::{Checks, Scratch};

/// The address of the guest's host (QEMU's user networking).
const HOST: &str = "10.0.2.2";
/// The port of syslog over TLS (RFC 5425), which no other program on this host gets while the receiver is away.
const PORT: u16 = 6514;

pub(crate) fn a_receiver_gets_everything(image: &Image) -> Result<()> {
    let folder = Scratch::new("receiver")?;
    let port = free_port(PORT)?;
    let mut rsyslog = Rsyslog::new(folder.path(), Transport::Tls, HOST, port)?;
    let ca = rsyslog.ca()?;
    let forward = format!("[log.forward]\nto = 'tls://{HOST}:{port}'\nca = '''\n{ca}'''\n");
    rsyslog.start()?;
    let vm = Vm::of(image)
        .direct()
        .user_data(&format!("{TALKER}{forward}"))
        .boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("the kernel's first line", || {
        received(&vm, &rsyslog, "kernel kmsg 5 tare", "Linux version")
    });
    checks.check("over an absence", || over_an_absence(&vm, &mut rsyslog));
    checks.check("the log itself has no network", || no_network(&vm));
    checks.check("/dev/log", || dev_log(&vm, &rsyslog));
    checks.check("containers", || containers(&vm, &mut rsyslog));
    checks.check("the last words", || last_words(&vm, &rsyslog));
    checks.verdict()?;
    rsyslog.stop()?;
    folder.remove()
}

/// Waits until the receiver has a line with this start and this content.
fn received(vm: &Vm, rsyslog: &Rsyslog, begins: &str, contains: &str) -> Result<()> {
    let until = Instant::now() + vm.scaled(secs(30));
    let wanted = |line: &String| line.starts_with(begins) && line.contains(contains);
    while !rsyslog.received()?.iter().any(wanted) {
        ensure!(
            Instant::now() < until,
            "{begins} … {contains} is not received"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Lines written while the receiver is away arrive when it is back.
fn over_an_absence(vm: &Vm, rsyslog: &mut Rsyslog) -> Result<()> {
    talk(vm, "for i in {1..300}; do echo number $i; done", "before")?;
    received(vm, rsyslog, "console stdout 6 tare", "done before")?;
    rsyslog.stop()?;
    talk(
        vm,
        "for i in {301..600}; do echo number $i; done",
        "meanwhile",
    )?;
    rsyslog.start()?;
    received(vm, rsyslog, "console stdout 6 tare", "done meanwhile")?;
    let lines = rsyslog.received()?;
    let missing = (1..=600).find(|number| {
        let end = format!(" number {number}");
        !lines.iter().any(|line| line.ends_with(&end))
    });
    ensure!(missing.is_none(), "number {missing:?} is missing");
    Ok(())
}

fn no_network(vm: &Vm) -> Result<()> {
    let links = vm.ssh("grep -c : /proc/$(pgrep -x tare-log)/net/dev")?;
    ensure!(links.trim() == "1", "{links} links");
    wait_service(vm, "forward", "ready", secs(5))
}

/// The socket for callers of `syslog(3)`, in a service and in a container.
fn dev_log(vm: &Vm, rsyslog: &Rsyslog) -> Result<()> {
    // Of ssh's programs, this one calls syslog(3).
    vm.ssh("/usr/lib/openssh/sftp-server -l INFO </dev/null")?;
    received(
        vm,
        rsyslog,
        "sftp-server syslog 6 tare",
        "session opened for local user root",
    )?;
    wait_service(vm, "engine", "ready", secs(60))?;
    wait_apps(vm)?;
    let logger = "docker run --rm -v /run/log/dev-log:/dev/log tare/demo \
                  /bin/busybox logger -t caller -p daemon.err 'from a container'";
    vm.ssh_within(logger, secs(60))?;
    received(vm, rsyslog, "caller syslog 3 tare", "from a container")
}

/// Writes a number each 50 ms, to standard output and error in turn, and ends with the last one.
const COUNTER: &str = "docker run -d --name counter tare/demo sh -c \
    'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo count $i >&$((1 + i % 2)); sleep 0.05; done; echo count end'";

/// What containers write arrives once, while services, the engine and the receiver come and go; and is in no file of the
/// log.
fn containers(vm: &Vm, rsyslog: &mut Rsyslog) -> Result<()> {
    vm.ssh_within(COUNTER, secs(60))?;
    received(vm, rsyslog, "counter stdout 6 tare", " count 2")?;
    vm.ssh_within("tare service restart forward", secs(60))?;
    vm.ssh_within("tare service restart engine", secs(120))?;
    vm.ssh("kill -9 $(pgrep -x dockerd)")?;
    vm.ssh_within("docker version >/dev/null", secs(120))?;
    rsyslog.stop()?;
    // Is removed once the receiver is back, and has the name of a service.
    let brief = "docker run -d --name ssh tare/demo echo count brief";
    vm.ssh_within(brief, secs(120))?;
    rsyslog.start()?;
    received(vm, rsyslog, "ssh stdout 6 tare", "count brief")?;
    vm.ssh_within(
        "docker rm ssh; docker run --rm --name removed tare/demo echo count removed",
        secs(60),
    )?;
    received(vm, rsyslog, "removed stdout 6 tare", "count removed")?;
    vm.ssh_within("docker wait counter", secs(120))?;
    received(vm, rsyslog, "counter stdout 6 tare", "count end")?;
    counted(vm, rsyslog)?;
    // From the log, not a second time.
    let syslog = "docker run --rm --name twice --log-driver syslog --log-opt tag=once tare/demo echo count syslog";
    vm.ssh_within(syslog, secs(60))?;
    received(vm, rsyslog, "once syslog 6 tare", "count syslog")?;
    let lines = rsyslog.received()?;
    let twice: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("twice "))
        .collect();
    ensure!(twice.is_empty(), "{twice:?}");
    says(
        vm,
        "cat /var/log/tare/*.log | grep -v ' once syslog ' | grep -c ' count ' || true",
        "0\n",
    )
}

/// Each number of the counter that dockerd has, has arrived. Those that the receiver had accepted just before its
/// connection broke may have arrived twice (RFC 5425 has no acknowledgements).
fn counted(vm: &Vm, rsyslog: &Rsyslog) -> Result<()> {
    let number = |line: &str| line.split_once("count ")?.1.parse().ok();
    let kept = vm.ssh("docker logs counter 2>&1")?;
    let kept: BTreeSet<usize> = kept.lines().filter_map(number).collect();
    let lines = rsyslog.received()?;
    let lines = lines.iter().filter(|line| line.starts_with("counter "));
    let numbers: Vec<usize> = lines.filter_map(|line| number(line)).collect();
    let arrived: BTreeSet<usize> = numbers.iter().copied().collect();
    ensure!(kept.len() > 300, "dockerd has {} numbers", kept.len());
    let differing: Vec<_> = kept.symmetric_difference(&arrived).collect();
    ensure!(differing.is_empty(), "{differing:?}");
    let repeated = numbers.len() - arrived.len();
    ensure!(repeated <= 200, "{repeated} numbers more than once");
    let shown = "tare logs --container counter | grep -c ': count [0-9]'";
    says(vm, shown, &format!("{}\n", kept.len()))
}

/// Lines written during shutdown, even by a service that stops slowly: a container ignores the signal.
fn last_words(vm: &Vm, rsyslog: &Rsyslog) -> Result<()> {
    let stubborn = "docker run -d --stop-timeout 5 tare/demo /bin/busybox sleep 3600";
    vm.ssh_within(stubborn, secs(60))?;
    power_off(vm)?;
    for (begins, contains) in [
        ("tare kmsg 5 tare", "power off: stopping services"),
        ("tare kmsg 6 tare", "engine: stopping -> stopped"),
    ] {
        received(vm, rsyslog, begins, contains)?;
    }
    Ok(())
}
