//! Settings made from files, and made again when the files change.
//!
//! Invariant: there are always settings that were whole when they were read. A set of files that cannot be used
//! leaves the ones before in place, and is complained about once.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::Identity;
use crate::{BuildError, world};

/// How often files are looked at, unless told otherwise. What changes is used after two looks.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// What [`Reloading`] makes of its files: the settings, and whose certificate is in them.
pub type Built<C> = (C, Option<Identity>);

type Build<C> = dyn Fn() -> Result<Built<C>, BuildError> + Send + Sync;

/// Settings of type `C` and the files they come from.
pub struct Reloading<C> {
    of: String,
    files: Vec<PathBuf>,
    build: Box<Build<C>>,
    current: RwLock<(Arc<C>, Option<Identity>)>,
    seen: Mutex<Seen>,
}

/// What the files looked like.
#[derive(Default)]
struct Seen {
    /// When they were last read.
    read: Vec<Option<Stamp>>,
    content: u64,
    /// At the last look.
    last: Vec<Option<Stamp>>,
}

/// Changes with every write and every exchange of a file, also behind links, as a mounted Kubernetes secret has.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

impl<C: Send + Sync + 'static> Reloading<C> {
    /// Reads the files for the first time. `of` says in the log whose settings these are.
    pub fn new(
        of: String,
        files: Vec<PathBuf>,
        build: impl Fn() -> Result<Built<C>, BuildError> + Send + Sync + 'static,
    ) -> Result<Self, BuildError> {
        // Before they are read: what is written meanwhile must show as a change.
        let read = stamps(&files);
        let content = content(&files);
        let (config, identity) = build()?;
        let seen = Mutex::new(Seen { last: read.clone(), read, content });
        Ok(Self {
            of,
            files,
            build: Box::new(build),
            current: RwLock::new((Arc::new(config), identity)),
            seen,
        })
    }

    /// The settings for a new connection.
    pub fn current(&self) -> Arc<C> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Whose certificate is in them.
    pub fn identity(&self) -> Option<Identity> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Looks at the files `every` so often. Runs until dropped, or at once to its end where there are no files.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        if self.files.is_empty() {
            return;
        }
        self.tell_dates();
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let this = Arc::clone(&self);
            // A folder may be on a network, and a disk may be slow.
            match world::blocking(move || this.look()).await {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => {
                    let certificate = self.identity().map_or_else(|| "none".to_owned(), |it| it.to_string());
                    info!(of = self.of, certificate, "TLS files changed; new connections use them");
                    self.tell_dates();
                }
                Ok(Err(BuildError { key, problem })) => warn!(
                    of = self.of,
                    "TLS files changed and cannot be used, those read before stay in use: {key}: {problem}"
                ),
                Err(error) => warn!(of = self.of, %error, "looking at TLS files failed; trying again"),
            }
        }
    }

    /// One look. Files that are not as they were are read once they have been the same for two looks: certificate and
    /// key are written one after the other. True when new settings are in use.
    fn look(&self) -> Result<bool, BuildError> {
        let now = stamps(&self.files);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now == seen.read {
            return Ok(false);
        }
        if now != seen.last {
            seen.last = now;
            return Ok(false);
        }
        let content = content(&self.files);
        seen.read = now;
        if content == std::mem::replace(&mut seen.content, content) {
            return Ok(false);
        }
        drop(seen);
        let (config, identity) = (self.build)()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(config), identity);
        Ok(true)
    }

    fn tell_dates(&self) {
        if let Some(complaint) = self.identity().and_then(|identity| identity.complaint(SystemTime::now())) {
            warn!(of = self.of, "{complaint}");
        }
    }
}

impl<C> std::fmt::Debug for Reloading<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloading").field("of", &self.of).field("files", &self.files).finish_non_exhaustive()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |file: &PathBuf| {
        let about = fs::metadata(file).ok()?;
        Some(Stamp {
            device: about.dev(),
            inode: about.ino(),
            bytes: about.len(),
            modified_ns: (about.mtime(), about.mtime_nsec()),
            changed_ns: (about.ctime(), about.ctime_nsec()),
        })
    };
    files.iter().map(stamp).collect()
}

/// Tells one content from another without keeping a key in memory for it.
fn content(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        let mut bytes = Vec::new();
        let read = fs::File::open(file).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
        (read.is_ok(), bytes).hash(&mut hasher);
    }
    hasher.finish()
}

/// Beyond any bundle of certificates; a mistaken path may lead to something endless.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use super::*;

    fn text_of(file: &Path) -> Reloading<String> {
        let path = file.to_owned();
        Reloading::new("test".to_owned(), vec![path.clone()], move || {
            let text = fs::read_to_string(&path)
                .map_err(|error| super::super::pem::problem("file", error.to_string()))?;
            if text.contains("bad") {
                return Err(super::super::pem::problem("file", "bad"));
            }
            Ok((text, None))
        })
        .unwrap()
    }

    /// As many looks as it takes to act on a change.
    fn look(reloading: &Reloading<String>) -> String {
        let (_, _) = (reloading.look(), reloading.look());
        reloading.current().to_string()
    }

    #[test]
    fn a_change_is_used_once_it_has_settled_and_a_bad_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "one").unwrap();
        let reloading = text_of(&file);
        assert_eq!(look(&reloading), "one");

        fs::write(&file, "two").unwrap();
        assert!(!reloading.look().unwrap(), "the other file may not be written yet");
        assert_eq!(*reloading.current(), "one");
        assert!(reloading.look().unwrap());
        assert_eq!(*reloading.current(), "two");

        fs::write(&file, "bad").unwrap();
        assert!(!reloading.look().unwrap());
        assert!(reloading.look().is_err());
        assert!(!reloading.look().unwrap(), "told once");
        assert_eq!(*reloading.current(), "two");
        fs::remove_file(&file).unwrap();
        assert_eq!(look(&reloading), "two");
        fs::write(&file, "three").unwrap();
        assert_eq!(look(&reloading), "three");
    }

    #[test]
    fn the_same_content_again_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "one").unwrap();
        let reloading = text_of(&file);
        let before = reloading.current();
        fs::write(&file, "one").unwrap();
        look(&reloading);
        assert!(Arc::ptr_eq(&before, &reloading.current()));
    }

    #[test]
    fn a_folder_exchanged_behind_a_link_is_seen() {
        // What a kubelet does: the file is a link into `..data`, a link that is replaced in one step.
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a"), text).unwrap();
        }
        symlink("v1", at("..data")).unwrap();
        symlink("..data/a", at("a")).unwrap();
        let reloading = text_of(&at("a"));
        assert_eq!(look(&reloading), "one");
        symlink("v2", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        assert_eq!(look(&reloading), "two");
    }
}
