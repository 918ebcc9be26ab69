//! The whole server over socket pairs: correct use and misuse.

mod exec;
mod hostile;

use super::*;
use crate::event::{Event, UnitEvent};
use crate::supervisor::ServiceStatus;
use serde_json::{Value, json};
use std::path::PathBuf;
use tare_control::{EventKind, Failure, Health, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{broadcast, oneshot};
use tokio::task::LocalSet;

/// Peers at the client's end.
const ROOT: Peer = Peer {
    uid: 0,
    gid: 0,
    groups: Vec::new(),
    endpoint: Endpoint::Control,
};
const SOMEBODY: Peer = Peer {
    uid: 1000,
    gid: 1000,
    groups: Vec::new(),
    endpoint: Endpoint::Control,
};

/// The server's side of a test.
struct Server {
    listener: Listener,
    others: Rc<Cell<Others>>,
    listeners: broadcast::Sender<tare_control::Event>,
}

/// Runs `test` against a machine with this many services, on a clock that advances only when all tasks are idle.
fn with_server<F: Future<Output = ()>>(services: usize, test: impl FnOnce(Rc<Server>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (events, inbox) = unbounded_channel();
        let others: Rc<Cell<Others>> = Rc::default();
        let listeners = broadcast::Sender::new(4);
        spawn_local(play_machine(inbox, services, listeners.clone()));
        let listener = Listener::new(events, Rc::clone(&others));
        test(Rc::new(Server {
            listener,
            others,
            listeners,
        }))
        .await;
    });
}

/// Answers as PID 1's loop does.
async fn play_machine(
    mut inbox: UnboundedReceiver<Event>,
    services: usize,
    listeners: broadcast::Sender<tare_control::Event>,
) {
    while let Some(event) = inbox.recv().await {
        let request = match event {
            Event::Control(request) => request,
            // A program's caller has stopped waiting, which the program sees by itself here.
            Event::Unit(UnitEvent::ProbeLate) => continue,
            other => panic!("the server does not send this: {other:?}"),
        };
        let told = match request.method {
            Method::GetStatus {} => Ok(Response::Status(snapshot())),
            Method::ListServices {} => Ok(Response::Services(
                (0..services).map(|n| status(&format!("s{n}"))).collect(),
            )),
            Method::Monitor { recent } => {
                let recent = recent.map(|_| numbered(9)).into_iter().collect();
                Ok(Response::Events(recent, listeners.subscribe()))
            }
            Method::ExecInService { args, .. } => {
                let (done, ended) = oneshot::channel();
                spawn_local(exec::play_program(args, request.descriptors, done));
                Ok(Response::Program(ended))
            }
            Method::StopService { name } => Err(Failure::ServiceNotFound { name }),
            _ => Ok(Response::Nothing),
        };
        let _ = request.answer.send(told);
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        machine_id: "0123".to_owned(),
        health: Health::Ready,
        problems: vec![],
        ready_at: Some(7),
        addresses: vec![],
        volatile: None,
        configuration: None,
        set_aside: None,
    }
}

fn status(name: &str) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        description: "A service among many".to_owned(),
        state: "ready",
        since: Duration::from_secs(1),
        runs: 1,
        pid: None,
        cgroup: PathBuf::from("/no-such-cgroup"),
        text: String::new(),
        problem: String::new(),
        last_exit: None,
        started: None,
        due: None,
        after: vec![],
        lacks: vec![],
        required: false,
        missing: false,
        used: 0,
    }
}

/// The other end of a connection.
struct Client(UnixStream);

impl Client {
    fn connect(server: &Server, peer: Peer) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        server.listener.serve(theirs, peer);
        Self(ours)
    }

    /// Sends `bytes`; a peer that is gone is not an error here.
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref()).await;
    }

    /// The next message; `None` when the connection has ended.
    async fn receive(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        loop {
            match self.0.read_u8().await {
                Ok(0) => return Some(serde_json::from_slice(&message).unwrap()),
                Ok(byte) => message.push(byte),
                Err(_) => return None,
            }
        }
    }

    async fn call(&mut self, call: Value) -> Option<Value> {
        self.send(format!("{call}\0")).await;
        self.receive().await
    }
}

