//! Changes of the configuration that are confirmed, taken back, gone back from, or with which a machine does not come up.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tare_image::Image;
use tare_qemu::{Builder, Seed, Vm, secs};
use tare_tests::guest::{mentions, power_off, says, wait_says};
use tare_tests::user_data::NO_ENGINE;
use tare_tests::{Checks, Scratch, asleep};

fn machine(image: &Image, folder: &Scratch, more: &str) -> Builder {
    let machine = Vm::of(image).direct().keep_in(folder.path());
    machine.user_data(&format!("{NO_ENGINE}hostname = 'before'\n{more}"))
}

pub(crate) fn are_confirmed_or_taken_back(image: &Image) -> Result<()> {
    let folder = Scratch::new("generations")?;
    let seeded = || machine(image, &folder, "").nocloud(Seed::Vfat, "log.burst = 11\n");
    let vm = seeded().boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("a change that nobody confirms", || unconfirmed(&vm));
    checks.check("one that cuts the network", || network(&vm));
    checks.check("one that is confirmed", || confirmed(&vm));
    checks.check("ways back", || ways_back(&vm));
    checks.check("until the next boot", || once(&vm));
    checks.check("an editor", || editor(&vm));
    checks.check("a seed that has changed", || pull(&vm));
    vm.ssh("tare config set hostname cut --confirm 10min && sync")?;
    vm.kill()?;
    let vm = seeded().boot()?;
    vm.wait_ready()?;
    checks.check("a power cut takes it back", || {
        says(&vm, "hostname", "kept\n")?;
        mentions(&vm, "tare config confirm 2>&1; true", "no change waits")?;
        mentions(&vm, "tare config generations", "bad: not confirmed\n")?;
        says(&vm, "tare config get log.rate", "1000\n")?;
        mentions(&vm, "tare config show --origin", "hostname = \"kept\"")
    });
    checks.check("power off", || power_off(&vm));
    checks.verdict()?;
    folder.remove()
}

fn unconfirmed(vm: &Vm) -> Result<()> {
    mentions(
        vm,
        "tare config set hostname after --confirm 15s",
        "hostname: after\n",
    )?;
    says(vm, "hostname", "after\n")?;
    mentions(
        vm,
        "tare config set log.rate 5 2>&1; true",
        "waits for its confirmation for ",
    )?;
    mentions(vm, "tare config generations", " s unless confirmed\n")?;
    wait_says(vm, "hostname", "before\n", secs(30))?;
    mentions(
        vm,
        "tare config generations",
        "bad: not confirmed within 15 s\n",
    )?;
    mentions(vm, "tare config confirm 2>&1; true", "no change waits")?;
    // At once, by its author.
    vm.ssh("tare config set hostname after --confirm 10min")?;
    mentions(vm, "tare config rollback", "hostname: before\n")?;
    says(vm, "hostname", "before\n")?;
    mentions(vm, "tare config generations", "bad: taken back\n")
}

/// The machine has no address that anybody could reach it by for a while.
fn network(vm: &Vm) -> Result<()> {
    vm.ssh("echo \"network.interfaces.eth0.addresses = ['192.0.2.9/24']\" > /tmp/cut.toml")?;
    let mark = vm.console().mark();
    // Its answer has no way back.
    let cut = "sleep 1; tare config apply /tmp/cut.toml --confirm 20s";
    vm.ssh(&format!(
        "nohup setsid sh -c '{cut}' < /dev/null > /dev/null 2>&1 &"
    ))?;
    vm.wait_line_after(mark, "not confirmed within 20 s; going back", secs(90))?;
    vm.wait_ssh(secs(60))?;
    mentions(
        vm,
        "tare config generations",
        "bad: not confirmed within 20 s\n",
    )?;
    says(
        vm,
        "ip -o address show eth0 | grep -c 192.0.2.9; true",
        "0\n",
    )
}

fn confirmed(vm: &Vm) -> Result<()> {
    mentions(
        vm,
        "tare config set hostname kept --confirm 60s && tare config confirm",
        " is kept\n",
    )?;
    says(vm, "hostname", "kept\n")?;
    mentions(vm, "tare config origin hostname", ", by root\n")?;
    mentions(
        vm,
        "tare config diff",
        "- hostname = \"before\"\n+ hostname = \"kept\"\n",
    )
}

