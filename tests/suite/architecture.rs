//! The floors of the house: which module may import which.
//!
//! Reads the paths that begin with `crate`, `super`, `self` or the name of the crate in every source file outside its
//! tests. An import may go down or stay on its floor; two modules of one floor, and two files that are not parent and
//! child, may not lead back to each other. Not here: what the floors are for (ARCHITECTURE.md).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the top down. A module stands on one floor; a new one must be given its place here.
const FLOORS: [&[&str]; 21] = [
    &["main", "cli"],
    &["command"],
    &["api"],
    &["report", "plot", "compare"],
    &["submit", "rates", "sweep", "train", "bench"],
    &["session"],
    &["cost", "plan"],
    &["config"],
    &["table"],
    &["threshold"],
    &["minimum", "curvature"],
    &["engine"],
    &["problem"],
    &["model", "data"],
    &["layer"],
    &["drift"],
    &["kernels"],
    &["batch", "rule", "outer", "stages"],
    &["delay"],
    &["update", "math"],
    &["theory", "text", "files", "memory", "streams", "host"],
];

/// A source file: the modules that lead to it (`["engine", "cpu"]`), and its text.
type Source = (Vec<String>, String);

/// One file that imports another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    from: Vec<String>,
    to: Vec<String>,
    /// The path as it stands in the file.
    path: String,
}

fn show(module: &[String]) -> String {
    format!("src/{}", module.join("/"))
}

/// Replaces comments, strings and characters by blanks, so that what is left is code alone.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut code, mut i) = (String::new(), 0);
    while i < chars.len() {
        let begin = i;
        match (at(i), at(i + 1)) {
            ('/', '/') => i += chars[i..].iter().take_while(|c| **c != '\n').count(),
            ('/', '*') => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            ('r', '"' | '#') if !(i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_')) => {
                let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
                if at(i + 1 + hashes) == '"' {
                    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                    i += 2 + hashes;
                    while i < chars.len() && !chars[i..].starts_with(&end) {
                        i += 1;
                    }
                    i += end.len();
                } else {
                    code.push('r');
                    i += 1;
                    continue;
                }
            }
            ('"', _) => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character, and no lifetime.
            ('\'', '\\') => i += 3 + chars[i + 3..].iter().take_while(|c| **c != '\'').count(),
            ('\'', _) if at(i + 2) == '\'' => i += 3,
            (c, _) => {
                code.push(c);
                i += 1;
                continue;
            }
        }
        let lines = chars[begin..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
        code.extend(std::iter::once(' ').chain(std::iter::repeat_n('\n', lines)));
    }
    code
}

/// Removes every item behind `#[cfg(test)]`, up to its semicolon or its closing brace.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..start]);
        let mut depth = 0;
        let end = rest[start..].char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0 && matches!(c, ';' | '}')
        });
        rest = end.map_or("", |(end, _)| &rest[start + end + 1..]);
    }
    kept + rest
}

/// Every path in the code that begins within the crate; those in braces are written out.
fn paths_of(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    for root in ["crate", "super", "self", "tauscope"] {
        for (start, _) in code.match_indices(&format!("{root}::")) {
            let before = code[..start].chars().next_back().unwrap_or(' ');
            let within = code[..start].ends_with("super::") || code[..start].ends_with("self::");
            if !(before.is_alphanumeric() || before == '_' || before == '$' || within) {
                write_out(&code[start..], &[], &mut paths);
            }
        }
    }
    paths
}

/// Adds the paths that `text` begins with, each behind `prefix`; returns what follows them.
fn write_out<'a>(text: &'a str, prefix: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut rest = text.trim_start();
    loop {
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if length > 0 {
            path.push(rest[..length].to_owned());
            rest = &rest[length..];
        } else if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                rest = rest.trim_start_matches([' ', '\n', '\t', ',']);
                if let Some(after) = rest.strip_prefix('}') {
                    return after;
                }
                if rest.is_empty() {
                    return rest;
                }
                let after = write_out(rest, &path, paths);
                // `as NAME`, a star, or what this reader does not know.
                rest = after.trim_start_matches(|c| c != ',' && c != '}');
            }
        }
        match rest.strip_prefix("::") {
            Some(after) => rest = after.trim_start(),
            None => break,
        }
    }
    paths.push(path);
    rest
}

