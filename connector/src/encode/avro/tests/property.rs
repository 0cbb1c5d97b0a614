//! Random records of random schemas: the plan and `apache-avro` agree, byte for byte.
//!
//! The expected value is built from the parsed schema by the rules in the module's documentation and knows
//! nothing of the plan. `apache-avro` keeps maps in hash maps, which have no order, so a datum that has a map of
//! several entries is compared by size and content.

use apache_avro::schema::{NamesRef, ResolvedSchema};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// A type, in which `@` makes names unique, and values that often fit it.
type Case = (&'static str, fn() -> BoxedStrategy<Tree>);

const CASES: [Case; 13] = [
    (r#""long""#, integers),
    (r#"["null","int"]"#, integers),
    (r#"["int","double","null"]"#, numbers),
    (r#"["null","float"]"#, numbers),
    (r#"{"type":"long","logicalType":"timestamp-millis"}"#, integers),
    (r#"["null","string"]"#, texts),
    (r#"["null",{"type":"enum","name":"E@","symbols":["a","b"]},"string"]"#, texts),
    (r#"[{"type":"fixed","name":"F@","size":3},"null","bytes"]"#, blobs),
    (r#"["null","boolean"]"#, booleans),
    (r#"{"type":"array","items":["null","long","string"]}"#, lists),
    (r#"{"type":"map","values":["null","double","long","string"]}"#, maps),
    (
        r#"["null",{"type":"record","name":"R@","fields":[
            {"name":"a","type":["null","R@","long"],"default":null},{"name":"b","type":"string","default":"none"}]},
           {"type":"array","items":"long"},{"type":"map","values":["null","string"]}]"#,
        maps,
    ),
    (
        r#"["null","boolean","long","double","string","bytes",
            {"type":"array","items":["null","boolean","long","double","string","bytes",{"type":"map","values":["long","string"]}]},
            {"type":"map","values":["null","long","double","string",{"type":"array","items":["long","string"]}]}]"#,
        anything,
    ),
];

fn integers() -> BoxedStrategy<Tree> {
    prop_oneof![
        any::<i64>(),
        any::<i32>().prop_map(i64::from),
        -70_i64..70,
        select(vec![i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN, i64::MAX, 1 << 24, (1 << 53) + 1]),
    ]
    .prop_map(Tree::Integer)
    .boxed()
}

fn doubles() -> BoxedStrategy<Tree> {
    // Not NaN, which no comparison finds equal; it has its place in the table of types.
    prop_oneof![
        any::<f64>().prop_filter("a number", |double| !double.is_nan()),
        any::<f32>().prop_filter("a number", |float| !float.is_nan()).prop_map(f64::from)
    ]
    .prop_map(Tree::Double)
    .boxed()
}

fn numbers() -> BoxedStrategy<Tree> {
    prop_oneof![integers(), doubles()].boxed()
}

fn texts() -> BoxedStrategy<Tree> {
    let text = prop_oneof![select(vec!["a", "b", ""]).prop_map(str::to_owned), ".{0,80}"];
    prop_oneof![4 => text.prop_map(Tree::Text), 1 => Just(Tree::GeoJson("{}".to_owned()))].boxed()
}

fn blobs() -> BoxedStrategy<Tree> {
    (select(vec![4_u8, 7, 9, 18]), vec(any::<u8>(), 0..6))
        .prop_map(|(type_, bytes)| Tree::Blob(type_, bytes))
        .boxed()
}

fn booleans() -> BoxedStrategy<Tree> {
    any::<bool>().prop_map(Tree::Boolean).boxed()
}

fn scalars() -> BoxedStrategy<Tree> {
    prop_oneof![integers(), doubles(), texts(), blobs(), booleans(), Just(Tree::Null)].boxed()
}

fn lists() -> BoxedStrategy<Tree> {
    vec(prop_oneof![integers(), texts(), Just(Tree::Null)], 0..4).prop_map(Tree::List).boxed()
}

fn maps() -> BoxedStrategy<Tree> {
    let leaf = prop_oneof![3 => texts(), 2 => integers(), 1 => Just(Tree::Null)];
    leaf.prop_recursive(3, 12, 3, entries).boxed()
}

fn entries(values: impl Strategy<Value = Tree> + 'static) -> BoxedStrategy<Tree> {
    let keys = prop_oneof![
        8 => select(vec!["a", "b", "c"]).prop_map(Tree::text),
        1 => (-9_i64..9).prop_map(Tree::Integer),
        1 => Just(Tree::Boolean(true)),
    ];
    vec((keys, values), 0..3)
        .prop_map(|mut entries| {
            // A map has each key once.
            entries.sort_by_key(|(key, _)| format!("{key:?}"));
            entries.dedup_by_key(|(key, _)| format!("{key:?}"));
            Tree::Map(entries)
        })
        .boxed()
}

fn anything() -> BoxedStrategy<Tree> {
    scalars()
        .prop_recursive(3, 16, 4, |inner| {
            prop_oneof![vec(inner.clone(), 0..4).prop_map(Tree::List), entries(inner)]
        })
        .boxed()
}

/// Types of the fields, and for some of them a bin.
fn records() -> impl Strategy<Value = (Vec<&'static str>, Vec<(usize, Tree)>)> {
    let field = select(CASES.to_vec()).prop_flat_map(|(type_, values)| {
        let bin = prop_oneof![7 => values().prop_map(Some), 1 => anything().prop_map(Some), 2 => Just(None)];
        (Just(type_), bin)
    });
    vec(field, 0..9).prop_flat_map(|fields| {
        let (types, bins): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let bins: Vec<_> = bins.into_iter().enumerate().filter_map(|(at, bin)| Some((at, bin?))).collect();
        (Just(types), Just(bins).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_datum_is_that_of_apache_avro((types, bins) in records()) {
        let fields: Vec<_> = types
            .iter()
            .enumerate()
            .map(|(at, type_)| format!(r#"{{"name":"f{at}","type":{}}}"#, type_.replace('@', &at.to_string())))
            .collect();
        let text = record_schema(&fields.join(","));
        let schema = parsed(&text);
        let names: Vec<_> = (0..types.len()).map(|at| format!("f{at}")).collect();
        let bins: Vec<_> = bins.into_iter().map(|(at, tree)| (names[at].as_str(), tree)).collect();
        let resolved = ResolvedSchema::new(&schema).expect("a schema");
        let ours = write_bins(&raw(&text), &bins);
        match (expected_record(&schema, resolved.get_names(), &bins), ours) {
            (Some(value), Ok(ours)) => {
                let theirs = apache(&schema, &value).expect("valid");
                if bins.iter().any(|(_, tree)| has_order(tree)) {
                    prop_assert_eq!(read(&schema, &ours), value);
                    prop_assert_eq!(ours.len(), theirs.len());
                } else {
                    prop_assert_eq!(ours, theirs);
                }
            }
            (None, Err(_)) => {}
            (value, ours) => prop_assert!(false, "expected {value:?}, found {ours:?} for {text} {bins:?}"),
        }
    }
}

fn has_order(tree: &Tree) -> bool {
    match tree {
        Tree::List(items) => items.iter().any(has_order),
        Tree::Map(entries) => entries.len() > 1 || entries.iter().any(|(_, value)| has_order(value)),
        _ => false,
    }
}

fn expected_record(schema: &Schema, names: &NamesRef<'_>, bins: &[(&str, Tree)]) -> Option<AvroValue> {
    let Schema::Record(record) = schema else { panic!("{schema:?}") };
    let fields = record.fields.iter().map(|field| {
        let bin = bins.iter().find(|(name, tree)| *name == field.name && *tree != Tree::Null);
        let tree = bin.map_or(&Tree::Null, |(_, tree)| tree);
        Some((field.name.clone(), expected(&field.schema, names, tree)?))
    });
    fields.collect::<Option<_>>().map(AvroValue::Record)
}

/// The value that `tree` is in `schema`, by the documented rules.
fn expected(schema: &Schema, names: &NamesRef<'_>, tree: &Tree) -> Option<AvroValue> {
    Some(match (schema, tree) {
        (Schema::Ref { name }, _) => return expected(names[name], names, tree),
        (Schema::Null, Tree::Null) => AvroValue::Null,
        (Schema::Boolean, Tree::Boolean(boolean)) => AvroValue::Boolean(*boolean),
        (Schema::Int, Tree::Integer(integer)) => AvroValue::Int(i32::try_from(*integer).ok()?),
        (Schema::Long, Tree::Integer(integer)) => AvroValue::Long(*integer),
        (Schema::TimestampMillis, Tree::Integer(integer)) => AvroValue::TimestampMillis(*integer),
        (Schema::Double, Tree::Double(double)) => AvroValue::Double(*double),
        (Schema::Double, Tree::Integer(integer)) => {
            AvroValue::Double(Some(*integer as f64).filter(|double| *double as i128 == i128::from(*integer))?)
        }
        (Schema::Float, Tree::Double(double)) => AvroValue::Float(
            Some(*double as f32).filter(|float| float.is_infinite() == double.is_infinite())?,
        ),
        (Schema::Float, Tree::Integer(integer)) => {
            AvroValue::Float(Some(*integer as f32).filter(|float| *float as i128 == i128::from(*integer))?)
        }
        (Schema::String, Tree::Text(text) | Tree::GeoJson(text)) => AvroValue::String(text.clone()),
        (Schema::Bytes, Tree::Blob(_, bytes)) => AvroValue::Bytes(bytes.clone()),
        (Schema::Fixed(fixed), Tree::Blob(_, bytes)) if fixed.size == bytes.len() => {
            AvroValue::Fixed(fixed.size, bytes.clone())
        }
        (Schema::Enum(symbols), Tree::Text(text)) => {
            let position = symbols.symbols.iter().position(|symbol| symbol == text)?;
            AvroValue::Enum(position as u32, text.clone())
        }
        (Schema::Array(array), Tree::List(items)) => AvroValue::Array(
            items.iter().map(|item| expected(&array.items, names, item)).collect::<Option<_>>()?,
        ),
        (Schema::Map(map), Tree::Map(entries)) => {
            let entry = |(key, value): &(Tree, Tree)| {
                let key = match key {
                    Tree::Text(key) => key.clone(),
                    Tree::Integer(key) => key.to_string(),
                    _ => return None,
                };
                Some((key, expected(&map.types, names, value)?))
            };
            AvroValue::Map(entries.iter().map(entry).collect::<Option<_>>()?)
        }
        (Schema::Record(record), Tree::Map(entries)) => {
            let known = |key: &Tree| record.fields.iter().any(|field| *key == Tree::text(&field.name));
            if !entries.iter().all(|(key, _)| known(key)) {
                return None;
            }
            let field = |field: &apache_avro::schema::RecordField| {
                let value = match entries.iter().find(|(key, _)| *key == Tree::text(&field.name)) {
                    Some((_, tree)) => expected(&field.schema, names, tree)?,
                    None if field.name == "a" => AvroValue::Union(0, Box::new(AvroValue::Null)),
                    None => AvroValue::String("none".to_owned()),
                };
                Some((field.name.clone(), value))
            };
            AvroValue::Record(record.fields.iter().map(field).collect::<Option<_>>()?)
        }
        (Schema::Union(union), _) => {
            let mut branches: Vec<_> = union.variants().iter().enumerate().collect();
            branches.sort_by_key(|(_, branch)| match branch {
                Schema::Long => 0,
                Schema::Int => 1,
                Schema::Double => 2,
                Schema::Float => 3,
                _ => 4,
            });
            // For a map only the keys decide.
            let (index, value) = branches.into_iter().find_map(|(index, branch)| {
                let fits = match (branch, tree) {
                    (Schema::Ref { name }, Tree::Map(entries)) => keys_fit(names[name], entries),
                    (branch, Tree::Map(entries)) => keys_fit(branch, entries),
                    _ => expected(branch, names, tree).is_some(),
                };
                fits.then(|| (index, expected(branch, names, tree)))
            })?;
            AvroValue::Union(index as u32, Box::new(value?))
        }
        _ => return None,
    })
}

fn keys_fit(schema: &Schema, entries: &[(Tree, Tree)]) -> bool {
    match schema {
        Schema::Record(record) => {
            entries.iter().all(|(key, _)| record.fields.iter().any(|field| *key == Tree::text(&field.name)))
        }
        schema => matches!(schema, Schema::Map(_)),
    }
}
