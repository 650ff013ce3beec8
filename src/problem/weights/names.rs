//! Which tensor of a file is which of a model.
//!
//! Names count, after the parts that PyTorch's wrappers put into them are taken out and `--map` is applied; a prefix that
//! all of the model's names have in the file may stay. Where names say nothing, [`super::shapes`] is asked.

use super::Wanted;
use super::file::{Named, Stored, WeightFile, module};
use super::shapes;
use crate::layer::tensor::Tensor;
use crate::text::as_text;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

/// Parts of names that wrappers of PyTorch put in: `torch.compile`, (distributed) data parallel, FSDP, activation
/// checkpointing.
const WRAPPERS: [&str; 4] = ["_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// `--map`: modules of a file and what the model calls them, `fc1=0,fc2=2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct WeightMap(Vec<(String, String)>);
as_text!(WeightMap);

impl FromStr for WeightMap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.split(',') {
            let pair = part.split_once('=').map(|(from, to)| (from.trim().to_owned(), to.trim().to_owned()));
            let (from, to) = pair.filter(|(from, _)| !from.is_empty()).ok_or_else(|| {
                format!(
                    "'{part}'; accepted: NAME=NAME,..., a module of the file and the model's name of it, as fc1=0,fc2=2"
                )
            })?;
            if pairs.iter().any(|(before, _)| *before == from) {
                return Err(format!("'{from}' is given twice; accepted: each name of the file once"));
            }
            pairs.push((from, to));
        }
        Ok(Self(pairs))
    }
}

impl fmt::Display for WeightMap {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(from, to)| format!("{from}={to}")).collect();
        f.write_str(&pairs.join(","))
    }
}

/// The tensors of a model.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    pub parameters: &'a [Tensor],
    pub statistics: &'a [Tensor],
    /// Names that PyTorch keeps and nothing here depends on.
    pub counters: &'a [String],
}

/// Indices into the file, in the order of the model's tensors.
pub struct Matching {
    pub parameters: Vec<usize>,
    pub statistics: Vec<usize>,
    pub mapping: Option<String>,
}

impl Model<'_> {
    /// Finds the wanted tensors.
    ///
    /// # Errors
    /// Where one is missing or misshapen, or could be several of the file's.
    pub fn matched(self, file: &WeightFile, map: Option<&WeightMap>, wanted: Wanted) -> Result<Matching, String> {
        let statistics = if wanted == Wanted::WithStatistics { self.statistics } else { &[] };
        let all: Vec<&Tensor> = self.parameters.iter().chain(statistics).collect();
        if file.tensors.iter().any(|stored| stored.name.ends_with("_flat_param")) {
            return Err(
                "a part of an FSDP model, with flattened tensors (_flat_param); accepted: its full state dict \
                        (StateDictType.FULL_STATE_DICT)"
                    .into(),
            );
        }
        let plain = file.tensors.iter().map(|stored| Named { name: without_wrappers(&stored.name), stored }).collect();
        let named = distinct(match map {
            Some(map) => self.mapped(plain, map)?,
            None => plain,
        })?;
        let found = match by_name(&all, named.iter().map(|named| named.name.as_str())) {
            Some(found) => found,
            None => self.otherwise(&all, named, map)?,
        };
        for (tensor, index) in all.iter().zip(&found) {
            let Stored { name, shape, .. } = &file.tensors[*index];
            if *shape != tensor.shape {
                let needed = &tensor.shape;
                return Err(format!("tensor '{name}' has shape {shape:?}; this model needs {needed:?}"));
            }
        }
        let mapping = self.mapping(file, &all, &found);
        let (parameters, statistics) = found.split_at(self.parameters.len());
        Ok(Matching { parameters: parameters.to_vec(), statistics: statistics.to_vec(), mapping })
    }
}

