//! `esp-connector health`, as a container's health check calls it.

use std::{net::SocketAddr, process::Output};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::spawn_blocking,
};

use crate::harness::{Folder, Process, binary, command, service};

async fn health(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = binary();
    command.arg("health").args(arguments);
    let Output { status, stdout, stderr } = spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// A server that takes one request and answers `answer`, or closes without one.
async fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_connector_is_well() {
    let folder = Folder::with(&service(""));
    let mut process = Process::start(binary().args(["run", "--config"]).arg(folder.config()));
    let manage = process.address("listening for management requests").await;
    let url = format!("http://{manage}");
    assert_eq!(health(&["--url", &url]).await, (Some(0), "{\"alive\":true}\n".to_owned()));
    assert_eq!(health(&["--url", &url, "--ready"]).await, (Some(0), "{\"ready\":true}\n".to_owned()));
    // From the file that says where the endpoint is.
    let config = folder.path().join("known.yml");
    std::fs::write(&config, format!("service: {{manage: {{port: {}}}}}\n", manage.port())).unwrap();
    assert_eq!(health(&["--config", config.to_str().unwrap()]).await.0, Some(0));
    process.terminate();
    assert_eq!(process.end().await.code(), Some(0));
    let (code, said) = health(&["--url", &url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&url) && said.contains("refused"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_well_ends_with_1_and_says_why() {
    let reason = "{\"ready\":false,\"reason\":\"destination orders (hold)\"}";
    let answer =
        format!("HTTP/1.1 503 Service Unavailable\r\nContent-Length: {}\r\n\r\n{reason}", reason.len());
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n{}", "x".repeat(100_000));
    for (answer, parts) in [
        (answer, ["503", "destination orders"]),
        (String::new(), ["/readyz", "connection"]),
        ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), ["/readyz", "invalid HTTP"]),
        (large, ["/readyz", "limit"]),
    ] {
        let url = format!("http://{}", server(answer.leak()).await);
        let (code, said) = health(&["--ready", "--url", &url]).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} are not in {said}");
        assert!(said.len() < 1_000, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (code, said) = health(&["--timeout-seconds", "1", "--url", &url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no answer within 1 s"), "{said}");
}

#[test]
fn a_file_that_does_not_say_where_to_ask_ends_with_64() {
    for (config, part) in
        [("service: {port: 8901}", "service.manage is missing"), ("service: {prot: 8901}", "prot")]
    {
        let folder = Folder::with(config);
        let output = command(["health".as_ref(), "--config".as_ref(), folder.config().as_os_str()]);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(part) && said.contains("connector.yml"), "{said}");
    }
    let output = command(["health", "--url", "https://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
}
