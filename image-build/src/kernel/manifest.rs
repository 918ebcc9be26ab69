//! `kernel.toml`: which source, which base, which fragments.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::fragment::{self, Request};
use super::merge::merge;

/// File name of the manifest, beside the fragments that it names.
const MANIFEST: &str = "kernel.toml";

/// What `kernel.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Manifest {
    /// Debian's source package of the kernel, such as `linux-source-6.12`.
    pub(super) source: String,
    /// What options have that no fragment names.
    pub(super) base: Base,
    /// Families of options, by prefix, none of which may be off unless a fragment says so.
    #[serde(default)]
    pub(super) never_off: Vec<String>,
    /// About how many lines a full compile prints: the length of the progress bar, nothing else.
    pub(super) compile_steps: u64,
    /// In the order in which they are merged.
    #[serde(rename = "fragment")]
    pub(super) fragments: Vec<Fragment>,
}

/// A make target that fills in what the fragments leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Base {
    /// Everything that is not asked for is off.
    AllNoConfig,
    /// Everything that is not asked for has Kconfig's default.
    AllDefConfig,
}

impl Base {
    /// The target's name.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::AllNoConfig => "allnoconfig",
            Self::AllDefConfig => "alldefconfig",
        }
    }
}

/// A fragment file and why it is there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Fragment {
    /// Relative to the manifest.
    pub(super) file: String,
    /// For people.
    #[serde(rename = "purpose")]
    _purpose: String,
}

/// The manifest together with the merged content of its fragments.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// `kernel.toml`.
    pub(super) manifest: Manifest,
    /// Each option once.
    pub(super) requests: Vec<Request>,
}

impl Recipe {
    /// Reads `kernel.toml` and its fragments from `folder`.
    ///
    /// # Errors
    /// A file cannot be read or understood, or two fragments contradict each other.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let manifest: Manifest = toml::from_str(&read(&folder.join(MANIFEST))?)
            .with_context(|| folder.join(MANIFEST).display().to_string())?;
        let parsed = manifest.fragments.iter().map(|Fragment { file, .. }| {
            let text = read(&folder.join(file))?;
            fragment::parse(file, &text)
        });
        let requests = merge(parsed.collect::<Result<_>>()?)?;
        Ok(Self { manifest, requests })
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_recipe_is_consistent() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-config");
        let recipe = Recipe::read(&folder).unwrap();
        let of = |option: &str| {
            let mut all = recipe.requests.iter();
            all.find(|request| request.option == option)
                .map(|request| request.value.to_string())
        };
        for (option, want) in [
            ("DM_INIT", "y"),
            ("MODPROBE_PATH", "\"/sbin/modprobe\""),
            ("DEVMEM", "n"),
        ] {
            assert_eq!(of(option).as_deref(), Some(want), "{option}");
        }
    }

    #[test]
    fn manifests_that_are_refused() {
        let good = "source = 's'\nbase = 'allnoconfig'\ncompile-steps = 1\nfragment = []\n";
        assert_eq!(
            toml::from_str::<Manifest>(good).unwrap().base.target(),
            "allnoconfig"
        );
        for (from, to, want) in [
            ("source = 's'\n", "", "missing field `source`"),
            ("compile", "x", "unknown field `x-steps`"),
            ("allno", "allyes", "unknown variant `allyesconfig`"),
        ] {
            let error = toml::from_str::<Manifest>(&good.replace(from, to)).unwrap_err();
            assert!(error.message().starts_with(want), "{error}");
        }
    }
}
