//! Escapes text so that it stays on one line and can be recovered.
//!
//! Control characters become `\xNN`, as in `/dev/kmsg`; tab stays. A backslash stays too, so that JSON and paths stay
//! readable, except before an `x`, where it becomes `\x5c` so that text cannot look like an escape.

use memchr::memchr;

/// Whether `byte` is never escaped.
const fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'\\' && byte != 0x7f || byte == b'\t'
}

/// Appends `text` to `out`, escaped.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    // No early exit, so that the compiler can vectorise this: nearly every line is plain.
    if text
        .iter()
        .fold(true, |plain, byte| plain & is_plain(*byte))
    {
        out.extend_from_slice(text);
        return;
    }
    for (at, byte) in text.iter().enumerate() {
        let harmless = *byte == b'\\' && text.get(at + 1) != Some(&b'x');
        match harmless || is_plain(*byte) {
            true => out.push(*byte),
            false => out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]),
        }
    }
}

/// Recovers text that was escaped by us or by the kernel.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (byte, length) = escaped(rest).map_or((b'\\', 1), |byte| (byte, 4));
        out.push(byte);
        rest = &rest[length..];
    }
    out.extend_from_slice(rest);
}

/// The byte of the escape that `text` begins with, if there is one.
fn escaped(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"\\x")?.get(..2)?;
    let value = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(value(digits[0])? << 4 | value(digits[1])?).ok()
}

const fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[value as usize & 15]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_comes_back() {
        for (text, want) in [
            (
                &b"plain\ttext \xc3\xa9 \xff"[..],
                &b"plain\ttext \xc3\xa9 \xff"[..],
            ),
            (b"\x1b[31mred\0", b"\\x1b[31mred\\x00"),
            (b"two\nlines\r\x7f", b"two\\x0alines\\x0d\\x7f"),
            (b"{\"a\":\"b\\n\\\\\"}", b"{\"a\":\"b\\n\\\\\"}"),
            (b"C:\\x41 \\x", b"C:\\x5cx41 \\x5cx"),
            (b"\\\\x41\\", b"\\\\x5cx41\\"),
            (b"", b""),
        ] {
            let (mut written, mut back) = (Vec::new(), Vec::new());
            escape(text, &mut written);
            unescape(&written, &mut back);
            assert_eq!((&*written, &*back), (want, text));
        }
    }

    #[test]
    fn what_is_no_escape_is_left_as_it_is() {
        let mut out = Vec::new();
        unescape(b"\\ \\x \\x4 \\xzz \\x4\xff", &mut out);
        assert_eq!(out, b"\\ \\x \\x4 \\xzz \\x4\xff");
    }
}
