//! What happens.

use crate::State;
use crate::wire::wire;

wire! {
    CustomType:
    /// What an event is about.
    #[derive(Copy)]
    pub enum EventKind {
        /// From now on no event is missed; those before it have been.
        Begin,
        /// A service came into another state.
        Service,
        /// All required services are ready.
        Ready,
        /// The machine is about to power off or to reboot.
        Ending,
        /// Some events were left out.
        Lost,
    }

    CustomType:
    /// Something that happened.
    pub struct Event {
        /// Microseconds since the kernel started.
        pub time: u64,
        /// What it is about.
        pub kind: EventKind,
        /// Which service, where it is about one.
        pub service: Option<String>,
        /// Its state before.
        pub old_state: Option<State>,
        /// Its state now.
        pub new_state: Option<State>,
        /// For people.
        pub text: String,
    }

    Type:
    /// A reply to `Monitor`.
    pub struct Monitor {
        /// What happened.
        pub event: Event,
    }
}
