//! Certificates in PEM (RFC 7468).

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A text with one or more certificates: an element of `ca-certificates`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Certificates(String);

impl Certificates {
    /// The text; its last line is ended.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.lines().map(|line| format!("{line}\n")).collect()
    }
}

impl TryFrom<String> for Certificates {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match check(&text) {
            Ok(()) => Ok(Self(text)),
            Err(why) => Err(format!("the text {why}")),
        }
    }
}

impl From<Certificates> for String {
    fn from(certificates: Certificates) -> Self {
        certificates.0
    }
}

/// Checks the form of the certificates in `text`, not what they say. OpenSSL, and with it curl, trusts no CA if one
/// certificate of its file is cut off.
///
/// # Errors
/// What is wrong with `text`, to follow its name.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.contains("PRIVATE KEY-----") {
        return Err("holds a private key: only the certificate belongs here");
    }
    let blocks: Vec<&str> = text.split(BEGIN).skip(1).collect();
    if blocks.is_empty() {
        return Err("holds no certificate in PEM");
    }
    if !blocks.into_iter().all(is_whole) {
        return Err("holds a certificate that is cut off, or damaged");
    }
    Ok(())
}

/// `block` begins after the line [`BEGIN`].
fn is_whole(block: &str) -> bool {
    let Some((base64, _)) = block.split_once(END) else {
        return false;
    };
    let base64: String = base64.split_whitespace().collect();
    let der = BASE64.decode(base64.as_bytes());
    der.is_ok_and(|der| is_sequence(&der))
}

/// Whether `der` is one SEQUENCE, as a certificate is (RFC 5280, 4.1), with all of its content (X.690, 8.1.3).
fn is_sequence(der: &[u8]) -> bool {
    match der {
        [0x30, length @ ..=0x7f, content @ ..] | [0x30, 0x81, length, content @ ..] => {
            usize::from(*length) == content.len()
        }
        [0x30, 0x82, high, low, content @ ..] => {
            usize::from(u16::from_be_bytes([*high, *low])) == content.len()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(der: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", BASE64.encode(der))
    }

    #[test]
    fn forms_of_certificates() {
        let damaged = Err("holds a certificate that is cut off, or damaged");
        let long = |length: u16, content: usize| {
            let [high, low] = length.to_be_bytes();
            block(&[&[0x30, 0x82, high, low][..], &vec![0; content]].concat())
        };
        let good = long(700, 700);
        for (text, want) in [
            (good.clone(), Ok(())),
            (
                good.replace("AAAA", "AA\r\n AA").replace(END, "-----END"),
                damaged,
            ),
            (good.replace("AAAA", "AA\r\n AA"), Ok(())),
            (format!("Subject: us\n{good}and\n{good}"), Ok(())),
            (block(&[0x30, 0]), Ok(())),
            (block(&[&[0x30, 0x81, 200][..], &[0; 200]].concat()), Ok(())),
            (String::new(), Err("holds no certificate in PEM")),
            (BEGIN.to_owned(), damaged),
            (format!("{good}{BEGIN}\nMAA=\n"), damaged),
            (format!("{BEGIN}\nMA*=\n{END}"), damaged),
            (long(700, 699), damaged),
            (long(700, 701), damaged),
            (block(b"hello"), damaged),
            (
                format!("{good}-----BEGIN EC PRIVATE KEY-----"),
                Err("holds a private key: only the certificate belongs here"),
            ),
        ] {
            assert_eq!(check(&text), want, "{text}");
        }
    }

    #[test]
    fn a_bad_one_costs_itself() {
        let good = block(&[0x30, 0]);
        let text = format!(
            "ca-certificates = ['/etc/ssl/own.pem', '''{good}''', '', '''{}''']",
            good.trim_end()
        );
        let image = crate::service::Services::new();
        let mut layers = crate::Layers::new(&image);
        layers.add("u", text.as_bytes());
        let read = layers.finish();
        let certificates = read.machine.ca_certificates.iter();
        assert_eq!(
            certificates.map(Certificates::pem).collect::<String>(),
            format!("{good}{good}")
        );
        let problems: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "u:1:20: `ca-certificates[0]` is left out: the text holds no certificate in PEM",
                "u:4:6: `ca-certificates[2]` is left out: the text holds no certificate in PEM"
            ]
        );
    }
}
