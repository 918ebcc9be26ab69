//! What nobody writes, but anybody may send.

use super::*;
use crate::MAX_BYTES;

#[test]
fn values_are_not_deep_in_one_another() {
    let dotted = |times: usize| format!("{}a", "a.".repeat(times - 1));
    // The parser has limits for dotted keys and for inline tables, not for these together.
    let tables = format!("{} = {{ ", dotted(79)).repeat(79) + "b = 1" + &" }".repeat(79);
    let fits = format!("apps.a.services.{} = 1", dotted(76));
    assert_eq!(problems(&fits), [""; 0]);
    let why = "tables and lists in one another, more than 80 deep";
    // Each is a table in a list, in a table in a list.
    let lists = (1..80).map(|times| format!("[[apps.a.services.b.{}]]\n", dotted(times)));
    assert_eq!(problems(&lists.take(75).collect::<String>()), [""; 0]);
    for (text, want) in [
        (
            format!("[apps.a.services]\n{} = 1", dotted(78)),
            format!("u:2:155: {why}"),
        ),
        (
            format!("apps.a = {{ {tables} }}"),
            format!("u:1:168: {why}"),
        ),
        // The parser drops the second value of a key itself.
        (
            format!("a = {{ b = 1, b = {{ {tables} }} }}"),
            format!("u:1:176: {why}"),
        ),
    ] {
        assert_eq!(problems(&text), [want]);
    }
}

#[test]
fn a_long_name_makes_no_long_message() {
    let name = "x".repeat(MAX_BYTES / 2);
    for text in [
        format!("{name} = 1"),
        format!("hostname = '{name}'"),
        format!("engine.{name} = 1"),
    ] {
        let said = problems(&text);
        assert!(said.len() == 1 && said[0].len() < 4000, "{:.300}", said[0]);
        let end = said[0].chars().rev().take(20).collect::<String>();
        assert!(!end.contains("xx"), "{:.300}", said[0]);
    }
}

#[test]
fn a_text_that_is_not_toml_has_a_hundred_errors_at_most() {
    let said = problems(&"[a]\n".repeat(MAX_BYTES / 4));
    assert_eq!(said.len(), 100);
    assert_eq!(said[0], "u:2:2: duplicate key");
    let last = "u:101:2: duplicate key; 262043 more errors follow";
    assert_eq!(said[99], last);
}
