//! Secrets by reference: from SMBIOS, from a file, and set by a command.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::{mentions, power_off, says, wait_says, wait_service};

const USER_DATA: &str = r#"
[registries."registry.example"]
username = "u"
password = { credential = "registry-word" }

[files."/srv/secret/early"]
text = { credential = "file-word" }
mode = "0600"

[files."/srv/secret/late"]
text = { credential = "late-word" }
mode = "0600"

[files."/srv/secret/kept"]
text = { file = "/srv/kept" }

[apps.demo.services.web]
image = "tare/demo"
environment = { WORD = { credential = "late-word" } }
"#;

/// The values, which no output may hold.
const REGISTRY_WORD: &str = "Reg1stry,w0rd=$";
const FILE_WORD: &str = "F1le-w0rd";
const LATE_WORD: &str = "L4te-$w0rd";

const MISSING: &str = "files.\"/srv/secret/late\": credential late-word is not in SMBIOS type 11, fw_cfg, \
    loader/credentials on the ESP, the state; the file is not written";

pub(crate) fn by_reference(image: &Image) -> Result<()> {
    let machine = Vm::of(image).direct().user_data(USER_DATA);
    let vm = machine
        .credential("registry-word", REGISTRY_WORD)
        .credential("file-word", FILE_WORD)
        .boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("a file", || {
        says(&vm, "cat /srv/secret/early", FILE_WORD)?;
        says(&vm, "stat -c '%a %u' /srv/secret/early", "600 0\n")
    });
    checks.check("a password, on tmpfs and for the service alone", || {
        password(&vm)
    });
    checks.check("what is missing", || missing(&vm));
    checks.check("set by a command", || set(&vm));
    checks.check("a file as a reference", || kept(&vm));
    checks.check("shown nowhere", || shown_nowhere(&vm));
    checks.check("power off", || power_off(&vm));
    let vm = vm.machine().clone().boot()?;
    vm.wait_ready()?;
    checks.check("after a reboot", || {
        says(
            &vm,
            "cat /srv/secret/late /srv/secret/kept",
            &format!("{LATE_WORD}kept"),
        )?;
        says(&vm, "tare status | grep -c credential || true", "0\n")
    });
    checks.check("removed", || {
        vm.ssh("tare secret remove late-word")?;
        says(&vm, "tare secret list", "")?;
        let patience = secs(30);
        wait_says(&vm, &count("tare status", MISSING), "1\n", patience)?;
        mentions(
            &vm,
            "tare secret remove late-word 2>&1 || true",
            "nothing is changed",
        )
    });
    checks.check("power off again", || power_off(&vm));
    checks.verdict()
}

/// A command that prints how many lines of `command` have `text`.
fn count(command: &str, text: &str) -> String {
    format!("({command}) 2>&1 | grep -cF -- '{text}' || true")
}

fn password(vm: &Vm) -> Result<()> {
    let file = "/proc/$(pgrep -o dockerd)/root/run/config/registries.json";
    let look = |command: &str| format!("tare toolbox -- sh -c '{command} {file}'");
    mentions(vm, &look("cat"), REGISTRY_WORD)?;
    says(vm, &look("stat -c \"%a %u\""), "400 0\n")?;
    says(vm, &look("stat -f -c %T"), "tmpfs\n")
}

fn missing(vm: &Vm) -> Result<()> {
    mentions(vm, "tare status", MISSING)?;
    says(vm, "test -e /srv/secret/late || echo none", "none\n")?;
    let why = "until tare logs --service app.demo | grep -q 'credential late-word is missing'; do sleep 1; done";
    vm.ssh_within(why, secs(120))?;
    says(vm, "docker ps -aq", "")
}

fn set(vm: &Vm) -> Result<()> {
    let refused = "printf x | tare secret set a/b 2>&1 || true";
    mentions(vm, refused, "this is not the name of a credential")?;
    vm.ssh(&format!("printf '{LATE_WORD}' | tare secret set late-word"))?;
    wait_says(vm, "cat /srv/secret/late", LATE_WORD, secs(30))?;
    says(vm, "tare secret list", "late-word\n")?;
    says(vm, &count("tare status", "late-word is not"), "0\n")?;
    let modes = "tare toolbox -- stat -c '%a %u' /host/state/credentials /host/state/credentials/late-word.cred";
    says(vm, modes, "700 0\n600 0\n")?;
    wait_service(vm, "app.demo", "done", secs(120))?;
    let environment = "docker inspect -f '{{json .Config.Env}}' demo-web-1";
    mentions(vm, environment, &format!("WORD={LATE_WORD}"))
}

/// It counts from the next change of the configuration on.
fn kept(vm: &Vm) -> Result<()> {
    mentions(vm, "tare status", "file /srv/kept cannot be read: ")?;
    vm.ssh("ln -s /etc/passwd /srv/kept && tare config set motd a")?;
    let link = "file /srv/kept cannot be read: it, or a folder of its path, is a symbolic link";
    wait_says(vm, &count("tare status", link), "1\n", secs(30))?;
    vm.ssh("rm /srv/kept; printf kept > /srv/kept && tare config unset motd")?;
    wait_says(vm, "cat /srv/secret/kept", "kept", secs(30))
}

fn shown_nowhere(vm: &Vm) -> Result<()> {
    for command in [
        "tare status",
        "tare status --json",
        "tare logs",
        "tare logs --json",
        "tare config show --all",
        "tare config show --json",
        "tare config diff",
        "tare config generations --json",
        "tare events",
        "tare service show engine",
        "tare service show app.demo --json",
        "tare service audit engine",
        "tare toolbox -- dmesg",
    ] {
        for word in [REGISTRY_WORD, FILE_WORD, LATE_WORD] {
            says(vm, &count(command, word), "0\n")?;
        }
    }
    let config = "tare config get 'registries.\"registry.example\".password.credential'";
    says(vm, config, "\"registry-word\"\n")?;
    let console = vm.console().text();
    let told = [REGISTRY_WORD, FILE_WORD, LATE_WORD].map(|word| console.contains(word));
    ensure!(told == [false; 3], "the console shows a secret");
    Ok(())
}