impl Model<'_> {
    /// Names as `map` has them; the longest of its names that fits counts.
    fn mapped<'a>(self, plain: Vec<Named<'a>>, map: &WeightMap) -> Result<Vec<Named<'a>>, String> {
        let WeightMap(pairs) = map;
        let names = || self.parameters.iter().chain(self.statistics).map(|tensor| tensor.name.as_str());
        for (from, to) in pairs {
            if !plain.iter().any(|named| below(&named.name, &without_wrappers(from)).is_some()) {
                let found: Vec<&str> = plain.iter().map(|named| named.name.as_str()).collect();
                return Err(format!("--map {from}={to}: no tensor is called so; the file has {}", quoted(&found)));
            }
            if !to.is_empty() && !names().any(|name| below(name, to).is_some()) {
                let mut modules: Vec<&str> = names().map(|name| module(name).0).collect();
                modules.dedup();
                return Err(format!("--map {from}={to}: the model has no '{to}'; accepted: {}", modules.join(", ")));
            }
        }
        let renamed = |named: Named<'a>| {
            let fitting = pairs.iter().filter_map(|(from, to)| {
                let from = without_wrappers(from);
                below(&named.name, &from).map(|rest| (from.len(), joined(to, rest)))
            });
            match fitting.max_by_key(|(length, _)| *length) {
                Some((_, name)) => (Named { name, ..named }, true),
                None => (named, false),
            }
        };
        let mut all: Vec<(Named, bool)> = plain.into_iter().map(renamed).collect();
        let taken: HashSet<String> =
            all.iter().filter(|(_, is_mapped)| *is_mapped).map(|(named, _)| named.name.clone()).collect();
        // What the map names goes before what has the name already.
        for (named, _) in all.iter_mut().filter(|(named, is_mapped)| !is_mapped && taken.contains(&named.name)) {
            named.name += " (another is mapped here)";
        }
        Ok(all.into_iter().map(|(named, _)| named).collect())
    }

    /// Finds tensors that do not all have their own names: behind a prefix, or by order and shape.
    fn otherwise(self, all: &[&Tensor], named: Vec<Named>, map: Option<&WeightMap>) -> Result<Vec<usize>, String> {
        if map.is_none() {
            let first = &all[0].name;
            let prefixes = named.iter().filter_map(|named| named.name.strip_suffix(first.as_str()));
            let behind = |prefix: &str| {
                by_name(all, named.iter().map(|named| named.name.strip_prefix(prefix).unwrap_or_default()))
            };
            let mut whole: Vec<(&str, Vec<usize>)> =
                prefixes.filter(|prefix| prefix.ends_with('.')).filter_map(|p| Some((p, behind(p)?))).collect();
            match &mut whole[..] {
                [] => {}
                [(_, found)] => return Ok(std::mem::take(found)),
                _ => {
                    let several: Vec<&str> = whole.iter().map(|(prefix, _)| prefix.trim_end_matches('.')).collect();
                    return Err(format!(
                        "all tensors are there more than once, below {}; accepted: --map '{}=', which takes those below \
                         '{}'",
                        quoted(&several),
                        several[0],
                        several[0]
                    ));
                }
            }
            if let Some(found) = shapes::by_shape(self.parameters, all, &named)? {
                return Ok(found);
            }
        }
        let (mut missing, mut known) = (Vec::new(), vec![false; named.len()]);
        for tensor in all {
            match named.iter().position(|named| named.name == tensor.name) {
                Some(index) => known[index] = true,
                None => missing.push(format!("'{}' {:?}", tensor.name, tensor.shape)),
            }
        }
        let rest: Vec<String> = named
            .iter()
            .zip(known)
            .filter(|(_, known)| !known)
            .map(|(Named { name, stored }, _)| format!("'{name}' {:?}", stored.shape))
            .collect();
        let rest = if rest.is_empty() { "nothing else".to_owned() } else { rest.join(", ") };
        Err(format!(
            "no tensor {}; the file has {rest}; accepted: --map 'NAME={}', with what the file calls the model's modules",
            missing.join(", "),
            module(&all[0].name).0,
        ))
    }

    /// What became of the names, where they are not simply the model's.
    fn mapping(self, file: &WeightFile, all: &[&Tensor], found: &[usize]) -> Option<String> {
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for (tensor, index) in all.iter().zip(found) {
            let (from, to) = (file.tensors[*index].name.as_str(), tensor.name.as_str());
            let ((from_module, from_last), (to_module, to_last)) = (module(from), module(to));
            let pair = if from_last == to_last { (from_module, to_module) } else { (from, to) };
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
        let known: Vec<&str> = self
            .statistics
            .iter()
            .map(|tensor| tensor.name.as_str())
            .chain(self.counters.iter().map(String::as_str))
            .collect();
        let is_known = |name: &str| {
            pairs.iter().any(|(from, to)| below(name, from).is_some_and(|rest| known.contains(&&*joined(to, rest))))
        };
        let unused: Vec<&str> = (0..file.tensors.len())
            .filter(|index| !found.contains(index))
            .map(|index| file.tensors[index].name.as_str())
            .filter(|name| !is_known(name))
            .collect();
        let prefix = pairs[0].0.strip_suffix(pairs[0].1).unwrap_or_default();
        let mapped = if pairs.iter().all(|(from, to)| from == to) {
            None
        } else if pairs.len() > 8 && pairs.iter().all(|(from, to)| from.strip_prefix(prefix) == Some(to)) {
            Some(format!("{prefix}* -> *"))
        } else {
            Some(pairs.iter().map(|(from, to)| format!("{from} -> {to}")).collect::<Vec<_>>().join(", "))
        };
        let unused = (!unused.is_empty()).then(|| format!("not used: {}", unused.join(", ")));
        let parts: Vec<String> = mapped.into_iter().chain(unused).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// The name without what wrappers put into it.
fn without_wrappers(name: &str) -> String {
    name.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".")
}

/// What is left of a name below a module, or of the module's own.
fn below<'a>(name: &'a str, module: &str) -> Option<&'a str> {
    let rest = name.strip_prefix(module)?;
    if rest.is_empty() || module.is_empty() { Some(rest) } else { rest.strip_prefix('.') }
}

fn joined(module: &str, rest: &str) -> String {
    if module.is_empty() || rest.is_empty() { format!("{module}{rest}") } else { format!("{module}.{rest}") }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

/// Refuses two tensors of one name.
fn distinct(named: Vec<Named>) -> Result<Vec<Named>, String> {
    let mut seen: HashMap<&str, &str> = HashMap::new();
    for Named { name, stored } in &named {
        if let Some(before) = seen.insert(name, &stored.name) {
            return Err(format!(
                "'{before}' and '{}' both stand for '{name}'; accepted: --map, which says what they are",
                stored.name
            ));
        }
    }
    Ok(named)
}

/// All tensors by their own names; none where one is missing.
fn by_name<'a>(all: &[&Tensor], names: impl Iterator<Item = &'a str>) -> Option<Vec<usize>> {
    let places: HashMap<&str, usize> = names.zip(0..).collect();
    all.iter().map(|tensor| places.get(tensor.name.as_str()).copied()).collect()
}
