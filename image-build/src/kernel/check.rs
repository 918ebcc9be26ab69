//! Checks that every request took effect. Kconfig silently drops options that it does not know, that depend on
//! something that is off, or that another option overrides.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::fragment::{Request, Value, setting};

/// The content of a `.config`.
#[derive(Debug)]
pub(super) struct DotConfig(BTreeMap<String, Value>);

impl DotConfig {
    /// Parses what Kconfig wrote.
    ///
    /// # Errors
    /// If a line is not an option: then this is not a `.config`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut options = BTreeMap::new();
        for line in text.lines() {
            if let Some((option, value)) = setting(line)? {
                options.insert(option.to_owned(), value);
            }
        }
        Ok(Self(options))
    }

    fn get(&self, option: &str) -> &Value {
        self.0.get(option).unwrap_or(&Value::No)
    }
}

/// Compares `config` with `requests`.
///
/// # Errors
/// Lists every difference: where the option was requested, the requested value, and the actual one.
pub(super) fn check(requests: &[Request], config: &DotConfig) -> Result<()> {
    let differences: Vec<_> = requests
        .iter()
        .filter_map(|request| difference(request, config))
        .collect();
    if !differences.is_empty() {
        bail!(
            "the kernel's configuration is not what was asked for:\n  {}",
            differences.join("\n  ")
        );
    }
    Ok(())
}

/// Options of the families `never_off` (name prefixes) that Kconfig knows and no request names. A security update of
/// the source may add such options.
pub(super) fn unnamed(
    requests: &[Request],
    never_off: &[String],
    config: &DotConfig,
) -> Vec<String> {
    let requested = |option: &String| requests.iter().any(|request| request.option == *option);
    let in_family = |option: &String| never_off.iter().any(|family| option.starts_with(family));
    let options = config.0.keys();
    let unnamed = options.filter(|option| in_family(option) && !requested(option));
    unnamed.cloned().collect()
}

fn difference(request: &Request, config: &DotConfig) -> Option<String> {
    let Request {
        option,
        value,
        place,
    } = request;
    let got = config.get(option);
    (got != value).then(|| format!("{place}: CONFIG_{option}={value}, got {got}"))
}

#[cfg(test)]
mod tests {
    use super::super::fragment::parse;
    use super::*;

    fn verdict(fragment: &str, config: &str) -> String {
        let requests = parse("a.config", fragment).unwrap();
        let config = DotConfig::parse(config).unwrap();
        let result = check(&requests, &config);
        result.map_or_else(|error| error.to_string(), |()| "ok".to_owned())
    }

    #[test]
    fn requests_that_took() {
        for (fragment, config) in [
            ("", "# Linux/x86 6.12 Kernel Configuration\n\nCONFIG_A=y"),
            ("CONFIG_A=y", "CONFIG_A=y"),
            ("CONFIG_A=n", "# CONFIG_A is not set"),
            ("CONFIG_HIDDEN=n", ""),
            ("CONFIG_S=\"x y\"", "CONFIG_S=\"x y\""),
        ] {
            assert_eq!(verdict(fragment, config), "ok", "{fragment}");
        }
    }

    #[test]
    fn every_difference_is_listed() {
        let fragment = "CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=n\nCONFIG_D=1";
        let config = "CONFIG_A=m\nCONFIG_C=y\nCONFIG_D=2";
        let want = "the kernel's configuration is not what was asked for:\n  \
                    a.config:1: CONFIG_A=y, got m\n  a.config:2: CONFIG_B=m, got n\n  \
                    a.config:3: CONFIG_C=n, got y\n  a.config:4: CONFIG_D=1, got 2";
        assert_eq!(verdict(fragment, config), want);
    }

    #[test]
    fn options_that_a_source_brings_and_no_fragment_names() {
        let family = ["MITIGATION_".to_owned()];
        for (fragment, config, want) in [
            ("", "CONFIG_A=y", &[][..]),
            ("CONFIG_MITIGATION_A=y", "CONFIG_MITIGATION_A=y", &[]),
            (
                "CONFIG_MITIGATION_A=n",
                "# CONFIG_MITIGATION_A is not set",
                &[],
            ),
            ("", "# CONFIG_MITIGATION_B is not set", &["MITIGATION_B"]),
            ("", "CONFIG_MITIGATION_B=y\nCONFIG_A=y", &["MITIGATION_B"]),
        ] {
            let requests = parse("a.config", fragment).unwrap();
            let config = DotConfig::parse(config).unwrap();
            assert_eq!(unnamed(&requests, &family, &config), want, "{fragment}");
        }
    }
}
