//! Users beside root.

use std::collections::BTreeMap;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::{Key, Vm, secs, target};
use tare_tests::Checks;
use tare_tests::guest::{mentions, power_off, says, starts, wait_says};

/// What each user of the tests has.
const FOLDERS: &str = "stat -c '%n %U %G %a' /home/*";

pub(crate) fn log_in_with_their_own_rights(image: &Image) -> Result<()> {
    let key = Key::ensure(&target().join("ssh"))?.public;
    let user_data = format!(
        "ssh-authorized-keys = ['ssh-dss AAAA']\n\
         [users.alice]\nssh-authorized-keys = ['{key}']\nadmin = true\ngroups = ['web']\n\
         [users.bob]\nssh-authorized-keys = ['ssh-ed25519 AAAA', 'command=\"echo $USER says $SSH_ORIGINAL_COMMAND\" {key}']\nuid = 1000\n\
         [users.carol]\nssh-authorized-keys = ['{key}']\nuid = 1000\nshell = '/bin/zsh'\n\
         [users.dave]\nssh-authorized-keys = ['{key}']\nshell = '/usr/sbin/nologin'\n\
         [users.sshd]\nssh-authorized-keys = ['{key}']\n\
         [files.'/home/dave/.config/a']\ntext = 'of the boot'\n"
    );
    let vm = Vm::of(image).direct().user_data(&user_data).boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("ids, groups and homes", || ids(&vm));
    checks.check("files in homes", || files(&vm));
    checks.check("options of keys", || {
        prints(&vm, "bob", "hello", "bob says hello\n")
    });
    checks.check("no shell", || {
        refuses(&vm, "dave", "true", "This user has no shell here.")
    });
    checks.check("no such user", || {
        refuses(&vm, "eve", "true", "Permission denied")
    });
    checks.check("an administrator", || administrator(&vm));
    checks.check("no administrator", || no_administrator(&vm));
    checks.check("certificates", || certificates(&vm));
    checks.check("changes at once", || changes(&vm));
    checks.check("another port", || port(&vm));
    checks.check("power off", || power_off(&vm));
    let vm = vm.machine().clone().boot()?;
    vm.wait_ready()?;
    checks.check("files stay after a reboot", || {
        prints(&vm, "alice", "cat file", "alice's\n")
    });
    checks.check("power off again", || power_off(&vm));
    checks.verdict()
}

/// Runs `command` on the machine as `user`, with our key and more `options` of ssh.
fn login(vm: &Vm, user: &str, options: &[&str], command: &str) -> Result<Output> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(vm.machine().folder().join("ssh-config"));
    ssh.args(["-l", user]).args(options);
    ssh.args(["tare", "--", command]).output().context("ssh")
}

/// Checks that `command` succeeds as `user`, and prints `want`.
fn prints(vm: &Vm, user: &str, command: &str, want: &str) -> Result<()> {
    let output = login(vm, user, &[], command)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && said == want,
        "`{command}` of {user} says {output:?}, not {want:?}"
    );
    Ok(())
}

/// Checks that `command` fails as `user`, and says why.
fn refuses(vm: &Vm, user: &str, command: &str, why: &str) -> Result<()> {
    let output = login(vm, user, &[], command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains(why),
        "`{command}` of {user} says {output:?}, not {why:?}"
    );
    Ok(())
}

fn ids(vm: &Vm) -> Result<()> {
    prints(
        vm,
        "alice",
        "id; umask; echo alice\\'s > file",
        "uid=17479(alice) gid=17479(alice) groups=17479(alice),102(docker),988(tare),37825(web)\n0022\n",
    )?;
    // One of the two has the id; the other has that of its name.
    says(vm, "id -u bob; id -u carol", "1000\n24162\n")?;
    prints(vm, "carol", "echo $SHELL", "/bin/bash\n")?;
    let want = "/home/alice alice alice 700\n/home/bob bob bob 700\n/home/carol carol carol 700\n/home/dave dave dave 700\n";
    wait_says(vm, FOLDERS, want, secs(20))?;
    let problems = vm.ssh("tare status || true")?;
    for key in [
        "ssh-authorized-keys[0]",
        "users.bob.ssh-authorized-keys[0]",
        "users.carol.shell",
        "users.carol.uid",
        "users.sshd",
    ] {
        ensure!(problems.contains(&format!("`{key}`")), "{key}: {problems}");
    }
    Ok(())
}

