mod bad;
mod hostile;
mod moved;
mod secrets;
mod tls;

use super::*;
use crate::machine::ModuleName;
use crate::testing::{examples, services_of};

const LOGS: &str = include_str!("../../../../docs/logs.md");

/// Two services.
fn image() -> Services {
    services_of(&["engine", "ssh"].map(|name| (name, "process = { args = ['/x'] }")))
}

/// What sources make.
struct Made {
    machine: Machine,
    problems: Vec<Problem>,
    settings: Settings,
}

/// What `sources` make, from the weakest on, on a machine whose image has `engine` and `ssh`.
fn merge(sources: &[(&str, &str)]) -> Made {
    let image = image();
    let mut layers = Layers::new(&image);
    for (source, text) in sources {
        layers.add(source, text.as_bytes());
    }
    let settings = layers.settings();
    let Configuration {
        machine, problems, ..
    } = layers.finish();
    Made {
        machine,
        problems,
        settings,
    }
}

/// The problems of one source.
fn problems(text: &str) -> Vec<String> {
    let problems = merge(&[("u", text)]).problems;
    problems.iter().map(ToString::to_string).collect()
}

/// Keys and the sources that set them.
fn origins(made: &Made) -> Vec<String> {
    let settings = made.settings.iter();
    let source = |setting: &Setting| setting.origin.as_ref().unwrap().source.clone();
    let origins = settings.map(|(key, setting)| format!("{key}: {}", source(setting)));
    origins.collect()
}

#[test]
fn a_problem_says_where_what_it_costs_and_what_instead() {
    for (text, want) in [
        (
            "hostnam = 'a'",
            "u:1:1: `hostnam` is left out: unknown key `hostnam`, did you mean `hostname`?",
        ),
        ("hostname = 'a'\nhostname = 'b'", "u:2:1: duplicate key"),
        (
            "hostname = 'a'\n[network\n",
            "u:2:9: unclosed table, expected `]`",
        ),
        (
            "[watchdog]\ntimeout = '1s'",
            "u:2:11: `watchdog.timeout` is left out: a watchdog's timeout must be 5s..=300s in whole seconds, is 1s",
        ),
        (
            "[network.interfaces.eth0]\nmtu = 0",
            "u:2:7: `network.interfaces.eth0.mtu` is left out: mtu must be 68..=65535, is 0",
        ),
        (
            "[network.interfaces.'a b']",
            "u:1:21: `network.interfaces.\"a b\"` is left out: `a b` is not a link name: 1 to 15 bytes, no space, `/` or `:`",
        ),
        (
            "[services.engin]\nenabled = false",
            "u:1:11: `services.engin` is left out: unknown service `engin`, did you mean `engine`?",
        ),
        (
            "[services.ssh.lifecycle]\nafter = ['network:online', 'engin:ready']",
            "u:2:28: `services.ssh.lifecycle.after` is left out: unknown service `engin`, did you mean `engine`?",
        ),
        (
            "[services.ssh]\nenabled = 'no'",
            "u:2:11: `services.ssh.enabled` is left out: invalid type: string, expected a boolean",
        ),
        (
            "[services.ssh.resources]\ncpu-weight = 0",
            "u:2:14: `services.ssh.resources.cpu-weight` is left out: cpu-weight must be 1..=10000, is 0",
        ),
        (
            "[services.ssh.resources]\nmemory-max = '0KiB'",
            "u:2:14: `services.ssh.resources.memory-max` is left out: memory-max must be 1MiB or more, is 0KiB",
        ),
        (
            "[services.ssh.resources]\nopen-files = 2000000",
            "u:2:14: `services.ssh.resources.open-files` is left out: open-files must be 16..=1048576, is 2000000",
        ),
        (
            "[services.ssh.resources]\npids-max = -1",
            "u:2:12: `services.ssh.resources.pids-max` is left out: pids-max must be 0..=4194304, is -1",
        ),
        (
            "[services.ssh.process]\nargs = ['sshd']",
            "u:2:8: `services.ssh.process.args` is left out: args must start with the absolute path of a program",
        ),
        (
            "[services.ssh.process]\nargs = ['/sshd', \"-\\u0000\"]",
            "u:2:8: `services.ssh.process.args` is left out: an argument or variable must not hold a NUL byte",
        ),
        (
            "[services.ssh.environment]\nA = ''\nB = \"b\\u0000\"",
            "u:3:5: `services.ssh.environment.B` is left out: an argument or variable must not hold a NUL byte",
        ),
        (
            "[services.ssh.environment]\n'' = 'a'",
            "u:2:1: `services.ssh.environment.\"\"` is left out: `` is not the name of a variable: it must not be empty or hold `=` or a NUL byte",
        ),
        (
            "[services.ssh.environment]\n'A=' = 'a'",
            "u:2:1: `services.ssh.environment.\"A=\"` is left out: `A=` is not the name of a variable: it must not be empty or hold `=` or a NUL byte",
        ),
        (
            "[services.ssh]\nenvironment = { \"A\\u0000\" = 'a' }",
            "u:2:17: `services.ssh.environment.\"A\\0\"` is left out: `A\\0` is not the name of a variable: it must not be empty or hold `=` or a NUL byte",
        ),
        (
            "[apps.Shop]\nservices = {}",
            "u:1:7: `apps.Shop` is left out: `Shop` is not a name: write a letter, then letters, digits or `-`, all lower case, 63 at most",
        ),
        (
            "[network.interfaces.e]\ngateway = ['1.1.1.1', '2.2.2.2']",
            "u:2:11: `network.interfaces.e.gateway` is left out: gateway must be one address, or one of each family",
        ),
        (
            "[network.interfaces.e]\naddresses = ['1.1.1.1/33']",
            "u:2:14: `network.interfaces.e.addresses[0]` is left out: `1.1.1.1/33` is not an address with its prefix length: write it as in `192.0.2.10/24`",
        ),
    ] {
        assert_eq!(problems(text), [want]);
    }
}

