//! Servers of one Compose project: databases, a web server behind a proxy, and what watches the machine.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, says, wait_says};
use tare_tests::{Checks, Scratch, debian};

use super::{PROJECT, inside, prepare};

const PACKAGES: [&str; 10] = [
    "base-files",
    "base-passwd",
    "busybox-static",
    "haproxy",
    "nginx",
    "postgresql-17",
    "prometheus",
    "prometheus-node-exporter",
    "redis-server",
    "tzdata",
];
/// Needed only by installation, by a web page, or by what is not used here.
const ASSUMED: [&str; 24] = [
    "adduser",
    "debconf",
    "fonts-glyphicons-halflings",
    "init-system-helpers",
    "iproute2",
    "libjs-bootstrap4",
    "libjs-eonasdan-bootstrap-datetimepicker",
    "libjs-jquery",
    "libjs-jquery-hotkeys",
    "libjs-moment",
    "libjs-moment-timezone",
    "libjs-mustache",
    "libjs-popper.js",
    "libjs-rickshaw",
    "libllvm19",
    "locales",
    "lsb-base",
    "mawk",
    "perl",
    "postgresql-client-common",
    "postgresql-common",
    "promtool",
    "ssl-cert",
    "sysvinit-utils",
];

const FILES: [(&str, &str); 2] = [
    ("Dockerfile", include_str!("servers/Dockerfile")),
    ("compose.yaml", include_str!("servers/compose.yaml")),
];

/// What Redis asks for, and PID 1's own figures.
const USER_DATA: &str = "[sysctl]\nvm.overcommit_memory = 1\n[metrics]\nlisten = '0.0.0.0:9101'\n";

pub(crate) fn do_their_work(image: &Image) -> Result<()> {
    let folder = Scratch::new("servers")?;
    let disk = debian::disk(folder.path(), &PACKAGES, &ASSUMED)?;
    let machine = Vm::of(image).direct().user_data(USER_DATA).disk(disk);
    let mut vm = machine.boot()?;
    vm.wait_ready()?;
    prepare(&vm, &FILES)?;
    compose(&vm, "build --quiet")?;
    compose(&vm, "up --detach --wait")?;
    let mut checks = Checks::default();
    checks.check("PostgreSQL", || postgres(&vm));
    checks.check("Redis", || redis(&vm));
    checks.check("nginx behind HAProxy", || web(&vm));
    checks.check("Prometheus and node-exporter", || figures(&vm));
    checks.check("power off", || power_off(&vm));
    vm = vm.machine().clone().boot()?;
    vm.wait_ready()?;
    checks.check("they come back with the machine", || {
        wait_says(&vm, TRANSACTIONS, "100\n", secs(60))?;
        wait_says(&vm, KEY, "kept\n", secs(60))?;
        wait_says(&vm, SERVED_BY, "a\nb\n", secs(60))?;
        wait_says(&vm, &query("sum(up)"), "2\n", secs(60))
    });
    checks.check("power off again", || power_off(&vm));
    let verdict = checks.verdict();
    folder.remove()?;
    verdict
}

fn compose(vm: &Vm, command: &str) -> Result<()> {
    let compose = format!("cd {PROJECT} && docker compose {command}");
    vm.ssh_within(&compose, secs(240)).map(drop)
}

/// A client in a container of its own.
const CLIENT: &str = "docker run --rm --network programs_default programs";

/// How many transactions PostgreSQL has kept.
const TRANSACTIONS: &str =
    "docker exec programs-postgres-1 psql -Atc 'select count(*) from pgbench_history'";

fn postgres(vm: &Vm) -> Result<()> {
    let pgbench = format!("{CLIENT} pgbench -h postgres -U postgres");
    vm.ssh_within(&format!("{pgbench} -i -q postgres"), secs(120))?;
    let said = vm.ssh_within(&format!("{pgbench} -c 4 -t 25 postgres"), secs(120))?;
    ensure!(said.contains("actually processed: 100/100"), "{said}");
    vm.ssh_within(
        "docker kill programs-postgres-1 && docker start programs-postgres-1",
        secs(60),
    )?;
    wait_says(vm, TRANSACTIONS, "100\n", secs(60))?;
    let recovered =
        "docker logs programs-postgres-1 2>&1 | grep -c 'automatic recovery in progress'";
    says(vm, recovered, "1\n")
}

