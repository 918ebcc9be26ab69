//! The log keeps everything, exactly once, across kills, floods, full disks, power cuts and reboots.

mod command;
pub(crate) mod crash;
pub(crate) mod forward;
mod full;

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_log_format::Record;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, until_state, wait_service};
use tare_tests::{Checks, Scratch, disk, examples};

/// The page whose examples are run.
const PAGE: &str = include_str!("../../../../docs/logs.md");

/// A service that runs what is written to `/root/say`, and a log with small files that restarts at once.
const TALKER: &str = r#"
[log]
rate = 0
file = "512KiB"
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

/// All records of the machine, oldest first.
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

/// Makes the talking service run `script` followed by a line `done MARK`, and waits until that is in the log.
fn talk(vm: &Vm, script: &str, mark: &str) -> Result<()> {
    vm.ssh(&format!(
        "cat > /root/say <<'END'\n{script}\necho done {mark}\nEND"
    ))?;
    let wait = format!(
        "until grep -qs 'console stdout done {mark}$' /var/log/tare/*.log; do sleep 0.1; done"
    );
    vm.ssh_within(&wait, secs(60)).map(drop)
}

pub(crate) fn every_line_is_kept_once(image: &Image) -> Result<()> {
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
    first_boot(&vm, &mut checks)?;
    // Pulls the plug.
    vm.kill()?;
    let vm = machine().boot()?;
    checks.check("booted with a full disk", || full::after_boot(&vm));
    checks.check("two boots", || two_boots(&vm));
    checks.check("tare logs --boot", || command::boots(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()?;
    folder.remove()
}

fn first_boot(vm: &Vm, checks: &mut Checks) -> Result<()> {
    checks.check("from the first line on", || from_the_first_line_on(vm));
    checks.check("in order beside others", || priorities(vm));
    for example in examples::of(PAGE) {
        checks.check(&example.command, || examples::run(vm, &example));
    }
    checks.check("tare logs", || command::each_option(vm));
    checks.check("who may read", || command::rights(vm));
    checks.check("over kills of the log", || {
        command::follow(vm)?;
        over_kills(vm)?;
        command::followed(vm, &counted())
    });
    checks.check("a full disk", || full::goes_on(vm));
    checks.check("more than memory holds", || full::counts_what_is_lost(vm));
    // The next boot empties /tmp, which would make room.
    vm.ssh("rm -rf /tmp/*")?;
    full::fill(vm)?;
    vm.ssh("sync").map(drop)
}

/// The lines of the counting service.
fn counted() -> Vec<String> {
    let numbers = (1..=LINES).map(|number| number.to_string());
    numbers.chain(["done counting".to_owned()]).collect()
}

/// The first lines of the kernel and of PID 1, with this boot's id.
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

/// Lines to count, in several files.
const LINES: usize = 30_000;

/// A service counts while the log is killed again and again, and sometimes restarted.
fn over_kills(vm: &Vm) -> Result<()> {
    const KILLS: usize = 40;
    /// After every tenth kill.
    const RESTARTS: usize = 4;
    vm.ssh(&format!(
        "echo 'for i in {{1..{LINES}}}; do echo $i; done; echo done counting' > /root/say"
    ))?;
    // PID 1 reports no exit of a service that did not run.
    let ready = until_state("log", "ready");
    let kill = format!(
        "for i in {{1..{KILLS}}}; do until pid=$(pgrep -x tare-log); do :; done; kill -9 $pid; \
         while [ -e /proc/$pid ]; do :; done; sleep 0.$((RANDOM % 4))$((RANDOM % 10)); \
         ((i % 10)) || {{ {ready}; tare service restart log >/dev/null; }}; done"
    );
    vm.ssh_within(&kill, secs(60))?;
    let end =
        "until grep -qs 'console stdout done counting$' /var/log/tare/*.log; do sleep 0.1; done";
    vm.ssh_within(end, secs(60))?;
    let all = texts(vm, "console")?;
    let begin = all.iter().position(|text| text == "1").context("no 1")?;
    same(&counted(), &all[begin..])?;
    let ended = texts(vm, "tare")?
        .iter()
        .filter(|text| text.starts_with("log ended"))
        .count();
    ensure!(
        ended == KILLS + RESTARTS,
        "PID 1 reports {ended} ends, of {KILLS} kills and {RESTARTS} restarts"
    );
    let kernel = texts(vm, "kernel")?
        .iter()
        .filter(|text| text.starts_with("Linux version"))
        .count();
    ensure!(kernel == 1, "the kernel began {kernel} times");
    Ok(())
}

/// `<N>` sets a line's priority; control characters are kept.
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

/// Names the first difference.
fn same(want: &[String], found: &[String]) -> Result<()> {
    let wrong = want.iter().zip(found).find(|(want, found)| want != found);
    ensure!(
        wrong.is_none() && want.len() == found.len(),
        "{wrong:?}; {} lines of {}",
        found.len(),
        want.len()
    );
    Ok(())
}

/// After a power cut, earlier lines are still there, under another boot id, and the check of the disk is logged.
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
