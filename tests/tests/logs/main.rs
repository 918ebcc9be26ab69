//! What the log keeps: everything, once, over kills, floods, full disks, power cuts and reboots.

use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use tare_log::Record;
use tare_qemu::{Vm, free_port, secs};
use tare_tests::guest::{mentions, power_off, wait_apps, wait_service};
use tare_tests::rsyslog::{Rsyslog, Transport};
use tare_tests::{Checks, Scratch, on_machines};

/// A service that does what is written to `/root/say`, and a log that starts again at once.
const TALKER: &str = r#"
[log]
rate = 0
[services.log.lifecycle.restart]
backoff = "1ms..10ms"
[services.console.process]
args = ["/usr/bin/bash", "-c", "rm -f /root/say; mkfifo /root/say; while :; do . /root/say; done"]
"#;

/// A record, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    boot: String,
    priority: u8,
    service: String,
    stream: String,
    text: String,
}

/// All records that the machine has, the oldest first.
fn records(vm: &Vm) -> Result<Vec<Said>> {
    let text = vm.ssh_within(
        "cat /var/log/tare/0*.log /var/log/tare/current.log 2>/dev/null || true",
        secs(30),
    )?;
    let said = |line: &str| {
        let record = Record::parse(line.as_bytes())?;
        Some(Said {
            boot: record.boot.to_owned(),
            priority: record.priority.number(),
            service: record.service.to_owned(),
            stream: record.stream.to_owned(),
            text: String::from_utf8_lossy(&record.original()).into_owned(),
        })
    };
    text.lines()
        .map(|line| said(line).with_context(|| format!("`{line}` is no record")))
        .collect()
}

/// The texts of `service`.
fn texts(vm: &Vm, service: &str) -> Result<Vec<String>> {
    let all = records(vm)?.into_iter();
    Ok(all
        .filter(|said| said.service == service)
        .map(|said| said.text)
        .collect())
}

/// Lets the service that talks do `script`, which ends with a line `done MARK`, and waits until that is in the log.
fn talk(vm: &Vm, script: &str, mark: &str) -> Result<()> {
    vm.ssh(&format!(
        "cat > /root/say <<'END'\n{script}\necho done {mark}\nEND"
    ))?;
    let wait = format!(
        "until grep -q 'console stdout done {mark}$' /var/log/tare/current.log; do sleep 0.1; done"
    );
    vm.ssh_within(&wait, secs(60)).map(drop)
}

#[test]
fn every_line_is_kept_once() -> Result<()> {
    on_machines(|image| {
        let folder = Scratch::new("logs")?;
        let machine = || {
            Vm::of(image)
                .direct()
                .keep_in(folder.path())
                .user_data(TALKER)
        };
        let mut checks = Checks::default();
        let vm = machine().boot()?;
        vm.wait_ready()?;
        wait_service(&vm, "console", "ready", secs(30))?;
        checks.check("from the first line on", || from_the_first_line_on(&vm));
        checks.check("over kills of the log", || over_kills(&vm));
        checks.check("in order beside others", || priorities(&vm));
        checks.check("a full disk", || full_disk(&vm));
        // Pulls the plug.
        vm.ssh("sync")?;
        drop(vm);
        let vm = machine().boot()?;
        vm.wait_ready()?;
        checks.check("two boots", || two_boots(&vm));
        checks.check("power off", || power_off(&vm));
        checks.verdict()?;
        folder.remove()
    })
}

/// The kernel's first words and those of PID 1, with this boot's id.
fn from_the_first_line_on(vm: &Vm) -> Result<()> {
    let id = vm.ssh("cat /proc/sys/kernel/random/boot_id")?;
    let all = records(vm)?;
    let first = all.first().context("no record")?;
    ensure!(
        first.service == "kernel" && first.text.starts_with("Linux version"),
        "{first:?}"
    );
    ensure!(
        all.iter().all(|said| id.starts_with(&said.boot)),
        "another boot than {id}"
    );
    for (service, begins) in [
        ("tare", "Tare "),
        ("tare", "ready in "),
        ("ssh", "Server listening"),
    ] {
        let said = |said: &Said| said.service == service && said.text.starts_with(begins);
        ensure!(
            all.iter().filter(|s| said(s)).count() >= 1,
            "{service} does not say {begins:?}"
        );
    }
    Ok(())
}

