//! Frames as JSON.
//!
//! The shape is that of the golden vectors' `expected.json`, so that one can be compared with the other;
//! members that only this command knows come in addition.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};

use super::value::{Base64, Text, ValueView};
use crate::{
    notification::{ExistsAction, Expiry, GenerationPolicy, Operation},
    recording::Direction,
    wire::{
        ack,
        frame::{self, Frame, Kind, PROTOCOL_BYTES_MAX},
        info,
        message::{self, MessageError, layout},
        security, value,
    },
};

/// One frame.
#[derive(Serialize)]
pub(super) struct FrameView<'a> {
    length: usize,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Content<'a> {
    AsMsg(Box<MessageView<'a>>),
    Compressed { orig_sz: u64, compressed_sz: usize, inner: Box<Self> },
    InfoRequest { lines: Vec<Text<'a>> },
    InfoResponse { lines: Vec<(Text<'a>, Text<'a>)> },
    Security(SecurityView<'a>),
    Malformed(Malformed),
}

impl<'a> FrameView<'a> {
    /// Reads one frame. `inflated` holds what a compressed one contains.
    pub(super) fn new(
        frame: Frame<'a>,
        direction: Option<Direction>,
        now_unix_ms: u64,
        inflated: &'a mut Vec<u8>,
    ) -> Self {
        let body = frame.body();
        let content = match frame.kind {
            Kind::Message => message_content(body, now_unix_ms),
            Kind::Compressed => compressed_content(frame, now_unix_ms, inflated),
            Kind::Info => info_content(body, direction),
            Kind::Security => match security::Request::parse(body) {
                Some(request) => Content::Security(SecurityView::new(&request)),
                None => Content::Malformed(Malformed {
                    frame: "security",
                    error: "a security message that is not whole".into(),
                    answer: None,
                }),
            },
        };
        Self { length: frame.bytes.len(), content }
    }

    /// Relative expiry means nothing without the time of the message.
    pub(super) fn forget_expiry(&mut self) {
        let mut content = &mut self.content;
        while let Content::Compressed { inner, .. } = content {
            content = inner;
        }
        if let Content::AsMsg(message) = content {
            message.expiry = None;
        }
    }
}

fn message_content(body: &[u8], now_unix_ms: u64) -> Content<'_> {
    match MessageView::new(body, now_unix_ms) {
        Ok(view) => Content::AsMsg(Box::new(view)),
        Err(error) => Content::Malformed(Malformed::refused("as_msg", &error)),
    }
}

fn compressed_content<'a>(frame: Frame<'a>, now_unix_ms: u64, inflated: &'a mut Vec<u8>) -> Content<'a> {
    let refused = |error| Content::Malformed(Malformed::refused("compressed", &error));
    let (orig_sz, stream) = match frame::split_compressed(frame.body()) {
        Ok(split) => split,
        Err(error) => return refused(error),
    };
    match frame::inflate(frame, PROTOCOL_BYTES_MAX, inflated) {
        Ok(inner) => Content::Compressed {
            orig_sz,
            compressed_sz: stream.len(),
            inner: Box::new(message_content(inner.body(), now_unix_ms)),
        },
        Err(error) => refused(error),
    }
}

fn info_content(body: &[u8], direction: Option<Direction>) -> Content<'_> {
    let split = |line: &'_ [u8]| line.iter().position(|&byte| byte == b'\t');
    let is_response = match direction {
        Some(direction) => direction == Direction::ToPeer,
        None => !body.is_empty() && info::lines(body).all(|line| split(line).is_some()),
    };
    if is_response {
        let pair = |line| match split(line) {
            Some(tab) => (Text(&line[..tab]), Text(&line[tab + 1..])),
            None => (Text(line), Text(b"")),
        };
        Content::InfoResponse { lines: info::lines(body).map(pair).collect() }
    } else {
        Content::InfoRequest { lines: info::lines(body).map(Text).collect() }
    }
}

