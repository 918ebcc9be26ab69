//! A program that somebody wants run in a service's container.

use super::Host;
use crate::control::Told;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tare_container::Exec;
use tare_control::Failure;
use tokio::sync::oneshot;

/// Where a program is looked for (`environ(7)`, PATH), as in the shells.
const PATH: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

impl Host {
    pub(super) fn exec(
        &mut self,
        name: String,
        mut args: Vec<String>,
        environment: &[String],
        descriptors: &[OwnedFd],
    ) -> Result<Told, Failure> {
        let [stdin, stdout, stderr] = descriptors else {
            let parameter = "descriptors".to_owned();
            return Err(Failure::InvalidParameter { parameter });
        };
        if self.supervisor.service(&name).is_none() {
            return Err(Failure::ServiceNotFound { name });
        }
        let program = args
            .first()
            .and_then(|program| self.look_up(&name, program));
        if let (Some(found), Some(program)) = (program, args.first_mut()) {
            *program = found;
        }
        let options = Exec {
            args: &args,
            stdio: [stdin, stdout, stderr].map(|descriptor| Some(descriptor.as_fd())),
            environment,
        };
        let (done, ended) = oneshot::channel();
        match self.supervisor.exec(&name, &options, done) {
            Some(Ok(())) => Ok(Told::Program(ended)),
            Some(Err(error)) => Err(Failure::ExecFailed {
                reason: error.to_string(),
            }),
            None => Err(Failure::ServiceNotRunning { name }),
        }
    }

    /// The path of a program without a slash, as the service sees it.
    fn look_up(&self, name: &str, program: &str) -> Option<String> {
        let mut statuses = self.supervisor.snapshot().into_iter();
        let pid = statuses.find(|status| status.name == name)?.pid?;
        // Where a link leads is for the container to see: that it is there is enough.
        let is_there = |path: &String| {
            let path = format!("/proc/{pid}/root{path}");
            Path::new(&path).symlink_metadata().is_ok()
        };
        let folders = PATH.iter().filter(|_| !program.contains('/'));
        folders
            .map(|folder| format!("{folder}/{program}"))
            .find(is_there)
    }
}
