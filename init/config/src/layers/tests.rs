use super::*;
use crate::testing::examples;

const LOGS: &str = include_str!("../../../../docs/logs.md");

fn layer(source: &str, text: &str) -> Layer {
    Layer::parse(source, text.as_bytes(), &["engine", "ssh"]).unwrap()
}

/// The result, and what is left out.
fn merge(layers: &[Layer]) -> (Merged, Vec<String>) {
    let mut merged = Merged::default();
    let left_out = layers.iter().flat_map(|layer| merged.add(layer)).collect();
    (merged, left_out)
}

#[test]
fn a_bad_layer_says_where_and_what_instead() {
    for (text, want) in [
        (
            "hostnam = 'a'",
            "u:1:1: unknown key `hostnam`, did you mean `hostname`?",
        ),
        ("hostname = 'a'\nhostname = 'b'", "u:2:1: duplicate key"),
        (
            "hostname = 'a'\n[network\n",
            "u:2:9: unclosed table, expected `]`",
        ),
        (
            "[watchdog]\ntimeout = '1s'",
            "u:2:11: a watchdog's timeout must be 5s..=300s in whole seconds, is 1s",
        ),
        (
            "[network.interfaces.eth0]\nmtu = 0",
            "u:2:7: mtu must be 68..=65535, is 0",
        ),
        (
            "[network.interfaces.'a b']",
            "u:1:21: `a b` is not a link name: 1 to 15 bytes, no space, `/` or `:`",
        ),
        (
            "[services.engin]\nenabled = false",
            "u:1:11: unknown service `engin`, did you mean `engine`?",
        ),
        (
            "[services.ssh.lifecycle]\nafter = ['network:online', 'engin:ready']",
            "u:2:28: unknown service `engin`, did you mean `engine`?",
        ),
        (
            "[services.ssh]\nenabled = 'no'",
            "u:2:11: invalid type: string \"no\", expected a boolean",
        ),
        (
            "[services.ssh.resources]\ncpu-weight = 0",
            "u:2:14: cpu-weight must be 1..=10000, is 0",
        ),
        (
            "[services.ssh.resources]\nmemory-max = '0KiB'",
            "u:2:14: memory-max must be 1MiB or more, is 0KiB",
        ),
        (
            "[services.ssh.resources]\nopen-files = 2000000",
            "u:2:14: open-files must be 16..=1048576, is 2000000",
        ),
        (
            "[services.ssh.resources]\npids-max = -1",
            "u:2:12: pids-max must be 0..=4194304, is -1",
        ),
        (
            "[services.ssh.process]\nargs = ['sshd']",
            "u:2:8: args must start with the absolute path of a program",
        ),
        (
            "[services.ssh.process]\nargs = ['/sshd', \"-\\u0000\"]",
            "u:2:8: `-\\0` holds a NUL byte",
        ),
        (
            "[services.ssh.environment]\nA = ''\nB = \"b\\u0000\"",
            "u:3:5: `b\\0` holds a NUL byte",
        ),
        (
            "[services.ssh.environment]\n'' = 'a'",
            "u:2:1: `` is not the name of a variable: it must not be empty or hold `=` or a NUL byte",
        ),
        (
            "[services.ssh.environment]\n'A=' = 'a'",
            "u:2:1: `A=` is not the name of a variable: it must not be empty or hold `=` or a NUL byte",
        ),
        (
            "[services.ssh]\nenvironment = { \"A\\u0000\" = 'a' }",
            "u:2:17: `A\\0` is not the name of a variable: it must not be empty or hold `=` or a NUL byte",
        ),
        (
            "[apps.Shop]\nservices = {}",
            "u:1:7: `Shop` is not a name: write a letter, then letters, digits or `-`, all lower case, 63 at most",
        ),
        (
            "[network.interfaces.e]\ngateway = ['1.1.1.1', '2.2.2.2']",
            "u:2:11: gateway must be one address, or one of each family",
        ),
        (
            "[network.interfaces.e]\naddresses = ['1.1.1.1/33']",
            "u:2:13: `1.1.1.1/33` is not an address with its prefix length: write it as in `192.0.2.10/24`",
        ),
    ] {
        let error = Layer::parse("u", text.as_bytes(), &["engine", "ssh"]).unwrap_err();
        assert_eq!(error.to_string(), want);
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
                "u:1:1: `A…` is too long: an argument or variable must be shorter than 131072 bytes",
            ),
        ),
        (format!("{args}'{}']", text(longest)), None),
        (
            format!("{args}'{}']", text(longest + 1)),
            Some(
                "u:2:8: `xxxxxxxxxxxxxxxxxxxx…` is too long: an argument or variable must be shorter than 131072 bytes",
            ),
        ),
    ] {
        let error = Layer::parse("u", toml.as_bytes(), &["ssh"]).err();
        assert_eq!(error.map(|error| error.to_string()).as_deref(), want);
    }
}