/// A frame that cannot be read, and the answer the connector gives to it.
#[derive(Serialize)]
struct Malformed {
    frame: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

impl Malformed {
    fn refused(frame: &'static str, error: &MessageError) -> Self {
        Self { frame, error: error.to_string(), answer: Some(Answer::to(error)) }
    }
}

#[derive(Serialize)]
struct Answer {
    result_code: u8,
    result: &'static str,
}

impl Answer {
    fn to(error: &MessageError) -> Self {
        let code = error.result_code();
        Self { result_code: code as u8, result: code.as_str() }
    }
}

#[derive(Serialize)]
struct MessageView<'a> {
    header_sz: u8,
    info1: u8,
    info2: u8,
    info3: u8,
    info4: u8,
    result_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    generation: u32,
    record_ttl: u32,
    transaction_ttl: u32,
    n_fields: u16,
    n_ops: u16,
    record: RecordView<'a>,
    ops: Vec<OpView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durable: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exists_action: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    xdr: Option<bool>,
    /// What the change is taken for; differs from `event` when a write deletes all bins.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry: Option<ExpiryView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    anomalies: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ExpiryView {
    Never,
    #[serde(untagged)]
    UnixSeconds(u64),
}

impl<'a> MessageView<'a> {
    fn new(body: &'a [u8], now_unix_ms: u64) -> Result<Self, MessageError> {
        let (header, mut walk) = layout::Header::parse(body)?;
        let mut record = RecordView::default();
        for _ in 0..header.n_fields {
            record.take(walk.field()?)?;
        }
        let mut ops = Vec::with_capacity(walk.ops_possible(header.n_ops));
        for _ in 0..header.n_ops {
            ops.push(OpView::new(&walk.op()?)?);
        }
        walk.end()?;
        let is_ack = header.info1 | header.info2 | header.info3 == 0 && header.n_fields == 0;
        let is_delete = header.is_delete();
        let is_write = !is_delete && header.info2 & 1 != 0;
        let is_change = is_write || is_delete;
        let mut view = Self {
            header_sz: header.header_bytes,
            info1: header.info1,
            info2: header.info2,
            info3: header.info3,
            info4: header.info4,
            result_code: header.result_code,
            result: is_ack.then(|| ack::name(header.result_code)),
            generation: header.generation,
            record_ttl: header.record_ttl,
            transaction_ttl: header.transaction_ttl_ms,
            n_fields: header.n_fields,
            n_ops: header.n_ops,
            record,
            ops,
            event: if is_delete { Some("delete") } else { is_write.then_some("write") },
            durable: is_delete.then(|| header.is_durable()),
            exists_action: is_write.then(|| exists_action(message::exists_action(&header))),
            generation_policy: is_change.then(|| generation_policy(message::generation_policy(&header))),
            xdr: is_change.then(|| header.is_xdr()),
            operation: None,
            expiry: None,
            anomalies: vec![],
            error: None,
            answer: None,
        };
        if !is_ack {
            view.judge(body, now_unix_ms);
        }
        Ok(view)
    }

    /// What the connector makes of the message.
    fn judge(&mut self, body: &[u8], now_unix_ms: u64) {
        match message::decode(body, now_unix_ms) {
            Ok(decoded) => {
                let notification = &decoded.notification;
                self.operation = Some(match notification.operation {
                    Operation::Write => "write",
                    Operation::Delete => "delete",
                    Operation::DurableDelete => "durable-delete",
                });
                self.expiry = match notification.expiry {
                    Expiry::Unknown => None,
                    Expiry::Never => Some(ExpiryView::Never),
                    Expiry::At(unix_s) => Some(ExpiryView::UnixSeconds(unix_s)),
                };
                self.record.lut_unix_ms = notification.lut_unix_ms;
                self.anomalies = decoded.anomalies.iter().collect();
            }
            Err(error) => {
                self.error = Some(error.to_string());
                self.answer = Some(Answer::to(&error));
            }
        }
    }
}

fn exists_action(action: ExistsAction) -> &'static str {
    match action {
        ExistsAction::Update => "update",
        ExistsAction::UpdateOnly => "update_only",
        ExistsAction::Replace => "replace",
        ExistsAction::ReplaceOnly => "replace_only",
        ExistsAction::CreateOnly => "create_only",
    }
}

