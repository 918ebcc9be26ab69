//! The output of every command for one fixed machine.
//!
//! `TARE_GOLDEN=write cargo test -p tare-cli` rewrites the files.

use crate::style::Style;
use crate::{app, audit, boot, events, job, list, show, status};
use serde::Serialize;
use std::path::Path;
use tare_control::{
    Address, Audit, AuditServices, Capabilities, Dependency, Disk, Event, EventKind,
    GetBootTimeline, GetStatus, Health, Limits, ListServices, Memory, Rights, Service, ShowService,
    Span, SpanKind, State, WritableMount,
};

const PLAIN: Style = Style { colors: false };
const SECOND: u64 = 1_000_000;

/// Checks that `got` equals the golden file `name`.
pub(crate) fn check(name: &str, got: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/golden")
        .join(name);
    if std::env::var_os("TARE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(&path).unwrap(), "{name}");
}

fn check_json(name: &str, value: &impl Serialize) {
    check(name, &crate::run::json(value).unwrap());
}

pub(crate) fn machine() -> GetStatus {
    let address = |link: &str, address: &str| Address {
        link: link.to_owned(),
        address: address.to_owned(),
    };
    GetStatus {
        version: "0.1.0".to_owned(),
        kernel: "6.12.48".to_owned(),
        hostname: "edge-17".to_owned(),
        machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
        boot_id: "01234567-89ab-cdef-0123-456789abcdef".to_owned(),
        slot: Some("system-a".to_owned()),
        health: Health::Degraded,
        problems: vec!["apps is backing-off: ended with status 1".to_owned()],
        uptime: 93_784 * SECOND,
        ready_at: Some(3_214_000),
        addresses: vec![
            address("eth0", "192.0.2.10/24"),
            address("eth0", "2001:db8::10/64"),
            address("eth1", "198.51.100.7/24"),
        ],
        memory: Memory {
            total: 512 << 20,
            available: 390 << 20,
        },
        state: Some(Disk {
            size: 8 << 30,
            available: 7 << 30,
            volatile: false,
        }),
        configuration: Some(3),
        set_aside: None,
    }
}

fn service(name: &str, state: State, since: u64, pid: Option<i32>) -> Service {
    Service {
        name: name.to_owned(),
        description: format!("What {name} does"),
        state,
        since: since * SECOND,
        required: name == "ssh",
        starts: 1,
        pid,
        memory: Some(64 << 10),
        cpu: Some(1_234_567),
        tasks: Some(0),
        text: String::new(),
        last_exit: None,
        started: Some(since * SECOND),
        due: None,
    }
}

pub(crate) fn services() -> ListServices {
    let apps = Service {
        starts: 4,
        last_exit: Some("status 1".to_owned()),
        ..service("apps", State::BackingOff, 93_780, None)
    };
    let dhcp = Service {
        memory: Some(1_200_000),
        tasks: Some(1),
        text: "eth0 has 192.0.2.10".to_owned(),
        ..service("dhcp", State::Ready, 2, Some(72))
    };
    let ssh = Service {
        memory: Some(7_500_000),
        tasks: Some(3),
        ..service("ssh", State::Ready, 3, Some(80))
    };
    let storage = Service {
        last_exit: Some("status 0".to_owned()),
        ..service("storage", State::Done, 1, None)
    };
    let services = vec![apps, dhcp, ssh, storage];
    ListServices { services }
}

fn shown() -> ShowService {
    let dependency = |condition: &str, holds| Dependency {
        condition: condition.to_owned(),
        holds,
    };
    ShowService {
        service: services().services.swap_remove(1),
        after: vec![
            dependency("state:mounted", true),
            dependency("network:online", false),
        ],
        configuration: serde_json::json!({
            "process": {"args": ["/usr/bin/tare-dhcp"], "config": [], "user": "dhcp"},
            "lifecycle": {"restart": {"backoff": "100ms..30s"}},
            "resources": {"memory-max": "16MiB", "memory-min": null},
        }),
    }
}

fn audits() -> AuditServices {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rights = Rights {
        uid: 0,
        gid: 0,
        groups: vec![988],
        capabilities: Capabilities {
            effective: names(&["CAP_KILL"]),
            permitted: names(&["CAP_KILL", "CAP_SETUID"]),
            inheritable: vec![],
            bounding: names(&["CAP_KILL", "CAP_SETUID"]),
            ambient: vec![],
        },
        no_new_privileges: true,
        seccomp: "filter".to_owned(),
        host_namespaces: names(&["net", "pid", "time"]),
        writable_root: false,
        writable_mounts: vec![WritableMount {
            target: "/etc/ssh/keys".to_owned(),
            fstype: "ext4".to_owned(),
            root: "/volumes/ssh".to_owned(),
        }],
        limits: Limits {
            memory_max: Some(256 << 20),
            memory_min: 8 << 20,
            pids_max: None,
            cpu_weight: 1000,
        },
        oom_score_adj: -900,
    };
    let audit = |name: &str, rights: Option<Rights>| Audit {
        name: name.to_owned(),
        score: rights.as_ref().map(|_| 18),
        reasons: rights
            .iter()
            .map(|_| " 5 the host's net namespace".to_owned())
            .collect(),
        rights,
    };
    let services = vec![audit("apps", None), audit("ssh", Some(rights))];
    AuditServices { services }
}

fn timeline() -> GetBootTimeline {
    let span = |name: &str, began, ended, after: &[&str]| Span {
        name: name.to_owned(),
        kind: match name {
            "ssh" | "storage" | "a<b" => SpanKind::Service,
            _ => SpanKind::Stage,
        },
        required: name == "ssh",
        began,
        ended,
        after: after.iter().map(ToString::to_string).collect(),
    };
    GetBootTimeline {
        spans: vec![
            span("kernel", 0, Some(812_000), &[]),
            span("base", 812_000, Some(850_000), &["kernel"]),
            span("storage", 840_000, Some(1_100_000), &["base"]),
            span("configuration", 1_100_100, Some(1_150_000), &["storage"]),
            span("network", 1_150_000, None, &["configuration"]),
            span("ssh", 1_151_000, Some(3_213_000), &["configuration"]),
            span("a<b", 3_213_100, None, &["ssh"]),
        ],
        ready_at: Some(3_214_000),
        firmware: Some(1_203_000),
        loader: Some(412_000),
    }
}

fn happened() -> Vec<Event> {
    let event = |time, kind, text: &str| Event {
        time,
        kind,
        service: None,
        old_state: None,
        new_state: None,
        text: text.to_owned(),
    };
    vec![
        Event {
            service: Some("apps".to_owned()),
            old_state: Some(State::Starting),
            new_state: Some(State::BackingOff),
            ..event(3_100_000, EventKind::Service, "status 1")
        },
        event(3_214_000, EventKind::Ready, ""),
        event(3_300_000, EventKind::Lost, "7 events were left out"),
        event(93_784 * SECOND, EventKind::Ending, ""),
    ]
}

fn apps() -> [app::App; 2] {
    let app = |name: &str, state, containers, note: &str| app::App {
        name: name.to_owned(),
        state,
        since: 93_000 * SECOND,
        containers,
        note: note.to_owned(),
    };
    let containers = app::Containers { running: 1, all: 2 };
    [
        app("blog", State::Done, Some(containers), ""),
        app("shop", State::BackingOff, None, "start ended with status 1"),
    ]
}

/// Services of jobs: one that runs, one that failed, one that has not run, one that was well, and one that is no job.
fn jobs() -> Vec<job::Job> {
    let due = |service| Service {
        due: Some(93_844 * SECOND),
        ..service
    };
    let runs = service("job.backup", State::Starting, 93_700, Some(99));
    let failed = due(Service {
        last_exit: Some("status 3".to_owned()),
        ..service("job.broken", State::Waiting, 93_000, None)
    });
    let new = due(Service {
        started: None,
        ..service("job.new", State::Waiting, 3, None)
    });
    let well = due(Service {
        last_exit: Some("status 0".to_owned()),
        ..service("job.sweep", State::Waiting, 93_000, None)
    });
    let services = [
        runs,
        failed,
        new,
        well,
        service("ssh", State::Ready, 3, None),
    ];
    services.iter().filter_map(job::Job::of).collect()
}

#[test]
fn texts() {
    let (machine, services) = (machine(), services());
    let list = list::text(&services, machine.uptime, PLAIN);
    check("service-list.txt", &list);
    let apps = app::text(&apps(), machine.uptime, PLAIN);
    check("app-list.txt", &apps);
    let jobs = job::text(&jobs(), machine.uptime, PLAIN);
    check("job-list.txt", &jobs);
    let show = show::text(&shown(), machine.uptime, PLAIN);
    check("service-show.txt", &show);
    check("service-audit.txt", &audit::overview(&audits(), PLAIN));
    let audits = audits().services;
    let details = audits.iter().map(|audit| audit::details(audit, PLAIN));
    check("service-audit-name.txt", &details.collect::<String>());
    check("boot-analyze.txt", &boot::analyze(&timeline(), PLAIN));
    check("boot-plot.svg", &boot::plot(&timeline(), &machine));
    let events = happened()
        .iter()
        .map(|event| events::line(event, PLAIN))
        .collect::<String>();
    check("events.txt", &events);
    let screen = status::Screen { machine, services };
    check("status.txt", &status::text(&screen, PLAIN));
    check(
        "status-colors.txt",
        &status::text(&screen, Style { colors: true }),
    );
}

#[test]
fn json_is_the_answer_itself() {
    let (machine, services) = (machine(), services());
    check_json("service-list.json", &services);
    check_json("app-list.json", &apps());
    check_json("job-list.json", &jobs());
    check_json("service-show.json", &shown());
    check_json("service-audit.json", &audits());
    check_json("boot-analyze.json", &timeline());
    check_json("status.json", &status::Screen { machine, services });
}

#[test]
fn a_machine_that_is_not_ready_yet() {
    let machine = GetStatus {
        health: Health::Starting,
        problems: vec![],
        slot: None,
        ready_at: None,
        addresses: vec![],
        state: None,
        ..machine()
    };
    let services = ListServices { services: vec![] };
    check(
        "status-early.txt",
        &status::text(&status::Screen { machine, services }, PLAIN),
    );
}
