//! Lists of layers as text: `conv(16,3,pad=1),bn,relu,max(2),res(conv(16,3,pad=1),bn),relu,avg,dense`.
//!
//! | layer | meaning |
//! | --- | --- |
//! | `dense(N)`, `dense` | N outputs; as many as there are classes |
//! | `conv(N,K)` | N channels from windows of K x K pixels |
//! | `max(K)`, `avg(K)`, `avg` | pooling over windows of K x K, stride K; over all pixels |
//! | `bn`, `gn(G)` | batch norm; group norm with G groups |
//! | `tanh`, `relu`, `leaky-relu`, `gelu` | activations |
//! | `res(LAYERS)`, `res(LAYERS;LAYERS)` | the sum of the layers with what went in, or with a shortcut of layers of its own |
//! | `flatten` | nothing: dense layers take all numbers of a sample; it counts where PyTorch's `nn.Flatten` stands |
//!
//! Windows take `stride=S` and `pad=P`, layers with a weight `nobias`. Parameters are named as those of an `nn.Sequential` of
//! the same layers: `0.weight`; in a residual block `3.body.0.weight` and `3.shortcut.0.weight`.

use super::graph::{Builder, Graph, Initialisation};
use crate::kernels::pool::Pooling;
use crate::math::{Activation, Shape, Window};
use std::fmt;
use std::str::FromStr;
use strum::IntoEnumIterator;

/// Layers, the first of them first.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers(Vec<Layer>);

/// One layer, as typed.
#[derive(Clone, Debug, PartialEq)]
enum Layer {
    /// As many outputs as there are classes where `None`.
    Dense {
        outputs: Option<usize>,
        bias: bool,
    },
    Convolve {
        channels: usize,
        window: Window,
        bias: bool,
    },
    /// Over all pixels where there is no window.
    Pool {
        kind: Pooling,
        window: Option<Window>,
    },
    BatchNorm,
    GroupNorm(usize),
    Activate(Activation),
    Flatten,
    Residual {
        body: Layers,
        shortcut: Layers,
    },
}

/// Largest number in a list of layers.
const MOST: usize = 1 << 20;

/// Blocks inside each other at most.
const DEEPEST: usize = 16;

const ACCEPTED: &str = "accepted: dense(N), conv(N,K), max(K), avg(K), avg, bn, gn(G), tanh, relu, leaky-relu, gelu, flatten, \
                        res(LAYERS), res(LAYERS;LAYERS), separated by commas; windows take stride=S and pad=P, dense and conv \
                        nobias";

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
        split(text, ',')?.into_iter().map(|layer| Layer::parse(layer.trim(), depth)).collect::<Result<_, _>>().map(Self)
    }

    /// The model that these layers make of samples of shape `input`.
    ///
    /// # Errors
    /// The first layer that does not fit, by its place in the list, or outputs that are not the classes.
    pub fn graph(&self, input: Shape, classes: usize) -> Result<Graph, String> {
        let mut net = Builder::new(input, Initialisation::Default);
        self.lay(&mut net, 0, "", classes)?;
        net.finish(classes)
    }

    fn lay(&self, net: &mut Builder, value: usize, prefix: &str, classes: usize) -> Result<usize, String> {
        self.0.iter().enumerate().try_fold(value, |value, (index, layer)| {
            let name = format!("{prefix}{index}");
            layer.lay(net, value, &name, classes).map_err(|why| match layer {
                // What is inside has said where it is.
                Layer::Residual { .. } if why.starts_with("layer") => why,
                _ => format!("layer {name} '{layer}': {why}"),
            })
        })
    }
}

impl Layer {
    fn parse(text: &str, depth: usize) -> Result<Self, String> {
        let refuse = |why: &str| format!("'{text}': {why}; {ACCEPTED}");
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
        let arguments = Arguments::parse(inside).map_err(|why| refuse(&why))?;
        let Arguments { numbers, stride, padding, bias } = &arguments;
        let (windowed, biased) = (stride.is_some() || padding.is_some(), *bias);
        let window = |kernel: usize, stride_by_default: usize| Window {
            kernel,
            stride: stride.unwrap_or(stride_by_default),
            padding: padding.unwrap_or(0),
        };
        let activation = Activation::iter().find(|activation| activation.to_string() == name);
        match (name, &numbers[..]) {
            ("dense", []) if !windowed => Ok(Self::Dense { outputs: None, bias: biased }),
            ("dense", [outputs]) if !windowed => Ok(Self::Dense { outputs: Some(*outputs), bias: biased }),
            ("conv", [channels, kernel]) => {
                Ok(Self::Convolve { channels: *channels, window: window(*kernel, 1), bias: biased })
            }
            ("max" | "avg", [kernel]) if biased => {
                Ok(Self::Pool { kind: pooling(name), window: Some(window(*kernel, *kernel)) })
            }
            ("max" | "avg", []) if biased && !windowed => Ok(Self::Pool { kind: pooling(name), window: None }),
            ("bn", []) if biased && !windowed => Ok(Self::BatchNorm),
            ("gn", [groups]) if biased && !windowed => Ok(Self::GroupNorm(*groups)),
            ("flatten", []) if biased && !windowed => Ok(Self::Flatten),
            (_, []) if biased && !windowed && activation.is_some() => {
                Ok(Self::Activate(activation.expect("there is one")))
            }
            _ => Err(refuse("no such layer")),
        }
    }

