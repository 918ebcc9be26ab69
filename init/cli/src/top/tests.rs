use super::*;
use crate::golden;

/// A sample of two services that have used this much CPU time.
fn sight(uptime: u64, cpu: [u64; 2]) -> Sight {
    let mut machine = golden::machine();
    machine.uptime = uptime;
    let mut services = golden::services().services;
    services.truncate(2);
    for (service, cpu) in services.iter_mut().zip(cpu) {
        service.cpu = Some(cpu);
    }
    Sight { machine, services }
}

#[test]
fn processor_time_is_that_between_two_looks() {
    let (before, now) = (
        sight(1_000_000, [0, 500]),
        sight(3_000_000, [1_000_000, 500]),
    );
    let percents = |before: Option<&Sight>| -> Vec<Option<f64>> {
        let rows = rows(&now, before, Order::Name);
        rows.iter().map(|row| row.cpu_percent).collect()
    };
    assert_eq!(percents(Some(&before)), [Some(50.0), Some(0.0)]);
    assert_eq!(percents(None), [None, None]);
    assert_eq!(percents(Some(&now)), [None, None]);
    let other_run = sight(1, [2_000_000, 0]);
    assert_eq!(percents(Some(&other_run))[0], None);
}

#[test]
fn keys_choose_the_order() {
    let (before, now) = (sight(0, [0, 0]), sight(1000, [1, 100]));
    for (key, want) in [
        (b'n', ["apps", "dhcp"]),
        (b'c', ["dhcp", "apps"]),
        (b'm', ["dhcp", "apps"]),
        (b'r', ["apps", "dhcp"]),
    ] {
        let order = order_of(key).unwrap();
        let rows = rows(&now, Some(&before), order);
        let names: Vec<&str> = rows.iter().map(|row| row.service.as_str()).collect();
        assert_eq!(names, want, "{}", char::from(key));
    }
    assert_eq!(order_of(b'x'), None);
}

#[test]
fn a_page() {
    let (before, now) = (sight(0, [0, 0]), sight(2_000_000, [1_000, 25_000]));
    let rows = rows(&now, Some(&before), Order::Cpu);
    golden::check("top.txt", &page(&now, &rows, Style { colors: false }));
}
