//! Each destination in words: what is called, as whom, with what, how large, and what becomes of records it does not take.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use adapters::{
    SharedTarget, TargetConfig, aws_lambda,
    aws_lambda::{InvocationType, PayloadShape},
    credentials, file,
    http::{self, Answers, Compression, Protocol},
    token,
};

use super::{Targets, bytes, plural};
use crate::config::{self, Config, DeadLetter, Destination};

/// Prints them in the order of their names.
pub(super) fn print(config: &Config, targets: &Targets, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\ndestinations")?;
    if targets.is_empty() {
        writeln!(out, "  none")?;
    }
    let named = |(name, target)| Some((name, config.destinations.get(name)?, target));
    for (name, destination, target) in targets.iter().filter_map(named) {
        match config::type_name(&destination.target) {
            "http" => writeln!(out, "  {name}")?,
            kind => writeln!(out, "  {name} ({kind})")?,
        }
        for line in lines(destination, target) {
            writeln!(out, "    {line}")?;
        }
        let senders = senders_of_letters(config, name);
        if !senders.is_empty() {
            writeln!(out, "    takes the dead letters of {}", senders.join(", "))?;
        }
    }
    Ok(())
}

fn lines(destination: &Destination, target: &SharedTarget) -> Vec<String> {
    let mut lines = match &destination.target {
        TargetConfig::Http(http) => post(http, ""),
        TargetConfig::AwsApiGateway(aws)
        | TargetConfig::AwsFunctionUrl(aws)
        | TargetConfig::AwsOpensearch(aws) => {
            let usual = match destination.target {
                TargetConfig::AwsApiGateway(_) => "execute-api",
                TargetConfig::AwsFunctionUrl(_) => "lambda",
                _ if aws.http.urls.iter().any(|url| url.contains(".aoss.")) => "aoss",
                _ => "es",
            };
            let service = aws.service.as_deref().unwrap_or(usual);
            let signed = format!(", signed for {service} in {}", region(&aws.credentials, "the URL, "));
            [post(&aws.http, &signed), vec![whose(&aws.credentials)]].concat()
        }
        TargetConfig::AwsAlb(alb) => {
            let mut lines = post(&alb.http, &bearer(alb.token.as_ref()));
            if matches!(alb.token, Some(token::Source::AwsWebIdentity { .. })) {
                lines.push(format!("token asked for in {}", region(&alb.credentials, "")));
                lines.push(whose(&alb.credentials));
            }
            lines
        }
        TargetConfig::AwsLambda(lambda) => function(lambda),
        TargetConfig::GcpFunctions(gcp) => {
            let audience =
                gcp.audience.as_deref().map_or_else(|| "its own address".to_owned(), super::public);
            let mut lines = post(&gcp.http, &format!(", with a Google identity token for {audience}"));
            lines.push(match &gcp.impersonate {
                Some(account) => format!("as the service account {account}"),
                None => "as the service account of the environment".to_owned(),
            });
            lines
        }
        TargetConfig::Webhook(hook) => {
            let secrets = plural(hook.secrets.len(), "source");
            post(&hook.http, &format!(", signed as Standard Webhooks with the secrets of {secrets}"))
        }
        TargetConfig::File(file) => vec![folder(file)],
    };
    if let Some(words) = compressed(&destination.target) {
        lines.push(words);
    }
    match target.body_bytes_max(JSON) {
        usize::MAX => {}
        limit => lines.push(format!("JSON bodies up to {}; larger batches are split", bytes(limit))),
    }
    match answers(&destination.target) {
        None => {}
        Some(Answers::BatchItemFailures) => {
            lines.push("its answer may name single records that failed (`batchItemFailures`)".to_owned());
        }
        Some(Answers::ElasticsearchBulk) => {
            lines.push(
                "its answer tells of each record what became of it (`_bulk` of Elasticsearch)".to_owned(),
            );
        }
    }
    lines.push(match &destination.dead_letter {
        None => "records that it never takes are held: refused for now, until somebody acts".to_owned(),
        Some(DeadLetter::To(place)) => format!("records that it never takes go to {place}"),
        Some(DeadLetter::Drop) => "records that it never takes are GIVEN UP".to_owned(),
    });
    let concurrency = target.concurrency();
    let at_once = destination.workers.map_or(concurrency, |workers| workers.min(concurrency));
    let start = target.concurrency_start();
    let start = if start < at_once { format!(" ({start} to begin with)") } else { String::new() };
    lines.push(format!(
        "at most {} at once{start}, {} per record, {} may wait for an endpoint",
        plural(at_once.get(), "request"),
        plural(destination.max_attempts as usize, "attempt"),
        plural(destination.max_queued, "record")
    ));
    lines
}

