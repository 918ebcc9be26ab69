//! Programs, and the descriptors that come with the call to run one.

use super::*;
use crate::supervisor::Ended;
use crate::supervisor::Outcome;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::pipe2;
use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// Writes its arguments to its standard output and exits with 3; with `sleep` it waits until its caller stops
/// waiting.
pub(super) async fn play_program(
    args: Vec<String>,
    descriptors: Vec<OwnedFd>,
    mut done: oneshot::Sender<Ended>,
) {
    if args[0] == "sleep" {
        return done.closed().await;
    }
    let output = descriptors.into_iter().nth(1).map(File::from);
    output
        .unwrap()
        .write_all(args.join(" ").as_bytes())
        .unwrap();
    done.send(Ok(Outcome::Status(3))).unwrap();
}

/// The two ends of a pipe, to read from and to write to.
fn pipe() -> (File, File) {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    (read.into(), write.into())
}

/// Sends `bytes` with `descriptors`.
fn send_with(client: &Client, bytes: &[u8], descriptors: &[RawFd]) {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let slices = [IoSlice::new(bytes)];
    let socket = client.0.as_raw_fd();
    sendmsg::<()>(socket, &slices, &rights, MsgFlags::empty(), None).unwrap();
}

fn exec(args: &[&str]) -> Vec<u8> {
    let parameters = json!({"name": "a", "args": args});
    let method = "org.tare.Control.ExecInService";
    format!("{}\0", json!({"method": method, "parameters": parameters})).into_bytes()
}

#[test]
fn a_program_has_the_descriptors_that_came() {
    with_server(0, async |server| {
        let (mut read, write) = pipe();
        let mut client = Client::connect(&server, ROOT);
        let descriptors = [read.as_raw_fd(), write.as_raw_fd(), write.as_raw_fd()];
        send_with(&client, &exec(&["hello", "you"]), &descriptors);
        let reply = client.receive().await.unwrap();
        assert_eq!(reply["parameters"], json!({"status": 3, "signal": null}));
        drop(write);
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello you");
        // The connection stays open.
        assert!(client.call(call("GetStatus")).await.is_some());
    });
}

/// One read returns both calls.
#[test]
fn descriptors_belong_to_the_last_call_that_they_came_with() {
    with_server(0, async |server| {
        let (mut read, write) = pipe();
        let mut client = Client::connect(&server, ROOT);
        client.send(format!("{}\0", call("GetStatus"))).await;
        send_with(&client, &exec(&["hello"]), &[write.as_raw_fd(); 3]);
        assert_eq!(client.receive().await.unwrap().get("error"), None);
        let reply = client.receive().await.unwrap();
        assert_eq!(reply["parameters"], json!({"status": 3, "signal": null}));
        drop(write);
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");
    });
}

/// Whether the last writer of a pipe is closed.
fn hangs_up(read: &File) -> bool {
    let mut waiting = [PollFd::new(read.as_fd(), PollFlags::POLLIN)];
    poll(&mut waiting, PollTimeout::ZERO) == Ok(1)
}

/// The pipe ends only when its last writer is closed.
#[test]
fn a_client_that_hangs_up_leaves_nothing_open() {
    with_server(0, async |server| {
        let (mut read, write) = pipe();
        let client = Client::connect(&server, ROOT);
        send_with(&client, &exec(&["sleep"]), &[write.as_raw_fd(); 3]);
        sleep(Duration::from_secs(1)).await;
        drop((client, write));
        // To read it now would keep the server, which runs in this thread, from closing its end.
        while !hangs_up(&read) {
            sleep(Duration::from_millis(10)).await;
        }
        let mut said = String::new();
        read.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    });
}

/// Any number of them: a pipe hangs up when its last writer is closed.
#[test]
fn descriptors_that_are_too_many_are_closed() {
    for count in [4, 5, 253] {
        with_server(0, async |server| {
            let (read, write) = pipe();
            let mut greedy = Client::connect(&server, ROOT);
            send_with(&greedy, b" ", &vec![write.as_raw_fd(); count]);
            assert_eq!(greedy.receive().await, None);
            drop(write);
            assert!(hangs_up(&read), "{count}");
        });
    }
}

#[test]
fn descriptors_are_counted() {
    with_server(0, async |server| {
        let (_, write) = pipe();
        let three = [write.as_raw_fd(); 3];
        let mut greedy = Client::connect(&server, ROOT);
        send_with(&greedy, b" ", &three);
        sleep(Duration::from_secs(1)).await;
        send_with(&greedy, b" ", &three);
        assert_eq!(greedy.receive().await, None);
        // None are accepted from others.
        server.others.set(Others::Status);
        let mut somebody = Client::connect(&server, SOMEBODY);
        for _ in 0..3 {
            send_with(&somebody, b" ", &three);
        }
        assert!(somebody.call(call("GetStatus")).await.is_some());
    });
}