fn generation_policy(policy: GenerationPolicy) -> &'static str {
    match policy {
        GenerationPolicy::None => "none",
        GenerationPolicy::Equal => "expect_gen_equal",
        GenerationPolicy::Greater => "expect_gen_gt",
    }
}

#[derive(Default, Serialize)]
struct RecordView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_key: Option<ValueView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lut_clepoch_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lut_unix_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other_fields: Vec<OtherField<'a>>,
}

#[derive(Serialize)]
struct OtherField<'a> {
    #[serde(rename = "type")]
    type_: u8,
    base64: Base64<'a>,
}

impl<'a> RecordView<'a> {
    fn take(&mut self, field: layout::Field<'a>) -> Result<(), MessageError> {
        let layout::Field { type_, data, .. } = field;
        match (type_, data) {
            (layout::NAMESPACE, _) if self.namespace.is_none() => self.namespace = Some(Text(data)),
            (layout::SET, _) if self.set.is_none() => self.set = Some(Text(data)),
            (layout::DIGEST, _) if self.digest.is_none() => {
                self.digest = Some(data.iter().map(|byte| format!("{byte:02x}")).collect());
                self.digest_base64 = Some(STANDARD.encode(data));
            }
            (layout::KEY, [particle, bytes @ ..]) if self.user_key.is_none() => {
                let value =
                    value::particle(*particle, bytes).map_err(|source| message::Problem::Key { source })?;
                self.user_key = Some(ValueView::alone(value));
            }
            (layout::LUT, _) if self.lut_clepoch_ms.is_none() && data.len() == 8 => {
                self.lut_clepoch_ms = <[u8; 8]>::try_from(data).ok().map(u64::from_be_bytes);
            }
            _ => self.other_fields.push(OtherField { type_, base64: Base64(data) }),
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct OpView<'a> {
    op: OpName,
    bin: Text<'a>,
    value: ValueView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bin_lut_raw: Option<u64>,
}

impl<'a> OpView<'a> {
    fn new(op: &layout::Op<'a>) -> Result<Self, MessageError> {
        let value = value::particle(op.particle, op.value)
            .map_err(|source| message::Problem::Value { source, at: op.at })?;
        Ok(Self {
            op: OpName(op.op),
            bin: Text(op.name),
            value: ValueView::alone(value),
            bin_lut_raw: op.lut,
        })
    }
}

struct OpName(u8);

impl Serialize for OpName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            layout::WRITE => serializer.serialize_str("write"),
            layout::TOUCH => serializer.serialize_str("touch"),
            layout::DELETE_ALL => serializer.serialize_str("delete_all"),
            other => serializer.serialize_u8(other),
        }
    }
}

#[derive(Serialize)]
struct SecurityView<'a> {
    scheme: u8,
    result: u8,
    command: u8,
    n_fields: u8,
    fields: Vec<SecurityField<'a>>,
}

#[derive(Serialize)]
struct SecurityField<'a> {
    id: u8,
    name: &'static str,
    value: SecurityValue<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SecurityValue<'a> {
    Text(Text<'a>),
    Number(u32),
    Secret(&'static str),
}

impl<'a> SecurityView<'a> {
    fn new(request: &security::Request<'a>) -> Self {
        let fields = request.fields().map(|field| {
            let (name, value) = match (field.id, <[u8; 4]>::try_from(field.value)) {
                (0, _) => ("user", SecurityValue::Text(Text(field.value))),
                (6, Ok(seconds)) => ("session_ttl", SecurityValue::Number(u32::from_be_bytes(seconds))),
                // Whatever else there is may let somebody in.
                (3, _) => ("credential", SecurityValue::Secret("***")),
                (4, _) => ("clear_password", SecurityValue::Secret("***")),
                (5, _) => ("session_token", SecurityValue::Secret("***")),
                _ => ("other", SecurityValue::Secret("***")),
            };
            SecurityField { id: field.id, name, value }
        });
        Self {
            scheme: request.scheme,
            result: request.result,
            command: request.command,
            n_fields: request.n_fields,
            fields: fields.collect(),
        }
    }
}
