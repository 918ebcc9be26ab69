//! Configuration that is changed while the machine runs.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::{mentions, power_off, says, services, starts, wait_says, wait_service};
use tare_tests::user_data::NO_ENGINE;

const FILE: &str =
    "files.'/srv/first/a' = { text = \"from the start\\n\", mode = '0640', owner = '7:8' }\n";

pub(crate) fn is_applied_at_once(image: &Image) -> Result<()> {
    let user_data = format!("{NO_ENGINE}hostname = 'before'\n{FILE}[log]\nrate = 900\n");
    let vm = Vm::of(image).direct().user_data(&user_data).boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("a key", || key(&vm));
    checks.check("the same again", || same(&vm));
    checks.check("a wrong key", || wrong(&vm));
    checks.check("an address, beside the lease", || address(&vm));
    checks.check("a service that comes and goes", || service(&vm));
    checks.check("settings of the kernel", || sysctl(&vm));
    checks.check("a key of user-data, taken back", || unset(&vm));
    checks.check("what the console shows", || log_level(&vm));
    checks.check("the time zone", || zone(&vm));
    checks.check("swap", || swap(&vm));
    checks.check("words for logins", || motd(&vm));
    checks.check("files", || files(&vm));
    checks.check("power off", || power_off(&vm));
    let vm = vm.machine().clone().boot()?;
    vm.wait_ready()?;
    checks.check("it is still so after a reboot", || {
        says(&vm, "hostname", "after\n")?;
        says(&vm, "tare config get log.rate", "1000\n")?;
        mentions(&vm, "tare config origin hostname", "# local:")
    });
    checks.check("swap is there again", || {
        let size = "awk '$2 == \"file\" { print $3 }' /proc/swaps";
        wait_says(&vm, size, "8188\n", secs(30))
    });
    checks.check("a file that was edited is as described", || {
        says(&vm, "cat /srv/first/a /srv/b", "from the start\nb")
    });
    checks.check("power off again", || power_off(&vm));
    checks.verdict()
}

/// How often each service was started while `command` ran, if at all.
fn started_by(vm: &Vm, command: &str) -> Result<BTreeMap<String, u64>> {
    let before = starts(vm)?;
    vm.ssh(command)?;
    let after = starts(vm)?;
    let more = after.into_iter().filter_map(|(name, count)| {
        let more = count - before.get(&name).copied().unwrap_or(0);
        (more > 0).then_some((name, more))
    });
    Ok(more.collect())
}

fn key(vm: &Vm) -> Result<()> {
    says(
        vm,
        "tare config set log.rate 500 --dry-run",
        "log: restarts, its configuration has changed\n",
    )?;
    let started = started_by(
        vm,
        "tare config set log.rate 500; until [ $(tare service show log --json | grep -c '\"state\": \"ready\"') = 1 ]; do sleep 0.5; done",
    )?;
    ensure!(
        started == BTreeMap::from([("log".to_owned(), 1)]),
        "{started:?} have started"
    );
    says(vm, "tare config get log.rate", "500\n")?;
    mentions(vm, "tare config set hostname after", "hostname: after\n")?;
    says(vm, "hostname; cat /etc/hostname", "after\nafter\n")?;
    mentions(vm, "tare config show --origin", "# local:")
}

fn same(vm: &Vm) -> Result<()> {
    let written = "tare toolbox -- stat -c %Y.%i /host/state/config/index.json";
    let before = vm.ssh(written)?;
    let started = started_by(vm, "tare config set log.rate 500")?;
    ensure!(started.is_empty(), "{started:?} have started");
    says(vm, "tare config set log.rate 500", "nothing changes\n")?;
    says(vm, written, &before)
}

fn wrong(vm: &Vm) -> Result<()> {
    mentions(
        vm,
        "tare config set hostnam x 2>&1; echo $?",
        ": `hostnam` is left out: unknown key `hostnam`, did you mean `hostname`?\n1\n",
    )?;
    says(
        vm,
        "printf 'log.rate = 1\\nhostname = a_b\\n' | tare config apply - 2>&1 | head -1",
        "tare: an error, and nothing is changed:\n",
    )?;
    says(vm, "tare config get log.rate", "500\n")
}

fn address(vm: &Vm) -> Result<()> {
    let has = "ip -o address show eth0 | grep -c ' 192.0.2.7/24 '; true";
    let set =
        "tare config set network.interfaces.eth0 \"{ dhcp = true, addresses = ['192.0.2.7/24'] }\"";
    mentions(vm, set, "network: eth0: gets 192.0.2.7/24\n")?;
    wait_says(vm, has, "1\n", secs(20))?;
    mentions(
        vm,
        "tare config unset network",
        "network: eth0: loses 192.0.2.7/24\n",
    )?;
    wait_says(vm, has, "0\n", secs(20))
}

fn service(vm: &Vm) -> Result<()> {
    mentions(
        vm,
        "tare config set services.time.enabled false",
        "time: stops, and is disabled\n",
    )?;
    wait_service(vm, "time", "disabled", secs(20))?;
    mentions(
        vm,
        "tare service start time 2>&1; true",
        "time is disabled: `tare config set services.time.enabled true` enables it\n",
    )?;
    mentions(vm, "tare config unset services.time", "time: starts\n")?;
    wait_service(vm, "time", "ready", secs(20))?;
    let metrics = "tare config set metrics.listen 127.0.0.1:9100";
    mentions(vm, metrics, "metrics: starts\n")?;
    wait_service(vm, "metrics", "ready", secs(20))?;
    mentions(
        vm,
        "tare config unset metrics",
        "metrics: stops, and is gone\n",
    )?;
    let gone = services(vm)?;
    ensure!(
        !gone.contains_key("metrics") || gone["metrics"] == "stopping",
        "{gone:?}"
    );
    let grace = "tare config set services.time.lifecycle.stop.grace 3s";
    let started = started_by(vm, grace)?;
    ensure!(started.is_empty(), "{started:?} have started");
    says(
        vm,
        "tare service show time --json | grep -c '\"grace\": \"3s\"'",
        "1\n",
    )
}

