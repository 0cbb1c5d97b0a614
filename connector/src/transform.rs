//! Which bins are sent, and under which names.
//!
//! Bins are kept or dropped by their original names; then the rest is renamed. No two bins leave with one name.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

use crate::{
    config::{BinTransforms, Exclude},
    notification::Bin,
};

mod names;
mod regex;

pub use names::NameTransforms;

/// A step that cannot be used as configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("regex {pattern:?}: {problem}")]
pub struct TransformError {
    /// The pattern, as configured.
    pub pattern: String,
    /// What is wrong with it or its replacement.
    pub problem: String,
}

/// What `bin-transforms` does to the bins of a record.
///
/// Bin names that are not UTF-8 are on no list and are never renamed.
#[derive(Clone, Debug)]
pub struct Transform {
    keep: Keep,
    /// New names by original ones.
    map: BTreeMap<Box<[u8]>, Box<str>>,
    names: NameTransforms,
}

#[derive(Clone, Debug)]
enum Keep {
    All,
    None,
    Only(BTreeSet<Box<[u8]>>),
    AllBut(BTreeSet<Box<[u8]>>),
}

/// Room for new bin names. Use one for record after record: it keeps its memory, up to a bound.
#[derive(Debug, Default)]
pub struct Names {
    text: String,
    /// Positions of bins, and where in `text` their new names are.
    renamed: Vec<(usize, Range<usize>)>,
}

impl Transform {
    /// Compiles the section.
    pub fn new(config: &BinTransforms) -> Result<Self, TransformError> {
        let bytes = |name: &String| Box::from(name.as_bytes());
        let keep = match (&config.include, &config.exclude) {
            (_, Exclude::All) => Keep::None,
            (Some(include), Exclude::These(exclude)) => {
                Keep::Only(include.difference(exclude).map(bytes).collect())
            }
            (None, Exclude::These(exclude)) if exclude.is_empty() => Keep::All,
            (None, Exclude::These(exclude)) => Keep::AllBut(exclude.iter().map(bytes).collect()),
        };
        let map = config.map.iter().map(|(old, new)| (bytes(old), new.as_str().into())).collect();
        Ok(Self { keep, map, names: NameTransforms::new(&config.transforms)? })
    }

    /// Whether every record stays as it is.
    pub fn is_empty(&self) -> bool {
        matches!(self.keep, Keep::All) && self.map.is_empty() && self.names.is_empty()
    }

    /// Keeps, drops and renames the bins. New names are written into `names`, which the bins borrow from then on.
    ///
    /// A name that would become empty stays as it is. Of bins that end up with the same name the last one's value is
    /// kept, in the place of the first, as when a message repeats a bin. Returns how many bins were lost to that.
    pub fn apply<'n>(&self, bins: &mut Vec<Bin<'n>>, names: &'n mut Names) -> usize {
        match &self.keep {
            Keep::All => {}
            Keep::None => bins.clear(),
            Keep::Only(include) => bins.retain(|bin| include.contains(bin.name)),
            Keep::AllBut(exclude) => bins.retain(|bin| !exclude.contains(bin.name)),
        }
        if self.map.is_empty() && self.names.is_empty() {
            return 0;
        }
        names.clear();
        for (position, bin) in bins.iter().enumerate() {
            if let Some(name) = self.new_name(bin.name) {
                names.push(position, &name);
            }
        }
        if names.renamed.is_empty() {
            return 0;
        }
        let names: &'n Names = names;
        for (position, range) in &names.renamed {
            bins[*position].name = names.text[range.clone()].as_bytes();
        }
        merge(bins)
    }

    /// The name that a bin gets instead of its own.
    fn new_name<'a>(&'a self, name: &'a [u8]) -> Option<Cow<'a, str>> {
        let new = match self.map.get(name) {
            Some(new) => Cow::Borrowed(&**new),
            None => self.names.apply(str::from_utf8(name).ok()?),
        };
        (!new.is_empty() && new.as_bytes() != name).then_some(new)
    }
}

impl Names {
    const KEEP_BYTES: usize = 64 * 1024;
    const KEEP_RENAMED: usize = 4096;

    fn clear(&mut self) {
        if self.text.capacity() > Self::KEEP_BYTES || self.renamed.capacity() > Self::KEEP_RENAMED {
            *self = Self::default();
        }
        self.text.clear();
        self.renamed.clear();
    }

    fn push(&mut self, position: usize, name: &str) {
        let start = self.text.len();
        self.text.push_str(name);
        self.renamed.push((position, start..self.text.len()));
    }
}

/// Up to here an equal name is searched for among those before.
const SEARCHED_MAX: usize = 32;

/// Leaves each name once; tells how many bins that took.
fn merge(bins: &mut Vec<Bin<'_>>) -> usize {
    let mut places = (bins.len() > SEARCHED_MAX).then(HashMap::new);
    let mut kept = 0;
    for position in 0..bins.len() {
        let bin = bins[position];
        let first = match &mut places {
            Some(places) => Some(*places.entry(bin.name).or_insert(kept)).filter(|&place| place < kept),
            None => bins[..kept].iter().position(|earlier| earlier.name == bin.name),
        };
        match first {
            Some(first) => bins[first].value = bin.value,
            None => {
                bins[kept] = bin;
                kept += 1;
            }
        }
    }
    let lost = bins.len() - kept;
    bins.truncate(kept);
    lost
}

#[cfg(test)]
mod tests;
