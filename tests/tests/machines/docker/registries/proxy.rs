//! A proxy in a container, tinyproxy: only it knows the name of the registry without TLS.

use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says};

use super::write;
use crate::docker::FETCH;

pub(super) const PROXY: &str = "http://10.0.2.15:3128";
/// The registry `plain`, which has the image `private`.
pub(super) const NAME: &str = "proxied.example:5003";

const CONFIG: &str = "Port 3128\nLogLevel Connect\n";

const CURL: &str = "http_proxy=http://10.0.2.15:3128 curl -sf -o /dev/null";

/// What the registry calls the image's manifest.
const DIGEST: &str = "curl -sfI -u 'u:right word' -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    http://10.0.2.15:5003/v2/private/manifests/latest | tr -d '\\r' | sed -n 's/^Docker-Content-Digest: //p'";

/// Of a client: for its containers, and steps of its builds.
const CLIENT: &str = r#"{"proxies": {"default": {"httpProxy": "http://10.0.2.15:3128"}}}"#;

pub(super) fn serve(vm: &Vm) -> Result<()> {
    write(vm, "tinyproxy.conf", CONFIG)?;
    let run = "docker run -d --name proxy -p 3128:3128 --add-host proxied.example:10.0.2.15 \
        -v /srv/registries:/files:ro registry tinyproxy -d -c /files/tinyproxy.conf";
    vm.ssh_within(run, secs(60))?;
    // Asked for itself, it would ask itself.
    let answers = format!("until {CURL} http://{NAME}/; do sleep 1; done");
    vm.ssh_within(&answers, secs(60)).map(drop)
}

/// The engine tries TLS first, through the proxy, too.
pub(super) fn pulls(vm: &Vm) -> Result<()> {
    let login =
        format!("echo 'right word' | docker login -u u --password-stdin {NAME} 2>&1 || true");
    mentions(vm, &login, "Login Succeeded")?;
    // By its digest: tinyproxy passes on one of several headers `Accept`, so a tag would get a manifest of the first version.
    let digest = vm.ssh(DIGEST)?;
    let digest = digest.trim();
    let image = format!("{NAME}/private@{digest}");
    let said = vm.ssh_within(&format!("docker pull -q {image}"), secs(90))?;
    ensure!(said == format!("{image}\n"), "{said:?}");
    let connect = format!("CONNECT {NAME}");
    let manifest = format!("http://{NAME}/v2/private/manifests/{digest}");
    for asked in [connect, manifest] {
        mentions(vm, "docker logs proxy 2>&1", &asked)?;
    }
    let build = format!("echo 'FROM {image}' | docker build -q -t from-proxied -");
    vm.ssh_within(&build, secs(120)).map(drop)
}

/// What is typed in a login.
pub(super) fn login(vm: &Vm) -> Result<()> {
    let curl = format!("export http_proxy={PROXY}; curl -s -o /dev/null -w '%{{http_code}}'");
    says(vm, &format!("{curl} http://{NAME}/v2/"), "401")
}

pub(super) fn containers(vm: &Vm) -> Result<()> {
    write(vm, "client/config.json", CLIENT)?;
    let client = "DOCKER_CONFIG=/srv/registries/client";
    let run = format!("{client} docker run --rm tare/demo sh -c '{FETCH} http://{NAME}/'");
    let said = vm.ssh_within(&run, secs(60))?;
    ensure!(said == "fetched\n", "{said:?}");
    let build = format!(
        "printf 'FROM tare/demo\\nRUN wget -T 5 -qO /dev/null http://{NAME}/\\n' | {client} docker build -q -"
    );
    vm.ssh_within(&build, secs(120)).map(drop)
}