/// Every import of a file by another.
fn imports(sources: &[Source]) -> BTreeSet<Import> {
    let files: BTreeSet<&Vec<String>> = sources.iter().map(|(module, _)| module).collect();
    let mut imports = BTreeSet::new();
    for (from, text) in sources {
        for path in paths_of(&without_tests(&code_of(text))) {
            // Absolute, in names of modules.
            let mut absolute: Vec<String> =
                if matches!(&*path[0], "crate" | "tauscope") { Vec::new() } else { from.clone() };
            for name in &path {
                match name.as_str() {
                    "crate" | "tauscope" | "self" => {}
                    "super" => drop(absolute.pop()),
                    _ => absolute.push(name.clone()),
                }
            }
            // The longest part that is a file; what follows are its items.
            let target = (1..=absolute.len())
                .rev()
                .map(|length| &absolute[..length])
                .find(|part| files.contains(&part.to_vec()));
            if let Some(to) = target.filter(|to| *to != &from[..]) {
                imports.insert(Import { from: from.clone(), to: to.to_vec(), path: path.join("::") });
            }
        }
    }
    imports
}

/// What breaks the rules of the house, a line for each.
fn faults(sources: &[Source]) -> Vec<String> {
    let imports = imports(sources);
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut faults = Vec::new();
    for (module, _) in sources {
        if floor(&module[0]).is_none() {
            faults.push(format!("{}: the module '{}' has no floor in this test", show(module), module[0]));
        }
    }
    let mut climbs: BTreeMap<(&[String], &[String]), Vec<&str>> = BTreeMap::new();
    for Import { from, to, path } in &imports {
        if let (Some(here), Some(there)) = (floor(&from[0]), floor(&to[0]))
            && there < here
        {
            climbs.entry((from, to)).or_default().push(path);
        }
    }
    for ((from, to), paths) in climbs {
        let names = paths.join(", ");
        faults.push(format!("{} -> {} climbs from '{}' to '{}': {names}", show(from), show(to), from[0], to[0]));
    }
    let of_modules = imports.iter().filter(|import| import.from[0] != import.to[0]);
    faults.extend(
        circles(of_modules, |module| module[..1].to_vec()).map(|circle| format!("modules in a circle: {circle}")),
    );
    // A folder's own file lists what is below it, which may look up to it.
    let related = |import: &&Import| import.from.starts_with(&import.to) || import.to.starts_with(&import.from);
    let of_files = imports.iter().filter(|import| !related(import));
    faults.extend(circles(of_files, <[String]>::to_vec).map(|circle| format!("files in a circle: {circle}")));
    faults
}

/// One shortest circle through each place that lies on one, each circle once, with the names that close it.
fn circles<'a>(
    imports: impl Iterator<Item = &'a Import>,
    place: impl Fn(&[String]) -> Vec<String>,
) -> impl Iterator<Item = String> {
    let mut arrows: BTreeMap<Vec<String>, BTreeMap<Vec<String>, &Import>> = BTreeMap::new();
    for import in imports {
        arrows.entry(place(&import.from)).or_default().entry(place(&import.to)).or_insert(import);
    }
    let mut found = BTreeMap::new();
    for start in arrows.keys() {
        // Breadth first, from the start back to it.
        let mut before: BTreeMap<&Vec<String>, &Vec<String>> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([start]);
        while let Some(here) = queue.pop_front() {
            for there in arrows.get(here).into_iter().flat_map(BTreeMap::keys) {
                if !before.contains_key(there) {
                    before.insert(there, here);
                    queue.push_back(there);
                }
            }
        }
        let Some(mut last) = before.get(start) else { continue };
        let mut circle = vec![start];
        while *last != start {
            circle.push(last);
            last = &before[*last];
        }
        circle.push(start);
        circle.reverse();
        let names: BTreeSet<&Vec<String>> = circle.iter().copied().collect();
        let arrow = |pair: &[&Vec<String>]| {
            let Import { from, to, path } = arrows[pair[0]][pair[1]];
            format!("{} -> {} ({path})", show(from), show(to))
        };
        found.entry(names).or_insert_with(|| circle.windows(2).map(arrow).collect::<Vec<_>>().join(", "));
    }
    found.into_values().collect::<Vec<_>>().into_iter()
}