/// A service counts while the log is killed again and again.
fn over_kills(vm: &Vm) -> Result<()> {
    const LINES: usize = 30_000;
    const KILLS: usize = 40;
    vm.ssh(&format!(
        "echo 'for i in {{1..{LINES}}}; do echo $i; done; echo done counting' > /root/say"
    ))?;
    let kill = format!(
        "for i in {{1..{KILLS}}}; do until pid=$(pgrep -x tare-log); do :; done; kill -9 $pid; \
         while [ -e /proc/$pid ]; do :; done; sleep 0.$((RANDOM % 4))$((RANDOM % 10)); done"
    );
    vm.ssh_within(&kill, secs(60))?;
    let end = "until grep -q 'console stdout done counting$' /var/log/tare/current.log; do sleep 0.1; done";
    vm.ssh_within(end, secs(60))?;
    let counted = texts(vm, "console")?;
    let want = (1..=LINES)
        .map(|number| number.to_string())
        .chain(["done counting".to_owned()]);
    let wrong = want.zip(&counted).find(|(want, found)| want != *found);
    ensure!(
        wrong.is_none() && counted.len() == LINES + 1,
        "{wrong:?} of {}",
        counted.len()
    );
    let killed = texts(vm, "tare")?
        .iter()
        .filter(|text| text.starts_with("log ended"))
        .count();
    ensure!(killed == KILLS, "PID 1 tells of {killed} kills of {KILLS}");
    let kernel = texts(vm, "kernel")?
        .iter()
        .filter(|text| text.starts_with("Linux version"))
        .count();
    ensure!(kernel == 1, "the kernel began {kernel} times");
    Ok(())
}

/// `<N>` says how important a line is; control characters stay in it.
fn priorities(vm: &Vm) -> Result<()> {
    talk(vm, "echo '<3>bad'; printf 'a\\tb\\033c\\n' >&2", "talking")?;
    let all = records(vm)?;
    for (priority, stream, text) in [(3, "stdout", "bad"), (6, "stderr", "a\tb\u{1b}c")] {
        let said = |said: &&Said| said.service == "console" && said.text == text;
        let found = all
            .iter()
            .find(said)
            .with_context(|| format!("no {text:?}"))?;
        ensure!(
            (found.priority, &*found.stream) == (priority, stream),
            "{found:?}"
        );
    }
    Ok(())
}

/// Nothing fails while no byte is free, and what was said meanwhile is there when there is room again.
fn full_disk(vm: &Vm) -> Result<()> {
    let fill = "for size in 1G 100M 10M 1M 100K 4K; do n=0; \
                while fallocate -l $size /root/fill-$size-$n 2>/dev/null; do n=$((n + 1)); done; done; true";
    vm.ssh_within(fill, secs(60))?;
    vm.ssh("cat > /root/say <<'END'\nfor i in {1..2000}; do echo full $i; done\nEND")?;
    vm.wait_line("log: cannot write: No space left on device", secs(30))?;
    mentions(vm, "cat /run/host/services", "log ready")?;
    vm.ssh("rm /root/fill-*")?;
    vm.wait_line("log: writing again", secs(30))?;
    talk(vm, "", "filling")?;
    let said = texts(vm, "console")?;
    let found: Vec<&String> = said
        .iter()
        .filter(|text| text.starts_with("full "))
        .collect();
    let want: Vec<String> = (1..=2000).map(|number| format!("full {number}")).collect();
    ensure!(
        found.iter().copied().eq(&want),
        "{} of 2000 lines",
        found.len()
    );
    Ok(())
}

