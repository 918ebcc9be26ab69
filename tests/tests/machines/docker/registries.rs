//! Real registries, Debian's, in containers: with a CA of their own, with one of the machine's, and without TLS. And the
//! engine itself over TLS, and a registry that only a proxy knows.

mod proxy;

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, says, wait_service, well_on_the_console};
use tare_tests::{Checks, Scratch, certificates, debian};

use proxy::{NAME, PROXY};

/// The machine's address: dockerd takes those of 127.0.0.0/8 without TLS.
const HOST: &str = "10.0.2.15";

/// Needed only by installation.
const ASSUMED: [&str; 3] = ["adduser", "debconf", "init-system-helpers"];

/// The user `u` with the password `right word` (bcrypt, of the least cost).
const HTPASSWD: &str = "u:$2b$04$n4xhnSUJplbn8s0OyNE.A.QhB6eblZ0xWSOvfw03EWkONWPNyRxWm";
const LOGIN: &str = "auth: { htpasswd: { realm: tests, path: /files/htpasswd } }";

/// `own` is at 5001, and at 5004, of which user-data knows nothing; `wide`, without a login, at 5002; `plain`, without
/// TLS, at 5003. The engine has the certificate of `own`, and knows its clients by `wide`.
fn user_data(own: &str, wide: &str, certificate: &str, key: &str) -> String {
    format!(
        r#"
ca-certificates = ['''{wide}''']

[engine]
proxies = {{ http-proxy = "{PROXY}", https-proxy = "{PROXY}", no-proxy = "10.0.2.15" }}
hosts = ["tcp://10.0.2.15:2376"]
tlsverify = true
tlscacert = '''{wide}'''
tlscert = '''{certificate}'''
tlskey = '''{key}'''

[registries."10.0.2.15:5001"]
ca = '''{own}'''
username = "u"
password = "right word"

[registries."10.0.2.15:5003"]
insecure = true
username = "u"
password = "wrong word"

[registries."{NAME}"]
insecure = true

[registries."docker.io"]
mirrors = ["https://10.0.2.15:5002"]

[apps.private.services.w]
image = "10.0.2.15:5001/private"
command = ["sleep", "9999"]

[apps.refused.services.w]
image = "10.0.2.15:5003/never-pushed"
command = ["sleep", "9999"]
"#
    )
}

pub(crate) fn of_every_kind(image: &Image) -> Result<()> {
    let folder = Scratch::new("registries")?;
    let packages = ["docker-registry", "tinyproxy-bin"];
    let disk = debian::disk(folder.path(), &packages, &ASSUMED)?;
    let (own, wide) = (folder.path().join("own"), folder.path().join("wide"));
    for made in [&own, &wide] {
        fs::create_dir(made)?;
    }
    certificates::make(&own, "own", HOST)?;
    certificates::make(&wide, "wide", HOST)?;
    let read = |made: &Path, name| fs::read_to_string(made.join(name));
    let user_data = user_data(
        &read(&own, "ca.pem")?,
        &read(&wide, "ca.pem")?,
        &read(&own, "server.pem")?,
        &read(&own, "server.key")?,
    );
    let machine = Vm::of(image).direct().user_data(&user_data).disk(disk);
    let vm = machine.boot()?;
    vm.wait_ready()?;
    debian::import(&vm, "/dev/vdb", "registry")?;
    write(&vm, "htpasswd", HTPASSWD)?;
    for (name, made) in [("own", &own), ("wide", &wide)] {
        for file in ["ca.pem", "server.pem", "server.key"] {
            let text = fs::read_to_string(made.join(file))?;
            write(&vm, &format!("{name}.{file}"), &text)?;
        }
    }
    serve(&vm, "own", &[5001, 5004], true, LOGIN)?;
    serve(&vm, "wide", &[5002], true, "")?;
    serve(&vm, "plain", &[5003], false, LOGIN)?;
    let mut checks = Checks::default();
    checks.check("a CA of its own, and a login", || own_ca(&vm));
    checks.check("without TLS", || without_tls(&vm));
    checks.check("a CA that is not in user-data", || unknown_ca(&vm));
    checks.check("a CA of the machine", || machines_ca(&vm));
    checks.check("a mirror, and builds", || mirror(&vm));
    checks.check("apps", || apps(&vm));
    checks.check("a proxy, for the engine", || {
        proxy::serve(&vm)?;
        proxy::pulls(&vm)
    });
    checks.check("a proxy, for logins", || proxy::login(&vm));
    checks.check("a proxy, for containers and builds", || {
        proxy::containers(&vm)
    });
    checks.check("the engine over TLS", || engine(&vm));
    checks.check("power off", || power_off(&vm));
    let verdict = checks.verdict();
    folder.remove()?;
    verdict
}

fn write(vm: &Vm, name: &str, text: &str) -> Result<()> {
    let path = format!("/srv/registries/{name}");
    vm.ssh(&format!(
        "mkdir -p $(dirname {path}) && cat > {path} <<'END'\n{text}\nEND"
    ))
    .map(drop)
}

/// Starts the registry `name` at `ports`, and waits until it answers.
fn serve(vm: &Vm, name: &str, ports: &[u16], has_tls: bool, auth: &str) -> Result<()> {
    let (scheme, tls) = match has_tls {
        true => (
            "https",
            format!(
                "  tls: {{ certificate: /files/{name}.server.pem, key: /files/{name}.server.key }}\n"
            ),
        ),
        false => ("http", String::new()),
    };
    let config = format!(
        "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: /registry }} }}\nhttp:\n  addr: ':5000'\n{tls}{auth}"
    );
    write(vm, &format!("{name}.yml"), &config)?;
    let published: String = ports
        .iter()
        .map(|port| format!("-p {port}:5000 "))
        .collect();
    let run = format!(
        "docker run -d --name {name} {published} -v /srv/registries:/files:ro registry \
         docker-registry serve /files/{name}.yml"
    );
    vm.ssh_within(&run, secs(60))?;
    for port in ports {
        let url = format!("{scheme}://{HOST}:{port}/v2/");
        vm.ssh_within(
            &format!("until curl -sk -o /dev/null {url}; do sleep 1; done"),
            secs(60),
        )?;
    }
    Ok(())
}

