//! The machine's configuration.

use crate::wire::wire;

wire! {
    CustomType:
    /// A text that sets configuration.
    pub struct Source {
        /// `image`, `nocloud`, `fw_cfg`.
        pub name: String,
        /// TOML.
        pub text: String,
    }

    Type:
    /// The reply to `ApplyConfiguration`.
    pub struct ApplyConfiguration {
        /// What has changed, or would, a line each.
        pub changes: Vec<String>,
    }

    Type:
    /// The reply to `GetConfiguration`.
    pub struct GetConfiguration {
        /// The texts in force, from the weakest to the strongest.
        pub sources: Vec<Source>,
        /// The services of the image, by name, as their descriptions say.
        pub services: serde_json::Value,
    }
}
