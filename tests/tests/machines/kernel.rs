//! What containers ask of the kernel besides namespaces: file systems, shares, adapters, rules, confinement.

pub(crate) mod programs;
mod sealed;

use std::fs::{self, File};

use anyhow::{Result, ensure};
use serde_json::json;
use tare_image::Image;
use tare_qemu::{Disk, DiskBus, DiskFormat, Vm, secs};
use tare_tests::guest::{mentions, power_off, says, wait_says};
use tare_tests::{Checks, Scratch, debian};

/// Tools of file systems, disks and AppArmor, a server of NFS, and the older iptables, which speaks to another part of
/// the kernel.
const PACKAGES: [&str; 11] = [
    "apparmor",
    "btrfs-progs",
    "cryptsetup-bin",
    "dash",
    "exfatprogs",
    "iptables",
    "lvm2",
    "nfs-ganesha-mem",
    "ntfs-3g",
    "squashfs-tools",
    "xfsprogs",
];
/// Needed only by installation, or by programs not run here.
const ASSUMED: [&str; 10] = [
    "dbus",
    "debconf",
    "dmeventd",
    "fuse3",
    "libicu76",
    "nfs-common",
    "python3",
    "python3-dbus",
    "rpcbind",
    "sysvinit-utils",
];

/// Room for the largest file system that a test makes: XFS needs 300 MB.
const DATA: u64 = 512 << 20;

/// Matches and targets of iptables, each as the end of a rule.
const RULES: &str = "\
    -m rpfilter --invert\n\
    -m string --algo bm --string x\n\
    -m time --timestart 10:00\n\
    -m length --length 1:9\n\
    -m ttl --ttl-lt 5\n\
    -m dscp --dscp 1\n\
    -m pkttype --pkt-type broadcast\n\
    -m quota --quota 10\n\
    -m helper --helper ftp\n\
    -m connbytes --connbytes 1 --connbytes-dir both --connbytes-mode bytes\n\
    -m u32 --u32 0=1\n\
    -m statistic --mode random --probability 0.5\n\
    -m recent --set\n\
    -j NETMAP --to 10.9.0.0/24\n\
    -j CLASSIFY --set-class 1:1\n\
    -j DSCP --set-dscp 1\n\
    -j TEE --gateway 10.9.0.1\n\
    -j TRACE";

pub(crate) fn has_what_containers_ask_for(image: &Image) -> Result<()> {
    let folder = Scratch::new("kernel")?;
    let data = folder.path().join("data");
    File::create(&data)?.set_len(DATA)?;
    let data = Disk {
        path: data,
        format: DiskFormat::Raw,
        bus: DiskBus::Virtio,
        read_only: false,
    };
    let sent = folder.path().join("sent");
    let adapter = format!("file,id=adapter,path={}", sent.display());
    let machine = Vm::of(image)
        .direct()
        .append(programs::CMDLINE)
        .user_data("")
        .disk(debian::disk(folder.path(), &PACKAGES, &ASSUMED)?)
        .disk(data)
        .qemu(&[
            "-device",
            "qemu-xhci,id=usb",
            "-chardev",
            &adapter,
            "-device",
            "usb-serial,bus=usb.0,chardev=adapter,serial=A12",
        ]);
    let vm = machine.boot()?;
    vm.wait_ready()?;
    debian::import(&vm, "/dev/vdb", "debian")?;
    let mut checks = Checks::default();
    checks.check("disks of other systems", || disks(&vm));
    checks.check("LUKS and LVM", || sealed::disk(&vm));
    checks.check("a volume of NFS", || nfs(&vm));
    checks.check("a volume of CIFS", || cifs(&vm));
    checks.check("a serial adapter", || {
        let write =
            "docker run --rm --device /dev/ttyUSB0 tare/demo sh -c 'echo hello >/dev/ttyUSB0'";
        vm.ssh_within(write, secs(60))?;
        let sent = fs::read_to_string(&sent)?;
        ensure!(sent.trim() == "hello", "{sent:?} was sent");
        Ok(())
    });
    checks.check("names of devices that stay", || names(&vm));
    checks.check(
        "a serial adapter by its name, while it is plugged in",
        || plugged(&vm),
    );
    checks.check("rules of firewalls", || rules(&vm));
    checks.check("AppArmor", || apparmor(&vm));
    checks.check("an AppArmor profile of one's own", || own_profile(&vm));
    checks.check("32-bit and very old programs", || {
        programs::old_ones_run(&vm)
    });
    checks.check("virtual machines", || programs::virtual_machines(&vm));
    checks.check("power off", || power_off(&vm));
    let verdict = checks.verdict();
    folder.remove()?;
    verdict
}

