use super::*;

fn texts(texts: &[(&str, &str)]) -> Texts {
    let text = |(source, text): &(&str, &str)| ((*source).to_owned(), (*text).to_owned());
    texts.iter().map(text).collect()
}

fn found(text: &str) -> Sources {
    usable(user_data(&texts(&[("fw_cfg", text)])))
}

/// The disk of a machine: what survives a power cut.
#[derive(Default)]
struct Disk {
    index: Option<Index>,
    generations: BTreeMap<u64, Generation>,
}

impl Disk {
    fn write(&mut self, save: Save) {
        if let Some(generation) = save.generation {
            self.generations.insert(generation.about.number, generation);
        }
        self.index = Some(save.index);
        for number in save.dropped {
            self.generations.remove(&number);
        }
    }

    fn read(&self) -> History {
        let generations = self.generations.values().cloned().collect();
        History::of(self.index.clone(), generations)
    }

    /// Boots with this user-data, as PID 1 does. The state stays as it was if nothing changes.
    fn boot(&mut self, text: &str) -> History {
        let mut history = self.read();
        let before = history.index.clone();
        let found = history.fall_back_at_boot(found(text));
        let (sources, kept) = history.at_boot(&found);
        let mut read = history.texts.clone();
        for (source, held) in sources {
            let text = String::from_utf8(held.unwrap()).unwrap();
            // What cannot be used is what it last was.
            let text = match text.as_str() {
                "?" => kept
                    .get(&source)
                    .cloned()
                    .map(|kept| String::from_utf8(kept).unwrap()),
                _ => Some(text),
            };
            if let Some(text) = text {
                read.insert(source, text);
            }
        }
        let save = history.boot(read, &found, 0);
        if history.index != before {
            self.write(save);
        }
        history
    }

    /// The same, and the machine becomes ready.
    fn boot_well(&mut self, text: &str) -> History {
        let mut history = self.boot(text);
        if !history.is_good() {
            let save = history.ready();
            self.write(save);
        }
        history
    }
}

/// The number and the user-data in force.
fn in_force(history: &History) -> (u64, &str) {
    let text = history.texts.get("fw_cfg").map_or("", String::as_str);
    (history.index.chosen, text)
}

#[test]
fn a_boot_that_finds_nothing_new_writes_nothing() {
    let mut disk = Disk::default();
    let first = disk.boot_well("a");
    assert_eq!(in_force(&first), (1, "a"));
    let written = disk.index.clone();
    disk.boot_well("a");
    assert_eq!(disk.index, written);
    // What cannot be used changes nothing but what was seen.
    let history = disk.boot_well("?");
    assert_eq!(in_force(&history), (1, "a"));
    assert_ne!(disk.index, written);
    assert_eq!(disk.generations.len(), 1);
}

#[test]
fn the_first_generation_is_tried_again_and_again() {
    let mut disk = Disk::default();
    for _ in 0..5 {
        let history = disk.boot("a");
        assert_eq!(in_force(&history), (1, "a"));
        assert!(!history.is_trial());
    }
}

#[test]
fn user_data_with_which_the_machine_does_not_become_ready_is_set_aside() {
    let mut disk = Disk::default();
    disk.boot_well("good");
    for _ in 0..TRIES {
        let history = disk.boot("bad");
        assert_eq!(in_force(&history), (2, "bad"));
        assert!(history.is_trial());
        assert_eq!(history.problem(), None);
    }
    for _ in 0..2 {
        let history = disk.boot_well("bad");
        assert_eq!(in_force(&history), (1, "good"));
        let problem = "configuration 2 is set aside: the machine was not ready with it in 2 boots; the machine runs with 1, \
                       the last good one";
        assert_eq!(history.problem().as_deref(), Some(problem));
    }
    // Other user-data is tried anew.
    let history = disk.boot("better");
    assert_eq!(in_force(&history), (3, "better"));
    assert_eq!(history.problem(), None);
    assert!(history.is_trial());
}

#[test]
fn a_generation_that_is_given_up_while_the_machine_runs_is_not_tried_again() {
    let mut disk = Disk::default();
    disk.boot_well("good");
    let mut history = disk.boot("bad");
    assert!(history.fall_back("not ready after 180 s: x".to_owned()));
    assert_eq!(in_force(&history), (1, "good"));
    let save = history.kept();
    disk.write(save);
    let history = disk.boot("bad");
    assert_eq!(in_force(&history), (1, "good"));
    assert!(!history.clone().fall_back(String::new()));
    let problem = history.problem().unwrap();
    assert!(
        problem.starts_with("configuration 2 is set aside: not ready after 180 s: x; "),
        "{problem}"
    );
}

