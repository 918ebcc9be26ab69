//! The methods that can be called.

use crate::{Failure, INTERFACE, VARLINK_INTERFACE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A call as received: any method with any parameters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RawCall {
    /// Prefixed with the interface's name.
    pub method: String,
    /// `None` is the same as `{}`.
    #[serde(default)]
    pub parameters: Option<Value>,
}

/// A call that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `org.varlink.service.GetInfo`.
    GetInfo,
    /// `org.varlink.service.GetInterfaceDescription`.
    GetInterfaceDescription {
        /// The interface.
        interface: String,
    },
    /// One of our own methods.
    Control(Method),
}

/// The methods of `org.tare.Control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "method", content = "parameters")]
pub enum Method {
    /// Returns the status of the machine.
    #[serde(rename = "org.tare.Control.GetStatus")]
    GetStatus {},
    /// Lists all services.
    #[serde(rename = "org.tare.Control.ListServices")]
    ListServices {},
    /// Shows one service.
    #[serde(rename = "org.tare.Control.ShowService")]
    ShowService {
        /// Which.
        name: String,
    },
    /// Starts a service.
    #[serde(rename = "org.tare.Control.StartService")]
    StartService {
        /// Which.
        name: String,
    },
    /// Stops a service.
    #[serde(rename = "org.tare.Control.StopService")]
    StopService {
        /// Which.
        name: String,
    },
    /// Stops and starts a service.
    #[serde(rename = "org.tare.Control.RestartService")]
    RestartService {
        /// Which.
        name: String,
    },
    /// Runs a program in a service's container; the call passes its three descriptors.
    #[serde(rename = "org.tare.Control.ExecInService")]
    ExecInService {
        /// Which service.
        name: String,
        /// The program and its arguments.
        args: Vec<String>,
        /// Added to the environment, each `KEY=VALUE`.
        environment: Option<Vec<String>>,
    },
    /// Shows what services may do.
    #[serde(rename = "org.tare.Control.AuditServices")]
    AuditServices {
        /// Which service; `None` means all.
        name: Option<String>,
    },
    /// Shows how the boot went.
    #[serde(rename = "org.tare.Control.GetBootTimeline")]
    GetBootTimeline {},
    /// Returns the texts that make the machine's configuration.
    #[serde(rename = "org.tare.Control.GetConfiguration")]
    GetConfiguration {},
    /// Has a text take the place of what commands of this machine have set.
    #[serde(rename = "org.tare.Control.ApplyConfiguration")]
    ApplyConfiguration {
        /// TOML.
        text: String,
        /// Whether to say only what it would change.
        dry_run: Option<bool>,
        /// Whether it ends with this boot.
        once: Option<bool>,
        /// In how many seconds it is taken back unless it is confirmed.
        confirm: Option<u64>,
        /// The generation that must be in force.
        base: Option<u64>,
    },
    /// Keeps a change that waits for its confirmation.
    #[serde(rename = "org.tare.Control.ConfirmConfiguration")]
    ConfirmConfiguration {
        /// Which; `None` means whatever waits.
        number: Option<u64>,
    },
    /// Takes on what the sources of user-data hold now.
    #[serde(rename = "org.tare.Control.PullConfiguration")]
    PullConfiguration {
        /// Whether to say only what it would change.
        dry_run: Option<bool>,
        /// In how many seconds it is taken back unless it is confirmed.
        confirm: Option<u64>,
    },
    /// Goes back to a generation.
    #[serde(rename = "org.tare.Control.RollBackConfiguration")]
    RollBackConfiguration {
        /// Which; `None` means what was before an unconfirmed change, or the good one before.
        number: Option<u64>,
        /// Whether to say only what it would change.
        dry_run: Option<bool>,
        /// In how many seconds it is taken back unless it is confirmed.
        confirm: Option<u64>,
    },
    /// Lists the generations of the configuration.
    #[serde(rename = "org.tare.Control.GetGenerations")]
    GetGenerations {},
    /// Returns the texts of one.
    #[serde(rename = "org.tare.Control.GetGeneration")]
    GetGeneration {
        /// Which.
        number: u64,
    },
    /// Keeps a credential on the machine's state.
    #[serde(rename = "org.tare.Control.SetSecret")]
    SetSecret {
        /// Its name.
        name: String,
        /// Its value.
        value: Hidden,
    },
    /// Removes a credential from the machine's state.
    #[serde(rename = "org.tare.Control.RemoveSecret")]
    RemoveSecret {
        /// Its name.
        name: String,
    },
    /// Lists the credentials on the machine's state.
    #[serde(rename = "org.tare.Control.ListSecrets")]
    ListSecrets {},
    /// Sends events from now on; called with `more`.
    #[serde(rename = "org.tare.Control.Monitor")]
    Monitor {
        /// Whether to send past events first.
        recent: Option<bool>,
    },
    /// Powers the machine off.
    #[serde(rename = "org.tare.Control.PowerOff")]
    PowerOff {},
    /// Reboots the machine.
    #[serde(rename = "org.tare.Control.Reboot")]
    Reboot {},
}

/// A secret in base64. Its [`std::fmt::Debug`] shows nothing of it.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Method {
    /// Whether `others = "status"` allows it.
    #[must_use]
    pub fn is_status(&self) -> bool {
        matches!(self, Self::GetStatus {} | Self::ListServices {})
    }
}

impl TryFrom<RawCall> for Call {
    type Error = Failure;

