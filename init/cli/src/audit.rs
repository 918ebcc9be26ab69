//! `tare service audit`.

use crate::Failed;
use crate::run::Context;
use crate::style::{Look, Style};
use crate::table::{Align, Cell, table};
use crate::units::bytes;
use tare_control::{Audit, AuditServices, Method, Rights};

pub(crate) fn audit(context: &Context, name: Option<&str>) -> Result<(), Failed> {
    let only = name.map(ToOwned::to_owned);
    let audits: AuditServices = context.call(&Method::AuditServices { name: only })?;
    context.show(&audits, |audits, style| match name {
        Some(_) => audits
            .services
            .iter()
            .map(|audit| details(audit, style))
            .collect(),
        None => overview(audits, style),
    })
}

/// One row per service, the most exposed first.
pub(crate) fn overview(audits: &AuditServices, style: Style) -> String {
    let head = [
        ("SERVICE", Align::Left),
        ("SCORE", Align::Right),
        ("USER", Align::Right),
        ("CAPS", Align::Right),
        ("SECCOMP", Align::Left),
        ("SETUID", Align::Left),
        ("OF THE HOST", Align::Left),
        ("WRITES", Align::Right),
        ("MEMORY", Align::Right),
        ("THREADS", Align::Right),
    ];
    let mut audits: Vec<&Audit> = audits.services.iter().collect();
    audits.sort_by_key(|audit| std::cmp::Reverse(audit.score));
    table(head, audits.into_iter().map(row).collect(), style)
}

fn row(audit: &Audit) -> [Cell; 10] {
    let Some(rights) = &audit.rights else {
        let dash = Cell::new("-", Look::Dim);
        let mut cells: [Cell; 10] = std::array::from_fn(|_| dash.clone());
        cells[0] = audit.name.clone().into();
        return cells;
    };
    [
        audit.name.clone().into(),
        score(audit.score.unwrap_or(0)),
        rights.uid.to_string().into(),
        rights.capabilities.permitted.len().to_string().into(),
        rights.seccomp.clone().into(),
        if rights.no_new_privileges {
            "no"
        } else {
            "yes"
        }
        .into(),
        shared(rights).join(" ").into(),
        rights.writable_mounts.len().to_string().into(),
        Cell::or_dash(rights.limits.memory_max.map(bytes)),
        Cell::or_dash(rights.limits.pids_max.map(|pids| pids.to_string())),
    ]
}

fn score(score: u32) -> Cell {
    let look = match score {
        0..20 => Look::Good,
        20..50 => Look::Busy,
        _ => Look::Bad,
    };
    Cell::new(score.to_string(), look)
}

/// The namespaces it shares with the host, without `time`, which all services share.
fn shared(rights: &Rights) -> Vec<&str> {
    let names = rights.host_namespaces.iter().map(String::as_str);
    names.filter(|name| *name != "time").collect()
}

/// All that is known about one service.
pub(crate) fn details(audit: &Audit, style: Style) -> String {
    let name = style.paint(Look::Bold, &audit.name);
    let Some(rights) = &audit.rights else {
        return format!("{name} does not run\n");
    };
    let mut text = format!("{name}: {} of 100\n", audit.score.unwrap_or(0));
    for reason in &audit.reasons {
        text += &format!("  {reason}\n");
    }
    for (name, value) in facts(rights) {
        text += &format!(
            "{} {value}\n",
            style.paint(Look::Bold, &format!("{name:<11}"))
        );
    }
    text
}

fn facts(rights: &Rights) -> Vec<(&'static str, String)> {
    let numbers = |list: &[u32]| {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        list.join(" ")
    };
    let sets = &rights.capabilities;
    let limits = &rights.limits;
    let limit = |limit: Option<String>| limit.unwrap_or_else(|| "none".to_owned());
    let mut facts = vec![
        ("user", rights.uid.to_string()),
        (
            "group",
            numbers(&[&[rights.gid], rights.groups.as_slice()].concat()),
        ),
        ("effective", names(&sets.effective)),
        ("permitted", names(&sets.permitted)),
        ("inheritable", names(&sets.inheritable)),
        ("bounding", names(&sets.bounding)),
        ("ambient", names(&sets.ambient)),
        (
            "setuid",
            if rights.no_new_privileges {
                "no"
            } else {
                "yes"
            }
            .to_owned(),
        ),
        ("seccomp", rights.seccomp.clone()),
        ("of the host", shared(rights).join(" ")),
        (
            "root",
            if rights.writable_root {
                "writable"
            } else {
                "read-only"
            }
            .to_owned(),
        ),
    ];
    let mounts = rights.writable_mounts.iter();
    facts.extend(mounts.map(|mount| {
        (
            "writes",
            format!("{} ({} {})", mount.target, mount.fstype, mount.root),
        )
    }));
    facts.extend([
        ("memory", limit(limits.memory_max.map(bytes))),
        ("protected", bytes(limits.memory_min)),
        (
            "threads",
            limit(limits.pids_max.map(|pids| pids.to_string())),
        ),
        ("cpu weight", limits.cpu_weight.to_string()),
        ("oom score", rights.oom_score_adj.to_string()),
    ]);
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

/// Capabilities without the prefix of their names.
fn names(set: &[String]) -> String {
    let names = set.iter().map(|name| name.trim_start_matches("CAP_"));
    names.collect::<Vec<_>>().join(" ")
}
