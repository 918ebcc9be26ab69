//! The schema, the page and the reader say the same.

mod files;
mod forms;
mod keys;
mod verdict;
