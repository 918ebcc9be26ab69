//! `tare events`.

use crate::Failed;
use crate::run::Context;
use crate::style::{Look, Style};
use std::io::{self, Write};
use tare_control::{Event, EventKind, Method, Monitor, State};

/// Shows past events and, with `follow`, new ones.
pub(crate) fn events(context: &Context, follow: bool) -> Result<(), Failed> {
    let recent = Some(true);
    let events = context
        .connect()?
        .call_more::<Monitor>(&Method::Monitor { recent })?;
    for reply in events {
        let Monitor { event } = reply?;
        if event.kind != EventKind::Begin {
            write(context, &event)?;
        } else if !follow {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes one line per event, also as JSON, so that a reader sees each as it arrives.
fn write(context: &Context, event: &Event) -> Result<(), Failed> {
    let text = match context.json {
        true => serde_json::to_string(event).map_err(io::Error::from)? + "\n",
        false => line(event, context.style),
    };
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

pub(crate) fn line(event: &Event, style: Style) -> String {
    let time = format!("{:>12.6}", event.time as f64 / 1e6);
    let what = match event.kind {
        EventKind::Begin => "events from here".to_owned(),
        EventKind::Service => service(event, style),
        EventKind::Ready => style.paint(Look::Good, "the machine is ready"),
        EventKind::Ending => style.paint(Look::Busy, "the machine ends"),
        EventKind::Lost => style.paint(Look::Bad, &event.text),
    };
    format!("{} {what}\n", style.paint(Look::Dim, &time))
}

fn service(event: &Event, style: Style) -> String {
    let name = event.service.as_deref().unwrap_or_default();
    let word = |state: Option<State>| state.map_or("", State::word);
    let new = word(event.new_state);
    let new = event
        .new_state
        .map_or(new.to_owned(), |state| style.paint(state.into(), new));
    let why = match event.text.as_str() {
        "" => String::new(),
        text => format!(" ({text})"),
    };
    format!("{name}: {} -> {new}{why}", word(event.old_state))
}
