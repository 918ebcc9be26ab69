//! The build machine: which tools a build needs, and how they get there.
