//! The metadata of a record and the record type that holds it.

use super::plan::{Kind, Node, NodeId, Plan};
use crate::notification::{ChangeNotification, Expiry, Operation, Value};

/// Where the metadata goes in the schema.
#[derive(Debug)]
pub(super) struct Metadata {
    /// Branch of the union that is the metadata record, where there is a union.
    pub(super) branch: Option<usize>,
    /// The metadata record.
    pub(super) record: NodeId,
    /// For each field of the record the member it holds; `None` for a field that is always left out.
    pub(super) members: Vec<Option<Member>>,
}

/// One member of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Namespace,
    Set,
    UserKey,
    Digest,
    Msg,
    Gen,
    Lut,
    Exp,
    Durable,
}

impl Member {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "namespace" => Self::Namespace,
            "set" => Self::Set,
            "userKey" => Self::UserKey,
            "digest" => Self::Digest,
            "msg" => Self::Msg,
            "gen" => Self::Gen,
            "lut" => Self::Lut,
            "exp" => Self::Exp,
            "durable" => Self::Durable,
            _ => return None,
        })
    }

    /// The value, if the notification has one. 0 stands for a record that never expires.
    pub(super) fn value<'a>(self, notification: &'a ChangeNotification<'_>) -> Option<Value<'a>> {
        // The decoder takes no last-update time that lies far in the future, nor expiries above 32 bits.
        let time = |time: u64| Value::Integer(i64::try_from(time).unwrap_or(i64::MAX));
        match self {
            Self::Namespace => Some(Value::String(notification.namespace)),
            Self::Set => notification.set.map(Value::String),
            Self::UserKey => notification.user_key,
            Self::Digest => Some(Value::Blob(BLOB, &notification.digest.0)),
            Self::Msg => Some(Value::String(match notification.operation {
                Operation::Write => b"write",
                Operation::Delete | Operation::DurableDelete => b"delete",
            })),
            Self::Gen => notification.generation.map(|generation| Value::Integer(generation.into())),
            Self::Lut => notification.lut_unix_ms.map(time),
            Self::Exp => match notification.expiry {
                Expiry::Unknown => None,
                Expiry::Never => Some(Value::Integer(0)),
                Expiry::At(unix_seconds) => Some(time(unix_seconds)),
            },
            Self::Durable => match notification.operation {
                Operation::Write => None,
                Operation::Delete => Some(Value::Boolean(false)),
                Operation::DurableDelete => Some(Value::Boolean(true)),
            },
        }
    }

    /// What the schema has to take in the place of this member, and an ordinary value.
    fn needs(self) -> (&'static [Kind], Option<Value<'static>>, &'static str) {
        match self {
            Self::Namespace | Self::Set => (&[Kind::Text], None, "a string"),
            Self::UserKey => (
                &[Kind::Integer, Kind::Double, Kind::Text, Kind::Blob],
                None,
                "a union of long, double, string and bytes, or some of them",
            ),
            Self::Digest => (&[Kind::Blob], Some(Value::Blob(BLOB, &[0; 20])), "bytes, or fixed of 20 bytes"),
            Self::Msg => (&[Kind::Text], None, "a string"),
            Self::Gen => (&[Kind::Integer], Some(Value::Integer(1)), "an int"),
            Self::Lut => (&[Kind::Integer], Some(Value::Integer(1_700_000_000_000)), "a long"),
            Self::Exp => (&[Kind::Integer], Some(Value::Integer(1_700_000_000)), "a long or int"),
            Self::Durable => (&[Kind::Boolean], None, "a boolean"),
        }
    }
}

/// Particle type of plain bytes.
const BLOB: u8 = 4;

impl Plan {
    /// The metadata record in `id`: the type itself, or the first branch that is one.
    pub(super) fn find_metadata(&self, id: NodeId) -> Option<Metadata> {
        match self.node(id) {
            Node::Union(union) => union.branches.iter().find_map(|branch| {
                let members = self.members(branch.node)?;
                Some(Metadata { branch: Some(branch.index), record: branch.node, members })
            }),
            _ => Some(Metadata { branch: None, record: id, members: self.members(id)? }),
        }
    }

    /// The member in each field of `id`, if that is a metadata record.
    fn members(&self, id: NodeId) -> Option<Vec<Option<Member>>> {
        let Node::Record(record) = self.node(id) else { return None };
        let members: Vec<_> = record.fields.iter().map(|field| Member::named(&field.name)).collect();
        let every_field_can_be_filled = members
            .iter()
            .zip(&record.fields)
            .all(|(member, field)| member.is_some() || field.absent.is_some());
        (every_field_can_be_filled && members.iter().any(Option::is_some)).then_some(members)
    }

    /// Checks that the types in the metadata record can hold their members at all.
    pub(super) fn check_metadata(&self, metadata: &Metadata) -> Result<(), String> {
        let Node::Record(record) = self.node(metadata.record) else { return Ok(()) };
        for (member, field) in metadata.members.iter().zip(&record.fields) {
            let Some(member) = member else { continue };
            let (kinds, sample, wanted) = member.needs();
            let kind_fits = kinds.iter().any(|kind| self.takes(field.node, *kind));
            let fits = kind_fits
                && sample.is_none_or(|sample| self.write_value(field.node, sample, &mut Vec::new()).is_ok());
            if !fits {
                let (name, found) = (&field.name, self.describe(field.node));
                return Err(format!("field \"metadata.{name}\" is {found}, expected {wanted}"));
            }
        }
        Ok(())
    }
}