const JSON: &str = "application/json";

fn post(http: &http::Config, how: &str) -> Vec<String> {
    let protocol = match http.protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
    };
    let mut lines = vec![format!("POST by {protocol}, {} ms a call{how}, to", http.call_timeout)];
    lines.extend(http.urls.iter().map(|url| format!("  {}", super::public(url))));
    lines
}

fn function(lambda: &aws_lambda::Config) -> Vec<String> {
    let version = lambda.qualifier.as_ref().map(|it| format!(", version or alias {it}")).unwrap_or_default();
    let waits = match lambda.invocation_type {
        InvocationType::RequestResponse => "and waits for its answer",
        InvocationType::Event => "by Lambda's queue, whose word is taken for delivery",
    };
    let through = lambda
        .endpoint_url
        .as_deref()
        .map(|url| format!(" through {}", super::public(url)))
        .unwrap_or_default();
    let shape = match lambda.payload {
        PayloadShape::Event => "called with the event of a function URL (payload format 2.0)",
        PayloadShape::Raw => "called with the body alone, one JSON text",
    };
    vec![
        format!("invokes {}{version}, {waits}, {} ms a call", lambda.function_name, lambda.call_timeout),
        format!("in {}{through}", region(&lambda.credentials, "the ARN, ")),
        whose(&lambda.credentials),
        shape.to_owned(),
    ]
}

fn folder(file: &file::Config) -> String {
    let kept = match file.max_files {
        Some(files) => format!("the newest {files} are kept"),
        None => "all are kept".to_owned(),
    };
    format!(
        "lines in files of {}, synced before they count; a new one after {} or {} s, {kept}",
        file.path.display(),
        bytes(usize::try_from(file.max_file_bytes.get()).unwrap_or(usize::MAX)),
        file.max_file_seconds
    )
}

fn bearer(token: Option<&token::Source>) -> String {
    match token {
        None => String::new(),
        Some(token::Source::File { file }) => format!(", with the bearer token in {}", file.display()),
        Some(token::Source::AwsWebIdentity { aws_web_identity: sts }) => format!(
            ", with an AWS web identity token for {} that lives {} s",
            sts.audience, sts.duration_seconds
        ),
    }
}

/// Where it is, as far as the settings say; `first` may say so too.
fn region(credentials: &credentials::Config, first: &str) -> String {
    let otherwise = || format!("the region of {first}the environment or the profile");
    credentials.region.clone().unwrap_or_else(otherwise)
}

fn whose(credentials: &credentials::Config) -> String {
    let mut words = match &credentials.profile {
        Some(profile) => format!("with the credentials of profile {profile}"),
        None => {
            "with the credentials of the environment, the profile, the container or the instance".to_owned()
        }
    };
    if let Some(role) = &credentials.role_arn {
        words.push_str(&format!(", as {role}"));
        if credentials.external_id.is_some() {
            words.push_str(" by its external id");
        }
    }
    words
}

fn compressed(target: &TargetConfig) -> Option<String> {
    let threshold = match target {
        TargetConfig::AwsLambda(lambda) => lambda.compression_threshold,
        other => config::http_settings(other)?.compression_threshold,
    };
    match (config::compression(target), threshold) {
        (Compression::None, _) => None,
        (Compression::Gzip, 0) => Some("bodies compressed by gzip".to_owned()),
        (Compression::Gzip, over) => Some(format!("bodies over {} compressed by gzip", bytes(over))),
    }
}

fn answers(target: &TargetConfig) -> Option<Answers> {
    match target {
        TargetConfig::AwsLambda(lambda) => (lambda.partial_response
            && lambda.invocation_type == InvocationType::RequestResponse)
            .then_some(Answers::BatchItemFailures),
        other => config::http_settings(other).and_then(http::Config::answers),
    }
}

