//! Whether files could be written, found out without leaving a trace: an operator may ask as another user.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{
    fault::Fault,
    folder::{lock_path, make, private},
};
use crate::{Class, ProbeFailure};

/// What would become of a write to `folder`, in words.
pub(super) fn run(folder: &Path, prefix: &str) -> Result<String, ProbeFailure> {
    let shown = folder.display();
    let missing = missing(folder);
    let result = make(folder)
        .map_err(|error| failure("cannot make", folder, &error))
        .and_then(|()| write_and_remove(folder, prefix));
    // The innermost first. One that is not empty any more is somebody else's.
    missing.iter().for_each(|made| drop(fs::remove_dir(made)));
    result?;
    Ok(match (missing.is_empty(), is_locked(&lock_path(folder, prefix))) {
        (false, _) => format!("folder {shown} is not there yet, and can be made and written to"),
        (true, true) => {
            format!(
                "folder {shown} can be written to; a connector is writing there now as {prefix}, and a second one would be refused"
            )
        }
        (true, false) => format!("folder {shown} can be written to"),
    })
}

/// The folders that a write would make, the innermost first.
fn missing(folder: &Path) -> Vec<PathBuf> {
    let named = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
    named.take_while(|path| fs::symlink_metadata(path).is_err()).map(Path::to_owned).collect()
}

fn write_and_remove(folder: &Path, prefix: &str) -> Result<(), ProbeFailure> {
    let path = folder.join(format!(".{prefix}.probe-{}", std::process::id()));
    let file = private().create_new(true).open(&path);
    let mut file = file.map_err(|error| failure("cannot write to", folder, &error))?;
    let written = file.write_all(b"probe\n").and_then(|()| file.sync_all());
    let removed = fs::remove_file(&path);
    written.and(removed).map_err(|error| failure("cannot write to", folder, &error))
}

fn is_locked(path: &Path) -> bool {
    let lock = OpenOptions::new().read(true).open(path);
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

fn failure(what: &str, folder: &Path, error: &io::Error) -> ProbeFailure {
    let fault = Fault::new(&format!("{what} folder {}", folder.display()), error);
    let missing = match error.kind() {
        io::ErrorKind::PermissionDenied => "permission",
        _ if fault.class == Class::Hold => "address",
        _ => "connection",
    };
    ProbeFailure { missing, found: fault.text }
}
