//! The services and their states.

use crate::wire::wire;

wire! {
    CustomType:
    /// The state of a service.
    #[derive(Copy)]
    pub enum State {
        /// It waits for its conditions.
        Waiting,
        /// It runs but does not answer yet.
        Starting,
        /// It runs and answers.
        Ready,
        /// It runs but its health checks fail.
        Degraded,
        /// It was told to stop.
        Stopping,
        /// It ended and is restarted after a while.
        BackingOff,
        /// It failed and is not restarted.
        Failed,
        /// It succeeded and is not restarted.
        Done,
        /// It ended because it was told to.
        Stopped,
        /// The configuration disables it.
        Disabled,
    }

    CustomType:
    /// A service.
    pub struct Service {
        /// Its name.
        pub name: String,
        /// A one-line description.
        pub description: String,
        /// Its state.
        pub state: State,
        /// When it entered that state, in microseconds since the kernel started.
        pub since: u64,
        /// Whether a boot without it is a bad boot.
        pub required: bool,
        /// How often its program was started.
        pub starts: u64,
        /// Its main process, while it runs.
        pub pid: Option<i32>,
        /// Memory of all its processes, in bytes.
        pub memory: Option<u64>,
        /// CPU time of all its runs, in microseconds.
        pub cpu: Option<u64>,
        /// How many threads it has.
        pub tasks: Option<u64>,
        /// Its latest status text.
        pub text: String,
        /// How its last run ended.
        pub last_exit: Option<String>,
        /// When its last run began, in microseconds since the kernel started.
        pub started: Option<u64>,
        /// When its schedule starts it next, in microseconds since the kernel started; `None` unless it waits for that.
        pub due: Option<u64>,
    }

    CustomType:
    /// What a service starts after.
    pub struct Dependency {
        /// As written.
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
        /// Its exit status; `None` if a signal ended it.
        pub status: Option<i32>,
        /// The number of that signal.
        pub signal: Option<i32>,
    }

    Type:
    /// The reply to `ShowService`.
    pub struct ShowService {
        /// Its state.
        pub service: Service,
        /// What it starts after.
        pub after: Vec<Dependency>,
        /// Its effective description.
        pub configuration: serde_json::Value,
    }
}

impl State {
    /// All states, in the order of the lifecycle.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Starting,
        Self::Ready,
        Self::Degraded,
        Self::Stopping,
        Self::BackingOff,
        Self::Failed,
        Self::Done,
        Self::Stopped,
        Self::Disabled,
    ];

    /// The word that people read. A varlink name may not contain a dash, so on the socket `backing-off` is
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
            Self::Disabled => "disabled",
        }
    }

    /// The state with that [`word`](Self::word).
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether nothing is under way: a command that waits for the service may answer.
    #[must_use]
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Waiting | Self::Starting | Self::Stopping)
    }
}
