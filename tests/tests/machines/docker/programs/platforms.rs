//! What runs containers or services of its own in a container: systemd, Docker, and what Kubernetes asks for.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, says, wait_says};
use tare_tests::{Checks, Scratch, debian};

use super::{PROJECT, inside, prepare};

const PACKAGES: [&str; 8] = [
    "base-files",
    "busybox-static",
    "dash",
    "dbus",
    "docker-cli",
    "docker.io",
    "iptables",
    "systemd-sysv",
];
/// Needed only by installation.
const ASSUMED: [&str; 5] = [
    "adduser",
    "debconf",
    "init-system-helpers",
    "mawk",
    "sysvinit-utils",
];

const FILES: [(&str, &str); 1] = [("Dockerfile", include_str!("platforms/Dockerfile"))];

/// kube-proxy's module, which no container may load.
const USER_DATA: &str = "modules = ['ip_vs']\n";

pub(crate) fn run_what_is_in_them(image: &Image) -> Result<()> {
    let folder = Scratch::new("platforms")?;
    let disk = debian::disk(folder.path(), &PACKAGES, &ASSUMED)?;
    let vm = Vm::of(image)
        .direct()
        .user_data(USER_DATA)
        .disk(disk)
        .boot()?;
    vm.wait_ready()?;
    prepare(&vm, &FILES)?;
    let build = format!("docker build -q -t platforms {PROJECT}");
    vm.ssh_within(&build, secs(240))?;
    let mut checks = Checks::default();
    checks.check("Docker's check of the kernel", || check_config(&vm));
    checks.check("what Kubernetes sets", || kubernetes(&vm));
    checks.check("Docker in Docker", || docker(&vm));
    checks.check("systemd, and Docker below it", || systemd(&vm));
    checks.check("systemd in the host's tree of cgroups", || {
        systemd_in_host_cgroups(&vm)
    });
    checks.check("power off", || power_off(&vm));
    let verdict = checks.verdict();
    folder.remove()?;
    verdict
}

/// What Docker's `check-config.sh` misses: two options of cgroup v1, and what `docs/docker.md` answers.
const MISSING: &str = "\
    - CONFIG_MEMCG_SWAP: missing\n\
    - CONFIG_CGROUP_NET_PRIO: missing\n\
    - CONFIG_SECURITY_SELINUX: missing\n\
    - /dev/zfs: missing\n\
    - zfs command: missing\n\
    - zpool command: missing\n";

fn check_config(vm: &Vm) -> Result<()> {
    let check = "docker run --rm platforms sh /usr/share/docker.io/contrib/check-config.sh \
        | grep ': missing$' | sed 's/^ *//'";
    let said = vm.ssh_within(check, secs(120))?;
    ensure!(said == MISSING, "{said}");
    Ok(())
}

/// The settings that kubelet and kube-proxy write, with their values.
const SETTINGS: &str = "\
    kernel/panic=10 kernel/panic_on_oops=1 vm/overcommit_memory=1 vm/panic_on_oom=0 \
    net/bridge/bridge-nf-call-iptables=1 net/ipv4/ip_forward=1 net/ipv4/vs/conntrack=1";

/// In a privileged container, as k3s and kind have it.
fn kubernetes(vm: &Vm) -> Result<()> {
    let script = format!(
        "set -e; for setting in {SETTINGS}; do \
             file=/proc/sys/${{setting%=*}}; echo ${{setting#*=}} >$file; \
             [ $(cat $file) = ${{setting#*=}} ] || echo $setting; \
         done; \
         mount --make-rshared /; \
         dd if=/dev/kmsg of=/dev/null bs=8k count=1 2>/dev/null; \
         for controller in cpu cpuset hugetlb io memory pids; do \
             grep -qw $controller /sys/fs/cgroup/cgroup.controllers || echo $controller; \
         done"
    );
    let run = format!("docker run --rm --privileged --net host platforms sh -c '{script}'");
    let said = vm.ssh_within(&run, secs(60))?;
    ensure!(said.is_empty(), "{said:?} do not work");
    Ok(())
}

/// Copies the demo's image into the Docker of the container `name`, and runs it there.
fn run_inside(vm: &Vm, name: &str) -> Result<()> {
    let load = format!("docker save tare/demo | docker exec -i {name} docker load");
    vm.ssh_within(&load, secs(120))?;
    let run = "docker run --rm --memory 64m tare/demo echo hello";
    let said = inside(vm, name, run)?;
    ensure!(said == "hello\n", "{said:?}");
    Ok(())
}

fn docker(vm: &Vm) -> Result<()> {
    let run = "docker run -d --name dind --privileged -v dind:/var/lib/docker platforms dind";
    vm.ssh_within(run, secs(60))?;
    let driver = "docker exec dind docker info -f '{{.Driver}} {{.CgroupVersion}}' 2>/dev/null";
    wait_says(vm, driver, "overlay2 2\n", secs(120))?;
    run_inside(vm, "dind")?;
    // A port that is published in there, at that container's address.
    inside(vm, "dind", "docker run -d -p 8080:8080 tare/demo")?;
    let fetch = "curl -s -o /dev/null -w '%{http_code}' --retry 20 --retry-connrefused --retry-delay 1 \
        http://$(docker inspect -f '{{.NetworkSettings.IPAddress}}' dind):8080/";
    says(vm, fetch, "200")?;
    vm.ssh_within("docker rm -f -v dind && docker volume rm dind", secs(60))
        .map(drop)
}

/// Starts systemd with `options` as the container `systemd`, and waits until it is up.
fn start(vm: &Vm, options: &str) -> Result<()> {
    let run = format!(
        "docker rm -f systemd >&2; docker run -d --name systemd --privileged {options} platforms"
    );
    vm.ssh_within(&run, secs(60))?;
    // A program that `docker exec` puts beside systemd before it has its cgroups would keep it from having any.
    wait_says(vm, CONFINED, "lo 67108864\n", secs(180))?;
    let wait = "docker exec systemd systemctl is-system-running --wait >&2 || true; \
        docker exec systemd systemctl --failed --plain --no-legend";
    let failed = vm.ssh_within(wait, secs(180))?;
    ensure!(failed.is_empty(), "{failed}");
    Ok(())
}

/// What the service has said: it has a network of its own, and a limit.
const CONFINED: &str = "docker cp -q systemd:/var/lib/private/confined/said - | tar -xO";

fn systemd(vm: &Vm) -> Result<()> {
    start(vm, "-v systemd:/var/lib/docker")?;
    let driver = "docker exec systemd docker info -f '{{.Driver}} {{.CgroupDriver}}'";
    says(vm, driver, "overlay2 systemd\n")?;
    run_inside(vm, "systemd")?;
    stop(vm)
}

/// As Molecule's images for Ansible are started.
fn systemd_in_host_cgroups(vm: &Vm) -> Result<()> {
    start(
        vm,
        "--cgroupns host -v /sys/fs/cgroup:/sys/fs/cgroup:rw --tmpfs /run --tmpfs /tmp -v systemd:/var/lib/docker",
    )?;
    stop(vm)
}

/// It ends by itself when Docker asks.
fn stop(vm: &Vm) -> Result<()> {
    vm.ssh_within("docker stop -t 60 systemd >&2", secs(90))?;
    says(
        vm,
        "docker inspect -f '{{.State.ExitCode}}' systemd | grep -cvx 137; docker rm systemd >&2",
        "1\n",
    )
}
