//! The generations of the configuration: the sets of texts that the machine ran with, and whether it has been ready with
//! them. What is decided here is on the disk before it takes effect ([`Save`]).

use crate::effect::userdata::LOCAL;
use crate::job::Sources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many are kept, besides those that may be needed.
const KEPT: usize = 20;

/// In this many boots the machine may fail to become ready with a generation. Then the last good one takes its place.
const TRIES: u32 = 2;

/// In this many boots in a row the machine may fail to become ready, whatever user-data is. From then on a boot with the last
/// good generation follows each that fails: a source that is different at each boot has a new generation each time.
const ROW: u32 = 4;

/// Fingerprints of what sources hold.
pub(crate) type Seen = BTreeMap<String, u64>;

/// User-data and what commands have set ([`LOCAL`]), by source.
pub(crate) type Texts = BTreeMap<String, String>;

/// User-data that stands in for what a source does not hold any more, or that cannot be used.
pub(crate) type Kept = BTreeMap<String, Vec<u8>>;

/// A generation. Its texts never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    pub(crate) about: About,
    pub(crate) texts: Texts,
}

/// A generation without its texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// From 1.
    pub(crate) number: u64,
    /// When it came, by the machine's clock, in seconds since 1970.
    pub(crate) time: u64,
    pub(crate) cause: Cause,
    /// The generation that was in force; 0 if none was. `None` in files of earlier releases.
    #[serde(default)]
    pub(crate) base: Option<u64>,
    /// The sources whose text is not that of `base`.
    pub(crate) changed: Vec<String>,
    /// Whether it waits for its confirmation, or waited in vain. It is written again once it is confirmed.
    #[serde(default)]
    pub(crate) unconfirmed: bool,
}

/// Why there is a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cause {
    /// A boot found new user-data.
    Boot,
    /// A command of this user.
    Command { uid: u32 },
    /// This user went back to an earlier generation.
    RollBack { uid: u32, to: u64 },
}

/// How the machine was with a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// It has not been ready yet, in this many boots.
    Tried(u32),
    /// It has been ready.
    Good,
    /// It is not used, for this reason.
    Bad(String),
}

/// What changes about the generations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// The generation that boots use; 0 before the first.
    pub(crate) chosen: u64,
    pub(crate) follows: Follows,
    /// Fingerprints of what the sources held when that was last looked at.
    pub(crate) seen: Seen,
    pub(crate) verdicts: BTreeMap<u64, Verdict>,
    /// In how many boots in a row the machine did not become ready, those with the last good generation left out.
    #[serde(default)]
    pub(crate) row: u32,
}

/// Why the chosen generation is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Follows {
    /// It is what the sources hold.
    #[default]
    Sources,
    /// Somebody went back to it.
    RollBack,
    /// It is good, and this newer one is not.
    LastGood { instead_of: u64 },
}

/// What to write to the disk: the generation first, then the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Save {
    pub(crate) generation: Option<Generation>,
    pub(crate) index: Index,
    /// The numbers of those to remove.
    pub(crate) dropped: Vec<u64>,
}

/// The generations of this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    pub(crate) index: Index,
    /// All, by number.
    pub(crate) known: BTreeMap<u64, About>,
    /// The texts of the chosen one.
    pub(crate) texts: Texts,
    /// The last good one beside it.
    pub(crate) good: Option<(u64, Texts)>,
    /// The highest number that may be on the disk.
    skipped: u64,
    /// The generation that this boot counts as a failure of, until the machine is ready or is asked to end.
    #[serde(default)]
    counted: Option<u64>,
}

impl History {
    /// The history of what was read. An index that is missing or damaged is made anew, with the newest generation that is not
    /// known to be bad and does not wait for its confirmation.
    pub(crate) fn of(index: Option<Index>, generations: Vec<Generation>) -> Self {
        let mut texts = BTreeMap::new();
        let mut known = BTreeMap::new();
        for Generation { about, texts: one } in generations {
            texts.insert(about.number, one);
            known.insert(about.number, about);
        }
        let mut history = Self {
            index: index.unwrap_or_default(),
            known,
            ..Self::default()
        };
        if !history.known.contains_key(&history.index.chosen) {
            history.index.chosen = history.newest_usable();
        }
        let chosen = texts.get(&history.index.chosen);
        history.texts = chosen.cloned().unwrap_or_default();
        history.good = history
            .last_good()
            .and_then(|number| Some((number, texts.remove(&number)?)));
        history
    }

