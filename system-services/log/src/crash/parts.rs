//! Records of pstore that belong together: the kernel writes its messages in parts, the last one first (`pstore_dump`
//! in fs/pstore/platform.c).

/// One part: `Panic#2 Part1` on a line of its own, then text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Counts dumps of one boot.
    dump: u64,
    number: u64,
    text: Vec<u8>,
}

impl Part {
    /// `None` if `bytes` is something else, such as a console log or a message of user space.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, text) = (std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]);
        let (dump, number) = head.split_once('#')?.1.split_once(" Part")?;
        Some(Self {
            dump: dump.parse().ok()?,
            number: number.parse().ok()?,
            text: text.to_vec(),
        })
    }
}

/// The text of all parts in the order in which the kernel wrote it.
pub(super) fn together(mut parts: Vec<Part>) -> Vec<u8> {
    parts.sort_by_key(|part| (part.dump, std::cmp::Reverse(part.number)));
    let texts: Vec<Vec<u8>> = parts.into_iter().map(|part| part.text).collect();
    texts.concat()
}

/// The line that best describes the crash.
pub(super) fn reason(words: &[u8]) -> String {
    /// From the fatal event to its possible causes.
    const TELLING: [&str; 4] = ["Kernel panic", "BUG:", "Oops", "watchdog"];
    let words = String::from_utf8_lossy(words);
    let telling = |what: &&str| words.lines().find(|line| line.contains(*what));
    let line = TELLING
        .iter()
        .find_map(telling)
        .or_else(|| words.lines().last());
    without_time(line.unwrap_or("no words")).to_owned()
}

/// A line of the kernel's log without `<6>[   12.345678] `.
fn without_time(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_two_dumps_in_their_order() {
        let parts = [
            "Panic#2 Part1\n<0>[    2.5] Kernel panic - not syncing: x\n",
            "Oops#1 Part2\n<6>[    1.0] first\n",
            "Oops#1 Part1\n<1>[    2.0] BUG: bad\n",
        ];
        let parts: Vec<Part> = parts
            .iter()
            .filter_map(|part| Part::parse(part.as_bytes()))
            .collect();
        let words = together(parts);
        let want = "<6>[    1.0] first\n<1>[    2.0] BUG: bad\n<0>[    2.5] Kernel panic - not syncing: x\n";
        assert_eq!(String::from_utf8(words.clone()).unwrap(), want);
        assert_eq!(reason(&words), "Kernel panic - not syncing: x");
    }

    #[test]
    fn what_is_no_part() {
        for bytes in [
            &b""[..],
            b"Panic#1 Part1",
            b"a line\nanother",
            b"Panic#x Part1\n",
        ] {
            assert_eq!(Part::parse(bytes), None);
        }
        assert_eq!(reason(b""), "no words");
        assert_eq!(reason(b"[ 1.0] one\n[ 2.0] two\n"), "two");
    }
}