#[test]
fn what_a_command_sets_stays_with_new_user_data() {
    let mut disk = Disk::default();
    let mut history = disk.boot_well("a");
    let cause = Cause::Command { uid: 0 };
    let save = history.add(texts(&[("fw_cfg", "a"), ("local", "l")]), cause.clone(), 7);
    let about = About {
        number: 2,
        time: 7,
        cause,
        base: Some(1),
        changed: vec!["local".to_owned()],
        unconfirmed: false,
    };
    assert_eq!(save.generation.as_ref().map(|one| &one.about), Some(&about));
    disk.write(save);
    let history = disk.boot("b");
    assert_eq!(in_force(&history), (3, "b"));
    assert_eq!(history.texts["local"], "l");
    assert_eq!(history.known[&3].changed, ["fw_cfg"]);
}

#[test]
fn a_way_back_holds_until_user_data_is_new() {
    let mut disk = Disk::default();
    disk.boot_well("a");
    let mut history = disk.boot_well("b");
    assert_eq!(history.earlier(), Some(1));
    let texts_of_1 = history.texts_of(1).unwrap().clone();
    let save = history.add(texts_of_1, Cause::RollBack { uid: 0, to: 1 }, 0);
    disk.write(save);
    // Further back than what it repeats there is nothing.
    assert_eq!(history.earlier(), None);
    for _ in 0..2 {
        let history = disk.boot_well("b");
        assert_eq!(in_force(&history), (3, "a"));
    }
    let history = disk.boot_well("c");
    assert_eq!(in_force(&history), (4, "c"));
    assert_eq!(history.index.follows, Follows::Sources);
    let history = disk.boot_well("c");
    assert_eq!(in_force(&history), (4, "c"));
}

#[test]
fn a_change_after_a_fall_goes_on_from_the_good_one() {
    let mut disk = Disk::default();
    disk.boot_well("good");
    disk.boot("bad");
    disk.boot("bad");
    let mut history = disk.boot_well("bad");
    let mut changed = history.texts.clone();
    changed.insert("local".to_owned(), "l".to_owned());
    let save = history.add(changed, Cause::Command { uid: 0 }, 0);
    disk.write(save);
    let history = disk.boot("bad");
    assert_eq!(in_force(&history), (3, "good"));
    assert_eq!(history.texts["local"], "l");
}

#[test]
fn what_is_not_confirmed_is_gone_after_a_power_cut() {
    let mut disk = Disk::default();
    let mut history = disk.boot_well("a");
    let proposed = texts(&[("fw_cfg", "a"), ("local", "l")]);
    let save = history.propose(proposed.clone(), Cause::Command { uid: 0 }, 0);
    assert_eq!(history.newest(), 2);
    disk.write(save);
    let after_cut = disk.read();
    assert_eq!(in_force(&after_cut), (1, "a"));
    assert_eq!(after_cut.texts.get("local"), None);
    assert!(after_cut.known.contains_key(&2));
    let verdict = Verdict::Bad("not confirmed".to_owned());
    assert_eq!(after_cut.verdict(2), verdict);
    // Neither does it come back with the next change, which is not made from it.
    let mut later = after_cut.clone();
    let save = later.add(texts(&[("fw_cfg", "b")]), Cause::Boot, 0);
    let about = save.generation.map(|generation| generation.about);
    let about = about.map(|about| (about.number, about.base));
    assert_eq!(about, Some((3, Some(1))));

    let mut confirmed = history.clone();
    let save = confirmed.confirm(2, proposed, None);
    disk.write(save);
    let after_cut = disk.read();
    assert_eq!(in_force(&after_cut), (2, "a"));
    assert_eq!(after_cut.texts["local"], "l");
    assert_eq!(after_cut.verdict(2), Verdict::Tried(0));

    let save = history.reject(2, "not confirmed within 60 s".to_owned());
    disk.write(save);
    let after_cut = disk.read();
    assert_eq!(in_force(&after_cut), (1, "a"));
    let verdict = Verdict::Bad("not confirmed within 60 s".to_owned());
    assert_eq!(after_cut.verdict(2), verdict);
}

