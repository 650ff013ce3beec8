//! Lists of layers as text: `conv(16,3,pad=1),bn,relu,max(2),res(conv(16,3,pad=1),bn),relu,avg,dense`.
//!
//! Each layer knows its own text ([`crate::layer`]); here are the list and the residual block around lists: `res(LAYERS)` is the
//! sum of the layers with what went in, `res(LAYERS;LAYERS)` that with a shortcut of layers of its own.
//!
//! Parameters are named as those of an `nn.Sequential` of the same layers: `0.weight`; in a residual block `3.body.0.weight` and
//! `3.shortcut.0.weight`.

use super::graph::{Builder, Graph};
use crate::layer::AnyLayer;
use crate::layer::tensor::Initialisation;
use crate::layer::text::Call;
use crate::math::Shape;
use std::fmt;
use std::str::FromStr;

/// Layers, the first of them first.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers(Vec<Item>);

/// One entry of a list.
#[derive(Clone, Debug, PartialEq)]
enum Item {
    Layer(AnyLayer),
    Residual { body: Layers, shortcut: Layers },
}

/// Blocks inside each other at most.
const DEEPEST: usize = 16;

impl FromStr for Layers {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, 0)
    }
}

impl Layers {
    fn parse(text: &str, depth: usize) -> Result<Self, String> {
        if depth > DEEPEST {
            return Err(format!("more than {DEEPEST} blocks inside each other"));
        }
        split(text, ',')?.into_iter().map(|item| Item::parse(item.trim(), depth)).collect::<Result<_, _>>().map(Self)
    }

    /// The model that these layers make of samples of shape `input`.
    ///
    /// # Errors
    /// The first layer that does not fit, by its place in the list, or outputs that are not the classes.
    pub fn graph(&self, input: Shape, classes: usize) -> Result<Graph, String> {
        let mut net = Builder::new(input, classes, Initialisation::Default);
        self.build(&mut net, 0, "")?;
        net.finish()
    }

    fn build(&self, net: &mut Builder, value: usize, prefix: &str) -> Result<usize, String> {
        self.0.iter().enumerate().try_fold(value, |value, (index, item)| {
            let name = format!("{prefix}{index}");
            item.build(net, value, &name).map_err(|why| match item {
                // What is inside has said where it is.
                Item::Residual { .. } if why.starts_with("layer") => why,
                _ => format!("layer {name} '{item}': {why}"),
            })
        })
    }
}

impl Item {
    fn parse(text: &str, depth: usize) -> Result<Self, String> {
        let refuse = |why: &str| {
            let layers = AnyLayer::usage();
            format!("'{text}': {why}; accepted: {layers}, res(LAYERS), res(LAYERS;LAYERS), separated by commas")
        };
        let (name, inside) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => {
                let inside = rest.strip_suffix(')').ok_or_else(|| refuse("a parenthesis is not closed"))?;
                (name, Some(inside))
            }
        };
        if name == "res" {
            let parts = split(inside.ok_or_else(|| refuse("it has no layers"))?, ';')?;
            let layers = |part: &str| Layers::parse(part, depth + 1);
            return match parts[..] {
                [body] => Ok(Self::Residual { body: layers(body)?, shortcut: Layers(Vec::new()) }),
                [body, shortcut] => Ok(Self::Residual { body: layers(body)?, shortcut: layers(shortcut)? }),
                _ => Err(refuse("more than a body and a shortcut")),
            };
        }
        let layer = Call::parse(name, inside).and_then(|call| AnyLayer::parse(&call)).map_err(|why| refuse(&why))?;
        layer.map(Self::Layer).ok_or_else(|| refuse("no such layer"))
    }

    fn build(&self, net: &mut Builder, value: usize, name: &str) -> Result<usize, String> {
        match self {
            Self::Layer(layer) => net.layer(value, name, layer.clone()),
            Self::Residual { body, shortcut } => {
                let body = body.build(net, value, &format!("{name}.body."))?;
                let shortcut = shortcut.build(net, value, &format!("{name}.shortcut."))?;
                net.add(body, shortcut)
            }
        }
    }
}