const KEY: &str = "docker exec programs-redis-1 redis-cli get key";

fn redis(vm: &Vm) -> Result<()> {
    let benchmark = format!(
        "{CLIENT} redis-benchmark -h redis -n 1000 -c 10 -q -t set,get,lpush | tr '\\r' '\\n' | grep -c 'requests per second'"
    );
    let said = vm.ssh_within(&benchmark, secs(90))?;
    ensure!(said == "3\n", "{said:?}");
    let set = inside(vm, "programs-redis-1", "redis-cli set key kept")?;
    ensure!(set == "OK\n", "{set:?}");
    inside(vm, "programs-redis-1", "redis-cli bgsave")?;
    let saved = "docker exec programs-redis-1 redis-cli info persistence \
        | grep -c -e rdb_bgsave_in_progress:0 -e rdb_last_bgsave_status:ok -e rdb_saves:1";
    wait_says(vm, saved, "3\n", secs(30))?;
    vm.ssh_within("docker restart programs-redis-1", secs(60))?;
    wait_says(vm, KEY, "kept\n", secs(30))?;
    // Redis warns of settings of the kernel.
    says(
        vm,
        "docker logs programs-redis-1 2>&1 | grep WARNING || true",
        "",
    )
}

/// The servers that answer three requests in a row.
const SERVED_BY: &str = "for i in 1 2 3; do curl -s -o /dev/null -D - http://10.0.2.15/; done \
    | tr -d '\\r' | sed -n 's/^served-by: //p' | sort -u";

/// HAProxy asks Docker's resolver where a server is, and notices that one is gone.
fn web(vm: &Vm) -> Result<()> {
    wait_says(vm, SERVED_BY, "a\nb\n", secs(60))?;
    mentions(vm, "curl -s http://10.0.2.15/", "Welcome to nginx!")?;
    mentions(vm, "docker logs programs-a-1", "\"GET / HTTP/1.1\" 200")?;
    vm.ssh_within("docker stop programs-a-1", secs(60))?;
    wait_says(vm, SERVED_BY, "b\n", secs(60))?;
    vm.ssh_within("docker start programs-a-1", secs(60))?;
    wait_says(vm, SERVED_BY, "a\nb\n", secs(60))
}

/// A command that prints the one value that Prometheus has for `expression`.
fn query(expression: &str) -> String {
    format!(
        "curl -sG --data-urlencode 'query={expression}' http://127.0.0.1:9090/api/v1/query \
         | sed -n 's/.*,\"\\([^\"]*\\)\"\\]}}.*/\\1/p'"
    )
}

/// The machine's figures, not those of a container.
fn figures(vm: &Vm) -> Result<()> {
    wait_says(vm, &query("sum(up)"), "2\n", secs(60))?;
    for (expression, own) in [
        (
            "node_memory_MemTotal_bytes",
            "echo $(($(awk '/MemTotal/ { print $2 }' /proc/meminfo) * 1024))",
        ),
        ("count(node_cpu_seconds_total{mode=\"idle\"})", "nproc"),
        (
            "node_filesystem_size_bytes{device=\"/dev/vda4\",mountpoint=\"/state\"}",
            "df -B1 --output=size /data | tail -1",
        ),
        (
            "count(node_network_receive_bytes_total{device=\"eth0\"} > 0)",
            "echo 1",
        ),
        (
            "count(node_disk_read_bytes_total{device=\"vda\"} > 0)",
            "echo 1",
        ),
        ("tare_health{health=\"ready\"}", "echo 1"),
    ] {
        let (seen, own) = (vm.ssh(&query(expression))?, vm.ssh(own)?);
        let (seen, own) = (seen.trim_end(), own.trim_end());
        ensure!(seen == own, "{expression} is {seen:?}, not {own:?}");
    }
    Ok(())
}
