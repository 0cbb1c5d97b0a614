//! The meaning of `dead-letter`: where records go that a destination does not take.

use std::collections::BTreeSet;

use super::Meaning;
use crate::config::{Config, DeadLetter, problem::join};

/// What is written instead of a destination's name to give records up.
const DROP: &str = "drop";

impl Meaning<'_> {
    /// `place` is what stands at the destination `name`.
    pub(super) fn dead_letter(&mut self, name: &str, place: &str) -> Option<DeadLetter> {
        let path = join(&join("destinations", name), "dead-letter");
        if place == DROP {
            if self.names.contains(DROP) {
                let message = "`drop` gives records up; call the destination of that name something else";
                self.problem(&path, message);
                return None;
            }
            let message = "records that no retry can help are given up: XDR will not ship them again, and they are kept \
                           nowhere; name a destination instead, such as one of `type: file`";
            self.warn(&path, message);
            return Some(DeadLetter::Drop);
        }
        if place == name {
            let message = "names the destination itself, which does not take these records; name another one, such as one of \
                           `type: file`";
            self.problem(&path, message);
            return None;
        }
        if !self.names.contains(place) && place.contains(['/', '.']) {
            let message = "expected the name of a destination; for a file add one of `type: file` and write its name here";
            self.problem(&path, message);
            return None;
        }
        self.known(place, &path);
        Some(DeadLetter::To(place.to_owned()))
    }

    /// A dead letter does not go on from place to place: one that its place does not take is held.
    pub(super) fn chains(&mut self, config: &Config) {
        let routed: BTreeSet<&str> =
            config.scopes().flat_map(|scope| config.effective(scope).destinations()).collect();
        let places: BTreeSet<&String> = config
            .destinations
            .values()
            .filter_map(|destination| match &destination.dead_letter {
                Some(DeadLetter::To(place)) => Some(place),
                Some(DeadLetter::Drop) | None => None,
            })
            .collect();
        for place in places.into_iter().filter(|place| !routed.contains(place.as_str())) {
            if config.destinations.get(place).is_some_and(|place| place.dead_letter.is_some()) {
                let message =
                    "has no effect: no route comes here, and a dead letter that is not taken here is held";
                self.warn(&join(&join("destinations", place), "dead-letter"), message);
            }
        }
    }
}
