use super::*;
use crate::args::{Arguments, Command};
use crate::style::Style;
use clap::Parser;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

fn parse(words: &str) -> Result<Lines, String> {
    let words = ["tare", "logs", "--container", "web"]
        .into_iter()
        .chain(words.split_whitespace());
    match Arguments::try_parse_from(words)
        .map_err(|error| error.to_string())?
        .command
    {
        Command::Logs { lines, .. } => Ok(lines),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_engine_counts_lines_unless_some_are_left_out() {
    let request = |follow, last, keep| Request { follow, last, keep };
    for (words, want) in [
        ("", vec![request(false, None, None)]),
        ("-n 3", vec![request(false, Some(3), None)]),
        ("-f", vec![request(true, Some(10), None)]),
        ("-f --since 1h", vec![request(true, None, None)]),
        ("--grep a", vec![request(false, None, None)]),
        ("--grep a -n 3", vec![request(false, None, Some(3))]),
        (
            "--grep a -f",
            vec![request(false, None, Some(10)), request(true, None, None)],
        ),
        ("--grep a -f --since 1h", vec![request(true, None, None)]),
    ] {
        assert_eq!(plan(&parse(words).unwrap()), want, "{words}");
    }
}

#[test]
fn what_the_engine_does_not_have_is_refused() {
    for option in ["--service a", "--boot 0", "--folder /a"] {
        let error = parse(option).unwrap_err();
        let wanted = "cannot be used with";
        assert!(error.contains(wanted), "{option}: {error}");
    }
}

#[test]
fn failures() {
    let connect = |kind: ErrorKind| EngineError::Connect {
        socket: "/x".into(),
        source: kind.into(),
    };
    let refused = |status| EngineError::Refused {
        status,
        message: "No such container: web".to_owned(),
    };
    for (error, status, want) in [
        (
            connect(ErrorKind::ConnectionRefused),
            1,
            "the engine does not run",
        ),
        (connect(ErrorKind::NotFound), 1, "the engine does not run"),
        (
            connect(ErrorKind::PermissionDenied),
            4,
            "connect to /x: permission denied",
        ),
        (refused(404), 1, "there is no container `web`"),
        (
            refused(500),
            1,
            "the engine answers 500: No such container: web",
        ),
    ] {
        let failed = failure("web", error);
        assert_eq!((failed.status(), &*failed.to_string()), (status, want));
    }
}

/// Answers requests with `bodies`, one after the other; ends with the paths that were requested.
fn engine(name: &str, bodies: Vec<Vec<u8>>) -> (PathBuf, JoinHandle<Vec<String>>) {
    let name = format!("tare-{name}-{}.sock", std::process::id());
    let socket = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&socket).unwrap();
    let answers = thread::spawn(move || {
        let mut paths = Vec::new();
        for body in bodies {
            let (connection, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&connection).lines();
            let path = lines.next().unwrap().unwrap();
            paths.push(path.split(' ').nth(1).unwrap().to_owned());
            assert!(lines.any(|line| line.unwrap().is_empty()));
            (&connection).write_all(&body).unwrap();
        }
        paths
    });
    (socket, answers)
}

/// What `tare logs --container web` with `words` prints, and the paths that it requests.
fn shown(words: &str, json: bool, bodies: Vec<Vec<u8>>) -> (Result<String, String>, Vec<String>) {
    let name = words.replace(' ', "") + &json.to_string();
    let (socket, answers) = engine(&name, bodies);
    let engine = Engine::new(&socket);
    let lines = parse(words).unwrap();
    let context = Context::new(json, Style { colors: false });
    let mut out = Vec::new();
    let shown = engine.container("web").and_then(|container| {
        let mut view = View::new(&context, &lines, container, &mut out);
        view.show(&engine).map_err(|error| match error {
            Error::Engine(error) => error,
            Error::Output(error) => EngineError::Talk(error),
        })
    });
    std::fs::remove_file(socket).unwrap();
    let shown = shown.map_err(|error| error.to_string());
    match shown {
        Ok(()) => (Ok(String::from_utf8(out).unwrap()), answers.join().unwrap()),
        // Some answers may not have been requested.
        Err(error) => (Err(error), Vec::new()),
    }
}

/// The container `web`.
fn inspected() -> Vec<u8> {
    let json = r#"{"Id":"4f2a","Name":"/web","Config":{},"HostConfig":{"LogConfig":{"Type":"local","Config":{}}}}"#;
    format!("HTTP/1.0 200 OK\r\n\r\n{json}").into_bytes()
}

/// Its output: streams and texts.
fn output(lines: &[(u8, &str)]) -> Vec<u8> {
    let head = "HTTP/1.0 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n";
    let mut output = head.as_bytes().to_vec();
    for (stream, text) in lines {
        let length = u32::try_from(text.len()).unwrap();
        output.extend_from_slice(&[*stream, 0, 0, 0]);
        output.extend_from_slice(&length.to_be_bytes());
        output.extend_from_slice(text.as_bytes());
    }
    output
}

const APPLE: (u8, &str) = (1, "2026-11-21T04:12:35.527000001Z apple\n");
const PEAR: (u8, &str) = (2, "2026-11-21T04:12:35.527000002Z p\x1b[1mear\n");
const PLUM: (u8, &str) = (1, "2026-11-21T04:12:36.000000000Z plum\n");
const PEACH: (u8, &str) = (1, "2026-11-21T04:12:37.000000000Z peach\n");
const ALL: &str = "/v1.42/containers/4f2a/logs?stdout=1&stderr=1&timestamps=1";

#[test]
fn lines_for_people_and_programs() {
    let (text, paths) = shown("", false, vec![inspected(), output(&[APPLE, PEAR, PLUM])]);
    let want = "\
2026-11-21T04:12:35.527Z web: apple
2026-11-21T04:12:35.527Z web: p\\x1b[1mear
2026-11-21T04:12:36.000Z web: plum
";
    assert_eq!(text.unwrap(), want);
    assert_eq!(paths, ["/v1.42/containers/web/json", ALL]);
    let (text, paths) = shown(
        "-n 1 --grep a",
        true,
        vec![inspected(), output(&[APPLE, PEAR, PLUM])],
    );
    let want = r#"{"time":"2026-11-21T04:12:35.527Z","container":"web","stream":"stderr","text":"p\u001b[1mear"}
"#;
    assert_eq!(text.unwrap(), want);
    assert_eq!(paths[1], ALL);
}

#[test]
fn what_follows_is_not_shown_twice() {
    let (text, paths) = shown(
        "-f --grep ^p",
        false,
        vec![
            inspected(),
            output(&[APPLE, PEAR, PLUM]),
            output(&[PLUM, PEACH]),
        ],
    );
    let text = text.unwrap();
    let last: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    assert_eq!(last, ["p\\x1b[1mear", "plum", "peach"]);
    let since = format!("{ALL}&follow=1&since=1795234356.000000000");
    assert_eq!(paths[1..], [ALL.to_owned(), since]);
}

#[test]
fn an_error_of_the_engine_is_not_a_line() {
    let broken = output(&[(3, "Error grabbing logs: gone.\n")]);
    let (text, _) = shown("-n 1", false, vec![inspected(), broken]);
    let want = "talk to the engine: Error grabbing logs: gone.";
    assert_eq!(text.unwrap_err(), want);
}
