//! Hostile clients, which are cut off while others are served.

use super::*;
use crate::control::conversation::Conversation;
use crate::control::limit::ConnectionLimit;
use crate::control::stream::PATIENCE;
use tare_control::{MAX_MESSAGE, MAX_PRIVILEGED_MESSAGE};
use tokio::time::{Instant, timeout};

/// Whether the server still answers a new client at once.
async fn answers(server: &Server) -> bool {
    let mut client = Client::connect(server, ROOT);
    let reply = timeout(Duration::from_secs(1), client.call(call("GetStatus"))).await;
    matches!(reply, Ok(Some(_)))
}

/// Sends `bytes` and waits for the end; returns how long that took.
async fn until_ended(server: &Server, bytes: &[u8]) -> Duration {
    let begun = Instant::now();
    let mut client = Client::connect(server, ROOT);
    client.send(bytes).await;
    assert_eq!(client.receive().await, None);
    begun.elapsed()
}

#[test]
fn what_is_no_call_ends_the_connection() {
    with_server(0, async |server| {
        let deep = "[".repeat(60_000);
        for message in [
            "",
            "x",
            "{}",
            "[]",
            "null",
            "{\"method\":1}",
            "{\"method\":\"a.b\",\"more\":1}",
            "{\"method\":\"a.b\"}{\"method\":\"a.b\"}",
            "{\"method\":\"\u{0}",
            "\u{feff}{\"method\":\"a.b\"}",
            &deep,
        ] {
            let took = until_ended(&server, format!("{message}\0").as_bytes()).await;
            assert!(took < Duration::from_secs(1), "{message:.20}: {took:?}");
        }
        until_ended(&server, b"{\"method\":\"\xff\"}\0").await;
        assert!(answers(&server).await);
    });
}

#[test]
fn a_message_has_a_longest_length() {
    with_server(0, async |server| {
        server.others.set(Others::Status);
        let padded = |length: usize| {
            let call = call("GetStatus").to_string();
            format!("{call}{}\0", " ".repeat(length - call.len()))
        };
        for (peer, most) in [(ROOT, MAX_PRIVILEGED_MESSAGE), (SOMEBODY, MAX_MESSAGE)] {
            for (length, is_answered) in [(most, true), (most + 1, false)] {
                let mut client = Client::connect(&server, peer.clone());
                client.send(padded(length)).await;
                let answer = timeout(Duration::from_secs(1), client.receive()).await;
                assert_eq!(answer.unwrap().is_some(), is_answered, "{length}");
            }
        }
        let endless = vec![b' '; 4 << 20];
        assert!(until_ended(&server, &endless).await < Duration::from_secs(1));
        assert!(answers(&server).await);
    });
}

#[test]
fn half_a_message_has_a_latest_end_and_silence_has_none() {
    with_server(0, async |server| {
        assert_eq!(until_ended(&server, b"{\"meth").await, PATIENCE);
        let mut silent = Client::connect(&server, ROOT);
        assert!(silent.call(call("GetStatus")).await.is_some());
        let hour = Duration::from_secs(3600);
        assert!(timeout(hour, silent.receive()).await.is_err());
        assert!(silent.call(call("GetStatus")).await.is_some());
    });
}

#[test]
fn a_message_byte_by_byte_must_end_in_time_too() {
    with_server(0, async |server| {
        let mut client = Client::connect(&server, ROOT);
        let begun = Instant::now();
        for _ in 0..20 {
            client.send(" ").await;
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(client.receive().await, None);
        assert!(begun.elapsed() < Duration::from_secs(21));
        assert!(answers(&server).await);
    });
}

#[test]
fn a_client_that_does_not_read_delays_no_other() {
    with_server(1000, async |server| {
        let mut client = Client::connect(&server, ROOT);
        // Replies of 200 KB fill the socket; the server waits for room, and others are answered.
        let calls = format!("{}\0", call("ListServices")).repeat(50);
        client.send(calls).await;
        tokio::task::yield_now().await;
        assert!(answers(&server).await);
        sleep(PATIENCE + Duration::from_secs(1)).await;
        let mut received = 0;
        while client.receive().await.is_some() {
            received += 1;
        }
        assert!(received < 50, "{received} replies");
    });
}

#[test]
fn a_seat_is_given_up_by_the_longest_idle() {
    with_server(0, async |server| {
        let mut first = Client::connect(&server, ROOT);
        let mut many = Vec::new();
        for _ in 1..CONNECTIONS {
            many.push(Client::connect(&server, ROOT));
        }
        assert!(first.call(call("GetStatus")).await.is_some());
        // The second is now the longest idle.
        assert!(answers(&server).await);
        assert_eq!(many[0].receive().await, None);
        assert!(first.call(call("GetStatus")).await.is_some());
        assert!(many[1].call(call("GetStatus")).await.is_some());
    });
}

#[test]
fn others_take_no_seat_of_the_privileged() {
    with_server(0, async |server| {
        server.others.set(Others::Status);
        let mut root = Client::connect(&server, ROOT);
        let mut crowd = Vec::new();
        for _ in 0..1000 {
            crowd.push(Client::connect(&server, SOMEBODY));
        }
        let mut last = crowd.pop().unwrap();
        assert!(last.call(call("GetStatus")).await.is_some());
        assert_eq!(crowd[0].receive().await, None);
        assert!(root.call(call("GetStatus")).await.is_some());
    });
}

/// A call with some of its bytes changed: the same ones in every run (xorshift, Marsaglia 2003).
fn damaged(seed: u64) -> Vec<u8> {
    let call = json!({"method": "org.tare.Control.AuditServices", "parameters": {"name": "ssh"}, "more": false});
    let mut bytes = format!("{call}\0{call}\0").into_bytes();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..=next(4) {
        let at = next(bytes.len());
        match next(3) {
            0 => bytes[at] = u8::try_from(next(256)).unwrap(),
            1 => bytes.truncate(at + 1),
            _ => bytes.insert(at, b"\0{}[]\",:\\"[next(9)]),
        }
    }
    bytes
}

/// Runs in this task, so that a panic of the server fails the test.
#[test]
fn no_bytes_make_the_server_panic() {
    with_server(0, async |server| {
        for seed in 1..3000 {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(&damaged(seed)).await.unwrap();
            ours.shutdown().await.unwrap();
            let others = Rc::clone(&server.others);
            let events = server.listener.events.clone();
            let (admission, _) = ConnectionLimit::new(1).admit();
            let conversation = Conversation::new(theirs, ROOT, others, events);
            timeout(Duration::from_secs(60), conversation.hold(&admission))
                .await
                .unwrap();
        }
    });
}
