//! The `template` format: a request as the operator wrote it down.
//!
//! Whatever a record holds, its request goes to the destination's host, has the headers that were written down and no
//! other, and a body of JSON is JSON.

use std::{borrow::Cow, sync::Arc};

use adapters::{
    RequestParts,
    request::{Path, Query, header_name, header_value},
};
use http::{HeaderName, Method};
use serde::de::IgnoredAny;

use super::{Body, EncodeError, FormatError};
use crate::{
    config::{self, BatchBody, Batching, RequestTemplate},
    notification::{ChangeNotification, Operation},
    template::{Escape, Record, RenderError, Template, Wanted},
};

/// Writes requests by templates.
#[derive(Clone, Debug)]
pub(super) struct TemplateFormat {
    media: Media,
    content_type: String,
    write: Option<Arc<Variant>>,
    delete: Option<Arc<Variant>>,
}

/// What is known of a body by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    Json,
    JsonLines,
    Markup,
    Form,
    Other,
}

/// The request for one kind of change.
#[derive(Debug)]
struct Variant {
    body: Option<Template>,
    path: Option<Template>,
    /// Whether the path is written down as one from the root.
    from_root: bool,
    query: Option<Template>,
    headers: Vec<(HeaderName, Template)>,
    /// What is the same for all records; all there is, when nothing else depends on them.
    constant: Arc<RequestParts>,
    wanted: Wanted,
}

/// Everything that is wrong with a format, each with the key at fault, such as `write.headers.X-Key`.
pub(crate) fn template_problems(settings: &config::TemplateFormat) -> Vec<(String, String)> {
    TemplateFormat::compile(settings).err().unwrap_or_default()
}

impl TemplateFormat {
    pub(super) fn new(settings: &config::TemplateFormat) -> Result<Self, FormatError> {
        Self::compile(settings).map_err(|problems| {
            let (key, problem) = problems.into_iter().next().unwrap_or_default();
            FormatError { problem: format!("{key}: {problem}") }
        })
    }

    fn compile(settings: &config::TemplateFormat) -> Result<Self, Vec<(String, String)>> {
        let mut problems = Vec::new();
        if let Err(error) = header_value(&settings.content_type) {
            problems.push(("content-type".to_owned(), error.to_string()));
        }
        let media = Media::of(&settings.content_type);
        let mut variant = |name: &str, settings: &Option<RequestTemplate>| {
            let settings = settings.as_ref()?;
            Some(Arc::new(Variant::compile(settings, media, name, &mut problems)))
        };
        let write = variant("write", &settings.write);
        let delete = variant("delete", &settings.delete);
        if problems.is_empty() {
            Ok(Self { media, content_type: settings.content_type.trim().to_owned(), write, delete })
        } else {
            Err(problems)
        }
    }

    /// Whether such changes are not sent.
    pub(super) fn skips(&self, operation: Operation) -> bool {
        self.variant(operation).is_none()
    }

