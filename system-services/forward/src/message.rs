//! A record as a syslog message (RFC 5424, section 6).

use crate::containers::Line;
use std::io::Write;
use std::time::{Duration, SystemTime};
use tare_log_format::{Priority, Record, wall_text};

/// Facilities (section 6.2.1): the kernel, users' programs, and system daemons.
const KERNEL: u8 = 0;
const USER: u8 = 1;
const DAEMON: u8 = 3;
/// The longest APP-NAME.
const APP_NAME: usize = 48;
/// How much Docker shows of a container's id.
const SHORT_ID: usize = 12;
/// The largest SEQUENCEID (section 7.3.1); it wraps to 1.
const LAST_SEQUENCE: u32 = 2_147_483_647;

/// Numbers the messages of one connection, so that a receiver can detect gaps.
#[derive(Debug, Default)]
pub(crate) struct Sequence(u32);

impl Sequence {
    fn next(&mut self) -> u32 {
        self.0 = if self.0 == LAST_SEQUENCE {
            1
        } else {
            self.0 + 1
        };
        self.0
    }
}

/// Appends `record` to `out`. The service is the APP-NAME, the stream the MSGID.
pub(crate) fn write(
    out: &mut Vec<u8>,
    record: &Record<'_>,
    hostname: &str,
    sequence: &mut Sequence,
) {
    let priority = facility(record) * 8 + record.priority.number();
    let name = &record.service[..record.service.len().min(APP_NAME)];
    let (wall, stream, number) = (record.wall, record.stream, sequence.next());
    let uptime = centiseconds(record.since_boot);
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        "<{priority}>1 {wall} {hostname} {name} - {stream} [meta sequenceId=\"{number}\" sysUpTime=\"{uptime}\"] "
    );
    out.extend_from_slice(record.text);
}

/// Appends a container's line to `out`. The container's name is the APP-NAME, its id the PROCID, the stream the MSGID.
/// Its facility is not that of services: a container may be called as one of them.
pub(crate) fn write_line(out: &mut Vec<u8>, line: &Line, hostname: &str, sequence: &mut Sequence) {
    let priority = USER * 8 + Priority::INFO.number();
    let wall = wall_text(SystemTime::UNIX_EPOCH + Duration::from_nanos(line.mark.time()));
    let name = &line.name[..line.name.len().min(APP_NAME)];
    let id = &line.id[..line.id.len().min(SHORT_ID)];
    let (stream, number) = (&line.stream, sequence.next());
    // Writing to a vector does not fail.
    let _ = write!(
        out,
        "<{priority}>1 {wall} {hostname} {name} {id} {stream} [meta sequenceId=\"{number}\"] "
    );
    out.extend_from_slice(&line.text);
}

/// Callers of syslog(3) choose their own names: `kernel` is the kernel only in the kernel's own streams.
fn facility(record: &Record<'_>) -> u8 {
    match (record.service, record.stream) {
        ("kernel", "kmsg" | "pstore" | "dropped") => KERNEL,
        _ => DAEMON,
    }
}

/// Decimal seconds in hundredths (section 7.3.3).
fn centiseconds(seconds: &str) -> u64 {
    let (whole, decimals) = seconds.split_once('.').unwrap_or((seconds, "00"));
    let hundredths = decimals.get(..2).unwrap_or("0");
    let number = |digits: &str| digits.parse::<u64>().unwrap_or(0);
    number(whole) * 100 + number(hundredths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tare_engine_api::Mark;

    #[test]
    fn messages() {
        let long = "a".repeat(60);
        let short = "a".repeat(48);
        for (record, want) in [
            (
                "2026-11-21T04:12:35.527Z 12.345678 3f2a90c1 4 ssh stderr caf\u{e9} \\x1b".to_owned(),
                "<28>1 2026-11-21T04:12:35.527Z edge-17 ssh - stderr [meta sequenceId=\"1\" sysUpTime=\"1234\"] caf\u{e9} \\x1b".to_owned(),
            ),
            (
                "2026-11-21T04:12:35.527Z 0.000000 3f2a90c1 6 kernel kmsg ".to_owned(),
                "<6>1 2026-11-21T04:12:35.527Z edge-17 kernel - kmsg [meta sequenceId=\"1\" sysUpTime=\"0\"] ".to_owned(),
            ),
            (
                format!("2026-11-21T04:12:35.527Z 0.000000 3f2a90c1 6 {long} syslog x"),
                format!("<30>1 2026-11-21T04:12:35.527Z edge-17 {short} - syslog [meta sequenceId=\"1\" sysUpTime=\"0\"] x"),
            ),
        ] {
            let mut out = Vec::new();
            let record = Record::parse(record.as_bytes()).unwrap();
            write(&mut out, &record, "edge-17", &mut Sequence::default());
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }

    #[test]
    fn lines_of_containers() {
        let line = Line {
            id: "0123456789abcdef".repeat(4),
            mark: Mark::at(1_795_234_355_527_000_001),
            stream: "stderr".to_owned(),
            name: "a".repeat(60),
            text: b"caf\xc3\xa9 \\x1b".to_vec(),
        };
        let mut out = Vec::new();
        write_line(&mut out, &line, "edge-17", &mut Sequence::default());
        let name = "a".repeat(48);
        let want = format!(
            "<14>1 2026-11-21T04:12:35.527Z edge-17 {name} 0123456789ab stderr [meta sequenceId=\"1\"] caf\u{e9} \\x1b"
        );
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn only_the_kernel_has_its_facility() {
        for (name, want) in [
            ("kernel kmsg", "<0>"),
            ("kernel pstore", "<0>"),
            ("kernel dropped", "<0>"),
            ("kernel syslog", "<24>"),
            ("kernel stdout", "<24>"),
            ("tare kmsg", "<24>"),
        ] {
            let line = format!("2026-11-21T04:12:35.527Z 0.000000 3f2a90c1 0 {name} x");
            let mut out = Vec::new();
            let record = Record::parse(line.as_bytes()).unwrap();
            write(&mut out, &record, "edge-17", &mut Sequence::default());
            assert!(out.starts_with(want.as_bytes()), "{name}");
        }
    }

    #[test]
    fn numbers_begin_anew_at_the_last() {
        let mut sequence = Sequence(LAST_SEQUENCE - 1);
        assert_eq!([sequence.next(), sequence.next()], [LAST_SEQUENCE, 1]);
    }
}