fn files(vm: &Vm) -> Result<()> {
    says(vm, "cat /home/dave/.config/a", "of the boot")?;
    let text = "[users.gina]\n[files.\"/home/gina/b\"]\ntext = \"of a change\"\n";
    vm.ssh(&format!("printf '{text}' | tare config apply --once -"))?;
    let look = "cat /home/gina/b; stat -c ' %U %a' /home/gina";
    wait_says(vm, look, "of a change gina 700\n", secs(20))
}

fn administrator(vm: &Vm) -> Result<()> {
    let server = "docker version --format '{{.Server.Os}}'";
    prints(vm, "alice", server, "linux\n")?;
    prints(vm, "alice", "tare config get users.bob.uid", "1000\n")?;
    prints(
        vm,
        "alice",
        "cd /tmp && sudo sh -c 'id -u; pwd; echo $SUDO_USER'",
        "0\n/tmp\nalice\n",
    )?;
    prints(vm, "alice", "sudo sh -c 'exit 3'; echo $?", "3\n")?;
    refuses(vm, "alice", "cat /etc/ssh/keys/*_key", "Permission denied")
}

fn no_administrator(vm: &Vm) -> Result<()> {
    for (command, why) in [
        ("docker ps", "permission denied"),
        ("tare service exec ssh -- id", "permission denied"),
        ("tare poweroff", "permission denied"),
        ("sudo id", "sudo: carol is no administrator"),
        ("ls /root", "Permission denied"),
        ("ls /home/alice", "Permission denied"),
        ("ls /etc/ssh/keys", "Permission denied"),
        ("cat /proc/1/environ", "Permission denied"),
        ("touch /srv/file", "Permission denied"),
    ] {
        let output = login(vm, "carol", &[], &format!("LC_ALL=C {command} 2>&1"))?;
        let said = String::from_utf8_lossy(&output.stdout).to_lowercase();
        ensure!(
            !output.status.success() && said.contains(&why.to_lowercase()),
            "`{command}` says {output:?}"
        );
    }
    prints(
        vm,
        "carol",
        "grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status | tr -s '\\t\\n' ' '",
        "CapPrm: 0000000000000000 CapEff: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1 ",
    )?;
    // It cannot speak for sshd.
    let closed = "test -w /run/notify/notify.sock || echo closed";
    prints(vm, "carol", closed, "closed\n")?;
    // However many processes it starts, root can log in.
    let many = "for i in $(seq 600); do sleep 90 >/dev/null 2>&1 & done";
    login(vm, "carol", &[], many)?;
    let root = vm.login("id -u", secs(60))?;
    ensure!(root == "0\n", "{root}");
    vm.ssh("pkill -u carol; true").map(drop)
}

/// A certificate of an authority of the machine is made there, of the public key that logs in.
fn certificates(vm: &Vm) -> Result<()> {
    let folder = target().join("ssh");
    let key = Key::ensure(&folder)?;
    vm.ssh("cd /root && rm -f ca* && ssh-keygen -q -t ed25519 -N '' -f ca")?;
    let ca = vm.ssh("cat /root/ca.pub")?;
    let sign = format!(
        "cd /root && echo '{}' > user.pub && ssh-keygen -q -s ca -I test -n ops user.pub && cat user-cert.pub",
        key.public
    );
    let certificate = vm.machine().folder().join("user-cert.pub");
    std::fs::write(&certificate, vm.ssh(&sign)?)?;
    let certificate = format!("-oCertificateFile={}", certificate.display());
    let erin = "tare config set users.erin '{ principals = [\"ops\"] }'";
    mentions(vm, erin, "users: erin may log in\n")?;
    let before = login(vm, "erin", &[&certificate], "id -un")?;
    ensure!(!before.status.success(), "{before:?}");
    let trust = format!(
        "tare config set ssh.trusted-user-ca-keys \"['{}']\"",
        ca.trim_end()
    );
    mentions(
        vm,
        &trust,
        "ssh: certificates of other authorities log in\n",
    )?;
    let output = login(vm, "erin", &[&certificate], "id -un")?;
    ensure!(output.stdout == b"erin\n", "{output:?}");
    vm.ssh("tare config unset users.erin")?;
    let after = login(vm, "erin", &[&certificate], "id -un")?;
    ensure!(!after.status.success(), "{after:?}");
    says(vm, "ls /run/host | grep -c ^erin; true", "0\n")
}

