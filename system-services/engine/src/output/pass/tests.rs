use super::*;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// dockerd's side of its socket, as the test wants it.
struct Dockerd(UnixListener);

impl Dockerd {
    /// Accepts the next request, which is for `path`.
    fn expect(&self, path: &str) -> UnixStream {
        let until = Instant::now() + PATIENCE;
        self.0.set_nonblocking(true).unwrap();
        let stream = loop {
            match self.0.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("no request for {path}: {error}"),
            }
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut lines = BufReader::new(&stream).lines();
        let request = lines.next().unwrap().unwrap();
        assert_eq!(request, format!("GET /v1.42/{path} HTTP/1.0"));
        assert!(lines.any(|line| line.unwrap().is_empty()));
        stream
    }

    /// Answers what container `id` is.
    fn inspected(&self, id: &str, driver: &str) {
        let mut stream = self.expect(&format!("containers/{id}/json"));
        let json = format!(
            "{{\"Id\":\"{id}\",\"Name\":\"/name-of-{id}\",\"HostConfig\":{{\"LogConfig\":{{\"Type\":\"{driver}\"}}}}}}"
        );
        answer(&mut stream, &json);
    }

    /// Begins to answer with the output of container `id`.
    fn output(&self, id: &str, since: &str) -> UnixStream {
        let query = "stdout=1&stderr=1&timestamps=1&follow=1";
        let mut stream = self.expect(&format!("containers/{id}/logs?{query}{since}"));
        let head =
            "HTTP/1.0 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }
}

fn answer(stream: &mut UnixStream, body: &str) {
    let answer = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).unwrap();
}

/// Second `second` of 1970: a line of standard error.
fn write_line(output: &mut UnixStream, second: u8, text: &str) {
    let text = format!("1970-01-01T00:00:0{second}.000000000Z {text}\n");
    let length = u8::try_from(text.len()).unwrap();
    let frame = [&[2, 0, 0, 0, 0, 0, 0, length], text.as_bytes()].concat();
    output.write_all(&frame).unwrap();
}

fn happens(events: &mut UnixStream, action: &str, id: &str) {
    let event = format!(
        "{{\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"{id}\",\"Attributes\":{{\"name\":\"now-{id}\"}}}}}}\n"
    );
    events.write_all(event.as_bytes()).unwrap();
}

#[test]
fn output_is_passed_on_once() {
    let name = format!("tare-output-{}.sock", std::process::id());
    let socket = std::env::temp_dir().join(name);
    let dockerd = Dockerd(UnixListener::bind(&socket).unwrap());
    let (receiver, forward) = UnixStream::pair().unwrap();
    forward.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut passed = BufReader::new(forward).lines().map(Result::unwrap);
    let mut next = || passed.next().unwrap();
    let engine = Engine::new(&socket);
    let marks = [("web", "2000000000:1"), ("gone", "1000000000:7")];
    let marks = marks.map(|(id, mark)| (id.to_owned(), mark.parse().unwrap()));
    let passing =
        thread::spawn(move || Pass::begin(&engine, receiver, marks.into()).unwrap().run());

    let filters = "%7B%22event%22%3A%5B%22create%22%2C%22start%22%2C%22rename%22%2C%22destroy%22%5D%2C\
                   %22type%22%3A%5B%22container%22%5D%7D";
    let mut events = dockerd.expect(&format!("events?filters={filters}"));
    answer(&mut events, "");
    let mut list = dockerd.expect("containers/json?all=1");
    let containers = [("web", "running"), ("sent", "exited"), ("new", "created")];
    let containers =
        containers.map(|(id, state)| format!("{{\"Id\":\"{id}\",\"State\":\"{state}\"}}"));
    answer(&mut list, &format!("[{}]", containers.join(",")));
    drop(list);
    assert_eq!(next(), "gone -");

    // Those that run, and those that have ended. What another driver has sent elsewhere is left.
    let mut web = dockerd.output("web", "&since=2.000000000");
    dockerd.inspected("web", "local");
    let mut sent = dockerd.output("sent", "");
    dockerd.inspected("sent", "syslog");
    let end = sent.read(&mut [0; 9]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)));
    write_line(&mut web, 2, "had");
    write_line(&mut web, 2, "new \x1b");
    assert_eq!(next(), "web 2000000000:2 stderr name-of-web new \\x1b");

    // A container that is removed at once.
    happens(&mut events, "create", "job");
    dockerd.inspected("job", "json-file");
    happens(&mut events, "start", "job");
    let mut job = dockerd.output("job", "");
    write_line(&mut job, 3, "done");
    assert_eq!(next(), "job 3000000000:1 stderr name-of-job done");
    happens(&mut events, "rename", "web");
    happens(&mut events, "destroy", "job");
    drop(job);
    assert_eq!(next(), "job -");

    // A container that is restarted, under its new name until it is asked again.
    write_line(&mut web, 4, "last words");
    assert_eq!(next(), "web 4000000000:1 stderr now-web last words");
    happens(&mut events, "start", "web");
    // It has been heard once what comes after it is.
    happens(&mut events, "create", "mark");
    dockerd.inspected("mark", "local");
    drop(web);
    let mut web = dockerd.output("web", "&since=4.000000000");
    dockerd.inspected("web", "local");
    write_line(&mut web, 4, "last words");
    write_line(&mut web, 5, "hello");
    assert_eq!(next(), "web 5000000000:1 stderr name-of-web hello");

    // What dockerd has left is passed on.
    drop(events);
    write_line(&mut web, 6, "the end");
    drop(web);
    assert_eq!(next(), "web 6000000000:1 stderr name-of-web the end");
    passing.join().unwrap().unwrap();
    std::fs::remove_file(socket).unwrap();
}
