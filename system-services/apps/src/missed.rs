//! Runs of jobs that were due while the machine was off.

use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tare_config::service::Calendar;

/// PID 1 sets it for the first run after a boot, which is for what was missed.
const CATCHES_UP: &str = "TARE_CATCH_UP";

/// Whether job `name` is to run now. If it is, and it catches up, `folder` has from now on when it last ran.
///
/// # Errors
/// The folder cannot be read or written.
pub(crate) fn is_to_run(name: &str, job: &Value, folder: &Path) -> Result<bool> {
    if job["catch-up"] != true {
        return Ok(true);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(0);
    let first = env::var_os(CATCHES_UP).is_some();
    decide(first, job, now, &folder.join(name))
}

/// `first` says that this is the run after a boot. The file at `last` has when a run began, in seconds since 1970.
fn decide(first: bool, job: &Value, now: i64, last: &Path) -> Result<bool> {
    let before = fs::read_to_string(last).ok();
    let before = before.and_then(|text| text.trim().parse().ok());
    let runs = match before {
        _ if !first => true,
        // A new job has missed nothing.
        None => false,
        Some(before) => was_due(job, before, now)?,
    };
    if runs || before.is_none() {
        write(last, now).with_context(|| format!("write {}", last.display()))?;
    }
    if first && runs {
        eprintln!("was due while the machine was off");
    }
    Ok(runs)
}

fn was_due(job: &Value, before: i64, now: i64) -> Result<bool> {
    let schedule = job["schedule"].as_str().unwrap_or_default();
    let calendar = Calendar::try_from(schedule.to_owned()).map_err(|why| anyhow!(why))?;
    Ok(calendar.next(before).is_some_and(|due| due <= now))
}

fn write(path: &Path, seconds: i64) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    writeln!(file, "{seconds}")?;
    file.sync_all()?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::started::testing::Folder;
    use serde_json::json;

    #[test]
    fn a_run_is_made_up_for_once() {
        let folder = Folder::new("missed");
        let last = folder.path().join("backup");
        let job = json!({"schedule": "daily", "catch-up": true});
        const DAY: i64 = 86_400;
        for (first, now, want) in [
            // It is new.
            (true, 100, false),
            (true, 200, false),
            (true, DAY, true),
            (true, DAY + 1, false),
            (false, 2 * DAY, true),
            (true, 2 * DAY + 1, false),
            // The clock was wrong before.
            (true, 5, false),
            (true, 9 * DAY, true),
        ] {
            assert_eq!(decide(first, &job, now, &last).unwrap(), want, "{now}");
        }
    }

    #[test]
    fn a_job_that_does_not_catch_up_writes_nothing() {
        let folder = Folder::new("not-missed");
        let job = json!({"schedule": "daily", "catch-up": false});
        assert!(is_to_run("backup", &job, folder.path()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