/// A volume of Docker's own driver, on a file system that the tools of its makers made.
fn disks(vm: &Vm) -> Result<()> {
    for (kind, mkfs) in [
        ("xfs", "mkfs.xfs -q -f"),
        ("btrfs", "mkfs.btrfs -q -f"),
        ("exfat", "mkfs.exfat"),
        ("ntfs3", "mkntfs -q -f -F"),
    ] {
        on_data_disk(vm, &format!("{mkfs} /dev/vdc >&2"))?;
        let volume =
            format!("docker volume create --opt type={kind} --opt device=/dev/vdc {kind} >&2");
        let write = format!("docker run --rm -v {kind}:/v tare/demo sh -c 'echo {kind} > /v/f'");
        let read = format!(
            "docker run --rm -v {kind}:/v tare/demo sh -c 'cat /v/f; grep -o \" /v {kind} \" /proc/mounts'"
        );
        let all = format!("{volume} && {write} && {read} && docker volume rm {kind} >&2");
        let said = vm.ssh_within(&all, secs(120))?;
        ensure!(said == format!("{kind}\n /v {kind} \n"), "{kind}: {said:?}");
    }
    on_data_disk(
        vm,
        "mksquashfs /etc/default /dev/vdc -comp zstd -noappend >&2",
    )?;
    let volume = "docker volume create --opt type=squashfs --opt o=ro --opt device=/dev/vdc squash >&2 && \
        docker run --rm -v squash:/v:ro tare/demo ls -d /v/nfs-ganesha && docker volume rm squash >&2";
    let said = vm.ssh_within(volume, secs(90))?;
    ensure!(said == "/v/nfs-ganesha\n", "{said:?}");
    Ok(())
}

fn on_data_disk(vm: &Vm, command: &str) -> Result<()> {
    let run = format!("docker run --rm --privileged debian sh -c '{command}'");
    vm.ssh_within(&run, secs(120)).map(drop)
}

/// Version 4 from a server in a container; of version 3, that it is tried.
fn nfs(vm: &Vm) -> Result<()> {
    let config = "NFS_CORE_PARAM { Protocols = 4; Enable_NLM = false; Enable_RQUOTA = false;
            allow_set_io_flusher_fail = true; }
        NFSV4 { Graceless = true; }
        EXPORT { Export_Id = 1; Path = /share; Pseudo = /share; Access_Type = RW; Squash = None; SecType = sys;
            FSAL { Name = MEM; } }";
    vm.ssh(&format!("cat > /srv/ganesha.conf <<'END'\n{config}\nEND"))?;
    let server = "docker run -d --name server -p 2049:2049 -v /srv/ganesha.conf:/g.conf:ro \
        --tmpfs /var/run/ganesha --tmpfs /var/lib/nfs/ganesha debian \
        ganesha.nfsd -F -L STDOUT -f /g.conf -p /g.pid";
    vm.ssh_within(server, secs(60))?;
    let serves = "docker logs server 2>&1 | grep -o 'SERVER INITIALIZED'";
    wait_says(vm, serves, "SERVER INITIALIZED\n", secs(90))?;
    vm.ssh("docker volume create --opt type=nfs --opt o=addr=10.0.2.15,nfsvers=4,rw --opt device=:/share share")?;
    let write = "docker run --rm -v share:/v tare/demo sh -c 'echo kept > /v/f'";
    vm.ssh_within(write, secs(60))?;
    // This server keeps names and sizes, and no data.
    let look = "docker run --rm -v share:/v tare/demo busybox stat -c '%n %s' /v/f";
    let said = vm.ssh_within(look, secs(60))?;
    ensure!(said == "/v/f 5\n", "{said:?}");
    vm.ssh_within("docker volume rm share && docker rm -f server", secs(60))?;
    refused(vm, "nfs", "addr=10.0.2.15,nfsvers=3,nolock", ":/share")
}

fn cifs(vm: &Vm) -> Result<()> {
    let options = "addr=10.0.2.15,username=u,password=p";
    refused(vm, "cifs", options, "//10.0.2.15/share")
}

/// Nothing serves the share: the kernel has tried.
fn refused(vm: &Vm, kind: &str, options: &str, device: &str) -> Result<()> {
    let volume = format!(
        "docker volume create --opt type={kind} --opt o={options} --opt device={device} nobody >&2 && \
         docker run --rm -v nobody:/v tare/demo true 2>&1; docker volume rm nobody"
    );
    let said = vm.ssh_within(&volume, secs(240))?;
    ensure!(
        said.contains("connection refused"),
        "{kind}: {said:?} does not say that the connection was refused"
    );
    Ok(())
}