    /// The newest generation that boots may use, or 0.
    fn newest_usable(&self) -> u64 {
        let mut newest = self.known.keys().rev().copied();
        let usable = newest.find(|number| !matches!(self.verdict(*number), Verdict::Bad(_)));
        usable.unwrap_or_default()
    }

    /// The newest good generation beside the chosen one.
    fn last_good(&self) -> Option<u64> {
        let mut newest = self.known.keys().rev().copied();
        newest.find(|number| *number != self.index.chosen && self.verdict(*number) == Verdict::Good)
    }

    /// The good generation before the chosen one, or before that which it repeats.
    pub(crate) fn earlier(&self) -> Option<u64> {
        let chosen = self.index.chosen;
        let base = match self.known.get(&chosen).map(|about| &about.cause) {
            Some(Cause::RollBack { to, .. }) => *to,
            _ => chosen,
        };
        let mut newest = self.known.range(..base).rev().map(|(number, _)| *number);
        newest.find(|number| self.verdict(*number) == Verdict::Good)
    }

    /// The texts of a generation, if they are in memory.
    pub(crate) fn texts_of(&self, number: u64) -> Option<&Texts> {
        match &self.good {
            _ if number == self.index.chosen => Some(&self.texts),
            Some((good, texts)) if number == *good => Some(texts),
            _ => None,
        }
    }

    /// What became of a generation.
    pub(crate) fn verdict(&self, number: u64) -> Verdict {
        let about = self.known.get(&number);
        let in_vain = number != self.index.chosen && about.is_some_and(|about| about.unconfirmed);
        match self.index.verdicts.get(&number) {
            Some(verdict) => verdict.clone(),
            None if in_vain => Verdict::Bad("not confirmed".to_owned()),
            None => Verdict::Tried(0),
        }
    }

    /// Whether the machine has been ready with the chosen generation.
    pub(crate) fn is_good(&self) -> bool {
        let verdict = self.index.verdicts.get(&self.index.chosen);
        matches!(verdict, Some(Verdict::Good))
    }

    /// Whether the chosen generation is on trial, with a good one to go back to.
    pub(crate) fn is_trial(&self) -> bool {
        !self.is_good() && self.good.is_some()
    }

    /// Whether a source holds something else than when it was last looked at.
    fn has_news(&self, found: &Sources) -> bool {
        prints(found).any(|(source, print)| self.index.seen.get(source) != Some(&print))
    }

    /// Before a boot with what the sources hold: goes back to the last good generation if the machine was not ready
    /// with the chosen one. Returns the sources that this boot looks at: all, or none after too many failures in a row.
    pub(crate) fn fall_back_at_boot(&mut self, found: Sources) -> Sources {
        let Verdict::Tried(tries) = self.verdict(self.index.chosen) else {
            return found;
        };
        let has_news = self.has_news(&found);
        if !has_news && tries >= TRIES {
            self.fall_back(format!(
                "the machine was not ready with it in {TRIES} boots"
            ));
        }
        if has_news && tries > 0 && self.index.row >= ROW {
            let row = self.index.row;
            let why = format!("the machine was not ready in {row} boots in a row");
            if self.fall_back(why) {
                return Sources::new();
            }
        }
        found
    }

    /// Goes back to the last good generation, for this reason. Returns whether there is one.
    pub(crate) fn fall_back(&mut self, why: String) -> bool {
        let Some((good, texts)) = self.good.take() else {
            return false;
        };
        let bad = self.index.chosen;
        self.index.verdicts.insert(bad, Verdict::Bad(why));
        self.index.follows = Follows::LastGood { instead_of: bad };
        self.index.chosen = good;
        self.texts = texts;
        true
    }

    /// The user-data of a boot, and what stands in for a source that is gone or cannot be used: what was `found`, or
    /// after a way back what the generation says, until a source holds something new.
    pub(crate) fn at_boot(&self, found: &Sources) -> (Sources, Kept) {
        let kept = user_data(&self.texts);
        match self.index.follows == Follows::Sources || self.has_news(found) {
            true => (found.clone(), kept),
            false => (usable(kept), Kept::new()),
        }
    }

