//! Text of devices → names of files.

/// Characters that udev allows in the name of a link, besides letters, digits and all that is not ASCII
/// (`allow_listed_char_for_devnode`).
const ALLOWED: &str = "#+-.:=@_";

/// The longest name of a file (`NAME_MAX`), in bytes.
const LONGEST: usize = 255;

/// Whether `name` is the name of a single file, inside its folder.
pub(super) fn is_file_name(name: &str) -> bool {
    let special = matches!(name, "" | "." | "..") || name.contains(['/', '\0']);
    !special && name.len() <= LONGEST
}

/// Each character that is not allowed as `_`, and each byte that is not UTF-8 (`udev_replace_chars`).
pub(super) fn replaced(text: &[u8]) -> String {
    let mut name = String::new();
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid().chars();
        name.extend(valid.map(|char| if is_allowed(char) { char } else { '_' }));
        name.extend(chunk.invalid().iter().map(|_| '_'));
    }
    name
}

/// As [`replaced`], but without white space at either end, and each run of it within as one `_`
/// (`udev_replace_whitespace`).
pub(super) fn identifier(text: &[u8]) -> String {
    let words = text.split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b);
    let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
    replaced(&words.join(&b'_'))
}

/// Each character that is not allowed as `\xNN` (`blkid_encode_string`).
pub(super) fn encoded(text: &str) -> String {
    let mut name = String::new();
    for char in text.chars() {
        if is_allowed(char) {
            name.push(char);
        } else {
            name.push_str(&format!("\\x{:02x}", u32::from(char)));
        }
    }
    name
}

fn is_allowed(char: char) -> bool {
    !char.is_ascii() || char.is_ascii_alphanumeric() || ALLOWED.contains(char)
}