/// The parts of a text between separators outside parentheses.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let (mut parts, mut first, mut depth) = (Vec::new(), 0, 0usize);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or_else(|| format!("'{text}': a parenthesis too many"))?,
            _ if character == separator && depth == 0 => {
                parts.push(&text[first..index]);
                first = index + character.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(format!("'{text}': a parenthesis is not closed"));
    }
    parts.push(&text[first..]);
    Ok(parts)
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let items: Vec<String> = self.0.iter().map(Item::to_string).collect();
        f.write_str(&items.join(","))
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Layer(layer) => layer.fmt(f),
            Self::Residual { body, shortcut } if shortcut.0.is_empty() => write!(f, "res({body})"),
            Self::Residual { body, shortcut } => write!(f, "res({body};{shortcut})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "conv(8,3,pad=1,nobias),bn,relu,max(2),res(conv(8,3,pad=1),gn(4),tanh;conv(8,1)),leaky-relu,\
                         max(3,stride=1),avg(2,stride=1,pad=1),flatten,dense(12),gelu,dense(nobias)";

    #[test]
    fn what_was_typed_is_shown_and_named_as_in_pytorch() {
        let layers: Layers = WHOLE.parse().unwrap();
        assert_eq!(layers.to_string(), WHOLE);
        let graph = layers.graph(Shape::new(3, 12, 12), 5).unwrap();
        let named: Vec<(&str, &[usize])> =
            graph.tensors.parameters.iter().map(|t| (&t.name[..], &t.shape[..])).collect();
        let expected: [(&str, &[usize]); 11] = [
            ("0.weight", &[8, 3, 3, 3]),
            ("1.weight", &[8]),
            ("1.bias", &[8]),
            ("4.body.0.weight", &[8, 8, 3, 3]),
            ("4.body.0.bias", &[8]),
            ("4.body.1.weight", &[8]),
            ("4.body.1.bias", &[8]),
            ("4.shortcut.0.weight", &[8, 8, 1, 1]),
            ("4.shortcut.0.bias", &[8]),
            // 12 / 2 = 6 pixels; 4 after max(3,stride=1), 5 after avg(2,stride=1,pad=1).
            ("9.weight", &[12, 8 * 5 * 5]),
            ("9.bias", &[12]),
        ];
        assert_eq!(named[..11], expected);
        assert_eq!(named[11..], [("11.weight", &[5, 12][..])]);
        let statistics: Vec<&str> = graph.tensors.statistics.iter().map(|tensor| &tensor.name[..]).collect();
        assert_eq!(statistics, ["1.running_mean", "1.running_var"]);
    }

    #[test]
    fn what_is_no_layer_is_refused_with_what_would_be_accepted() {
        for text in [
            "",
            "conv",
            "conv(3)",
            "conv(0,3)",
            "dense(1,2)",
            "bn(3)",
            "relu(1)",
            "max(2,nobias)",
            "res",
            "res()",
            "conv(3,3",
            "conv(3,3))",
            "res(bn;bn;bn)",
            "dense(1048577)",
            "conv(3,3,stride=0)",
            "dense,,dense",
        ] {
            let error = text.parse::<Layers>().unwrap_err();
            assert!(error.contains('\''), "{text}: {error}");
        }
        let deep = format!("{}bn{}", "res(".repeat(100), ")".repeat(100));
        assert!(deep.parse::<Layers>().unwrap_err().contains("16 blocks"));
    }

    #[test]
    fn a_layer_that_does_not_fit_is_named() {
        let error = |text: &str| text.parse::<Layers>().unwrap().graph(Shape::new(3, 6, 6), 10).unwrap_err();
        assert_eq!(
            error("relu,conv(4,7),dense"),
            "layer 1 'conv(4,7)': a window of 7 x 7 with padding 0 on a value of 3 x 6 x 6"
        );
        let res = error("res(conv(4,3,pad=1)),dense");
        assert_eq!(res, "layer 0 'res(conv(4,3,pad=1))': a body of 4 x 6 x 6 and a shortcut of 3 x 6 x 6");
        assert!(error("res(gn(2)),dense").starts_with("layer 0.body.0 'gn(2)': 2 groups of 3 channels"));
        assert_eq!(error("dense(7)"), "7 outputs for 10 classes");
    }
}
