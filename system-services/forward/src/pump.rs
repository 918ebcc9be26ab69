//! Sends the log to the receiver.

use crate::containers::Containers;
use crate::link::Link;
use crate::message::{self, Sequence};
use crate::place::Step;
use crate::progress::Progress;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tare_log_format::Reader;

/// Bytes to collect for one write, of the log and as many of containers: neither crowds out the other.
const AT_ONCE: usize = 32 << 10;
/// How long to wait for new lines while the receiver does not have everything yet, and otherwise.
const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(1);
/// How long sending continues after the service is told to exit: the last lines are still on their way through the
/// log.
const LINGER: Duration = Duration::from_secs(1);
/// How often it then reads the log, at least: the whole machine may have stood still meanwhile.
const LAST_LOOKS: u32 = 4;
/// How long a connection must last to count as established.
const LIVES: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Pump {
    log: PathBuf,
    containers: Containers,
    progress: Progress,
    hostname: String,
}

impl Pump {
    pub(crate) fn new(
        log: PathBuf,
        containers: Containers,
        progress: Progress,
        hostname: String,
    ) -> Self {
        Self {
            log,
            containers,
            progress,
            hostname,
        }
    }

    /// Sends over `link` from the receiver's position until `end` is set. Calls `lives` once the connection has
    /// lasted for a while.
    ///
    /// # Errors
    /// When the connection breaks or the log cannot be read.
    pub(crate) fn run(
        &mut self,
        mut link: Link,
        end: &AtomicBool,
        lives: impl FnOnce(),
    ) -> io::Result<()> {
        let (begun, mut lives) = (Instant::now(), Some(lives));
        let mut reader = self.reader()?;
        reader.watch()?;
        let mut sequence = Sequence::default();
        let mut framed = Vec::new();
        let (mut asked, mut looks) = (None, 0);
        loop {
            if end.load(Ordering::Relaxed) {
                asked.get_or_insert_with(Instant::now);
                looks += 1;
            }
            let late = asked.is_some_and(|asked| asked.elapsed() >= LINGER);
            let over = late && looks > LAST_LOOKS;
            self.fill(&mut reader, &link, &mut sequence, &mut framed)?;
            if link.is_stream() || framed.is_empty() {
                self.fill_from_containers(&link, &mut sequence, &mut framed);
            }
            if !framed.is_empty() {
                link.send(&framed)?;
                let step = Step {
                    log: reader.position()?,
                    containers: self.containers.changes(),
                };
                self.progress.sent(step, link.sent());
            }
            let (taken, now) = (link.taken()?, Instant::now());
            self.progress.taken(taken, now);
            self.progress.settle(now);
            if let Some(lives) = lives.take_if(|_| now - begun >= LIVES) {
                lives();
            }
            let all_taken = taken == link.sent();
            match (framed.is_empty(), over && all_taken) {
                (true, true) => break,
                (true, false) => reader.wait(Some(self.patience(asked.is_none() && all_taken)))?,
                (false, _) => {}
            }
        }
        self.progress.finish();
        link.close();
        Ok(())
    }

    fn patience(&self, idle: bool) -> Duration {
        match idle && !self.progress.is_pending() {
            true => LATER,
            false => SOON,
        }
    }

    /// Reads from the receiver's position, or from the oldest record if the log no longer reaches back that far.
    fn reader(&mut self) -> io::Result<Reader> {
        let place = self.progress.begin();
        self.containers.begin(&place.containers);
        match Reader::resume(&self.log, &place.log)? {
            Some(reader) => Ok(reader),
            None => {
                eprintln!(
                    "<4>log rotated past the last forwarded position; some lines were not forwarded"
                );
                Reader::open(&self.log, &tare_log_format::Filter::default())
            }
        }
    }

    /// Refills `framed` with what is to be sent next.
    fn fill(
        &self,
        reader: &mut Reader,
        link: &Link,
        sequence: &mut Sequence,
        framed: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut message = Vec::new();
        framed.clear();
        while framed.len() < AT_ONCE {
            let Some(record) = reader.next()? else {
                break;
            };
            message.clear();
            message::write(&mut message, &record, &self.hostname, sequence);
            link.frame(&message, framed);
            if !link.is_stream() {
                break;
            }
        }
        Ok(())
    }

    /// Adds lines of containers to `framed`.
    fn fill_from_containers(&mut self, link: &Link, sequence: &mut Sequence, framed: &mut Vec<u8>) {
        let mut message = Vec::new();
        let most = framed.len() + AT_ONCE;
        while framed.len() < most {
            let Some(line) = self.containers.next_line() else {
                break;
            };
            message.clear();
            message::write_line(&mut message, &line, &self.hostname, sequence);
            link.frame(&message, framed);
            if !link.is_stream() {
                break;
            }
        }
    }
}