fn senders_of_letters<'a>(config: &'a Config, place: &str) -> Vec<&'a str> {
    let senders: BTreeSet<&str> = config
        .destinations
        .iter()
        .filter(|(_, from)| matches!(&from.dead_letter, Some(DeadLetter::To(to)) if to == place))
        .map(|(name, _)| name.as_str())
        .collect();
    senders.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, path::Path, sync::Arc};

    use adapters::{Payload, Report, Target};
    use futures_util::future::BoxFuture;

    use super::*;

    /// Stands for a target that is built: with limits, and nobody behind it.
    #[derive(Debug)]
    struct Limited;

    impl Target for Limited {
        fn deliver<'a>(&'a self, _: &'a Payload) -> BoxFuture<'a, Report> {
            panic!("nothing is delivered")
        }

        fn concurrency(&self) -> NonZeroUsize {
            NonZeroUsize::MIN.saturating_add(15)
        }

        fn concurrency_start(&self) -> NonZeroUsize {
            NonZeroUsize::MIN.saturating_add(7)
        }

        fn body_bytes_max(&self, _: &str) -> usize {
            4 << 20
        }
    }

    fn told(text: &str) -> String {
        let config = config::parse(text, Path::new("/etc/esp")).unwrap().config;
        let targets =
            config.destinations.keys().map(|name| (name.clone(), Arc::new(Limited) as SharedTarget));
        let mut out = Vec::new();
        print(&config, &targets.collect(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    macro_rules! sample {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/config/good/", $name, ".yml"))
        };
    }

    #[test]
    fn those_of_aws() {
        let api = told(sample!("aws-api-gateway"));
        assert!(
            api.contains(
                "
  orders (aws-api-gateway)
    POST by HTTP/1.1, 5000 ms a call, signed for execute-api in eu-central-1, to
      https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/prod/records
    with the credentials of profile connector, as arn:aws:iam::123456789012:role/orders by its external id
    JSON bodies up to 4 MiB; larger batches are split
    records that it never takes go to letters
    at most 16 requests at once (8 to begin with), 5 attempts per record, 32768 records may wait for an endpoint
  plain (aws-api-gateway)
    POST by HTTP/2, 7000 ms a call, signed for execute-api in the region of the URL, the environment or the profile, to
      https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/records
    with the credentials of the environment, the profile, the container or the instance
    JSON bodies up to 4 MiB; larger batches are split
    its answer may name single records that failed (`batchItemFailures`)
    records that it never takes are held: refused for now, until somebody acts
"
            ),
            "{api}"
        );
        let url = told(sample!("aws-function-url"));
        assert!(
            url.contains("signed for lambda in us-east-1") && url.contains("bodies compressed by gzip"),
            "{url}"
        );
    }

    #[test]
    fn load_balancers_say_who_sends() {
        let told = told(sample!("aws-alb"));
        for words in [
            "7000 ms a call, with the bearer token in /etc/esp/secrets/token.jwt, to",
            "7000 ms a call, with an AWS web identity token for records.example.net that lives 900 s, to",
            "token asked for in eu-west-1\n    with the credentials of the environment, the profile, the container or the \
             instance, as arn:aws:iam::123456789012:role/orders\n",
            "by-network (aws-alb)\n    POST by HTTP/2, 7000 ms a call, to\n",
        ] {
            assert!(told.contains(words), "{words}\n{told}");
        }
    }

    #[test]
    fn functions_say_how_they_are_called() {
        let told = told(sample!("aws-lambda"));
        for words in [
            "invokes arn:aws:lambda:eu-central-1:123456789012:function:orders, version or alias live, and waits for its \
             answer, 5000 ms a call\n    in eu-central-1 through \
             https://vpce-0a1b2c3d.lambda.eu-central-1.vpce.amazonaws.com\n",
            "called with the body alone, one JSON text\n",
            "by Lambda's queue, whose word is taken for delivery, 7000 ms a call\n",
            "called with the event of a function URL (payload format 2.0)\n    bodies over 4 KiB compressed by gzip\n",
        ] {
            assert!(told.contains(words), "{words}\n{told}");
        }
        // The queue has no answer to search, whatever was asked for.
        let queued = told.split("queued (").nth(1).unwrap().split("raw (").next().unwrap();
        assert!(!queued.contains("batchItemFailures"), "{queued}");
    }

    #[test]
    fn google_and_files() {
        let google = told(sample!("gcp-functions"));
        for words in [
            "with a Google identity token for https://orders.example.net, to\n",
            "as the service account connector@my-project.iam.gserviceaccount.com\n",
            "with a Google identity token for its own address, to\n",
            "as the service account of the environment\n",
        ] {
            assert!(google.contains(words), "{words}\n{google}");
        }
        let files = told(sample!("file"));
        for words in [
            "lines in files of /var/lib/esp-connector/archive, synced before they count; a new one after 1 MiB or 60 s, the \
             newest 100 are kept\n",
            "lines in files of /etc/esp/archive, synced before they count; a new one after 128 MiB or 3600 s, all are kept\n",
        ] {
            assert!(files.contains(words), "{words}\n{files}");
        }
    }

    #[test]
    fn dead_letters_say_where_they_go() {
        let told = told(sample!("dead-letters"));
        for words in [
            "records that it never takes go to letters\n",
            "records that it never takes are GIVEN UP\n",
            "wait for an endpoint\n    takes the dead letters of orders\n",
        ] {
            assert!(told.contains(words), "{words}\n{told}");
        }
    }
}
