//! The meaning of `bin-transforms`, and of the changes of names that `routing` shares.

use std::collections::{BTreeMap, BTreeSet};

use super::Meaning;
use crate::config::{
    BinTransforms, Exclude, NameTransform,
    file::{self, Filter, FilterType, Names},
    problem::{join, shorten},
};
use crate::transform::NameTransforms;

impl Meaning<'_> {
    pub(super) fn bin_transforms(&mut self, file: file::BinTransforms, path: &str) -> BinTransforms {
        let include = file.include.and_then(|filter| self.filter(filter, &join(path, "include")));
        let exclude = match file.exclude {
            None => Exclude::default(),
            Some(filter) => self.filter(filter, &join(path, "exclude")).map_or(Exclude::All, Exclude::These),
        };
        let within = join(path, "map");
        let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
        for (old, new) in &file.map {
            let path = join(&within, old);
            self.bin_name(old, &path);
            if new.is_empty() {
                self.problem(&path, "must not be empty");
            } else if let Some(other) = taken.insert(new, old) {
                let (other, new) = (shorten(other), shorten(new));
                self.warn(
                    &path,
                    format!("`{other}` becomes `{new}` too; of a record with both, the later bin counts"),
                );
            }
        }
        let transforms = self.name_transforms(file.transforms, &join(path, "transforms"));
        BinTransforms { include, exclude, map: file.map, transforms }
    }

    /// The bins of a filter; `None` is all of them.
    fn filter(&mut self, file: Filter, path: &str) -> Option<BTreeSet<String>> {
        let bins = join(path, "bins");
        match (file.r#type, file.bins) {
            (FilterType::Specified, Some(names)) => {
                let list = matches!(names, Names::Many(_));
                let names = names.into_vec();
                for (n, name) in names.iter().enumerate() {
                    self.bin_name(name, &if list { format!("{bins}[{n}]") } else { bins.clone() });
                }
                Some(names.into_iter().collect())
            }
            (FilterType::Specified, None) => {
                self.problem(&bins, "required key is missing: `type: specified` needs the names of bins");
                Some(BTreeSet::new())
            }
            (kind, names) => {
                if names.is_some() {
                    self.warn(&bins, "no effect: only `type: specified` looks at it");
                }
                (kind == FilterType::None).then(BTreeSet::new)
            }
        }
    }

    pub(super) fn name_transforms(
        &mut self,
        file: Vec<file::NameTransform>,
        path: &str,
    ) -> Vec<NameTransform> {
        // Items that were left out as broken make the numbers of the others unknown.
        let numbered = self.tree.items_at(path) == file.len();
        let at = |n: usize| if numbered { format!("{path}[{n}].regex") } else { path.to_owned() };
        let each = file.into_iter().enumerate().filter_map(|(n, step)| match step {
            file::NameTransform::Lowercase => Some(NameTransform::Lowercase),
            file::NameTransform::Uppercase => Some(NameTransform::Uppercase),
            file::NameTransform::Trim => Some(NameTransform::Trim),
            file::NameTransform::Regex(regex) => self.regex(regex, &at(n)),
        });
        each.collect()
    }

    /// `None`: reported.
    fn regex(&mut self, file: file::Regex, path: &str) -> Option<NameTransform> {
        let step = NameTransform::Regex { pattern: file.pattern, replacement: file.replacement };
        match NameTransforms::new(std::slice::from_ref(&step)) {
            Ok(_) => Some(step),
            Err(error) => {
                self.problem(path, error.to_string());
                None
            }
        }
    }
}
