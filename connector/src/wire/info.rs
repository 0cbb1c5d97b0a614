//! Info requests: lines of text about the node that the connector pretends to be.
//!
//! Nobody knows what XDR asks a connector, so every command a server of today answers in a handshake is
//! answered, at once and from a few facts. The answer has one line for each command, in order, that starts
//! with the command as it came.

use std::{fmt::Display, io::Write, net::SocketAddr};

use super::frame;

/// Commands answered in one request; the rest are left out, as servers before 7.1 leave out what they do not
/// know.
pub const COMMANDS_MAX: usize = 1024;

/// An answer grows no further once it has this many bytes.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What is said about this connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// 1 to 16 uppercase hexadecimal digits, stable for as long as clients may remember: see [`node_id`].
    pub node_id: String,
    /// Server version to claim, such as `8.1.0.0`. Clients refuse below 4.9.
    pub build: String,
    /// Cluster name, when one is configured.
    pub cluster_name: Option<String>,
    /// Namespaces whose partitions this node claims; ordinary clients only write to these.
    pub namespaces: Vec<String>,
    /// Local address of the connection.
    pub address: SocketAddr,
}

/// A node id from anything that names the instance, such as host and port. Never `0`.
pub fn node_id(seed: &str) -> String {
    // FNV-1a: short, and the same on every platform and in every version.
    let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{:X}", hash.max(1))
}

/// Appends the answer to one info request as a whole frame.
pub fn answer(request_body: &[u8], facts: &NodeFacts, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, 0]);
    // An empty request asks for a summary.
    let request: &[u8] = if request_body.is_empty() { SUMMARY } else { request_body };
    for line in lines(request).take(COMMANDS_MAX) {
        let line_start = out.len();
        out.extend_from_slice(line);
        out.push(b'\t');
        value(line, facts, out);
        out.push(b'\n');
        if out.len() - start > ANSWER_BYTES_MAX {
            out.truncate(line_start);
            break;
        }
    }
    let body_bytes = (out.len() - start - frame::HEADER_BYTES) as u64;
    out[start + 2..start + frame::HEADER_BYTES].copy_from_slice(&body_bytes.to_be_bytes()[2..]);
}

/// The lines of an info body. The last one counts even without its line end, unlike on a server.
pub fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

const SUMMARY: &[u8] = b"node\nbuild\nedition\nversion\nfeatures\nservice\nstatus\npartition-generation\n";

const EDITION: &str = "Aerospike Enterprise Edition";

const FEATURES: &str = "batch-any;batch-index;blob-bits;cdt-index;cdt-list;cdt-map;cluster-stable;float;geo;\
                        sindex-exists;peers;pipelining;pquery;pscans;query-show;relaxed-sc;replicas;replicas-all;\
                        replicas-master;replicas-max;truncate-namespace;udf";

/// Appends the value of one command. What follows `:` or `/` in it changes no answer.
fn value(line: &[u8], facts: &NodeFacts, out: &mut Vec<u8>) {
    let name_bytes = line.iter().position(|byte| b":/".contains(byte)).unwrap_or(line.len());
    match &line[..name_bytes] {
        b"node" | b"name" => put(out, &facts.node_id),
        b"build" => put(out, &facts.build),
        b"edition" => put(out, EDITION),
        b"version" => put(out, format_args!("{EDITION} build {}", facts.build)),
        b"release" => put(out, format_args!("edition={EDITION};version={}", facts.build)),
        b"features" => put(out, FEATURES),
        b"cluster-name" => put(out, facts.cluster_name.as_deref().unwrap_or("null")),
        b"cluster-stable" => put(out, format_args!("{:0>16}", facts.node_id)),
        b"status" | b"user-agent-set" => put(out, "ok"),
        b"namespaces" => put(out, facts.namespaces.join(";")),
        b"partitions" => put(out, 4096),
        b"partition-generation" | b"rebalance-generation" | b"peers-generation" => put(out, 1),
        b"peers-clear-std" | b"peers-clear-alt" | b"peers-tls-std" | b"peers-tls-alt" => {
            put(out, format_args!("1,{},[]", facts.address.port()));
        }
        b"service" | b"service-clear-std" | b"service-clear-alt" | b"service-tls-std"
        | b"service-tls-alt" => {
            // A dual-stack listener sees IPv4 peers at mapped addresses, which clients do not parse.
            put(out, SocketAddr::new(facts.address.ip().to_canonical(), facts.address.port()));
        }
        b"replicas" => replicas(facts, "0,1,", out),
        b"replicas-all" => replicas(facts, "1,", out),
        b"replicas-master" => replicas(facts, "", out),
        b"connection" => put(out, "admin=false"),
        b"digests" => put(out, "RIPEMD160"),
        b"namespace"
        | b"services"
        | b"services-alternate"
        | b"alumni-clear-std"
        | b"alumni-tls-std"
        | b"services-alumni"
        | b"rack-ids"
        | b"racks"
        | b"statistics"
        | b"get-stats"
        | b"get-config" => {}
        _ => put(out, "ERROR:4:unrecognized command"),
    }
}

/// Every partition of every namespace is here: 4096 ones, in base64.
fn replicas(facts: &NodeFacts, prefix: &str, out: &mut Vec<u8>) {
    for (index, namespace) in facts.namespaces.iter().enumerate() {
        let separator = if index == 0 { "" } else { ";" };
        put(out, format_args!("{separator}{namespace}:{prefix}"));
        // 512 bytes of ones: 170 whole groups of three, and two bytes more.
        out.resize(out.len() + 682, b'/');
        out.extend_from_slice(b"8=");
    }
}

