//! The engine ends in every way, and its containers keep running.

mod places;
mod poll;

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::{Builder, Vm, secs};
use tare_tests::guest::{
    fetch_page, mentions, power_off, require_no_failed_service, require_no_orphans, run_container,
    says, wait_apps, wait_says, wait_service,
};
use tare_tests::{Checks, Scratch, disk, note, user_data};

/// Writes a line a second, and another one to its volume on SIGTERM.
const TICKER: &str = "docker run -d --name ticker --restart unless-stopped -v notes:/notes tare/demo sh -c '\
    trap \"echo stopped >> /notes/end; exit 0\" TERM; i=0; while true; do i=$((i+1)); echo tick $i; sleep 1; done'";

/// Ways to end a daemon of the engine, or all of it: the check's name, the process, the command.
const ENDS: [(&str, &str, &str); 5] = [
    ("dockerd is killed", "dockerd", KILL),
    ("containerd is killed", "containerd", KILL),
    ("the service is killed", "tare-engine", KILL),
    ("the service ends", "tare-engine", "kill -TERM $old"),
    (
        "the service is restarted",
        "tare-engine",
        "tare service restart engine",
    ),
];
const KILL: &str = "kill -KILL $old";
/// How many of these kill dockerd.
const KILLS: usize = 2;

