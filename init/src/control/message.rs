//! Messages of varlink (<https://varlink.org/Service>), each a JSON object.

use serde::{Deserialize, Serialize};
use std::ops::Not;
use tare_control::RawCall;

/// A call and how to answer it.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    #[serde(flatten)]
    pub call: RawCall,
    /// The peer accepts several replies.
    #[serde(default)]
    pub more: bool,
    /// The peer wants no reply.
    #[serde(default)]
    pub oneway: bool,
}

/// The answer to a call that did not fail.
#[derive(Debug, Serialize)]
pub(super) struct Reply<T> {
    pub parameters: T,
    /// More replies follow.
    #[serde(skip_serializing_if = "Not::not")]
    pub continues: bool,
}

impl<T> Reply<T> {
    /// The only reply.
    pub(super) fn only(parameters: T) -> Self {
        Self {
            parameters,
            continues: false,
        }
    }
}
