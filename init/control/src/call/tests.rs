use super::*;

fn parse(json: &str) -> Result<Call, Failure> {
    Call::try_from(serde_json::from_str::<RawCall>(json).unwrap())
}

#[test]
fn a_method_is_read_as_it_was_written() {
    let name = || "ssh".to_owned();
    for method in [
        Method::GetStatus {},
        Method::ListServices {},
        Method::ShowService { name: name() },
        Method::StartService { name: name() },
        Method::StopService { name: name() },
        Method::RestartService { name: name() },
        Method::AuditServices { name: Some(name()) },
        Method::AuditServices { name: None },
        Method::ExecInService {
            name: name(),
            args: vec!["ls".to_owned()],
            environment: None,
        },
        Method::GetBootTimeline {},
        Method::SetSecret {
            name: name(),
            value: Hidden("YQ==".to_owned()),
        },
        Method::RemoveSecret { name: name() },
        Method::ListSecrets {},
        Method::Monitor { recent: Some(true) },
        Method::Monitor { recent: None },
        Method::PowerOff {},
        Method::Reboot {},
    ] {
        let json = serde_json::to_string(&method).unwrap();
        assert_eq!(parse(&json), Ok(Call::Control(method)), "{json}");
    }
}

#[test]
fn what_is_not_understood_is_refused_in_varlinks_words() {
    let parameter = |parameter: &str| Failure::InvalidParameter {
        parameter: parameter.to_owned(),
    };
    let method = |method: &str| Failure::MethodNotFound {
        method: method.to_owned(),
    };
    let no_interface = Failure::InterfaceNotFound {
        interface: "org.example".to_owned(),
    };
    for (call, parameters, want) in [
        ("GetStatus", "{}", method("GetStatus")),
        ("org.example.GetStatus", "{}", no_interface),
        (
            "org.tare.Control.Dance",
            "{}",
            method("org.tare.Control.Dance"),
        ),
        ("org.tare.Control.ShowService", "{}", parameter("name")),
        (
            "org.tare.Control.ShowService",
            r#"{"name":1}"#,
            parameter("name"),
        ),
        ("org.tare.Control.GetStatus", r#"{"a":1}"#, parameter("a")),
        ("org.tare.Control.GetStatus", "[]", parameter("parameters")),
        (
            "org.varlink.service.Dance",
            "{}",
            method("org.varlink.service.Dance"),
        ),
    ] {
        let json = format!(r#"{{"method":"{call}","parameters":{parameters}}}"#);
        assert_eq!(parse(&json), Err(want), "{json}");
    }
}

#[test]
fn no_parameters_are_as_good_as_an_empty_object() {
    for json in [
        r#"{"method":"org.varlink.service.GetInfo"}"#,
        r#"{"method":"org.varlink.service.GetInfo","parameters":null}"#,
        r#"{"method":"org.varlink.service.GetInfo","parameters":{}}"#,
    ] {
        assert_eq!(parse(json), Ok(Call::GetInfo));
    }
}
