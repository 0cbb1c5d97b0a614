//! A folder that is taken away, that is none, that somebody else writes to, and what the last run left in it.

use std::fs;

use adapters::{Cause, Class, Report};

use super::{deliver, files, found, record, target};

#[tokio::test]
async fn what_is_deleted_while_it_is_written_to_confirms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders");
    let orders = target(&path);
    let open = || path.join(files(&path).pop_first().unwrap().0);
    assert_eq!(deliver(&orders, &[1]).await, Report::delivered(None));

    fs::remove_dir_all(&path).unwrap();
    assert_eq!(deliver(&orders, &[2]).await, Report::delivered(None));
    assert_eq!(found(&path).into_keys().collect::<Vec<_>>(), [2], "in a folder made anew");

    fs::remove_file(open()).unwrap();
    assert_eq!(deliver(&orders, &[3]).await, Report::delivered(None));
    assert_eq!(found(&path).into_keys().collect::<Vec<_>>(), [3]);

    fs::rename(open(), path.join("taken.open")).unwrap();
    assert_eq!(deliver(&orders, &[4]).await, Report::delivered(None));
    fs::remove_file(path.join("taken.open")).unwrap();
    assert_eq!(found(&path).into_keys().collect::<Vec<_>>(), [4]);

    fs::OpenOptions::new().write(true).open(open()).unwrap().set_len(0).unwrap();
    assert_eq!(deliver(&orders, &[5]).await, Report::delivered(None));
    let counts = found(&path);
    assert!(counts[&5] >= 1, "{counts:?}");
}

#[tokio::test]
async fn one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (target(folder.path()), target(folder.path()));
    assert_eq!(deliver(&first, &[1]).await, Report::delivered(None));
    let refused = deliver(&second, &[2]).await;
    assert_eq!(refused, Report::failed(Class::Hold, Cause::Storage));
    let words = second.probe().await.unwrap();
    assert!(words.contains("a connector is writing there now as orders"), "{words}");
    drop(first);
    assert_eq!(deliver(&second, &[2]).await, Report::delivered(None));
    assert_eq!(found(folder.path()).into_keys().collect::<Vec<_>>(), [1, 2]);

    // The lock file taken away, another writer may begin; the first notices before it begins another file.
    fs::remove_file(folder.path().join(".orders.lock")).unwrap();
    let third = target(folder.path());
    assert_eq!(deliver(&third, &[3]).await, Report::delivered(None));
    fs::remove_file(folder.path().join(files(folder.path()).pop_last().unwrap().0)).unwrap();
}

#[tokio::test]
async fn what_is_no_folder_waits_for_an_operator() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders");
    fs::write(&path, "").unwrap();
    let orders = target(&path);
    assert_eq!(deliver(&orders, &[1]).await, Report::failed(Class::Hold, Cause::Storage));
    let failure = orders.probe().await.unwrap_err();
    assert_eq!(failure.missing, "address", "{failure}");
    assert!(failure.found.contains("orders"), "{failure}");
    fs::remove_file(&path).unwrap();
    assert_eq!(deliver(&orders, &[1]).await, Report::delivered(None));
}

#[tokio::test]
async fn a_probe_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c");
    let orders = target(&path);
    let words = orders.probe().await.unwrap();
    assert!(words.contains("not there yet, and can be made"), "{words}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::create_dir_all(&path).unwrap();
    let words = orders.probe().await.unwrap();
    assert!(words.ends_with("can be written to"), "{words}");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_run_left_open_is_finished_by_the_next_without_its_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let name = |number: u32| format!("orders-20991122T074500.123Z-{number:06}.ndjson");
    let write = |file: &str, content: &str| fs::write(folder.path().join(file), content).unwrap();
    let (one, two) = (record(1), record(2));
    write(&format!("{}.open", name(1)), &format!("{one}\n{two}\n{{\"number\":3,"));
    write(&format!("{}.open", name(2)), "{\"number\":");
    write(&format!("{}.open", name(3)), "");
    // Beyond the piece that is read at a time, from behind.
    let long = "y".repeat(200_000);
    write(&format!("{}.open", name(4)), &format!("{one}\n{long}"));
    write(&name(5), &format!("{two}\n"));

    let orders = target(folder.path());
    assert_eq!(deliver(&orders, &[4]).await, Report::delivered(None));
    drop(orders);
    let files = files(folder.path());
    assert_eq!(
        files.keys().cloned().collect::<Vec<_>>(),
        [1, 4, 5, 6].map(name),
        "the clock is behind the names"
    );
    assert_eq!(files[&name(1)], format!("{one}\n{two}\n"));
    assert_eq!(files[&name(4)], format!("{one}\n"));
    assert_eq!(files[&name(6)], format!("{}\n", record(4)));
}

#[tokio::test]
async fn a_path_is_needed() {
    let config: adapters::file::Config = serde_json::from_str("{\"path\": \"\"}").unwrap();
    let error = adapters::TargetConfig::File(config).build("orders").unwrap_err();
    assert_eq!(error.to_string(), "path: empty; expected the path of a folder");
}
