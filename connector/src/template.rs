//! Templates and expressions over a notification, in the language of Jinja.
//!
//! Both are compiled when the configuration is loaded, where everything that is wrong with them shows: what cannot be read,
//! and names that do not exist. What they may do for a record is bounded in time and memory by a budget of work, whatever a
//! record holds. Errors name the place in the template, never a value.

use std::{borrow::Cow, collections::BTreeSet, fmt, io};

use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

pub(crate) use self::escape::{Escape, percent};
pub(crate) use self::record::{Record, Wanted};

mod code;
mod escape;
mod filters;
mod record;
mod values;

/// Steps and pieces of 64 bytes that one template may take and make for one record: tens of milliseconds, and as many
/// megabytes as a large record needs in any format.
const FUEL: u64 = 1_000_000;

/// Most bytes that one template writes for one record.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Nesting of expressions and values.
const DEPTH_MAX: usize = 64;

/// A template that can be rendered for any notification.
pub(crate) struct Template {
    environment: Environment<'static>,
    wanted: Wanted,
    /// What it is without any record, when it needs none.
    constant: Option<String>,
}

/// An expression over a notification that is true or false.
pub(crate) struct Expression {
    /// Whose only output is whether the expression is true: an expression by itself would borrow the environment.
    template: Template,
}

/// What is wrong with a template or an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct SyntaxError {
    pub(crate) problem: String,
    /// Line in the text, from 1, when the text has several.
    pub(crate) line: Option<usize>,
    /// Column in characters, from 1.
    pub(crate) column: Option<usize>,
}

/// Why a template could not be rendered for a record, or an expression not evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RenderError {
    pub(crate) why: Cow<'static, str>,
    /// Line in the template, from 1.
    pub(crate) line: Option<usize>,
}

impl Template {
    /// Compiles `source`; values are written as `escape` says.
    pub(crate) fn new(source: &str, escape: Escape) -> Result<Self, SyntaxError> {
        Self::compile(source.to_owned(), escape, UndefinedBehavior::SemiStrict, 0)
    }

    fn compile(
        source: String,
        escape: Escape,
        undefined: UndefinedBehavior,
        ahead: usize,
    ) -> Result<Self, SyntaxError> {
        if escape == Escape::Json {
            escape::check_quotes(&source)?;
        }
        let mut environment = environment(escape, undefined);
        environment
            .add_template_owned(NAME, source.clone())
            .map_err(|error| SyntaxError::of(&error, &source, ahead))?;
        let template =
            environment.get_template(NAME).map_err(|error| SyntaxError::of(&error, &source, ahead))?;
        if let Some((problem, at)) = code::fault(&source) {
            return Err(SyntaxError::at(problem, Some(at), &source, ahead));
        }
        let names: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
        let wanted = Wanted::new(&names).map_err(|name| SyntaxError::unknown(&name, &source, ahead))?;
        let mut template = Self { environment, wanted, constant: None };
        if template.wanted.is_nothing() && !source.contains("{%") {
            let mut text = Vec::new();
            let problem = |error: RenderError| SyntaxError {
                problem: error.why.into_owned(),
                line: error.line,
                column: None,
            };
            template.render_with(Record::none(), &mut text).map_err(problem)?;
            template.constant = String::from_utf8(text).ok();
        }
        Ok(template)
    }

    /// What it is, when that does not depend on the record.
    pub(crate) fn constant(&self) -> Option<&str> {
        self.constant.as_deref()
    }

    /// Appends what it makes of `record`.
    pub(crate) fn render(&self, record: &Record, out: &mut Vec<u8>) -> Result<(), RenderError> {
        match &self.constant {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => self.render_with(record.clone(), out)?,
        }
        Ok(())
    }

    /// The same as text of its own.
    pub(crate) fn text(&self, record: &Record) -> Result<String, RenderError> {
        let mut text = Vec::new();
        self.render(record, &mut text)?;
        String::from_utf8(text)
            .map_err(|_| RenderError { why: "makes text that is not UTF-8".into(), line: None })
    }