#[test]
fn all_problems_of_a_source_are_found_at_once_and_cost_what_they_stand_for() {
    let text = "\
hostnam = 'a'
modules = ['ip_vs', 'a b', 'dm-raid', '']
[network]
dns = ['1.1.1.1', 'one.one']
[network.interfaces.eth0]
addresses = ['10.0.0.2/24']
gateway = 'none'
[log]
total = '4MiB'
file = '4MiB'
rate = 'fast'
[log.forward]
to = 'tls://a'
[engine]
hosts = ['tcp://0.0.0.0:2376']
tlsverify = 'yes'
mtu = '1400'
debug = true
[sysctl]
vm.swappiness = 1.5
vm.overcommit_memory = 2
\"net.ipv4.ip_forward\" = 1
[services.ssh.lifecycle]
restart.limit = { starts = 'x', within = '1s' }
start-timeout = '5s'
[services.nothing]
enabled = false
[services.engine]
enabled = 'no'
[apps.shop]
services = {}
[apps.Shop]
services = {}
[registries.'a.example']
username = 'me'
[registries.'b.example']
insecure = true
";
    let merged = merge(&[("u", text)]);
    let problems: Vec<String> = merged.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "u:1:1: `hostnam` is left out: unknown key `hostnam`, did you mean `hostname`?",
            "u:2:21: `modules[1]` is left out: `a b` is not a kernel module: write its name as in `ip_vs`, without its path",
            "u:2:39: `modules[3]` is left out: `` is not a kernel module: write its name as in `ip_vs`, without its path",
            "u:4:19: `network.dns[1]` is left out: this is not an address: write it as in `192.0.2.1` or `2001:db8::1`",
            "u:7:11: `network.interfaces.eth0.gateway` is left out: this is not an address or a list of two: write it as in \
             `192.0.2.1`",
            "u:10:1: `log.file` is left out: log.file is 4MiB: it must be half of log.total, 4MiB, at most",
            "u:11:8: `log.rate` is left out: invalid type: string, expected a whole number from 0 to 4294967295",
            "u:12:6: `log.forward` is left out: log.forward.ca must hold the certificate of the CA that signed the receiver's",
            "u:15:1: `engine.hosts` is left out: it needs engine.tlsverify",
            "u:16:13: `engine.tlsverify` is left out: engine.tlsverify must be true or false",
            "u:17:7: `engine.mtu` is left out: engine.mtu must be a whole number",
            "u:20:17: `sysctl.vm.swappiness` is left out: sysctl vm.swappiness must be a number, true, false or one line of text",
            "u:21:24: `sysctl.vm.overcommit_memory` is left out: sysctl vm.overcommit_memory must be 0 or 1, is 2",
            "u:24:28: `services.ssh.lifecycle.restart.limit` is left out: invalid type: string, expected a whole number",
            "u:26:11: `services.nothing` is left out: unknown service `nothing`, known are engine, ssh",
            "u:29:11: `services.engine.enabled` is left out: invalid type: string, expected a boolean",
            "u:32:7: `apps.Shop` is left out: `Shop` is not a name: write a letter, then letters, digits or `-`, all lower case, \
             63 at most",
            "u:34:13: `registries.\"a.example\"` is left out: a registry's username and password need each other",
        ]
    );
    assert_eq!(
        origins(&merged),
        [
            "apps.shop.services: u",
            "engine.debug: u",
            "log.total: u",
            "modules: u",
            "network.dns: u",
            "network.interfaces.eth0.addresses: u",
            "registries.\"b.example\".insecure: u",
            "services.ssh.lifecycle.start-timeout: u",
            "sysctl.\"net.ipv4.ip_forward\": u",
        ]
    );
    let modules: Vec<&str> = merged
        .machine
        .modules
        .iter()
        .map(ModuleName::as_str)
        .collect();
    assert_eq!(modules, ["ip_vs", "dm-raid"]);
}

