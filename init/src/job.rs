//! Work on disks, in a separate process: any disk may take minutes to answer, or never answer, and PID 1 must not
//! wait.

use crate::effect::{
    generations, homes, modules, secrets, state, swap, sysctl, user_files, userdata,
};
use crate::event::{DiskEvent, Event};
use crate::kmsg;
use crate::plan::generations::{Generation, History, Save};
use crate::plan::users::Home;
use crate::task::Task;
use nix::sys::socket::{Shutdown, shutdown};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use tare_config::machine::{
    CredentialName, File, FilePath, ModuleName, Reference, SecretBytes, Swap,
};
use tare_container::paths::VOLUMES;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;

/// The name under which our executable runs a job.
pub(crate) const NAME: &str = "tare-job";

/// What is said of work that did not get done.
pub(crate) const PROCESS_ENDED: &str = "the process that does it has ended";

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Job {
    /// Reads the user-data of a source.
    ReadSource { source: String },
    /// Mounts a partition as the state, or memory if there is none or it cannot be mounted, and reads what is kept there.
    MountState { partition: Option<PathBuf> },
    /// Loads kernel modules, then applies settings below `/proc/sys`, which may take seconds.
    Settings {
        modules: Vec<ModuleName>,
        sysctl: BTreeMap<String, String>,
    },
    /// Saves what has changed about the generations of the configuration.
    SaveGenerations(Box<Save>),
    /// Reads one of them.
    ReadGeneration { number: u64 },
    /// Makes the homes of users that are not there, then writes the files of user-data that differ: some are in homes.
    WriteFiles {
        homes: Vec<Home>,
        files: BTreeMap<FilePath, File>,
    },
    /// Changes the machine's swap. `volatile`: whether the state is in memory; `None` if there is none yet.
    SetSwap { swap: Swap, volatile: Option<bool> },
    /// Reads secrets.
    ReadSecrets { references: BTreeSet<Reference> },
    /// Keeps a credential on the state, or removes it if there is no value.
    SaveSecret {
        name: CredentialName,
        value: Option<SecretBytes>,
    },
    /// Lists the credentials on the state.
    ListSecrets,
}

/// Without what it carries: user-data holds secrets.
impl Display for Job {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadSource { source } => write!(f, "look for user-data of {source}"),
            Self::MountState { partition } => {
                let partition = partition.as_deref().unwrap_or(Path::new("memory"));
                write!(f, "mount {} as the state", partition.display())
            }
            Self::Settings { .. } => f.write_str("apply the settings of the kernel"),
            Self::SaveGenerations(_) => f.write_str("save the configuration"),
            Self::ReadGeneration { number } => write!(f, "read configuration {number}"),
            Self::WriteFiles { .. } => f.write_str("make homes and write files"),
            Self::SetSwap { .. } => f.write_str("change swap"),
            Self::ReadSecrets { .. } => f.write_str("read secrets"),
            Self::SaveSecret { name, .. } => write!(f, "save credential {name}"),
            Self::ListSecrets => f.write_str("list credentials"),
        }
    }
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Done {
    /// What the source holds, or why it cannot be read; `None` if there is no such source.
    Source {
        source: String,
        held: Option<Result<Vec<u8>, String>>,
    },
    State(State),
    /// What the kernel has refused, in sentences.
    Settings {
        refused: Vec<String>,
        /// What the settings were.
        before: BTreeMap<String, String>,
    },
    /// What failed, in sentences.
    SwapSet {
        problems: Vec<String>,
    },
    /// Or why not.
    GenerationsSaved {
        failed: Option<String>,
    },
    /// Or why not.
    Generation {
        number: u64,
        read: Result<Box<Generation>, String>,
    },
    /// What could not be written, in sentences.
    FilesWritten {
        problems: Vec<String>,
    },
    Secrets {
        found: Vec<secrets::Found>,
    },
    /// Or why not.
    SecretSaved {
        failed: Option<String>,
    },
    SecretNames {
        names: Vec<String>,
    },
}

/// User-data by source, or why it cannot be read.
pub(crate) type Sources = BTreeMap<String, Result<Vec<u8>, String>>;

/// The state as it was mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whether it is in memory.
    pub(crate) volatile: bool,
    /// Empty if it can neither be read nor created.
    pub(crate) machine_id: String,
    /// Whether there is a file of swap, which the configuration may not have any more.
    pub(crate) has_swap_file: bool,
    pub(crate) history: History,
}

/// Runs `job`, then sends [`DiskEvent::Done`] or [`DiskEvent::Failed`]. If the result is dropped first, nothing is
/// sent, but the process continues.
pub(crate) fn start(job: Job, events: UnboundedSender<Event>) -> Task {
    Task::spawn(async move {
        match run(&job).await {
            Ok(done) => drop(events.send(DiskEvent::Done(done).into())),
            Err(error) => {
                log::error!("{job}: {error}");
                drop(events.send(DiskEvent::Failed(job).into()));
            }
        }
    })
}

async fn run(job: &Job) -> io::Result<Done> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new("/proc/self/exe");
    let theirs = OwnedFd::from(theirs);
    command.arg0(NAME).stdin(theirs.try_clone()?).stdout(theirs);
    // Reaped with the orphans.
    command.spawn()?;
    // Closes our copies of its end, or we would never read the end of its output.
    drop(command);
    let mut stream = UnixStream::from_std(ours)?;
    stream.write_all(&serde_json::to_vec(job)?).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}

/// The main function of the process: reads a job from standard input, writes the result to standard output.
pub(crate) fn main() -> ExitCode {
    // If this fails, there is nowhere to report it.
    let _ = kmsg::init();
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{NAME}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> io::Result<()> {
    let mut job = Vec::new();
    io::stdin().read_to_end(&mut job)?;
    let done = match serde_json::from_slice(&job)? {
        Job::ReadSource { source } => Done::Source {
            held: userdata::read(&source),
            source,
        },
        Job::MountState { partition } => Done::State(state::mount_and_read(partition.as_deref())),
        Job::Settings {
            modules,
            sysctl: settings,
        } => {
            let mut refused = modules::load_named(&modules);
            let before = sysctl::now(&settings);
            refused.extend(sysctl::apply(&settings));
            Done::Settings { refused, before }
        }
        Job::SaveGenerations(save) => {
            let saved = generations::save(&save);
            Done::GenerationsSaved {
                failed: saved.err().map(|error| error.to_string()),
            }
        }
        Job::ReadGeneration { number } => Done::Generation {
            number,
            read: generations::generation(number)
                .map(Box::new)
                .map_err(|error| error.to_string()),
        },
        Job::WriteFiles { homes, files } => {
            homes::make_all(&homes);
            Done::FilesWritten {
                problems: user_files::write_all(Path::new(VOLUMES), &files),
            }
        }
        Job::SetSwap { swap, volatile } => Done::SwapSet {
            problems: swap::set(&swap, volatile),
        },
        Job::ReadSecrets { references } => Done::Secrets {
            found: secrets::read_all(references),
        },
        Job::SaveSecret { name, value } => {
            let saved = secrets::save(&name, value.as_ref());
            Done::SecretSaved {
                failed: saved.err().map(|error| error.to_string()),
            }
        }
        Job::ListSecrets => Done::SecretNames {
            names: secrets::names(),
        },
    };
    let mut out = io::stdout().lock();
    out.write_all(&serde_json::to_vec(&done)?)?;
    out.flush()?;
    // PID 1 reads until the end, and does not wait for the rest.
    shutdown(out.as_raw_fd(), Shutdown::Write)?;
    if matches!(done, Done::State(_)) {
        state::empty_trash();
    }
    Ok(())
}
