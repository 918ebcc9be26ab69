//! Credentials on the machine's state.

use crate::wire::wire;

wire! {
    Type:
    /// The reply to `ListSecrets`.
    pub struct ListSecrets {
        /// Their names.
        pub names: Vec<String>,
    }
}
