//! Images with a border of zeros, plane by plane, and the places of windows over them in vectors.

use crate::math::Shape;

/// Images of which every plane is taken apart into its phases: the pixels whose line and column leave the same rest by `apart`.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    /// Phases in each direction that are kept, at most `apart`.
    pub phases: usize,
    /// Pixels from one of a phase to the next.
    pub apart: usize,
    /// Numbers from one line of a phase to the next.
    pub pitch: usize,
    /// Numbers of a phase.
    pub plane: usize,
    pub channels: usize,
}

impl Canvas {
    pub fn channel(self) -> usize {
        self.phases * self.phases * self.plane
    }

    /// Numbers of an image.
    pub fn len(self) -> usize {
        self.channels * self.channel()
    }

    /// Where in a channel the pixel of this line and column is; none where its phase is not kept.
    fn pixel(self, line: usize, column: usize) -> Option<usize> {
        let [down, right] = [line, column].map(|at| at % self.apart);
        let kept = down < self.phases && right < self.phases;
        kept.then(|| self.phase(down, right) + line / self.apart * self.pitch + column / self.apart)
    }

    fn phase(self, down: usize, right: usize) -> usize {
        (down * self.phases + right) * self.plane
    }

    /// How far the numbers of a window of so many pixels lie from its beginning: channel, y, x.
    pub fn window(self, kernel: usize) -> Vec<usize> {
        let mut offsets = Vec::with_capacity(self.channels * kernel * kernel);
        for channel in 0..self.channels {
            for y in 0..kernel {
                let pixels = (0..kernel).map(|x| self.pixel(y, x).expect("phases that windows reach are kept"));
                offsets.extend(pixels.map(|pixel| channel * self.channel() + pixel));
            }
        }
        offsets
    }

    /// Lays an image on `canvas`, its first pixel in this line and column. What lies beyond the canvas is left out: no window reads it.
    #[inline(always)]
    pub fn paint<T: Copy>(self, image: &[T], shape: Shape, [top, left]: [usize; 2], canvas: &mut [T]) {
        let planes = image.chunks_exact(shape.pixels()).zip(canvas.chunks_exact_mut(self.channel()));
        for (plane, channel) in planes {
            for (y, pixels) in plane.chunks_exact(shape.width).enumerate() {
                if self.apart == 1 {
                    channel[(top + y) * self.pitch + left..][..shape.width].copy_from_slice(pixels);
                    continue;
                }
                let (line, down) = ((top + y) / self.apart, (top + y) % self.apart);
                if down >= self.phases || (line + 1) * self.pitch > self.plane {
                    continue;
                }
                for right in 0..self.phases {
                    // The first pixel of this phase.
                    let first = (right + self.apart * left - left) % self.apart;
                    let column = (left + first) / self.apart;
                    let there = &mut channel[self.phase(down, right) + line * self.pitch..][..self.pitch][column..];
                    let pixels = pixels.iter().skip(first).step_by(self.apart);
                    there.iter_mut().zip(pixels).for_each(|(there, pixel)| *there = *pixel);
                }
            }
        }
    }
}

/// Places in lines, in vectors.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub height: usize,
    pub width: usize,
    /// Numbers from one line to the next.
    pub pitch: usize,
    /// Numbers of a vector.
    pub lanes: usize,
    /// Whether vectors run on from line to line, over what is between them, or begin anew in each.
    pub runs_on: bool,
}

impl Grid {
    /// The way of fewer vectors.
    pub fn new([height, width]: [usize; 2], pitch: usize, lanes: usize) -> Self {
        let running = Self { height, width, pitch, lanes, runs_on: true };
        let anew = Self { runs_on: false, ..running };
        if running.vectors() < anew.vectors() { running } else { anew }
    }

    /// Numbers of a line in whole vectors.
    pub fn padded_width(self) -> usize {
        self.width.next_multiple_of(self.lanes)
    }

    /// Vectors of one image.
    pub fn vectors(self) -> usize {
        if self.runs_on {
            ((self.height - 1) * self.pitch + self.width).div_ceil(self.lanes)
        } else {
            self.height * self.width.div_ceil(self.lanes)
        }
    }

    /// Numbers from one line to the next in what is made.
    pub fn step(self) -> usize {
        if self.runs_on { self.pitch } else { self.padded_width() }
    }

    /// Where the vectors of so many images begin, `image` numbers apart, the first at `first`; then the last of them again until they
    /// are a multiple of `together`.
    pub fn starts(self, first: usize, images: usize, image: usize, together: usize) -> Vec<usize> {
        let across = self.width.div_ceil(self.lanes);
        let place = |vector: usize| match self.runs_on {
            true => vector * self.lanes,
            false => vector / across * self.pitch + vector % across * self.lanes,
        };
        let of_image = |at: usize| (0..self.vectors()).map(move |vector| first + at * image + place(vector));
        let mut starts: Vec<usize> = (0..images).flat_map(of_image).collect();
        let last = starts.last().copied().unwrap_or(first);
        starts.resize(starts.len().next_multiple_of(together), last);
        starts
    }
}