#[test]
fn without_an_index_the_newest_generation_is_in_force() {
    let mut disk = Disk::default();
    disk.boot_well("a");
    disk.boot_well("b");
    disk.index = None;
    let history = disk.boot("b");
    assert_eq!(in_force(&history), (2, "b"));
    // An index that is older than the files.
    disk.index = Some(Index {
        chosen: 9,
        ..Index::default()
    });
    assert_eq!(in_force(&disk.read()), (2, "b"));
}

#[test]
fn old_generations_are_forgotten_but_never_the_good_one() {
    let mut disk = Disk::default();
    let mut history = disk.boot_well("a");
    for n in 0..100 {
        let text = format!("{n}");
        let save = history.add(
            texts(&[("fw_cfg", "a"), ("local", &text)]),
            Cause::Command { uid: 0 },
            n,
        );
        disk.write(save);
    }
    assert_eq!(history.known.len(), KEPT);
    assert_eq!(disk.generations.len(), KEPT);
    assert!(history.index.verdicts.len() <= KEPT);
    let read = disk.read();
    assert_eq!(read.good.as_ref().map(|(number, _)| *number), Some(1));
    assert_eq!(read.index.chosen, 101);
    assert_eq!(read, history);
}

#[test]
fn an_end_that_somebody_asks_for_is_no_failure() {
    let mut disk = Disk::default();
    disk.boot_well("good");
    for _ in 0..2 * TRIES {
        let mut history = disk.boot("new");
        assert_eq!(in_force(&history), (2, "new"));
        let save = history.forgive().unwrap();
        assert_eq!((&save.generation, save.index.row), (&None, 0));
        disk.write(save);
        assert_eq!(history.forgive(), None);
    }
    for _ in 0..TRIES {
        assert_eq!(in_force(&disk.boot("new")), (2, "new"));
    }
    let mut history = disk.boot("new");
    assert_eq!(in_force(&history), (1, "good"));
    assert_eq!(history.forgive(), None);
    // Neither does it make a good boot worse.
    let mut history = disk.boot_well("better");
    assert_eq!(history.verdict(3), Verdict::Good);
    assert_eq!(history.forgive(), None);
}

#[test]
fn user_data_that_is_bad_and_new_at_each_boot_does_not_keep_the_good_one_away() {
    let mut disk = Disk::default();
    disk.boot_well("good");
    for n in 0..ROW {
        let text = format!("bad {n}");
        assert_eq!(in_force(&disk.boot(&text)), (2 + u64::from(n), &*text));
    }
    let last = u64::from(ROW) + 1;
    for n in 0..3 {
        let history = disk.boot_well("bad as well");
        assert_eq!(in_force(&history), (1, "good"));
        let problem = format!(
            "configuration {} is set aside: the machine was not ready in {} boots in a row; the machine runs with 1, the \
             last good one",
            last + n,
            u64::from(ROW) + n
        );
        assert_eq!(history.problem(), Some(problem));
        // What comes after that is tried, once.
        let text = format!("worse {n}");
        assert_eq!(in_force(&disk.boot(&text)), (last + 1 + n, &*text));
    }
    assert_eq!(in_force(&disk.boot_well("mended")), (1, "good"));
    let history = disk.boot_well("mended");
    assert_eq!(in_force(&history), (last + 4, "mended"));
    assert_eq!((history.problem(), history.index.row), (None, 0));
    // Each has as many tries as ever.
    for _ in 0..TRIES {
        assert_eq!(in_force(&disk.boot("bad")).1, "bad");
    }
    assert_eq!(in_force(&disk.boot("bad")).1, "mended");
}

#[test]
fn what_is_pulled_counts_as_looked_at_once_it_is_confirmed() {
    let mut disk = Disk::default();
    let history = disk.boot_well("a");
    let cause = Cause::Command { uid: 0 };
    let pulled = texts(&[("fw_cfg", "b")]);
    let mut waiting = history.clone();
    waiting.propose(pulled.clone(), cause, 0);
    assert!(waiting.has_news(&found("b")));
    waiting.confirm(2, pulled, Some(seen(&found("b"))));
    assert!(!waiting.has_news(&found("b")));
    assert_eq!(in_force(&waiting), (2, "b"));
    assert_eq!(waiting.index.follows, Follows::Sources);
}
