//! What templates may and may not do, whoever wrote them and whatever records hold.

use std::time::{Duration, Instant};

use super::*;
use crate::{
    notification::{
        Bin, ChangeNotification, Digest, ExistsAction, Expiry, GenerationPolicy, Operation, Value,
    },
    wire::value::particle,
};

fn notification<'a>(bins: &[(&'a str, Value<'a>)]) -> ChangeNotification<'a> {
    ChangeNotification {
        operation: Operation::Write,
        namespace: b"shop",
        set: None,
        digest: Digest([1; 20]),
        user_key: None,
        generation: None,
        lut_unix_ms: None,
        expiry: Expiry::Unknown,
        exists_action: ExistsAction::Replace,
        generation_policy: GenerationPolicy::None,
        xdr: true,
        bins: bins.iter().map(|(name, value)| Bin { name: name.as_bytes(), value: *value }).collect(),
    }
}

fn is_true(expression: &str, bins: &[(&str, Value<'_>)]) -> Result<bool, String> {
    let expression = Expression::new(expression).map_err(|error| error.to_string())?;
    expression
        .is_true(&Record::new(&notification(bins), expression.wanted()))
        .map_err(|error| error.why.into_owned())
}

fn render(source: &str, escape: Escape, bins: &[(&str, Value<'_>)]) -> Result<String, String> {
    let template = Template::new(source, escape).map_err(|error| error.to_string())?;
    let record = Record::new(&notification(bins), template.wanted());
    template.text(&record).map_err(|error| error.why.into_owned())
}

#[test]
fn what_a_record_does_not_have_is_not_true() {
    for expression in [
        "bins.a",
        "bins.a.b.c",
        "bins.a == 1",
        "bins.a == 'x'",
        "bins.a > 1",
        "bins.a >= 1",
        "bins.a in ['x']",
        "'x' in bins.a",
        "set",
        "set == 'x'",
        "key",
        "bins['a']",
        "lut_unix_ms > 0",
    ] {
        assert_eq!(is_true(expression, &[]), Ok(false), "{expression}");
    }
    for expression in [
        "not bins.a",
        "bins.a is not defined",
        "bins.a != 1",
        "set is none",
        "bins.a|default(5) == 5",
        "bins.a < 1",
    ] {
        assert_eq!(is_true(expression, &[]), Ok(true), "{expression}");
    }
}

#[test]
fn values_compare_as_what_they_are() {
    let bins = [
        ("i", Value::Integer(5)),
        ("f", Value::Double(5.0)),
        ("s", Value::String(b"5")),
        ("t", Value::Boolean(true)),
        ("l", particle(20, b"\x92\x01\xa2\x03a").unwrap()),
    ];
    for (expression, expected) in [
        ("bins.i == 5 and bins.i == bins.f", true),
        ("bins.s == 5", false),
        ("bins.s|int == 5", true),
        ("bins.t", true),
        ("bins.t == true", true),
        ("'a' in bins.l", true),
        ("bins.l[0] == 1", true),
        ("bins.l|length > 1", true),
        ("namespace == 'shop' and digest_hex is startingwith '0101'", true),
    ] {
        assert_eq!(is_true(expression, &bins), Ok(expected), "{expression}");
    }
}

#[test]
fn mistakes_show_when_the_configuration_is_loaded() {
    for (source, expected) in [
        ("a {{ nmespace }}", "line 1, column 6: unknown name `nmespace`; known: `namespace`, `set`"),
        ("a\n  {{ bins.a ~ kee }}", "line 2, column 15: unknown name `kee`"),
        ("{{ bins.a|lowercase }}", "line 1, column 11: unknown filter `lowercase`"),
        ("{{ bins.a|lowr }}", "did you mean `lower`?"),
        ("{% if bins.a is odd %}{% endif %}", "unknown test `odd`"),
        ("{{ range(10) }}", "unknown name `range`"),
        ("{{ bins.a", "line 1: "),
        ("{% include 'x' %}", "line 1: "),
        ("{% macro f() %}{% endmacro %}", "line 1: "),
        ("a\n{% for x in bins.a %}", "line 2: "),
        ("{{ namespace.upper( }}", "unexpected"),
        ("{{ [bins.a, bins.a] }}", "a list or a map of the template's own"),
    ] {
        let error = Template::new(source, Escape::Text).unwrap_err().to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
    for (source, expected) in [
        ("bins.a >", "unexpected end"),
        ("true %}{{ 1 }}{% if true", "unexpected"),
        ("bins.a > limit", "line 1, column 10: unknown name `limit`"),
        ("bins.a|nope", "line 1, column 8: unknown filter `nope`"),
        ("", "unexpected end"),
    ] {
        let error = Expression::new(source).unwrap_err().to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn in_json_a_value_inside_quotes_is_refused() {
    for source in
        [r#"{"a": "{{ bins.a }}"}"#, "{\"a\":\n \"x-{{ bins.a }}\"}", r#"{"a\"": "\"{{ bins.a }}"}"#]
    {
        let error = Template::new(source, Escape::Json).unwrap_err().to_string();
        assert!(error.contains("a value inside quotes"), "{error}");
    }
    for source in [r#"{"a": {{ "x-" ~ bins.a }}}"#, r#"{"{{ bins.a|safe }}": 1}"#, r#"{{ bins["a"] }}"#] {
        assert!(Template::new(source, Escape::Json).is_ok(), "{source}");
    }
}

#[test]
fn no_value_gets_out_of_where_it_stands() {
    let hostile = [("a", Value::String(b"\"'<>&{{ namespace }}/../%2e\r\n\0\xc3\xa9?#"))];
    let text = "\"'<>&{{ namespace }}/../%2e\r\n\0\u{e9}?#";
    for (escape, expected) in [
        (Escape::Text, text.to_owned()),
        (Escape::Json, serde_json::to_string(text).unwrap()),
        (
            Escape::Path,
            "%22%27%3C%3E%26%7B%7B%20namespace%20%7D%7D%2F..%2F%252e%0D%0A%00%C3%A9%3F%23".to_owned(),
        ),
    ] {
        assert_eq!(render("{{ bins.a }}", escape, &hostile).as_deref(), Ok(expected.as_str()));
    }
    let markup = render("<a>{{ bins.a }}</a>", Escape::Markup, &hostile).unwrap();
    assert!(!markup[3..markup.len() - 4].contains(['<', '>', '"', '\'']), "{markup}");
    assert_eq!(render("a={{ bins.a }}", Escape::Form, &hostile).unwrap().matches(['=', '&']).count(), 1);
    // Captured text is written once, not twice.
    let captured = r#"{% set x %}{{ bins.b }}{% endset %}[{{ x }}]"#;
    assert_eq!(render(captured, Escape::Json, &[("b", Value::String(b"\""))]).as_deref(), Ok(r#"["\""]"#));
    // Nothing that is put into it is read as a template.
    assert_eq!(
        render("{{ bins.b }}", Escape::Text, &[("b", Value::String(b"{{ digest }}"))]).as_deref(),
        Ok("{{ digest }}")
    );
}

#[test]
fn a_path_has_something_wherever_a_value_belongs() {
    for bins in [vec![], vec![("a", Value::String(b""))], vec![("a", Value::Null)]] {
        assert!(render("/x/{{ bins.a }}", Escape::Path, &bins).is_err(), "{bins:?}");
    }
    assert!(render("/x/{{ set }}", Escape::Path, &[]).is_err(), "no set");
    assert_eq!(render("/x/{{ bins.a }}", Escape::Path, &[("a", Value::Integer(-1))]).as_deref(), Ok("/x/-1"));
}

/// Each takes for ever, or all memory, where nothing stops it.
const HOSTILE: [&str; 26] = [
    "{{ 'x' * 100000000000 }}",
    "{{ 'x' * 90000000 }}",
    "{{ ('x' * 1000000) ~ ('x' * 1000000) * 60 }}",
    "{% for a in bins.l %}{% for b in bins.l %}{% for c in bins.l %}x{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in bins.l %}{% for b in bins.l %}{% for c in bins.l %}{% set x = 1 %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in bins.l %}{% for b in bins.l %}{{ bins.l }}{% endfor %}{% endfor %}",
    "{% for a in bins.l %}{{ bins.l|join(bins.l|join('y')) }}{% endfor %}",
    "{% for a in bins.l %}{% for b in bins.l %}{{ bins.l[29999] }}{% endfor %}{% endfor %}",
    "{% for a in bins.l %}{% for b in bins.l %}{% if bins.l[29999] == 'x' %}{% endif %}{% endfor %}{% endfor %}",
    "{% for a in bins.l %}{% for b in bins.l %}{% if 'x' in bins.l %}{% endif %}{% endfor %}{% endfor %}",
    "{% for a in bins.l %}{% for b in bins.l %}{% if bins.l == bins.l %}{% endif %}{% endfor %}{% endfor %}",
    "{% for a in bins.l %}{% set x = bins.l|tojson|replace('1', bins.l|tojson) %}{{ x|length }}{% endfor %}",
    "{% for a in bins.l %}{% set x = bins.m|items %}{% endfor %}",
    "{% for k in bins.m %}{% for j in bins.m %}{{ bins.m[k] }}{% endfor %}{% endfor %}",
    "{% set a = [1, 1] %}DOUBLES{{ a }}",
    "{% set a = [1, 1] %}DOUBLES{{ a|tojson }}",
    "{% set a = [1, 1] %}DOUBLES{{ a|join }}",
    "{% set a = [1, 1] %}DOUBLES{{ a ~ 'x' }}",
    "{% set a = [1, 1] %}DOUBLES{{ a == a }}{{ a|string|length }}",
    "{% set a = 'xx' %}JOINS{{ a }}",
    "{% set a = [1, 1] * 3000000 %}{{ a|length }}{{ (a * 300)|length }}",
    "{{ (bins.l * 1000) ~ 'x' }}",
    "{{ (bins.l * 1000)|tojson }}",
    "{{ bins.l * 1000 }}",
    "{% for a in bins.l %}{% set b = bins.l ~ bins.l %}{% endfor %}",
    "{{ 2 ** 100000000000 }}{{ 'x'|replace('x', 'x' * 60000000)|replace('x', 'y' * 60000000) }}",
];

#[test]
fn no_template_takes_all_time_or_memory() {
    // Thirty thousand numbers, and as many pairs.
    let mut list = vec![0xdc, 0x75, 0x30];
    list.extend(std::iter::repeat_n(1, 30_000));
    let mut map = vec![0xde, 0x75, 0x30];
    for n in 0..30_000_u16 {
        map.push(0xcd);
        map.extend(n.to_be_bytes());
        map.push(1);
    }
    let bins = [("l", particle(20, &list).unwrap()), ("m", particle(19, &map).unwrap())];
    for source in HOSTILE {
        let source = source
            .replace("DOUBLES", &"{% set a = [a, a] %}".repeat(60))
            .replace("JOINS", &"{% set a = a ~ a %}".repeat(60));
        let began = Instant::now();
        let escape = if source.contains("tojson") { Escape::Json } else { Escape::Text };
        let made = render(&source, escape, &bins);
        // Without a bound each would take hours, or all memory: the clock of a busy machine may be generous.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?} for {source}", began.elapsed());
        assert!(made.is_err(), "{source} made {:?} bytes", made.map(|text| text.len()));
    }
    let deep = format!("{{{{ {}1{} }}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(render(&deep, Escape::Text, &[]).is_err());
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    assert!(render(&deep, Escape::Text, &[]).is_err());
    let nested = format!("{}1{}", "{% if true %}".repeat(5000), "{% endif %}".repeat(5000));
    assert!(render(&nested, Escape::Text, &[]).is_err());
}
