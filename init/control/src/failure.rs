//! Why a call is refused.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a call is refused, as varlink errors.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "error", content = "parameters")]
pub enum Failure {
    /// There is no service of that name.
    #[error("there is no service `{name}`")]
    #[serde(rename = "org.tare.Control.ServiceNotFound")]
    ServiceNotFound {
        /// The name.
        name: String,
    },
    /// The configuration disables the service.
    #[error("{name} is disabled: `tare config set services.{name}.enabled true` enables it")]
    #[serde(rename = "org.tare.Control.ServiceDisabled")]
    ServiceDisabled {
        /// Its name.
        name: String,
    },
    /// The service is not running.
    #[error("{name} does not run")]
    #[serde(rename = "org.tare.Control.ServiceNotRunning")]
    ServiceNotRunning {
        /// Which.
        name: String,
    },
    /// The program cannot be run.
    #[error("{reason}")]
    #[serde(rename = "org.tare.Control.ExecFailed")]
    ExecFailed {
        /// Why not.
        reason: String,
    },
    /// The text is not a configuration of this machine.
    #[error("{}", problems.join("\n"))]
    #[serde(rename = "org.tare.Control.ConfigurationInvalid")]
    ConfigurationInvalid {
        /// What is wrong with it.
        problems: Vec<String>,
    },
    /// The configuration could not be saved, and is as it was.
    #[error("not saved, and nothing is changed: {reason}")]
    #[serde(rename = "org.tare.Control.ConfigurationNotSaved")]
    ConfigurationNotSaved {
        /// Why not.
        reason: String,
    },
    /// There is no generation of that number.
    #[error("there is no configuration {number}: `tare config generations` lists them")]
    #[serde(rename = "org.tare.Control.GenerationNotFound")]
    GenerationNotFound {
        /// The number.
        number: u64,
    },
    /// No generation before the one in force has been good.
    #[error("there is no good configuration before this one: `tare config generations` lists them")]
    #[serde(rename = "org.tare.Control.NothingBefore")]
    NothingBefore {},
    /// A change waits for its confirmation.
    #[error(
        "configuration {number} waits for its confirmation for {seconds} s more: `tare config confirm {number}` keeps it, \
         `tare config rollback` takes it back"
    )]
    #[serde(rename = "org.tare.Control.ConfigurationUnconfirmed")]
    ConfigurationUnconfirmed {
        /// Its number.
        number: u64,
        /// When it is taken back.
        seconds: u64,
    },
    /// Another generation is in force than the change was made for.
    #[error("configuration {number} has come meanwhile: try again")]
    #[serde(rename = "org.tare.Control.ConfigurationChanged")]
    ConfigurationChanged {
        /// The one in force.
        number: u64,
    },
    /// No change waits for its confirmation.
    #[error("no change waits for its confirmation: it is confirmed already, or was taken back")]
    #[serde(rename = "org.tare.Control.NothingToConfirm")]
    NothingToConfirm {},
    /// The credential could not be kept or removed.
    #[error("nothing is changed: {reason}")]
    #[serde(rename = "org.tare.Control.SecretNotSaved")]
    SecretNotSaved {
        /// Why not.
        reason: String,
    },
    /// The machine is not configured yet, or is being configured.
    #[error("the machine is being configured; try again")]
    #[serde(rename = "org.tare.Control.ConfigurationBusy")]
    ConfigurationBusy {},
    /// The machine is about to power off or to reboot.
    #[error("the machine is about to end")]
    #[serde(rename = "org.tare.Control.MachineEnding")]
    MachineEnding {},
    /// The caller lacks permission.
    #[error("permission denied: only root and the group `tare` may")]
    #[serde(rename = "org.varlink.service.PermissionDenied")]
    PermissionDenied {},
    /// There is no such interface here.
    #[error("the machine does not know the interface {interface}")]
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    InterfaceNotFound {
        /// Its name.
        interface: String,
    },
    /// The interface has no such method.
    #[error("the machine does not know {method}: it is of another version")]
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    MethodNotFound {
        /// Its name, with the interface's.
        method: String,
    },
    /// A parameter is missing, unknown or of the wrong type.
    #[error(
        "the machine does not understand the parameter `{parameter}`: it is of another version"
    )]
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    InvalidParameter {
        /// Its name.
        parameter: String,
    },
    /// The method replies more than once, and the caller did not set `more`.
    #[error("the call has to be made with `more`")]
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    ExpectedMore {},
}