    fn lay(&self, net: &mut Builder, value: usize, name: &str, classes: usize) -> Result<usize, String> {
        match self {
            Self::Dense { outputs, bias } => Ok(net.dense(value, name, outputs.unwrap_or(classes), *bias)),
            Self::Convolve { channels, window, bias } => net.convolve(value, name, *channels, *window, *bias),
            Self::Pool { kind, window: Some(window) } => net.pool(value, *kind, *window),
            Self::Pool { kind, window: None } => net.pool_all(value, *kind),
            Self::BatchNorm => Ok(net.batch_norm(value, name)),
            Self::GroupNorm(groups) => net.group_norm(value, name, *groups),
            Self::Activate(activation) => Ok(net.activate(value, *activation)),
            Self::Flatten => Ok(value),
            Self::Residual { body, shortcut } => {
                let body = body.lay(net, value, &format!("{name}.body."), classes)?;
                let shortcut = shortcut.lay(net, value, &format!("{name}.shortcut."), classes)?;
                net.add(body, shortcut)
            }
        }
    }
}

fn pooling(name: &str) -> Pooling {
    if name == "max" { Pooling::Max } else { Pooling::Avg }
}

/// What stands in a layer's parentheses.
struct Arguments {
    numbers: Vec<usize>,
    stride: Option<usize>,
    padding: Option<usize>,
    bias: bool,
}

impl Arguments {
    fn parse(inside: Option<&str>) -> Result<Self, String> {
        let mut arguments = Self { numbers: Vec::new(), stride: None, padding: None, bias: true };
        for part in inside.into_iter().flat_map(|inside| inside.split(',')).map(str::trim) {
            let number = |text: &str, least: usize| match text.parse() {
                Ok(number) if (least..=MOST).contains(&number) => Ok(number),
                _ => Err(format!("'{part}' is no whole number from {least} to {MOST}")),
            };
            match part.split_once('=') {
                Some(("stride", text)) => arguments.stride = Some(number(text, 1)?),
                Some(("pad", text)) => arguments.padding = Some(number(text, 0)?),
                None if part == "nobias" => arguments.bias = false,
                _ => arguments.numbers.push(number(part, 1)?),
            }
        }
        Ok(arguments)
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
        let layers: Vec<String> = self.0.iter().map(Layer::to_string).collect();
        f.write_str(&layers.join(","))
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let list = |numbers: &[usize], window: Option<(Window, usize)>, bias: bool| {
            let mut parts: Vec<String> = numbers.iter().map(usize::to_string).collect();
            if let Some((Window { stride, padding, .. }, usual)) = window {
                parts.extend((stride != usual).then(|| format!("stride={stride}")));
                parts.extend((padding != 0).then(|| format!("pad={padding}")));
            }
            parts.extend((!bias).then(|| "nobias".into()));
            if parts.is_empty() { String::new() } else { format!("({})", parts.join(",")) }
        };
        match self {
            Self::Dense { outputs, bias } => write!(f, "dense{}", list(outputs.as_slice(), None, *bias)),
            Self::Convolve { channels, window, bias } => {
                write!(f, "conv{}", list(&[*channels, window.kernel], Some((*window, 1)), *bias))
            }
            Self::Pool { kind, window: Some(window) } => {
                write!(f, "{kind}{}", list(&[window.kernel], Some((*window, window.kernel)), true))
            }
            Self::Pool { kind, window: None } => kind.fmt(f),
            Self::BatchNorm => f.write_str("bn"),
            Self::GroupNorm(groups) => write!(f, "gn({groups})"),
            Self::Activate(activation) => activation.fmt(f),
            Self::Flatten => f.write_str("flatten"),
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
        let named: Vec<(&str, &[usize])> = graph.parameters.iter().map(|t| (&t.name[..], &t.shape[..])).collect();
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
        let statistics: Vec<&str> = graph.statistics.iter().map(|tensor| &tensor.name[..]).collect();
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