/// After a power cut: what was said before is there, under another id, and the check of the disk is told of.
fn two_boots(vm: &Vm) -> Result<()> {
    let all = records(vm)?;
    let mut boots: Vec<&String> = all.iter().map(|said| &said.boot).collect();
    boots.dedup();
    ensure!(boots.len() == 2, "{boots:?}");
    let checked = |said: &&Said| said.service == "storage" && said.boot == *boots[1];
    ensure!(
        all.iter().any(|said| checked(&said)),
        "storage does not say that it checks"
    );
    let counted = |said: &&Said| said.service == "console" && said.text == "done counting";
    ensure!(
        all.iter().filter(counted).count() == 1,
        "what was counted is gone"
    );
    Ok(())
}

/// What the guest calls its host (QEMU's user networking).
const HOST: &str = "10.0.2.2";

#[test]
fn a_receiver_gets_everything() -> Result<()> {
    on_machines(|image| {
        let folder = Scratch::new("receiver")?;
        let port = free_port(0)?;
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
        checks.check("power off", || power_off(&vm));
        checks.check("the last words", || {
            received(
                &vm,
                &rsyslog,
                "tare kmsg 5 tare",
                "power off: stopping services",
            )
        });
        checks.verdict()?;
        rsyslog.stop()?;
        folder.remove()
    })
}

/// Waits until the receiver has a line that begins and goes on so.
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

/// What is said while the receiver is away comes when it is back.
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
    mentions(vm, "cat /run/host/services", "forward ready")
}

/// The socket for callers of `syslog(3)`, in a service and in a container.
fn dev_log(vm: &Vm, rsyslog: &Rsyslog) -> Result<()> {
    vm.ssh("test -S /dev/log")?;
    wait_service(vm, "engine", "ready", secs(60))?;
    wait_apps(vm)?;
    let logger = "docker run --rm -v /run/log/dev-log:/dev/log tare/demo \
                  /bin/busybox logger -t caller -p daemon.err 'from a container'";
    vm.ssh_within(logger, secs(60))?;
    received(vm, rsyslog, "caller syslog 3 tare", "from a container")
}

#[test]
fn the_kernels_last_words_are_kept() -> Result<()> {
    on_machines(|image| {
        let machine = Vm::of(image)
            .user_data("")
            .tolerate("Kernel panic")
            .tolerate("Call Trace");
        let vm = machine.boot()?;
        vm.wait_ready()?;
        wait_service(&vm, "engine", "ready", secs(60))?;
        wait_apps(&vm)?;
        let mark = vm.console().mark();
        // In the background: a session would wait for a machine that is no more.
        vm.ssh(
            "docker run --rm --privileged tare/demo sh -c 'echo c > /proc/sysrq-trigger' \
             < /dev/null > /dev/null 2>&1 &",
        )?;
        vm.wait_line_after(
            mark,
            "Kernel panic - not syncing: sysrq triggered crash",
            secs(30),
        )?;
        vm.wait_line_after(mark, "tare: ready", secs(120))?;
        let mut checks = Checks::default();
        checks.check("noted in the log", || noted(&vm));
        checks.check("kept", || {
            mentions(
                &vm,
                "cat /var/log/tare/crash/*/dmesg.txt",
                "sysrq triggered crash",
            )
        });
        checks.check("once", || noted_once_after_restart(&vm));
        checks.check("power off", || power_off(&vm));
        checks.verdict()
    })
}

const COUNT_NOTES: &str =
    "grep -c 'kernel pstore an earlier boot crashed' /var/log/tare/current.log";

fn noted(vm: &Vm) -> Result<()> {
    vm.ssh_within(
        &format!("until [ $({COUNT_NOTES}) = 1 ]; do sleep 0.1; done"),
        secs(30),
    )?;
    mentions(
        vm,
        "cat /var/log/tare/current.log",
        "Kernel panic - not syncing: sysrq triggered crash",
    )
}

fn noted_once_after_restart(vm: &Vm) -> Result<()> {
    vm.ssh("kill -9 $(pgrep -x tare-log); until pgrep -x tare-log; do sleep 0.1; done")?;
    wait_service(vm, "log", "ready", secs(30))?;
    let notes = vm.ssh(COUNT_NOTES)?;
    ensure!(notes.trim() == "1", "{notes} notes");
    mentions(vm, "ls /var/log/tare/crash/*/", "dmesg-efi_pstore-")
}
