//! The meaning of `tls` of a listener, and of the names of cipher suites.

use std::path::PathBuf;

use adapters::tls::{KeySource, Store, TrustSource, cipher_names, is_cipher_name};

use super::Meaning;
use crate::config::{
    ClientCertificates, ServerTls,
    file::{self, OneOrMany},
    problem::{join, shorten},
    tree::Node,
};

impl Meaning<'_> {
    /// `None` when something is missing, which is reported. `around` are the addresses of the section around it.
    pub(super) fn server_tls(
        &mut self,
        path: &str,
        node: Option<&Node>,
        file: file::ServerTls,
        around: &[String],
    ) -> Option<ServerTls> {
        let given = |key: &str| node.and_then(|node| node.get(key)).is_some_and(|node| !node.is_null());
        let many = |list: Option<OneOrMany<String>>| list.map_or_else(Vec::new, OneOrMany::into_vec);
        if file.port.is_none() && !given("port") {
            self.problem(&join(path, "port"), "required key is missing");
        }
        for (key, value) in [("certificate-file", &file.certificate_file), ("key-file", &file.key_file)] {
            if value.is_none() && !given(key) && !given("key-store") {
                self.problem(
                    &join(path, key),
                    "required key is missing: TLS needs a certificate and its key, or a `key-store` with both",
                );
            } else if given(key) && given("key-store") {
                self.problem(&join(path, key), "given beside `key-store`; name one of the two");
            }
        }
        if given("ca-file") && given("trust-store") {
            self.problem(&join(path, "ca-file"), "given beside `trust-store`; name one of the two");
        }
        let names = many(file.allowed_peer_names);
        let mutual = !names.is_empty() || given("allowed-peer-names") || file.mutual_auth == Some(true);
        if file.mutual_auth == Some(false) && !names.is_empty() {
            let message = "false, but `allowed-peer-names` asks for certificates; remove one of the two";
            self.problem(&join(path, "mutual-auth"), message);
        }
        for name in names.iter().filter(|name| name.trim().is_empty()) {
            let message = format!("`{}` is no name", shorten(name).escape_debug());
            self.problem(&join(path, "allowed-peer-names"), message);
        }
        if mutual && !given("ca-file") && !given("trust-store") {
            let message = "required key is missing: mutual TLS needs the authorities that sign the clients' certificates";
            self.problem(&join(path, "ca-file"), message);
        }
        for key in ["ca-file", "trust-store"] {
            if !mutual && given(key) {
                let message = "no effect: clients are asked for no certificate; add `allowed-peer-names`, or `mutual-auth: true`";
                self.warn(&join(path, key), message);
            }
        }
        let identity = match file.key_store {
            Some(store) => Some(KeySource::Store(self.store(store))),
            None => self.pem(file.certificate_file, file.key_file),
        };
        let authorities = match file.trust_store {
            Some(store) => Some(TrustSource::Store(self.store(store))),
            None => file.ca_file.map(|file| TrustSource::Pem(self.folder.join(file))),
        };
        let ciphers = self.ciphers(path, many(file.ciphers));
        let clients = match authorities.filter(|_| mutual) {
            Some(authorities) => Some(ClientCertificates { authorities, allowed_names: names }),
            None if mutual => return None,
            None => None,
        };
        Some(ServerTls {
            ports: file.port?.into_vec(),
            addresses: file.address.map_or_else(|| around.to_vec(), OneOrMany::into_vec),
            identity: identity?,
            clients,
            protocols: file
                .protocols
                .map_or_else(Vec::new, OneOrMany::into_vec)
                .into_iter()
                .filter_map(file::Protocol::version)
                .collect(),
            ciphers,
        })
    }

    fn pem(&self, certificate_file: Option<PathBuf>, key_file: Option<PathBuf>) -> Option<KeySource> {
        let (certificate_file, key_file) = (self.folder.join(certificate_file?), self.folder.join(key_file?));
        Some(KeySource::Pem { certificate_file, key_file })
    }

    /// With names that are relative to the configuration's folder.
    fn store(&self, mut store: Store) -> Store {
        store.files_mut().for_each(|file| *file = self.folder.join(&file));
        store
    }

    /// The names that mean something here; `path` is that of the `tls` they stand in.
    pub(super) fn ciphers(&mut self, path: &str, names: Vec<String>) -> Vec<String> {
        let path = join(path, "ciphers");
        let (known, unknown): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| is_cipher_name(name));
        let unknown: Vec<String> =
            unknown.iter().map(|name| shorten(name).escape_debug().to_string()).collect();
        if unknown.is_empty() {
            return known;
        }
        let unknown = unknown.join(", ");
        if known.is_empty() {
            let names = cipher_names().join(", ");
            self.problem(&path, format!("none of these is supported: {unknown}; known: {names}"));
        } else {
            self.warn(&path, format!("not supported, and passed over: {unknown}"));
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use adapters::tls::{TrustSource, Version};

    use crate::config::parse;

    const TLS: &str = "certificate-file: a.pem, key-file: /b.key";

    #[test]
    fn only_what_is_asked_for_opens_and_each_port_once() {
        let with_tls = |ports: &str| format!("port: {ports}, {TLS}");
        for (service, sections, clear, tls) in [
            (format!("tls: {{{}}}", with_tls("8943")), "", vec![], vec![8943]),
            (
                format!("port: 8901, tls: {{{}}}", with_tls("[8943, 9943]")),
                "9943: {}",
                vec![8901],
                vec![8943, 9943],
            ),
            (format!("port: 9943, tls: {{{}}}", with_tls("8943")), "9943: {}", vec![9943], vec![8943]),
            (format!("port: 8901, tls: {{{}}}", with_tls("8943")), "9943: {}", vec![8901, 9943], vec![8943]),
            ("tls: null".to_owned(), "9943: {}", vec![8080, 9943], vec![]),
        ] {
            let text =
                format!("service: {{{service}}}\nport-based-config: {{{sections}}}\nrouting: {{mode: skip}}");
            let found = parse(&text, Path::new("")).unwrap().config.service;
            assert_eq!(
                (found.ports, found.tls.map_or_else(Vec::new, |tls| tls.ports)),
                (clear, tls),
                "{text}"
            );
        }
    }

    #[test]
    fn defaults_and_paths_come_from_around() {
        let text = format!(
            "service: {{address: 127.0.0.1, tls: {{port: 1, {TLS}, ca-file: c, allowed-peer-names: d, \
             protocols: TLSv1.3}}}}\nrouting: {{mode: skip}}"
        );
        let tls = parse(&text, Path::new("/etc/esp")).unwrap().config.service.tls.unwrap();
        assert_eq!(tls.addresses, ["127.0.0.1"]);
        assert_eq!(tls.identity.files(), [PathBuf::from("/etc/esp/a.pem"), PathBuf::from("/b.key")]);
        assert_eq!(tls.protocols, [Version::Tls13]);
        let clients = tls.clients.unwrap();
        assert_eq!(clients.authorities, TrustSource::Pem("/etc/esp/c".into()));
        assert_eq!(clients.allowed_names, ["d"]);
    }
}
