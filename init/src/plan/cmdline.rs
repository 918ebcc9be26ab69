//! Configuration on the kernel's command line.

use std::collections::BTreeMap;

/// The source.
pub(crate) const CMDLINE: &str = "cmdline";

/// Words of the command line that set configuration: `tare.KEY=VALUE`.
const PREFIX: &str = "tare.";

/// The TOML of a command line, a key a line; empty if it sets nothing. A value that is not TOML is text, and of several
/// for one key the last counts, as with the kernel's own parameters.
pub(crate) fn toml(cmdline: &str) -> String {
    let words = words(cmdline);
    let settings = words.iter().filter_map(|word| {
        let (key, value) = word.strip_prefix(PREFIX)?.split_once('=')?;
        Some((key, value))
    });
    let settings: BTreeMap<&str, &str> = settings.collect();
    let mut text = String::new();
    for (key, value) in settings {
        // A word that is no key, or that contradicts one before, costs itself alone.
        let more = format!("{text}{key} = {}\n", written(value));
        match more.parse::<toml::Table>() {
            Ok(_) => text = more,
            Err(_) => log::error!(
                "command line: `{PREFIX}{key}` is left out: not a key, or one with another below it"
            ),
        }
    }
    text
}

fn written(value: &str) -> String {
    match format!("x = {value}").parse::<toml::Table>() {
        Ok(table) if table.len() == 1 => value.to_owned(),
        _ => toml::Value::from(value).to_string(),
    }
}

/// Splits at blanks that are not between double quotes, which are dropped where they surround a word or a value (the
/// kernel's `next_arg()`). Within the brackets of a TOML array or table they stay.
fn words(cmdline: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in cmdline.trim().chars() {
        let Some(word) = words.last_mut() else { break };
        match c {
            '"' => {
                quoted = !quoted;
                word.push(c);
            }
            c if c.is_ascii_whitespace() && !quoted => words.push(String::new()),
            c => word.push(c),
        }
    }
    words.iter().map(|word| unquoted(word)).collect()
}

/// `"a=b"` and `a="b"` without the quotes.
fn unquoted(word: &str) -> String {
    let inner = |text: &str| {
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.contains('"')).then(|| inner.to_owned())
    };
    if let Some(inner) = inner(word) {
        return inner;
    }
    match word.split_once('=') {
        Some((key, value)) => match inner(value) {
            Some(value) => format!("{key}={value}"),
            None => word.to_owned(),
        },
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_command_line() {
        for (cmdline, want) in [
            ("", ""),
            ("console=ttyS0 quiet tare.x tare", ""),
            (
                "root=/dev/dm-0 tare.hostname=edge-17 ro\n",
                "hostname = \"edge-17\"\n",
            ),
            (
                "tare.log.rate=5 tare.services.engine.enabled=false",
                "log.rate = 5\nservices.engine.enabled = false\n",
            ),
            ("tare.log.rate=5 tare.log.rate=6", "log.rate = 6\n"),
            (
                "tare.network.dns=['192.0.2.53','192.0.2.54']",
                "network.dns = ['192.0.2.53','192.0.2.54']\n",
            ),
            (
                "\"tare.unset=['hostname', 'log']\" tare.hostname=\"a b\"",
                "hostname = \"a b\"\nunset = ['hostname', 'log']\n",
            ),
            (
                "tare.network.dns=[\"192.0.2.53\",\"192.0.2.54\"]",
                "network.dns = [\"192.0.2.53\",\"192.0.2.54\"]\n",
            ),
            ("tare.hostname=", "hostname = \"\"\n"),
            ("tare.log=1 tare.log.rate=5 tare.a/b=1", "log = 1\n"),
            ("'tare.a b=1' tare.=3 tare.log.rate=5", "log.rate = 5\n"),
            (
                "tare.hostname=a\\\"b' tare.log.rate=1",
                "hostname = '''a\\\"b' tare.log.rate=1'''\n",
            ),
        ] {
            assert_eq!(toml(cmdline), want, "{cmdline}");
        }
    }

    #[test]
    fn nothing_on_a_command_line_is_more_than_a_value() {
        for value in ["1\nhostname = 'x'", "'''", "\"", "# x", "1 # x"] {
            let text = written(value);
            let read: toml::Table = format!("x = {text}").parse().unwrap();
            assert_eq!(read.keys().collect::<Vec<_>>(), ["x"], "{value}");
        }
    }
}
