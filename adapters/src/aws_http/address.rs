//! What the URLs of AWS tell, and what may not be in one that is signed. Pure.

use ::http::Uri;

use crate::{
    BuildError,
    sigv4::{OPENSEARCH, OPENSEARCH_SERVERLESS},
};

/// The region that a host name of AWS holds: `ID.execute-api.REGION.amazonaws.com`, `ID.lambda-url.REGION.on.aws`,
/// `DOMAIN.REGION.es.amazonaws.com`, and those of VPC endpoints and other partitions.
pub(super) fn region_of(host: &str) -> Option<&str> {
    let host = host.split(':').next().unwrap_or_default();
    if !(host.contains(".amazonaws.") || host.ends_with(".on.aws") || host.ends_with(".api.aws")) {
        return None;
    }
    if let Some((region, _)) = opensearch(host) {
        return Some(region);
    }
    let mut labels = host.split('.');
    labels.find(|label| matches!(*label, "execute-api" | "lambda-url" | "vpc-lattice-svcs"))?;
    labels.next().filter(|region| is_region(region))
}

/// Region of a domain or a collection of OpenSearch, and the service that requests to it are signed for.
fn opensearch(host: &str) -> Option<(&str, &'static str)> {
    let labels: Vec<&str> = host.split('.').collect();
    let service = |label: &str| match label {
        "es" | "aos" => Some(OPENSEARCH),
        "aoss" => Some(OPENSEARCH_SERVERLESS),
        _ => None,
    };
    labels.windows(3).find_map(|window| match *window {
        [region, name, "amazonaws"] if is_region(region) => Some((region, service(name)?)),
        // Those that are reached by IPv6 too.
        [name, region, "on"] if is_region(region) => Some((region, service(name)?)),
        _ => None,
    })
}

/// The service that requests to `host` are signed for, when it is one of OpenSearch and its name tells.
pub(super) fn opensearch_service(host: &str) -> Option<&'static str> {
    Some(opensearch(host)?.1)
}

/// `eu-west-1`, `us-gov-east-1`.
pub(super) fn is_region(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 32 && text.contains('-') && text.bytes().all(plain)
}

/// Refuses what signer and receiver may read in two ways.
pub(super) fn check(index: usize, url: &Uri) -> Result<(), BuildError> {
    let refuse =
        |problem: &str| Err(BuildError { key: format!("urls[{index}]"), problem: problem.to_owned() });
    let query = url.query().unwrap_or_default();
    if query.contains('+') {
        return refuse("holds a + in the query, which some take for a space; write %20 or %2B");
    }
    // The signer of this crate and that of Python differ on what is left of `/a/.`.
    if url.path().split('/').any(|segment| matches!(segment, "." | "..")) {
        return refuse(
            "holds a . or .. in the path, which signers resolve in different ways; write the path itself",
        );
    }
    for part in [url.path(), query] {
        match decoded(part) {
            None => return refuse("holds a % that is not followed by two hexadecimal digits"),
            Some(bytes) if std::str::from_utf8(&bytes).is_err() => {
                return refuse("holds percent-encoded bytes that are not UTF-8, which cannot be signed");
            }
            Some(_) if !part.is_ascii() => {
                return refuse("holds a character beyond ASCII; write it percent-encoded");
            }
            Some(_) => (),
        }
    }
    Ok(())
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            u8::try_from(value).ok()?
        } else {
            byte
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_of_aws_tell_the_region() {
        for (host, region) in [
            ("abc123.execute-api.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("abc123.execute-api.us-gov-east-1.amazonaws.com:443", Some("us-gov-east-1")),
            ("abc123.execute-api.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("vpce-1-2.execute-api.eu-central-1.vpce.amazonaws.com", Some("eu-central-1")),
            ("abc123.execute-api.eu-west-1.api.aws", Some("eu-west-1")),
            ("xyz.lambda-url.ap-southeast-2.on.aws", Some("ap-southeast-2")),
            ("s-1.abc.vpc-lattice-svcs.us-east-1.on.aws", Some("us-east-1")),
            ("search-orders-abc123.eu-west-1.es.amazonaws.com", Some("eu-west-1")),
            ("vpc-orders-abc123.us-gov-west-1.es.amazonaws.com:443", Some("us-gov-west-1")),
            ("search-es.cn-north-1.es.amazonaws.com.cn", Some("cn-north-1")),
            ("search-orders-abc123.aos.eu-west-1.on.aws", Some("eu-west-1")),
            ("abc123.us-east-1.aoss.amazonaws.com", Some("us-east-1")),
            ("es.us-east-1.example.com", None),
            ("abc.execute-api.localhost:4566", None),
            ("api.example.com", None),
            ("execute-api.eu-west-1.example.com", None),
            ("abc.execute-api.amazonaws.com", None),
            ("execute-api", None),
            ("127.0.0.1:4566", None),
            ("", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }

    #[test]
    fn host_names_tell_domains_from_collections() {
        for (host, service) in [
            ("search-orders-abc123.eu-west-1.es.amazonaws.com", Some("es")),
            ("search-orders-abc123.aos.eu-west-1.on.aws", Some("es")),
            ("abc123.us-east-1.aoss.amazonaws.com", Some("aoss")),
            ("abc123.execute-api.us-east-1.amazonaws.com", None),
            ("search.example.com", None),
        ] {
            assert_eq!(opensearch_service(host), service, "{host}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let check = |url: &str| check(2, &url.parse().unwrap());
        for good in ["https://a/", "https://a/%20/~/%2F//.x/y.?q=1&q=&r&%E2%82%AC=%2B", "https://a?a=b"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (bad, word) in [
            ("https://a/?q=a+b", "%2B"),
            ("https://a/b/../c", "write the path itself"),
            ("https://a/.", "write the path itself"),
            ("https://a/%", "hexadecimal"),
            ("https://a/?q=%4", "hexadecimal"),
            ("https://a/%zz", "hexadecimal"),
            ("https://a/%ff", "UTF-8"),
            ("https://a/?%c3%28", "UTF-8"),
            ("https://a/é", "percent-encoded"),
        ] {
            let error = check(bad).unwrap_err();
            assert_eq!(error.key, "urls[2]");
            assert!(error.problem.contains(word), "{bad}: {error}");
        }
    }
}