    fn try_from(call: RawCall) -> Result<Self, Failure> {
        let Some((interface, method)) = call.method.rsplit_once('.') else {
            return Err(method_not_found(&call.method));
        };
        let mut parameters = Parameters::of(call.parameters)?;
        let found = match interface {
            VARLINK_INTERFACE => service(method, &mut parameters)?,
            INTERFACE => control(method, &mut parameters)?.map(Self::Control),
            _ => {
                return Err(Failure::InterfaceNotFound {
                    interface: interface.to_owned(),
                });
            }
        };
        let found = found.ok_or_else(|| method_not_found(&call.method))?;
        parameters.end().map(|()| found)
    }
}

fn method_not_found(method: &str) -> Failure {
    Failure::MethodNotFound {
        method: method.to_owned(),
    }
}

fn service(method: &str, parameters: &mut Parameters) -> Result<Option<Call>, Failure> {
    Ok(Some(match method {
        "GetInfo" => Call::GetInfo,
        "GetInterfaceDescription" => Call::GetInterfaceDescription {
            interface: parameters.take("interface")?,
        },
        _ => return Ok(None),
    }))
}

fn control(method: &str, parameters: &mut Parameters) -> Result<Option<Method>, Failure> {
    if method == "ExecInService" {
        return exec(parameters).map(Some);
    }
    let mut name = || parameters.take("name");
    Ok(Some(match method {
        "GetStatus" => Method::GetStatus {},
        "ListServices" => Method::ListServices {},
        "ShowService" => Method::ShowService { name: name()? },
        "StartService" => Method::StartService { name: name()? },
        "StopService" => Method::StopService { name: name()? },
        "RestartService" => Method::RestartService { name: name()? },
        "AuditServices" => Method::AuditServices {
            name: parameters.take("name")?,
        },
        "GetBootTimeline" => Method::GetBootTimeline {},
        "GetConfiguration" => Method::GetConfiguration {},
        "ApplyConfiguration" => apply(parameters)?,
        "ConfirmConfiguration" => Method::ConfirmConfiguration {
            number: parameters.take("number")?,
        },
        "PullConfiguration" => Method::PullConfiguration {
            dry_run: parameters.take("dry_run")?,
            confirm: confirm(parameters)?,
        },
        "RollBackConfiguration" => Method::RollBackConfiguration {
            number: parameters.take("number")?,
            dry_run: parameters.take("dry_run")?,
            confirm: confirm(parameters)?,
        },
        "GetGenerations" => Method::GetGenerations {},
        "GetGeneration" => Method::GetGeneration {
            number: parameters.take("number")?,
        },
        "SetSecret" => Method::SetSecret {
            name: name()?,
            value: parameters.take("value")?,
        },
        "RemoveSecret" => Method::RemoveSecret { name: name()? },
        "ListSecrets" => Method::ListSecrets {},
        "Monitor" => Method::Monitor {
            recent: parameters.take("recent")?,
        },
        "PowerOff" => Method::PowerOff {},
        "Reboot" => Method::Reboot {},
        _ => return Ok(None),
    }))
}

/// The longest time that a change may wait for its confirmation, in seconds: a day.
const MOST_PATIENCE: u64 = 86_400;

fn confirm(parameters: &mut Parameters) -> Result<Option<u64>, Failure> {
    let confirm: Option<u64> = parameters.take("confirm")?;
    match confirm {
        Some(seconds) if !(1..=MOST_PATIENCE).contains(&seconds) => Err(invalid("confirm")),
        confirm => Ok(confirm),
    }
}

fn apply(parameters: &mut Parameters) -> Result<Method, Failure> {
    let (once, confirm) = (parameters.take("once")?, confirm(parameters)?);
    // The next boot takes it back anyway.
    if once == Some(true) && confirm.is_some() {
        return Err(invalid("confirm"));
    }
    Ok(Method::ApplyConfiguration {
        text: parameters.take("text")?,
        dry_run: parameters.take("dry_run")?,
        once,
        confirm,
        base: parameters.take("base")?,
    })
}

fn exec(parameters: &mut Parameters) -> Result<Method, Failure> {
    let args: Vec<String> = parameters.take("args")?;
    if args.is_empty() {
        return Err(invalid("args"));
    }
    Ok(Method::ExecInService {
        name: parameters.take("name")?,
        args,
        environment: parameters.take("environment")?,
    })
}

/// The parameters of a call that have not been taken yet.
struct Parameters(Map<String, Value>);

impl Parameters {
    fn of(value: Option<Value>) -> Result<Self, Failure> {
        match value {
            None | Some(Value::Null) => Ok(Self(Map::new())),
            Some(Value::Object(map)) => Ok(Self(map)),
            Some(_) => Err(invalid("parameters")),
        }
    }

    /// The parameter of that name; a missing one is `null`.
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Failure> {
        let value = self.0.remove(name).unwrap_or_default();
        serde_json::from_value(value).map_err(|_| invalid(name))
    }

    /// Checks that nothing is left: otherwise a caller would think that an unknown parameter had been understood.
    fn end(self) -> Result<(), Failure> {
        match self.0.keys().next() {
            Some(name) => Err(invalid(name)),
            None => Ok(()),
        }
    }
}

fn invalid(parameter: &str) -> Failure {
    Failure::InvalidParameter {
        parameter: parameter.to_owned(),
    }
}

#[cfg(test)]
mod tests;
