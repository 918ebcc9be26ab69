//! Cuts bytes into lines.

use memchr::memchr;
use tare_log_format::Priority;

/// The longest line in bytes; longer lines are split.
pub(crate) const LONGEST: usize = 16 << 10;

/// Calls `line` with each complete line in `bytes` and, if `last`, with an incomplete one. Returns the number of
/// bytes consumed; the rest is at most [`LONGEST`] bytes.
pub(crate) fn cut(bytes: &[u8], last: bool, mut line: impl FnMut(&[u8])) -> usize {
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        let end = memchr(b'\n', rest);
        match end {
            _ if end.unwrap_or(rest.len()) > LONGEST => {
                line(&rest[..LONGEST]);
                used += LONGEST;
            }
            Some(end) => {
                line(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]));
                used += end + 1;
            }
            None if last && !rest.is_empty() => {
                line(rest);
                used += rest.len();
            }
            None => return used,
        }
    }
}

/// Priority and text of a line; a `<N>` prefix gives the priority (`sd-daemon(3)`).
pub(crate) fn prioritised(line: &[u8]) -> (Priority, &[u8]) {
    match line {
        [b'<', digit @ b'0'..=b'7', b'>', text @ ..] => {
            (Priority::of(u32::from(digit - b'0')), text)
        }
        _ => (Priority::INFO, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_what_is_left() {
        for (bytes, last, want, used) in [
            (&b"a\nb\n"[..], false, vec!["a", "b"], 4),
            (b"a\r\n\n\r\n", false, vec!["a", "", ""], 6),
            (b"a\nopen", false, vec!["a"], 2),
            (b"a\nopen", true, vec!["a", "open"], 6),
            (b"", true, vec![], 0),
        ] {
            let mut found = Vec::new();
            let length = cut(bytes, last, |line| {
                found.push(String::from_utf8_lossy(line).into_owned())
            });
            assert_eq!(
                (found, length),
                (want.into_iter().map(str::to_owned).collect(), used)
            );
        }
    }

    #[test]
    fn a_line_too_long_becomes_several() {
        for (length, want) in [
            (LONGEST, vec![LONGEST]),
            (LONGEST + 3, vec![LONGEST, 3]),
            (3 * LONGEST, vec![LONGEST; 3]),
        ] {
            let mut found = Vec::new();
            let line = [vec![b'x'; length], vec![b'\n']].concat();
            assert_eq!(cut(&line, false, |line| found.push(line.len())), length + 1);
            assert_eq!(found, want);
        }
    }

    #[test]
    fn priorities() {
        for (line, number, text) in [
            ("<3>bad", 3, "bad"),
            ("<0>", 0, ""),
            ("<8>x", 6, "<8>x"),
            ("<31>x", 6, "<31>x"),
            ("plain", 6, "plain"),
        ] {
            let (priority, found) = prioritised(line.as_bytes());
            assert_eq!((priority.number(), found), (number, text.as_bytes()));
        }
    }
}
