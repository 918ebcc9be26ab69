//! Values at the edge of what is accepted. Where JSON Schema can say it, it says what the reader says.

use super::verdict::{Validator, problems};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const PEM: &str = "-----BEGIN CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----";

/// TOML with `@` where each of the values stands, and the values: some that are accepted, some that are not.
#[rustfmt::skip]
const CASES: [(&str, &[&str]); 78] = [
    ("hostname = '@'", &["a", "Edge-17", "n1.example.com", "", "-a", "a-", "a..b", "a_b", "ä", "a."]),
    ("network.search = ['@']", &["lan", "c.project-1.internal", "", "a..b", "-a.b", "a_b", "lan."]),
    ("time.servers = ['@']", &["ntp.example.com", "::1", "", "a b", "a/b"]),
    ("modules = ['@']", &["ip_vs", "nf-nat-sip", ".a", "", "--coldplug", "fs/xfs/xfs.ko", "ip_vs hash=1"]),
    ("unset = ['@']", &["hostname", "log . forward", "a.\"b c\"", "a b", "a.", "", "a = 1 #", "# a", "[a]"]),
    ("schema = @", &["1", "0", "2", "'1'", "true"]),
    ("network.dns = ['@']", &[
        "192.0.2.1", "255.255.255.255", "0.0.0.0", "256.0.0.1", "01.1.1.1", "1.1.1", "1.1.1.1.1", "::", "::1", "1::",
        "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::3:4:5:6:7:8", "1:2:3:4:5:6:7:8::",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "::192.0.2.1", "1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:7:192.0.2.1",
        "64:ff9b::192.0.2.1", "1::2::3", ":1", "1:", "12345::", "g::", "fe80::1%eth0", "", "one.one",
        "1:2:3:4:5::192.0.2.1", "::192.0.2.1:1",
    ]),
    ("network.interfaces.eth0.addresses = ['@']", &[
        "10.0.0.2/0", "10.0.0.2/32", "10.0.0.2/33", "10.0.0.2/+8", "10.0.0.2/008", "10.0.0.2/", "10.0.0.2", "::1/128",
        "::1/129", "::1/64", "::1/+064", "10.0.0.2/-1", "10.0.0.2/8/8",
    ]),
    ("network.interfaces.eth0.gateway = @", &[
        "'10.0.0.1'", "['10.0.0.1']", "[]", "['10.0.0.1', '::1']", "['::1', '10.0.0.1']", "['::1', '::2']",
        "['10.0.0.1', '10.0.0.2']", "['10.0.0.1', '::1', '::2']", "'none'", "['none']", "1",
    ]),
    ("network.interfaces.eth0.mtu = @", &["68", "65535", "67", "65536", "'1400'"]),
    ("network.interfaces.'@'.dhcp = true", &[
        "eth0", "...", "..a", ".a", "a:b", "a/b", "a b", ".", "..", "", "fifteen-letters", "sixteen--letters",
        ".fifteenletters", ".sixteen-letters", "..fifteenletter", "..sixteenletters",
    ]),
    ("watchdog.timeout = '@'", &[
        "5s", "300s", "5min", "5m", "1min", "5000ms", "060s", "300000ms", "4s", "301s", "6min", "5500ms", "1h", "0s", "5", "4999ms",
        "301000ms",
    ]),
    ("kernel.log-level = '@'", &["emergency", "warning", "debug", "warn", "7", ""]),
    ("time.zone = '@'", &["UTC", "Etc/GMT+5", "America/Port-au-Prince", "", "/UTC", "UTC/", "../UTC", "zone.tab", "Europe Vienna"]),
    ("swap.file = '@'", &["1MiB", "1024KiB", "1023KiB", "0MiB", "9999KiB", "10000KiB", "2GiB", "50%", "1TiB", ""]),
    ("swap.zram.size = '@'", &["1MiB", "1023KiB", "1%", "50%", "099%", "200%", "201%", "0%", "%", "+5%", "2GiB", "half"]),
    ("control.others = '@'", &["nothing", "status", "all"]),
    ("metrics.listen = '@'", &[
        "127.0.0.1:9100", "[::1]:9100", "0.0.0.0:0", "[::1%1]:080", "127.0.0.1", "::1:9100", "127.0.0.1:65536", "127.0.0.1:+1",
        "localhost:1", "[127.0.0.1]:1",
    ]),
    ("log.total = '@'", &["64MiB", "1GiB", "20000KiB", "64MB", "64", "-1MiB", "1.5GiB", ""]),
    ("log.file = '@'", &["1MiB", "01KiB", "0KiB", "00GiB"]),
    ("log.age = '@'", &["1ms", "15m", "2h", "0s", "1d", "3 s", "1.5s", "s", ""]),
    ("log.rate = @", &["0", "4294967295", "4294967296", "-1", "'1'"]),
    ("log.burst = @", &["1", "0"]),
    ("log.forward.to = '@'", &[
        "udp://log.example", "tcp://192.0.2.1:10514", "tcp://[2001:db8::1]", "tcp://[::1]:65535", "udp://a:+80", "udp://a:080",
        "log.example", "http://a", "tcp://", "tcp://a:0", "tcp://a:65536", "tcp://a:b", "tcp://a b", "udp://[::1]x", "udp://a:",
        "tls://a",
    ]),
    ("log.forward = { to = '@' }", &["udp://a", "tls://a"]),
    ("log.forward = { @ }", &[
        "to = 'tls://a', ca = '-----BEGIN CERTIFICATE-----'", "to = 'tls://a', ca = 'x'", "ca = '-----BEGIN CERTIFICATE-----'",
        "to = 'udp://a', ca = '-----BEGIN CERTIFICATE-----'", "to = 'udp://a', containers = false", "to = 'udp://a', more = 1",
        "to = 'udp://a', containers = 'no'",
    ]),
    ("ssh-authorized-keys = [@]", &[
        "''", "'# mine'", "'  '", "\"# a\\nb\"", "'hello world'", "'ssh-ed25519'", "'ssh-ed25519 %'", "'ssh-dss AAAA'",
        "'ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQABAAAA'",
    ]),
    ("users.'@' = {}", &["alice", "_x-1", "", "Alice", "1a", "-a", "a.b", "a b", "root", "sshd", "wheel"]),
    ("users.alice = { @ }", &["", "admin = true", "admin = 'yes'", "ssh-authorized-keys = []", "password = 'x'"]),
    ("users.alice.groups = ['@']", &["web", "alice", "docker", "root", "Web", ""]),
    ("users.alice.shell = '@'", &["/bin/bash", "/bin/sh", "/usr/sbin/nologin", "/bin/zsh", "bash"]),
    ("users.alice.uid = @", &["1000", "59999", "999", "60000", "-1", "'1000'"]),
    ("users.alice.principals = ['@']", &["ops", "a@b.example", "", "a b", "a,b", "#a"]),
    ("ssh = { @ }", &[
        "port = 1", "port = 65535", "port = 0", "port = 65536", "port = '22'", "allow-tcp-forwarding = false", "principals = ['ops']",
        "listen = '::'",
    ]),
    ("ssh.trusted-user-ca-keys = [@]", &["''", "'# mine'", "'ssh-ed25519'", "'ssh-dss AAAA'", "1"]),
    ("ca-certificates = [\"@\"]", &[
        "", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\\nMA*=\\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----", "Subject: us\\n-----BEGIN CERTIFICATE-----\\nMA\\r\\n A=\\n-----END CERTIFICATE-----\\n",
    ]),
    ("sysctl = { @ }", &[
        "vm.swappiness = 1", "'vm.swappiness' = 1", "'vm/swappiness' = 1", "vm = { swappiness = 1 }", "vm = 1", "vm.swappiness = 1.5",
        "vm.swappiness = true", "vm.swappiness = 'a'", "vm.swappiness = \"a\\nb\"", "vm.swappiness = [1]", "vm.swappiness = {}",
        "vm.overcommit_memory = 2", "'vm.overcommit_memory' = 2", "'vm/overcommit_memory' = 2", "vm.overcommit_memory = '1'",
        "vm.overcommit_memory = true", "vm.overcommit_memory = '2'", "vm.memfd_noexec = 1", "vm.memfd_noexec = 2",
        "vm.max_map_count = 65530", "vm.max_map_count = 65529", "vm.max_map_count = true", "kernel.panic = 1", "'kernel/panic' = 1",
        "kernel.panic.x = 1", "kernel.panic_on_oops = 1", "kernel.panic_x.y = 1", "fs.epoll.max_user_watches = 1",
        "fs.'epoll.max_user_watches' = 1", "'fs.epoll'.max_user_watches = 1", "user.max_net_namespaces = 1",
        "'user.max_net_namespaces' = 1", "user = {}", "net.core.bpf_jit_enable = 1", "net.core.somaxconn = 1",
        "'net.ipv4.conf.eth0/1.forwarding' = 1", "'net/ipv4/conf/eth0.1/forwarding' = 1", "'net..a' = 1", "'.a' = 1", "'a b.c' = 1",
        "'net.' = 1", "net.'a b' = 1", "'vm/' = 1", "net.unix.max_dgram_qlen = 1", "'net.unix'.max_dgram_qlen = 1",
    ]),
    ("engine = { @ }", &[
        "bip = '10.9.0.1/16'", "log-level = 'debug'", "log-level = 'warn'", "log-drivr = 'local'", "mtu = '1400'", "mtu = 1400",
        "data-root = '/data'", "hosts = ['unix:///a']", "hosts = ['tcp://0.0.0.0:2376']", "hosts = [1]", "tlsverify = false",
        "tlsverify = true", "tlsverify = true, tlscacert = '/a', tlskey = '/b'", "tlscert = 'cert.pem'", "tlscert = ' /cert.pem'",
        "tlsverify = true, tlscacert = '/a', tlscert = '/b', tlskey = '/c'", "tlscert = '-----BEGIN CERTIFICATE-----'",
        "tlskey = '-----BEGIN CERTIFICATE-----'", "tlskey = '-----BEGIN EC PRIVATE KEY-----'", "debug = 1", "labels = 'a'",
        "log-opts = []", "tlscert = '-----BEGIN CERTIFICATE-----MAA=-----END CERTIFICATE-----'",
        "tlscert = '-----BEGIN X-----A-----BEGIN CERTIFICATE-----MAA=-----END CERTIFICATE-----'", "tlscert = '-----BEGIN X-----'",
    ]),
    ("registries.'@'.insecure = true", &["a", "a:5000", "[::1]:5000", "docker.io", "", ".", "../a", "a/b", "a.b"]),
    ("registries.'docker.io' = { @ }", &[
        "", "mirrors = ['https://m.example/hub']", "insecure = false", "ca = ''", "username = 'u', password = 'p'", "username = 'u'",
        "password = 'p'", "mirror = []",
    ]),
    ("registries.'a' = { @ }", &[
        "mirrors = []", "mirrors = ['https://m.example']", "ca = 'x'", "mirror = 'x'", "username = 'u'", "insecure = 1",
    ]),
    ("registries.'docker.io'.mirrors = ['@']", &[
        "https://m.example", "http://10.0.0.9:5000", "", "m.example", "ftp://m.example", "https://", "https:///v2", "https://:5000",
        "https://u:p@m.example", "https://m.example?a", "https://m.example/#a", "https://m example", "http://[::1]/~a", "https://a\\b",
    ]),
    ("registries.'a' = { username = 'u', password = @ }", &[
        "'p'", "1", "{ credential = 'a.b_c-1' }", "{ file = '/srv/a' }", "{}", "{ credential = '.a' }", "{ credential = 'a/b' }",
        "{ credential = '' }", "{ file = '/etc/a' }", "{ file = '/srv/a', credential = 'a' }", "{ age = 'a' }", "{ credential = 1 }",
    ]),
    ("files.'/srv/a' = { @ }", &["text = { credential = 'a' }", "base64 = { file = '/srv/b' }", "text = { x = 'a' }", "base64 = {}"]),
    ("engine.tlskey = @", &["{ credential = 'a' }", "{ file = '/srv/a' }", "{ file = 'a' }", "{}", "'/a'", "1", "[]"]),
    ("services.ssh.enabled = @", &["true", "'no'", "1"]),
    ("services.ssh.environment = { @ }", &["A = ''", "A = 1", "'' = 'a'", "'A=' = 'a'", "\"A\\u0000\" = 'a'", "A = \"\\u0000\""]),
    ("services.ssh.process.args = @", &["['/a']", "['/a', '', '-D']", "[]", "['a']", "['/a', 1]", "['/a', \"\\u0000\"]", "'/a'"]),
    ("services.ssh.lifecycle.start = '@'", &["auto", "on-demand", "Auto"]),
    ("services.ssh.lifecycle.restart.backoff = '@'", &[
        "100ms..30s", "1s..1s", "1s..1h", "0s..1s", "1s", "1s..", "1s...2s", "1..2s", "a..b",
    ]),
    ("services.ssh.lifecycle.restart.policy = '@'", &["never", "on-failure", "always", "once"]),
    ("services.ssh.lifecycle.restart.limit = { @ }", &[
        "starts = 5, within = '1s'", "starts = 0, within = '0s', then = 'fail'", "starts = 5", "within = '1s'",
        "starts = 5, within = '1s', then = 'end'", "starts = -1, within = '1s'",
    ]),
    ("services.ssh.lifecycle.after = ['@']", &[
        "network:online", "state:mounted", "time:synced", "path:/", "path:/a/..b/c", "engine:ready", "trim:done", "network:onlin",
        "path:a", "path:/a/../b", "path:/..", "path:/a/.", "path://a", ":ready", "engine", "engine:up",
    ]),
    ("services.trim.lifecycle.schedule = '@'", &[
        "1s", "15m", "1000ms", "01500ms", "0s", "999ms", "minutely", "annually", "06:30:15", "*:0/15", "*:*:0/10", "Mon *-*-* 03:00",
        "mon..Friday 00:00", "Sat,Sun", "MON,wed..fri/2", "*-12-01", "12-01 06:30:15", " daily", "2028-02-29", "dayly", "Mon Tue",
        "03:00 Mon", "1", "Mo", "", "1d", "1:2:3:4", "Mon..,Tue",
    ]),
    ("services.ssh.lifecycle.start-timeout = '@'", &["0s", "90s", "90"]),
    ("services.ssh.lifecycle.health = { @ }", &[
        "tcp = 22", "tcp = 65535", "tcp = 65536", "unix = '/a'", "exec = ['a']", "exec = []", "http = '80/'", "http = '+80/a?b'",
        "http = '0/'", "http = '80'", "http = '80/a b'", "http = '/'", "tcp = 22, unix = '/a'", "interval = '1s'",
        "tcp = 22, interval = '0s'", "tcp = 22, timeout = '0ms'", "tcp = 22, retries = 0", "tcp = 22, retries = 1", "tcp = 22, a = 1",
    ]),
    ("services.ssh.lifecycle.stop = { @ }", &["signal = 'SIGTERM'", "signal = 'SIGUSR1'", "grace = '0s'", "last = true"]),
    ("services.ssh.resources = { @ }", &[
        "memory-max = '1MiB'", "memory-max = '1024KiB'", "memory-max = '10000KiB'", "memory-max = '1023KiB'", "memory-max = '0KiB'",
        "memory-max = '0GiB'", "memory-max = '01GiB'", "memory-min = '0KiB'", "pids-max = 0", "pids-max = -1", "pids-max = 4194304",
        "pids-max = 4194305", "open-files = 16", "open-files = 15", "open-files = 1048577", "cpu-weight = 0", "cpu-weight = 1",
        "cpu-weight = 10001", "swap-max = 1",
    ]),
    ("files.'@'.text = 'a'", &[
        "/srv/a", "/root/.ssh/a b", "/home/..a/.b./...", "/mnt/ä", "/srv", "/srv/", "/srv/a/", "/srv//a", "/srv/../a", "/srv/./a",
        "/srv/.", "/srv/..", "/srvice/a", "srv/a", "/etc/a", "",
    ]),
    ("files.'/srv/a' = { @ }", &[
        "text = ''", "base64 = 'YQ=='", "base64 = \"YWJj\\n YWJj\"", "base64 = 'Y*=='", "", "mode = '0600'", "text = '', base64 = ''",
        "text = 1", "text = '', mod = ''", "text = '', mode = 600", "text = 'abc', sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'",
        "text = 'a', sha256 = 'ba7816'",
    ]),
    ("files.'/srv/a' = { text = '', mode = '@' }", &["0600", "640", "0000", "0777", "4755", "888", "64", "00640", "rw", ""]),
    ("files.'/srv/a' = { text = '', owner = '@' }", &["0:0", "1000:1000", "root:root", "1000", "1:", ":1", "+1:1", "-1:1", "1:1:1", ""]),
    ("disks.'@' = { match.serial = 'A', mount = '/srv/a' }", &["data", "a-1", "Data", "1a", "a_b", ""]),
    ("disks.a = { match.id = '@', mount = '/srv/a' }", &[
        "ata-A_1", "usb-A-0:0-part1", "...", ".a", "..a", ".", "..", "", "a/b", "a b", "ä",
    ]),
    ("disks.a = { match.path = '@', mount = '/srv/a' }", &[
        "/dev/vdb", "/dev/disk/by-path/pci-0000:00:1f.2-ata-2", "/dev/...a", "/dev/..a", "/dev", "/dev/", "/dev//a", "/dev/../a",
        "/dev/./a", "vdb", "/etc/a", "/dev/a b",
    ]),
    ("disks.a = { match.serial = '@', mount = '/srv/a' }", &["A", "WD 1/2", "", " A", "A ", "ä"]),
    ("disks.a = { match.size = '@', mount = '/srv/a' }", &[
        ">=100GB", "<=2TiB", ">=1MB", ">=0MiB", "100GB", ">100GB", ">= 1GB", ">=1KiB", ">=1kB", ">=GB", "",
    ]),
    ("disks.a = { match.serial = 'A', mount = '@' }", &[
        "/srv/a", "/home/a/b", "/srv/.a", "/srv", "/srv/", "/root/a", "/media/a", "/etc/a", "/srv/../a", "/srv//a", "a",
    ]),
    ("disks.a = { match.serial = 'A', mount = '/srv/a', label = '@' }", &["data", "A_1.2-3", "", "a b", "a/b"]),
    ("disks.a = { @ }", &[
        "match.serial = 'A', mount = '/srv/a', format = 'xfs'", "match.serial = 'A', mount = '/srv/a', required = true",
        "match.serial = 'A', mount = '/srv/a', format = 'btrfs'", "match.serial = 'A'", "mount = '/srv/a'", "match = {}, mount = '/srv/a'",
        "match.uuid = 'A', mount = '/srv/a'", "match.serial = 'A', mount = '/srv/a', read-only = 'yes'",
        "match.serial = 'A', mount = '/srv/a', readonly = true",
    ]),
    ("apps.'@'.services = {}", &["shop", "a-1", "Shop", "1a", "-a", "a_b", ""]),
    ("apps.shop = { @ }", &[
        "services = {}", "services.web.image = 'x', volumes = {}, name = 'y'", "compose = 'services: {}'", "compose = 1", "",
        "compose-file = '/srv/a'", "compose-file = '/root/a'", "compose-file = '/srvice'", "compose-file = 1", "image = 'x'",
        "compose = '', services = {}", "compose = '', name = 'y'", "compose-file = '/srv/a', name = 'y'", "services = 1",
    ]),
    ("jobs.'@' = { schedule = 'daily', image = 'x' }", &["backup", "a-1", "Backup", "1a", "-a", "a_b", ""]),
    ("jobs.a = { schedule = 'daily', image = '@' }", &["a", "r.example:5000/a/b@sha256:00", "1", "", "-a", "a b", "ä", "/a"]),
    ("jobs.a = { schedule = '15m', image = 'x', @ }", &[
        "args = []", "args = ['', '-x']", "args = [\"\\u0000\"]", "args = 'a'", "volumes = ['/a:/b']", "volumes = ['c.d_-1:/b:ro,nocopy']",
        "volumes = ['./a:/b']", "volumes = ['/a']", "volumes = ['/a:b']", "volumes = ['/a:/b:']", "volumes = ['/a:/b:RO']",
        "volumes = ['/a:/b:ro:z']", "volumes = ['_a:/b']", "volumes = [1]", "network = 'host'", "network = ''", "user = '1:1'", "user = 1",
        "pull-policy = 'always'", "pull-policy = 'Always'", "timeout = '0s'", "timeout = '2d'", "environment = { A = 'b' }",
        "environment = { A = 1 }", "command = ['a']",
    ]),
    ("jobs.a = { schedule = '1h', image = 'x', environment = { @ } }", &[
        "A = ''", "A = 1", "'' = 'a'", "A = \"\\u0000\"", "A = { credential = 'a' }", "A = { file = '/srv/a' }", "A = { file = 'a' }", "A = {}",
        "A = ['a']",
    ]),
    ("jobs.a = { @ }", &["schedule = 'daily', image = 'x'", "schedule = 'daily'", "image = 'x'", "", "schedule = '1 2 3 4 5', image = 'x'"]),
    ("@", &["", "hostnam = 'a'", "log = 1", "log.rates = 1", "network.dn = []", "services = []", "hostname = 1", "modules = 'a'"]),
];