    pub(super) fn write(
        &self,
        notification: &ChangeNotification<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Arc<RequestParts>>, EncodeError> {
        let Some(variant) = self.variant(notification.operation) else { return Ok(None) };
        let record = Record::new(notification, &variant.wanted);
        if let Some(body) = &variant.body {
            let start = out.len();
            body.render(&record, out).map_err(|error| unwritten("body", &error))?;
            self.media.settle(out, start).map_err(|problem| at("body", problem))?;
        }
        variant.parts(&record).map(Some)
    }

    /// How such pieces become requests.
    pub(super) fn body(&self, batching: Option<&Batching>) -> Result<Body, FormatError> {
        let content_type = self.content_type.clone();
        let Some(batching) = batching else {
            return Ok(match self.media {
                Media::JsonLines => Body::lines(content_type),
                _ => Body::single(content_type),
            });
        };
        if batching.max_records.get() > 1 {
            self.check_shared()?;
        }
        match (self.media, batching.body) {
            (Media::Json, None | Some(BatchBody::JsonArray)) => Ok(Body::json_array(content_type)),
            (Media::Json, Some(BatchBody::Ndjson)) => Ok(Body::lines("application/x-ndjson")),
            (Media::JsonLines, None | Some(BatchBody::Ndjson)) => Ok(Body::lines(content_type)),
            (Media::JsonLines, Some(_)) => refuse("a body of lines is batched as `ndjson`"),
            (_, None | Some(BatchBody::Concatenated)) => Ok(Body::single(content_type)),
            (_, Some(_)) => {
                refuse("json-array and ndjson are for bodies of JSON; this one takes concatenated")
            }
        }
    }

    /// Records that share a request have all of it but the body in common.
    fn check_shared(&self) -> Result<(), FormatError> {
        let variants = || [&self.write, &self.delete].into_iter().flatten();
        for variant in variants() {
            if let Some(key) = variant.by_record() {
                return refuse(format!(
                    "`{key}` of the template depends on the record, and `batching` puts several into one request; turn \
                     one of them off"
                ));
            }
            if variant.body.is_none() {
                return refuse(
                    "`batching` puts several bodies into one request, and the template makes none for some records",
                );
            }
        }
        let mut heads = variants().map(|variant| &variant.constant);
        match (heads.next(), heads.next()) {
            (Some(write), Some(delete)) if write != delete => refuse(
                "`write` and `delete` of the template differ in more than the body, and `batching` puts both into one request",
            ),
            _ => Ok(()),
        }
    }

    /// Whether it makes more of a request than its body, which only HTTP has.
    pub(super) fn needs_http(&self) -> bool {
        let plain = RequestParts::default();
        [&self.write, &self.delete]
            .into_iter()
            .flatten()
            .any(|variant| variant.by_record().is_some() || *variant.constant != plain)
    }

    fn variant(&self, operation: Operation) -> Option<&Variant> {
        match operation {
            Operation::Write => self.write.as_deref(),
            Operation::Delete | Operation::DurableDelete => self.delete.as_deref(),
        }
    }
}

impl Variant {
    fn compile(
        settings: &RequestTemplate,
        media: Media,
        name: &str,
        problems: &mut Vec<(String, String)>,
    ) -> Self {
        let mut wanted = Wanted::default();
        let mut template = |key: &str, source: &str, escape: Escape| match Template::new(source, escape) {
            Ok(template) => {
                wanted = std::mem::take(&mut wanted).and(template.wanted());
                Some(template)
            }
            Err(error) => {
                problems.push((format!("{name}.{key}"), error.to_string()));
                None
            }
        };
        let body = settings.body.as_ref().and_then(|source| template("body", source, media.escape()));
        let path = settings.path.as_ref().and_then(|source| template("path", source.trim(), Escape::Path));
        let query = settings.query.as_ref().and_then(|source| template("query", source.trim(), Escape::Form));
        let mut headers = Vec::new();
        for (header, source) in &settings.headers {
            headers.push((header, template(&format!("headers.{header}"), source.trim(), Escape::Header)));
        }

        let mut constant = RequestParts {
            method: settings.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()),
            success_status_codes: settings.success_status_codes.as_slice().into(),
            ..RequestParts::default()
        };
        let mut check = |key: String, result: Result<(), adapters::request::PartError>| {
            if let Err(error) = result {
                problems.push((format!("{name}.{key}"), error.to_string()));
            }
        };
        let skeleton = |source: &Option<String>| source.as_deref().map(skeleton).unwrap_or_default();
        let path_skeleton = skeleton(&settings.path);
        check("path".to_owned(), Path::new(path_skeleton.clone()).map(drop));
        check("query".to_owned(), Query::new(skeleton(&settings.query)).map(drop));
        let mut by_record = Vec::new();
        for (header, template) in headers {
            let Some(template) = template else { continue };
            match header_name(header) {
                Ok(name) if by_record.iter().chain(&[]).any(|(other, _)| *other == name) => {
                    check(
                        format!("headers.{header}"),
                        Err(adapters::request::PartError("given twice; names ignore case")),
                    );
                }
                Ok(name) => by_record.push((name, template)),
                Err(error) => check(format!("headers.{header}"), Err(error)),
            }
        }
        by_record.retain(|(name, template)| match template.constant() {
            Some(text) if text.trim_matches(' ').is_empty() => false,
            Some(text) => {
                match header_value(text) {
                    Ok(value) => constant.headers.push((name.clone(), value)),
                    Err(error) => check(format!("headers.{name}"), Err(error)),
                }
                false
            }
            None => true,
        });
        let whole =
            |template: &Option<Template>| template.as_ref().and_then(Template::constant).map(str::to_owned);
        constant.path = whole(&path).and_then(|text| Path::new(text).ok());
        constant.query = whole(&query).and_then(|text| Query::new(text).ok());
        Self {
            body,
            path: path.filter(|template| template.constant().is_none()),
            from_root: path_skeleton.starts_with('/'),
            query: query.filter(|template| template.constant().is_none()),
            headers: by_record,
            constant: Arc::new(constant),
            wanted,
        }
    }

