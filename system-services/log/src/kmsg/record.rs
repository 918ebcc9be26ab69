//! One record as `/dev/kmsg` gives it.

use std::time::Duration;
use tare_log_format::unescape;

/// The kernel itself.
pub(super) const KERNEL: &str = "kernel";
/// The name of a writer that does not give one.
const NAMELESS: &str = "kmsg";

/// `PRIORITY,NUMBER,MICROSECONDS,FLAGS…;TEXT` and lines of a dictionary, which are dropped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) priority: u32,
    pub(super) number: u64,
    pub(super) since_boot: Duration,
    pub(super) text: &'a [u8],
}

impl<'a> Record<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let split = bytes.iter().position(|byte| *byte == b';')?;
        let (head, body) = (
            std::str::from_utf8(&bytes[..split]).ok()?,
            &bytes[split + 1..],
        );
        let mut fields = head.split(',');
        Some(Self {
            priority: fields.next()?.parse().ok()?,
            number: fields.next()?.parse().ok()?,
            since_boot: Duration::from_micros(fields.next()?.parse().ok()?),
            text: body.split(|byte| *byte == b'\n').next()?,
        })
    }

    /// The writer and its text. Only the kernel itself has facility 0 (`devkmsg_write` in kernel/printk/printk.c). A
    /// program begins its line with its name: PID 1 with `tare: `, a service that must write here with its own.
    pub(super) fn attributed(&self) -> (String, Vec<u8>) {
        let mut text = Vec::new();
        unescape(self.text, &mut text);
        if self.priority < 8 {
            return (KERNEL.to_owned(), text);
        }
        match name(&text).filter(|name| *name != KERNEL) {
            Some(name) => {
                let (name, rest) = (name.to_owned(), text[name.len() + 2..].to_vec());
                (name, rest)
            }
            None => (NAMELESS.to_owned(), text),
        }
    }
}

/// The name of a service before a colon and a space.
fn name(text: &[u8]) -> Option<&str> {
    let end = text.iter().take(64).position(|byte| *byte == b':')?;
    let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let valid = end > 0 && text[..end].iter().all(fits) && text.get(end + 1) == Some(&b' ');
    valid
        .then(|| std::str::from_utf8(&text[..end]).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (bytes, want) in [
            (
                &b"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n"[..],
                Some((
                    6,
                    339,
                    5_140_900,
                    &b"NET: Registered protocol family 10"[..],
                )),
            ),
            (
                b"30,340,5690716,c,caller=T1;a;b\n",
                Some((30, 340, 5_690_716, b"a;b")),
            ),
            (b"6,339;text\n", None),
            (b"no record", None),
        ] {
            let found = Record::parse(bytes).map(|record| {
                let micros = record.since_boot.as_micros();
                (record.priority, record.number, micros, record.text)
            });
            assert_eq!(found, want, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn lines_are_attributed_to_services() {
        for (priority, text, service, said) in [
            (6, "tare: not PID 1", "kernel", "tare: not PID 1"),
            (29, "tare: ready in 1.000 s", "tare", "ready in 1.000 s"),
            (12, "storage: /dev/vda4: a: b", "storage", "/dev/vda4: a: b"),
            (12, "caf\\xc3\\xa9 \\x5c", "kmsg", "caf\u{e9} \\"),
            (12, "Capital: x", "kmsg", "Capital: x"),
            (12, "colon:x", "kmsg", "colon:x"),
            (12, ": x", "kmsg", ": x"),
            (12, "kernel: Oops", "kmsg", "kernel: Oops"),
        ] {
            let record = Record {
                priority,
                number: 0,
                since_boot: Duration::ZERO,
                text: text.as_bytes(),
            };
            assert_eq!(
                record.attributed(),
                (service.to_owned(), said.as_bytes().to_vec())
            );
        }
    }
}
