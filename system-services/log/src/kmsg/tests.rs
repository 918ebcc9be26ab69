use super::*;
use crate::testing::Folder;

/// Keeps `records`. Returns the source's mark and the records without their times.
fn kept(folder: &Folder, records: &[String]) -> (Mark, Vec<String>) {
    let mut desk = folder.desk(1, 2);
    let mut mark = Mark::default();
    for record in records {
        keep(record.as_bytes(), &mut mark, &mut desk);
    }
    let text = String::from_utf8(desk.output).unwrap();
    let rest = |line: &str| line.splitn(4, ' ').last().map(str::to_owned);
    (mark, text.lines().filter_map(rest).collect())
}

#[test]
fn records_that_were_overwritten_are_counted() {
    let folder = Folder::new("kmsg-overwritten");
    let records = [0, 1, 7, 7].map(|number| format!("12,{number},5,-;a: {number}\n"));
    let (mark, lines) = kept(&folder, &records);
    let want = [
        "4 a kmsg 0",
        "4 a kmsg 1",
        "4 kernel dropped 5 records were overwritten before they were read",
    ];
    // The burst is two lines.
    let stands = Mark {
        done: 8,
        dropped: 1,
    };
    assert_eq!((mark, &*lines), (stands, &want.map(str::to_owned)[..]));
}

#[test]
fn another_name_for_each_record_is_no_way_around_the_limit() {
    let folder = Folder::new("kmsg-names");
    let records = (0..1000).map(|number| format!("12,{number},5,-;a{number}: x\n"));
    let (mark, lines) = kept(&folder, &records.collect::<Vec<_>>());
    assert!(lines.len() < 50, "{}", lines.len());
    assert_eq!(mark.dropped, 1000 - lines.len() as u64);
}
