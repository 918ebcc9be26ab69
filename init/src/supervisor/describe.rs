//! Changes of what services there are, and of how they are described, while they run.

use super::Supervisor;
use super::state::{self, Life, State};
use super::unit::Unit;
use crate::plan::changes::launches_alike;
use crate::plan::sections::{Section, Sections, concern};
use tare_config::service::{Kind, Lifecycle, Service, Start};
use tare_container::Bundle;

/// How a service is to run.
pub(crate) struct Description {
    pub(crate) service: Service,
    pub(crate) bundle: Bundle,
    /// Sections of the configuration that it may read, by name.
    pub(crate) sections: Vec<(String, Section)>,
}

/// What a new description does to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it is the same.
    None,
    /// The service is new.
    Added,
    /// It counts from now on; the service goes on as it is.
    InPlace,
    /// The service is started with it, again if it runs.
    Restarts,
    /// It counts once somebody starts the service.
    NextStart,
}

impl Description {
    /// Whether its program would be launched as that of `service` with these sections.
    fn launches_as(&self, service: &Service, sections: &Sections) -> bool {
        launches_alike(service, &self.service) && !concern(service, sections, &self.sections)
    }
}

impl Unit {
    fn is_described_by(&self, description: &Description) -> bool {
        self.service == description.service && self.sections == description.sections
    }

    /// Takes over `description`; no process of the service runs, or it need not know.
    fn take(&mut self, description: Description) {
        if self.service.sockets != description.service.sockets {
            self.sockets.clear();
        }
        self.service = description.service;
        self.bundle = description.bundle;
        self.sections = description.sections;
    }
}

impl Supervisor {
    /// Adds the service `name`, or describes it anew. It is restarted only if its program would be launched in another
    /// way; until it has ended, the old description counts for it. One that was told to stop stays so. What waits is started by
    /// [`Supervisor::start_eligible`], once for all that are described.
    pub(crate) fn describe(&mut self, name: &str, description: Description) -> Effect {
        let Some(unit) = self.units.get_mut(name) else {
            let Description {
                service,
                bundle,
                sections,
            } = description;
            self.add(name, service, bundle).sections(sections);
            return Effect::Added;
        };
        let is_leaving = std::mem::take(&mut unit.is_leaving);
        let pending = unit.next.take();
        if unit.is_described_by(&description) && !is_leaving && pending.is_none() {
            return Effect::None;
        }
        if !is_leaving
            && pending.is_none()
            && description.launches_as(&unit.service, &unit.sections)
        {
            self.redescribe(name, description);
            return Effect::InPlace;
        }
        if unit.life.is_running() {
            unit.next = Some(Box::new(description));
            return self.start_again(name, is_leaving);
        }
        let state = unit.life.state;
        unit.take(description);
        match state {
            State::Stopped => Effect::NextStart,
            _ => {
                self.begin_anew(name);
                Effect::Restarts
            }
        }
    }

    /// Removes the service `name` once its processes have ended, which are told to.
    pub(crate) fn remove(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        unit.next = None;
        unit.is_leaving = true;
        if unit.life.is_running() {
            self.happen(name, state::Event::StopRequested { again: false });
        } else {
            self.forget(name);
        }
    }

    /// Keeps a service that has just been added waiting until it is given arguments.
    pub(crate) fn await_arguments(&mut self, name: &str) {
        if let Some(unit) = self.units.get_mut(name) {
            unit.triggers.insert(super::Trigger::Arguments);
        }
    }

    /// The names of all services that are to stay.
    pub(crate) fn names(&self) -> Vec<String> {
        let staying = self.units.values().filter(|unit| !unit.is_leaving);
        staying.map(|unit| unit.name.clone()).collect()
    }

    /// Takes over the new description of `name`, if there is one, once no process of it is left.
    pub(super) fn take_next(&mut self, name: &str) {
        let unit = self.units.get_mut(name);
        let Some(unit) = unit.filter(|unit| !unit.life.is_running()) else {
            return;
        };
        if let Some(next) = unit.next.take() {
            unit.take(*next);
        }
    }

    /// Forgets the service `name`, if it is leaving, once no process of it is left.
    pub(super) fn forget(&mut self, name: &str) {
        let unit = self.units.get(name);
        let Some(unit) = unit.filter(|unit| !unit.life.is_running()) else {
            return;
        };
        if unit.is_leaving && self.ending.is_none() {
            let condition = unit.condition();
            self.conditions.clear(&condition);
            self.runs.insert(name.to_owned(), unit.run);
            self.units.remove(name);
        }
    }

    /// Has a service that runs end and, unless somebody told it to stop, start again.
    fn start_again(&mut self, name: &str, was_leaving: bool) -> Effect {
        let Some(unit) = self.units.get(name) else {
            return Effect::None;
        };
        if !was_leaving && unit.life.is_told_to_stop() {
            return Effect::NextStart;
        }
        log::info!("{name}: restarting, its configuration has changed");
        self.happen(name, state::Event::StopRequested { again: true });
        Effect::Restarts
    }

