//! depmod's text files: which module serves an alias, and what a module needs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// `modules.alias` and `modules.dep` of one kernel (`depmod(8)`).
pub(super) struct Index {
    /// Pattern and module, in depmod's order.
    aliases: Vec<(String, String)>,
    /// Module → its files, its dependencies last.
    files: BTreeMap<String, Vec<String>>,
}

impl Index {
    pub(super) fn load(folder: &Path) -> io::Result<Self> {
        let aliases = fs::read_to_string(folder.join("modules.alias"))?;
        let dependencies = fs::read_to_string(folder.join("modules.dep"))?;
        Ok(Self::parse(&aliases, &dependencies))
    }

    fn parse(aliases: &str, dependencies: &str) -> Self {
        Self {
            aliases: aliases.lines().filter_map(parse_alias).collect(),
            files: dependencies
                .lines()
                .filter_map(parse_dependencies)
                .collect(),
        }
    }

    /// The modules that serve `wanted`, which is a module's name or an alias.
    pub(super) fn matching<'a>(&'a self, wanted: &str) -> Vec<&'a str> {
        if let Some((name, _)) = self.files.get_key_value(&canonical(wanted)) {
            return vec![name];
        }
        let serves =
            |(pattern, _): &&(String, String)| matches(pattern.as_bytes(), wanted.as_bytes());
        self.aliases
            .iter()
            .filter(serves)
            .map(|(_, module)| module.as_str())
            .collect()
    }

    /// The files to insert for `module`, in order: its dependencies first.
    pub(super) fn files(&self, module: &str) -> impl Iterator<Item = &str> {
        self.files
            .get(&canonical(module))
            .into_iter()
            .flatten()
            .rev()
            .map(String::as_str)
    }
}

/// `alias PATTERN MODULE`
fn parse_alias(line: &str) -> Option<(String, String)> {
    let (pattern, module) = line.strip_prefix("alias ")?.rsplit_once(' ')?;
    Some((pattern.to_owned(), module.to_owned()))
}

/// `FILE: FILE FILE…`: a module and all its dependencies, those that others need last.
fn parse_dependencies(line: &str) -> Option<(String, Vec<String>)> {
    let (file, needs) = line.split_once(':')?;
    let name = Path::new(file).file_name()?.to_str()?.split('.').next()?;
    let files = std::iter::once(file)
        .chain(needs.split_whitespace())
        .map(str::to_owned);
    Some((canonical(name), files.collect()))
}

/// The kernel treats `-` and `_` in module names as the same.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// `fnmatch(3)` as far as depmod writes patterns: `*`, `?` and `[a-b]`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        (Some((b'?', rest)), Some((_, tail))) => matches(rest, tail),
        (Some((b'[', rest)), Some((byte, tail))) => match set(rest, *byte) {
            Some((true, rest)) => matches(rest, tail),
            _ => false,
        },
        (Some((a, rest)), Some((b, tail))) => a == b && matches(rest, tail),
        _ => false,
    }
}

/// Whether `byte` is in the set that `pattern` starts with, and what follows its `]`.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let end = pattern.iter().position(|b| *b == b']')?;
    let (mut members, rest) = (&pattern[..end], &pattern[end + 1..]);
    let mut found = false;
    while let Some((&low, tail)) = members.split_first() {
        let (high, tail) = match tail {
            [b'-', high, tail @ ..] => (*high, tail),
            _ => (low, tail),
        };
        found |= (low..=high).contains(&byte);
        members = tail;
    }
    Some((found, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::parse(
            "# Aliases\nalias pci:v00008086d*sv*sd*bc*sc*i* e1000\nalias net-pf-17 af_packet\nalias acpi*:PNP0C0[A-C]:* battery\n",
            "kernel/a/e1000.ko:\nkernel/n/xt-set.ko: kernel/n/ip_set.ko kernel/n/nfnetlink.ko\n",
        )
    }

    #[test]
    fn aliases_and_names_find_their_modules() {
        for (wanted, want) in [
            ("pci:v00008086d0000100Esv0sd0bc02sc00i00", vec!["e1000"]),
            ("net-pf-17", vec!["af_packet"]),
            ("acpi:PNP0C0B:", vec!["battery"]),
            ("acpi:PNP0C0D:", vec![]),
            ("xt_set", vec!["xt_set"]),
            ("xt-set", vec!["xt_set"]),
            ("nothing", vec![]),
        ] {
            assert_eq!(index().matching(wanted), want, "{wanted}");
        }
    }

    #[test]
    fn what_a_module_needs_is_inserted_first() {
        let index = index();
        let files: Vec<&str> = index.files("xt_set").collect();
        assert_eq!(
            files,
            [
                "kernel/n/nfnetlink.ko",
                "kernel/n/ip_set.ko",
                "kernel/n/xt-set.ko"
            ]
        );
    }
}