#[test]
fn the_schema_says_what_the_reader_says() {
    let schema = Validator::new();
    let mut verdicts = Vec::new();
    for (text, values) in CASES {
        for value in values {
            verdicts.push(check(&schema, &text.replace('@', value)));
        }
    }
    for value in [
        KEY.to_owned(),
        format!("  {KEY} ops at home  "),
        KEY.replace(' ', " \t "),
        format!("from=\"10.0.0.0/8\" {KEY} x"),
        format!("restrict,pty,command=\"echo \\\"a b\\\"\" {KEY}"),
        format!("command=\"x {KEY}"),
        format!("{KEY} a\nssh-rsa AAAA"),
        KEY.replace("ssh-ed25519 ", "ssh-rsa "),
        format!("cert-authority {KEY}"),
    ] {
        for list in ["ssh-authorized-keys", "ssh.trusted-user-ca-keys"] {
            verdicts.push(check(&schema, &format!("{list} = [{value:?}]")));
        }
    }
    for (text, most) in [
        ("hostname = '@'", 64),
        ("network.search = ['a.@']", 63),
        ("time.servers = ['@']", 253),
        ("modules = ['@']", 64),
        ("time.zone = '@'", 64),
        ("users.@ = {}", 32),
        ("users.alice.principals = ['@']", 256),
        ("registries.'@'.insecure = true", 255),
        ("log.forward.to = 'udp://@'", 253),
        ("engine.tlskey = { credential = '@' }", 128),
        ("services.ssh.environment.A = '@'", (128 << 10) - 3),
        (
            "jobs.a = { schedule = '1h', image = 'x', environment.A = '@' }",
            (128 << 10) - 3,
        ),
        ("services.ssh.process.args = ['/a', '@']", (128 << 10) - 1),
        ("apps.'@'.services = {}", 63),
        ("jobs.'@' = { schedule = 'daily', image = 'x' }", 63),
    ] {
        let [longest, longer] =
            [most, most + 1].map(|length| text.replace('@', &"x".repeat(length)));
        assert_eq!(check(&schema, &longest), Ok(true));
        assert_eq!(check(&schema, &longer), Ok(false));
    }
    for text in [
        format!("ca-certificates = [\"{PEM}\"]"),
        format!("ca-certificates = [\"{PEM}\\nPRIVATE KEY-----\"]"),
        format!("registries.a.ca = \"{PEM}\""),
        format!("registries.'docker.io'.ca = \"{PEM}\""),
    ] {
        verdicts.push(check(&schema, &text));
    }
    let different: Vec<&String> = verdicts
        .iter()
        .filter_map(|verdict| verdict.as_ref().err())
        .collect();
    assert_eq!(different, [""; 0]);
    let accepted = verdicts
        .iter()
        .filter(|verdict| **verdict == Ok(true))
        .count();
    assert!(
        accepted > 200 && verdicts.len() - accepted > 200,
        "{accepted} of {}",
        verdicts.len()
    );
}