#[test]
fn later_layers_win_key_by_key_and_lists_replace() {
    let (merged, left_out) = merge(&[
        layer(
            "image",
            "hostname = 'a'\n[network]\ndns = ['1.1.1.1', '8.8.8.8']\nsearch = ['x']",
        ),
        layer(
            "fw_cfg",
            "[network]\ndns = ['9.9.9.9']\n[services.engine.environment]\nA = 'b'",
        ),
    ]);
    let Merged {
        machine, origins, ..
    } = merged;
    assert_eq!(left_out, Vec::<String>::new());
    assert_eq!(machine.hostname.unwrap().as_str(), "a");
    assert_eq!(
        machine.network.dns,
        ["9.9.9.9".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(machine.network.search.len(), 1);
    assert_eq!(machine.services["engine"].environment["A"], "b");
    assert_eq!(origins["network.dns"], "fw_cfg");
    assert_eq!(origins["hostname"], "image");
}

/// As it does one that is baked into the image.
#[test]
fn an_app_in_another_form_replaces_the_app() {
    let text = "[apps.shop]\ncompose = 'services: {}'";
    let file = "[apps.shop]\ncompose-file = '/srv/a.yaml'";
    let toml = "[apps.shop.services.a]\nimage = 'a'";
    for (weak, strong, origins) in [
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
        let (merged, left_out) = merge(&[layer("image", weak), layer("fw_cfg", strong)]);
        assert_eq!(left_out, Vec::<String>::new());
        let of = merged.origins.iter();
        let of: Vec<String> = of.map(|(key, source)| format!("{key}: {source}")).collect();
        assert_eq!(of, origins);
    }
}

#[test]
fn layers_that_conflict_cost_the_conflicting_keys() {
    let health = |text: &str| format!("[services.ssh.lifecycle]\nhealth = {{ {text} }}");
    let certificate = "[log.forward]\nto = 'tls://a'\nca = '-----BEGIN CERTIFICATE-----'";
    for (weak, strong, want, origins) in [
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
                "fw_cfg: `log.file` is left out, because it conflicts with image and nocloud: log.file is 4MiB: it \
                 must be half of log.total, 4MiB, at most, in `log`",
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
        let layers = [("image", ""), ("nocloud", &weak), ("fw_cfg", &strong)];
        let (merged, left_out) = merge(&layers.map(|(source, text)| layer(source, text)));
        assert_eq!(left_out, want.into_iter().collect::<Vec<_>>());
        let of = merged.origins.iter();
        let of: Vec<String> = of.map(|(key, source)| format!("{key}: {source}")).collect();
        assert_eq!(of, origins);
    }
}

#[test]
fn every_prefix_of_a_good_layer_is_taken_or_refused_but_never_panics() {
    let text = include_str!("example.toml");
    for end in 0..=text.len() {
        let _ = Layer::parse("u", &text.as_bytes()[..end], &["engine", "ssh"]);
    }
    assert!(Layer::parse("u", text.as_bytes(), &["engine", "ssh"]).is_ok());
}

#[test]
fn the_examples_of_the_pages_are_user_data() {
    for (page, count) in [
        (include_str!("../../../../README.md"), 1),
        (include_str!("../../../../docs/user-data.md"), 1),
        (include_str!("../../../../docs/tare-command.md"), 1),
        (LOGS, 2),
    ] {
        let examples = examples(page, "toml");
        assert_eq!(examples.len(), count);
        for text in examples {
            let read = Layer::parse("docs", text.as_bytes(), &["engine"]);
            assert_eq!(read.err(), None, "{text}");
        }
    }
}

#[test]
fn the_page_of_logs_shows_the_defaults() {
    let shown = layer("docs", examples(LOGS, "toml")[0]);
    let (merged, _) = merge(&[shown]);
    assert_eq!(merged.machine.log, Machine::default().log);
}
