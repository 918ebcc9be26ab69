//! From arguments to actions.

use crate::args::{Arguments, BootCommand, Command, ServiceCommand};
use crate::change::Wish;
use crate::style::Style;
use crate::{
    Failed, app, audit, boot, change, config, container, events, exec, job, list, logs, remote,
    secret, show, status, toolbox, top,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use std::path::PathBuf;
use tare_control::{Client, GetBootTimeline, GetStatus, Health, Method, Nothing};
use tare_engine_api::Engine;

/// What every command needs.
pub(crate) struct Context {
    pub(crate) json: bool,
    pub(crate) style: Style,
    socket: PathBuf,
}

impl Context {
    #[cfg(test)]
    pub(crate) fn new(json: bool, style: Style) -> Self {
        let socket = tare_control::SOCKET.into();
        Self {
            json,
            style,
            socket,
        }
    }

    /// A connection to PID 1.
    pub(crate) fn connect(&self) -> Result<Client, Failed> {
        Ok(Client::connect(&self.socket)?)
    }

    /// The reply to one call.
    pub(crate) fn call<T: DeserializeOwned>(&self, method: &Method) -> Result<T, Failed> {
        Ok(self.connect()?.call(method)?)
    }

    /// Shows `answer` as JSON, or as formatted by `text`.
    pub(crate) fn show<T: Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(&T, Style) -> String,
    ) -> Result<(), Failed> {
        let text = match self.json {
            true => json(answer)?,
            false => text(answer, self.style),
        };
        Ok(io::stdout().write_all(text.as_bytes())?)
    }
}

/// JSON with indentation, for people.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failed> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    Ok(text + "\n")
}

/// Runs the command.
///
/// # Errors
/// Why it failed.
pub fn run(arguments: &Arguments) -> Result<(), Failed> {
    let global = &arguments.global;
    if let Some(host) = &global.host {
        let args = std::env::args_os().skip(1).collect();
        return remote::run(host, arguments, args);
    }
    let context = Context {
        json: global.json,
        style: Style::of(global.color),
        socket: global.socket.clone(),
    };
    match &arguments.command {
        Command::Status { check } => show_status(&context, *check),
        Command::Service(command) => service(&context, command),
        Command::App(command) => app::app(&context, command),
        Command::Job(command) => job::job(&context, command),
        Command::Config(command) => config::config(&context, command),
        Command::Secret(command) => secret::secret(&context, command),
        Command::Logs {
            container: Some(name),
            lines,
            ..
        } => container::logs(&context, &Engine::new(tare_engine_api::SOCKET), name, lines),
        Command::Logs {
            services, lines, ..
        } => logs::logs(&context, lines, services),
        Command::Boot(BootCommand::Analyze) => {
            let timeline: GetBootTimeline = context.call(&Method::GetBootTimeline {})?;
            context.show(&timeline, boot::analyze)
        }
        Command::Boot(BootCommand::Plot) => plot(&context),
        Command::Top { delay, count } => top::top(&context, *delay, *count),
        Command::Toolbox { command } => toolbox::toolbox(&context, command),
        Command::Events { follow } => events::events(&context, *follow),
        Command::Reboot => end(&context, &Method::Reboot {}),
        Command::Poweroff => end(&context, &Method::PowerOff {}),
        Command::Version => version(&context),
    }
}

fn service(context: &Context, command: &ServiceCommand) -> Result<(), Failed> {
    match command {
        ServiceCommand::List => list::list(context),
        ServiceCommand::Show { name } => show::show(context, name),
        ServiceCommand::Start(change) => change::change(context, change, Wish::Start),
        ServiceCommand::Stop(change) => change::change(context, change, Wish::Stop),
        ServiceCommand::Restart(change) => change::change(context, change, Wish::Restart),
        ServiceCommand::Exec {
            name, env, command, ..
        } => exec::exec(context, name, env, command),
        ServiceCommand::Logs { name, lines } => logs::of_service(context, name, lines),
        ServiceCommand::Audit { name } => audit::audit(context, name.as_deref()),
    }
}

fn show_status(context: &Context, check: bool) -> Result<(), Failed> {
    let mut client = context.connect()?;
    let machine: GetStatus = client.call(&Method::GetStatus {})?;
    let services = client.call(&Method::ListServices {})?;
    let health = machine.health;
    context.show(&status::Screen { machine, services }, status::text)?;
    match check && health != Health::Ready {
        true => Err(Failed::NotReady),
        false => Ok(()),
    }
}

fn plot(context: &Context) -> Result<(), Failed> {
    let mut client = context.connect()?;
    let machine: GetStatus = client.call(&Method::GetStatus {})?;
    let timeline: GetBootTimeline = client.call(&Method::GetBootTimeline {})?;
    context.show(&timeline, |timeline, _| boot::plot(timeline, &machine))
}

fn end(context: &Context, method: &Method) -> Result<(), Failed> {
    let done: Nothing = context.call(method)?;
    context.show(&done, |_, _| String::new())
}

/// Two versions: that of this command and that of the system whose PID 1 replies.
#[derive(Debug, Serialize)]
struct Versions {
    command: &'static str,
    /// `None` if PID 1 does not reply.
    system: Option<String>,
    kernel: Option<String>,
}

fn version(context: &Context) -> Result<(), Failed> {
    let status = context.call::<GetStatus>(&Method::GetStatus {}).ok();
    let versions = Versions {
        command: env!("CARGO_PKG_VERSION"),
        system: status.as_ref().map(|status| status.version.clone()),
        kernel: status.map(|status| status.kernel),
    };
    context.show(&versions, |versions, _| {
        let unknown = || "unknown: PID 1 does not answer".to_owned();
        let system = versions.system.clone().unwrap_or_else(unknown);
        let kernel = versions.kernel.clone().unwrap_or_else(unknown);
        let command = versions.command;
        format!("tare    {command}\nsystem  {system}\nkernel  {kernel}\n")
    })
}
