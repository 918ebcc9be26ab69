//! What the machine reports and does over its control socket.

use super::change::How;
use super::{Configured, Host};
use crate::clock::since_boot;
use crate::control::{Process, Request, Response, Snapshot, machine_event};
use crate::effect::power::Ending;
use crate::event::PowerEvent;
use crate::supervisor::{Change, RequestError, ServiceStatus};
use crate::timeline::micros;
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;
use tare_config::Service;
use tare_config::service::Kind;
use tare_control::{Address, Event, EventKind, Failure, Health, Method, State};
use tokio::sync::broadcast;

/// How many events are kept for later callers, and for listeners that read slowly.
const EVENTS_KEPT: usize = 256;

/// Recent events, and the connections that listen for new ones.
pub(super) struct EventLog {
    recent: VecDeque<Event>,
    listeners: broadcast::Sender<Event>,
}

impl EventLog {
    pub(super) fn new() -> Self {
        Self {
            recent: VecDeque::new(),
            listeners: broadcast::Sender::new(EVENTS_KEPT),
        }
    }

    fn tell(&mut self, event: Event) {
        self.recent.truncate(EVENTS_KEPT - 1);
        self.recent.push_front(event.clone());
        // Fails only if there are no listeners.
        let _ = self.listeners.send(event);
    }
}

impl Host {
    /// Applies the configured rights of other users to the control socket.
    pub(super) fn allow_others(&self) {
        if let Some(Err(error)) = self
            .control
            .as_ref()
            .map(|control| control.allow(self.machine.control.others))
        {
            log::error!("control socket: {error}");
        }
    }

    /// Answers a request of the control socket: at once, or when what it asks for is done.
    pub(super) fn asked(&mut self, request: Request) {
        let Request {
            method,
            descriptors,
            uid,
            answer,
        } = request;
        let reply = match method {
            Method::GetStatus {} => Ok(Response::Status(self.snapshot())),
            Method::ListServices {} => Ok(Response::Services(self.statuses())),
            Method::ShowService { name } => self.show(name),
            Method::StartService { name } => {
                let started = self.supervisor.start(&name);
                self.done(started)
            }
            Method::StopService { name } => {
                let stopped = self.supervisor.stop(&name);
                self.done(stopped)
            }
            Method::RestartService { name } => {
                let restarted = self.supervisor.restart(&name);
                self.done(restarted)
            }
            Method::ExecInService {
                name,
                args,
                environment,
            } => self.exec(name, &args, &environment.unwrap_or_default(), &descriptors),
            Method::AuditServices { name } => self.processes(name),
            Method::GetBootTimeline {} => Ok(Response::Timeline(self.timeline.tell())),
            Method::GetConfiguration {} => Ok(Response::Configuration(self.configuration())),
            Method::GetGenerations {} => Ok(Response::Generations(self.list_generations())),
            Method::GetGeneration { number } => return self.show_generation(number, answer),
            Method::ApplyConfiguration {
                text,
                dry_run,
                once: Some(true),
                ..
            } => return self.apply_once(text, dry_run == Some(true), answer),
            Method::ApplyConfiguration {
                text,
                dry_run,
                confirm,
                base,
                ..
            } => return self.apply(text, base, how(dry_run, confirm, uid), answer),
            Method::ConfirmConfiguration { number } => return self.confirm(number, answer),
            Method::PullConfiguration { dry_run, confirm } => {
                return self.pull(how(dry_run, confirm, uid), answer);
            }
            Method::RollBackConfiguration {
                number,
                dry_run,
                confirm,
            } => return self.go_back(number, how(dry_run, confirm, uid), answer),
            Method::SetSecret { name, value } => return self.set_secret(name, &value.0, answer),
            Method::RemoveSecret { name } => return self.save_secret(name, None, answer),
            Method::ListSecrets {} => return self.list_secrets(answer),
            Method::Monitor { recent } => Ok(self.events(recent == Some(true))),
            Method::PowerOff {} => Ok(self.asked_to_end(Ending::PowerOff)),
            Method::Reboot {} => Ok(self.asked_to_end(Ending::Reboot)),
        };
        // The caller may be gone.
        let _ = answer.send(reply);
    }

    /// Queues an event, so that the caller has its reply before the first service ends.
    fn asked_to_end(&self, ending: Ending) -> Response {
        // Cannot fail: the loop that receives it is running this.
        let _ = self.events.send(PowerEvent::End(ending).into());
        Response::Nothing
    }

