//! `tare toolbox`, while the engine is stopped.

use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says, well_on_the_console};

use super::command::on_terminal_after;

/// One for each package with programs, and how to ask for its version or help, with status 0.
const PROGRAMS: &str = "\
    blkid --version;bzip2 --help;cfdisk --version;conntrack --version;curl --version;dig -v;dmidecode --version;\
    docker --version;ethtool --version;fsck.ext4 -V;fuser -V;getcap -h;host -V;htop --version;iperf3 --version;\
    iptables --version;jq --version;lsof -v;lspci --version;mkfs.ext4 -V;mkfs.vfat --help;mtr --version;nft --version;\
    ping -V;rsync --version;smartctl --version;socat -V;ss -V;ssh -V;strace -V;tare version;tcpdump --version;\
    tracepath -V;vim --version;xz --version";

pub(super) fn all(vm: &Vm) -> Result<()> {
    // The first start says so if it takes long.
    vm.ssh_within("tare toolbox true && tare service stop engine", secs(90))?;
    programs(vm)?;
    what_it_sees(vm)?;
    rights(vm)?;
    statuses(vm)?;
    on_terminals(vm)?;
    says(vm, "tare service stop toolbox", "toolbox is stopped\n")?;
    vm.ssh_within("tare service start engine", secs(90))
        .map(drop)
}

/// Each starts: its libraries are there.
fn programs(vm: &Vm) -> Result<()> {
    let ask = |program: &str| {
        let program = program.trim();
        format!("{program} >/tmp/said 2>&1 </dev/null || {{ echo {program}; cat /tmp/said; }}\n")
    };
    let ask: String = PROGRAMS.split(';').map(ask).collect();
    let said = vm.ssh_within(&format!("tare toolbox sh <<'END'\n{ask}END\n"), secs(60))?;
    ensure!(said.is_empty(), "{said}");
    Ok(())
}

fn what_it_sees(vm: &Vm) -> Result<()> {
    for (command, want) in [
        ("ls /host/sbin/init", "/host/sbin/init\n"),
        ("cat /host/proc/1/comm", "init\n"),
        ("sh -c 'ps -o comm= -p 1'", "init\n"),
        ("stat -fc %T /host /host/state", "erofs\next2/ext3\n"),
        ("test -b /dev/vda -a -b /host/dev/vda", ""),
        ("test -d /host/run/tare -a -d /host/sys/class/net/eth0", ""),
        // Shared with the shell's.
        (
            "sh -c 'cd /host/services; stat -c %i ssh/rootfs/usr/bin/bash toolbox/rootfs/usr/bin/bash | uniq | wc -l'",
            "1\n",
        ),
        ("hostname", "tare\n"),
    ] {
        says(vm, &format!("tare toolbox -- {command}"), want)?;
    }
    for path in ["/host/x", "/host/state/x", "/host/run/x", "/host/srv"] {
        let write = format!("tare toolbox -- mkdir {path} 2>&1 || true");
        mentions(vm, &write, "Read-only file system")?;
    }
    // The administrator's folders, and the caller's own.
    let there =
        "mkdir -p /srv/box && cd /srv/box && tare toolbox -- sh -c 'pwd; echo a >b' && cat b";
    says(vm, there, "/srv/box\na\n")
}

fn rights(vm: &Vm) -> Result<()> {
    mentions(vm, "tare toolbox -- strace -c true 2>&1", "execve")?;
    let strace =
        "tare toolbox -- sh -c 'timeout 2 strace -p $(pgrep -o sshd) -e trace=none 2>&1 || true'";
    mentions(vm, strace, " attached")?;
    // tcpdump gives up root before it writes.
    let capture = "tare toolbox -- sh -c 'ping -c 30 127.0.0.1 >/dev/null 2>&1 & \
        timeout 25 tcpdump -n -c 1 -i lo -w /root/pings \"icmp[icmptype]=icmp-echo\"; kill $!; tcpdump -n -r /root/pings' 2>&1";
    let said = vm.ssh_within(capture, secs(60))?;
    ensure!(said.contains("ICMP echo re"), "{said}");
    let ruleset = "tare toolbox -- sh -c 'nft add table inet box && nft list tables | grep box; nft delete table inet box'";
    says(vm, ruleset, "table inet box\n")?;
    // What is mounted in a folder of the administrator is mounted for the shells too.
    vm.ssh("mkdir /mnt/box && tare toolbox mount -t tmpfs box /mnt/box")?;
    says(vm, "stat -fc %T /mnt/box", "tmpfs\n")?;
    says(
        vm,
        "tare toolbox umount /mnt/box; stat -c %m /mnt/box",
        "/mnt\n",
    )
}

fn statuses(vm: &Vm) -> Result<()> {
    for (command, want) in [
        (
            "tare toolbox -- nothing 2>&1; echo $?",
            "tare toolbox: there is no command `nothing` in the toolbox\n127\n",
        ),
        ("tare toolbox sh -c 'exit 7'; echo $?", "7\n"),
        ("echo in | tare toolbox cat", "in\n"),
    ] {
        says(vm, command, want)?;
    }
    mentions(vm, "bash -ic htop 2>&1 || true", "tare toolbox htop")?;
    mentions(vm, "tare toolbox --help", "tcpdump")
}

fn on_terminals(vm: &Vm) -> Result<()> {
    let keys = b"echo $((6 * 7))\rexit\r";
    let screen = on_terminal_after("toolbox@tare:~# ", vm, "tare toolbox", keys)?;
    for want in ["This is the toolbox.", "42\r\n"] {
        ensure!(screen.contains(want), "no {want:?}: {screen:?}");
    }
    well_on_the_console(vm, "tare toolbox -- test -d /host/services")
}
