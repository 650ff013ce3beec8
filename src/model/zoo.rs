//! Models that have a name, with the layers, names and starts of their PyTorch counterparts.

use super::graph::{Builder, Graph};
use crate::kernels::pool::Pooling;
use crate::layer::tensor::Initialisation;
use crate::layer::{ActivationLayer, ConvolutionLayer, DenseLayer, NormLayer, PoolLayer};
use crate::math::{Activation, Shape, Window};
use serde::{Deserialize, Serialize};

/// A model by its name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumIter, strum::EnumString, strum::Display,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Named {
    /// LeNet-5 (LeCun et al. 1998) as it is used today: two convolutions with ReLU and max pooling, three dense layers.
    Lenet,
    /// The shallow network of Keskar et al. (2017, arXiv 1609.04836) as the reference code of the theory's paper has it, without its
    /// dropout.
    CifarShallow,
    /// VGG-11 (Simonyan and Zisserman 2015, arXiv 1409.1556) for images of 32 x 32, with one dense layer.
    Vgg11,
    /// The same with batch norm after every convolution.
    Vgg11Bn,
    /// ResNet-20 for CIFAR (He et al. 2016, arXiv 1512.03385) with shortcuts by convolution where the shape changes (option B).
    Resnet20,
}

const RELU: ActivationLayer = ActivationLayer(Activation::Relu);

const BATCH_NORM: NormLayer = NormLayer::Batch;

/// As many outputs as there are classes.
const OUTPUTS: DenseLayer = DenseLayer { outputs: None, bias: true };

const fn dense(outputs: usize, bias: bool) -> DenseLayer {
    DenseLayer { outputs: Some(outputs), bias }
}

const fn convolution(channels: usize, window: Window, bias: bool) -> ConvolutionLayer {
    ConvolutionLayer { channels, window, bias }
}

const fn max_pool(window: Window) -> PoolLayer {
    PoolLayer { kind: Pooling::Max, window: Some(window) }
}

/// A window of 3 x 3 that keeps the pixels, but for its stride.
const fn three(stride: usize) -> Window {
    Window { kernel: 3, stride, padding: 1 }
}

/// A window that is moved by as much as it covers.
const fn tiles(kernel: usize) -> Window {
    Window { kernel, stride: kernel, padding: 0 }
}

impl Named {
    /// The model of images of shape `input`.
    ///
    /// # Errors
    /// Where they are too small for it.
    pub fn graph(self, input: Shape, classes: usize) -> Result<Graph, String> {
        match self {
            Self::Lenet => lenet(input, classes),
            Self::CifarShallow => cifar_shallow(input, classes),
            Self::Vgg11 => vgg11(input, classes, false),
            Self::Vgg11Bn => vgg11(input, classes, true),
            Self::Resnet20 => resnet20(input, classes),
        }
    }
}

fn lenet(input: Shape, classes: usize) -> Result<Graph, String> {
    let mut net = Builder::new(input, classes, Initialisation::Default);
    let mut value = 0;
    for (name, channels, padding) in [("conv1", 6, 2), ("conv2", 16, 0)] {
        value = net.layer(value, name, convolution(channels, Window { kernel: 5, stride: 1, padding }, true))?;
        value = net.layer(value, "relu", RELU)?;
        value = net.layer(value, "pool", max_pool(tiles(2)))?;
    }
    for (name, outputs) in [("fc1", 120), ("fc2", 84)] {
        value = net.layer(value, name, dense(outputs, true))?;
        value = net.layer(value, "relu", RELU)?;
    }
    net.layer(value, "fc3", OUTPUTS)?;
    net.finish()
}

fn cifar_shallow(input: Shape, classes: usize) -> Result<Graph, String> {
    let mut net = Builder::new(input, classes, Initialisation::Default);
    let mut value = 0;
    for module in [0, 4] {
        let window = Window { kernel: 5, stride: 1, padding: 2 };
        value = net.layer(value, &format!("features.{module}"), convolution(64, window, false))?;
        value = net.layer(value, "pool", max_pool(Window { kernel: 3, stride: 2, padding: 0 }))?;
        value = net.layer(value, &format!("features.{}", module + 2), BATCH_NORM)?;
        value = net.layer(value, "relu", RELU)?;
    }
    // Modules 3 and 7 are the dropout.
    for (module, outputs) in [(0, 384), (4, 192)] {
        value = net.layer(value, &format!("classifier.{module}"), dense(outputs, false))?;
        value = net.layer(value, &format!("classifier.{}", module + 1), BATCH_NORM)?;
        value = net.layer(value, "relu", RELU)?;
    }
    net.layer(value, "classifier.8", OUTPUTS)?;
    net.finish()
}