#[test]
fn a_text_that_is_no_toml_costs_its_source_and_says_all() {
    for (text, want) in [
        (
            "hostname = 'a'\nhostname = 'b'\nx = \n[network\n",
            vec![
                "u:2:1: duplicate key",
                "u:3:5: this is not a value: text must be in quotation marks",
                "u:4:9: unclosed table, expected `]`",
            ],
        ),
        (
            "schema = 2\nhostname = 'a'",
            vec!["u:1:10: schema is 2: this release knows 1 only"],
        ),
        (
            "schema = '1'",
            vec!["u:1:10: invalid type: string, expected a whole number"],
        ),
        (
            "a = \"\\u0000\"\nb = '\u{0}'",
            vec!["u:2:6: invalid literal string, expected non-single-quote visible characters"],
        ),
    ] {
        let merged = merge(&[("u", text)]);
        let problems: Vec<String> = merged.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, want);
        assert_eq!(merged.machine, Machine::default());
    }
}

#[test]
fn files_of_windows_are_read() {
    let merged = merge(&[("u", "\u{feff}schema = 1\r\n[log]\r\nrate = 1\r\n")]);
    assert_eq!(merged.problems, []);
    assert_eq!(merged.machine.log.rate, 1);
    assert_eq!(merged.settings["log.rate"].origin.as_ref().unwrap().line, 3);
}