/// The names that udev gives the adapter of QEMU and the partition of the state.
fn names(vm: &Vm) -> Result<()> {
    let name = "usb-QEMU_QEMU_USB_SERIAL_A12-if00-port0";
    let list = "docker run --rm -v /dev/serial/by-id:/l:ro tare/demo ls /l";
    says(vm, list, &format!("{name}\n"))?;
    // The node is there under the link's name.
    let adapter = format!("/dev/serial/by-id/{name}");
    let use_it = format!(
        "docker run --rm --device {adapter} tare/demo sh -c 'test -c {adapter} && echo there'"
    );
    says(vm, &use_it, "there\n")?;
    // As the page has it, for names with a colon. A login has no such folder: the toolbox looks for the name.
    let by_path = "docker run --rm --device $(tare toolbox -- sh -c 'realpath /dev/serial/by-path/*'):/dev/ttyUSB7 tare/demo \
        sh -c 'test -c /dev/ttyUSB7 && echo there'";
    says(vm, by_path, "there\n")?;
    let state = "docker run --rm --privileged -v /dev:/dev tare/demo sh -c \
        'cd /dev/disk/by-partlabel && test -b state && busybox readlink state'";
    says(vm, state, "../../vda4\n")
}

/// A link comes and goes with its device.
fn plugged(vm: &Vm) -> Result<()> {
    let qmp = vm.qmp();
    let backend = json!({"id": "plugged", "backend": {"type": "null", "data": {}}});
    qmp.execute("chardev-add", &backend)?;
    let device = json!({
        "driver": "usb-serial", "bus": "usb.0", "chardev": "plugged", "always-plugged": true, "id": "plugged",
        "serial": "A 1/2",
    });
    qmp.execute("device_add", &device)?;
    let name = "usb-QEMU_QEMU_USB_SERIAL_A_1_2-if00-port0";
    let look = format!(
        "docker run --rm -v /dev/serial/by-id:/l:ro tare/demo sh -c 'ls /l | grep -c {name} || true'"
    );
    wait_says(vm, &look, "1\n", secs(60))?;
    qmp.execute("device_del", &json!({"id": "plugged"}))?;
    wait_says(vm, &look, "0\n", secs(60))
}

/// In a network of their own, by nftables, as Debian's iptables does, and by its older part.
fn rules(vm: &Vm) -> Result<()> {
    for tool in ["iptables-nft", "iptables-legacy"] {
        let script = format!(
            "{tool} -t mangle -N ours; {tool} -t nat -N ours; {tool} -t raw -N ours; \
             while read -r rule; do \
               case \"$rule\" in *NETMAP*) t=nat;; *rpfilter*|*TRACE*) t=raw;; *) t=mangle;; esac; \
               {tool} -t $t -A ours $rule 2>/dev/null || echo \"$rule\"; \
             done"
        );
        let run = format!(
            "docker run --rm -i --cap-add NET_ADMIN --tmpfs /run debian sh -c '{script}' <<'END'\n{RULES}\nEND"
        );
        let refused = vm.ssh_within(&run, secs(240))?;
        ensure!(refused.is_empty(), "{tool} refuses:\n{refused}");
    }
    Ok(())
}

/// Docker's own profile confines containers, and can be left out.
fn apparmor(vm: &Vm) -> Result<()> {
    mentions(vm, "docker info -f '{{.SecurityOptions}}'", "name=apparmor")?;
    let profile = "docker run --rm tare/demo cat /proc/self/attr/current";
    says(vm, profile, "docker-default (enforce)\n")?;
    let mount = |options: &str| {
        format!(
            "docker run --rm --cap-add SYS_ADMIN {options} tare/demo sh -c 'mount -t tmpfs x /tmp && echo mounted' 2>&1 || true"
        )
    };
    mentions(vm, &mount(""), "Permission denied")?;
    let unconfined = mount("--security-opt apparmor=unconfined");
    says(vm, &unconfined, "mounted\n")
}

/// Loaded by a container, for another; what it denies is logged.
const PROFILE: &str = "\
    profile own flags=(attach_disconnected,mediate_deleted) {\n\
      capability,\n\
      file,\n\
      network,\n\
      signal,\n\
      audit deny /etc/hostname r,\n\
    }\n";

fn own_profile(vm: &Vm) -> Result<()> {
    vm.ssh(&format!("cat > /srv/own <<'END'\n{PROFILE}END"))?;
    let load = "docker run --rm --privileged -v /sys/kernel/security:/sys/kernel/security -v /srv/own:/own:ro debian \
        apparmor_parser --replace --skip-cache /own";
    vm.ssh_within(load, secs(60))?;
    let run = "docker run --rm --security-opt apparmor=own tare/demo \
        sh -c 'cat /proc/self/attr/current; cat /etc/hostname 2>&1 || true'";
    let said = vm.ssh_within(run, secs(60))?;
    let want = "own (enforce)\ncat: can't open '/etc/hostname': Permission denied\n";
    ensure!(said == want, "{said:?}");
    let denied = "tare logs --service kernel --grep 'apparmor=.DENIED.*profile=.own.*name=./etc/hostname' | wc -l";
    wait_says(vm, denied, "1\n", secs(10))
}
