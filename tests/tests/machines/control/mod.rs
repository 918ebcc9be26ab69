//! The control socket and the `tare` command, on a machine.

mod command;
mod remote;
mod socket;
mod toolbox;

use anyhow::{Result, ensure};
use serde_json::Value;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says, wait_apps, wait_off, wait_service};
use tare_tests::{Checks, examples, user_data};

/// The page whose examples are run.
const PAGE: &str = include_str!("../../../../docs/tare-command.md");
/// Configuration that the services that are off by default need.
const ALL_SERVICES: &str = "\
    [metrics]\nlisten = '127.0.0.1:9100'\n[log.forward]\nto = 'udp://127.0.0.1:514'\n";
/// Runs the following command as a user other than root.
const SOMEBODY: &str = "setpriv --reuid 1000 --regid 1000 --clear-groups";

pub(crate) fn the_command_and_its_socket(image: &Image) -> Result<()> {
    let vm = boot(image, &format!("{}{ALL_SERVICES}", user_data::DEMO))?;
    wait_apps(&vm)?;
    let mut checks = Checks::default();
    checks.check("status as JSON", || command::status(&vm));
    checks.check("services as JSON", || command::list(&vm));
    for example in examples::of(PAGE) {
        checks.check(&example.command, || examples::run(&vm, &example));
    }
    checks.check("a picture of the boot", || {
        mentions(
            &vm,
            "tare boot plot",
            "<svg xmlns=\"http://www.w3.org/2000/svg\"",
        )
    });
    checks.check("what services may do", || command::rights(&vm));
    checks.check("exit statuses", || command::exit_statuses(&vm));
    checks.check("programs in containers", || command::exec(&vm));
    checks.check("others may nothing", || command::others_may_nothing(&vm));
    checks.check("colours on a terminal only", || command::colors(&vm));
    checks.check("top on a terminal", || command::top(&vm));
    checks.check("a program on a terminal", || command::exec_on_terminal(&vm));
    checks.check("all as JSON", || command::all_as_json(&vm));
    checks.check("events that follow", || command::follow_events(&vm));
    checks.check("completions", || command::completions(&vm));
    checks.check("manual pages", || {
        mentions(
            &vm,
            "mman tare-service-restart | cat",
            "Stops and starts a service",
        )
    });
    checks.check("varlinkctl and hostile clients", || socket::all(&vm));
    checks.check("from another machine", || remote::all(image, &vm));
    checks.check("the toolbox", || toolbox::all(&vm));
    checks.check("power off", || {
        vm.ssh_to_the_end("tare poweroff")?;
        wait_off(&vm)
    });
    checks.verdict()
}

pub(crate) fn others_may_see_the_status(image: &Image) -> Result<()> {
    let vm = boot(image, "[control]\nothers = 'status'\n")?;
    let mut checks = Checks::default();
    checks.check("status", || {
        let command = format!("{SOMEBODY} tare status --json");
        let status: Value = serde_json::from_str(&vm.ssh(&command)?)?;
        ensure!(status["hostname"] == "tare", "{status}");
        Ok(())
    });
    checks.check("and nothing else", || {
        let denied = "tare: permission denied: only root and the group `tare` may\n4\n";
        for command in [
            "reboot",
            "service show ssh",
            "service stop time",
            "events -f",
        ] {
            let command = format!("{SOMEBODY} tare {command} 2>&1; echo $?");
            says(&vm, &command, denied)?;
        }
        Ok(())
    });
    // The apps are loaded into the engine, which is stopped next.
    wait_apps(&vm)?;
    checks.check("a required service that is stopped", || degraded(&vm));
    checks.check("reboot", || reboot(&vm));
    checks.verdict()
}

pub(crate) fn figures_for_prometheus(image: &Image) -> Result<()> {
    let vm = boot(
        image,
        &format!(
            "{}[metrics]\nlisten = '127.0.0.1:9100'\n",
            user_data::NO_ENGINE
        ),
    )?;
    wait_service(&vm, "metrics", "ready", secs(30))?;
    let page = "curl --silent --show-error http://127.0.0.1:9100";
    for line in [
        "tare_health{health=\"ready\"} 1",
        "tare_service_state{service=\"metrics\",state=\"ready\"} 1",
        "tare_service_starts_total{service=\"ssh\"} 1",
        "# TYPE tare_service_cpu_seconds_total counter",
    ] {
        mentions(&vm, &format!("{page}/metrics"), line)?;
    }
    says(&vm, &format!("{page}/"), "metrics are at /metrics\n")?;
    // A service that answers the network may read the status, and no more.
    let audit = vm.ssh("tare service audit metrics")?;
    let none = !audit.contains("permitted") && !audit.contains("ext4");
    ensure!(none, "{audit}");
    vm.kill()
}

fn boot(image: &Image, user_data: &str) -> Result<Vm> {
    let vm = Vm::of(image)
        .direct()
        .exit_on_reboot()
        .user_data(user_data)
        .boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(10))?;
    Ok(vm)
}

fn degraded(vm: &Vm) -> Result<()> {
    says(vm, "tare service stop engine", "engine is stopped\n")?;
    says(vm, "tare status --check >/dev/null; echo $?", "5\n")?;
    mentions(vm, "tare status", "  engine is stopped, and required\n")?;
    says(vm, "tare service start engine", "engine is ready\n")?;
    says(vm, "tare status --check >/dev/null; echo $?", "0\n")
}

fn reboot(vm: &Vm) -> Result<()> {
    vm.ssh_to_the_end("tare reboot")?;
    let exit = vm.wait_exit(secs(45))?;
    let reason = exit.reason.as_deref();
    ensure!(reason == Some("guest-reset"), "it did not reboot: {exit:?}");
    Ok(())
}
