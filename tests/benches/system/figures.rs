//! What is measured on each system.

/// A figure, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Figure {
    /// From QEMU's start to PID 1's first line on the console.
    Pid1,
    /// To the ssh server's banner.
    Ssh,
    /// To the answer of `docker info`.
    Docker,
    /// From the request to QEMU's exit.
    PowerOff,
    /// MemTotal − MemAvailable when idle.
    Memory,
    /// The same, with the engine on demand and not yet requested.
    MemoryOnDemand,
    /// What each of a hundred idle containers adds to it.
    IdleContainer,
    /// Processes of user space when idle.
    Processes,
    /// The sum of their proportional set sizes.
    Pss,
    /// Resident memory of PID 1.
    Pid1Rss,
    /// The same with a thousand services.
    Pid1RssMany,
    /// Its growth after 10,000 restarts of services.
    Growth,
    /// Its wake-ups in 10 s on an idle machine.
    WakeUps,
    /// Between two starts of a thousand services, over the first hundred.
    StartFirst,
    /// Over the last hundred.
    StartLast,
    /// PID 1's executable.
    Pid1Binary,
    /// `docker run --rm` of an image of one static program.
    DockerRun,
    /// What the disk image occupies, without holes.
    ImageRaw,
    /// The disk image, compressed.
    ImageZstd,
    /// Executable files on the host's root.
    Executables,
    /// Files on the host's root that run with another user's or group's rights.
    Setuid,
}

/// How a figure is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Stored in seconds.
    Seconds,
    /// Stored in bytes.
    Mebibytes,
    /// Stored in bytes; for small sizes.
    Kibibytes,
    /// A whole number.
    Count,
    /// A fractional number.
    Rate,
}

impl Figure {
    /// All of them.
    pub(crate) const ALL: [Self; 21] = [
        Self::Pid1,
        Self::Ssh,
        Self::Docker,
        Self::PowerOff,
        Self::Memory,
        Self::MemoryOnDemand,
        Self::IdleContainer,
        Self::Processes,
        Self::Pss,
        Self::Pid1Rss,
        Self::Pid1RssMany,
        Self::Growth,
        Self::WakeUps,
        Self::StartFirst,
        Self::StartLast,
        Self::Pid1Binary,
        Self::DockerRun,
        Self::ImageRaw,
        Self::ImageZstd,
        Self::Executables,
        Self::Setuid,
    ];

    /// Its name in the report.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Pid1 => "start → PID 1",
            Self::Ssh => "start → ssh banner",
            Self::Docker => "start → `docker info` answers",
            Self::PowerOff => "power off",
            Self::Memory => "memory used when idle",
            Self::MemoryOnDemand => "memory used when idle, engine on demand",
            Self::IdleContainer => "memory of each of 100 idle containers",
            Self::Processes => "processes when idle",
            Self::Pss => "their memory (PSS)",
            Self::Pid1Rss => "PID 1, resident",
            Self::Pid1RssMany => "PID 1, resident, with 1000 services",
            Self::Growth => "PID 1, growth over 10,000 restarts",
            Self::WakeUps => "PID 1, wake-ups in 10 s when idle",
            Self::StartFirst => "start of each of 1000 services, the first 100",
            Self::StartLast => "start of each of 1000 services, the last 100",
            Self::Pid1Binary => "PID 1, file",
            Self::DockerRun => "`docker run --rm`",
            Self::ImageRaw => "disk image",
            Self::ImageZstd => "disk image, zstd -12",
            Self::Executables => "executable files on the host",
            Self::Setuid => "setuid and setgid files on the host",
        }
    }

    /// How it is written.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Pid1
            | Self::Ssh
            | Self::Docker
            | Self::PowerOff
            | Self::DockerRun
            | Self::StartFirst
            | Self::StartLast => Unit::Seconds,
            Self::Growth => Unit::Kibibytes,
            Self::WakeUps => Unit::Rate,
            Self::Processes | Self::Executables | Self::Setuid => Unit::Count,
            _ => Unit::Mebibytes,
        }
    }
}

impl Unit {
    /// `value` with its unit.
    pub(crate) fn write(self, value: f64) -> String {
        match self {
            Self::Seconds if value < 1.0 => format!("{:.1} ms", value * 1e3),
            Self::Seconds => format!("{value:.1} s"),
            Self::Mebibytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::Kibibytes => format!("{:.0} KiB", value / f64::from(1 << 10)),
            Self::Count => format!("{value:.0}"),
            Self::Rate => format!("{value:.1}"),
        }
    }
}
