//! The meaning of `dead-letter`: where records go that a destination does not take.

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

    /// A place for dead letters has none itself: a letter that went on from place to place would end nowhere.
    pub(super) fn chains(&mut self, config: &Config) {
        for (name, destination) in &config.destinations {
            let Some(DeadLetter::To(place)) = &destination.dead_letter else { continue };
            let Some(place_settings) = config.destinations.get(place) else { continue };
            if place_settings.dead_letter.is_some() {
                let path = join(&join("destinations", place), "dead-letter");
                let message = format!(
                    "`{place}` takes the dead letters of `{name}` and can have none itself: what it does not take is held; \
                     leave this out, or give `{name}` another place"
                );
                self.problem(&path, message);
            }
        }
    }
}
