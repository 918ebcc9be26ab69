//! Whether a service runs on a machine.

use crate::{Machine, Service};
use toml::{Table, Value};

/// A machine's configuration as services name its keys.
pub(crate) struct Keys<'m> {
    machine: &'m Machine,
    table: Table,
}

impl<'m> Keys<'m> {
    /// Those of `machine`.
    pub(crate) fn of(machine: &'m Machine) -> Self {
        // Serializing a configuration cannot fail. If it did, no key would count as set.
        let table = Table::try_from(machine).unwrap_or_default();
        Self { machine, table }
    }

    /// What is at a dotted key, if that is set.
    fn get(&self, key: &str) -> Option<&Value> {
        let mut keys = key.split('.');
        let section = self.table.get(keys.next()?)?;
        keys.try_fold(section, |table, key| table.get(key))
    }
}

impl Service {
    /// Whether the service runs on a machine with the configuration `machine`: it is enabled, and its `enabled-with`
    /// key is set.
    pub(crate) fn runs_on(&self, machine: &Keys<'_>) -> bool {
        let configured = |key: &String| machine.get(key).is_some();
        self.enabled && self.enabled_with.as_ref().is_none_or(configured)
    }

    /// The instances of the service called `name` on a machine with the configuration `machine`: itself under that
    /// name, unless it is `for-each` key of a table. That of a job runs at the job's times.
    pub(crate) fn instances(&self, name: &str, machine: &Keys<'_>) -> Vec<(String, Self)> {
        let Some(table) = &self.for_each else {
            return vec![(name.to_owned(), self.clone())];
        };
        let jobs = (table == "jobs").then_some(&machine.machine.jobs);
        let table = machine.get(table).and_then(Value::as_table);
        let keys = table.into_iter().flatten();
        let instance = |(key, _): (&String, &Value)| {
            let mut instance = self.clone();
            instance.process.args.push(key.clone());
            if let Some(job) = jobs.and_then(|jobs| jobs.get(key)) {
                job.time(&mut instance.lifecycle);
            }
            (format!("{name}.{key}"), instance)
        };
        keys.map(instance).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_for_what_is_not_configured_does_not_run() {
        let forward = "[log.forward]\nto = 'udp://a'";
        for (service, machine, want) in [
            ("", "", true),
            ("enabled = false", "", false),
            ("enabled-with = 'log.forward'", "", false),
            ("enabled-with = 'log.forward'", "[log]\nrate = 1", false),
            ("enabled-with = 'log.forward'", forward, true),
            (
                "enabled = false\nenabled-with = 'log.forward'",
                forward,
                false,
            ),
        ] {
            let text = format!("description = 'x'\n{service}\n[process]\nargs = ['/a']");
            let service: Service = crate::parse("s", text.as_bytes()).unwrap();
            let machine: Machine = crate::parse("u", machine.as_bytes()).unwrap();
            assert_eq!(service.runs_on(&Keys::of(&machine)), want, "{text}");
        }
    }

    #[test]
    fn a_service_for_each_key_has_instances() {
        let machine = "[apps.shop.services]\n[apps.blog.services]";
        let machine: Machine = crate::parse("t", machine.as_bytes()).unwrap();
        for (text, want) in [
            ("", vec!["a /a"]),
            (
                "for-each = 'apps'",
                vec!["a.blog /a blog", "a.shop /a shop"],
            ),
            ("for-each = 'log.forward'", vec![]),
        ] {
            let text = format!("{text}\ndescription = 'x'\nprocess = {{ args = ['/a'] }}");
            let service: Service = crate::parse("t", text.as_bytes()).unwrap();
            let instances = service.instances("a", &Keys::of(&machine));
            let shown = instances
                .iter()
                .map(|(name, it)| format!("{name} {}", it.process.args.join(" ")));
            assert_eq!(shown.collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn the_service_of_a_job_runs_at_its_times() {
        let machine = "[jobs.a]\nschedule = '15m'\nimage = 'x'\n\
            [jobs.b]\nschedule = '03:30'\nimage = 'x'\ntimeout = '2h'\ncatch-up = true";
        let machine: Machine = crate::parse("t", machine.as_bytes()).unwrap();
        let text = "for-each = 'jobs'\ndescription = 'x'\nprocess = { args = ['/j'] }\n\
            lifecycle = { kind = 'periodic', schedule = 'daily', start-timeout = '1h' }";
        let service: Service = crate::parse("t", text.as_bytes()).unwrap();
        let instances = service.instances("job", &Keys::of(&machine)).into_iter();
        let shown = instances.map(|(name, it)| {
            let text = |value: Option<String>| value.unwrap_or_default();
            let schedule = text(it.lifecycle.schedule.map(String::from));
            let timeout = text(it.lifecycle.start_timeout.map(String::from));
            format!("{name}: {schedule}, {timeout}, {}", it.lifecycle.catch_up)
        });
        let want = ["job.a: 15min, 1h, false", "job.b: 03:30, 2h, true"];
        assert_eq!(shown.collect::<Vec<_>>(), want);
    }
}