    /// Takes over a description that differs only in how the service is supervised.
    fn redescribe(&mut self, name: &str, description: Description) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let old = unit.service.lifecycle.clone();
        unit.take(description);
        let new = unit.service.lifecycle.clone();
        let state = unit.life.state;
        match state {
            State::Ready | State::Degraded if old.health != new.health => {
                self.watch_health(name);
                if new.health.is_none() && state == State::Degraded {
                    // Nothing finds it unhealthy any more, and nothing else would say so.
                    self.happen(name, state::Event::Checked { well: true });
                }
            }
            State::Waiting if waits_otherwise(&old, &new) => self.begin_anew(name),
            _ => {}
        }
    }

    /// Has a service that does not run wait for what its description says, as if it had just been added.
    fn begin_anew(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        unit.enter(Life::NEW);
        unit.phase = None;
        unit.watch.clear();
        let condition = unit.condition();
        let lifecycle = &unit.service.lifecycle;
        let at_once = lifecycle.kind != Kind::Periodic && lifecycle.start == Start::Auto;
        unit.triggers
            .retain(|trigger| *trigger == super::Trigger::Arguments);
        self.conditions.clear(&condition);
        if !at_once {
            self.arm_triggers(name);
        }
    }
}

fn waits_otherwise(old: &Lifecycle, new: &Lifecycle) -> bool {
    old.start != new.start || old.schedule != new.schedule
}

#[cfg(test)]
mod tests {
    use super::super::state::{Next, Then};
    use super::super::testing::{bundle, service, supervisor};
    use super::*;
    use tokio::task::LocalSet;

    const AFTER: &str = "after = ['network:online']";

    fn description(text: &str) -> Description {
        Description {
            service: service(text),
            bundle: bundle(),
            sections: Vec::new(),
        }
    }

    /// The effect of describing a service in `state`, and its state afterwards.
    async fn described(state: State, text: &str) -> (Effect, Option<State>) {
        let text = text.to_owned();
        let work = async move {
            let mut supervisor = supervisor(&[("a", AFTER)]);
            supervisor.units.get_mut("a").unwrap().life.state = state;
            let effect = supervisor.describe("a", description(&text));
            (
                effect,
                supervisor.units.get("a").map(|unit| unit.life.state),
            )
        };
        LocalSet::new().run_until(work).await
    }

    #[tokio::test]
    async fn only_another_launch_restarts() {
        let same = format!("[lifecycle]\n{AFTER}");
        let supervised = format!("{same}\nhealth = {{ exec = ['/b'] }}");
        let launched = format!("environment = {{ A = 'b' }}\n{same}");
        let again = State::Stopping {
            then: Then::StartAgain,
        };
        for (state, text, effect, then) in [
            (State::Ready, &same, Effect::None, State::Ready),
            (State::Ready, &supervised, Effect::InPlace, State::Ready),
            (State::Ready, &launched, Effect::Restarts, again),
            (State::Waiting, &launched, Effect::Restarts, State::Waiting),
            (State::Failed, &launched, Effect::Restarts, State::Waiting),
            (State::Done, &launched, Effect::Restarts, State::Waiting),
            (State::Done, &supervised, Effect::InPlace, State::Done),
            (State::Stopped, &launched, Effect::NextStart, State::Stopped),
            (
                State::Stopping { then: Then::Stop },
                &launched,
                Effect::NextStart,
                State::Stopping { then: Then::Stop },
            ),
        ] {
            let got = described(state, text).await;
            assert_eq!(got, (effect, Some(then)), "{state:?} {text}");
        }
    }

    #[tokio::test]
    async fn the_old_description_counts_until_the_service_has_ended() {
        let work = async {
            let mut supervisor = supervisor(&[("a", AFTER)]);
            supervisor.units.get_mut("a").unwrap().life.state = State::Ready;
            let text = format!("environment = {{ A = 'b' }}\n[lifecycle]\n{AFTER}");
            supervisor.describe("a", description(&text));
            let before = supervisor.units["a"].service.environment.len();
            let unit = supervisor.units.get_mut("a").unwrap();
            unit.life.state = State::Clearing {
                next: Next::StartAgain,
            };
            supervisor.happen("a", state::Event::Emptied);
            let unit = &supervisor.units["a"];
            (before, unit.service.environment.len(), unit.life.state)
        };
        let got = LocalSet::new().run_until(work).await;
        assert_eq!(got, (0, 1, State::Waiting));
    }

    #[tokio::test]
    async fn a_removed_service_is_gone_once_it_has_ended() {
        let work = async {
            let mut supervisor = supervisor(&[("a", AFTER), ("b", AFTER), ("c", AFTER)]);
            for name in ["b", "c"] {
                supervisor.units.get_mut(name).unwrap().life.state = State::Ready;
                supervisor.units.get_mut(name).unwrap().run = 7;
            }
            for name in ["a", "b", "c"] {
                supervisor.remove(name);
            }
            let staying = supervisor.names();
            let left: Vec<String> = supervisor.units.keys().cloned().collect();
            // It is wanted again before it has ended.
            let text = format!("[lifecycle]\n{AFTER}");
            let effect = supervisor.describe("c", description(&text));
            for name in ["b", "c"] {
                let unit = supervisor.units.get_mut(name).unwrap();
                let next = match unit.life.state {
                    State::Stopping {
                        then: Then::StartAgain,
                    } => Next::StartAgain,
                    _ => Next::Stop,
                };
                unit.life.state = State::Clearing { next };
                supervisor.happen(name, state::Event::Emptied);
            }
            let then: Vec<String> = supervisor.units.keys().cloned().collect();
            supervisor.describe("b", description(&text));
            (staying, left, effect, then, supervisor.units["b"].run)
        };
        let (staying, left, effect, then, run) = LocalSet::new().run_until(work).await;
        assert_eq!(staying, [""; 0]);
        assert_eq!(left, ["b", "c"]);
        assert_eq!((effect, then), (Effect::Restarts, vec!["c".to_owned()]));
        assert_eq!(run, 7, "runs are counted on");
    }
}
