//! Which parameters each stage of a pipeline holds.

use super::StageCuts;
use crate::text::counted;
use std::ops::Range;

/// A layer with parameters: the name of its module, and where they lie in the flat vector.
pub type NamedLayer = (String, Range<usize>);

/// Where the parameters of each of `stages` stages lie in the flat vector of P parameters, of which `layers` have all; the
/// coordinates of a quadratic have no layers.
///
/// # Errors
/// More stages than layers, or than coordinates of a quadratic, and cuts that name no layer, or not in their order.
pub fn blocks(
    layers: &[NamedLayer],
    parameters: usize,
    stages: usize,
    cuts: &StageCuts,
) -> Result<Vec<Range<usize>>, String> {
    let starts: Vec<usize> = if layers.is_empty() {
        if *cuts != StageCuts::ByParameters {
            return Err(format!("--stage-cuts {cuts}: a quadratic has no layers; accepted: without --stage-cuts"));
        }
        if stages > parameters {
            return Err(format!(
                "--stages {stages}: more than the {parameters} coordinates; accepted: 1 to {parameters}"
            ));
        }
        (0..stages).map(|stage| stage * parameters / stages).collect()
    } else {
        if stages > layers.len() {
            let count = layers.len();
            return Err(format!(
                "--stages {stages}: more than the {count} layers with parameters; accepted: 1 to {count}"
            ));
        }
        let firsts = match cuts {
            StageCuts::ByParameters => by_parameters(layers, stages),
            StageCuts::At(names) => {
                named(layers, stages, names).map_err(|why| format!("--stage-cuts {cuts}: {why}"))?
            }
        };
        firsts.iter().map(|layer| layers[*layer].1.start).collect()
    };
    let ends = starts.iter().skip(1).copied().chain([parameters]);
    Ok(starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect())
}

/// The first layer of each stage, so that the largest stage has as few parameters as can be; the earlier the cuts, the better,
/// where there is a choice.
fn by_parameters(layers: &[NamedLayer], stages: usize) -> Vec<usize> {
    let count = layers.len();
    let size = |from: usize, to: usize| layers[to - 1].1.end - layers[from].1.start;
    // least[p][l]: the largest of p stages over the layers from l on, and where the second of them begins.
    let mut least = vec![vec![(usize::MAX, count); count + 1]; stages + 1];
    (0..count).for_each(|from| least[1][from] = (size(from, count), count));
    for left in 2..=stages {
        for from in 0..count {
            for next in from + 1..count {
                let rest = least[left - 1][next].0;
                let largest = size(from, next).max(rest);
                if rest < usize::MAX && largest < least[left][from].0 {
                    least[left][from] = (largest, next);
                }
            }
        }
    }
    let mut firsts = vec![0];
    for left in (2..=stages).rev() {
        firsts.push(least[left][firsts[firsts.len() - 1]].1);
    }
    firsts
}

/// The first layer of each stage, those after the first by their names.
fn named(layers: &[NamedLayer], stages: usize, names: &[String]) -> Result<Vec<usize>, String> {
    let known = || layers.iter().skip(1).map(|(name, _)| &name[..]).collect::<Vec<_>>().join(", ");
    if names.len() + 1 != stages {
        return Err(format!(
            "{} for {}; accepted: the first layer of every stage but the first",
            counted(names.len(), "layer"),
            counted(stages, "stage")
        ));
    }
    let mut firsts = vec![0];
    for name in names {
        let Some(place) = layers.iter().position(|(layer, _)| layer == name) else {
            return Err(format!("no layer '{name}'; accepted: {}", known()));
        };
        if place <= firsts[firsts.len() - 1] {
            return Err(format!("layer '{name}' is not behind the one before; accepted, in this order: {}", known()));
        }
        firsts.push(place);
    }
    Ok(firsts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layered(sizes: &[usize]) -> Vec<NamedLayer> {
        let mut end = 0;
        let layer = |(place, size): (usize, &usize)| {
            let start = end;
            end += size;
            (format!("layer{place}"), start..start + size)
        };
        sizes.iter().enumerate().map(layer).collect()
    }

    #[test]
    fn cuts_by_parameters_keep_the_largest_stage_small() {
        // The largest layer alone.
        assert_eq!(by_parameters(&layered(&[2, 2, 9, 1, 2]), 3), [0, 2, 3]);
        assert_eq!(by_parameters(&layered(&[1; 8]), 4), [0, 2, 4, 6]);
        assert_eq!(by_parameters(&layered(&[5, 1, 1, 1]), 4), [0, 1, 2, 3]);
        assert_eq!(by_parameters(&layered(&[3, 3]), 1), [0]);
    }

    #[test]
    fn cuts_by_name_are_layers_in_their_order() {
        let layers = layered(&[1, 2, 3]);
        let named = |names: &[&str]| named(&layers, 3, &names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(named(&["layer1", "layer2"]).unwrap(), [0, 1, 2]);
        assert!(named(&["layer2", "layer1"]).unwrap_err().contains("not behind"));
        assert!(named(&["layer0", "layer1"]).unwrap_err().contains("not behind"));
        assert!(named(&["layer1"]).unwrap_err().contains("3 stages"));
        assert!(named(&["layer1", "fc"]).unwrap_err().contains("no layer 'fc'; accepted: layer1, layer2"));
    }
}