    fn show(&self, name: String) -> Result<Response, Failure> {
        let mut statuses = self.statuses().into_iter();
        let status = statuses.find(|status| status.name == name);
        let service = self.supervisor.service(&name);
        match (status, service.or_else(|| self.disabled.get(&name))) {
            // Every service has a JSON form.
            (Some(status), Some(service)) => Ok(Response::Service(
                Box::new(status),
                serde_json::to_value(service).unwrap_or_default(),
            )),
            _ => Err(Failure::ServiceNotFound { name }),
        }
    }

    fn done(&self, result: Result<(), RequestError>) -> Result<Response, Failure> {
        match result {
            Ok(()) => Ok(Response::Nothing),
            Err(RequestError::Unknown(name)) if self.disabled.contains_key(&name) => {
                Err(Failure::ServiceDisabled { name })
            }
            Err(RequestError::Unknown(name)) => Err(Failure::ServiceNotFound { name }),
            Err(RequestError::Ending) => Err(Failure::MachineEnding {}),
        }
    }

    /// All services by name, those that are disabled among them. What waits for one of these says so.
    fn statuses(&self) -> Vec<ServiceStatus> {
        let mut statuses = self.supervisor.snapshot();
        for status in &mut statuses {
            let lacks = status.lacks.iter();
            let mut names = lacks.filter_map(|condition| condition.split(':').next());
            if let Some(name) = names.find(|name| self.disabled.contains_key(*name)) {
                status.text = format!("waits for {name}, which is disabled");
            }
        }
        let known: BTreeSet<String> = statuses.iter().map(|status| status.name.clone()).collect();
        // One that was just disabled may still be stopping.
        let disabled = self.disabled.iter();
        let disabled = disabled.filter(|(name, _)| !known.contains(*name));
        statuses.extend(disabled.map(|(name, service)| disabled_status(name, service)));
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
        statuses
    }

    fn processes(&self, only: Option<String>) -> Result<Response, Failure> {
        let process = |status: ServiceStatus| Process {
            service: status.name,
            pid: status.pid,
            cgroup: status.cgroup,
        };
        let wanted = |status: &ServiceStatus| only.as_ref().is_none_or(|name| *name == status.name);
        let statuses = self.supervisor.snapshot().into_iter().filter(wanted);
        let processes: Vec<Process> = statuses.map(process).collect();
        match only {
            Some(name) if processes.is_empty() => self.done(Err(RequestError::Unknown(name))),
            _ => Ok(Response::Processes(processes)),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let problems = self.problems();
        Snapshot {
            machine_id: self.disks.machine_id().to_owned(),
            health: match () {
                () if self.ending.is_some() => Health::Ending,
                () if !self.ready && !self.late => Health::Starting,
                () if problems.is_empty() => Health::Ready,
                () => Health::Degraded,
            },
            problems,
            ready_at: self.timeline.ready_at(),
            addresses: addresses(self.facts.get("addresses").map_or("", String::as_str)),
            volatile: self.disks.volatile(),
            configuration: Some(self.generations.number()).filter(|number| *number > 0),
            set_aside: self.generations.history.set_aside(),
        }
    }

    fn problems(&self) -> Vec<String> {
        let statuses = self.supervisor.snapshot();
        let due = self.late || self.ready;
        let problem = |status| problem(status, due);
        let mut problems: Vec<String> = statuses.iter().filter_map(problem).collect();
        problems.extend(self.generations.history.problem());
        problems.extend(self.rejected.iter().cloned());
        problems.extend(self.settings.problems().iter().cloned());
        problems.extend(self.files.problems().iter().cloned());
        problems.extend(self.swap.problems().iter().cloned());
        problems.extend(self.secrets.problems().iter().cloned());
        let broken = self.broken.names();
        problems.extend(broken.map(|name| format!("{name} cannot be loaded")));
        if self.configured == Configured::WithoutState {
            problems.push("the state is still being checked".to_owned());
        }
        if self.disks.volatile() == Some(true) {
            problems.push("the state is in memory: it is lost at power off".to_owned());
        }
        problems.extend(self.network.problems(since_boot()));
        problems.extend(Self::twins());
        problems
    }

    /// Records state changes of services in the timeline, and sends them to listeners.
    pub(super) fn tell_changes(&mut self) {
        for change in self.supervisor.take_changes() {
            self.note(&change);
            self.event_log.tell(service_event(change));
        }
    }

    fn note(&mut self, change: &Change) {
        let (name, at) = (&change.service, change.at);
        match State::of_word(change.new) {
            Some(State::Starting) => {
                if let Some(service) = self.supervisor.service(name) {
                    self.timeline.service(name, at, &service.lifecycle);
                }
            }
            Some(State::Ready | State::Done | State::Failed) => {
                self.timeline.service_ended(name, at);
            }
            // Between two runs.
            Some(State::Waiting) if self.is_periodic(name) => {
                self.timeline.service_ended(name, at);
            }
            _ => {}
        }
    }

    /// Whether it is periodic: `waiting` then means that it is between two runs.
    fn is_periodic(&self, name: &str) -> bool {
        let service = self.supervisor.service(name);
        service.is_some_and(|service| service.lifecycle.kind == Kind::Periodic)
    }

    /// Sends listeners an event of the machine as a whole.
    pub(super) fn tell_machine(&mut self, kind: EventKind, text: String) {
        self.event_log.tell(machine_event(kind, text));
    }

    fn events(&self, with_recent: bool) -> Response {
        let recent = self.event_log.recent.iter().rev().filter(|_| with_recent);
        Response::Events(
            recent.cloned().collect(),
            self.event_log.listeners.subscribe(),
        )
    }
}

fn how(dry_run: Option<bool>, confirm: Option<u64>, uid: u32) -> How {
    How {
        dry_run: dry_run == Some(true),
        confirm: confirm.map(Duration::from_secs),
        uid,
    }
}

fn disabled_status(name: &str, service: &Service) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        description: service.description.clone(),
        state: State::Disabled.word(),
        since: Duration::ZERO,
        runs: 0,
        pid: None,
        cgroup: PathBuf::new(),
        text: String::new(),
        problem: String::new(),
        last_exit: None,
        started: None,
        due: None,
        after: Vec::new(),
        lacks: Vec::new(),
        required: service.lifecycle.required,
        missing: false,
        used: 0,
    }
}

