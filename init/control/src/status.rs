//! The status of the machine.

use crate::wire::wire;

wire! {
    CustomType:
    /// The health of the machine.
    #[derive(Copy)]
    pub enum Health {
        /// Not every required service has been ready yet.
        Starting,
        /// All is well.
        Ready,
        /// Something is wrong.
        Degraded,
        /// It is about to power off or to reboot.
        Ending,
    }

    CustomType:
    /// An address of the machine.
    pub struct Address {
        /// The link that has it, by its kernel name.
        pub link: String,
        /// With its prefix length.
        pub address: String,
    }

    CustomType:
    /// The machine's memory, in bytes.
    #[derive(Copy)]
    pub struct Memory {
        /// All that the kernel manages.
        pub total: u64,
        /// What programs can still allocate without swapping.
        pub available: u64,
    }

    CustomType:
    /// The state file system, in bytes.
    #[derive(Copy)]
    pub struct Disk {
        /// Its total size.
        pub size: u64,
        /// What services can still write.
        pub available: u64,
        /// Whether it is in memory and lost at power off.
        pub volatile: bool,
    }

    Type:
    /// The reply to `GetStatus`.
    pub struct GetStatus {
        /// The version of the system that runs.
        pub version: String,
        /// The release of its kernel.
        pub kernel: String,
        /// The machine's name.
        pub hostname: String,
        /// `machine-id(5)`.
        pub machine_id: String,
        /// The kernel's random id of this boot.
        pub boot_id: String,
        /// The partition that the system runs from.
        pub slot: Option<String>,
        /// Its health.
        pub health: Health,
        /// Why it is not ready, one line each.
        pub problems: Vec<String>,
        /// Microseconds since the kernel started.
        pub uptime: u64,
        /// When all required services were first ready, likewise.
        pub ready_at: Option<u64>,
        /// Of all links except loopback.
        pub addresses: Vec<Address>,
        /// The machine's memory.
        pub memory: Memory,
        /// `None` before it is mounted.
        pub state: Option<Disk>,
        /// The number of the generation of the configuration in force; `None` before there is one.
        pub configuration: Option<u64>,
        /// The number of one with which the machine was not ready, if the last good one is in its place.
        pub set_aside: Option<u64>,
    }
}

impl Health {
    /// The word that people read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Ending => "ending",
        }
    }
}
