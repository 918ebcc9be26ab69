//! For tests: services that cannot be started.

use super::Supervisor;
use std::path::PathBuf;
use tare_container::{Bundle, Spec};
use tokio::sync::mpsc::unbounded_channel;

/// A supervisor of services whose programs cannot be started: their bundles are empty.
pub(super) fn supervisor(services: &[(&str, &str)]) -> Supervisor {
    let mut supervisor = Supervisor::new(unbounded_channel().0);
    for (name, lifecycle) in services {
        let text = format!("description='x'\nprocess={{args=['/x']}}\n[lifecycle]\n{lifecycle}");
        let service = tare_config::parse("t", text.as_bytes()).unwrap();
        let bundle = Bundle {
            path: PathBuf::new(),
            spec: Spec::default(),
            filter: None,
        };
        supervisor.add(name, service, bundle);
    }
    supervisor
}