    fn render_with(&self, record: Record, out: &mut Vec<u8>) -> Result<(), RenderError> {
        let template = self.environment.get_template(NAME).map_err(|error| RenderError::of(&error))?;
        let out = Limited { left: OUTPUT_BYTES_MAX, out };
        let walked = record.walked().clone();
        template.render_captured_to(record.into_value(), out).map_err(|error| RenderError::of(&error))?;
        walked.check().map_err(|error| RenderError::of(&error))
    }

    /// What of a record it looks at.
    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}

impl Expression {
    /// Compiles `source`.
    pub(crate) fn new(source: &str) -> Result<Self, SyntaxError> {
        // Alone first: what ends the tag in the template below is no expression.
        let environment = environment(Escape::Text, UndefinedBehavior::Chainable);
        environment
            .compile_expression_owned(source.to_owned())
            .map_err(|error| SyntaxError::of(&error, source, 0))?;
        let text = format!("{OPEN}{source}%}}1{{% endif %}}");
        Template::compile(text, Escape::Text, UndefinedBehavior::Chainable, OPEN.len())
            .map(|template| Self { template })
    }

    /// Whether it is true of `record`. What a record does not have is not true, equals nothing, and comes before everything.
    pub(crate) fn is_true(&self, record: &Record) -> Result<bool, RenderError> {
        let mut out = Vec::new();
        self.template.render(record, &mut out)?;
        Ok(!out.is_empty())
    }

    /// What of a record it looks at.
    pub(crate) fn wanted(&self) -> &Wanted {
        &self.template.wanted
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("wanted", self.wanted()).finish_non_exhaustive()
    }
}

impl SyntaxError {
    fn of(error: &minijinja::Error, source: &str, ahead: usize) -> Self {
        let detail = match (error.kind(), error.detail()) {
            (ErrorKind::SyntaxError, Some(detail)) => detail.to_owned(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        // Columns are not told without more of the engine than it is worth; what it quotes can be found.
        let line = error.line();
        let column = (source.lines().count() <= 1).then(|| column_of(&detail, source)).flatten();
        Self { problem: detail, line, column: column.map(|column| column.saturating_sub(ahead)) }
    }

    fn unknown(name: &str, source: &str, ahead: usize) -> Self {
        let at = code::place_of(name, source);
        Self::at(format!("unknown name `{name}`; known: {}", record::names()), at, source, ahead)
    }

    fn at(problem: String, at: Option<usize>, source: &str, ahead: usize) -> Self {
        let at = at.map(|at| code::line_and_column(source, at));
        Self {
            problem,
            line: at.map(|(line, _)| line),
            column: at.map(|(line, column)| if line == 1 { column.saturating_sub(ahead) } else { column }),
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            _ => {}
        }
        f.write_str(&self.problem)
    }
}

impl RenderError {
    /// Kinds only: details of the engine may quote values.
    fn of(error: &minijinja::Error) -> Self {
        let why = match error.kind() {
            ErrorKind::UndefinedError => "uses what the record does not have",
            ErrorKind::OutOfFuel => "takes more time or memory than a template may",
            ErrorKind::WriteFailure => "writes more than a template may",
            ErrorKind::UnknownMethod => "calls a method that the value does not have",
            ErrorKind::BadSerialization => {
                return Self { why: escape::reason(error).into(), line: error.line() };
            }
            _ => "does with a value what its type does not allow",
        };
        Self { why: why.into(), line: error.line() }
    }
}

/// An environment in which a template can do nothing but look at a record and write text.
fn environment(escape: Escape, undefined: UndefinedBehavior) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    // What a template captures (`{% set %}`) has been written as values are written, once.
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("values".into()));
    environment.set_formatter(move |out, _state, value| escape.write(value, out));
    filters::add(&mut environment, escape);
    environment
}

/// Where the thing stands that an error quotes.
fn column_of(detail: &str, source: &str) -> Option<usize> {
    let quoted = detail.split('`').nth(1)?;
    let at = source.find(quoted)?;
    Some(source[..at].chars().count() + 1)
}

/// Ends a template that writes without end.
struct Limited<'a> {
    left: usize,
    out: &'a mut Vec<u8>,
}

impl io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const NAME: &str = "template";
const OPEN: &str = "{% if ";

#[cfg(test)]
mod tests;
