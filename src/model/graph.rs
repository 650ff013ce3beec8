//! A model as a list of operations on values: shapes, parameters and where they lie. Value 0 is the sample; node i makes value
//! i + 1 of one that came before, or of two.
//!
//! Not here: how such lists are typed ([`super::layers`]), and what the operations compute ([`crate::layer`]).

use crate::layer::tensor::{Initialisation, Site, Tensors};
use crate::layer::traits::Compute;
use crate::layer::{AddOp, AnyLayer, Op};
use crate::math::Shape;

/// A model of any layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Shape of a sample.
    pub input: Shape,
    /// The last one makes the outputs.
    pub nodes: Vec<Node>,
    pub tensors: Tensors,
}

/// An operation and the value that it makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    pub op: Op,
    /// The value that it acts on.
    pub input: usize,
    /// The second value of an operation that takes two, of the same shape.
    pub second: Option<usize>,
    /// Shape of the value that it makes.
    pub shape: Shape,
}

impl Graph {
    /// Shape of value number `value`.
    pub fn shape(&self, value: usize) -> Shape {
        value.checked_sub(1).map_or(self.input, |node| self.nodes[node].shape)
    }

    pub fn outputs(&self) -> usize {
        self.shape(self.nodes.len()).elements()
    }

    /// The values that a node acts on.
    pub fn inputs(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        let Node { input, second, .. } = self.nodes[node];
        std::iter::once(input).chain(second)
    }

    /// Multiplications with weights in a forward pass of one sample.
    pub fn products(&self) -> usize {
        (0..self.nodes.len()).map(|node| self.products_of(node)).sum()
    }

    /// Multiplications with weights of one node, for one sample.
    pub fn products_of(&self, node: usize) -> usize {
        let Node { op, input, shape, .. } = self.nodes[node];
        op.products(self.shape(input), shape)
    }

    /// Whether what becomes of a sample depends on the other samples of its batch.
    pub fn joins_samples(&self) -> bool {
        self.nodes.iter().any(|node| node.op.joins_samples())
    }

    /// Whether there is a gradient over batches of `rows` samples.
    ///
    /// # Errors
    /// Where there is none.
    pub fn check_rows(&self, rows: usize) -> Result<(), String> {
        self.nodes.iter().try_for_each(|node| node.op.check_rows(rows, node.shape))
    }
}

/// Builds a graph layer by layer. Methods take the value that a layer acts on and return the one that it makes; their errors
/// say what does not fit, as a sentence's second half.
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    classes: usize,
    initialisation: Initialisation,
}

impl Builder {
    /// `classes` is the number of outputs that the model is to have.
    pub fn new(input: Shape, classes: usize, initialisation: Initialisation) -> Self {
        let graph = Graph { input, nodes: Vec::new(), tensors: Tensors::default() };
        Self { graph, classes, initialisation }
    }

    /// Adds a layer whose tensors are named `name.weight` and so on.
    ///
    /// # Errors
    /// Where it does not fit.
    pub fn layer(&mut self, value: usize, name: &str, layer: impl Into<AnyLayer>) -> Result<usize, String> {
        let mut site = Site {
            input: self.graph.shape(value),
            classes: self.classes,
            name,
            initialisation: self.initialisation,
            tensors: &mut self.graph.tensors,
        };
        match layer.into().place(&mut site)? {
            Some((op, shape)) => Ok(self.push(Node { op, input: value, second: None, shape })),
            None => Ok(value),
        }
    }

    /// Adds the sum of two values.
    ///
    /// # Errors
    /// Where their shapes differ.
    pub fn add(&mut self, value: usize, other: usize) -> Result<usize, String> {
        let (one, two) = (self.graph.shape(value), self.graph.shape(other));
        if one != two {
            return Err(format!("a body of {one} and a shortcut of {two}"));
        }
        Ok(self.push(Node { op: AddOp.into(), input: value, second: Some(other), shape: one }))
    }

    /// # Errors
    /// Where the last value has not as many numbers as there are classes, or there is no layer with parameters.
    pub fn finish(self) -> Result<Graph, String> {
        let (outputs, classes) = (self.graph.outputs(), self.classes);
        if outputs != classes || self.graph.nodes.is_empty() {
            return Err(format!("{outputs} outputs for {classes} classes"));
        }
        if self.graph.tensors.parameters.is_empty() {
            return Err("no parameters".into());
        }
        Ok(self.graph)
    }

    fn push(&mut self, node: Node) -> usize {
        self.graph.nodes.push(node);
        self.graph.nodes.len()
    }
}
