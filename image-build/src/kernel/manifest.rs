//! `kernel.toml`: which source, which base, which fragments.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Deserialize;

use super::fragment::{self, Request};
use super::merge::merge;

/// File name of the manifest, next to the fragments that it names.
const MANIFEST: &str = "kernel.toml";

/// What kind of machine a kernel is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Virtual machines and clouds.
    #[default]
    Vm,
    /// The same, and servers and edge boxes.
    Metal,
}

/// The content of `kernel.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Manifest {
    /// Debian's source package of the kernel, such as `linux-source-6.12`.
    pub(super) source: String,
    /// The values of options that no fragment names.
    pub(super) base: Base,
    /// Families of options, by prefix, none of which may be off unless a fragment says so.
    #[serde(default)]
    pub(super) never_off: Vec<String>,
    /// About how many lines a full compile prints; only sets the length of the progress bar.
    pub(super) compile_steps: Steps,
    /// In the order in which they are merged.
    #[serde(rename = "fragment")]
    pub(super) fragments: Vec<Fragment>,
}

/// The lines that a compile prints, for each platform.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Steps {
    vm: u64,
    metal: u64,
}

impl Steps {
    /// The value for `platform`.
    pub(super) fn of(self, platform: Platform) -> u64 {
        match platform {
            Platform::Vm => self.vm,
            Platform::Metal => self.metal,
        }
    }
}

/// A make target that fills in what the fragments leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Base {
    /// Everything that is not requested is off.
    AllNoConfig,
    /// Everything that is not requested has Kconfig's default.
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
    /// For human readers.
    #[serde(rename = "purpose")]
    _purpose: String,
    /// The only platform that it is for; all platforms if none is named.
    only_for: Option<Platform>,
}

impl Fragment {
    fn is_for(&self, platform: Platform) -> bool {
        self.only_for.is_none_or(|only| only == platform)
    }
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
    /// Reads `kernel.toml` and its fragments for `platform` from `folder`.
    ///
    /// # Errors
    /// A file cannot be read or understood, or two fragments contradict each other.
    pub(super) fn read(folder: &Path, platform: Platform) -> Result<Self> {
        let manifest: Manifest = toml::from_str(&read(&folder.join(MANIFEST))?)
            .with_context(|| folder.join(MANIFEST).display().to_string())?;
        let fragments = manifest.fragments.iter();
        let fragments = fragments.filter(|fragment| fragment.is_for(platform));
        let parsed = fragments.map(|Fragment { file, .. }| {
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
        for (platform, option, want) in [
            (Platform::Vm, "DM_INIT", Some("y")),
            (Platform::Vm, "MODPROBE_PATH", Some("\"/sbin/modprobe\"")),
            (Platform::Vm, "DEVMEM", Some("n")),
            (Platform::Vm, "MEGARAID_SAS", None),
            (Platform::Metal, "MEGARAID_SAS", Some("y")),
            (Platform::Metal, "DEVMEM", Some("n")),
        ] {
            let recipe = Recipe::read(&folder, platform).unwrap();
            let mut all = recipe.requests.iter();
            let found = all.find(|request| request.option == option);
            let value = found.map(|request| request.value.to_string());
            assert_eq!(value.as_deref(), want, "{platform:?} {option}");
        }
    }

    #[test]
    fn manifests_that_are_refused() {
        let good = "source = 's'\nbase = 'allnoconfig'\ncompile-steps = { vm = 1, metal = 1 }\nfragment = []\n";
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
