//! The kernel.

use serde::{Deserialize, Serialize};

/// What the kernel does, besides its settings below `sysctl`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Kernel {
    /// The least urgent lines of the kernel's log, and of PID 1's in it, that the console shows. The log keeps all.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["warning"],
        "x-tare-apply" = "live",
        "x-tare-default" = "as `loglevel=` on the kernel's command line: `notice`",
    )))]
    pub log_level: Option<LogLevel>,
}

/// How urgent a line is (syslog(3)), from the most urgent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// The machine cannot be used.
    Emergency,
    /// Somebody must act at once.
    Alert,
    /// A critical condition.
    Critical,
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// What PID 1 says in normal operation.
    Notice,
    /// What drivers say about devices.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// The number of the level that is not shown any more, from 1 to 8: the kernel's console level (syslog(2)).
    #[must_use]
    pub fn console(self) -> i32 {
        self as i32 + 1
    }
}

#[cfg(test)]
mod tests {
    use crate::Machine;

    #[test]
    fn levels_are_those_of_the_kernel() {
        for (name, want) in [("emergency", 1), ("notice", 6), ("debug", 8)] {
            let text = format!("kernel.log-level = '{name}'");
            let machine: Machine = toml::from_str(&text).unwrap();
            assert_eq!(machine.kernel.log_level.unwrap().console(), want, "{name}");
        }
    }
}
