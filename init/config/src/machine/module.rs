//! Modules of the kernel.

use serde::{Deserialize, Serialize};

/// A module's name or alias (`modprobe(8)`), such as `ip_vs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModuleName(String);

impl ModuleName {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ModuleName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        // It becomes an argument.
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-:.".contains(c);
        match name.len() <= 64
            && name.chars().all(fits)
            && !name.starts_with('-')
            && !name.is_empty()
        {
            true => Ok(Self(name)),
            false => Err(format!(
                "`{name}` is not a kernel module: write its name as in `ip_vs`, without its path"
            )),
        }
    }
}

impl From<ModuleName> for String {
    fn from(name: ModuleName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_words() {
        for (name, fits) in [
            ("ip_vs", true),
            ("nf-nat-sip", true),
            ("net-pf-17", true),
            ("", false),
            ("--coldplug", false),
            ("fs/xfs/xfs.ko", false),
            ("ip_vs hash=1", false),
        ] {
            assert_eq!(
                ModuleName::try_from(name.to_owned()).is_ok(),
                fits,
                "{name}"
            );
        }
    }
}
