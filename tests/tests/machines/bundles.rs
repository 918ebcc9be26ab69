//! The image's services are OCI bundles: other runtimes run them too.

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::secs;
use tare_tests::{Checks, Scratch, foreign};

/// Every service of the image. Their namespaces are all either new or the host's, and a runtime that is root on its
/// host can provide both.
const SERVICES: [&str; 14] = [
    "app", "apps", "console", "dhcp", "engine", "forward", "job", "log", "metrics", "ssh",
    "storage", "time", "toolbox", "trim",
];

/// The limit of PID 1's size on disk, in bytes: 4.5 MiB.
const PID_1: u64 = 9 << 19;

pub(crate) fn run_under_other_runtimes(image: &Image) -> Result<()> {
    let folder = Scratch::new("foreign")?;
    let vm = foreign::guest(image, folder.path())?.boot()?;
    vm.wait_line("bundles: done", secs(60))?;
    let console = vm.console().text();
    vm.kill()?;
    let mut checks = Checks::default();
    checks.check("PID 1 is small", || pid_1_is_small(&console));
    for runtime in ["runc", "crun"] {
        for service in SERVICES {
            let start = format!("bundle: {runtime} {service} ");
            checks.check(&start, || ran(&console, &start, runtime));
        }
    }
    checks.verdict().with_context(|| console.clone())?;
    folder.remove()
}

/// Checks that the runtime executed a program of the service.
fn ran(console: &str, start: &str, runtime: &str) -> Result<()> {
    // The prompt of the service `console` may stand before it.
    let verdict = console.lines().find_map(|line| line.split_once(start));
    let verdict = verdict.map(|(_, verdict)| verdict);
    let program = verdict.and_then(|verdict| verdict.strip_prefix("ran "));
    ensure!(
        program.is_some_and(|name| !name.starts_with(runtime)),
        "{verdict:?}"
    );
    Ok(())
}

fn pid_1_is_small(console: &str) -> Result<()> {
    let size = console.lines().find_map(|line| line.strip_prefix("init: "));
    let bytes: u64 = size.context("no size")?.parse()?;
    ensure!(bytes <= PID_1, "{bytes} bytes");
    Ok(())
}