    /// A boot begins with `texts`, for which the sources held what was `found`.
    pub(crate) fn boot(&mut self, texts: Texts, found: &Sources, time: u64) -> Save {
        let news = self.has_news(found);
        self.see(found);
        let is_new = !self.known.contains_key(&self.index.chosen) || texts != self.texts;
        let save = match is_new {
            true => self.add(texts, Cause::Boot, time),
            false => self.save(None),
        };
        if news {
            self.index.follows = Follows::Sources;
        }
        let chosen = self.index.chosen;
        match self.verdict(chosen) {
            Verdict::Tried(tries) => {
                self.index
                    .verdicts
                    .insert(chosen, Verdict::Tried(tries + 1));
                self.index.row += 1;
                self.counted = Some(chosen);
            }
            Verdict::Good if self.set_aside().is_none() => self.index.row = 0,
            Verdict::Good | Verdict::Bad(_) => {}
        }
        self.saved(save)
    }

    /// Somebody has asked the machine to end, so that this boot is no failure. Returns what to write, if it was counted.
    pub(crate) fn forgive(&mut self) -> Option<Save> {
        let counted = self.counted.take()?;
        let Verdict::Tried(tries) = self.verdict(counted) else {
            return None;
        };
        let verdict = Verdict::Tried(tries.saturating_sub(1));
        self.index.verdicts.insert(counted, verdict);
        self.index.row = self.index.row.saturating_sub(1);
        Some(self.save(None))
    }

    /// A command of `uid` takes on `texts`, for which the sources hold what was `found`; from now on they count again.
    pub(crate) fn pull(&mut self, texts: Texts, found: &Sources, uid: u32, time: u64) -> Save {
        self.see(found);
        let save = match texts == self.texts {
            true => self.save(None),
            false => self.add(texts, Cause::Command { uid }, time),
        };
        self.index.follows = Follows::Sources;
        self.saved(save)
    }

    /// Remembers what the sources hold.
    fn see(&mut self, found: &Sources) {
        self.index.seen.extend(seen(found));
    }

    /// Adds a generation and chooses it.
    pub(crate) fn add(&mut self, texts: Texts, cause: Cause, time: u64) -> Save {
        let generation = self.made(texts.clone(), cause, time);
        let number = generation.about.number;
        let save = self.save(Some(generation));
        self.choose(number, texts);
        self.saved(save)
    }

    /// Adds a generation that boots do not use yet. Its number is [`History::newest`].
    pub(crate) fn propose(&mut self, texts: Texts, cause: Cause, time: u64) -> Save {
        let mut generation = self.made(texts, cause, time);
        generation.about.unconfirmed = true;
        let about = generation.about.clone();
        self.known.insert(about.number, about);
        self.save(Some(generation))
    }

    /// Makes the next generation, from the chosen one.
    fn made(&mut self, texts: Texts, cause: Cause, time: u64) -> Generation {
        let sources = self.texts.keys().chain(texts.keys());
        let mut changed: Vec<String> = sources
            .filter(|source| self.texts.get(*source) != texts.get(*source))
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        let about = About {
            number: self.newest().max(self.skipped) + 1,
            time,
            cause,
            base: Some(self.index.chosen),
            changed,
            unconfirmed: false,
        };
        self.known.insert(about.number, about.clone());
        Generation { about, texts }
    }

    /// Has boots use a generation that was proposed; if it is what the sources hold, those are `seen`, and count again.
    pub(crate) fn confirm(&mut self, number: u64, texts: Texts, seen: Option<Seen>) -> Save {
        let generation = self.known.get_mut(&number).map(|about| {
            about.unconfirmed = false;
            Generation {
                about: about.clone(),
                texts: texts.clone(),
            }
        });
        self.choose(number, texts);
        if let Some(seen) = seen {
            self.index.seen.extend(seen);
            self.index.follows = Follows::Sources;
        }
        self.save(generation)
    }

    /// What was proposed is not to be used, for this reason.
    pub(crate) fn reject(&mut self, number: u64, why: String) -> Save {
        self.index.verdicts.insert(number, Verdict::Bad(why));
        self.save(None)
    }

