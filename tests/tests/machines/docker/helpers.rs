//! Small programs and links that stand in for what dockerd and `docker` look for.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says, wait_says};

use super::{ENGINE, FETCH, prints};

/// Where containerd keeps the bundles of dockerd's containers.
const BUNDLES: &str = "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby";

/// The container `served` of the network `b` got its network from `tare-engine`, and dockerd's answer was understood:
/// no hook since the boot was left to dockerd.
pub(super) fn network_hook(vm: &Vm) -> Result<()> {
    let id = vm.ssh("docker inspect -f '{{.Id}}' served")?;
    let id = id.trim_end();
    let hooks = hooks(vm, id)?;
    let controller = hooks[0]["args"][4].as_str().context("no controller")?;
    let dockerd = vm.ssh("pgrep -x dockerd")?;
    let dockerd = format!("/proc/{}/exe", dockerd.trim_end());
    let program = "/usr/bin/tare-engine";
    let root = "-exec-root=/run/docker";
    let args = [program, "libnetwork-setkey", root, id, controller, &dockerd];
    let want = json!([{"path": program, "args": args}]);
    ensure!(hooks == want, "{hooks} instead of {want}");

    let fetch = format!("{FETCH} http://served:8080/");
    prints(vm, "--network b", &fetch, "fetched\n")?;
    says(vm, LEFT, "0\n")?;
    without_a_container(vm, controller)
}

/// How many hooks were left to dockerd.
const LEFT: &str = "tare logs --boot 0 --service engine --grep 'leaving it to dockerd' | wc -l";

/// Those of the runtime's configuration of container `id`.
fn hooks(vm: &Vm, id: &str) -> Result<Value> {
    let read =
        format!("docker run --rm -v {BUNDLES}/{id}:/bundle:ro tare/demo cat /bundle/config.json");
    let config = vm.ssh_within(&read, secs(60))?;
    let config: Value = serde_json::from_str(&config)?;
    Ok(config["hooks"]["prestart"].clone())
}

/// dockerd reads the container's name in the message; its error is passed on, and the hook left to dockerd.
fn without_a_container(vm: &Vm, controller: &str) -> Result<()> {
    let engine = ENGINE.replace("--rm", "--rm -i");
    let hook = format!(
        "echo '{{\"pid\":1}}' | {engine} /usr/bin/tare-engine libnetwork-setkey -exec-root=/run/docker nobody \
         {controller} /no/dockerd 2>&1 || true"
    );
    mentions(vm, &hook, "failed to get sandbox for nobody")?;
    wait_says(vm, LEFT, "1\n", secs(10))
}

/// The scripts in front of plugins give the plugins' own answers, and become the plugins.
pub(super) fn plugins(vm: &Vm) -> Result<()> {
    for plugin in ["docker-buildx", "docker-compose"] {
        let ask = |folder: &str| {
            let ask = format!("{folder}/docker/cli-plugins/{plugin} docker-cli-plugin-metadata");
            vm.ssh_within(&ask, secs(60))
        };
        let (script, own) = (ask("/usr/local/libexec")?, ask("/usr/libexec")?);
        ensure!(script == own, "{plugin}: {script} instead of {own}");
    }
    let listed =
        "docker info -f '{{range .ClientInfo.Plugins}}{{.Name}} {{.Path}} {{.Err}}\n{{end}}'";
    let folder = "/usr/local/libexec/docker/cli-plugins";
    let want =
        format!("buildx {folder}/docker-buildx <nil>\ncompose {folder}/docker-compose <nil>\n\n");
    says(vm, listed, &want)?;
    mentions(vm, "docker compose version", "Docker Compose version 2.")?;
    mentions(vm, "docker buildx version", "github.com/docker/buildx")
}

