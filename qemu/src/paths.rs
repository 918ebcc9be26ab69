//! Where things are made.

use std::path::{Path, PathBuf};

/// The checkout's `target` folder. (These programs run from the checkout that they were built in.)
pub fn target() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).join("target")
}
