//! The machine's configuration.

use crate::wire::wire;

wire! {
    CustomType:
    /// A text that sets configuration.
    pub struct Source {
        /// `image`, `nocloud`, `fw_cfg`, `local`, `once` or `cmdline`.
        pub name: String,
        /// TOML.
        pub text: String,
    }

    Type:
    /// The reply to `ApplyConfiguration` and all that change the configuration in another way.
    pub struct ApplyConfiguration {
        /// What has changed, or would, a line each.
        pub changes: Vec<String>,
        /// The generation in force.
        pub number: u64,
        /// In how many seconds it is taken back unless it is confirmed.
        pub unconfirmed: Option<u64>,
    }

    CustomType:
    /// How the machine was with a generation.
    #[derive(Copy)]
    pub enum Verdict {
        /// It has not been ready with it yet.
        Untried,
        /// It has been ready with it.
        Good,
        /// It does not use it any more.
        Bad,
    }

    CustomType:
    /// A set of texts that the machine ran with, or was told to.
    pub struct Generation {
        /// From 1.
        pub number: u64,
        /// When it came, by the machine's clock, in seconds since 1970.
        pub time: u64,
        /// The generation that was in force before, 0 if none was; `None` if it comes from an earlier release.
        pub base: Option<u64>,
        /// The sources whose text is not that of `base`.
        pub sources: Vec<String>,
        /// Who called; `None` where a boot found it.
        pub uid: Option<u32>,
        /// The generation whose texts it repeats.
        pub rollback_of: Option<u64>,
        /// How the machine was with it.
        pub verdict: Verdict,
        /// Why it is bad.
        pub reason: Option<String>,
        /// Whether it is in force.
        pub running: bool,
    }

    Type:
    /// The reply to `GetGenerations`.
    pub struct GetGenerations {
        /// The oldest first.
        pub generations: Vec<Generation>,
        /// In how many seconds the one in force is taken back unless it is confirmed.
        pub unconfirmed: Option<u64>,
    }

    Type:
    /// The reply to `GetGeneration`.
    pub struct GetGeneration {
        /// Its texts.
        pub sources: Vec<Source>,
    }

    Type:
    /// The reply to `GetConfiguration`.
    pub struct GetConfiguration {
        /// The texts in force, from the weakest to the strongest.
        pub sources: Vec<Source>,
        /// The generation that they are; without those of `image`, `once` and `cmdline`.
        pub number: u64,
        /// The services of the image, by name, as their descriptions say.
        pub services: serde_json::Value,
    }
}
