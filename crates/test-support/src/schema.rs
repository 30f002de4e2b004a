//! Compares a JSON Schema of a TOML file with what parses the file.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value as Json;
use toml::{Table, Value};

/// Path of a setting; `None` stands for any key of a table.
type Setting = Vec<Option<String>>;

/// Files to put a setting into, with the path of the table.
type Surroundings<'a> = dyn Fn(&[&str]) -> Vec<(Table, Vec<String>)> + 'a;

/// Numbers around limits.
const NUMBERS: &[i64] = &[
    -1,
    0,
    1,
    2,
    3,
    4,
    49,
    50,
    51,
    63,
    64,
    65,
    99,
    100,
    101,
    119,
    120,
    121,
    200,
    255,
    256,
    257,
    443,
    511,
    512,
    513,
    599,
    600,
    1000,
    1001,
    1024,
    1439,
    1440,
    1441,
    1536,
    1979,
    1980,
    1981,
    2048,
    3072,
    3600,
    3601,
    4000,
    4001,
    4096,
    8192,
    16_384,
    30_720,
    31_744,
    65_535,
    65_536,
    4_294_967_295,
    4_294_967_296,
    i64::MAX,
];

/// Schema and parser of a file.
pub struct Comparison<'a> {
    validate: &'a dyn Fn(&Json) -> Result<(), String>,
    settings: BTreeSet<Setting>,
    parse: &'a dyn Fn(&Table) -> Result<(), String>,
    beyond: &'a [&'static str],
    met: BTreeSet<&'static str>,
    accepted: usize,
    compared: usize,
}

impl<'a> Comparison<'a> {
    /// Creates a comparison of a schema, with its validator, and a parser. `beyond` are parts of the parser's messages about what no schema can
    /// say, because it depends on two values or on the machine.
    pub fn new(
        schema: &Json,
        validate: &'a dyn Fn(&Json) -> Result<(), String>,
        parse: &'a dyn Fn(&Table) -> Result<(), String>,
        beyond: &'a [&'static str],
    ) -> Self {
        Self {
            validate,
            settings: settings(schema).into_iter().collect(),
            parse,
            beyond,
            met: BTreeSet::new(),
            accepted: 0,
            compared: 0,
        }
    }

    /// Asserts that both accept a file, or neither. Returns whether they do.
    pub fn compare(&mut self, file: &Table) -> bool {
        let json = serde_json::to_value(file).unwrap();
        self.compared += 1;
        match ((self.validate)(&json), (self.parse)(file)) {
            (Ok(()), Ok(())) => {
                self.accepted += 1;
                true
            }
            (Err(_), Err(_)) => false,
            (Err(message), Ok(())) => panic!("only the schema refuses:\n{file}\n{message}"),
            (Ok(()), Err(message)) => {
                let rule = self.beyond.iter().find(|rule| message.contains(**rule));
                let rule =
                    rule.unwrap_or_else(|| panic!("only the parser refuses:\n{file}\n{message}"));
                self.met.insert(rule);
                false
            }
        }
    }

    /// Compares files with one setting each, then files with several. `texts` are strings that are
    /// right for some setting, or nearly. `file` returns what a setting needs beside it, and the
    /// tables to put it into.
    pub fn compare_all(&mut self, texts: &[&str], file: &Surroundings<'_>) {
        let pool = pool(texts);
        let mut good: BTreeMap<Vec<String>, Vec<&Value>> = BTreeMap::new();
        for setting in self.settings.clone() {
            let names = if setting.contains(&None) {
                texts
            } else {
                &texts[..1]
            };
            for name in names {
                let part =
                    |part: &Option<String>| part.clone().unwrap_or_else(|| (*name).to_owned());
                let path: Vec<String> = setting.iter().map(part).collect();
                let borrowed: Vec<&str> = path.iter().map(String::as_str).collect();
                // Where any key is possible: few values for each key, and all values for one.
                let step = if setting.contains(&None) && *name != "a" {
                    23
                } else {
                    1
                };
                for value in pool.iter().step_by(step) {
                    for (index, (base, place)) in file(&borrowed).into_iter().enumerate() {
                        let mut file = base;
                        set(&mut file, &[place, path.clone()].concat(), value.clone());
                        if self.compare(&file) && index == 0 {
                            good.entry(path.clone()).or_default().push(value);
                        }
                    }
                }
            }
        }
        self.combine(&pool, &good, file);
    }

    /// Compares files with several settings, most of them accepted alone.
    fn combine(
        &mut self,
        pool: &[Value],
        good: &BTreeMap<Vec<String>, Vec<&Value>>,
        file: &Surroundings<'_>,
    ) {
        let mut random = StdRng::seed_from_u64(19);
        let paths: Vec<&Vec<String>> = good.keys().collect();
        for _ in 0..3_000 {
            let mut combined = Table::new();
            for _ in 0..random.random_range(2..8) {
                let path = *paths.choose(&mut random).unwrap();
                let borrowed: Vec<&str> = path.iter().map(String::as_str).collect();
                let (base, place) = file(&borrowed).into_iter().next().unwrap();
                let value = if random.random_bool(0.95) {
                    good[path].choose(&mut random).unwrap()
                } else {
                    pool.choose(&mut random).unwrap()
                };
                if combined.is_empty() || base.is_empty() {
                    combined = if combined.is_empty() { base } else { combined };
                    set(
                        &mut combined,
                        &[place, path.clone()].concat(),
                        value.clone(),
                    );
                }
            }
            self.compare(&combined);
        }
    }

    /// Asserts that so many settings and files were compared, and that every rule beyond the schema
    /// was met.
    pub fn assert_thorough(&self, settings: usize, accepted: usize) {
        assert!(self.settings.len() >= settings, "{:?}", self.settings);
        assert!(
            self.accepted >= accepted,
            "{} of {}",
            self.accepted,
            self.compared
        );
        let unmet = self.beyond.iter().filter(|rule| !self.met.contains(**rule));
        assert_eq!(unmet.collect::<Vec<_>>(), [&""; 0]);
    }

    /// Returns how many files both have accepted.
    pub fn accepted(&self) -> usize {
        self.accepted
    }
}