fn ways_back(vm: &Vm) -> Result<()> {
    let rate = |vm: &Vm, want: &str| says(vm, "tare config get log.rate", want);
    vm.ssh("tare config set log.rate 500")?;
    let number = "tare config generations | sed -n 's/^ *\\([0-9]*\\) .*in force$/\\1/p'";
    let before = vm.ssh(number)?;
    let settled = "tare config generations | grep -c 'good, in force'; true";
    wait_says(vm, settled, "1\n", secs(60))?;
    mentions(vm, "tare config rollback --dry-run", "log: restarts, ")?;
    rate(vm, "500\n")?;
    vm.ssh("tare config rollback")?;
    rate(vm, "1000\n")?;
    says(vm, "hostname", "kept\n")?;
    vm.ssh(&format!("tare config rollback {before}"))?;
    rate(vm, "500\n")?;
    vm.ssh("tare config rollback 1")?;
    says(vm, "hostname", "before\n")?;
    rate(vm, "1000\n")?;
    mentions(
        vm,
        "tare config rollback 99 2>&1; true",
        "there is no configuration 99: ",
    )?;
    vm.ssh("tare config set hostname kept")?;
    says(vm, "hostname", "kept\n")
}

fn once(vm: &Vm) -> Result<()> {
    let written = "tare toolbox -- stat -c %Y.%i /host/state/config/index.json";
    let before = vm.ssh(written)?;
    vm.ssh("tare config set log.rate 7 --once")?;
    says(vm, written, &before)?;
    says(vm, "tare config get log.rate", "7\n")?;
    mentions(vm, "tare config origin log.rate", "# once:")?;
    let stronger = "log.rate is set in local, but once:";
    mentions(vm, "tare config set log.rate 6", stronger)?;
    says(vm, "tare config get log.rate", "7\n")?;
    vm.ssh("tare config unset log.rate")?;
    // What is set for good does not take it along.
    vm.ssh("tare config set time.servers '[\"ntp.example\"]' && tare config unset time")?;
    says(vm, "tare config get log.rate", "7\n")
}

fn editor(vm: &Vm) -> Result<()> {
    let edit = |script: &str| {
        format!("EDITOR='sed -i {script}' tare config edit 2>&1 < /dev/null; echo $?")
    };
    mentions(vm, &edit("s/kept/edited/"), "hostname: edited\n0\n")?;
    says(vm, "hostname", "edited\n")?;
    mentions(
        vm,
        &edit("s/edited/a_b/"),
        "the text is kept: tare config apply /dev/shm/",
    )?;
    says(vm, "hostname", "edited\n")?;
    mentions(vm, &edit("s/nothing//"), "nothing changes\n0\n")?;
    mentions(vm, &edit("s/edited/kept/"), "hostname: kept\n0\n")
}

fn pull(vm: &Vm) -> Result<()> {
    says(vm, "tare config pull", "nothing changes\n")?;
    // The file that QEMU has open; a new seed is another file.
    let disk = vm.machine().folder().join("seed.vfat");
    let open = File::options().write(true).open(&disk)?;
    let write = |text: &str| -> Result<()> {
        vm.machine().set_nocloud(Seed::Vfat, text.as_bytes())?;
        Ok(open.write_all_at(&fs::read(&disk)?, 0)?)
    };
    write("log.burst = 12\n")?;
    mentions(vm, "tare config pull --dry-run", "log: restarts, ")?;
    says(vm, "tare config get log.burst", "11\n")?;
    let pulled = vm.ssh("tare config pull --confirm 10min")?;
    let number = pulled.split("`tare config confirm ").nth(1);
    let number = number.and_then(|rest| rest.split('`').next());
    let number = number.with_context(|| format!("no number in {pulled}"))?;
    says(vm, "tare config get log.burst", "12\n")?;
    vm.ssh("tare config rollback")?;
    says(vm, "tare config get log.burst", "11\n")?;
    vm.ssh("tare config pull --confirm 10min")?;
    // That is another one.
    let confirm = format!("tare config confirm {number} 2>&1; true");
    mentions(vm, &confirm, "waits for its confirmation for ")?;
    vm.ssh("tare config confirm")?;
    says(vm, "tare config get log.burst", "12\n")?;
    says(vm, "hostname", "kept\n")?;
    write("log.burst =\n")?;
    mentions(vm, "tare config pull 2>&1; true", "nocloud:1:")?;
    says(vm, "tare config get log.burst", "12\n")?;
    write("log.burst = 12\n")
}

/// With this user-data nobody can log in.
const LOCKED: &str = "services.ssh.process.args = ['/usr/bin/false']\n";

