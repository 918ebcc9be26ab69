use super::*;
use std::thread;

/// Runs `talk` on a client whose peer has sent `replies`. Returns its result and the client's message.
fn with_peer<T: Send>(replies: &[&str], talk: impl FnOnce(Client) -> T + Send) -> (T, String) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    for reply in replies {
        theirs.write_all(reply.as_bytes()).unwrap();
        theirs.write_all(b"\0").unwrap();
    }
    thread::scope(|scope| {
        let result = scope.spawn(|| talk(Client(BufReader::new(ours))));
        let mut said = Vec::new();
        BufReader::new(&theirs).read_until(0, &mut said).unwrap();
        drop(theirs);
        (result.join().unwrap(), String::from_utf8(said).unwrap())
    })
}

fn name() -> Method {
    Method::StopService {
        name: "a".to_owned(),
    }
}

#[test]
fn a_call_is_varlinks() {
    let (reply, said) = with_peer(&[r#"{"parameters":{"x":1}}"#], |mut client| {
        client.call::<Value>(&name()).unwrap()
    });
    assert_eq!(reply, serde_json::json!({"x": 1}));
    assert_eq!(
        said,
        "{\"method\":\"org.tare.Control.StopService\",\"parameters\":{\"name\":\"a\"}}\0"
    );
}

#[test]
fn refusals_are_known_by_their_names() {
    for (reply, want) in [
        (
            r#"{"error":"org.tare.Control.ServiceNotFound","parameters":{"name":"x"}}"#,
            "there is no service `x`",
        ),
        (
            r#"{"error":"org.varlink.service.PermissionDenied"}"#,
            "permission denied: only root and the group `tare` may",
        ),
        (
            r#"{"error":"org.example.Other"}"#,
            "PID 1 refuses: org.example.Other",
        ),
        (
            "{}",
            "invalid reply from PID 1: invalid type: null, expected a string",
        ),
        (
            "{",
            "invalid reply from PID 1: EOF while parsing an object at line 1 column 1",
        ),
    ] {
        let (error, _) = with_peer(&[reply], |mut client| {
            client.call::<String>(&name()).unwrap_err().to_string()
        });
        assert_eq!(error, want);
    }
}

#[test]
fn replies_end_with_the_one_that_does_not_continue_or_with_the_connection() {
    let more = r#"{"parameters":1,"continues":true}"#;
    let last = r#"{"parameters":2}"#;
    let error = r#"{"error":"x"}"#;
    let broken = "talk to PID 1: unexpected end of file";
    for (replies, want) in [
        (&[more, last, more][..], vec!["1", "2"]),
        (&[more, error, more], vec!["1", "PID 1 refuses: x"]),
        (&[more], vec!["1", broken]),
    ] {
        let (got, said) = with_peer(replies, |client| {
            let replies = client
                .call_more::<u32>(&Method::Monitor { recent: None })
                .unwrap();
            let texts =
                replies.map(|reply| reply.map_or_else(|e| e.to_string(), |n| n.to_string()));
            texts.collect::<Vec<_>>()
        });
        assert_eq!(got, want);
        assert_eq!(
            said,
            "{\"method\":\"org.tare.Control.Monitor\",\"parameters\":{\"recent\":null},\"more\":true}\0"
        );
    }
}
