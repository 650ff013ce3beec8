//! The way forward: windows of the input times the weights.

use super::canvas::{Canvas, Grid};
use super::product::{Slide, pack};
use super::{Desk, Scratch, blank};
use crate::kernels::conv::{Convolution, Forward, groups};
use crate::math::Activation;
use crate::math::vector::{Element, Pieces, Tiles, vectors_of_tile};
use pulp::{Simd, WithSimd};

impl Convolution {
    /// [`Self::forward`].
    pub(in crate::kernels::conv) fn forward_planar<T: Element>(
        &self,
        Forward { input, weight, bias, then, output }: Forward<T>,
        scratch: &mut Scratch<T>,
        Pieces { instructions, parallel }: Pieces,
    ) {
        let lanes = T::lanes_of(instructions);
        let tiles = Tiles::of(self.output.channels);
        let [group, together] = self.shares(input.len() / self.input.elements());
        let canvas = self.input_canvas(0);
        let grid = Grid::new([self.output.height, self.output.width], canvas.pitch, lanes);
        let numbers: Vec<usize> = (0..self.depth()).collect();
        let slide = Slide {
            grid,
            tiles,
            weights: pack(tiles, weight, [self.output.channels, self.depth()], &numbers),
            offsets: canvas.window(self.window.kernel),
            starts: grid.starts(0, together, canvas.len(), vectors_of_tile(instructions)),
        };
        let work = ForwardWork { convolution: *self, canvas, slide, bias, then, together };
        let images = input.chunks(group * self.input.elements());
        let outputs = output.chunks_mut(group * self.output.elements());
        groups::each(&mut scratch.desks, parallel, images.zip(outputs).collect(), |(desk, _), (images, made)| {
            instructions.run(ForwardOfGroup { work: &work, images, made, desk });
        });
    }
}

/// The way forward through a convolution.
struct ForwardWork<'a, T> {
    convolution: Convolution,
    canvas: Canvas,
    slide: Slide<T>,
    bias: Option<&'a [T]>,
    then: Option<Activation>,
    together: usize,
}

/// [`ForwardWork`] on the images of one group.
struct ForwardOfGroup<'a, T> {
    work: &'a ForwardWork<'a, T>,
    images: &'a [T],
    made: &'a mut [T],
    desk: &'a mut Desk<T>,
}

impl<T: Element> WithSimd for ForwardOfGroup<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { work, images, made, desk } = self;
        let ForwardWork { convolution, canvas, slide, bias, then, together } = work;
        let Convolution { input, output, window } = *convolution;
        blank(&mut desk.inputs, together * canvas.len() + convolution.beyond(T::lanes::<S>()));
        let made = made.chunks_mut(together * output.elements());
        for (images, made) in images.chunks(together * input.elements()).zip(made) {
            let samples = images.len() / input.elements();
            for (image, place) in images.chunks_exact(input.elements()).zip(desk.inputs.chunks_exact_mut(canvas.len()))
            {
                canvas.paint(image, input, [window.padding; 2], place);
            }
            let sums = slide.run(simd, samples, &desk.inputs, &mut desk.made);
            for (index, plane) in made.chunks_exact_mut(output.pixels()).enumerate() {
                let (sample, channel) = (index / output.channels, index % output.channels);
                let bias = bias.map_or(T::zero(), |bias| bias[channel]);
                for (y, line) in plane.chunks_exact_mut(output.width).enumerate() {
                    let sums = sums.line(channel, sample, y);
                    match then {
                        None => line.iter_mut().zip(sums).for_each(|(z, sum)| *z = *sum + bias),
                        Some(then) => then.of_each(line, sums, |sum| sum + bias),
                    }
                }
            }
        }
    }
}
