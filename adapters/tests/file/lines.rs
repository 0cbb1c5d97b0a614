//! What is written, where, and when another file is begun.

use std::{fs, num::NonZeroUsize, os::unix::fs::PermissionsExt as _};

use adapters::{Class, Payload, Report};
use bytes::Bytes;

use super::{batch, deliver, files, found, record, rotated, target};

#[tokio::test]
async fn records_are_lines_and_the_name_tells_when_a_file_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/when missing");
    let orders = target(&path);
    assert!(!path.exists(), "nothing is made before it is needed");
    assert_eq!(deliver(&orders, &[1, 2]).await, Report::delivered(None));
    assert_eq!(deliver(&orders, &[3]).await, Report::delivered(None));
    let before = files(&path);
    let (open, content) = before.first_key_value().unwrap();
    assert_eq!(*content, format!("{}\n{}\n{}\n", record(1), record(2), record(3)));
    drop(orders);
    let (name, finished) = files(&path).pop_first().unwrap();
    assert_eq!((format!("{name}.open"), &finished), (open.clone(), content));
    assert!(name.starts_with("orders-2") && name.ends_with("Z-000001.ndjson"), "{name}");

    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path.join(&name)), 0o600);
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o700));

    // Another run begins another file, whose name sorts after.
    let orders = target(&path);
    assert_eq!(deliver(&orders, &[4]).await, Report::delivered(None));
    drop(orders);
    let after = files(&path);
    assert_eq!(after[&name], finished);
    let (last, content) = after.last_key_value().unwrap();
    assert!(*last > name && last.ends_with("-000002.ndjson"), "{last}");
    assert_eq!(*content, format!("{}\n", record(4)));
}

#[tokio::test]
async fn binary_bodies_are_lines_too() {
    let folder = tempfile::tempdir().unwrap();
    let orders = target(folder.path());
    let body = Bytes::from_static(b"\x93\x01\n\x02");
    let count = NonZeroUsize::new(2).unwrap();
    let payload = Payload { body, content_type: "application/x-msgpack".into(), count, request: None };
    assert_eq!(orders.deliver(&payload).await, Report::delivered(None));
    let (_, content) = files(folder.path()).pop_first().unwrap();
    assert_eq!(content, "{\"base64\":\"kwEKAg==\",\"content-type\":\"application/x-msgpack\",\"count\":2}\n");
}

#[tokio::test]
async fn a_new_file_is_begun_by_size_and_the_oldest_go_only_when_asked() {
    for (max_files, kept) in [(None, 10), (Some(3), 3), (Some(1), 1)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("orders-of-somebody-else.ndjson"), "").unwrap();
        let line = record(1).len() as u64 + 1;
        let orders = rotated(folder.path(), line * 2, max_files);
        for _ in 0..20 {
            assert_eq!(deliver(&orders, &[1]).await, Report::delivered(None));
        }
        drop(orders);
        fs::remove_file(folder.path().join("orders-of-somebody-else.ndjson")).unwrap();
        let files = files(folder.path());
        assert_eq!(files.len(), kept);
        assert!(files.values().all(|content| content.len() as u64 == line * 2));
        let last = files.last_key_value().unwrap().0;
        assert!(last.ends_with("-000010.ndjson"), "{last}: the newest is kept");
    }
}

#[tokio::test]
async fn a_batch_larger_than_a_file_has_one_for_itself() {
    let folder = tempfile::tempdir().unwrap();
    let orders = rotated(folder.path(), 10, None);
    for _ in 0..3 {
        assert_eq!(deliver(&orders, &[1, 2, 3]).await, Report::delivered(None));
    }
    drop(orders);
    assert_eq!(files(folder.path()).len(), 3);
    assert_eq!(found(folder.path()).into_values().collect::<Vec<_>>(), [3, 3, 3]);
}

#[tokio::test]
async fn many_who_wait_share_a_sync_and_all_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let orders = target(folder.path());
    let payloads: Vec<Payload> = (0..500).map(|number| batch(&[number])).collect();
    let reports =
        futures_util::future::join_all(payloads.iter().map(|payload| orders.deliver(payload))).await;
    assert!(reports.iter().all(|report| report.class == Class::Done));
    drop(orders);
    assert_eq!(
        found(folder.path()).into_iter().collect::<Vec<_>>(),
        (0..500).map(|n| (n, 1)).collect::<Vec<_>>()
    );
}