pub(crate) fn with_which_a_machine_does_not_come_up_are_set_aside(image: &Image) -> Result<()> {
    let folder = Scratch::new("set-aside")?;
    let boot = |more: &str| {
        let machine = machine(image, &folder, more);
        machine.boot()
    };
    let vm = boot("")?;
    vm.wait_ready()?;
    power_off(&vm)?;
    let mut checks = Checks::default();
    let ends = "ssh ended with status 1";
    // An end that somebody asks for is no failed boot.
    let vm = boot(LOCKED)?;
    vm.wait_line(ends, secs(90))?;
    vm.power_button()?;
    vm.wait_exit(secs(120))?;
    for _ in 0..2 {
        let vm = boot(LOCKED)?;
        vm.wait_line(ends, secs(90))?;
        vm.kill()?;
    }
    let vm = boot(LOCKED)?;
    vm.wait_ready()?;
    checks.check("after two boots", || {
        let why = "configuration 2 is set aside: the machine was not ready with it in 2 boots; the machine runs with 1";
        mentions(&vm, "tare status", why)?;
        mentions(&vm, "bash --login -i -c true < /dev/null 2> /dev/null", why)?;
        mentions(&vm, "tare config generations", "good, in force\n")
    });
    checks.check("power off", || power_off(&vm));
    // Other user-data is tried anew, and given up without anybody's help.
    let locked = format!("{LOCKED}log.rate = 3\n");
    let vm = boot(&locked)?;
    vm.wait_line(ends, secs(90))?;
    let given_up = "configuration 3 is set aside: not ready after 180 s: ssh";
    asleep(|| vm.wait_line(given_up, secs(400)))?;
    vm.wait_ssh(secs(60))?;
    checks.check("after three minutes", || {
        mentions(
            &vm,
            "tare status",
            "configuration 3 is set aside: not ready after 180 s: ssh",
        )?;
        says(&vm, "tare config get log.rate", "1000\n")
    });
    checks.check("power off again", || power_off(&vm));
    let vm = boot("log.rate = 4\n")?;
    vm.wait_ready()?;
    checks.check("good user-data is in force again", || {
        says(&vm, "tare config get log.rate", "4\n")?;
        says(&vm, "tare status | grep -c 'set aside'; true", "0\n")
    });
    checks.check("power off at last", || power_off(&vm));
    checks.verdict()?;
    folder.remove()
}

pub(crate) fn survive_power_cuts(image: &Image) -> Result<()> {
    cut(image, &[0, 700, 1400])
}

pub(crate) fn survive_twenty_power_cuts(image: &Image) -> Result<()> {
    let cuts: Vec<u64> = (0..20).map(|n| n * 100).collect();
    cut(image, &cuts)
}

/// Has the command of the session begin, which waits for that: a login may take longer than all of the command.
const BEGIN: &str = "until [ -e /tmp/there ]; do sleep 0.01; done; touch /tmp/begin";

/// Cuts the power this many milliseconds after the command begins that makes a change and confirms it at once. It is in
/// force after that or not at all; if its confirmation was answered, it is.
fn cut(image: &Image, cuts: &[u64]) -> Result<()> {
    let folder = Scratch::new("config-cuts")?;
    let mut vm = machine(image, &folder, "").boot()?;
    vm.wait_ready()?;
    let mut kept = "before".to_owned();
    for millis in cuts {
        let name = format!("cut{millis}");
        let change = format!(
            "touch /tmp/there; until [ -e /tmp/begin ]; do sleep 0.01; done; \
             tare config set hostname {name} --confirm 60s && tare config confirm"
        );
        let answer = thread::scope(|scope| {
            let changing = scope.spawn(|| vm.ssh_output(&change));
            vm.ssh(BEGIN)?;
            thread::sleep(Duration::from_millis(*millis));
            vm.qmp().execute("quit", &json!({}))?;
            changing
                .join()
                .ok()
                .context("the session's thread panicked")
        })?;
        let answered =
            answer.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("is kept"));
        vm.kill()?;
        vm = machine(image, &folder, "").boot()?;
        vm.wait_ready()?;
        let now = vm.ssh("hostname")?.trim_end().to_owned();
        ensure!(
            now == name || now == kept && !answered,
            "{now} after a cut at {millis} ms, before that {kept}, answered: {answered}"
        );
        kept = now;
    }
    power_off(&vm)?;
    folder.remove()
}
