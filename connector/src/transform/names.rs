//! Steps that change a name: bins' names, and what a record is routed by.

use std::borrow::Cow;

use super::{TransformError, regex::Replace};
use crate::config::NameTransform;

/// Steps that change a name, compiled. Applied in order.
#[derive(Clone, Debug, Default)]
pub struct NameTransforms {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Lowercase,
    Uppercase,
    Trim,
    Replace(Replace),
}

impl NameTransforms {
    /// Compiles the steps. Patterns and replacements are read as Java reads them, as far as the engine here can: it
    /// takes time in proportion to the text, whatever the pattern, and so knows neither look-around nor
    /// back-references.
    pub fn new(steps: &[NameTransform]) -> Result<Self, TransformError> {
        let step = |step: &NameTransform| {
            Ok(match step {
                NameTransform::Lowercase => Step::Lowercase,
                NameTransform::Uppercase => Step::Uppercase,
                NameTransform::Trim => Step::Trim,
                NameTransform::Regex { pattern, replacement } => {
                    Step::Replace(Replace::new(pattern, replacement)?)
                }
            })
        };
        Ok(Self { steps: steps.iter().map(step).collect::<Result<_, _>>()? })
    }

    /// The name after all steps; borrowed as long as nothing has to be written.
    pub fn apply<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.steps.iter().fold(Cow::Borrowed(name), |name, step| match name {
            Cow::Borrowed(name) => step.apply(name),
            Cow::Owned(name) => match step.apply(&name) {
                Cow::Borrowed(same) if same.len() == name.len() => Cow::Owned(name),
                changed => Cow::Owned(changed.into_owned()),
            },
        })
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Step {
    fn apply<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match self {
            Self::Lowercase if !name.is_ascii() => Cow::Owned(name.to_lowercase()),
            Self::Lowercase if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
                Cow::Owned(name.to_ascii_lowercase())
            }
            Self::Uppercase if !name.is_ascii() => Cow::Owned(name.to_uppercase()),
            Self::Uppercase if name.bytes().any(|byte| byte.is_ascii_lowercase()) => {
                Cow::Owned(name.to_ascii_uppercase())
            }
            Self::Lowercase | Self::Uppercase => Cow::Borrowed(name),
            // What Java's `trim` takes: the space and every control character before it, nothing beyond.
            Self::Trim => Cow::Borrowed(name.trim_matches(|letter| letter <= ' ')),
            Self::Replace(replace) => replace.apply(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str, replacement: &str) -> NameTransform {
        NameTransform::Regex { pattern: pattern.to_owned(), replacement: replacement.to_owned() }
    }

    #[test]
    fn steps() {
        use NameTransform::{Lowercase, Trim, Uppercase};
        let cases: &[(&[NameTransform], &str, &str)] = &[
            (&[], "Name", "Name"),
            (&[Lowercase], "Name-\u{c4}", "name-\u{e4}"),
            (&[Uppercase], "name-\u{e4}\u{df}", "NAME-\u{c4}SS"),
            (&[Lowercase], "name", "name"),
            (&[Trim], " \t\u{1}a b\n ", "a b"),
            (&[Trim], "\u{a0}a\u{a0}", "\u{a0}a\u{a0}"),
            (&[Trim], "  ", ""),
            // Order matters.
            (&[Uppercase, regex("[^A-Z0-9_]", "_")], "unit-price", "UNIT_PRICE"),
            (&[regex("[^A-Z0-9_]", "_"), Uppercase], "unit-price", "__________"),
            (&[regex("^", " "), Trim, Uppercase], "a", "A"),
            (&[Uppercase, Trim], " a ", "A"),
        ];
        for (steps, name, expected) in cases {
            let transforms = NameTransforms::new(steps).expect("sound");
            assert_eq!(transforms.apply(name), *expected, "{steps:?} on {name:?}");
            assert_eq!(transforms.is_empty(), steps.is_empty());
        }
    }

    #[test]
    fn what_stays_the_same_is_not_copied() {
        let steps = [NameTransform::Uppercase, NameTransform::Trim, regex("x", "y")];
        let transforms = NameTransforms::new(&steps).expect("sound");
        assert!(matches!(transforms.apply("SAME"), Cow::Borrowed("SAME")));
        assert!(matches!(transforms.apply(" SAME "), Cow::Borrowed("SAME")));
    }
}
