//! Completes the responses of PID 1's loop to whole replies.

use super::request::Response;
use super::{audit, machine, usage};
use crate::supervisor::Outcome;
use crate::supervisor::ServiceStatus;
use crate::timeline::micros;
use serde::Serialize;
use std::time::{Duration, Instant};
use tare_control::{
    ApplyConfiguration, AuditServices, DESCRIPTION, Dependency, ExecInService, Failure,
    GetBootTimeline, GetConfiguration, GetGeneration, GetGenerations, GetStatus, INTERFACE,
    ListSecrets, ListServices, Nothing, Service, ShowService, State, VARLINK_DESCRIPTION,
    VARLINK_INTERFACE,
};
use tokio::task::yield_now;

/// The time budget for asking the kernel before PID 1 goes back to its loop.
const TURN: Duration = Duration::from_millis(20);

/// The parameters of a reply.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Nothing(Nothing),
    Info(Info),
    Description { description: &'static str },
    Status(GetStatus),
    Services(ListServices),
    Service(Box<ShowService>),
    Audits(AuditServices),
    Timeline(GetBootTimeline),
    Configuration(GetConfiguration),
    Applied(ApplyConfiguration),
    Generations(GetGenerations),
    Generation(GetGeneration),
    Secrets(ListSecrets),
    Outcome(ExecInService),
}

/// The server that answers (`org.varlink.service.GetInfo`).
#[derive(Debug, Serialize)]
pub(super) struct Info {
    vendor: &'static str,
    product: &'static str,
    version: &'static str,
    url: &'static str,
    interfaces: [&'static str; 2],
}

pub(super) fn info() -> Answer {
    Answer::Info(Info {
        vendor: "Tare",
        product: "Tare",
        version: env!("CARGO_PKG_VERSION"),
        url: "",
        interfaces: [VARLINK_INTERFACE, INTERFACE],
    })
}

pub(super) fn description(interface: String) -> Result<Answer, Failure> {
    let description = match interface.as_str() {
        VARLINK_INTERFACE => VARLINK_DESCRIPTION,
        INTERFACE => DESCRIPTION,
        _ => return Err(Failure::InterfaceNotFound { interface }),
    };
    Ok(Answer::Description { description })
}

/// How a program has ended.
pub(super) fn outcome(outcome: Outcome) -> Answer {
    let (status, signal) = match outcome {
        Outcome::Status(status) => (Some(status), None),
        Outcome::Signal(signal) => (None, Some(signal)),
    };
    Answer::Outcome(ExecInService { status, signal })
}

/// Adds what the kernel knows.
pub(super) async fn complete(told: Response) -> Answer {
    match told {
        Response::Nothing | Response::Events(..) | Response::Program(_) => {
            Answer::Nothing(Nothing {})
        }
        Response::Status(known) => Answer::Status(machine::status(known)),
        Response::Applied(applied) => Answer::Applied(applied),
        Response::Generations(generations) => Answer::Generations(generations),
        Response::Generation(generation) => Answer::Generation(generation),
        Response::Secrets(secrets) => Answer::Secrets(secrets),
        Response::Configuration(configuration) => Answer::Configuration(configuration),
        Response::Timeline(timeline) => Answer::Timeline(machine::boot_loader(timeline)),
        Response::Service(status, configuration) => Answer::Service(Box::new(ShowService {
            after: dependencies(&status),
            service: service(*status),
            configuration,
        })),
        Response::Services(statuses) => {
            let services = in_turns(statuses, service).await;
            Answer::Services(ListServices { services })
        }
        Response::Processes(processes) => {
            let services = in_turns(processes, audit::audit).await;
            Answer::Audits(AuditServices { services })
        }
    }
}

/// Applies `make` to each, and yields to the loop after each [`TURN`]: a call about a thousand services delays no
/// other, and waits for few turns of a busy loop.
async fn in_turns<T, R>(all: Vec<T>, make: impl Fn(T) -> R) -> Vec<R> {
    let (mut made, mut begun) = (Vec::with_capacity(all.len()), Instant::now());
    for one in all {
        made.push(make(one));
        if begun.elapsed() >= TURN {
            yield_now().await;
            begun = Instant::now();
        }
    }
    made
}

fn dependencies(status: &ServiceStatus) -> Vec<Dependency> {
    let dependency = |condition: &String| Dependency {
        condition: condition.clone(),
        holds: !status.lacks.contains(condition),
    };
    status.after.iter().map(dependency).collect()
}

fn service(status: ServiceStatus) -> Service {
    let usage = usage::of(&status.cgroup);
    let ended = Some(status.used).filter(|used| *used > 0);
    Service {
        name: status.name,
        description: status.description,
        // The supervisor's names of states are those of the interface.
        state: State::of_word(status.state).unwrap_or(State::Waiting),
        since: micros(status.since),
        required: status.required,
        starts: status.runs,
        pid: status.pid,
        memory: usage.memory,
        cpu: usage.cpu.map(|cpu| cpu + status.used).or(ended),
        tasks: usage.tasks,
        text: status.text,
        last_exit: status.last_exit,
        started: status.started.map(micros),
        due: status.due.map(micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_service_in_the_interfaces_words() {
        let status = ServiceStatus {
            name: "a".to_owned(),
            description: "b".to_owned(),
            state: "backing-off",
            since: Duration::from_millis(7),
            runs: 2,
            pid: None,
            cgroup: "/no-such-cgroup".into(),
            text: "c".to_owned(),
            problem: String::new(),
            last_exit: Some("status 1".to_owned()),
            started: Some(Duration::from_millis(8)),
            due: None,
            after: vec!["x:ready".to_owned(), "y:done".to_owned()],
            lacks: vec!["y:done".to_owned()],
            required: true,
            missing: true,
            used: 8,
        };
        let holds: Vec<bool> = dependencies(&status).iter().map(|d| d.holds).collect();
        assert_eq!(holds, [true, false]);
        let want = Service {
            name: "a".to_owned(),
            description: "b".to_owned(),
            state: State::BackingOff,
            since: 7000,
            required: true,
            starts: 2,
            pid: None,
            memory: None,
            cpu: Some(8),
            tasks: None,
            text: "c".to_owned(),
            last_exit: Some("status 1".to_owned()),
            started: Some(8000),
            due: None,
        };
        assert_eq!(service(status), want);
    }
}
