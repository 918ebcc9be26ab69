use super::*;

const LINE: &str =
    "2026-11-21T04:12:35.527Z 12.345678 3f2a90c1 4 ssh stderr caf\u{e9}\t\\x1b[31mred\\x00";

fn moment() -> Moment {
    Moment {
        wall: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_234_355_527),
        since_boot: Duration::from_micros(12_345_678),
    }
}

#[test]
fn the_format() {
    let stamp = Stamp::new(moment(), "3f2a90c1-0000-4000-8000-000000000000");
    let text = "caf\u{e9}\t\u{1b}[31mred\0";
    let mut out = Vec::new();
    push(
        &mut out,
        &stamp,
        Priority::WARNING,
        ["ssh", "stderr"],
        text.as_bytes(),
    );
    assert_eq!(String::from_utf8(out.clone()).unwrap(), format!("{LINE}\n"));
    let record = Record::parse(&out[..out.len() - 1]).unwrap();
    assert_eq!(record.original(), text.as_bytes());
    let mut again = Vec::new();
    record.write(&mut again);
    assert_eq!(again, out);
}

#[test]
fn fields() {
    let record = Record::parse(LINE.as_bytes()).unwrap();
    let want = Record {
        wall: "2026-11-21T04:12:35.527Z",
        since_boot: "12.345678",
        boot: "3f2a90c1",
        priority: Priority::WARNING,
        service: "ssh",
        stream: "stderr",
        text: "caf\u{e9}\t\\x1b[31mred\\x00".as_bytes(),
    };
    assert_eq!(record, want);
}

#[test]
fn json() {
    let record = Record::parse(LINE.as_bytes()).unwrap();
    let want = r#"{"time":"2026-11-21T04:12:35.527Z","uptime":12.345678,"boot":"3f2a90c1","priority":4,"service":"ssh","stream":"stderr","text":"café\t\u001b[31mred\u0000"}"#;
    assert_eq!(record.json(), want);
}

#[test]
fn json_has_nothing_that_a_terminal_obeys() {
    let text = "\u{80}\u{9b}31m\u{9f}\u{a0}\u{7f}\u{e9}";
    let line = format!("2026-11-21T04:12:35.527Z 12.345678 3f2a90c1 4 ssh stderr {text}");
    let json = Record::parse(line.as_bytes()).unwrap().json();
    let want = "\"\\u0080\\u009b31m\\u009f\u{a0}\\u007f\u{e9}\"}";
    assert_eq!(json.split_once("\"text\":").unwrap().1, want);
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read["text"], text);
}

#[test]
fn an_empty_text_is_a_record_and_spaces_are_text() {
    for (text, want) in [("", ""), (" ", " "), ("a  b ", "a  b "), ("cut\0\0", "cut")] {
        let line = format!("2026-11-21T04:12:35.527Z 0.000001 3f2a90c1 6 a stdout {text}");
        assert_eq!(Record::parse(line.as_bytes()).unwrap().text(), want);
    }
}

#[test]
fn what_is_cut_off_or_not_ours_is_no_record() {
    // Cut anywhere before the text begins.
    let head = LINE.len() - "caf\u{e9}\t\\x1b[31mred\\x00".len();
    for end in 0..head {
        assert_eq!(Record::parse(&LINE.as_bytes()[..end]), None, "{end}");
    }
    for line in [
        "2026-11-21T04:12:35.527Z 12.345678 ssh stderr of an earlier format",
        "2026-11-21T04:12:35.527Z 12.345678 3f2a90c1 8 ssh stderr x",
        "2026-11-21T04:12:35.527Z 12.3456 3f2a90c1 6 ssh stderr x",
        "2026-11-21 04:12:35.527Z 12.345678 3f2a90c1 6 ssh stderr x",
        "2026-11-21T04:12:35.527Z 12.345678 3f2a90cg 6 ssh stderr x",
        "2026-11-21T04:12:35.527Z 12.345678 3f2a90c1 6  stderr x",
        "half a line 2026-11-21T04:12:35.527Z 12.345678 3f2a90c1 6 ssh stderr x",
        "\0\0\0\0",
    ] {
        assert_eq!(Record::parse(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn a_moment_of_the_past() {
    let now = Moment {
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
        since_boot: Duration::from_secs(50),
    };
    let past = now.at(Duration::from_secs(20));
    assert_eq!(past.wall, SystemTime::UNIX_EPOCH + Duration::from_secs(70));
}

#[test]
fn a_clock_set_to_nonsense_is_shown_at_the_end_of_what_can_be_shown() {
    let epoch = SystemTime::UNIX_EPOCH;
    for (wall, want) in [
        (epoch - Duration::from_secs(1), "1970-01-01T00:00:00.000Z"),
        (
            epoch + Duration::from_secs(1 << 40),
            "9999-12-31T23:59:59.000Z",
        ),
    ] {
        assert_eq!(wall_text(wall), want);
    }
}
