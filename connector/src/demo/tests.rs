use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn quiet(records: u32) -> (DemoArgs, Screen) {
    (DemoArgs { records, rate: 0, json: true }, Screen::new(true))
}

#[test]
fn the_configuration_is_one_the_connector_takes() {
    let loaded = config::parse(&configuration(8901, 8902), Path::new("")).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    assert_eq!(loaded.config.service.ports, [8901]);
}

#[tokio::test]
async fn the_real_connector_loses_nothing() {
    let (args, mut screen) = quiet(2000);
    assert!(run_with(args, &mut screen, connector).await.unwrap());
}

#[tokio::test]
async fn a_connector_that_acknowledges_without_delivering_is_found_out() {
    let dishonest = |start: Start| async move {
        let mut shutdown = start.shutdown;
        loop {
            let (mut stream, _) = tokio::select! {
                accepted = start.listener.accept() => accepted.map_err(|error| error.to_string())?,
                _ = &mut shutdown => return Ok(()),
            };
            tokio::spawn(async move {
                let mut header = [0; 8];
                while stream.read_exact(&mut header).await.is_ok() {
                    let body_bytes = (u64::from_be_bytes(header) & 0xffff_ffff_ffff) as usize;
                    stream.read_exact(&mut vec![0; body_bytes]).await.unwrap();
                    let mut ok = [0; 30];
                    ok[..9].copy_from_slice(&[2, 3, 0, 0, 0, 0, 0, 22, 22]);
                    stream.write_all(&ok).await.unwrap();
                }
            });
        }
    };
    let (args, mut screen) = quiet(100);
    assert!(!run_with(args, &mut screen, dishonest).await.unwrap());
}

#[tokio::test]
async fn a_connector_that_ends_early_ends_the_demo() {
    let (args, mut screen) = quiet(100);
    let failing = |_| async { Err("no luck".to_owned()) };
    let error = run_with(args, &mut screen, failing).await.unwrap_err();
    assert!(error.to_string().contains("no luck"), "{error}");
}