fn read(folder: &Path, module: &[String], sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let below = [module, std::slice::from_ref(&name)].concat();
        match (path.is_dir(), name.as_str()) {
            (_, "tests") => {}
            (true, _) => read(&path, &below, sources),
            // The crate's root lists the modules.
            (false, "lib") if module.is_empty() => {}
            (false, "mod") => sources.push((module.to_vec(), fs::read_to_string(&path).unwrap())),
            (false, _) if path.extension().is_some_and(|extension| extension == "rs") => {
                sources.push((below, fs::read_to_string(&path).unwrap()));
            }
            _ => {}
        }
    }
}

#[test]
fn imports_never_climb_a_floor_and_close_no_circle() {
    let mut sources = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut sources);
    assert!(sources.len() > 200, "only {} files were read", sources.len());
    assert!(imports(&sources).len() > 400, "only {} imports were found", imports(&sources).len());
    let faults = faults(&sources);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let source = |(module, text): &(&str, &str)| (module.split('/').map(String::from).collect(), (*text).to_owned());
    faults(&files.iter().map(source).collect::<Vec<_>>())
}

#[test]
fn a_planted_climb_is_found_however_it_is_written() {
    for climb in [
        "use crate::engine::Wave;",
        "use crate::{\n    theory::margin,\n    engine::{Engine, cpu as native},\n};",
        "pub(crate) use crate::engine::*;",
        "fn f() { let wave = crate::engine::open(); }",
        "fn f<'a>(x: &'a str) -> char { '\"' } use super::super::engine::Wave;",
        "#[cfg(test)]\nmod tests;\nuse crate::engine::Wave;",
    ] {
        let found = planted(&[("engine", ""), ("theory", ""), ("theory/margin", climb)]);
        assert_eq!(found.len(), 1, "{climb}: {found:?}");
        let expected = "src/theory/margin -> src/engine climbs from 'theory' to 'engine'";
        assert!(found[0].starts_with(expected), "{climb}: {found:?}");
    }
    for sound in [
        "// use crate::engine::Wave;",
        "/* crate::engine::Wave /* twice */ crate::engine::Wave */",
        "/// As [`crate::engine::Wave`].\nstruct S;",
        "const S: &str = \"use crate::engine::Wave;\";",
        "const S: &str = r#\"\"crate::engine::Wave\"#;",
        "#[cfg(test)]\nmod tests {\n    use crate::engine::Wave;\n    fn f() { let brace = '{'; }\n}\n",
    ] {
        assert_eq!(
            planted(&[("engine", "use crate::theory::margin;"), ("theory", ""), ("theory/margin", sound)]),
            [""; 0]
        );
    }
}

#[test]
fn planted_circles_are_found() {
    // On one floor, where neither arrow climbs.
    let found =
        planted(&[("sweep", "use crate::train::Ride;"), ("train", ""), ("train/rows", "use crate::sweep::rows;")]);
    assert_eq!(
        found,
        [
            "modules in a circle: src/sweep -> src/train (crate::train::Ride), src/train/rows -> src/sweep (crate::sweep::rows)"
        ]
    );
    // Within a module, over three files.
    let files = [
        ("engine/a", "use super::b::B;"),
        ("engine/b", "use crate::engine::c::C;"),
        ("engine/c", "use super::{a::A};"),
    ];
    let found = planted(&files);
    assert_eq!(found.len(), 1, "{found:?}");
    for part in [
        "files in a circle: ",
        "src/engine/a -> src/engine/b (super::b::B)",
        "src/engine/c -> src/engine/a (super::a::A)",
    ] {
        assert!(found[0].contains(part), "{part} in {found:?}");
    }
    // A folder's file and those in the folder may see each other.
    assert_eq!(planted(&[("engine", "use self::a::A;"), ("engine/a", "use super::Engine;")]), [""; 0]);
    assert_eq!(planted(&[("attic", "")]), ["src/attic: the module 'attic' has no floor in this test"]);
}