pub(crate) fn restarts_without_its_containers(image: &Image) -> Result<()> {
    let folder = Scratch::new("engine")?;
    let machine = || demo(Vm::of(image).direct().keep_in(folder.path()));
    let mut checks = Checks::default();
    let vm = machine().boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    vm.ssh_within(TICKER, secs(30))?;
    checks.check("reached from inside", || reached_from_inside(&vm));
    for (what, program, command) in ENDS {
        checks.check(what, || survive(&vm, program, command));
    }
    checks.check("use it afterwards", || use_it(&vm));
    checks.check("processes are where they belong", || places::cgroups(&vm));
    checks.check("the socket is dockerd's", || places::socket(&vm));
    checks.check("no rule is left", || places::rules(&vm));
    checks.check("no mount is left", || no_mount_is_left(&vm));
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("no orphan", || require_no_orphans(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    vm.kill()?;
    let vm = machine().boot()?;
    vm.wait_ready()?;
    checks.check("containers were stopped in order", || stopped(&vm));
    checks.check("and are started again", || started_again(&vm));
    checks.check("power off again", || power_off(&vm));
    checks.verdict()?;
    folder.remove()
}

fn demo(machine: Builder) -> Builder {
    machine.user_data(user_data::DEMO).forward(80)
}

fn reached_from_inside(vm: &Vm) -> Result<()> {
    for name in ["127.0.0.1", "localhost", "10.0.2.15"] {
        mentions(vm, &format!("curl -s -m 20 http://{name}/"), "Tare")?;
    }
    Ok(())
}

/// Ends `program` by `command`, waits until the engine answers again, and checks that users of the containers notice
/// nothing.
fn survive(vm: &Vm, program: &str, command: &str) -> Result<()> {
    let before = containers(vm)?;
    let port = vm.port(80).context("port 80 is not forwarded")?;
    let patience = vm.scaled(secs(10));
    let (back, answers) = poll::while_doing(port, patience, || end_and_wait(vm, program, command));
    back?;
    note(&format!(
        "        {} answers, {} failed; the slowest took {:.2} s",
        answers.good,
        answers.bad.len(),
        answers.slowest.as_secs_f64()
    ));
    ensure!(answers.bad.is_empty(), "{:?}", answers.bad);
    ensure!(answers.good > 0, "there was no question");
    let after = containers(vm)?;
    ensure!(before == after, "there was {before}\nand is {after}");
    says(vm, "docker exec ticker echo well", "well\n")?;
    log_is_whole(vm)
}

/// Names and process ids.
fn containers(vm: &Vm) -> Result<String> {
    vm.ssh("docker ps -q | xargs docker inspect -f '{{.Name}} {{.State.Pid}} {{.RestartCount}}'")
}

/// The engine answers once both daemons do: `docker top` asks containerd.
fn end_and_wait(vm: &Vm, program: &str, command: &str) -> Result<()> {
    let again = format!(
        "old=$(pgrep -x {program}) && {command} >&2 &&
        until new=$(pgrep -x {program}) && [ $new != $old ] && docker top ticker; do sleep 0.1; done"
    );
    vm.ssh_within(&again, secs(60))?;
    wait_service(vm, "engine", "ready", secs(60))
}

/// No line is duplicated. None is missing except one for each time that dockerd was killed, which it had read but not
/// yet written. That is dockerd's problem.
fn log_is_whole(vm: &Vm) -> Result<()> {
    let log = vm.ssh("docker logs ticker")?;
    let number = |line: &str| line.strip_prefix("tick ")?.parse::<usize>().ok();
    let numbers: Option<Vec<usize>> = log.lines().map(number).collect();
    let numbers = numbers.with_context(|| format!("the log is {log}"))?;
    let last = *numbers.last().context("the log is empty")?;
    ensure!(
        numbers.is_sorted_by(|a, b| a < b) && last - numbers.len() <= KILLS,
        "the log is {log}"
    );
    Ok(())
}

/// What users do with containers that an earlier engine process started.
fn use_it(vm: &Vm) -> Result<()> {
    vm.ssh_within("docker run -d --name other tare/demo sleep 1000", secs(60))?;
    end_and_wait(vm, "tare-engine", KILL)?;
    vm.ssh_within(
        "docker cp other:/etc/passwd - > /dev/null && docker pause other && docker unpause other",
        secs(30),
    )?;
    vm.ssh_within(
        "docker restart -t 1 other && docker stop -t 1 other && docker rm other",
        secs(60),
    )?;
    run_container(vm)?;
    fetch_page(vm)
}

/// Host mounts of containers that are gone: two run, each with one root and one network.
fn no_mount_is_left(vm: &Vm) -> Result<()> {
    // `default` is the host's own network, which dockerd keeps from the first container with `--net host` on.
    let count = "grep -v /netns/default /proc/1/mountinfo | grep -c -e ' - overlay ' -e ' - nsfs '";
    wait_says(vm, count, "4\n", secs(30))
}

/// Each container received SIGTERM, and had enough time.
fn stopped(vm: &Vm) -> Result<()> {
    let read = "docker run --rm -v notes:/notes tare/demo cat /notes/end";
    let notes = vm.ssh_within(read, secs(60))?;
    ensure!(notes == "stopped\n", "the notes are {notes:?}");
    Ok(())
}

/// Containers that no user stopped run after a reboot.
fn started_again(vm: &Vm) -> Result<()> {
    mentions(vm, "docker ps --format '{{.Names}}'", "ticker")?;
    fetch_page(vm)
}

pub(crate) fn a_power_cut_while_a_container_starts_leaves_its_port_free(
    image: &Image,
) -> Result<()> {
    let folder = Scratch::new("power-cut")?;
    let machine = || {
        let machine = Vm::of(image).direct().keep_in(folder.path());
        machine.user_data("").forward(8080)
    };
    let vm = machine().boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    vm.ssh_within(HALF_START, secs(60))?;
    vm.kill()?;
    let vm = machine().boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("the container starts", || {
        vm.ssh_within("docker start web", secs(60)).map(drop)
    });
    checks.check("and is reached", || {
        vm.wait_http(8080, "/", secs(30)).map(drop)
    });
    checks.check("its network is there", || {
        vm.ssh("docker network inspect shop").map(drop)
    });
    checks.check("the engine reports it", || {
        mentions(
            &vm,
            "cat /var/log/tare/current.log",
            "restarting dockerd: it still holds ports",
        )
    });
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("power off", || power_off(&vm));
    checks.verdict()?;
    folder.remove()
}

/// dockerd has recorded the container's endpoint and taken its port when it asks containerd for the container.
/// containerd does not answer, and the request stays in the socket.
const HALF_START: &str = "
    docker network create shop
    docker create --name web --network shop -p 8080:8080 tare/demo
    kill -STOP $(pgrep -x containerd)
    docker start web > /dev/null 2>&1 &
    until ss -xH src /run/docker/containerd/containerd.sock | awk '$3 > 0 { found = 1 } END { exit !found }'
    do sleep 0.1; done
    kill $!";
