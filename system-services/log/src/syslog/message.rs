//! The messages of `syslog(3)`: `<PRIORITY>Mmm dd hh:mm:ss TAG[PID]: TEXT`.

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) priority: u32,
    /// The name that the caller gives itself.
    pub(super) tag: &'a str,
    pub(super) text: &'a [u8],
}

/// user.notice, for a message without a priority (RFC 3164, section 4.3.3).
const USER_NOTICE: u32 = 13;
/// The name of a caller that does not give one.
pub(super) const NAMELESS: &str = "syslog";

impl<'a> Message<'a> {
    /// Its time is dropped, because it has neither year nor zone.
    pub(super) fn parse(message: &'a [u8]) -> Self {
        let message = message.trim_ascii_end();
        let message = message.strip_suffix(b"\0").unwrap_or(message);
        let (priority, text) = priority(message).unwrap_or((USER_NOTICE, message));
        let (tag, text) = tagged(without_time(text));
        Self {
            priority,
            tag,
            text,
        }
    }
}

fn priority(message: &[u8]) -> Option<(u32, &[u8])> {
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((number, &rest[end + 1..]))
}

fn without_time(text: &[u8]) -> &[u8] {
    /// `0` stands for a digit or blank, `a` for a letter.
    const SHAPE: &[u8; 16] = b"aaa 00 00:00:00 ";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'a' => byte.is_ascii_alphabetic(),
        b'0' => byte.is_ascii_digit() || *byte == b' ',
        other => byte == other,
    };
    let has_time = text.len() >= SHAPE.len() && text.iter().zip(SHAPE).all(fits);
    if has_time { &text[SHAPE.len()..] } else { text }
}

/// The tag before `[PID]: ` or `: `, and the text from the process id on.
fn tagged(text: &[u8]) -> (&str, &[u8]) {
    /// RFC 3164, section 4.1.3.
    const LONGEST: usize = 32;
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_./@".contains(byte);
    let end = text.iter().position(|byte| !fits(byte)).unwrap_or(0);
    let tag = std::str::from_utf8(&text[..end]).ok();
    let tag = tag.filter(|tag| (1..=LONGEST).contains(&tag.len()));
    match (tag, &text[end..]) {
        (Some(tag), [b':', b' ', text @ ..]) => (tag, text),
        (Some(tag), rest @ [b'[', ..]) => (tag, rest),
        _ => (NAMELESS, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        for (message, priority, tag, text) in [
            ("<30>Nov  1 04:12:35 cron[9]: run", 30, "cron", "[9]: run"),
            ("<11>logger: no time", 11, "logger", "no time"),
            ("<11>a/b_c.d@1-e: x", 11, "a/b_c.d@1-e", "x"),
            ("plain\n", 13, "syslog", "plain"),
            ("<3>zero\0", 3, "syslog", "zero"),
            ("<99999>x", 13, "syslog", "<99999>x"),
            ("<>x", 13, "syslog", "<>x"),
            ("<13>two words: x", 13, "syslog", "two words: x"),
            ("<13>http://a", 13, "syslog", "http://a"),
            ("", 13, "syslog", ""),
        ] {
            let want = Message {
                priority,
                tag,
                text: text.as_bytes(),
            };
            assert_eq!(Message::parse(message.as_bytes()), want, "{message:?}");
        }
        let long = format!("{}: x", "a".repeat(33));
        assert_eq!(Message::parse(long.as_bytes()).tag, "syslog");
    }
}
