//! Disks that are full or read-only, and files that may not grow: in a child that may mount one, or that is held to a limit.

use std::{collections::BTreeSet, env, fs, io::Write as _, path::Path, process::Command};

use adapters::{Cause, Class, Report, SharedTarget};

use super::{deliver, files, found, target};

/// Set for a child: the folder to work in.
const DISK: &str = "FILE_TEST_DISK";
const LIMITED: &str = "FILE_TEST_LIMITED";

fn child(script: &str, test: &str, variable: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(variable, folder);
    command
}

#[test]
fn a_full_disk_confirms_nothing_and_is_used_again_when_it_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let mount = "mount -t tmpfs -o size=256k,mode=0700 tmpfs \"$FILE_TEST_DISK\" || exit 77; exec \"$@\"";
    let script = format!("exec unshare --user --map-root-user --mount sh -c '{mount}' sh \"$@\" || exit 77");
    let output = child(&script, "full::on_a_small_disk", DISK, folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || text.contains("unshare failed") {
        let _ = writeln!(std::io::stderr(), "SKIPPED, a test that mounts a disk of its own: {text}");
        return;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn on_a_small_disk() {
    let Ok(disk) = env::var(DISK) else { return };
    let disk = Path::new(&disk);
    let orders = target(&disk.join("orders"));
    let ballast = disk.join("ballast");
    let mut confirmed = BTreeSet::new();
    let mut next = 0;
    fs::create_dir_all(disk.join("orders")).unwrap();
    fs::write(&ballast, vec![0; 100_000]).unwrap();
    for round in 0..5 {
        let full = fill(&orders, &mut next, &mut confirmed).await;
        assert_eq!(full, Report::failed(Class::Transient, Cause::Storage));
        let same: Vec<u64> = (next - 7..next).collect();
        for _ in 0..10 {
            assert_eq!(deliver(&orders, &same).await, full);
        }
        check(disk, &confirmed);
        if round == 0 {
            fs::remove_file(&ballast).unwrap();
        } else {
            let (oldest, content) = files(&disk.join("orders")).pop_first().unwrap();
            fs::remove_file(disk.join("orders").join(&oldest)).unwrap();
            for line in content.lines() {
                let number = line["{\"number\":".len()..].split(',').next().unwrap().parse().unwrap();
                confirmed.remove(&number);
            }
        }
        assert_eq!(deliver(&orders, &[next]).await, Report::delivered(None));
        confirmed.insert(next);
        next += 1;
        check(disk, &confirmed);
    }
    drop(orders);
    check(disk, &confirmed);
    assert!(files(&disk.join("orders")).keys().all(|name| name.ends_with(".ndjson")));

    remount(disk, "ro");
    let orders = target(&disk.join("orders"));
    assert_eq!(deliver(&orders, &[next]).await, Report::failed(Class::Hold, Cause::Storage));
    let failure = orders.probe().await.unwrap_err();
    assert!(failure.to_string().contains("Read-only"), "{failure}");
    remount(disk, "rw");
    assert_eq!(deliver(&orders, &[next]).await, Report::delivered(None));
}

/// Delivers batches of several pages until one is not confirmed.
async fn fill(orders: &SharedTarget, next: &mut u64, confirmed: &mut BTreeSet<u64>) -> Report {
    for _ in 0..1000 {
        let numbers: Vec<u64> = (*next..*next + 7).collect();
        *next += 7;
        let report = deliver(orders, &numbers).await;
        if report.class != Class::Done {
            return report;
        }
        confirmed.extend(numbers);
    }
    panic!("a disk that is never full");
}

fn check(disk: &Path, confirmed: &BTreeSet<u64>) {
    // Strict even for the file that is open: a failed write leaves nothing behind.
    let files = files(&disk.join("orders"));
    assert!(files.values().all(|content| content.is_empty() || content.ends_with('\n')), "a torn line");
    let found: BTreeSet<u64> = found(&disk.join("orders")).into_keys().collect();
    assert_eq!(found, *confirmed);
}

fn remount(disk: &Path, how: &str) {
    let status = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(disk).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_file_that_may_not_grow_is_followed_by_another() {
    let folder = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes. Without the trap, the system would end the process.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    let output = child(script, "full::under_a_limit", LIMITED, folder.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    let found = found(folder.path());
    assert_eq!(found.into_iter().collect::<Vec<_>>(), (0..40).map(|number| (number, 1)).collect::<Vec<_>>());
    assert!(files(folder.path()).len() > 5);
}

#[tokio::test]
async fn under_a_limit() {
    let Ok(folder) = env::var(LIMITED) else { return };
    let orders = target(Path::new(&folder));
    for number in 0..40 {
        assert_eq!(deliver(&orders, &[number]).await, Report::delivered(None));
        if number % 10 == 0 {
            let too_large: Vec<u64> = (1000..1012).collect();
            assert_eq!(deliver(&orders, &too_large).await.class, Class::Transient);
        }
    }
}
