//! Every option of `tare logs` and `tare service logs`.

use super::{same, talk};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says};

/// Runs the following command as a user other than root.
const SOMEBODY: &str = "setpriv --reuid 1000 --regid 1000 --clear-groups";
/// Only the texts.
const TEXTS: &str = "sed 's/^[^ ]* [^ ]* //'";

pub(crate) fn each_option(vm: &Vm) -> Result<()> {
    talk(vm, "echo apple; echo '<3>Pear'; echo plum", "fruit")?;
    for (command, want) in [
        ("tare service logs console -n 2", "plum\ndone fruit\n"),
        ("tare logs --service console --lines 1", "done fruit\n"),
        (
            "tare logs --service console --grep '(?i)^p'",
            "Pear\nplum\n",
        ),
        (
            "tare logs --service console --service no --grep '^apple'",
            "apple\n",
        ),
        ("tare logs --since 1h --grep '^apple$'", "apple\n"),
        ("tare logs --since 2100-01-01T00:00:00Z", ""),
        ("tare logs --boot 0 --grep '^apple$'", "apple\n"),
        (
            "tare logs --boot $(cat /proc/sys/kernel/random/boot_id) --grep '^apple$'",
            "apple\n",
        ),
        ("tare logs --boot -1", ""),
        (
            "cp -r /var/log/tare /tmp/l; tare logs --folder /tmp/l --grep '^plum$'; rm -r /tmp/l",
            "plum\n",
        ),
    ] {
        says(vm, &format!("({command}) | {TEXTS}"), want)?;
    }
    exits(vm)?;
    json(vm)?;
    mentions(
        vm,
        "tare --color always logs --grep '^Pear$'",
        "\u{1b}[31mPear",
    )?;
    mentions(vm, "mman tare-service-logs | cat", "regular expression")
}

fn exits(vm: &Vm) -> Result<()> {
    for (command, want) in [
        (
            "tare service logs no 2>&1",
            "tare: there is no service `no`\n1\n",
        ),
        (
            "tare logs --folder /no 2>&1",
            "tare: read /no: No such file or directory (os error 2)\n1\n",
        ),
        ("tare logs --grep '(' 2>/dev/null", "2\n"),
        // The log can be read even if PID 1 does not answer.
        (
            "tare --socket /no service logs console -n 1 >/dev/null",
            "0\n",
        ),
    ] {
        says(vm, &format!("{command}; echo $?"), want)?;
    }
    Ok(())
}

fn json(vm: &Vm) -> Result<()> {
    let line = vm.ssh("tare logs --grep '^Pear$' --json")?;
    let record: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
    for (key, want) in [
        ("priority", Value::from(3)),
        ("service", "console".into()),
        ("stream", "stdout".into()),
        ("text", "Pear".into()),
    ] {
        ensure!(record[key] == want, "{line}");
    }
    let boot = record["boot"].as_str().context("boot")?;
    mentions(vm, "cat /proc/sys/kernel/random/boot_id", boot)
}

/// Only root and the group `tare`.
pub(crate) fn rights(vm: &Vm) -> Result<()> {
    let denied = "tare: read /var/log/tare: Permission denied (os error 13)\n4\n";
    says(vm, &format!("{SOMEBODY} tare logs 2>&1; echo $?"), denied)?;
    says(
        vm,
        &format!("{SOMEBODY} ls /run/log 2>/dev/null; echo $?"),
        "2\n",
    )?;
    let member = "setpriv --reuid 1000 --regid 988 --clear-groups tare logs --grep '^apple$'";
    says(vm, &format!("{member} | {TEXTS}"), "apple\n")
}

/// Starts to follow the talking service.
pub(crate) fn follow(vm: &Vm) -> Result<()> {
    vm.ssh("tare service logs console -f -n 1 > /tmp/followed 2>&1 < /dev/null & echo $! > /tmp/follows")?;
    talk(vm, "", "waiting")?;
    let wait = "until grep -q 'done waiting$' /tmp/followed; do sleep 0.1; done";
    vm.ssh_within(wait, secs(30)).map(drop)
}

/// The lines followed since are `want`, across rotations and kills of the log.
pub(crate) fn followed(vm: &Vm, want: &[String]) -> Result<()> {
    let last = want.last().context("nothing")?;
    let wait = format!("until grep -q ' {last}$' /tmp/followed; do sleep 0.1; done");
    vm.ssh_within(&wait, secs(60))?;
    let found = vm.ssh(&format!("kill $(cat /tmp/follows); {TEXTS} /tmp/followed"))?;
    let begun = found
        .split_once("done waiting\n")
        .context("it did not begin")?;
    let found: Vec<String> = begun.1.lines().map(str::to_owned).collect();
    same(want, &found)
}

/// After a reboot.
pub(crate) fn boots(vm: &Vm) -> Result<()> {
    for (boot, want) in [("0", "0\n"), ("-1", "1\n"), ("-2", "0\n")] {
        let count = format!("tare logs --boot {boot} --grep '^done counting$' | wc -l");
        says(vm, &count, want)?;
    }
    mentions(
        vm,
        "tare logs --boot -1 | head -n 1",
        "kernel: Linux version",
    )
}
