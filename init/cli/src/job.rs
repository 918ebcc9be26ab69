//! `tare job`: the jobs of user-data. PID 1 has a service for each, whose runs are the job's.

use crate::args::{Change, JobCommand};
use crate::change::Wish;
use crate::list::{note, shown_state};
use crate::run::Context;
use crate::style::{Look, Style};
use crate::table::{Align, Cell, table};
use crate::units::{ago, ahead};
use crate::{Failed, change, logs, show};
use serde::Serialize;
use tare_control::{GetStatus, ListServices, Method, Service, State};

/// The service of a job is called this and the job's name.
const PREFIX: &str = "job.";

pub(crate) fn job(context: &Context, command: &JobCommand) -> Result<(), Failed> {
    match command {
        JobCommand::List => list(context),
        JobCommand::Show { name } => show::show(context, &service(context, name)?),
        JobCommand::Logs { name, lines } => {
            logs::of_service(context, &service(context, name)?, lines)
        }
        JobCommand::Run(change) => {
            let change = Change {
                name: service(context, &change.name)?,
                ..change.clone()
            };
            change::change(context, &change, Wish::Start)
        }
    }
}

/// A job, as listed.
#[derive(Debug, Serialize)]
pub(crate) struct Job {
    pub(crate) name: String,
    /// `starting` while it runs; between two runs, `failed` if the last one has, otherwise `waiting`.
    pub(crate) state: State,
    /// When its last run began, in microseconds since the kernel started.
    pub(crate) started: Option<u64>,
    /// When it runs next, likewise.
    pub(crate) due: Option<u64>,
    /// How its last run ended.
    pub(crate) last_exit: Option<String>,
    #[serde(skip)]
    pub(crate) note: String,
}

impl Job {
    pub(crate) fn of(service: &Service) -> Option<Self> {
        Some(Self {
            name: service.name.strip_prefix(PREFIX)?.to_owned(),
            state: shown_state(service),
            started: service.started,
            due: service.due,
            last_exit: service.last_exit.clone(),
            note: note(service),
        })
    }
}

fn list(context: &Context) -> Result<(), Failed> {
    let machine: GetStatus = context.call(&Method::GetStatus {})?;
    let jobs = jobs(context)?;
    context.show(&jobs, |jobs, style| text(jobs, machine.uptime, style))
}

fn jobs(context: &Context) -> Result<Vec<Job>, Failed> {
    let list: ListServices = context.call(&Method::ListServices {})?;
    Ok(list.services.iter().filter_map(Job::of).collect())
}

/// The name of the service of job `name`.
fn service(context: &Context, name: &str) -> Result<String, Failed> {
    let jobs = jobs(context)?;
    if jobs.iter().any(|job| job.name == name) {
        return Ok(format!("{PREFIX}{name}"));
    }
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    let there_are = match names[..] {
        [] => "user-data has none (section `jobs`)".to_owned(),
        _ => format!("there are: {}", names.join(", ")),
    };
    Err(Failed::NotSo(format!(
        "there is no job `{name}`; {there_are}"
    )))
}

/// The jobs at `now`, in microseconds since the kernel started.
pub(crate) fn text(jobs: &[Job], now: u64, style: Style) -> String {
    let head = [
        ("JOB", Align::Left),
        ("STATE", Align::Left),
        ("LAST RUN", Align::Right),
        ("NEXT RUN", Align::Right),
        ("", Align::Left),
    ];
    let rows = jobs.iter().map(|job| {
        let last = job
            .started
            .map(|at| format!("{} ago", ago(now.saturating_sub(at))));
        [
            job.name.clone().into(),
            Cell::new(job.state.word(), job.state.into()),
            Cell::or_dash(last),
            Cell::or_dash(job.due.map(|at| ahead(at, now))),
            Cell::new(&job.note, Look::Dim),
        ]
    });
    table(head, rows.collect(), style)
}
