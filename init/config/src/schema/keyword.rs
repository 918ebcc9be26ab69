//! Keywords of our own in the schema. Validators ignore them.

/// The default in words, if it is not a value or not always the same.
pub const DEFAULT: &str = "x-tare-default";
/// The release in which the key was added.
pub const SINCE: &str = "x-tare-since";
/// What applying a change of the key does: `live`, `restarts NAME` or `next boot`.
pub const APPLY: &str = "x-tare-apply";
/// The type in words.
pub const TYPE: &str = "x-tare-type";
/// Of the root: the words for types, and what they mean.
pub const TYPES: &str = "x-tare-types";
/// Of what a table has under keys that users choose: what stands for such a key in the reference.
pub const NAME: &str = "x-tare-name";
/// Of the same: an example of such a key.
pub const NAME_EXAMPLE: &str = "x-tare-name-example";
/// Where the documentation says more: a page below `docs/`, with its heading.
pub const SEE: &str = "x-tare-see";
/// True if `tare config` shows no value of the key.
pub const SECRET: &str = "x-tare-secret";