fn sysctl(vm: &Vm) -> Result<()> {
    mentions(
        vm,
        "tare config set sysctl.vm.swappiness 7",
        "sysctl: vm.swappiness = 7\n",
    )?;
    wait_says(vm, "cat /proc/sys/vm/swappiness", "7\n", secs(20))
}

fn unset(vm: &Vm) -> Result<()> {
    vm.ssh("tare config unset log.rate")?;
    says(vm, "tare config get log.rate", "1000\n")?;
    mentions(vm, "tare config origin log.rate", "# default\n")
}

fn log_level(vm: &Vm) -> Result<()> {
    let level = "read -r level _ </proc/sys/kernel/printk; echo $level";
    let before = vm.ssh(level)?;
    let set = "tare config set kernel.log-level debug";
    mentions(vm, set, "kernel.log-level: set\n")?;
    wait_says(vm, level, "8\n", secs(20))?;
    vm.ssh("tare config unset kernel.log-level")?;
    wait_says(vm, level, &before, secs(20))
}

fn zone(vm: &Vm) -> Result<()> {
    let zone = "date +%Z; cat /etc/timezone";
    says(vm, zone, "UTC\nEtc/UTC\n")?;
    let unknown = "unknown time zone `Asia/Tokio`, did you mean `Asia/Tokyo`?";
    for command in [
        "tare config set time.zone Asia/Tokio 2>&1; true",
        "echo 'time.zone = \"Asia/Tokio\"' | tare config validate - 2>&1; true",
    ] {
        mentions(vm, command, unknown)?;
    }
    mentions(
        vm,
        "tare config set time.zone Asia/Tokyo",
        "time.zone: Asia/Tokyo\n",
    )?;
    wait_says(vm, zone, "JST\nAsia/Tokyo\n", secs(20))?;
    says(vm, "TZ=Asia/Kolkata date +%Z", "IST\n")?;
    vm.ssh("tare config unset time.zone")?;
    wait_says(vm, zone, "UTC\nEtc/UTC\n", secs(20))
}

fn swap(vm: &Vm) -> Result<()> {
    let set = "tare config set swap.zram.size 50% && tare config set swap.file 8MiB";
    mentions(vm, set, "swap.zram: set\n")?;
    let size_and_priority = "awk '$2 == \"file\" { print $3, $5 < 0 }' /proc/swaps";
    wait_says(vm, size_and_priority, "8188 1\n", secs(30))?;
    let zram = "awk '$2 == \"partition\" { print $1, $5 }' /proc/swaps";
    wait_says(vm, zram, "/dev/zram0 100\n", secs(30))?;
    // Another size takes the place of the one before.
    vm.ssh("tare config set swap.file 16MiB")?;
    wait_says(vm, size_and_priority, "16380 1\n", secs(30))?;
    vm.ssh("tare config set swap.file 16384GiB")?;
    let refused = "tare status | grep -o 'swap.file: .* are more than half'";
    wait_says(
        vm,
        refused,
        "swap.file: 16777216 MiB are more than half\n",
        secs(30),
    )?;
    let unset = "tare config unset swap.zram.size && tare config unset swap.file";
    mentions(vm, unset, "swap.zram: taken away")?;
    wait_says(vm, "wc -l </proc/swaps", "1\n", secs(30))?;
    // For the power off and the boot that follow.
    vm.ssh("tare config set swap.file 8MiB").map(drop)
}

fn motd(vm: &Vm) -> Result<()> {
    let shown = "bash --login -i -c true </dev/null 2>/dev/null";
    says(vm, shown, "")?;
    mentions(vm, "tare config set motd 'Shop 17'", "motd: set\n")?;
    says(vm, shown, "Shop 17\n")?;
    says(vm, "bash --login -c true", "")?;
    vm.ssh("tare config unset motd").map(drop)
}

fn files(vm: &Vm) -> Result<()> {
    says(
        vm,
        "cat /srv/first/a; stat -c '%a %u:%g' /srv/first/a",
        "from the start\n640 7:8\n",
    )?;
    mentions(
        vm,
        "tare config set 'files.\"/srv/b\"' \"{ text = 'b', mode = '0600' }\"",
        "files: /srv/b is written\n",
    )?;
    wait_says(vm, "cat /srv/b", "b", secs(20))?;
    let link = "mkdir /data/out; ln -s /data/out /srv/link; \
                tare config set 'files.\"/srv/link/x\"' \"{ text = 'x' }\"";
    vm.ssh(link)?;
    let problem =
        "tare status | grep -cF '/srv/link/x: a folder of its path is a symbolic link'; true";
    wait_says(vm, problem, "1\n", secs(20))?;
    says(vm, "ls /data/out", "")?;
    vm.ssh("tare config unset 'files.\"/srv/link/x\"'")?;
    wait_says(vm, problem, "0\n", secs(20))?;
    let unset = "tare config unset 'files.\"/srv/b\"'";
    mentions(vm, unset, "files: /srv/b stays as it is\n")?;
    says(vm, "cat /srv/b", "b")?;
    vm.ssh("echo edited > /srv/first/a").map(drop)
}
