//! A position in all that is sent: in the log, and in the output of each container.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tare_engine_api::Mark;
use tare_log_format::Position;

/// How far the output of containers has been read, by their ids.
pub(crate) type Marks = BTreeMap<String, Mark>;

/// A position in everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    #[serde(flatten)]
    pub(crate) log: Position,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) containers: Marks,
}

/// What changes from one position to a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) log: Position,
    /// Only containers with new lines; `None` for one that is removed.
    pub(crate) containers: BTreeMap<String, Option<Mark>>,
}

impl Step {
    /// Adds a later step.
    pub(crate) fn add(&mut self, later: Self) {
        self.log = later.log;
        self.containers.extend(later.containers);
    }
}

impl Place {
    /// Goes on by `step`. Whether that changes anything.
    pub(crate) fn advance(&mut self, step: Step) -> bool {
        let mut changed = self.log != step.log;
        self.log = step.log;
        for (id, mark) in step.containers {
            let before = match mark {
                Some(mark) => self.containers.insert(id, mark),
                None => self.containers.remove(&id),
            };
            changed |= before != mark;
        }
        changed
    }
}
