//! Runs a program in a service's container on request.

use super::Host;
use crate::control::Response;
use std::os::fd::{AsFd, OwnedFd};
use tare_container::Exec;
use tare_control::Failure;
use tokio::sync::oneshot;

impl Host {
    pub(super) fn exec(
        &mut self,
        name: String,
        args: &[String],
        environment: &[String],
        descriptors: &[OwnedFd],
    ) -> Result<Response, Failure> {
        let [stdin, stdout, stderr] = descriptors else {
            let parameter = "descriptors".to_owned();
            return Err(Failure::InvalidParameter { parameter });
        };
        if self.supervisor.service(&name).is_none() {
            return Err(Failure::ServiceNotFound { name });
        }
        let options = Exec {
            args,
            stdio: [stdin, stdout, stderr].map(|descriptor| Some(descriptor.as_fd())),
            environment,
        };
        let (done, ended) = oneshot::channel();
        match self.supervisor.exec(&name, &options, done) {
            Some(Ok(())) => Ok(Response::Program(ended)),
            Some(Err(error)) => Err(Failure::ExecFailed {
                reason: error.to_string(),
            }),
            None => Err(Failure::ServiceNotRunning { name }),
        }
    }
}