fn call(method: &str) -> Value {
    json!({"method": format!("org.tare.Control.{method}")})
}

fn error(name: &str, parameters: Value) -> Value {
    json!({"error": name, "parameters": parameters})
}

#[test]
fn calls_are_answered_in_order() {
    with_server(2, async |server| {
        let mut client = Client::connect(&server, ROOT);
        let info = client.call(json!({"method": "org.varlink.service.GetInfo"}));
        let interfaces = json!(["org.varlink.service", "org.tare.Control"]);
        assert_eq!(info.await.unwrap()["parameters"]["interfaces"], interfaces);
        let describe = json!({
            "method": "org.varlink.service.GetInterfaceDescription",
            "parameters": {"interface": "org.tare.Control"},
        });
        let description = client.call(describe).await.unwrap()["parameters"]["description"].clone();
        assert_eq!(description, tare_control::DESCRIPTION);
        // Two calls in one write, the first without a reply.
        let oneway = json!({"method": "org.tare.Control.GetStatus", "oneway": true});
        client
            .send(format!("{oneway}\0{}\0", call("ListServices")))
            .await;
        let reply = client.receive().await.unwrap();
        assert_eq!(reply["parameters"]["services"][1]["name"], "s1");
        assert_eq!(reply["parameters"]["services"].as_array().unwrap().len(), 2);
        assert_eq!(
            client.call(call("PowerOff")).await,
            Some(json!({"parameters": {}}))
        );
    });
}

#[test]
fn refusals_are_varlinks_errors() {
    with_server(0, async |server| {
        let mut client = Client::connect(&server, ROOT);
        let stop = json!({"method": "org.tare.Control.StopService", "parameters": {"name": "x"}});
        for (call, want) in [
            (
                stop,
                error("org.tare.Control.ServiceNotFound", json!({"name": "x"})),
            ),
            (
                call("Dance"),
                error(
                    "org.varlink.service.MethodNotFound",
                    json!({"method": "org.tare.Control.Dance"}),
                ),
            ),
            (
                call("Monitor"),
                error("org.varlink.service.ExpectedMore", json!({})),
            ),
        ] {
            assert_eq!(client.call(call).await, Some(want));
        }
    });
}

#[test]
fn others_may_what_is_configured_when_they_ask() {
    with_server(0, async |server| {
        let denied = Some(error("org.varlink.service.PermissionDenied", json!({})));
        let mut client = Client::connect(&server, SOMEBODY);
        assert_eq!(client.call(call("GetStatus")).await, denied);
        server.others.set(Others::Status);
        let status = client.call(call("GetStatus")).await.unwrap();
        assert_eq!(status["parameters"]["health"], "ready");
        assert_eq!(client.call(call("Reboot")).await, denied);
        server.others.set(Others::Nothing);
        assert_eq!(client.call(call("ListServices")).await, denied);
    });
}

#[test]
fn events_come_until_a_client_disconnects() {
    with_server(0, async |server| {
        let mut client = Client::connect(&server, ROOT);
        let mut monitor = json!({"method": "org.tare.Control.Monitor", "more": true});
        monitor["parameters"] = json!({"recent": true});
        let recent = client.call(monitor).await.unwrap();
        assert_eq!(recent["parameters"]["event"]["text"], "9");
        let begin = client.receive().await.unwrap();
        assert_eq!(begin["continues"], true);
        assert_eq!(begin["parameters"]["event"]["kind"], "begin");
        for n in 0..6 {
            server.listeners.send(numbered(n)).unwrap();
        }
        let mut events = Vec::new();
        for _ in 0..5 {
            let reply = client.receive().await.unwrap();
            let event = &reply["parameters"]["event"];
            events.push(format!("{} {}", event["kind"], event["text"]));
        }
        let want = [
            "\"lost\" \"2 events were left out\"",
            "\"service\" \"2\"",
            "\"service\" \"3\"",
            "\"service\" \"4\"",
            "\"service\" \"5\"",
        ];
        assert_eq!(events, want);
        drop(client);
        while server.listeners.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

fn numbered(n: u32) -> tare_control::Event {
    tare_control::Event {
        time: 1,
        kind: EventKind::Service,
        service: None,
        old_state: None,
        new_state: None,
        text: n.to_string(),
    }
}