/// Whether `text` is accepted, or how the two differ.
fn check(schema: &Validator, text: &str) -> Result<bool, String> {
    let (reader, schema) = (problems(text), schema.error(text));
    match reader.is_empty() == schema.is_none() {
        true => Ok(reader.is_empty()),
        false => Err(format!("{text}: reader: {reader:?}, schema: {schema:?}")),
    }
}

/// What depends on other keys, on numbers within texts, or on the image: the schema accepts it, and the reader does not.
#[test]
fn what_only_the_reader_knows_is_its_own() {
    let schema = Validator::new();
    for text in [
        "log.file = '33MiB'",
        "services.nothing.enabled = false",
        "services.ssh.lifecycle.after = ['nothing:ready']",
        "services.ssh.lifecycle.restart.backoff = '2s..1s'",
        "services.trim.lifecycle.schedule = '25:00'",
        "services.trim.lifecycle.schedule = '02-30'",
        "sysctl = { 'vm.swappiness' = 1, 'vm/swappiness' = 2 }",
        "network.interfaces.'äääääääääääääää'.dhcp = true",
        "log.total = '99999999999999999999GiB'",
        "files.'/srv/a' = { base64 = 'Y' }",
        "files.'/srv/a' = { text = '', owner = '4294967295:0' }",
        "files.'/srv/a' = { text = 'a', sha256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad' }",
    ] {
        assert_ne!(problems(text), [""; 0], "{text}");
        assert_eq!(schema.error(text), None, "{text}");
    }
}
