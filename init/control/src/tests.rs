//! Checks that the interface's description and its types agree.

use crate::*;
use serde_json::json;
use zlink_core::idl::{self, Interface, Type as IdlType};
use zlink_core::introspect::{CustomType, Type};

fn described() -> Interface<'static> {
    Interface::try_from(DESCRIPTION).unwrap()
}

/// A description without its comments, which extend to the end of the line.
fn bare(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    let uncommented = |(n, part): (usize, &str)| match (n, part.split_once('\n')) {
        (0, _) => part.to_owned(),
        (_, Some((_, code))) => code.to_owned(),
        (_, None) => String::new(),
    };
    text.split('#').enumerate().map(uncommented).collect()
}

/// The description of one of our types. `zlink-core` 0.6 names variants as Rust does, serde in snake case.
fn of_type(ours: &idl::CustomType<'_>) -> String {
    let text = bare(ours);
    match text.split_once('(') {
        Some((name, variants)) if ours.is_enum() => format!("{name}({}", snake_case(variants)),
        _ => text,
    }
}

fn snake_case(text: &str) -> String {
    let mut snake = String::new();
    for letter in text.chars() {
        if letter.is_uppercase() && snake.ends_with(char::is_alphanumeric) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn the_file_describes_our_types() {
    let described: Vec<String> = described().custom_types().map(bare).collect();
    let types: Vec<String> = [
        Health::CUSTOM_TYPE,
        State::CUSTOM_TYPE,
        Address::CUSTOM_TYPE,
        Memory::CUSTOM_TYPE,
        Disk::CUSTOM_TYPE,
        Service::CUSTOM_TYPE,
        Dependency::CUSTOM_TYPE,
        Capabilities::CUSTOM_TYPE,
        WritableMount::CUSTOM_TYPE,
        Limits::CUSTOM_TYPE,
        Rights::CUSTOM_TYPE,
        Audit::CUSTOM_TYPE,
        SpanKind::CUSTOM_TYPE,
        Span::CUSTOM_TYPE,
        EventKind::CUSTOM_TYPE,
        Event::CUSTOM_TYPE,
        Verdict::CUSTOM_TYPE,
        Generation::CUSTOM_TYPE,
        Source::CUSTOM_TYPE,
    ]
    .map(of_type)
    .into();
    assert_eq!(described, types);
}

/// The outputs of a method, `name: type` each.
fn outputs(method: &idl::Method<'_>) -> Vec<String> {
    method
        .outputs()
        .map(|field| format!("{}: {}", field.name(), field.ty()))
        .collect()
}

fn fields(reply: &IdlType<'static>) -> Vec<String> {
    let fields = reply.as_object().unwrap();
    fields
        .iter()
        .map(|field| format!("{}: {}", field.name(), field.ty()))
        .collect()
}

#[test]
fn the_file_describes_our_replies() {
    let replies: [(&str, &IdlType<'static>); 15] = [
        ("ExecInService", ExecInService::TYPE),
        ("GetStatus", GetStatus::TYPE),
        ("ListServices", ListServices::TYPE),
        ("ShowService", ShowService::TYPE),
        ("AuditServices", AuditServices::TYPE),
        ("GetBootTimeline", GetBootTimeline::TYPE),
        ("ApplyConfiguration", ApplyConfiguration::TYPE),
        ("ConfirmConfiguration", ApplyConfiguration::TYPE),
        ("PullConfiguration", ApplyConfiguration::TYPE),
        ("RollBackConfiguration", ApplyConfiguration::TYPE),
        ("GetConfiguration", GetConfiguration::TYPE),
        ("GetGenerations", GetGenerations::TYPE),
        ("GetGeneration", GetGeneration::TYPE),
        ("ListSecrets", ListSecrets::TYPE),
        ("Monitor", Monitor::TYPE),
    ];
    for method in described().methods() {
        let reply = replies.iter().find(|(name, _)| method.name() == *name);
        let want = reply.map(|(_, reply)| fields(reply)).unwrap_or_default();
        assert_eq!(outputs(method), want, "{}", method.name());
    }
}

fn example(ty: &IdlType<'_>) -> serde_json::Value {
    match ty.to_string().trim_start_matches('?') {
        "bool" => false.into(),
        "int" => 60.into(),
        "[]string" => vec!["x"].into(),
        _ => "x".into(),
    }
}

#[test]
fn every_method_of_the_file_is_understood() {
    for method in described().methods() {
        let parameters: serde_json::Map<_, _> = method
            .inputs()
            .map(|input| (input.name().to_string(), example(input.ty())))
            .collect();
        let call = RawCall {
            method: format!("{INTERFACE}.{}", method.name()),
            parameters: Some(parameters.into()),
        };
        assert!(
            matches!(Call::try_from(call), Ok(Call::Control(_))),
            "{}",
            method.name()
        );
    }
}

#[test]
fn a_confirmation_is_awaited_for_a_second_to_a_day() {
    for (confirm, want) in [
        (json!(null), Ok(None)),
        (json!(1), Ok(Some(1))),
        (json!(86_400), Ok(Some(86_400))),
        (json!(0), Err("confirm")),
        (json!(86_401), Err("confirm")),
        (json!(-1), Err("confirm")),
        (json!("60s"), Err("confirm")),
    ] {
        let call = RawCall {
            method: format!("{INTERFACE}.RollBackConfiguration"),
            parameters: Some(json!({ "confirm": confirm })),
        };
        let got = match Call::try_from(call) {
            Ok(Call::Control(Method::RollBackConfiguration { confirm, .. })) => Ok(confirm),
            Err(Failure::InvalidParameter { parameter }) => Err(parameter),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            got.as_ref().map_err(String::as_str),
            want.as_ref().map_err(|e| *e),
            "{confirm}"
        );
    }
}

#[test]
fn every_error_of_the_file_is_ours() {
    let errors: Vec<String> = described().errors().map(bare).collect();
    assert_eq!(
        errors,
        [
            "error ServiceNotFound (name: string)",
            "error ServiceDisabled (name: string)",
            "error ServiceNotRunning (name: string)",
            "error ExecFailed (reason: string)",
            "error ConfigurationInvalid (problems: []string)",
            "error ConfigurationNotSaved (reason: string)",
            "error GenerationNotFound (number: int)",
            "error NothingBefore ()",
            "error ConfigurationUnconfirmed (number: int, seconds: int)",
            "error ConfigurationChanged (number: int)",
            "error NothingToConfirm ()",
            "error SecretNotSaved (reason: string)",
            "error ConfigurationBusy ()",
            "error MachineEnding ()"
        ]
    );
    let json = |failure: &Failure| serde_json::to_string(failure).unwrap();
    let not_found = Failure::ServiceNotFound {
        name: "x".to_owned(),
    };
    assert_eq!(
        json(&not_found),
        r#"{"error":"org.tare.Control.ServiceNotFound","parameters":{"name":"x"}}"#
    );
    assert_eq!(
        json(&Failure::MachineEnding {}),
        r#"{"error":"org.tare.Control.MachineEnding","parameters":{}}"#
    );
}

#[test]
fn the_interface_of_every_service_is_a_description_too() {
    let interface = Interface::try_from(VARLINK_DESCRIPTION).unwrap();
    assert_eq!(interface.name(), VARLINK_INTERFACE);
}

#[test]
fn states_have_words() {
    for state in State::ALL {
        assert_eq!(State::of_word(state.word()), Some(state));
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(json.replace('_', "-"), format!("\"{}\"", state.word()));
    }
    assert_eq!(State::of_word("backing_off"), None);
}
