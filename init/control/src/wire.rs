//! What all types of the interface have in common.

use serde::{Deserialize, Serialize};

/// Defines a type of the interface with the common traits. In tests it can describe itself.
macro_rules! wire {
    ($($description:ident: $item:item)*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[cfg_attr(test, derive(zlink_core::introspect::$description))]
        #[cfg_attr(test, zlink(crate = "zlink_core"))]
        $item
    )*};
}
pub(crate) use wire;

/// A reply without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}
