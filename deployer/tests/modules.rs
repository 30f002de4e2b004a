//! The direction of dependencies inside each crate: modules beside each other never import each
//! other in a circle. Between crates, Cargo refuses circles itself.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Path of a module within its crate; empty for the root.
type Module = Vec<String>;
/// Imports between siblings, by the module that both are children of.
type Siblings = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for folder in crates() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let modules = modules(&folder.join("src"));
        for (parent, imports) in siblings(&modules) {
            let place = [vec![name.clone()], parent].concat().join("::");
            // Shown with `--nocapture`.
            for (module, imported) in &imports {
                let imported: Vec<&str> = imported.iter().map(String::as_str).collect();
                println!("{place}: {module} -> {}", imported.join(" "));
            }
            let in_circle = circle(&imports);
            if !in_circle.is_empty() {
                circles.push(format!("{place}: {}", in_circle.join(" ")));
            }
        }
    }
    assert!(
        circles.is_empty(),
        "these import each other in a circle:\n{}",
        circles.join("\n")
    );
}

#[test]
fn the_domain_knows_neither_a_runtime_nor_an_sdk() {
    let manifest = fs::read_to_string(root().join("crates/deployment/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let mut wanted: Vec<String> = manifest["dependencies"]
        .as_table()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut linked = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !linked.insert(name.clone()) {
            continue;
        }
        for package in lock["package"].as_array().unwrap() {
            if package["name"].as_str() != Some(name.as_str()) {
                continue;
            }
            let dependencies = package.get("dependencies").and_then(toml::Value::as_array);
            // Packages of the workspace list what only their tests need, too.
            let own = package.get("source").is_none();
            for dependency in dependencies.into_iter().flatten() {
                let name = dependency.as_str().unwrap().split(' ').next().unwrap();
                if !own || is_dependency(&package["name"], name) {
                    wanted.push(name.to_owned());
                }
            }
        }
    }
    let forbidden: Vec<&String> = linked
        .iter()
        .filter(|name| {
            name.starts_with("aws-") || ["tokio", "hyper", "reqwest"].contains(&name.as_str())
        })
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

#[test]
fn circles_are_found() {
    let texts = [
        ("a", "use crate::{b::Thing, c};"),
        ("b", "mod d;\nuse super::c::{self, Other};"),
        ("b::d", "fn f() { crate::a::g() }"),
        (
            "c",
            "// use crate::a;\nconst TEXT: &str = \"use crate::a;\";",
        ),
        (
            "b::e",
            "use super::Thing;\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}",
        ),
    ];
    let modules = texts
        .map(|(name, text)| (path(name), code(text)))
        .into_iter()
        .collect();
    let siblings = siblings(&modules);
    let top = &siblings[&Module::new()];
    assert_eq!(circle(top), ["a", "b"]);
    assert_eq!(top["b"], ["a", "c"].map(str::to_owned).into());
    assert!(!top.contains_key("c"), "{top:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns whether a package of the workspace needs this one for more than its tests.
fn is_dependency(package: &toml::Value, name: &str) -> bool {
    let package = package.as_str().unwrap();
    let folder = crates()
        .into_iter()
        .find(|folder| folder.file_name().is_some_and(|name| name == package));
    let manifest = fs::read_to_string(folder.unwrap().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    dependencies.is_some_and(|dependencies| dependencies.contains_key(name))
}

/// Returns the folders of the workspace's crates.
fn crates() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for parent in [root(), root().join("crates")] {
        for entry in fs::read_dir(parent).unwrap() {
            let folder = entry.unwrap().path();
            if folder.join("src").is_dir() {
                folders.push(folder);
            }
        }
    }
    folders.sort();
    folders
}

/// Returns the code of each module that ships: what only tests see may look at everything.
fn modules(src: &Path) -> BTreeMap<Module, String> {
    let mut modules = BTreeMap::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let module = path.strip_prefix(src).unwrap().with_extension("");
            let mut module: Module = module
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            if ["mod", "lib", "main"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            if !module
                .iter()
                .any(|part| part == "tests" || part == "testing")
            {
                modules.insert(module, code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    modules
}

/// Removes comments, texts, and the tests at the end of a file.
fn code(text: &str) -> String {
    let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut code = String::new();
    for line in shipped.lines() {
        let line = line.split("//").next().unwrap();
        // What stands between quotes is no path. Escaped quotes are rare enough in lines with paths.
        for (index, part) in line.split('"').enumerate() {
            if index % 2 == 0 {
                code.push_str(part);
            }
        }
        code.push('\n');
    }
    code
}

fn path(text: &str) -> Module {
    text.split("::").map(str::to_owned).collect()
}

/// Returns who imports whom, among modules with the same parent. A module and its children are one.
fn siblings(modules: &BTreeMap<Module, String>) -> Siblings {
    let mut siblings = Siblings::new();
    for (module, code) in modules {
        for imported in imports(module, code, modules) {
            let common = module
                .iter()
                .zip(&imported)
                .take_while(|(left, right)| left == right)
                .count();
            if let (Some(left), Some(right)) = (module.get(common), imported.get(common)) {
                siblings
                    .entry(module[..common].to_vec())
                    .or_default()
                    .entry(left.clone())
                    .or_default()
                    .insert(right.clone());
            }
        }
    }
    siblings
}

/// Returns the modules that are named in this code by a path from `crate` or `super`.
fn imports(module: &Module, code: &str, modules: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    for (index, _) in code
        .match_indices("crate::")
        .chain(code.match_indices("super::"))
    {
        let before = code[..index].chars().next_back();
        // `super::super::` is read from its beginning; `$crate` and `my_crate` are not meant.
        if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) {
            continue;
        }
        for path in expanded(&code[index..]) {
            let mut base = module.clone();
            let mut parts = path.iter().map(String::as_str).peekable();
            if parts.next_if_eq(&"crate").is_some() {
                base.clear();
            }
            while parts.next_if_eq(&"super").is_some() {
                base.pop();
            }
            for part in parts {
                base.push(part.to_owned());
                if !modules.contains_key(&base) {
                    base.pop();
                    break;
                }
            }
            found.insert(base);
        }
    }
    found
}

/// Returns the paths that a text begins with: one, or all of `a::{b, c::{d, e}}`.
fn expanded(text: &str) -> Vec<Module> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    let (head, rest) = text.split_at(end.unwrap_or(text.len()));
    let parts: Module = head
        .split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let Some(group) = rest.strip_prefix('{').filter(|_| head.ends_with("::")) else {
        return vec![parts];
    };
    let (mut depth, mut start, mut all) = (0_u32, 0, Vec::new());
    for (index, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let inner = expanded(&group[start..index]);
                all.extend(inner.into_iter().map(|path| [parts.clone(), path].concat()));
                start = index + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    all
}

/// Returns the modules that lead back to themselves, in the order of their names.
fn circle(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<&str> {
    let reaches_itself = |module: &String| {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = imports[module].iter().collect();
        while let Some(imported) = next.pop() {
            if imported == module {
                return true;
            }
            if seen.insert(imported) {
                next.extend(imports.get(imported).into_iter().flatten());
            }
        }
        false
    };
    imports
        .keys()
        .filter(|module| reaches_itself(module))
        .map(String::as_str)
        .collect()
}
