//! How the boot went.

use crate::wire::wire;

wire! {
    CustomType:
    /// The kind of a span.
    #[derive(Copy)]
    pub enum SpanKind {
        /// Work of the kernel or of PID 1.
        Stage,
        /// A service, from the start of its program until it was ready or done.
        Service,
    }

    CustomType:
    /// A part of the boot; times are microseconds since the kernel started.
    pub struct Span {
        /// The service's name, or that of the stage.
        pub name: String,
        /// Its kind.
        pub kind: SpanKind,
        /// Whether the machine becomes ready only after it has ended.
        pub required: bool,
        /// When it began.
        pub began: u64,
        /// When it ended; `None` while it lasts.
        pub ended: Option<u64>,
        /// The spans whose end it waited for.
        pub after: Vec<String>,
    }

    Type:
    /// The reply to `GetBootTimeline`.
    pub struct GetBootTimeline {
        /// Sorted by their beginning.
        pub spans: Vec<Span>,
        /// When all required services were ready.
        pub ready_at: Option<u64>,
        /// How long the firmware ran before the boot loader; `None` if neither reported it.
        pub firmware: Option<u64>,
        /// How long the boot loader ran before the kernel.
        pub loader: Option<u64>,
    }
}
