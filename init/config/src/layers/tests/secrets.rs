//! What is wrong is said in the log and to all who may ask for the status: without the passwords that stand there.

use super::*;

const SECRET: &str = "hunter2";
const NUMBER: &str = "31337";

/// Keys that hold a secret, or one of which it is when people mistake the place or the form.
const KEYS: [&str; 35] = [
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
