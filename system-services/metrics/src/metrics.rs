//! Converts PID 1's answers to what Prometheus reads.

use std::fmt::Display;
use tare_control::{GetStatus, Health, ListServices, Service, State};

struct Page(String);

impl Page {
    /// Begins a metric: its name, its type, its description.
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        self.0 += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let label = |(key, value): &(&str, &str)| format!("{key}=\"{}\"", escaped(value));
        let labels: Vec<String> = labels.iter().map(label).collect();
        let labels = match labels.is_empty() {
            true => String::new(),
            false => format!("{{{}}}", labels.join(",")),
        };
        self.0 += &format!("{name}{labels} {value}\n");
    }

    /// A metric with one sample.
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.metric(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A metric with a sample for each service that has it.
    fn services<T: Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        services: &ListServices,
        value: impl Fn(&Service) -> Option<T>,
    ) {
        self.metric(name, kind, help);
        for service in &services.services {
            if let Some(value) = value(service) {
                self.sample(name, &[("service", &service.name)], value);
            }
        }
    }
}

/// A label's value may not contain these unescaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

/// The page of a machine.
pub(crate) fn text(machine: &GetStatus, services: &ListServices) -> String {
    let mut page = Page(String::new());
    of_machine(&mut page, machine);
    configuration(&mut page, machine);
    states(&mut page, services);
    figures(&mut page, services);
    page.0
}

fn of_machine(page: &mut Page, machine: &GetStatus) {
    page.metric("tare_info", "gauge", "What runs, in its labels.");
    let labels = [
        ("version", machine.version.as_str()),
        ("kernel", machine.kernel.as_str()),
        ("slot", machine.slot.as_deref().unwrap_or_default()),
    ];
    page.sample("tare_info", &labels, 1);
    page.metric(
        "tare_health",
        "gauge",
        "1 for how the machine is, 0 for how it is not.",
    );
    for health in [
        Health::Starting,
        Health::Ready,
        Health::Degraded,
        Health::Ending,
    ] {
        let value = u8::from(health == machine.health);
        page.sample("tare_health", &[("health", health.word())], value);
    }
    let help = "Since the kernel started.";
    page.gauge("tare_uptime_seconds", help, seconds(machine.uptime));
    if let Some(at) = machine.ready_at {
        let help = "When the machine was ready, since the kernel started.";
        page.gauge("tare_ready_seconds", help, seconds(at));
    }
    page.gauge("tare_memory_total_bytes", "Memory.", machine.memory.total);
    let help = "Memory that programs can still have.";
    page.gauge(
        "tare_memory_available_bytes",
        help,
        machine.memory.available,
    );
    if let Some(disk) = machine.state {
        page.gauge(
            "tare_state_size_bytes",
            "The file system of the state.",
            disk.size,
        );
        let help = "What services can still write to the state.";
        page.gauge("tare_state_available_bytes", help, disk.available);
        let help = "1 if the state is in memory, and lost at power off.";
        page.gauge("tare_state_volatile", help, u8::from(disk.volatile));
    }
}

/// Whether the machine runs with the configuration that it was told to.
fn configuration(page: &mut Page, machine: &GetStatus) {
    if let Some(number) = machine.configuration {
        let help = "The number of the configuration in force.";
        page.gauge("tare_configuration", help, number);
    }
    let help = "1 if the last good configuration is in the place of a newer one, with which the machine was not ready.";
    let set_aside = u8::from(machine.set_aside.is_some());
    page.gauge("tare_configuration_set_aside", help, set_aside);
}

fn states(page: &mut Page, services: &ListServices) {
    let name = "tare_service_state";
    page.metric(name, "gauge", "1 for the state that a service is in.");
    for service in &services.services {
        for state in State::ALL {
            let labels = [("service", service.name.as_str()), ("state", state.word())];
            page.sample(name, &labels, u8::from(state == service.state));
        }
    }
}

fn figures(page: &mut Page, services: &ListServices) {
    let runs = |service: &Service| service.pid.is_some();
    let starts = (
        "tare_service_starts_total",
        "counter",
        "How often it was started.",
    );
    page.services(starts, services, |service| Some(service.starts));
    let memory = ("tare_service_memory_bytes", "gauge", "Memory in use.");
    page.services(memory, services, |service| {
        service.memory.filter(|_| runs(service))
    });
    let cpu = (
        "tare_service_cpu_seconds_total",
        "counter",
        "Processor time.",
    );
    page.services(cpu, services, |service| service.cpu.map(seconds));
    let threads = ("tare_service_threads", "gauge", "Threads.");
    page.services(threads, services, |service| {
        service.tasks.filter(|_| runs(service))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{from_value, json};

    #[test]
    fn a_page() {
        let machine: GetStatus = from_value(json!({
            "version": "0.1.0", "kernel": "6.12.48", "hostname": "h", "machine_id": "m", "boot_id": "b",
            "slot": "system-a", "health": "ready", "problems": [], "uptime": 93_784_500_000_u64,
            "ready_at": 3_214_000, "addresses": [], "memory": {"total": 1000, "available": 600},
            "state": {"size": 2000, "available": 1500, "volatile": false},
            "configuration": 7, "set_aside": 8,
        }))
        .unwrap();
        let service = |name: &str, pid: Option<i32>| {
            json!({
                "name": name, "description": "", "state": "ready", "since": 1, "required": true,
                "starts": 2, "pid": pid, "memory": 300, "cpu": 1_500_000, "tasks": 3, "text": "",
                "last_exit": null,
            })
        };
        let services = json!({"services": [service("ssh", Some(7)), service("a\"b", None)]});
        let services = from_value(services).unwrap();
        let got = text(&machine, &services);
        assert_eq!(got, include_str!("metrics/golden.txt"), "{got}");
    }
}