/// Returns the paths of all settings in a schema without references.
fn settings(schema: &Json) -> Vec<Setting> {
    let mut found = Vec::new();
    let properties = schema.get("properties").and_then(Json::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let inner = settings(schema);
        let inner = if inner.is_empty() {
            vec![Vec::new()]
        } else {
            inner
        };
        found.extend(
            inner
                .into_iter()
                .map(|path| [vec![Some(name.clone())], path].concat()),
        );
    }
    let any = schema
        .get("additionalProperties")
        .filter(|any| any.is_object());
    // A table of tables is a variant of the whole file.
    if any.is_some_and(|any| any.get("properties").is_none()) {
        found.push(vec![None]);
    }
    found
}

/// Sets a value in a file, in the tables that it needs, or in the last one of an array of tables.
/// What is no table there is replaced.
fn set(file: &mut Table, path: &[String], value: Value) {
    let Some((last, tables)) = path.split_last() else {
        return;
    };
    let mut table = file;
    for name in tables {
        let inner = table
            .entry(name.as_str())
            .or_insert_with(|| Value::Table(Table::new()));
        if !inner.is_table() && inner.get(0).is_none_or(|first| !first.is_table()) {
            *inner = Value::Table(Table::new());
        }
        let inner = match inner.as_array().map(Vec::len) {
            Some(length) => inner.get_mut(length - 1).unwrap(),
            None => inner,
        };
        table = inner.as_table_mut().unwrap();
    }
    table.insert(last.clone(), value);
}

/// Returns values of all types, alone and in lists.
fn pool(texts: &[&str]) -> Vec<Value> {
    let long = [100, 101, 128, 129, 255, 256, 257, 1024, 1025, 4096, 4097];
    let long = long.map(|length| "a".repeat(length));
    let long = long
        .iter()
        .flat_map(|text| [Value::from(text.as_str()), Value::from(format!("/{text}"))]);
    let texts = texts.iter().map(|text| Value::from(*text)).chain(long);
    let numbers = NUMBERS.iter().map(|number| Value::from(*number));
    // JSON does not tell 1.0 from 1: only a float with a fraction.
    let other = [
        Value::from(true),
        Value::from(1.5),
        Value::Table(Table::new()),
        Value::Array(Vec::new()),
    ];
    let single: Vec<Value> = texts.chain(numbers).chain(other).collect();
    let in_list = single.iter().map(|value| Value::from(vec![value.clone()]));
    let list = |items: &[&str]| Value::from(items.to_vec());
    let lists = [
        Value::from(vec![443, 5432]),
        Value::from(vec![5432]),
        Value::from(vec![443, 0]),
        Value::from(vec![443, 65_536]),
        Value::from(vec![443; 51]),
        list(&["/tmp", "/tmp/"]),
        list(&["subnet-01234567", "subnet-01234567"]),
        list(&["subnet-01234567", "subnet-0123456789abcdef0"]),
        list(&["sg-01234567"; 5]),
        list(&["/a"; 2]),
        list(&[
            "/a", "/b", "/c", "/d", "/e", "/f", "/g", "/h", "/i", "/j", "/k",
        ]),
    ];
    let in_list: Vec<Value> = in_list.chain(lists).collect();
    single.into_iter().chain(in_list).collect()
}
