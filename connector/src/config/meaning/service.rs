//! The meaning of `service`: ports merged, and ports and addresses that contradict each other.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::Meaning;
use crate::config::{
    Manage, PortConfig, Service,
    file::{self, OneOrMany},
    problem::shorten,
};

impl Meaning<'_> {
    pub(super) fn service(&mut self, file: file::Service, ports: &BTreeMap<u16, PortConfig>) -> Service {
        let given = |key: &str| {
            self.tree.get("service").and_then(|service| service.get(key)).is_some_and(|node| !node.is_null())
        };
        if given("tls") && !given("port") {
            let message = "TLS listener not supported yet, and `port` does not ask for clear text either; \
                           put a TLS proxy in front of a clear-text `port`";
            self.problem("service.tls", message);
        }
        if file.max_concurrent_bytes.get() < file.max_frame_bytes {
            let message = format!(
                "smaller than `max-frame-bytes` ({}): such a message would never fit",
                file.max_frame_bytes
            );
            self.problem("service.max-concurrent-bytes", message);
        }
        self.addresses("service.address", &file.address);
        if let Some(OneOrMany::Many(list)) = &file.port {
            for (n, port) in list.iter().enumerate().filter(|(_, port)| **port != 0) {
                if list[..n].contains(port) {
                    self.problem(&format!("service.port[{n}]"), format!("port {port} is listed twice"));
                }
            }
        }
        let mut service = Service::from(file);
        for port in ports.keys() {
            if !service.ports.contains(port) {
                service.ports.push(*port);
            }
        }
        self.manage(&service);
        service
    }

    fn manage(&mut self, service: &Service) {
        let Some(manage) = &service.manage else { return };
        let node = self.tree.get("service").and_then(|service| service.get("manage"));
        let given = |key: &str| node.and_then(|node| node.get(key)).is_some_and(|node| !node.is_null());
        match (given("port"), given("tls")) {
            (true, _) => {}
            (false, true) => {
                let message = "TLS listener not supported yet, and `port` does not ask for clear text either";
                self.problem("service.manage.tls", message);
            }
            (false, false) => self.problem("service.manage.port", "required key is missing"),
        }
        self.addresses("service.manage.address", &OneOrMany::Many(manage.addresses.clone()));
        let wildcard = |address: &String| address.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        let shared = manage.addresses.iter().any(|a| wildcard(a) || service.addresses.contains(a))
            || service.addresses.iter().any(wildcard);
        for port in manage.ports.iter().filter(|port| **port != 0 && shared && service.ports.contains(*port))
        {
            self.problem(
                "service.manage.port",
                format!("port {port} is also a port for XDR; choose another"),
            );
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

impl From<file::Service> for Service {
    fn from(file: file::Service) -> Self {
        Self {
            ports: file.port.map_or_else(|| vec![DEFAULT_PORT], OneOrMany::into_vec),
            addresses: file.address.into_vec(),
            max_concurrent_records: file.max_concurrent_records,
            max_concurrent_bytes: file.max_concurrent_bytes,
            max_frame_bytes: file.max_frame_bytes,
            cluster_name: file.cluster_name,
            ack_buffering: file.enable_tcp_xdr_ack_buffering,
            receive_buffer_bytes: file.socket_receive_buffer_bytes,
            worker_threads: file.worker_threads,
            manage: file.manage.map(|manage| Manage {
                ports: manage.port.map_or_else(Vec::new, OneOrMany::into_vec),
                addresses: manage.address.into_vec(),
            }),
            shutdown_grace: Duration::from_millis(file.shutdown_grace_period),
            accept_client_writes: file.accept_client_writes,
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        file::Service::default().into()
    }
}