    /// The key of a part, other than the body, that depends on the record.
    fn by_record(&self) -> Option<String> {
        match (&self.path, &self.query, self.headers.first()) {
            (Some(_), _, _) => Some("path".to_owned()),
            (_, Some(_), _) => Some("query".to_owned()),
            (_, _, Some((name, _))) => Some(format!("headers.{name}")),
            (None, None, None) => None,
        }
    }

    fn parts(&self, record: &Record) -> Result<Arc<RequestParts>, EncodeError> {
        if self.by_record().is_none() {
            return Ok(Arc::clone(&self.constant));
        }
        let mut parts = RequestParts::clone(&self.constant);
        if let Some(template) = &self.path {
            let text = template.text(record).map_err(|error| unwritten("path", &error))?;
            if text.starts_with('/') != self.from_root {
                return Err(at("path", "comes out as another kind of path than was written down"));
            }
            parts.path = Some(Path::new(text).map_err(|error| at("path", error.0))?);
        }
        if let Some(template) = &self.query {
            let text = template.text(record).map_err(|error| unwritten("query", &error))?;
            parts.query = Some(Query::new(text).map_err(|error| at("query", error.0))?);
        }
        for (name, template) in &self.headers {
            let key = || format!("headers.{name}");
            let text = template.text(record).map_err(|error| unwritten(&key(), &error))?;
            let value = header_value(&text).map_err(|error| at(&key(), error.0))?;
            if !value.is_empty() {
                parts.headers.push((name.clone(), value));
            }
        }
        Ok(Arc::new(parts))
    }
}

impl Media {
    fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Self::Json,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Self::JsonLines,
            "application/xml" | "text/xml" | "text/html" => Self::Markup,
            "application/x-www-form-urlencoded" => Self::Form,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+xml") => Self::Markup,
            _ => Self::Other,
        }
    }

    fn escape(self) -> Escape {
        match self {
            Self::Json | Self::JsonLines => Escape::Json,
            Self::Markup => Escape::Markup,
            Self::Form => Escape::Form,
            Self::Other => Escape::Text,
        }
    }

    /// Sees to it that what was rendered from `start` on is what its media type says, so that it cannot spoil what shares a
    /// request with it. JSON becomes one line: a line end in it is white space between tokens.
    fn settle(self, out: &mut Vec<u8>, start: usize) -> Result<(), &'static str> {
        match self {
            Self::Json => {
                let text = out[start..].trim_ascii();
                serde_json::from_slice::<IgnoredAny>(text).map_err(|_| "makes text that is not JSON")?;
                let mut line = out.split_off(start);
                line.retain(|byte| !matches!(byte, b'\n' | b'\r'));
                out.extend_from_slice(line.trim_ascii());
            }
            Self::JsonLines => {
                let text = out.split_off(start);
                for line in
                    text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
                {
                    serde_json::from_slice::<IgnoredAny>(line)
                        .map_err(|_| "makes a line that is not JSON")?;
                    if out.len() > start {
                        out.push(b'\n');
                    }
                    out.extend_from_slice(line);
                }
                if out.len() == start {
                    return Err("makes no line at all");
                }
            }
            Self::Markup | Self::Form | Self::Other => {}
        }
        Ok(())
    }
}

/// A template with something harmless for every value.
fn skeleton(source: &str) -> String {
    let mut text = String::new();
    let mut rest = source.trim();
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        let tag = &rest[at..];
        let close = match tag.as_bytes().get(1) {
            Some(b'{') => {
                text.push('x');
                "}}"
            }
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                text.push('{');
                rest = &tag[1..];
                continue;
            }
        };
        rest = tag.find(close).map_or("", |end| &tag[end + close.len()..]);
    }
    text.push_str(rest);
    text
}

pub(super) fn at(key: &str, problem: impl Into<Cow<'static, str>>) -> EncodeError {
    EncodeError { place: format!("`{key}` of the format"), problem: problem.into() }
}

pub(super) fn unwritten(key: &str, error: &RenderError) -> EncodeError {
    let line = error.line.map(|line| format!(", line {line}")).unwrap_or_default();
    EncodeError { place: format!("`{key}` of the format{line}"), problem: error.why.clone() }
}

pub(super) fn refuse<T>(problem: impl Into<String>) -> Result<T, FormatError> {
    Err(FormatError { problem: problem.into() })
}

#[cfg(test)]
mod tests;
