//! Jobs of user-data.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::{mentions, power_off, says, wait_says};

/// Jobs that are due every few seconds, one that fails, one that takes longer than the time between two runs, and one that would
/// not end.
const JOBS: &str = r#"
[jobs.writes]
schedule = "*:*:0/10"
image = "tare/demo"
args = ["sh", "-c", "echo $GREETING >> /files/said; echo written"]
environment = { GREETING = "hi" }
volumes = ["/srv/jobs:/files", "kept:/kept"]

[jobs.fails]
schedule = "*:*:0/10"
image = "tare/demo"
args = ["sh", "-c", "exit 3"]

[jobs.long]
schedule = "*:*:0/5"
image = "tare/demo"
args = ["sleep", "12"]
network = "none"

[jobs.hangs]
schedule = "yearly"
image = "tare/demo"
args = ["sleep", "9999"]
timeout = "5s"

[jobs.missed]
schedule = "*:*:0/20"
image = "tare/demo"
args = ["true"]
catch-up = true

[jobs.absent]
schedule = "yearly"
image = "no-such-image"
pull-policy = "never"

[services.engine.lifecycle]
start = "on-demand"
"#;

/// It runs until it is told to end.
const LATER: &str = "{ schedule = 'yearly', image = 'tare/demo', args = ['sleep', '9999'] }";

pub(crate) fn run_at_their_times(image: &Image) -> Result<()> {
    let mut vm = Vm::of(image).direct().user_data(JOBS).boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check(
        "a job that is due wakes the engine, again and again",
        || {
            vm.ssh_within(
                "until [ $(grep -c '^hi$' /srv/jobs/said) -ge 2 ]; do sleep 0.5; done",
                secs(90),
            )?;
            mentions(&vm, "tare job logs writes", "written")?;
            says(&vm, "docker volume ls -qf name=kept", "kept\n")
        },
    );
    checks.check(
        "a job that fails is shown, and the machine is ready",
        || failed(&vm),
    );
    checks.check("two runs of a job are never at a time", || overlap(&vm));
    checks.check("a run that somebody asks for", || by_hand(&vm));
    checks.check("a run that takes too long", || {
        let run = "tare job run hangs 2>&1; docker ps -aqf name=job.hangs | wc -l";
        let said = vm.ssh_within(run, secs(90))?;
        ensure!(
            said == "tare: job.hangs ended with status 143\n0\n",
            "{said:?}"
        );
        Ok(())
    });
    checks.check("a job that is taken away while it runs", || taken_away(&vm));
    checks.check("power off", || power_off(&vm));
    vm = vm.machine().clone().boot()?;
    vm.wait_ready()?;
    checks.check("a run that was missed is made up for, once", || {
        let log = "tare job logs missed --boot 0 | grep -c 'was due while the machine was off'";
        wait_says(&vm, log, "1\n", secs(90))?;
        let again = "tare job run missed && tare job run missed";
        vm.ssh_within(again, secs(90))?;
        says(&vm, log, "1\n")
    });
    checks.check("power off again", || power_off(&vm));
    checks.verdict()
}

fn failed(vm: &Vm) -> Result<()> {
    let state = "tare job list | grep -c '^fails  *failed .*ended with status 3'";
    wait_says(vm, state, "1\n", secs(60))?;
    says(vm, "tare status --check >/dev/null; echo $?", "0\n")
}

fn overlap(vm: &Vm) -> Result<()> {
    let skipped = "tare logs --service tare | grep -c 'job.long: was due while it ran' | sed 's/[1-9].*/some/'";
    wait_says(vm, skipped, "some\n", secs(60))?;
    let most = "for n in $(seq 30); do docker ps -qf name=job.long | wc -l; sleep 0.5; done | sort -n | tail -1";
    let most = vm.ssh_within(most, secs(90))?;
    ensure!(most == "1\n", "{most:?}");
    Ok(())
}

fn by_hand(vm: &Vm) -> Result<()> {
    for (job, want) in [
        ("writes", "job.writes is done\n0\n"),
        ("fails", "tare: job.fails ended with status 3\n1\n"),
    ] {
        let said = vm.ssh_within(&format!("tare job run {job} 2>&1; echo $?"), secs(90))?;
        ensure!(said == want, "{job}: {said:?}");
    }
    let absent = "tare job run absent 2>&1";
    mentions(
        vm,
        &format!("{absent} || true"),
        "job.absent ended with status",
    )?;
    mentions(vm, "tare job logs absent", "no-such-image")?;
    // It may be running at this moment.
    let next = "tare job show fails | grep -c '^next run  in'; true";
    wait_says(vm, next, "1\n", secs(60))
}

fn taken_away(vm: &Vm) -> Result<()> {
    let runs = "docker ps -qf name=job.later | wc -l";
    vm.ssh_within(
        &format!("tare config set jobs.later \"{LATER}\" && tare job run --no-wait later"),
        secs(60),
    )?;
    wait_says(vm, runs, "1\n", secs(60))?;
    // One that is added concerns no other.
    vm.ssh_within(&format!("tare config set jobs.last \"{LATER}\""), secs(60))?;
    says(vm, runs, "1\n")?;
    vm.ssh_within(
        "tare config unset jobs.later && tare config unset jobs.last",
        secs(60),
    )?;
    wait_says(vm, runs, "0\n", secs(40))?;
    wait_says(vm, "tare job list | grep -c '^la'", "0\n", secs(40))
}
