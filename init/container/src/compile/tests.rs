use super::*;
use tare_config::parse;

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/bash\n_chrony:x:101:102::/var/lib/chrony:/bin/false\n";

fn service(toml: &str) -> Service {
    parse("service.toml", toml.as_bytes()).unwrap()
}

fn compiled(name: &str, toml: &str) -> Spec {
    compile(name, &service(toml), &Users::parse(PASSWD)).unwrap()
}

/// Compares with the reviewed golden file; `UPDATE_GOLDEN=1 cargo test` rewrites it.
fn assert_golden(name: &str, toml: &str) {
    let json = to_json(&compiled(name, toml)).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let pretty = format!("{}\n", serde_json::to_string_pretty(&value).unwrap());
    let golden = format!(
        "{}/src/compile/golden/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &pretty).unwrap();
    }
    let want = std::fs::read_to_string(&golden).unwrap();
    assert_eq!(pretty, want, "{golden} is out of date");
}

#[test]
fn specs_are_as_reviewed() {
    assert_golden("least", include_str!("golden/least.toml"));
    assert_golden("time", include_str!("golden/time.toml"));
    assert_golden("engine", include_str!("golden/engine.toml"));
}

#[test]
fn same_service_same_bytes() {
    let once = to_json(&compiled("engine", include_str!("golden/engine.toml"))).unwrap();
    for _ in 0..20 {
        let again = to_json(&compiled("engine", include_str!("golden/engine.toml"))).unwrap();
        assert_eq!(again, once);
    }
}

#[test]
fn an_unknown_user_is_refused() {
    let service = service("description = 'a'\n[process]\nargs = ['/bin/x']\nuser = 'nobody'");
    let error = compile("a", &service, &Users::parse(PASSWD)).unwrap_err();
    let want = "service a: no user `nobody` in /etc/passwd of its root filesystem";
    assert_eq!(error.to_string(), want);
}

#[test]
fn only_targets_outside_other_mounts_are_made_by_the_builder() {
    let points = mount_points(&compiled("engine", include_str!("golden/engine.toml")));
    assert_eq!(
        points,
        ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/lib/docker"]
    );
}

#[test]
fn users_are_found_and_broken_lines_left_out() {
    let users = Users::parse(
        "broken\n:x:1:1::/:\na:x:one:1::/:\n_chrony:x:101:102::/var/lib/chrony:/bin/false\n\
         all:x:4294967295:1::/:\nones:x:1:4294967295::/:\nmost:x:4294967294:4294967294::/:",
    );
    let found = |name| {
        users
            .find(name)
            .map(|user| (user.uid, user.gid, user.home.as_str()))
    };
    assert_eq!(found("_chrony"), Some((101, 102, "/var/lib/chrony")));
    assert_eq!(found("root"), Some((0, 0, "/root")));
    assert_eq!(found("a"), None);
    assert_eq!(found("broken"), None);
    assert_eq!(found("all"), None);
    assert_eq!(found("ones"), None);
    assert_eq!(found("most"), Some((4_294_967_294, 4_294_967_294, "/")));
}
