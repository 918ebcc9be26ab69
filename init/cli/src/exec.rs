//! `tare service exec`.

mod terminal;

use crate::Failed;
use crate::run::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::stdio::{stderr, stdin, stdout};
use tare_control::{ExecInService, Method};
use terminal::Terminal;

/// Runs `command` in the container of service `name`, with our own standard streams or, if they are a terminal, with
/// one like it.
pub(crate) fn exec(
    context: &Context,
    name: &str,
    environment: &[String],
    command: &[String],
) -> Result<(), Failed> {
    allow_descriptors();
    let mut client = context.connect()?;
    let terminal = Terminal::take().map_err(Failed::Terminal)?;
    let mut environment = environment.to_vec();
    if terminal.is_some() {
        add_term(&mut environment, std::env::var("TERM").ok());
    }
    let method = Method::ExecInService {
        name: name.to_owned(),
        args: command.to_vec(),
        environment: Some(environment),
    };
    match &terminal {
        None => client.send_with(&method, [stdin(), stdout(), stderr()])?,
        Some(terminal) => {
            client.send_with(&method, terminal.stdio())?;
            terminal.relay(&client).map_err(Failed::Terminal)?;
        }
    }
    match status(client.reply()?) {
        0 => Ok(()),
        status => Err(Failed::Program(status)),
    }
}

/// Raises our limit of open files to the most that we may have. A user with more descriptors on their way in sockets than
/// that may not send any (`too_many_unix_fds`, net/core/scm.c), and shells have 1024 only. Root of a container is the
/// same user. If this fails, sending may succeed all the same.
fn allow_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: most,
        maximum: most,
    };
    let _ = setrlimit(Resource::Nofile, raised);
}

/// Adds which kind of terminal `ours` is, unless `environment` says it.
fn add_term(environment: &mut Vec<String>, ours: Option<String>) {
    let named = environment.iter().any(|it| it.starts_with("TERM="));
    if !named {
        environment.extend(ours.map(|ours| format!("TERM={ours}")));
    }
}

/// The exit status as in a shell: 128 plus the number of the signal that ended it (POSIX, 2.8.2).
fn status(ended: ExecInService) -> u8 {
    let of_signal = |signal: i32| 128 + (signal & 0x7f);
    let status = ended.status.or(ended.signal.map(of_signal)).unwrap_or(1);
    u8::try_from(status & 0xff).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_descriptors_as_we_may_have_are_on_their_way() {
        let before = getrlimit(Resource::Nofile);
        let few = Rlimit {
            current: Some(1024),
            ..before
        };
        setrlimit(Resource::Nofile, few).unwrap();
        allow_descriptors();
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }

    #[test]
    fn the_terminal_has_one_name() {
        for (said, ours, want) in [
            (vec!["A=b"], Some("vt220"), vec!["A=b", "TERM=vt220"]),
            (vec!["TERM=dumb"], Some("vt220"), vec!["TERM=dumb"]),
            (vec![], None, vec![]),
        ] {
            let mut environment = said.into_iter().map(str::to_owned).collect();
            add_term(&mut environment, ours.map(str::to_owned));
            assert_eq!(environment, want);
        }
    }

    #[test]
    fn exit_statuses_are_a_shells() {
        for (code, signal, want) in [
            (Some(0), None, 0),
            (Some(3), None, 3),
            (None, Some(9), 137),
            (None, None, 1),
        ] {
            let ended = ExecInService {
                status: code,
                signal,
            };
            assert_eq!(status(ended), want);
        }
    }
}
