//! Events.

use crate::State;
use crate::wire::wire;

wire! {
    CustomType:
    /// What an event is about.
    #[derive(Copy)]
    pub enum EventKind {
        /// Events before this one are past; from now on none is missed.
        Begin,
        /// A service changed its state.
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
        /// What kind of event it is.
        pub kind: EventKind,
        /// The service, if the event is about one.
        pub service: Option<String>,
        /// Its state before.
        pub old_state: Option<State>,
        /// Its state now.
        pub new_state: Option<State>,
        /// Text for people.
        pub text: String,
    }

    Type:
    /// A reply to `Monitor`.
    pub struct Monitor {
        /// The event.
        pub event: Event,
    }
}