fn put(out: &mut Vec<u8>, value: impl Display) {
    write!(out, "{value}").expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> NodeFacts {
        NodeFacts {
            node_id: "BB9A1B2C3D4E5F6".into(),
            build: "8.1.0.0".into(),
            cluster_name: None,
            namespaces: vec!["test".into(), "shop".into()],
            address: "[::ffff:10.0.0.7]:8901".parse().unwrap(),
        }
    }

    fn ask(request: &[u8]) -> String {
        let mut out = vec![0xee];
        answer(request, &facts(), &mut out);
        let frame = frame::next(&out[1..], 2 << 20).unwrap().unwrap();
        assert_eq!((frame.kind, frame.bytes.len()), (frame::Kind::Info, out.len() - 1));
        String::from_utf8(frame.body().to_vec()).unwrap()
    }

    #[test]
    fn every_command_of_the_table() {
        let cases = [
            ("node", "BB9A1B2C3D4E5F6"),
            ("name", "BB9A1B2C3D4E5F6"),
            ("build", "8.1.0.0"),
            ("edition", "Aerospike Enterprise Edition"),
            ("version", "Aerospike Enterprise Edition build 8.1.0.0"),
            ("release", "edition=Aerospike Enterprise Edition;version=8.1.0.0"),
            ("features", FEATURES),
            ("cluster-name", "null"),
            ("cluster-stable", "0BB9A1B2C3D4E5F6"),
            ("cluster-stable:size=1;ignore-migrations=yes", "0BB9A1B2C3D4E5F6"),
            ("status", "ok"),
            ("namespaces", "test;shop"),
            ("namespace/test", ""),
            ("partitions", "4096"),
            ("partition-generation", "1"),
            ("rebalance-generation", "1"),
            ("peers-generation", "1"),
            ("peers-clear-std", "1,8901,[]"),
            ("peers-tls-alt", "1,8901,[]"),
            ("service", "10.0.0.7:8901"),
            ("service-tls-std", "10.0.0.7:8901"),
            ("services", ""),
            ("services-alternate", ""),
            ("alumni-clear-std", ""),
            ("rack-ids", ""),
            ("racks:", ""),
            ("connection", "admin=false"),
            ("digests", "RIPEMD160"),
            ("user-agent-set:value=MSxh", "ok"),
            ("statistics", ""),
            ("get-stats:context=xdr", ""),
            ("get-config:context=service", ""),
            ("xdr-version", "ERROR:4:unrecognized command"),
        ];
        for (command, expected) in cases {
            assert_eq!(ask(format!("{command}\n").as_bytes()), format!("{command}\t{expected}\n"));
        }
        assert!(!FEATURES.contains(' '), "the continued literal leaves no gap");
    }

    #[test]
    fn maps_claim_every_partition() {
        let map = format!("{}8=", "/".repeat(682));
        let [test, shop] = ["test", "shop"];
        assert_eq!(ask(b"replicas\n"), format!("replicas\t{test}:0,1,{map};{shop}:0,1,{map}\n"));
        assert_eq!(ask(b"replicas:max=1\n"), format!("replicas:max=1\t{test}:0,1,{map};{shop}:0,1,{map}\n"));
        assert_eq!(ask(b"replicas-all\n"), format!("replicas-all\t{test}:1,{map};{shop}:1,{map}\n"));
        assert_eq!(ask(b"replicas-master\n"), format!("replicas-master\t{test}:{map};{shop}:{map}\n"));
    }

    #[test]
    fn a_last_line_without_its_end_counts_and_an_empty_request_gets_a_summary() {
        assert_eq!(ask(b"status\n\nnode"), "status\tok\nnode\tBB9A1B2C3D4E5F6\n");
        assert!(ask(b"").starts_with("node\tBB9A1B2C3D4E5F6\nbuild\t8.1.0.0\n"));
    }

    #[test]
    fn answers_are_bounded() {
        assert_eq!(ask(&b"node\n".repeat(5000)).lines().count(), COMMANDS_MAX);
        let long = ask(&b"replicas\n".repeat(1000));
        assert!(long.len() <= ANSWER_BYTES_MAX && long.ends_with("8=\n"), "{}", long.len());
        assert_eq!(ask(&vec![b'x'; 2 << 20]), "");
    }

    #[test]
    fn node_ids_are_stable_and_legal() {
        assert_eq!(node_id("host:8901"), node_id("host:8901"));
        assert_ne!(node_id("host:8901"), node_id("host:8902"));
        for seed in ["", "a", "host:8901"] {
            let id = node_id(seed);
            assert!((1..=16).contains(&id.len()), "{id}");
            assert!(id.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)), "{id}");
        }
    }

    proptest! {
        #[test]
        fn echoes_any_bytes(request in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            answer(&request, &facts(), &mut out);
            let frame = frame::next(&out, 2 << 20).unwrap().unwrap();
            if !request.is_empty() {
                let echoed: Vec<&[u8]> = lines(&request).collect();
                let found: Vec<&[u8]> = lines(frame.body()).collect();
                prop_assert_eq!(found.len(), echoed.len());
                for (found, echoed) in found.iter().zip(echoed) {
                    prop_assert!(found.starts_with(echoed) && found[echoed.len()] == b'\t');
                }
            }
        }
    }
}
