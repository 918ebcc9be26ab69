//! Lines that wait in memory, and the end of the log.

use super::*;

/// Lets `lines` wait in memory, after `dropped` ones that were dropped.
fn wait_in_memory(folder: &Folder, generation: u64, dropped: u64, lines: &[Vec<u8>]) {
    let path = crate::Waiting::path(&folder.0.join("state"), generation);
    let text = [dropped.to_le_bytes().to_vec(), lines.concat()].concat();
    fs::write(path, text).unwrap();
}

fn written(folder: &Folder, generation: u64, lines: &[Vec<u8>]) {
    folder.append(crate::CURRENT, &lines.concat());
    let state = folder.0.join("state");
    fs::remove_file(crate::Waiting::path(&state, generation)).unwrap();
}

#[test]
fn what_waits_in_memory_is_read_once() {
    let folder = Folder::new("memory");
    let state = folder.0.join("state");
    fs::create_dir(&state).unwrap();
    let lines: Vec<Vec<u8>> = (0..9)
        .map(|number| line(number, A, "a", &number.to_string()))
        .collect();
    let open = || Reader::with_memory(&folder.0, Some(&state), &Filter::default()).unwrap();
    folder.append(crate::CURRENT, &lines[0]);
    let mut reader = open();
    reader.watch().unwrap();
    assert_eq!(texts(&mut reader), ["0"]);
    wait_in_memory(&folder, 1, 0, &lines[1..3]);
    assert_eq!(texts(&mut reader), ["1", "2"]);
    wait_in_memory(
        &folder,
        1,
        0,
        &[&lines[1..4], &[lines[4][..50].to_vec()]].concat(),
    );
    assert_eq!(texts(&mut reader), ["3"]);
    // The file was full: the next generation has the younger half.
    wait_in_memory(&folder, 2, 2, &lines[3..5]);
    fs::remove_file(crate::Waiting::path(&state, 1)).unwrap();
    assert_eq!(
        (texts(&mut reader), reader.lost()),
        (vec!["4".to_owned()], 2)
    );
    assert_eq!(texts(&mut open()), ["0", "3", "4"]);
    let note = line(5, A, "log", "2 lines lost");
    written(&folder, 2, &[&[note][..], &lines[3..6]].concat());
    wait_in_memory(&folder, 3, 0, &lines[6..8]);
    let mut found = texts(&mut reader);
    found.sort();
    assert_eq!(found, ["2 lines lost", "5", "6", "7"]);
    written(&folder, 3, &lines[6..9]);
    assert_eq!(
        (texts(&mut reader), reader.lost()),
        (vec!["8".to_owned()], 0)
    );
    let want = ["0", "2 lines lost", "3", "4", "5", "6", "7", "8"];
    assert_eq!(texts(&mut open()), want);
}

#[test]
fn the_last_records_and_what_follows() {
    let folder = Folder::new("last");
    for number in 1..=9_u64 {
        let service = if number == 2 { "b" } else { "a" };
        folder.append(
            crate::CURRENT,
            &line(number, A, service, &number.to_string()),
        );
        if number % 3 == 0 && number < 9 {
            folder.rotate(number);
        }
    }
    let of = |services: &[&str]| Filter {
        services: services.iter().map(|&name| name.to_owned()).collect(),
        ..Filter::default()
    };
    for (filter, count, want) in [
        (of(&[]), 0, &[][..]),
        (of(&[]), 2, &["8", "9"]),
        (of(&[]), 5, &["5", "6", "7", "8", "9"]),
        (of(&["b"]), 1, &["2"]),
        (of(&["b"]), 5, &["2"]),
        (of(&["c"]), 5, &[]),
    ] {
        let mut reader = Reader::open(&folder.0, &filter).unwrap();
        reader.skip_to_last(count).unwrap();
        assert_eq!(texts(&mut reader), want, "{count} of {filter:?}");
    }
    let mut reader = Reader::open(&folder.0, &Filter::default()).unwrap();
    reader.skip_to_last(1).unwrap();
    folder.rotate(9);
    folder.append(crate::CURRENT, &line(10, A, "a", "10"));
    assert_eq!(texts(&mut reader), ["9", "10"]);
}

#[test]
fn what_waits_in_memory_is_read_where_the_files_cannot_be() {
    let folder = Folder::new("unreadable");
    let state = folder.0.join("state");
    fs::create_dir(&state).unwrap();
    // It can be opened, but not read.
    fs::create_dir(Files::of(&folder.0).rotated_path(1)).unwrap();
    wait_in_memory(&folder, 1, 0, &[line(1, A, "a", "waits")]);
    for boot in [None, Some(Boot::Back(0))] {
        let filter = Filter {
            boot,
            ..Filter::default()
        };
        let open = || Reader::with_memory(&folder.0, Some(&state), &filter).unwrap();
        for last in [None, Some(5)] {
            let mut reader = open();
            if let Some(count) = last {
                reader.skip_to_last(count).unwrap();
            }
            assert_eq!(texts(&mut reader), ["waits"]);
            let error = reader.unreadable().unwrap();
            assert_eq!(error.kind(), ErrorKind::IsADirectory);
        }
    }
    let mut reader = Reader::open(&folder.0, &Filter::default()).unwrap();
    assert!(reader.next().is_err());
}