#[test]
fn a_key_of_a_weaker_source_can_be_taken_back() {
    let weak = "hostname = 'a'\n[network.interfaces.eth0]\naddresses = ['10.0.0.2/24']\nmtu = 1400\n\
        [engine]\ntlsverify = true\ntlscacert = '/a'\ntlscert = '/b'\ntlskey = '/c'";
    for (unset, problems, kept) in [
        (
            "['hostname', 'engine', 'network.interfaces.eth0.addresses']",
            vec![],
            vec!["network.interfaces.eth0.mtu: image"],
        ),
        (
            "['network']",
            vec![],
            vec![
                "engine.tlscacert: image",
                "engine.tlscert: image",
                "engine.tlskey: image",
                "engine.tlsverify: image",
                "hostname: image",
            ],
        ),
        (
            "['engine.tlskey', 'a b', 'hostnam', 'network', 'hostname']",
            vec![
                "u:1:10: `unset` is left out: `engine.tlskey` cannot be taken back: engine.tlsverify needs engine.tlskey: the CA of \
                 the clients, and the certificate and key of the engine",
                "u:1:27: `unset[1]` is left out: `a b` is not a key: write it as in `network.interfaces.eth0.addresses`",
                "u:1:34: no weaker source sets `hostnam`",
            ],
            vec![
                "engine.tlscacert: image",
                "engine.tlscert: image",
                "engine.tlskey: image",
                "engine.tlsverify: image",
            ],
        ),
    ] {
        let merged = merge(&[("image", weak), ("u", &format!("unset = {unset}"))]);
        let said: Vec<String> = merged.problems.iter().map(ToString::to_string).collect();
        assert_eq!(said, problems);
        assert_eq!(origins(&merged), kept);
    }
    let again = merge(&[
        ("image", weak),
        (
            "u",
            "unset = ['network']\n[network.interfaces.eth0]\ndhcp = true",
        ),
    ]);
    assert_eq!(
        origins(&again).last().unwrap(),
        "network.interfaces.eth0.dhcp: u"
    );
}

/// What costs a second each would cost hours together.
#[test]
fn a_source_of_errors_alone_is_read_in_bounded_time() {
    let keys = |of: &dyn Fn(usize) -> String| (0..10_000).map(of).collect::<String>();
    for (text, last) in [
        (keys(&|n| format!("k{n} = 1\n")), "unknown key"),
        (
            format!("[sysctl]\n{}", keys(&|n| format!("k{n} = 1\n"))),
            "too many errors",
        ),
        (
            format!("modules = [{}]", keys(&|_| "'',".to_owned())),
            "too many errors",
        ),
        (
            format!("[services]\n{}", keys(&|n| format!("k{n} = 1\n"))),
            "unknown service",
        ),
        // Each of these entries is quickly read.
        (
            keys(&|n| match n % 400 {
                0 => format!("[registries.'r{n}.example']\n"),
                _ => format!("k{n} = 1\n"),
            }),
            "too many errors",
        ),
    ] {
        let problems = validate("u", text.as_bytes(), &image());
        let last = problems
            .iter()
            .any(|problem| problem.message.contains(last));
        assert!(last, "{}", problems[0]);
    }
}

#[test]
fn text_is_as_long_as_exec_takes() {
    let text = |length| "x".repeat(length);
    let longest = (128 << 10) - 1;
    let variable = "[services.ssh.environment]\nA = ";
    let args = "[services.ssh.process]\nargs = ['/sshd', ";
    for (toml, want) in [
        (format!("{variable}'{}'", text(longest - 2)), None),
        (
            format!("{variable}'{}'", text(longest - 1)),
            Some(
                "u:2:1: `services.ssh.environment.A` is left out: `A` is too long: an argument or variable must be shorter than 131072 bytes",
            ),
        ),
        (format!("{args}'{}']", text(longest)), None),
        (
            format!("{args}'{}']", text(longest + 1)),
            Some(
                "u:2:8: `services.ssh.process.args` is left out: too long: an argument or variable must be shorter than 131072 bytes",
            ),
        ),
    ] {
        assert_eq!(problems(&toml), Vec::from_iter(want));
    }
}