/// No service starts because of users.
fn changes(vm: &Vm) -> Result<()> {
    let before = starts(vm)?;
    let key = Key::ensure(&target().join("ssh"))?.public;
    let add = format!("tare config set users.frank.ssh-authorized-keys \"['{key}']\"");
    mentions(vm, &add, "users: frank may log in\n")?;
    wait_says(vm, "stat -c %U /home/frank 2>&1", "frank\n", secs(20))?;
    prints(vm, "frank", "id -un; pwd", "frank\n/home/frank\n")?;
    refuses(vm, "frank", "docker ps", "permission denied")?;
    vm.ssh("tare config set users.frank.admin true")?;
    prints(vm, "frank", "docker ps -q", "")?;
    mentions(
        vm,
        "tare config unset users.frank",
        "users: frank may not log in",
    )?;
    refuses(vm, "frank", "true", "Permission denied")?;
    says(vm, "stat -c %u /home/frank", "45955\n")?;
    let after = starts(vm)?;
    ensure!(before == after, "{before:?}, then {after:?}");
    Ok(())
}

/// The session through which it is changed goes on. What another program has leaves port 22.
fn port(vm: &Vm) -> Result<()> {
    let listens = "ss -Hltn 'sport = :22 or sport = :2222' | awk '{ print $4 }' | sed 's/.*://' | sort -u | tr '\\n' ' '";
    says(
        vm,
        "tare config set ssh.port 2222 --dry-run",
        "ssh: reloads, sshd_config has changed\n",
    )?;
    let before = starts(vm)?;
    vm.ssh("tare config set ssh.port 2222")?;
    wait_says(vm, listens, "2222 ", secs(20))?;
    vm.ssh("tare config unset ssh.port")?;
    wait_says(vm, listens, "22 ", secs(20))?;
    let after: BTreeMap<String, u64> = starts(vm)?;
    ensure!(before == after, "{before:?}, then {after:?}");
    mentions(
        vm,
        "tare config set ssh.port 0 2>&1; true",
        "port must be 1..=65535, is 0",
    )?;
    ensure!(forwards(vm)?, "ports cannot be forwarded");
    reloaded(vm, "tare config set ssh.allow-tcp-forwarding false")?;
    ensure!(!forwards(vm)?, "ports can still be forwarded");
    reloaded(vm, "tare config unset ssh.allow-tcp-forwarding")?;
    ensure!(forwards(vm)?, "ports cannot be forwarded any more");
    taken(vm)
}

/// A program listens on the port before sshd is started.
fn taken(vm: &Vm) -> Result<()> {
    vm.ssh("setsid tare toolbox -- nc -lkn 2222 >/dev/null 2>&1 </dev/null &")?;
    wait_says(vm, "ss -Hltn 'sport = :2222' | wc -l", "1\n", secs(30))?;
    let before = starts(vm)?;
    reloaded(vm, "tare config set ssh.port 2222")?;
    mentions(
        vm,
        "tare logs --service ssh",
        "port 2222 is taken; listening on port 22 too",
    )?;
    vm.login("tare service stop toolbox; tare config unset ssh", secs(60))?;
    let after = starts(vm)?;
    ensure!(before == after, "{before:?}, then {after:?}");
    Ok(())
}

/// Whether a client may forward a port.
fn forwards(vm: &Vm) -> Result<bool> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-F").arg(vm.machine().folder().join("ssh-config"));
    let output = ssh
        .args(["-W", "127.0.0.1:22", "tare"])
        .stdin(Stdio::null());
    Ok(output
        .output()
        .context("ssh")?
        .stdout
        .starts_with(b"SSH-2.0-"))
}

/// Waits until sshd has read its configuration again after `command`.
fn reloaded(vm: &Vm, command: &str) -> Result<()> {
    let count = "tare logs --service ssh | grep -c 'Server listening on'";
    let wait = format!("n=$({count}); {command}; until [ $({count}) -gt $n ]; do sleep 0.5; done");
    vm.ssh_within(&wait, secs(30)).map(drop)
}