fn login(vm: &Vm, port: u16, password: &str, want: &str) -> Result<()> {
    let login = format!(
        "echo '{password}' | docker login -u u --password-stdin {HOST}:{port} 2>&1 || true"
    );
    mentions(vm, &login, want)
}

/// Pushes the demo as `name`, and keeps no copy.
fn push(vm: &Vm, name: &str) -> Result<()> {
    let push = format!("docker tag tare/demo {name} && docker push -q {name} && docker rmi {name}");
    vm.ssh_within(&push, secs(120)).map(drop)
}

fn own_ca(vm: &Vm) -> Result<()> {
    let private = format!("{HOST}:5001/private");
    let pull = format!("docker pull {private} 2>&1 || true");
    mentions(vm, &pull, "no basic auth credentials")?;
    login(vm, 5001, "wrong word", "401 Unauthorized")?;
    login(vm, 5001, "right word", "Login Succeeded")?;
    push(vm, &private)?;
    let again = format!("{HOST}:5001/again");
    push(vm, &again)?;
    let pull = format!("docker pull -q {again} && docker rmi -f {again} >&2");
    let said = vm.ssh_within(&pull, secs(90))?;
    ensure!(said == format!("{again}:latest\n"), "{said:?}");
    Ok(())
}

fn without_tls(vm: &Vm) -> Result<()> {
    login(vm, 5003, "right word", "Login Succeeded")?;
    push(vm, &format!("{HOST}:5003/private"))
}

/// One registry's CA counts for that registry alone.
fn unknown_ca(vm: &Vm) -> Result<()> {
    let pull = format!("docker pull {HOST}:5004/private 2>&1 || true");
    mentions(vm, &pull, "certificate signed by unknown authority")?;
    let curl = format!("curl -sS https://{HOST}:5001/v2/ 2>&1 || true");
    mentions(vm, &curl, "curl: (60)")
}

/// Trusted by the engine, and by programs in sessions. The container has the file that it asked for.
fn machines_ca(vm: &Vm) -> Result<()> {
    push(vm, &format!("{HOST}:5002/library/mirrored"))?;
    push(vm, &format!("{HOST}:5002/library/base"))?;
    let curl = format!("curl -sSf https://{HOST}:5002/v2/");
    says(vm, &curl, "{}")?;
    well_on_the_console(vm, &curl)?;
    let inspect = format!("docker manifest inspect {HOST}:5002/library/mirrored");
    mentions(vm, &inspect, "schemaVersion")?;
    let count = "docker run --rm -v /run/host/ca-certificates.crt:/ca.crt:ro tare/demo grep -c BEGIN /ca.crt";
    let said = vm.ssh_within(count, secs(60))?;
    ensure!(said == "1\n", "{said:?}");
    // Those of the image are trusted too.
    says(
        vm,
        "[ $(grep -c BEGIN /run/ca-certificates.crt) -gt 100 ] && echo more",
        "more\n",
    )
}

/// Docker Hub itself is not asked: the machine of a test has no way there.
fn mirror(vm: &Vm) -> Result<()> {
    let said = vm.ssh_within("docker pull -q mirrored", secs(90))?;
    ensure!(said == "docker.io/library/mirrored:latest\n", "{said:?}");
    let build = format!(
        "docker build -t built - <<'END'\nFROM {HOST}:5001/again\nCOPY --from=base /bin/busybox /copied\nEND"
    );
    vm.ssh_within(&build, secs(180))?;
    let run = "docker run --rm built ls /copied";
    let said = vm.ssh_within(run, secs(60))?;
    ensure!(said == "/copied\n", "{said:?}");
    Ok(())
}

/// By the password of user-data, not that of the session.
fn apps(vm: &Vm) -> Result<()> {
    vm.ssh_within("tare service restart app.private", secs(120))?;
    wait_service(vm, "app.private", "done", secs(120))?;
    let inspect = "docker inspect -f '{{.Config.Image}} {{.State.Status}}' private-w-1";
    says(vm, inspect, "10.0.2.15:5001/private running\n")?;
    vm.ssh_within("tare service restart --no-wait app.refused", secs(60))?;
    let refused = "until tare logs --service app.refused | grep -qi unauthorized; do sleep 1; done";
    vm.ssh_within(refused, secs(90))?;
    says(vm, "docker ps -aq --filter name=refused-w", "")
}

/// For clients with a certificate of the CA that user-data names, and for no others.
fn engine(vm: &Vm) -> Result<()> {
    let client = |name: &str| {
        format!(
            "cd /srv/registries; docker --tlsverify --tlscacert own.ca.pem --tlscert {name}.server.pem \
             --tlskey {name}.server.key -H tcp://{HOST}:2376 version -f '{{{{.Server.Os}}}}' 2>&1 || true"
        )
    };
    says(vm, &client("wide"), "linux\n")?;
    mentions(vm, &client("own"), "remote error: tls: ")?;
    let plain = format!("docker -H tcp://{HOST}:2376 version 2>&1 || true");
    mentions(vm, &plain, "HTTP request to an HTTPS server")?;
    // The key is root's alone.
    let mode = "tare toolbox -- sh -c 'stat -c \"%a %u\" /proc/$(pgrep -o dockerd)/root/run/tare-engine/tlskey.pem'";
    says(vm, mode, "600 0\n")
}