/// `tare logs --container`: of both streams, of a terminal, and while the container writes.
pub(super) fn output(vm: &Vm) -> Result<()> {
    let written = "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf 'tab\\there'";
    let run = format!("docker run --name wrote tare/demo sh -c \"{written}\" >/dev/null 2>&1");
    vm.ssh_within(&run, secs(60))?;
    let terminal = "docker run -dt --name types tare/demo sh -c 'echo a; sleep 3; echo b; echo c'";
    vm.ssh_within(terminal, secs(60))?;
    // Only the texts.
    let texts = "sed 's/^[^ ]*Z //'";
    for (command, want) in [
        (
            "tare logs --container wrote",
            "wrote: out\nwrote: err\nwrote: tab\there\n",
        ),
        ("tare logs --container wrote -n 1", "wrote: tab\there\n"),
        (
            "tare logs --container $(docker ps -aqf name=wrote) --grep '^.*t$' -n 1",
            "wrote: out\n",
        ),
        (
            "tare logs --container wrote --since 2100-01-01T00:00:00Z",
            "",
        ),
        (
            "tare logs --container types -f --grep '[bc]'",
            "types: b\ntypes: c\n",
        ),
        (
            "tare logs --container none-such 2>&1; echo $?",
            "tare: there is no container `none-such`\n1\n",
        ),
    ] {
        says(vm, &format!("({command}) | {texts}"), want)?;
    }
    let json = "tare logs --container wrote --json | sed -n 2p | cut -d, -f2-";
    let want = r#""container":"wrote","stream":"stderr","text":"err"}"#;
    says(vm, json, &format!("{want}\n"))?;
    let silent = "docker run --name silent --log-driver none tare/demo echo no >/dev/null; tare logs --container silent 2>&1; echo $?";
    let want = "tare: the log driver of container `silent` is `none`, which keeps no output\n1\n";
    says(vm, silent, want)?;
    vm.ssh_within("docker rm -f wrote types silent", secs(60))
        .map(drop)
}

/// The log driver's default address is the machine's log.
pub(super) fn syslog(vm: &Vm) -> Result<()> {
    let run = "docker run --rm --log-driver syslog --log-opt tag=spoken tare/demo sh -c 'echo out; echo err >&2'";
    vm.ssh_within(run, secs(60))?;
    for (priority, text) in [(6, "out"), (3, "err")] {
        let count = format!(
            "tare logs --service spoken --json | grep -c '\"priority\":{priority},.*\"stream\":\"syslog\",.*: {text}\"'"
        );
        wait_says(vm, &count, "1\n", secs(10))?;
    }
    Ok(())
}

/// Opens connections that last for the next minute.
const HELD: &str =
    "(exec 3<>/dev/tcp/10.0.2.15/8080 4<>/dev/tcp/10.0.2.15/8080; sleep 300) >/dev/null 2>&1 &";

/// Is root of the host's network; its `/proc/sys` is writable.
const HOST: &str = "--privileged --net host";

const MOST: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// New connections to ssh are accepted while the kernel tracks as many as it may, and refuses others.
pub(super) fn a_full_table_of_connections(vm: &Vm) -> Result<()> {
    let most = vm.ssh_within(
        &format!("docker run --rm {HOST} tare/demo cat {MOST}"),
        secs(60),
    )?;
    let memory = vm.ssh("awk '/^MemTotal:/ { print int($2 / 16) }' /proc/meminfo")?;
    ensure!(most == memory, "{most:?} instead of {memory:?}");
    vm.ssh(HELD)?;
    prints(vm, HOST, &format!("echo 1 > {MOST}"), "")?;
    let fetched =
        vm.ssh("curl -m 5 -so /dev/null http://10.0.2.15:8080/ && echo fetched || echo no");
    let login = vm.login("echo in", secs(45));
    prints(vm, HOST, &format!("echo {} > {MOST}", most.trim_end()), "")?;
    let (fetched, login) = (fetched?, login?);
    ensure!((&*fetched, &*login) == ("no\n", "in\n"), "{fetched}{login}");
    says(
        vm,
        "curl -m 30 -so /dev/null http://10.0.2.15:8080/ && echo fetched",
        "fetched\n",
    )
}
