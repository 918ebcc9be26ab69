use super::*;

const TIME: &str = "2026-11-21T04:12:35.527000001Z";
const NANOSECONDS: u64 = 1_795_234_355_527_000_001;

fn answer(kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.0 200 OK\r\nContent-Type: application/vnd.docker.{kind}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A frame of `stream` with a time and `text`.
fn framed(stream: u8, text: &str) -> Vec<u8> {
    let text = format!("{TIME} {text}");
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[stream, 0, 0, 0][..], &length, text.as_bytes()].concat()
}

/// All lines of `answer`, which arrives in parts of `size` bytes.
fn lines(answer: &[u8], size: usize) -> Result<Vec<Line>, String> {
    let (mut output, mut lines) = (Output::default(), Vec::new());
    for part in answer.chunks(size) {
        output.push(part);
        while let Some(line) = output.next_line().map_err(|error| error.to_string())? {
            lines.push(line);
        }
    }
    lines.extend(output.end().map_err(|error| error.to_string())?);
    Ok(lines)
}

fn line(stream: Stream, text: &str) -> Line {
    Line {
        stream,
        time: NANOSECONDS,
        text: text.as_bytes().to_owned(),
    }
}

#[test]
fn frames_are_lines_of_their_streams() {
    let long = "x".repeat(LONGEST);
    let body = [
        framed(1, "one\n"),
        framed(2, "two\r\n"),
        framed(1, "\n"),
        framed(1, &long),
        framed(1, "rest\n"),
        framed(3, "Error grabbing logs: gone\n"),
        framed(2, "no end"),
    ];
    let want = vec![
        line(Stream::Stdout, "one"),
        line(Stream::Stderr, "two\r"),
        line(Stream::Stdout, ""),
        line(Stream::Stdout, &long),
        line(Stream::Stdout, "rest"),
        line(Stream::Engine, "Error grabbing logs: gone"),
        line(Stream::Stderr, "no end"),
    ];
    let answer = answer("multiplexed-stream", &body.concat());
    for size in [1, 7, 8, 1000, answer.len()] {
        assert_eq!(lines(&answer, size).as_ref(), Ok(&want), "{size}");
    }
}

#[test]
fn lines_of_a_terminal() {
    let long = "x".repeat(LONGEST);
    let body = format!(
        "{TIME} one\r\n{TIME} \r\n{TIME} {long}{TIME} rest\r\n{TIME} {long}{TIME} \r\n{TIME} prompt> "
    );
    let want: Vec<Line> = ["one", "", &long, "rest", &long, "", "prompt> "]
        .into_iter()
        .map(|text| line(Stream::Stdout, text))
        .collect();
    let answer = answer("raw-stream", body.as_bytes());
    for size in [1, 7, 1000, answer.len()] {
        assert_eq!(lines(&answer, size).as_ref(), Ok(&want), "{size}");
    }
}

#[test]
fn a_line_without_a_time_has_that_of_the_line_before() {
    let body = format!("{TIME} one\n2026 two\nthree\n");
    let want: Vec<Line> = ["one", "2026 two", "three"]
        .into_iter()
        .map(|text| line(Stream::Stdout, text))
        .collect();
    let answer = answer("raw-stream", body.as_bytes());
    assert_eq!(lines(&answer, answer.len()), Ok(want));
}

#[test]
fn an_answer_that_is_not_output_is_an_error() {
    let cut = answer("multiplexed-stream", &framed(1, "one\n")[..20]);
    let odd = answer("multiplexed-stream", b"\x09\0\0\0\0\0\0\0");
    let huge = answer("multiplexed-stream", b"\x01\0\0\0\x40\0\0\0");
    let refused = b"HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such container: a\"}".to_vec();
    for (answer, want) in [
        (cut, "talk to the engine: unexpected end of file"),
        (
            odd,
            "talk to the engine: a frame of a container's output begins with [09, 00, 00, 00, 00, 00, 00, 00]",
        ),
        (
            huge,
            "talk to the engine: a frame of a container's output begins with [01, 00, 00, 00, 40, 00, 00, 00]",
        ),
        (refused, "the engine answers 404: No such container: a"),
        (
            b"hello".to_vec(),
            "talk to the engine: unexpected end of file",
        ),
    ] {
        assert_eq!(lines(&answer, answer.len()), Err(want.to_owned()));
    }
}