fn vgg11(input: Shape, classes: usize, norm: bool) -> Result<Graph, String> {
    let mut net = Builder::new(input, classes, Initialisation::Kaiming);
    let (mut value, mut module) = (0, 0);
    // 0 is a pooling.
    for channels in [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0] {
        if channels == 0 {
            value = net.layer(value, "pool", max_pool(tiles(2)))?;
            module += 1;
            continue;
        }
        value = net.layer(value, &format!("features.{module}"), convolution(channels, three(1), true))?;
        if norm {
            module += 1;
            value = net.layer(value, &format!("features.{module}"), BATCH_NORM)?;
        }
        value = net.layer(value, "relu", RELU)?;
        module += 2;
    }
    net.layer(value, "classifier", OUTPUTS)?;
    net.finish()
}

fn resnet20(input: Shape, classes: usize) -> Result<Graph, String> {
    let mut net = Builder::new(input, classes, Initialisation::Kaiming);
    let mut value = net.layer(0, "conv1", convolution(16, three(1), false))?;
    value = net.layer(value, "bn1", BATCH_NORM)?;
    value = net.layer(value, "relu", RELU)?;
    for (layer, channels) in [(1, 16), (2, 32), (3, 64)] {
        for block in 0..3 {
            let name = format!("layer{layer}.{block}");
            let stride = if layer > 1 && block == 0 { 2 } else { 1 };
            let mut body = net.layer(value, &format!("{name}.conv1"), convolution(channels, three(stride), false))?;
            body = net.layer(body, &format!("{name}.bn1"), BATCH_NORM)?;
            body = net.layer(body, "relu", RELU)?;
            body = net.layer(body, &format!("{name}.conv2"), convolution(channels, three(1), false))?;
            body = net.layer(body, &format!("{name}.bn2"), BATCH_NORM)?;
            let mut shortcut = value;
            if stride > 1 {
                let point = Window { kernel: 1, stride, padding: 0 };
                shortcut = net.layer(value, &format!("{name}.downsample.0"), convolution(channels, point, false))?;
                shortcut = net.layer(shortcut, &format!("{name}.downsample.1"), BATCH_NORM)?;
            }
            value = net.add(body, shortcut)?;
            value = net.layer(value, "relu", RELU)?;
        }
    }
    value = net.layer(value, "pool", PoolLayer { kind: Pooling::Avg, window: None })?;
    net.layer(value, "fc", OUTPUTS)?;
    net.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn named_models_have_the_published_numbers_of_parameters() {
        let parameters = |named: Named, shape| Model::from(named.graph(shape, 10).unwrap()).parameters();
        let (gray, colour) = (Shape::new(1, 28, 28), Shape::new(3, 32, 32));
        assert_eq!(parameters(Named::Lenet, gray), 61_706);
        // torchvision's vgg11 features (9,220,480), and 512 x 10 + 10.
        assert_eq!(parameters(Named::Vgg11, colour), 9_225_610);
        assert_eq!(parameters(Named::Vgg11Bn, colour), 9_231_114);
        // 269,722 with parameter-free shortcuts; two projections with batch norm more.
        assert_eq!(parameters(Named::Resnet20, colour), 269_722 + 16 * 32 + 64 + 32 * 64 + 128);
        let convolutions = 3 * 64 * 25 + 64 * 64 * 25;
        let dense = 64 * 49 * 384 + 384 * 192 + 192 * 10 + 10;
        assert_eq!(parameters(Named::CifarShallow, colour), convolutions + dense + 2 * (64 + 64 + 384 + 192));
    }

    #[test]
    fn images_that_are_too_small_are_refused() {
        let error = Named::Lenet.graph(Shape::new(1, 8, 8), 10).unwrap_err();
        assert_eq!(error, "a window of 5 x 5 with padding 0 on a value of 6 x 4 x 4");
    }
}