fn service_event(change: Change) -> Event {
    Event {
        time: micros(change.at),
        kind: EventKind::Service,
        service: Some(change.service),
        old_state: State::of_word(change.old),
        new_state: State::of_word(change.new),
        text: change.exit.unwrap_or_default(),
    }
}

/// The problem with a service, if there is one; `due` is true once required services should be ready.
fn problem(status: &ServiceStatus, due: bool) -> Option<String> {
    let ServiceStatus { name, state, .. } = status;
    let exit = status.last_exit.as_ref();
    let why = exit.map_or(String::new(), |exit| format!(": ended with {exit}"));
    match *state {
        "failed" | "backing-off" | "degraded" => Some(format!("{name} is {state}{why}")),
        "ready" | "done" => {
            let problem = Some(&status.problem).filter(|problem| !problem.is_empty());
            problem.map(|problem| format!("{name}: {problem}"))
        }
        _ => (due && status.missing).then(|| format!("{name} is {state}, and required")),
    }
}

/// Parses the `addresses` fact, a line each: link and address.
fn addresses(fact: &str) -> Vec<Address> {
    let pairs = fact.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(link, address)| Address {
            link: link.to_owned(),
            address: address.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_service() {
        for (state, exit, missing, due, want) in [
            ("ready", None, true, true, None),
            ("done", Some("status 0"), true, true, None),
            (
                "failed",
                Some("status 1"),
                false,
                false,
                Some("a is failed: ended with status 1"),
            ),
            ("degraded", None, false, false, Some("a is degraded")),
            (
                "stopped",
                None,
                true,
                true,
                Some("a is stopped, and required"),
            ),
            ("stopped", None, false, true, None),
            ("starting", None, true, false, None),
        ] {
            let status = ServiceStatus {
                name: "a".to_owned(),
                description: String::new(),
                state,
                since: std::time::Duration::ZERO,
                runs: 1,
                pid: None,
                cgroup: "/x".into(),
                text: String::new(),
                problem: String::new(),
                last_exit: exit.map(ToOwned::to_owned),
                started: None,
                due: None,
                after: vec![],
                lacks: vec![],
                required: missing,
                missing,
                used: 0,
            };
            assert_eq!(problem(&status, due).as_deref(), want, "{state}");
            let said = ServiceStatus {
                problem: "b".to_owned(),
                ..status
            };
            let want = match state {
                "ready" | "done" => Some("a: b"),
                _ => want,
            };
            assert_eq!(problem(&said, due).as_deref(), want, "{state}");
        }
    }

    #[test]
    fn addresses_of_the_fact() {
        let address = |link: &str, address: &str| Address {
            link: link.to_owned(),
            address: address.to_owned(),
        };
        let want = [
            address("eth0", "10.0.2.15/24"),
            address("eth0", "fe80::1/64"),
        ];
        assert_eq!(addresses("eth0 10.0.2.15/24\neth0 fe80::1/64\n"), want);
        assert_eq!(addresses(""), []);
    }
}
