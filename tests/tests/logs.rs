//! What the log keeps: everything, once, over kills, floods, full disks, power cuts and reboots.

use anyhow::{Context, Result, ensure};
use tare_log::Record;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, wait_service};
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
