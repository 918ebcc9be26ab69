//! What is wrong is said in the log and to all who may ask for the status: without the passwords that stand there.

use super::*;

const SECRET: &str = "hunter2";
const NUMBER: &str = "31337";

/// Keys that hold a secret, or one of which it is when people mistake the place or the form.
const KEYS: [&str; 40] = [
    "apps",
    "apps.shop",
    "apps.shop.compose",
    "apps.shop.compose-file",
    "apps.shop.environment.PASSWORD",
    "apps.shop.password",
    "apps.shop.services.web.environment.PASSWORD",
    "apps.shop.services.web.environment.PASSWORD.file",
    "engine",
    "engine.log-opts",
    "engine.password",
    "engine.proxies",
    "engine.tlskey",
    "engine.tlskey.credential",
    "files.'/srv/a'.base64",
    "engine.tlsverify",
    "jobs.shop.args",
    "jobs.shop.environment",
    "jobs.shop.environment.PASSWORD",
    "jobs.shop.environment.PASSWORD.file",
    "jobs.shop.password",
    "log.forward",
    "log.forward.password",
    "log.forward.to",
    "password",
    "registries",
    "registries.'ghcr.io'",
    "registries.'ghcr.io'.insecure",
    "registries.'ghcr.io'.mirrors",
    "registries.'ghcr.io'.passwd",
    "registries.'ghcr.io'.password",
    "registries.'ghcr.io'.password.credential",
    "registries.'ghcr.io'.password.file",
    "registries.'docker.io'.mirrors",
    "services.ssh",
    "services.ssh.environment",
    "services.ssh.environment.PASSWORD",
    "services.ssh.environment.PASSWORD.of",
    "services.ssh.lifecycle.health.http",
    "services.ssh.process.args",
];

/// Values of each type with a secret in them.
fn values() -> Vec<String> {
    let long = SECRET.repeat(20_000);
    vec![
        format!("\"{SECRET}\""),
        format!("\"a, expected {SECRET}, expected b\""),
        format!("\"\\u0000{SECRET}\""),
        format!("\"\"\"\n{SECRET}\n\"\"\""),
        format!("\"https://me:{SECRET}@a.example\""),
        format!("\"{long}\""),
        format!("[\"/{SECRET}\", 1]"),
        format!("[\"/{SECRET}\\u0000\"]"),
        format!("[\"{long}\"]"),
        format!("[\"https://me:{SECRET}@a.example\"]"),
        format!("[[\"{SECRET}\"]]"),
        format!("{{ a = \"{SECRET}\" }}"),
        format!("{{ a = [\"{SECRET}\"], b = inf }}"),
        NUMBER.to_owned(),
        format!("[{NUMBER}]"),
        format!("{NUMBER}.5"),
        format!("-{NUMBER}"),
        format!("{NUMBER}-01-01"),
    ]
}

fn says_nothing(text: &str, said: &[String]) {
    let told = said
        .iter()
        .find(|problem| problem.contains(SECRET) || problem.contains(NUMBER));
    assert_eq!(told, None, "{text:.200}");
}

#[test]
fn no_message_holds_the_value_of_a_key_that_holds_a_secret() {
    for key in KEYS {
        for value in values() {
            let text = format!("{key} = {value}");
            says_nothing(&text, &problems(&text));
        }
    }
}

#[test]
fn what_is_not_toml_is_not_quoted() {
    for line in [
        "hunter2",
        "password = hunter2",
        "password = \"hunter2",
        "password = 'hunter2\"",
        "password = \"\"\"hunter2",
        "password = \"a\" hunter2",
        "password = \"a\", hunter2",
        "password = \"\\xhunter2\"",
        "password = \"\\hunter2\"",
        "password: hunter2",
        "password == \"hunter2\"",
        "password = 31337hunter2",
        "password = 31337-99-99",
        "password = 0xhunter2",
        "password = [\"hunter2\"",
        "password = { a = hunter2 }",
        "password = { a = \"hunter2\"",
        "password = \"hunter2\"\npassword = \"hunter2\"",
        "password = \"hunter2\"\npassword.a = \"hunter2\"",
        "password = \"hunter2\"\n[password]",
        "-----BEGIN PRIVATE KEY-----\nhunter2",
    ] {
        let said = problems(line);
        assert_ne!(said, [""; 0], "{line}");
        says_nothing(line, &said);
    }
}

