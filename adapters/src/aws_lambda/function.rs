//! Which function is meant: a name, a partial ARN or an ARN, and maybe a version or alias. Pure.

use crate::BuildError;

/// A function as the settings name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// What the API is asked for: the setting without a qualifier.
    pub(super) id: String,
    /// The last part of it.
    pub(super) name: String,
    pub(super) qualifier: Option<String>,
    /// As far as the ARN tells.
    pub(super) region: Option<String>,
    pub(super) account: Option<String>,
}

impl Function {
    /// Checks `function-name` and `qualifier`, against each other too.
    pub(super) fn new(text: &str, qualifier: Option<&str>) -> Result<Self, BuildError> {
        let mut function = Self::parse(text).ok_or_else(|| {
            problem(
                "function-name",
                format!(
                    "{text:?} is not a function; expected a name (orders), a partial ARN \
                     (123456789012:function:orders) or an ARN (arn:aws:lambda:eu-west-1:123456789012:function:orders)"
                ),
            )
        })?;
        let Some(qualifier) = qualifier else { return Ok(function) };
        if !is_qualifier(qualifier) {
            let expected = "expected a version (7), an alias (live) or $LATEST";
            return Err(problem("qualifier", format!("{qualifier:?} is no qualifier; {expected}")));
        }
        if let Some(other) = function.qualifier.as_deref().filter(|other| *other != qualifier) {
            let both = format!("{qualifier:?}, but function-name ends in {other:?}; give it once");
            return Err(problem("qualifier", both));
        }
        function.qualifier = Some(qualifier.to_owned());
        Ok(function)
    }

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scope, rest) = match parts.as_slice() {
            ["arn", partition, "lambda", region, account, "function", rest @ ..]
                if partition.starts_with("aws") && is_word(region) && is_account(account) =>
            {
                ((Some(*region), Some(*account)), rest)
            }
            [account, "function", rest @ ..] if is_account(account) => ((None, Some(*account)), rest),
            rest => ((None, None), rest),
        };
        let (name, qualifier) = match rest {
            [name] => (*name, None),
            [name, qualifier] if is_qualifier(qualifier) => (*name, Some(*qualifier)),
            _ => return None,
        };
        if !is_word(name) || name.len() > NAME_BYTES_MAX {
            return None;
        }
        let id = match qualifier {
            Some(qualifier) => text.strip_suffix(qualifier)?.strip_suffix(':')?,
            None => text,
        };
        Some(Self {
            id: id.to_owned(),
            name: name.to_owned(),
            qualifier: qualifier.map(str::to_owned),
            region: scope.0.map(str::to_owned),
            account: scope.1.map(str::to_owned),
        })
    }
}

/// As permissions and logs name it, as far as it is known.
impl std::fmt::Display for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.id)?;
        self.qualifier.iter().try_for_each(|qualifier| write!(f, ":{qualifier}"))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_qualifier(text: &str) -> bool {
    text == "$LATEST" || (is_word(text) && text.len() <= QUALIFIER_BYTES_MAX)
}

fn problem(key: &str, problem: String) -> BuildError {
    BuildError { key: key.to_owned(), problem }
}

const NAME_BYTES_MAX: usize = 64;
const QUALIFIER_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_function() {
        let arn = "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:orders";
        for (text, id, qualifier, region, account) in [
            ("orders", "orders", None, None, None),
            ("orders:live", "orders", Some("live"), None, None),
            ("orders:$LATEST", "orders", Some("$LATEST"), None, None),
            (
                "123456789012:function:orders",
                "123456789012:function:orders",
                None,
                None,
                Some("123456789012"),
            ),
            (arn, arn, None, Some("us-gov-west-1"), Some("123456789012")),
            (&format!("{arn}:7"), arn, Some("7"), Some("us-gov-west-1"), Some("123456789012")),
        ] {
            let function = Function::new(text, None).expect(text);
            assert_eq!((function.id.as_str(), function.name.as_str()), (id, "orders"), "{text}");
            let found =
                (function.qualifier.as_deref(), function.region.as_deref(), function.account.as_deref());
            assert_eq!(found, (qualifier, region, account), "{text}");
            assert_eq!(function.to_string(), text);
        }
    }

    #[test]
    fn what_names_none_is_refused() {
        let long = "x".repeat(65);
        for text in [
            "",
            "or ders",
            "orders:",
            "orders:a:b",
            "orders:$NEWEST",
            "arn:aws:lambda:eu-west-1:123456789012:orders",
            "arn:aws:lambda::123456789012:function:orders",
            "arn:aws:sqs:eu-west-1:123456789012:function:orders",
            "arn:gcp:lambda:eu-west-1:123456789012:function:orders",
            "12345:function:orders",
            "arn:aws:lambda:eu-west-1:123456789012:function:",
            "https://x.lambda-url.eu-west-1.on.aws/",
            long.as_str(),
        ] {
            let error = Function::new(text, None).expect_err(text);
            assert_eq!(error.key, "function-name", "{text}");
            assert!(error.problem.contains("partial ARN"), "{error}");
        }
    }

    #[test]
    fn a_qualifier_is_given_once() {
        let qualifier =
            |text, qualifier| Function::new(text, Some(qualifier)).map(|function| function.to_string());
        assert_eq!(qualifier("orders", "live").unwrap(), "orders:live");
        assert_eq!(qualifier("orders:live", "live").unwrap(), "orders:live");
        assert_eq!(qualifier("orders:live", "7").unwrap_err().key, "qualifier");
        assert_eq!(qualifier("orders", "li ve").unwrap_err().key, "qualifier");
        assert_eq!(qualifier("orders", "").unwrap_err().key, "qualifier");
    }
}
