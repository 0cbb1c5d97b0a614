//! What the parts of the connector take from the configuration.

use std::{net::SocketAddr, num::NonZeroUsize};

use adapters::TargetConfig;

use crate::{
    config::{self, Config, Destination, Service},
    connection::Limits,
    lane,
    retry::RetryPolicy,
    wire::info::{self as wire_info, NodeFacts},
};

/// Requests at once to one destination, whatever connections and streams would allow.
const WORKERS_MAX: usize = 1024;

/// The build that info answers name: a server version all clients accept.
const BUILD: &str = "8.1.0.0";

/// Limits of a lane, but for its batches.
pub(super) fn lane_limits(
    destination: &Destination,
    concurrency: NonZeroUsize,
    service: &Service,
) -> lane::Limits {
    let workers = destination.workers.map_or(concurrency, |workers| workers.min(concurrency));
    lane::Limits {
        workers: workers.get().min(WORKERS_MAX),
        batch_max: 1,
        held_max: destination.max_queued.min(service.max_concurrent_records.get()),
        held_bytes_max: service.max_concurrent_bytes.get(),
        retry: RetryPolicy::new(destination.max_attempts),
        give_up_on: give_up_on(&destination.target),
    }
}

/// `http-permanent-status-codes`.
fn give_up_on(target: &TargetConfig) -> Vec<u16> {
    let codes = match target {
        TargetConfig::AwsLambda(lambda) => Some(&lambda.http_permanent_status_codes),
        other => config::http_settings(other).map(|http| &http.http_permanent_status_codes),
    };
    codes.cloned().unwrap_or_default()
}

/// Limits of connections.
pub(super) fn limits(service: &Service) -> Limits {
    Limits {
        frame_bytes_max: service.max_frame_bytes,
        read_bytes: service.receive_buffer_bytes,
        ack_buffering: service.ack_buffering,
        accept_client_writes: service.accept_client_writes,
    }
}

/// What the connector says of itself to info requests. Every configured namespace is served, so that a client that
/// insists on finding a cluster finds one.
pub(super) fn facts(config: &Config, address: SocketAddr) -> NodeFacts {
    NodeFacts {
        node_id: wire_info::node_id(&address.to_string()),
        build: BUILD.to_owned(),
        cluster_name: config.service.cluster_name.clone(),
        namespaces: config.namespaces.keys().cloned().collect(),
        address,
    }
}