#[test]
fn later_layers_win_key_by_key_and_lists_replace() {
    let merged = merge(&[
        (
            "image",
            "hostname = 'a'\n[network]\ndns = ['1.1.1.1', '8.8.8.8']\nsearch = ['x']",
        ),
        (
            "fw_cfg",
            "[network]\ndns = ['9.9.9.9']\n[services.engine.environment]\nA = 'b'",
        ),
    ]);
    let Made {
        machine,
        settings,
        problems,
    } = merged;
    assert_eq!(problems, []);
    assert_eq!(machine.hostname.unwrap().as_str(), "a");
    assert_eq!(
        machine.network.dns,
        ["9.9.9.9".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(machine.network.search.len(), 1);
    assert_eq!(machine.services["engine"].environment["A"], "b");
    let set = |key: &str| settings[key].origin.as_ref().unwrap().to_string();
    assert_eq!(set("network.dns"), "fw_cfg:2");
    assert_eq!(set("hostname"), "image:1");
    assert_eq!(settings["network.dns"].value.to_string(), "[\"9.9.9.9\"]");
}

/// As it does one that is baked into the image.
#[test]
fn an_app_in_another_form_replaces_the_app() {
    let text = "[apps.shop]\ncompose = 'services: {}'";
    let file = "[apps.shop]\ncompose-file = '/srv/a.yaml'";
    let toml = "[apps.shop.services.a]\nimage = 'a'";
    for (weak, strong, want) in [
        (text, toml, vec!["apps.shop.services.a.image: fw_cfg"]),
        (toml, text, vec!["apps.shop.compose: fw_cfg"]),
        (text, file, vec!["apps.shop.compose-file: fw_cfg"]),
        (
            toml,
            "[apps.shop.services.b]\nimage = 'b'",
            vec![
                "apps.shop.services.a.image: image",
                "apps.shop.services.b.image: fw_cfg",
            ],
        ),
    ] {
        let merged = merge(&[("image", weak), ("fw_cfg", strong)]);
        assert_eq!(merged.problems, []);
        assert_eq!(origins(&merged), want);
    }
}

#[test]
fn what_contradicts_weaker_sources_costs_its_keys() {
    let health = |text: &str| format!("[services.ssh.lifecycle]\nhealth = {{ {text} }}");
    let certificate = "[log.forward]\nto = 'tls://a'\nca = '-----BEGIN CERTIFICATE-----'";
    for (weak, strong, want, set) in [
        (
            certificate.to_owned(),
            "[log.forward]\nto = 'udp://a'".to_owned(),
            None,
            vec!["log.forward.to: fw_cfg"],
        ),
        (
            health("tcp = 22, interval = '7s'"),
            health("exec = ['/a']"),
            None,
            vec!["services.ssh.lifecycle.health.exec: fw_cfg"],
        ),
        (
            "[log]\ntotal = '4MiB'".to_owned(),
            "hostname = 'b'\n[log]\nage = '1h'\nfile = '4MiB'".to_owned(),
            Some(
                "fw_cfg:4:1: `log.file` is left out: log.file is 4MiB: it must be half of log.total, 4MiB, at most, \
                 given image and nocloud",
            ),
            vec!["hostname: fw_cfg", "log.age: fw_cfg", "log.total: nocloud"],
        ),
        (
            "[log]\ntotal = '4MiB'".to_owned(),
            "[log]\ntotal = '8MiB'\nfile = '4MiB'".to_owned(),
            None,
            vec!["log.file: fw_cfg", "log.total: fw_cfg"],
        ),
    ] {
        let merged = merge(&[("image", ""), ("nocloud", &weak), ("fw_cfg", &strong)]);
        let problems: Vec<String> = merged.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, Vec::from_iter(want));
        assert_eq!(origins(&merged), set);
    }
}

#[test]
fn every_prefix_of_a_good_layer_is_taken_or_refused_but_never_panics() {
    let text = include_str!("example.toml");
    for end in 0..=text.len() {
        let _ = validate("u", &text.as_bytes()[..end], &image());
    }
    assert_eq!(problems(text), [""; 0]);
}

#[test]
fn the_examples_of_the_pages_are_user_data() {
    for (page, count) in [
        (include_str!("../../../../README.md"), 1),
        (include_str!("../../../../docs/user-data.md"), 4),
        (include_str!("../../../../docs/tare-command.md"), 1),
        (LOGS, 2),
    ] {
        let examples = examples(page, "toml");
        assert_eq!(examples.len(), count);
        for text in examples {
            let mut problems = validate("docs", text.as_bytes(), &image());
            problems.retain(|problem| problem.severity == Severity::Error);
            assert_eq!(problems, [], "{text}");
        }
    }
}

#[test]
fn the_page_of_logs_shows_the_defaults() {
    let merged = merge(&[("docs", examples(LOGS, "toml")[0])]);
    assert_eq!(merged.machine.log, Machine::default().log);
}

#[test]
fn a_reference_is_replaced_as_a_whole() {
    let [weak, strong] = ["{ credential = 'a' }", "{ file = '/srv/a' }"].map(|reference| {
        format!(
            "registries.a = {{ username = 'u', password = {reference} }}\nengine.tlskey = {reference}\n\
             apps.a.services.w.environment.P = {reference}\nfiles.'/srv/b'.text = {reference}"
        )
    });
    let merged = merge(&[("weak", &weak), ("strong", &strong)]);
    assert_eq!(merged.machine, merge(&[("strong", &strong)]).machine);
    assert_eq!(merged.machine.references().len(), 1);
}

#[test]
fn passwords_are_marked_and_defaults_known() {
    let text = "hostname = 'a'\nlog.rate = 5\n[registries.'a.example']\nusername = 'me'\npassword = 'secret'";
    let made = merge(&[("u", text)]);
    let secrets = made
        .settings
        .iter()
        .filter(|(_, setting)| setting.is_secret);
    let secrets: Vec<&str> = secrets.map(|(key, _)| key.as_str()).collect();
    assert_eq!(secrets, ["registries.\"a.example\".password"]);
    let text = "registries.'a.example' = { username = 'me', password = { credential = 'word' } }";
    let referring = merge(&[("u", text)]).settings;
    let password = &referring["registries.\"a.example\".password.credential"];
    assert_eq!(
        (password.value.as_str(), password.is_secret),
        (Some("word"), false)
    );
    let defaults = defaults(&made.machine, &made.settings);
    let value = |key: &str| defaults.get(key).map(|setting| setting.value.to_string());
    for (key, want) in [
        ("log.total", Some("\"64MiB\"")),
        ("watchdog.enabled", Some("true")),
        ("network.dns", Some("[]")),
        ("log.rate", None),
        ("hostname", None),
        ("schema", None),
    ] {
        assert_eq!(value(key).as_deref(), want, "{key}");
    }
}

#[test]
fn a_time_zone_that_the_image_lacks_costs_itself() {
    let image = Services::new();
    let check = |zone: &ZoneName| match zone.as_str() {
        "Etc/UTC" => Ok(()),
        other => Err(format!("unknown time zone `{other}`")),
    };
    let mut layers = Layers::new(&image).with_zones(check);
    assert_eq!(layers.add("a", b"time.zone = 'Etc/UTC'"), Added::Whole);
    let added = layers.add("b", b"hostname = 'b'\ntime.zone = 'Etc/UCT'");
    assert_eq!(added, Added::InPart);
    let made = layers.finish();
    let problems: Vec<String> = made.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["b:2:13: `time.zone` is left out: unknown time zone `Etc/UCT`"]
    );
    // The weaker source's stays.
    let zone = made.machine.time.zone;
    assert_eq!(zone.as_ref().map(ZoneName::as_str), Some("Etc/UTC"));
    assert_eq!(made.machine.hostname.unwrap().as_str(), "b");
}
