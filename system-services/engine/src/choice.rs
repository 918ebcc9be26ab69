//! Whose options dockerd starts with: user-data's, unless dockerd starts only without them.
//!
//! dockerd checks many options only when it uses them. Its exit status does not tell a bad option from a full disk, so
//! one failed start says nothing yet.

/// Whose options the next start has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// User-data's, with which this many starts in a row have failed.
    UserData { failed: u32 },
    /// The image's, because dockerd has not started with user-data's.
    Image,
}

/// How many starts must fail with user-data's options before one with the image's. A third one is all that is left
/// before PID 1 restarts the service ([`crate::restarts`]), which begins with user-data's again.
const TRIES: u32 = 2;

impl Choice {
    /// The next start's, after one that has failed.
    pub(crate) fn after_failure(self) -> Self {
        match self {
            Self::UserData { failed } if failed + 1 < TRIES => {
                Self::UserData { failed: failed + 1 }
            }
            Self::UserData { .. } => Self::Image,
            // The reason is not in the options.
            Self::Image => Self::UserData { failed: 0 },
        }
    }

    /// The next start's, after one that has succeeded.
    pub(crate) fn after_success(self) -> Self {
        match self {
            Self::UserData { .. } => Self::UserData { failed: 0 },
            Self::Image => Self::Image,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restarts::Restarts;
    use std::time::Duration;

    const FRESH: Choice = Choice::UserData { failed: 0 };
    const FAILED: Choice = Choice::UserData { failed: 1 };

    #[test]
    fn options_are_dropped_if_dockerd_starts_only_without_them() {
        for (choice, failure, success) in [
            (FRESH, FAILED, FRESH),
            (FAILED, Choice::Image, FRESH),
            (Choice::Image, FRESH, Choice::Image),
        ] {
            assert_eq!(choice.after_failure(), failure, "{choice:?}");
            assert_eq!(choice.after_success(), success, "{choice:?}");
        }
    }

    #[test]
    fn the_image_has_its_turn_before_pid_1() {
        let (mut choice, mut restarts, mut starts) = (FRESH, Restarts::default(), vec![FRESH]);
        while restarts.after(false, Duration::ZERO).is_some() {
            choice = choice.after_failure();
            starts.push(choice);
        }
        assert_eq!(starts, [FRESH, FAILED, Choice::Image]);
    }
}
