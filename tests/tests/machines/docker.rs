//! What works with Docker on Debian works here; `docs/docker.md` lists it.

mod helpers;
pub(crate) mod jobs;
pub(crate) mod networks;
pub(crate) mod programs;
pub(crate) mod registries;

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, says, services, wait_apps, wait_says, wait_service};
use tare_tests::{Checks, Scratch, user_data};

use crate::kernel::programs as tiny;

/// The folders that an administrator and the engine share.
const FOLDERS: [&str; 7] = ["/data", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp"];

/// Paths of the host that popular images mount read-only.
const HOST_PATHS: [&str; 10] = [
    "/boot",
    "/etc/hosts",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/os-release",
    "/etc/timezone",
    "/lib/modules",
    "/run/udev",
    "/usr/lib/os-release",
    "/var/log",
];

pub(crate) fn paths_and_devices(image: &Image) -> Result<()> {
    let user_data = format!(
        "modules = ['cdc_acm', 'dummy', 'no-such-module']\n{}",
        user_data::DEMO
    );
    let machine = Vm::of(image).direct().user_data(&user_data);
    let mut vm = machine.boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    let mut checks = Checks::default();
    checks.check("the engine's socket under its usual names", || socket(&vm));
    checks.check("files of the shell", || files(&vm));
    checks.check("a large file in /tmp", || large_file_in_tmp(&vm));
    checks.check("device nodes", || device_nodes(&vm));
    checks.check("kernel modules", || kernel_modules(&vm));
    checks.check("paths of the host", || host_paths(&vm));
    checks.check("mounts that propagate", || propagation(&vm));
    checks.check("devices and setuid programs in volumes", || volumes(&vm));
    checks.check("an IPv6 network", || an_ipv6_network(&vm));
    checks.check("what people type", || what_people_type(&vm));
    checks.check("32-bit and very old programs", || {
        tiny::old_ones_do_not_run(&vm)
    });
    checks.check("power off", || power_off(&vm));
    vm = vm.machine().clone().boot()?;
    vm.wait_ready()?;
    checks.check("only /tmp is empty after a reboot", || {
        says(&vm, "cat /data/f; ls -A /tmp", "/data\n")
    });
    checks.check("power off again", || power_off(&vm));
    checks.verdict()
}

/// Apps of every form, and some that cannot start.
const APPS: &str = r#"
[sysctl]
vm.overcommit_memory = 1
vm.nr_hugepages = 1000000
net.none.such = 1

[engine]
log-driver = "json-file"
userland-proxy = false
allow-direct-routing = true
default-address-pools = [{ base = "10.200.0.0/16", size = 24 }]

[registries."10.0.2.2:5000"]
insecure = true

[apps.absent.services.a]
image = "10.0.2.2:1/absent"

[apps.hangs.services.sick]
image = "tare/demo"
command = ["sleep", "9999"]
healthcheck = { test = ["CMD", "false"], start_period = "30m" }

[apps.hangs.services.waits]
image = "tare/demo"
depends_on.sick.condition = "service_healthy"

[apps.written.services.w]
image = "tare/demo"
command = ["sh", "-c", "echo $$GREETING > /files/said; exec sleep 9999"]
env_file = ["words.env"]
volumes = ["./files:/files"]
labels = { since = 2026-01-01 }

[apps.yaml]
compose = """
services:
  y:
    image: tare/demo
    command: [sleep, '9999']
    configs: [c]
configs:
  c:
    content: configured
"""

[apps.file]
compose-file = "/srv/elsewhere/compose.yaml"
"#;

/// Kills dockerd, and the next one before it is ready.
const INTERRUPT: &str = "old=$(pgrep -x dockerd); kill -KILL $old; \
    until new=$(pgrep -x dockerd) && [ $new != $old ]; do sleep 0.1; done; kill -KILL $new; \
    until third=$(pgrep -x dockerd) && [ $third != $new ]; do sleep 0.1; done";

/// Those of [`APPS`] are in force.
fn options(vm: &Vm) -> Result<()> {
    let options = "docker info -f '{{.LoggingDriver}} {{.DefaultAddressPools}} {{.RegistryConfig.InsecureRegistryCIDRs}}'; \
        docker info -f '{{json .RegistryConfig.IndexConfigs}}' | grep -c '10.0.2.2:5000.*\"Secure\":false'";
    says(
        vm,
        options,
        "json-file [{10.200.0.0/16 24}] [127.0.0.0/8]\n1\n",
    )
}

/// One that cannot start delays no other, and each has a state of its own.
pub(crate) fn apps_are_independent(image: &Image) -> Result<()> {
    let vm = Vm::of(image).direct().user_data(APPS).boot()?;
    vm.wait_ready()?;
    wait_service(&vm, "app.yaml", "done", secs(120))?;
    let mut checks = Checks::default();
    checks.check("settings of the kernel", || {
        says(
            &vm,
            "cat /proc/sys/vm/overcommit_memory /proc/sys/vm/nr_hugepages",
            "1\n0\n",
        )?;
        mentions(
            &vm,
            "tare status",
            "huge pages leave enough memory for the machine",
        )?;
        mentions(
            &vm,
            "tare status",
            "sysctl net.none.such = 1: No such file or directory",
        )
    });
    checks.check("options of the engine", || options(&vm));
    checks.check("ports without a process each", || {
        networks::without_proxies(&vm)
    });
    checks.check("a container's own address, allowed", || {
        own_address(&vm, "fetched\n")
    });
    checks.check("options after a start that was interrupted", || {
        vm.ssh_within(INTERRUPT, secs(60))?;
        vm.ssh_within("docker info >/dev/null", secs(120))?;
        options(&vm)
    });
    checks.check("files of the machine", || {
        vm.ssh("mkdir -p /srv/written/files && echo GREETING=hi > /srv/written/words.env")?;
        vm.ssh_within("tare service restart app.written", secs(90))?;
        wait_says(&vm, "cat /srv/written/files/said", "hi\n", secs(30))?;
        let label = "docker inspect -f '{{.Config.Labels.since}}' written-w-1";
        says(&vm, label, "2026-01-01\n")
    });
    checks.check("a file of its own", || {
        let file =
            "services: {f: {image: tare/demo, command: [sh, -c, 'echo up; exec sleep 9999']}}";
        vm.ssh(&format!(
            "mkdir -p /srv/elsewhere && echo \"{file}\" > /srv/elsewhere/compose.yaml"
        ))?;
        vm.ssh_within("tare service restart app.file", secs(90))?;
        says(&vm, "docker ps -q -f name=file-f-1 | wc -l", "1\n")
    });
    checks.check("a configuration in the specification", || {
        says(&vm, "docker exec yaml-y-1 cat /c", "configured")
    });
    checks.check("what one has written", || {
        says(&vm, "tare app logs file | grep -c 'f-1  | up$'", "1\n")?;
        vm.ssh_within("tare app restart file", secs(90))?;
        says(&vm, "tare app logs file | grep -c 'f-1  | up$'", "2\n")?;
        says(&vm, "tare app logs file -n 1 | grep -c up", "1\n")
    });
    checks.check("those that cannot start are shown", || {
        wait_service(&vm, "app.absent", "backing-off", secs(60))?;
        mentions(&vm, "tare app list", "start ended with status 1")?;
        mentions(&vm, "tare app show absent", "10.0.2.2:1")?;
        let services = services(&vm)?;
        ensure!(services["app.hangs"] == "starting", "{services:?}");
        Ok(())
    });
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}

/// Docker's ways from one container to another, what a neighbour of the machine reaches, builds, and many logins.
pub(crate) fn networks_builds_and_sessions(image: &Image) -> Result<()> {
    // dockerd accepts this address, and then does not start with it.
    let user_data = format!("engine.bip = '172.17.0.0/16'\n{}", user_data::DEMO);
    let vm = Vm::of(image).direct().user_data(&user_data).boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    for network in ["a", "b"] {
        vm.ssh_within(&format!("docker network create {network}"), secs(60))?;
    }
    vm.ssh_within(
        "docker run -d --network b --name served -p 8080:8080 tare/demo",
        secs(60),
    )?;
    let mut checks = Checks::default();
    checks.check("options with which dockerd does not start", || {
        let ignored = "dockerd failed twice with [engine] of user-data, which is ignored";
        mentions(&vm, "tare logs --service engine", ignored)?;
        let problem = "engine: [engine] of user-data is ignored: dockerd failed twice with it";
        mentions(&vm, "tare status", problem)
    });
    checks.check("a port of another network", || {
        let fetch = format!("{FETCH} http://10.0.2.15:8080/");
        prints(&vm, "--network a", &fetch, "fetched\n")
    });
    checks.check("a port over IPv6", || over_ipv6(&vm));
    checks.check("a port at an address that comes later", || {
        address_that_comes_later(&vm)
    });
    checks.check("a port of the machine's alone", || {
        networks::local_port(&vm)
    });
    checks.check("a container's own address", || {
        own_address(&vm, "refused\n")
    });
    checks.check("the hook of a container's network", || {
        helpers::network_hook(&vm)
    });
    checks.check("plugins say what they are", || helpers::plugins(&vm));
    checks.check("tare logs --container", || helpers::output(&vm));
    checks.check("containers that log by syslog", || helpers::syslog(&vm));
    checks.check("a full table of connections", || {
        helpers::a_full_table_of_connections(&vm)
    });
    checks.check("a build", || a_build(&vm));
    checks.check("many sessions", || sessions(&vm, 12));
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}

/// In a container.
const FETCH: &str = "f() { wget -T 5 -qO- $1 >/dev/null && echo fetched || echo refused; }; f";

/// Root of the host's network, with the engine's iptables.
const ENGINE: &str = "docker run --rm --privileged --pid host --net host tare/demo \
    busybox chroot /proc/$(pgrep -x dockerd)/root";

fn over_ipv6(vm: &Vm) -> Result<()> {
    let address = "ip -6 -o addr show dev eth0 | awk '$4 !~ /^fe80/ { sub(\"/.*\", \"\", $4); print $4; exit }'";
    let curl = "curl -gs -m 10 -o /dev/null -w '%{http_code}'";
    says(vm, &format!("{curl} 'http://[::1]:8080/'"), "200")?;
    says(
        vm,
        &format!("{curl} \"http://[$({address})]:8080/\""),
        "200",
    )
}

/// A container with a restart policy starts before the lease is there.
fn address_that_comes_later(vm: &Vm) -> Result<()> {
    let run = "docker run -d --name early -p 192.0.2.77:8081:8080 tare/demo";
    vm.ssh_within(run, secs(60))?;
    let add = "docker run --rm --privileged --net host tare/demo busybox ip addr add 192.0.2.77/32 dev lo";
    vm.ssh_within(add, secs(60))?;
    let curl = "curl -s -m 10 -o /dev/null -w '%{http_code}' http://192.0.2.77:8081/";
    says(vm, curl, "200")?;
    vm.ssh_within("docker rm -f early", secs(60)).map(drop)
}

/// What a neighbour gets that has a route to it: another network, for which dockerd's own walls are taken down.
fn own_address(vm: &Vm, want: &str) -> Result<()> {
    let network = "docker network create -o com.docker.network.bridge.name=lan0 lan";
    vm.ssh_within(network, secs(60))?;
    for way in ["-i", "-o"] {
        let open = format!("{ENGINE} iptables -I DOCKER-USER {way} lan0 -j ACCEPT");
        vm.ssh_within(&open, secs(60))?;
    }
    let address = "docker inspect -f '{{.NetworkSettings.Networks.b.IPAddress}}' served";
    let address = vm.ssh(address)?;
    let fetch = format!("{FETCH} http://{}:8080/", address.trim_end());
    prints(vm, "--network lan", &fetch, want)
}

/// With BuildKit: the older builder refuses a mount and a here-document.
fn a_build(vm: &Vm) -> Result<()> {
    let file = "FROM tare/demo\\nRUN --mount=type=cache,target=/c echo mounted >/a\\n\
        COPY <<END /b\\nwritten here\\nEND\\n";
    vm.ssh_within(
        &format!("printf '{file}' | docker build -q -t built -"),
        secs(120),
    )?;
    let said = vm.ssh_within("docker run --rm built cat /a /b", secs(60))?;
    ensure!(said == "mounted\nwritten here\n", "{said:?}");
    Ok(())
}

/// Each login takes an emulated machine seconds.
pub(crate) fn thirty_sessions(image: &Image) -> Result<()> {
    let vm = Vm::of(image).direct().user_data("").boot()?;
    vm.wait_ready()?;
    sessions(&vm, 30)?;
    power_off(&vm)
}

/// A client of `ssh://` has a connection for each request; a login works meanwhile.
fn sessions(vm: &Vm, count: usize) -> Result<()> {
    let session = "(until [ -e /tmp/go ]; do sleep 1; done) | docker system dial-stdio";
    thread::scope(|scope| {
        let session = || vm.login(session, secs(240));
        let sessions: Vec<_> = (0..count).map(|_| scope.spawn(session)).collect();
        let all = format!("until [ $(pgrep -x docker | wc -l) = {count} ]; do sleep 1; done");
        let during = vm
            .ssh_within(&all, secs(180))
            .and_then(|_| vm.login("docker ps -q", secs(60)));
        vm.ssh("touch /tmp/go")?;
        for session in sessions {
            let ended = session.join();
            ended.map_err(|_| anyhow!("a session's thread panicked"))??;
        }
        during.map(drop)
    })
}

/// How long after an image is imported the power goes, in seconds. At the last, it must have been recorded: the file
/// system's journal is written every five.
const CUTS: [u64; 2] = [0, 12];

pub(crate) fn images_survive_power_cuts(image: &Image) -> Result<()> {
    survive(image, &CUTS)
}

pub(crate) fn images_survive_twenty_power_cuts(image: &Image) -> Result<()> {
    let cuts: Vec<u64> = (0..20).collect();
    survive(image, &cuts)
}

/// An image that was just imported is whole or absent after a power cut.
fn survive(image: &Image, cuts: &[u64]) -> Result<()> {
    let folder = Scratch::new("power-cuts")?;
    let machine = || {
        let machine = Vm::of(image).direct().keep_in(folder.path());
        machine.user_data(user_data::DEMO)
    };
    // The image that the disk brings along is loaded at the first boot, right before `ready`.
    let mut vm = machine().boot()?;
    vm.wait_ready()?;
    let mut last = None;
    for seconds in cuts {
        vm.kill()?;
        vm = machine().boot()?;
        vm.wait_ready()?;
        prints(&vm, "", "echo whole", "whole\n")?;
        if let Some(last) = last {
            is_whole(&vm, last)?;
        }
        let import = format!(
            "docker export $(docker create tare/demo) | docker import - cut{seconds} && sleep {seconds}"
        );
        vm.ssh_within(&import, secs(90))?;
        last = Some(*seconds);
    }
    vm.kill()?;
    let vm = machine().boot()?;
    vm.wait_ready()?;
    let last = last.context("no cut")?;
    ensure!(
        is_whole(&vm, last)?,
        "not recorded {last} s after its import"
    );
    power_off(&vm)?;
    folder.remove()
}

/// Whether the image is there. If it is, it runs and is the same as the one that it was made of.
fn is_whole(vm: &Vm, number: u64) -> Result<bool> {
    let name = format!("cut{number}");
    if vm.ssh(&format!("docker images -q {name}"))?.is_empty() {
        return Ok(false);
    }
    let sum = |image: &str| {
        vm.ssh_within(
            &format!("docker run --rm {image} /bin/busybox sha256sum /bin/busybox"),
            secs(60),
        )
    };
    let (imported, original) = (sum(&name)?, sum("tare/demo")?);
    ensure!(imported == original, "{name}: {imported:?}");
    Ok(true)
}

/// A container with `options` prints `want`.
fn prints(vm: &Vm, options: &str, command: &str, want: &str) -> Result<()> {
    let run = format!("docker run --rm {options} tare/demo sh -c '{command}'");
    let said = vm.ssh_within(&run, secs(60))?;
    ensure!(said == want, "{run}: {said:?} instead of {want:?}");
    Ok(())
}

fn socket(vm: &Vm) -> Result<()> {
    for path in ["/var/run/docker.sock", "/run/docker.sock"] {
        let mount = format!("-v {path}:{path}:ro");
        prints(
            vm,
            &mount,
            &format!("[ -S {path} ] && echo a socket"),
            "a socket\n",
        )?;
        let ping = format!("curl -s --unix-socket {path} http://engine/_ping");
        says(vm, &ping, "OK")?;
    }
    Ok(())
}

fn files(vm: &Vm) -> Result<()> {
    let (mut written, mut mounts, mut want) = (vec![], vec![], String::new());
    for (number, folder) in FOLDERS.iter().enumerate() {
        written.push(format!("echo {folder} > {folder}/f"));
        mounts.push(format!("-v {folder}/f:/{number}"));
        want += &format!("{folder}\n");
    }
    vm.ssh(&written.join(" && "))?;
    prints(vm, &mounts.join(" "), "cat /?", &want)?;
    prints(
        vm,
        "-u 1000 -v /tmp:/t",
        "echo mine > /t/mine && cat /t/mine",
        "mine\n",
    )?;
    let here = "mkdir -p site/data && cd site && echo page > data/index.html && \
        docker run --rm -v ./data:/www -v $PWD:/all tare/demo cat /www/index.html /all/data/index.html";
    says(vm, here, "page\npage\n")?;
    let owned = "touch /srv/owned && chown 1000:1000 /srv/owned && chmod 2640 /srv/owned && stat -c '%u %a' /srv/owned";
    says(vm, owned, "1000 2640\n")
}

/// It stays over a restart of the engine.
fn large_file_in_tmp(vm: &Vm) -> Result<()> {
    vm.ssh("mkdir /tmp/d && head -c 40M /dev/zero > /tmp/d/large")?;
    vm.ssh_within(
        "docker run -d --name holds -v /tmp/d:/d tare/demo sleep 9999",
        secs(60),
    )?;
    vm.ssh_within("tare service restart engine", secs(120))?;
    wait_service(vm, "engine", "ready", secs(60))?;
    let size = "docker exec holds busybox stat -c %s /d/large";
    let said = vm.ssh_within(size, secs(60))?;
    ensure!(said == "41943040\n", "{said:?}");
    vm.ssh_within("docker rm -f holds", secs(60)).map(drop)
}

/// Opening a node loads its module.
fn device_nodes(vm: &Vm) -> Result<()> {
    let tun = "--cap-add NET_ADMIN --device /dev/net/tun";
    prints(
        vm,
        tun,
        "busybox tunctl -t t0 >/dev/null && ls /sys/class/net/t0/tun_flags",
        "/sys/class/net/t0/tun_flags\n",
    )?;
    prints(
        vm,
        "--device /dev/fuse",
        "exec 3<>/dev/fuse && echo open",
        "open\n",
    )?;
    let looped = "dd if=/dev/zero of=/i bs=1M count=8 2>/dev/null; busybox mke2fs -F /i >/dev/null; mkdir /m; \
        l=$(busybox losetup -f) && busybox losetup $l /i && mount $l /m && ls /m; busybox umount /m; busybox losetup -d $l";
    // A container has the nodes that were there at its start; here, it has those that come later too.
    prints(vm, "--privileged -v /dev:/dev", looped, "lost+found\n")
}

/// Those of user-data, and those that `iptables-legacy` in a container cannot load.
fn kernel_modules(vm: &Vm) -> Result<()> {
    for module in ["cdc_acm", "dummy", "ip_tables", "ip6_tables"] {
        says(vm, &format!("grep -c '^{module} ' /proc/modules"), "1\n")?;
    }
    let missing = "kernel module no-such-module: this kernel has none of this name";
    mentions(
        vm,
        "tare logs --service tare --grep no-such-module",
        missing,
    )
}

fn host_paths(vm: &Vm) -> Result<()> {
    let mounts: Vec<String> = HOST_PATHS
        .iter()
        .map(|path| format!("-v {path}:/host{path}:ro"))
        .collect();
    let look = "cd /host && ls lib/modules && cat etc/timezone && head -c 4 etc/localtime && \
        grep -o ^ID=tare etc/os-release && ls var/log";
    let modules = vm.ssh("uname -r")?;
    let want = format!("{modules}Etc/UTC\nTZifID=tare\ntare\n");
    prints(vm, &mounts.join(" "), look, &want)?;
    vm.ssh("tare config set --once time.zone Asia/Tokyo")?;
    let localtime = "-v /etc/localtime:/etc/localtime:ro";
    prints(vm, localtime, "date +%Z", "JST\n")?;
    vm.ssh("tare config unset --once time.zone").map(drop)
}

fn propagation(vm: &Vm) -> Result<()> {
    let node_exporter = "--net host --pid host -v /:/host:ro,rslave";
    prints(vm, node_exporter, "ls -d /host/srv", "/host/srv\n")?;
    // A mount of one container is seen by another, and in the shell.
    let mounts = "docker run -d --privileged --name mounts -v /srv:/srv:rshared tare/demo \
        sh -c 'mkdir /srv/m && mount -t tmpfs m /srv/m && touch /srv/m/there && sleep 9999'";
    vm.ssh_within(mounts, secs(60))?;
    vm.ssh_within("until [ -e /srv/m/there ]; do sleep 0.2; done", secs(30))?;
    prints(vm, "-v /srv:/srv:rslave", "ls /srv/m", "there\n")?;
    vm.ssh_within("docker rm -f mounts", secs(60)).map(drop)
}

fn volumes(vm: &Vm) -> Result<()> {
    let device = "rm -f /v/null; busybox mknod /v/null c 1 3 && echo x > /v/null && echo written";
    prints(vm, "-v volume:/v -v /srv:/srv", device, "written\n")?;
    // busybox keeps the rights of a setuid program for some of its commands, such as ping.
    let setuid = "cp /bin/busybox /srv/ping && chmod 4755 /srv/ping && \
        busybox su -s /bin/sh nobody -c \"/srv/ping 127.0.0.1 >/dev/null & \
            until grep -q ^Uid:.*65534.0.0 /proc/\\$!/status; do sleep 1; done; kill \\$!; echo root\"";
    prints(vm, "-v /srv:/srv", setuid, "root\n")
}

/// Docker makes the machine forward IPv6, at which the kernel drops routes from advertisements unless told otherwise.
fn an_ipv6_network(vm: &Vm) -> Result<()> {
    let advertised = "ip -6 route show default proto ra | grep -c fe80";
    wait_says(vm, advertised, "1\n", secs(60))?;
    vm.ssh_within(
        "docker network create --ipv6 --subnet fd00:d0c::/64 six",
        secs(60),
    )?;
    says(vm, advertised, "1\n")?;
    vm.ssh_within("docker network rm six", secs(60)).map(drop)
}

/// Habits from other hosts work, or are told what to type.
fn what_people_type(vm: &Vm) -> Result<()> {
    for (typed, want) in [
        ("sudo -n id -u", "0\n"),
        (
            "systemctl restart docker.service 2>&1 || true",
            "systemctl: there is no systemd on this machine. Try: tare service restart engine\n",
        ),
        (
            "journalctl -u docker -f 2>&1 || true",
            "journalctl: there is no journal on this machine. Try: tare logs --service engine -f\n",
        ),
        (
            "halt --when 2>&1 || true",
            "halt: `--when` is not known here: type `tare poweroff`\n",
        ),
        (
            "reboot --help 2>&1 || true",
            "reboot: `--help` is not known here: type `tare reboot`\n",
        ),
        ("dmesg | grep -c 'Linux version'", "1\n"),
        (
            "TERM=xterm-kitty bash --login -c 'echo $TERM' 2>/dev/null",
            "xterm-256color\n",
        ),
    ] {
        says(vm, typed, want)?;
    }
    mentions(
        vm,
        "shutdown -c 2>&1; apt install jq 2>&1; true",
        "docker run --rm -it",
    )
}