    /// The machine is ready with the chosen generation.
    pub(crate) fn ready(&mut self) -> Save {
        let chosen = self.index.chosen;
        self.index.verdicts.insert(chosen, Verdict::Good);
        self.index.row = 0;
        self.counted = None;
        self.save(None)
    }

    fn choose(&mut self, number: u64, texts: Texts) {
        let left = std::mem::replace(&mut self.texts, texts);
        if self.is_good() {
            self.good = Some((self.index.chosen, left));
        }
        self.index.chosen = number;
        let rolled_back = self
            .known
            .get(&number)
            .is_some_and(|about| matches!(about.cause, Cause::RollBack { .. }));
        match (rolled_back, &self.index.follows) {
            (true, _) => self.index.follows = Follows::RollBack,
            // Somebody goes on from it.
            (false, Follows::LastGood { .. }) => self.index.follows = Follows::RollBack,
            (false, _) => {}
        }
    }

    /// This number may be on the disk, and is no generation's.
    pub(crate) fn skip(&mut self, number: u64) {
        self.skipped = self.skipped.max(number);
    }

    /// The highest number.
    pub(crate) fn newest(&self) -> u64 {
        self.known.keys().next_back().copied().unwrap_or_default()
    }

    /// Forgets the oldest of too many, and says what to write.
    fn save(&mut self, generation: Option<Generation>) -> Save {
        let good = self.good.as_ref().map(|(number, _)| *number);
        let newest = self.newest();
        let needed = [Some(self.index.chosen), good, Some(newest)];
        let many = self.known.len().saturating_sub(KEPT);
        let old = self.known.keys().copied();
        let dropped: Vec<u64> = old
            .filter(|number| !needed.contains(&Some(*number)))
            .take(many)
            .collect();
        for number in &dropped {
            self.known.remove(number);
        }
        let known = &self.known;
        self.index
            .verdicts
            .retain(|number, _| known.contains_key(number));
        Save {
            generation,
            index: self.index.clone(),
            dropped,
        }
    }

    /// What to write where no generation is new.
    pub(crate) fn kept(&mut self) -> Save {
        self.save(None)
    }

    /// `save` with the index as it is now.
    fn saved(&self, save: Save) -> Save {
        Save {
            index: self.index.clone(),
            ..save
        }
    }

    /// The generation that the last good one is in the place of.
    pub(crate) fn set_aside(&self) -> Option<u64> {
        match self.index.follows {
            Follows::LastGood { instead_of } => Some(instead_of),
            Follows::Sources | Follows::RollBack => None,
        }
    }

    /// What a person should know of it.
    pub(crate) fn problem(&self) -> Option<String> {
        let instead_of = self.set_aside()?;
        let why = match self.verdict(instead_of) {
            Verdict::Bad(why) => format!(": {why}"),
            _ => String::new(),
        };
        let chosen = self.index.chosen;
        Some(format!(
            "configuration {instead_of} is set aside{why}; the machine runs with {chosen}, the last good one"
        ))
    }
}

/// The user-data of `texts`.
pub(crate) fn user_data(texts: &Texts) -> Kept {
    let sources = texts.iter().filter(|(source, _)| *source != LOCAL);
    sources
        .map(|(source, text)| (source.clone(), text.clone().into_bytes()))
        .collect()
}

/// What was kept, as sources that hold it.
pub(crate) fn usable(kept: Kept) -> Sources {
    kept.into_iter()
        .map(|(source, bytes)| (source, Ok(bytes)))
        .collect()
}

/// Fingerprints of what the sources hold.
pub(crate) fn seen(found: &Sources) -> Seen {
    prints(found)
        .map(|(source, print)| (source.to_owned(), print))
        .collect()
}

/// The sources that could be read, each with a fingerprint of what it holds.
fn prints(found: &Sources) -> impl Iterator<Item = (&str, u64)> {
    found.iter().filter_map(|(source, held)| {
        let held = held.as_ref().ok()?;
        Some((source.as_str(), fingerprint(held)))
    })
}

/// FNV-1a of 64 bits. Who can write user-data is root already, so that it need not resist an attack.
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
