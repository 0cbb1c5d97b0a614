//! What the connector says of itself at its management endpoint, and whether that stays within its bounds.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    events::Events,
    network::{CONNECTOR, Network},
    scenario::{Fault, Reload, Scenario},
};

const WHO_ASKS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 9, 1));

pub struct Bounds {
    /// Not where a reload lowers it: what is in process stays.
    checks_window: bool,
    /// By destination, records that may wait.
    queued: Vec<(String, u64)>,
}

impl Bounds {
    pub fn of(scenario: &Scenario) -> Self {
        let lowers = |(_, fault): &(Duration, Fault)| matches!(fault, Fault::Reload(Reload::Window(_)));
        let destinations = scenario.config["destinations"].as_object().into_iter().flatten();
        let queued = destinations.map(|(name, settings)| {
            let each = settings["max-request-queued-per-endpoint"].as_u64().unwrap_or(u64::MAX);
            (name.clone(), each * settings["urls"].as_array().map_or(1, |urls| urls.len() as u64))
        });
        Self { checks_window: !scenario.faults.iter().any(lowers), queued: queued.collect() }
    }

    /// Asks once, if anybody answers.
    pub async fn check(&self, network: &Network, events: &Events) {
        let Ok(Some(said)) = timeout(Duration::from_secs(1), ask(network)).await else { return };
        let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
        let window = &said["window"];
        let (records, bytes) = (number(&window["records"]), number(&window["bytes"]));
        let (records_max, bytes_max) = (number(&window["records-limit"]), number(&window["bytes-limit"]));
        if self.checks_window && (records > records_max || bytes > bytes_max && records > 1) {
            events.violated(&format_args!(
                "{records} records of {bytes} bytes are in process, {records_max} of {bytes_max} are allowed"
            ));
        }
        for (name, most) in &self.queued {
            let queued = number(&said["destinations"][name]["queued"]);
            if queued > *most {
                events.violated(&format_args!("{queued} records wait for {name}, {most} may"));
            }
        }
    }
}

async fn ask(network: &Network) -> Option<Value> {
    let end = network.connect(WHO_ASKS, SocketAddr::new(CONNECTOR, 8902)).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(end)).await.ok()?;
    let request =
        Request::get("/manage/rest/v1/metrics").header("host", "sim").body(Empty::<Bytes>::new()).ok()?;
    let answer = async {
        let answer = sender.send_request(request).await.ok()?;
        serde_json::from_slice(&answer.into_body().collect().await.ok()?.to_bytes()).ok()
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        _ = connection => None,
    }
}
