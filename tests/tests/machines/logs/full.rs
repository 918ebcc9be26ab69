//! A state partition without a free byte: the log degrades, nothing else fails, and everything recovers by itself.

use super::{records, same, talk, texts};
use anyhow::{Context, Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says, services};

const FULL: &str = "log: cannot write: No space left on device";
const AGAIN: &str = "log: writing again";

/// Takes the last byte of the state partition.
pub(crate) fn fill(vm: &Vm) -> Result<()> {
    // Blocks that were just freed become available once the journal commits.
    let fill = "until sync; for size in 1G 100M 10M 1M 100K; do \
                while fallocate -l $size /root/fill-$((n++)) 2>/dev/null; do :; done; done; \
                cat /dev/zero > /root/fill-$((n++)) 2>/dev/null; \
                [ $(stat --file-system --format %a /root) = 0 ]; do :; done";
    vm.ssh_within(fill, secs(60)).map(drop)
}

fn free(vm: &Vm) -> Result<()> {
    let mark = vm.console().mark();
    vm.ssh("rm /root/fill-*")?;
    vm.wait_line_after(mark, AGAIN, secs(30)).map(drop)
}

/// Lines written meanwhile can be read, and are in the files once there is room.
pub(crate) fn goes_on(vm: &Vm) -> Result<()> {
    let before = services(vm)?;
    let log = vm.ssh("pgrep -x tare-log")?;
    let mark = vm.console().mark();
    fill(vm)?;
    vm.ssh("cat > /root/say <<'END'\nfor i in {1..2000}; do echo full $i; done\nEND")?;
    vm.wait_line_after(mark, FULL, secs(30))?;
    let wait = "until tare service logs console -n 1 | grep -q 'full 2000$'; do sleep 0.1; done";
    vm.ssh_within(wait, secs(30))?;
    says(
        vm,
        "grep -c ' console stdout full 2000$' /var/log/tare/current.log || true",
        "0\n",
    )?;
    says(
        vm,
        "tare service logs console --grep '^full ' | wc -l",
        "2000\n",
    )?;
    let now = services(vm)?;
    ensure!(now == before, "{now:?} was {before:?}");
    free(vm)?;
    talk(vm, "", "filling")?;
    says(vm, "pgrep -x tare-log", &log)?;
    let want: Vec<String> = (1..=2000).map(|number| format!("full {number}")).collect();
    same(&want, &said(vm, "full ")?)
}

/// Texts of the talking service that start with `begin`.
fn said(vm: &Vm, begin: &str) -> Result<Vec<String>> {
    let mut texts = texts(vm, "console")?;
    texts.retain(|text| text.starts_with(begin));
    Ok(texts)
}

/// If memory is too small for all lines, the latest are kept, and the number of the others.
pub(crate) fn counts_what_is_lost(vm: &Vm) -> Result<()> {
    const LINES: usize = 20_000;
    fill(vm)?;
    vm.ssh(&format!(
        "cat > /root/say <<'END'\nfor i in {{1..{LINES}}}; do echo much $i; done\nEND"
    ))?;
    let wait = format!(
        "until tare service logs console -n 1 2>&1 | grep -q 'much {LINES}$'; do sleep 0.2; done"
    );
    vm.ssh_within(&wait, secs(60))?;
    mentions(
        vm,
        "tare logs -n 1 2>&1",
        "lines are lost: the disk takes none, and memory is full",
    )?;
    free(vm)?;
    talk(vm, "", "too much")?;
    let kept = said(vm, "much ")?;
    // Some lines still went to the disk after something else freed space.
    let numbered = |(place, text): (usize, &String)| *text == format!("much {}", place + 1);
    let written = kept
        .iter()
        .enumerate()
        .take_while(|it| numbered(*it))
        .count();
    let first = LINES + 1 + written - kept.len();
    let want: Vec<String> = (1..=written)
        .chain(first..=LINES)
        .map(|number| format!("much {number}"))
        .collect();
    same(&want, &kept)?;
    let lost = lost(vm)?;
    // The count includes some lines of other services.
    ensure!(
        (first - 1 - written..first + 200).contains(&lost) && kept.len() > 1000,
        "{lost} lines are said to be lost, and {} are kept",
        kept.len()
    );
    Ok(())
}

fn lost(vm: &Vm) -> Result<usize> {
    let note = records(vm)?.into_iter().rfind(|said| {
        said.stream == "dropped" && said.text.ends_with("lines lost while the disk took none")
    });
    let note = note.context("nothing is said to be lost")?;
    let count = note.text.split(' ').next().unwrap_or_default();
    count.parse().with_context(|| note.text.clone())
}

/// A boot with a full disk allows logins to make room. It is logged in memory, and on the disk once there is room.
pub(crate) fn after_boot(vm: &Vm) -> Result<()> {
    let first = "tare logs --boot 0 | head -n 1";
    vm.wait_ssh(secs(60))?;
    mentions(vm, first, "kernel: Linux version")?;
    mentions(vm, "tare logs --boot 0 --service tare", " tare: Tare ")?;
    vm.ssh("ls /run/log/spill-*")
        .context("nothing waits in memory")?;
    free(vm)?;
    // The engine cannot run without room, and recovers by itself.
    vm.wait_line("tare: ready in ", secs(90))?;
    talk(vm, "", "booting")?;
    mentions(vm, first, "kernel: Linux version")?;
    let id = vm.ssh("cut -c 1-8 /proc/sys/kernel/random/boot_id")?;
    let begins = format!(" {} . kernel kmsg Linux version ", id.trim());
    says(
        vm,
        &format!("cat /var/log/tare/*.log | grep -c '{begins}'"),
        "1\n",
    )
}
