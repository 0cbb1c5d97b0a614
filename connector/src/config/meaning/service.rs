//! The meaning of `service`: ports merged, and ports and addresses that contradict each other.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::Meaning;
use crate::config::{
    Incoming, Manage, PortConfig, Service,
    file::{self, OneOrMany},
    problem::{join, shorten},
};

/// The ports of one listener, as the file has them.
struct Sockets {
    /// Where they stand.
    path: &'static str,
    /// What they are for.
    what: &'static str,
    addresses: Vec<String>,
    ports: Vec<u16>,
}

impl Sockets {
    fn new(
        path: &'static str,
        what: &'static str,
        addresses: &OneOrMany<String>,
        ports: Option<&OneOrMany<u16>>,
    ) -> Self {
        let ports = ports.cloned().map_or_else(Vec::new, OneOrMany::into_vec);
        Self { path, what, addresses: addresses.clone().into_vec(), ports }
    }

    /// Whether some address of one is also one of the other.
    fn meet(&self, other: &Self) -> bool {
        let wildcard = |address: &String| address.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        self.addresses.iter().any(|address| wildcard(address) || other.addresses.contains(address))
            || other.addresses.iter().any(wildcard)
    }
}

impl Meaning<'_> {
    pub(super) fn service(&mut self, mut file: file::Service, ports: &BTreeMap<u16, PortConfig>) -> Service {
        let given = |key: &str| {
            self.tree.get("service").and_then(|service| service.get(key)).is_some_and(|node| !node.is_null())
        };
        let only_tls = given("tls") && !given("port");
        if file.max_concurrent_bytes.get() < file.max_frame_bytes {
            let message = format!(
                "smaller than `max-frame-bytes` ({}): such a message would never fit",
                file.max_frame_bytes
            );
            self.problem("service.max-concurrent-bytes", message);
        }
        if file.port.is_none() && !only_tls {
            file.port = Some(OneOrMany::One(DEFAULT_PORT));
        }
        let mut sockets = self.sockets(&file);
        for port in ports.keys() {
            if sockets.iter().any(|s| s.what.contains("XDR") && s.ports.contains(port)) {
                continue;
            }
            if only_tls {
                let message = "this port is not opened: there is only TLS, so name it in `service.tls.port`, \
                               or in `service.port` for clear text";
                self.problem(&join("port-based-config", &port.to_string()), message);
            } else {
                sockets[0].ports.push(*port);
            }
        }
        self.conflicts(&sockets);
        let service_tls = file.tls.take();
        let manage_tls = file.manage.as_mut().and_then(|manage| manage.tls.take());
        let clear_ports = std::mem::take(&mut sockets[0].ports);
        let mut service = Service { ports: clear_ports, ..Service::from(file) };
        let node = self.tree.get("service");
        service.tls = service_tls.and_then(|tls| {
            self.server_tls("service.tls", node.and_then(|node| node.get("tls")), tls, &service.addresses)
        });
        if let Some(manage) = &mut service.manage {
            let node = node.and_then(|node| node.get("manage"));
            let given = |key: &str| node.and_then(|node| node.get(key)).is_some_and(|node| !node.is_null());
            if !given("port") && !given("tls") {
                self.problem("service.manage.port", "required key is missing");
            }
            manage.tls = manage_tls.and_then(|tls| {
                let node = node.and_then(|node| node.get("tls"));
                self.server_tls("service.manage.tls", node, tls, &manage.addresses)
            });
        }
        service
    }

    /// Every listener; the clear-text one for XDR is the first.
    fn sockets(&mut self, file: &file::Service) -> Vec<Sockets> {
        self.addresses("service.address", &file.address);
        let mut all = vec![Sockets::new("service", "XDR", &file.address, file.port.as_ref())];
        if let Some(tls) = &file.tls {
            let addresses = tls.address.as_ref().unwrap_or(&file.address);
            self.addresses("service.tls.address", addresses);
            all.push(Sockets::new("service.tls", "XDR over TLS", addresses, tls.port.as_ref()));
        }
        if let Some(manage) = &file.manage {
            self.addresses("service.manage.address", &manage.address);
            all.push(Sockets::new("service.manage", "management", &manage.address, manage.port.as_ref()));
            if let Some(tls) = &manage.tls {
                let addresses = tls.address.as_ref().unwrap_or(&manage.address);
                self.addresses("service.manage.tls.address", addresses);
                let what = "management over TLS";
                all.push(Sockets::new("service.manage.tls", what, addresses, tls.port.as_ref()));
            }
        }
        all
    }

    /// Ports that two listeners would open, or one twice.
    fn conflicts(&mut self, sockets: &[Sockets]) {
        for (index, one) in sockets.iter().enumerate() {
            let path = join(one.path, "port");
            for (n, port) in one.ports.iter().enumerate().filter(|(_, port)| **port != 0) {
                if one.ports[..n].contains(port) {
                    self.problem(&format!("{path}[{n}]"), format!("port {port} is listed twice"));
                } else if let Some(other) =
                    sockets[..index].iter().find(|other| other.ports.contains(port) && other.meet(one))
                {
                    let message = format!("port {port} is also a port for {}; choose another", other.what);
                    self.problem(&path, message);
                }
            }
        }
    }

    fn addresses(&mut self, path: &str, addresses: &OneOrMany<String>) {
        for address in addresses.clone().into_vec() {
            let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if address.parse::<IpAddr>().is_err() && (address.is_empty() || !address.chars().all(name)) {
                let message = format!(
                    "`{}` is not an address; expected one such as `0.0.0.0`, `::1` or a host name, without a port",
                    shorten(&address).escape_debug()
                );
                self.problem(path, message);
            }
        }
    }
}

const DEFAULT_PORT: u16 = 8080;

/// The vendor has no limit; here a peer gets none but by its connections.
const HTTP2_STREAMS: u32 = 1000;

impl From<file::Service> for Service {
    fn from(file: file::Service) -> Self {
        Self {
            protocol: file.protocol.into(),
            ports: file.port.map_or_else(|| vec![DEFAULT_PORT], OneOrMany::into_vec),
            tls: None,
            addresses: file.address.into_vec(),
            max_concurrent_records: file.max_concurrent_records,
            max_concurrent_bytes: file.max_concurrent_bytes,
            max_frame_bytes: file.max_frame_bytes,
            cluster_name: file.cluster_name,
            ack_buffering: file.enable_tcp_xdr_ack_buffering,
            receive_buffer_bytes: file.socket_receive_buffer_bytes,
            worker_threads: file.worker_threads,
            http2_streams_max: file
                .http2_max_concurrent_streams
                .and_then(|streams| u32::try_from(streams).ok())
                .filter(|streams| *streams > 0)
                .unwrap_or(HTTP2_STREAMS),
            manage: file.manage.map(|manage| Manage {
                ports: manage.port.map_or_else(Vec::new, OneOrMany::into_vec),
                addresses: manage.address.into_vec(),
                tls: None,
            }),
            shutdown_grace: Duration::from_millis(file.shutdown_grace_period),
            accept_client_writes: file.accept_client_writes,
            remember_partial_success: file.remember_partial_success,
        }
    }
}

impl From<file::Incoming> for Incoming {
    fn from(file: file::Incoming) -> Self {
        match file {
            file::Incoming::Tcp => Self::Tcp,
            file::Incoming::Http1 => Self::Http1,
            file::Incoming::Http2 => Self::Http2,
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        file::Service::default().into()
    }
}
