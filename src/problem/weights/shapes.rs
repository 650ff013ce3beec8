//! Modules of a file that are called otherwise than the model's, told apart by their shapes, and where several are alike by
//! the numbers in their names.
//!
//! Only where nothing is left to guess: a file with a module more or less has another architecture, and modules of one
//! shape whose names are in no order could be any of the model's. Then `--map` must say it.

use super::file::{Named, module};
use crate::layer::tensor::Tensor;
use std::collections::{BTreeMap, HashMap};

/// Last parts of names that are no parameters.
const BUFFERS: [&str; 3] = ["running_mean", "running_var", "num_batches_tracked"];

/// Last part of the name and shape of each parameter.
type Signature<'a> = BTreeMap<&'a str, &'a [usize]>;

/// Indices of the file's tensors; none where its modules are others than the model's.
///
/// # Errors
/// Modules that are alike, in no order.
pub fn by_shape(parameters: &[Tensor], all: &[&Tensor], named: &[Named]) -> Result<Option<Vec<usize>>, String> {
    let of_model = modules(parameters.iter().map(|tensor| (tensor.name.as_str(), &tensor.shape[..])));
    let parameters = named.iter().filter(|named| !BUFFERS.contains(&module(&named.name).1));
    let of_file = modules(parameters.map(|named| (named.name.as_str(), &named.stored.shape[..])));
    if of_model.len() != of_file.len() {
        return Ok(None);
    }
    let mut in_file: HashMap<&str, &str> = HashMap::new();
    for (name, signature) in &of_model {
        if in_file.contains_key(name) {
            continue;
        }
        let (models, mut files) = (alike(&of_model, signature), alike(&of_file, signature));
        if models.len() != files.len() {
            return Ok(None);
        }
        files.sort_by_cached_key(|name| numbers(name));
        if models.iter().all(|model| files.contains(model)) {
            in_file.extend(models.iter().zip(&models));
            continue;
        }
        let in_order = files.iter().all(|name| skeleton(name) == skeleton(files[0]));
        let contradicted = models.iter().zip(&files).any(|(model, file)| model != file && files.contains(model));
        if !in_order || contradicted {
            return Err(format!(
                "{} of the model could be any of {} by their shapes; accepted: --map 'NAME={}', with what the file calls \
                 the model's modules",
                models.join(", "),
                files.join(", "),
                models[0]
            ));
        }
        in_file.extend(models.into_iter().zip(files));
    }
    let place = |tensor: &&Tensor| {
        let (of, last) = module(&tensor.name);
        let wanted = *in_file.get(of)?;
        named.iter().position(|named| module(&named.name) == (wanted, last))
    };
    Ok(all.iter().map(place).collect())
}

/// Modules in the order of their first parameter.
fn modules<'a>(parameters: impl Iterator<Item = (&'a str, &'a [usize])>) -> Vec<(&'a str, Signature<'a>)> {
    let mut modules: Vec<(&str, Signature)> = Vec::new();
    for (name, shape) in parameters {
        let (of, last) = module(name);
        match modules.iter_mut().find(|(name, _)| *name == of) {
            Some((_, signature)) => {
                signature.insert(last, shape);
            }
            None => modules.push((of, BTreeMap::from([(last, shape)]))),
        }
    }
    modules
}

fn alike<'a>(modules: &[(&'a str, Signature)], signature: &Signature) -> Vec<&'a str> {
    modules.iter().filter(|(_, other)| other == signature).map(|(name, _)| *name).collect()
}

/// A name without its numbers: `layer#.#.conv#`.
fn skeleton(name: &str) -> String {
    let mut skeleton = String::new();
    for c in name.chars() {
        match c {
            '0'..='9' if skeleton.ends_with('#') => {}
            '0'..='9' => skeleton.push('#'),
            c => skeleton.push(c),
        }
    }
    skeleton
}

/// The numbers of a name, by which `fc2` comes before `fc10`.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}
