use super::*;

fn accounts(text: &str) -> Accounts {
    let mut accounts = Accounts::default();
    accounts.add_all(text).unwrap();
    accounts
}

#[test]
fn lines_become_accounts() {
    for (lines, passwd, group) in [
        (
            "u root 0 \"root\" /root /bin/bash",
            "root:x:0:0:root:/root:/bin/bash\n",
            "root:x:0:\n",
        ),
        (
            "# x\n\ng nogroup 65534\nu! sshd -:nogroup \"sshd user\" /run/sshd\n",
            "sshd:x:459:65534:sshd user:/run/sshd:/usr/sbin/nologin\n",
            "nogroup:x:65534:\n",
        ),
        ("u a 7:8", "a:x:7:8::/:/usr/sbin/nologin\n", ""),
        ("g docker 5\nm b docker\nm a docker", "", "docker:x:5:b,a\n"),
    ] {
        let accounts = accounts(lines);
        assert_eq!((&*accounts.passwd(), &*accounts.group()), (passwd, group));
    }
}

#[test]
fn nobody_has_a_password() {
    assert_eq!(
        accounts("u b 2\nu a 1").shadow(),
        "a:*:::::::\nb:*:::::::\n"
    );
}

#[test]
fn open_ids_follow_from_the_name() {
    let id = dynamic_id("_chrony", |_| false);
    assert!(DYNAMIC.contains(&id));
    assert_eq!(dynamic_id("_chrony", |taken| taken == id), id + 1);
}

#[test]
fn a_line_that_is_none_is_quoted() {
    let error = Accounts::default().add_all("x y z").unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "sysusers.d line `x y z`: is of no known type"
    );
}

#[test]
fn a_tree_gets_its_files() {
    let mut tree = Tree::default();
    tree.put_text("usr/sbin/dockerd", 0o755, "");
    write(&mut tree).unwrap();
    let group = String::from_utf8(tree.read("etc/group").unwrap().unwrap()).unwrap();
    assert!(group.contains("\ndocker:x:"), "{group}");
    let passwd = String::from_utf8(tree.read("etc/passwd").unwrap().unwrap()).unwrap();
    assert!(
        passwd.starts_with("root:x:0:0:root:/root:/bin/sh\n"),
        "{passwd}"
    );
}