/// `tare config` shows what is not secret, and `***` for the rest.
#[test]
fn what_may_be_secret_is_marked() {
    let text = "motd = 'ask ops@example.com, https://a.example/@ops'
ssh-authorized-keys = ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA you@laptop']
[registries.'a.example']
username = 'me'
password = 'secret'
[engine]
tlsverify = true
tlscacert = '/a'
tlscert = '/b'
tlskey = '/c'
log-opts = { splunk-token = 'a', max-size = '1m' }
proxies = { http-proxy = 'http://me:secret@proxy.example', https-proxy = 'http://proxy.example:3128' }
registry-mirrors = ['https://a.example', 'https://token@b.example']
[files.'/srv/a']
text = 'secret'
mode = '0600'
[files.'/srv/b']
base64 = 'AA=='
[services.ssh]
environment = { A = 'secret' }
process.args = ['/x', '--to=https://me:secret@a.example/']
[services.engine.process]
args = ['/x', '--to=https://a.example/']
[sysctl]
net.ipv4.tcp_fastopen_key = '0-0-0-0'
\"net/ipv6/conf/eth0/stable_secret\" = '2001:db8::1'
vm.swappiness = 1
[jobs.a]
schedule = '1h'
image = 'a'
environment = { A = 'secret', B = { file = '/srv/a' } }
[apps.text]
compose = 'services: {}'
[apps.table]
configs.web.content = 'secret'
services.a = { image = 'a', environment = { A = 'secret', B = { credential = 'b' }, file = 'secret' }, build.args = { A = 'secret' } }
services.b = { image = 'b', environment = ['A=secret'], build.context = '/srv' }
";
    let made = merge(&[("u", text)]);
    assert_eq!(made.problems, []);
    let (secret, shown): (Vec<_>, Vec<_>) = made
        .settings
        .iter()
        .partition(|(_, setting)| setting.is_secret);
    let keys = |settings: Vec<(&String, &Setting)>| -> Vec<String> {
        settings.into_iter().map(|(key, _)| key.clone()).collect()
    };
    assert_eq!(
        keys(secret),
        [
            "apps.table.configs.web.content",
            "apps.table.services.a.build.args.A",
            "apps.table.services.a.environment.A",
            "apps.table.services.a.environment.file",
            "apps.table.services.b.environment",
            "apps.text.compose",
            "engine.log-opts.splunk-token",
            "engine.proxies.http-proxy",
            "engine.registry-mirrors",
            "engine.tlskey",
            "files.\"/srv/a\".text",
            "files.\"/srv/b\".base64",
            "jobs.a.environment.A",
            "registries.\"a.example\".password",
            "services.ssh.environment.A",
            "services.ssh.process.args",
            "sysctl.\"net/ipv6/conf/eth0/stable_secret\"",
            "sysctl.net.ipv4.tcp_fastopen_key",
        ]
    );
    assert_eq!(
        keys(shown),
        [
            "apps.table.services.a.environment.B.credential",
            "apps.table.services.a.image",
            "apps.table.services.b.build.context",
            "apps.table.services.b.image",
            "engine.log-opts.max-size",
            "engine.proxies.https-proxy",
            "engine.tlscacert",
            "engine.tlscert",
            "engine.tlsverify",
            "files.\"/srv/a\".mode",
            "jobs.a.environment.B.file",
            "jobs.a.image",
            "jobs.a.schedule",
            "motd",
            "registries.\"a.example\".username",
            "services.engine.process.args",
            "ssh-authorized-keys",
            "sysctl.vm.swappiness",
        ]
    );
}
