//! The machine's host name.

use serde::{Deserialize, Serialize};

/// A host name: labels of letters, digits and `-`, 64 bytes at most (`HOST_NAME_MAX`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Hostname {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.len() <= 64 && name.split('.').all(is_label) {
            return Ok(Self(name));
        }
        Err(format!(
            "`{name}` is not a host name: write letters, digits and `-`, 64 at most (RFC 1123, section 2.1)"
        ))
    }
}

pub(super) fn is_label(label: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(fits)
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for good in ["a", "edge-17", "n1.example.com"] {
            assert_eq!(
                Hostname::try_from(good.to_owned()),
                Ok(Hostname(good.to_owned()))
            );
        }
        for bad in ["", "-a", "a-", "a..b", "a_b", "ä", &"x".repeat(65)] {
            let want = format!(
                "`{bad}` is not a host name: write letters, digits and `-`, 64 at most (RFC 1123, section 2.1)"
            );
            assert_eq!(Hostname::try_from(bad.to_owned()), Err(want));
        }
    }
}
