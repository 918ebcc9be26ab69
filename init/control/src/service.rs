//! The services and how they are.

use crate::wire::wire;

wire! {
    CustomType:
    /// Where a service is in its life.
    #[derive(Copy)]
    pub enum State {
        /// It waits for what it starts after.
        Waiting,
        /// It runs, and does not answer yet.
        Starting,
        /// It runs and answers.
        Ready,
        /// It runs, and its health checks fail.
        Degraded,
        /// It was told to end.
        Stopping,
        /// It ended, and is started again after a while.
        BackingOff,
        /// It ended badly, for good.
        Failed,
        /// It ended well, for good.
        Done,
        /// It ended because it was told to.
        Stopped,
    }

    CustomType:
    /// A service.
    pub struct Service {
        /// What it is called.
        pub name: String,
        /// One line for people.
        pub description: String,
        /// Where it is in its life.
        pub state: State,
        /// When it came there: microseconds since the kernel started.
        pub since: u64,
        /// Whether a boot without it is a bad boot.
        pub required: bool,
        /// How often its program was started.
        pub starts: u64,
        /// Its main process, while it runs.
        pub pid: Option<i32>,
        /// Bytes of memory of all its processes.
        pub memory: Option<u64>,
        /// Microseconds of processor time of all its runs.
        pub cpu: Option<u64>,
        /// How many threads it has.
        pub tasks: Option<u64>,
        /// What it last said of itself.
        pub text: String,
        /// How its last run ended.
        pub last_exit: Option<String>,
    }

    CustomType:
    /// What a service starts after.
    pub struct Dependency {
        /// As it is written.
        pub condition: String,
        /// Whether it holds now.
        pub holds: bool,
    }

    Type:
    /// The reply to `ListServices`.
    pub struct ListServices {
        /// By name.
        pub services: Vec<Service>,
    }

    Type:
    /// The reply to `ExecInService`.
    #[derive(Copy)]
    pub struct ExecInService {
        /// Its exit status; none where a signal ended it.
        pub status: Option<i32>,
        /// The number of that signal.
        pub signal: Option<i32>,
    }

    Type:
    /// The reply to `ShowService`.
    pub struct ShowService {
        /// How it is.
        pub service: Service,
        /// What it starts after.
        pub after: Vec<Dependency>,
        /// Its description in force.
        pub configuration: serde_json::Value,
    }
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Starting,
        Self::Ready,
        Self::Degraded,
        Self::Stopping,
        Self::BackingOff,
        Self::Failed,
        Self::Done,
        Self::Stopped,
    ];

    /// What people read; a varlink name may not have a dash, so that on the socket `backing-off` is
    /// `backing_off`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Stopping => "stopping",
            Self::BackingOff => "backing-off",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    /// The state of that [`word`](Self::word).
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether it will stay there unless somebody does something.
    #[must_use]
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Waiting | Self::Starting | Self::Stopping)
    }
}
