//! The two renderings of a picture: an SVG document and a PNG file.
//!
//! Both go through plotters, whose coordinates are whole pixels with hard edges. So everything is drawn [`SCALE`] times
//! too large, which the SVG undoes by its viewBox and the PNG by averaging. Text stays text in the SVG; for the PNG it
//! is set here, as plotters ignores the left side bearings of letters. Lines are broken here too, as plotters knows no dashes.

use super::letters::{Anchor, Style};
use super::marks::{Dash, Point, strokes};
use super::scene::{Scene, Shape};
use ab_glyph::{Font, point};
use anyhow::{Context, Result, anyhow};
use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, ShapeStyle};

/// Sub-pixels per pixel.
const SCALE: u32 = 3;

impl Scene {
    /// The picture as an SVG document.
    pub fn svg(&self) -> Result<String> {
        let (width, height) = self.subpixels();
        let mut document = String::new();
        self.draw(&mut SVGBackend::with_string(&mut document, (width, height)), name_text, |points, _| {
            vec![points.to_vec()]
        })?;
        let document = self.with_dashes(&document);
        let oversized = format!(r#"width="{width}" height="{height}""#);
        Ok(document.replacen(&oversized, &format!(r#"width="{}" height="{}""#, self.width, self.height), 1))
    }

    /// The picture as a PNG file.
    pub fn png(&self) -> Result<Vec<u8>> {
        let (width, height) = self.subpixels();
        let mut subpixels = vec![255; width as usize * height as usize * 3];
        self.draw(&mut BitMapBackend::with_buffer(&mut subpixels, (width, height)), paint_text, strokes)?;

        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_compression(png::Compression::Best);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&averaged(&subpixels, self.width as usize, self.height as usize))?;
        writer.finish().context("cannot encode the picture")?;
        Ok(file)
    }

    fn subpixels(&self) -> (u32, u32) {
        (self.width * SCALE, self.height * SCALE)
    }

    /// An SVG document with the dashes of its lines, which the library does not write: they stand in it in the order of the shapes.
    fn with_dashes(&self, document: &str) -> String {
        let lines = self.shapes.iter().filter_map(|shape| match shape {
            Shape::Line { dash, .. } => Some(dash.pattern()),
            _ => None,
        });
        let mut parts = document.split("<polyline ");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.zip(lines).fold(first, |whole, (part, pattern)| {
            let lengths: Vec<String> = pattern.iter().map(|length| scaled(*length).to_string()).collect();
            let dashes =
                if lengths.is_empty() { String::new() } else { format!("stroke-dasharray=\"{}\" ", lengths.join(",")) };
            whole + "<polyline " + &dashes + part
        })
    }

    /// Draws all shapes; text as `set_text` does it, lines in the pieces that `broken` makes of them.
    fn draw<B: DrawingBackend>(&self, backend: &mut B, set_text: SetText<B>, broken: Broken) -> Result<()> {
        let white = plotters::style::WHITE.to_backend_color();
        let (width, height) = self.subpixels();
        backend.ensure_prepared().map_err(failed)?;
        backend.draw_rect((0, 0), (width as i32, height as i32), &white, true).map_err(failed)?;
        for shape in &self.shapes {
            match shape {
                Shape::Line { points, width, color, dash } => {
                    let stroke_width = scaled(*width).round().max(1.0) as u32;
                    let style = ShapeStyle { color: *color, filled: false, stroke_width };
                    for piece in broken(points, *dash) {
                        backend.draw_path(piece.into_iter().map(subpixel), &style).map_err(failed)?;
                    }
                }
                Shape::Polygon { points, color } => {
                    let corners = points.iter().copied().map(subpixel);
                    backend.fill_polygon(corners, &color.to_backend_color()).map_err(failed)?;
                }
                Shape::Text { at, text, style } => set_text(backend, *at, text, style)?,
            }
        }
        backend.present().map_err(failed)
    }
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}

fn scaled(length: f64) -> f64 {
    length * f64::from(SCALE)
}

fn subpixel((x, y): Point) -> (i32, i32) {
    (scaled(x).round() as i32, scaled(y).round() as i32)
}

/// The pieces of a line.
type Broken = fn(&[Point], Dash) -> Vec<Vec<Point>>;

/// Sets a text with its baseline at a point.
type SetText<B> = fn(&mut B, Point, &str, &Style) -> Result<()>;

/// The embedded font by the names under which an SVG viewer may have it. Verdana has the same widths.
const FAMILY: FontFamily<'static> = FontFamily::Name("DejaVu Sans, Verdana, sans-serif");

/// Leaves the letters to whoever shows the picture. plotters-svg writes font-size = size / 1.24, and for a text anchored
/// at its top, dy = 0.76em.
fn name_text<B: DrawingBackend>(backend: &mut B, (x, y): Point, text: &str, style: &Style) -> Result<()> {
    let rise = 0.76 * style.size;
    let (at, turn) = match style.vertical {
        true => ((x - rise, y), FontTransform::Rotate270),
        false => ((x, y - rise), FontTransform::None),
    };
    let anchor = match style.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    };
    let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
    let font = FontDesc::new(FAMILY, 1.24 * scaled(style.size), weight).transform(turn);
    backend.draw_text(text, &font.color(&style.color).pos(Pos::new(anchor, VPos::Top)), subpixel(at)).map_err(failed)
}

/// Fills the letters sub-pixel by sub-pixel.
fn paint_text<B: DrawingBackend>(backend: &mut B, (x, y): Point, text: &str, style: &Style) -> Result<()> {
    let (glyphs, width) = style.glyphs(text);
    let start = match style.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -0.5 * width,
        Anchor::End => -width,
    };
    let origin = subpixel((x, y));
    for (glyph, place) in glyphs {
        let offset = point(scaled(start + place) as f32, 0.0);
        let Some(outline) =
            style.face().outline_glyph(glyph.with_scale_and_position(style.px_scale(SCALE.into()), offset))
        else {
            continue;
        };
        let corner = outline.px_bounds().min;
        let mut painted = Ok(());
        outline.draw(|column, row, coverage| {
            let (right, down) = (corner.x as i32 + column as i32, corner.y as i32 + row as i32);
            let (right, down) = if style.vertical { (down, -right) } else { (right, down) };
            let color = style.color.mix(coverage.min(1.0).into()).to_backend_color();
            if painted.is_ok() {
                painted = backend.draw_pixel((origin.0 + right, origin.1 + down), color);
            }
        });
        painted.map_err(failed)?;
    }
    Ok(())
}

/// The mean of every `SCALE` x `SCALE` block of an RGB image; `width` and `height` are those of the result.
fn averaged(subpixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let scale = SCALE as usize;
    let area = SCALE * SCALE;
    let stride = width * scale * 3;
    let mut pixels = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let rows = &subpixels[y * scale * stride..][..scale * stride];
        for x in 0..width {
            for channel in 0..3 {
                let sum: u32 = rows
                    .chunks_exact(stride)
                    .flat_map(|row| row[x * scale * 3 + channel..].iter().step_by(3).take(scale))
                    .map(|&value| u32::from(value))
                    .sum();
                pixels.push(((sum + area / 2) / area) as u8);
            }
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;
    use plotters::style::BLACK;

    /// Position (left, top, right, bottom) of everything that is not white.
    fn inked(scene: &Scene) -> (usize, usize, usize, usize) {
        let file = scene.png().unwrap();
        let mut reader = png::Decoder::new(file.as_slice()).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        reader.next_frame(&mut pixels).unwrap();
        let width = scene.width as usize;
        let dark = pixels.chunks(3).enumerate().filter(|(_, rgb)| rgb[0] < 128).map(|(i, _)| (i % width, i / width));
        dark.fold((usize::MAX, usize::MAX, 0, 0), |(left, top, right, bottom), (x, y)| {
            (left.min(x), top.min(y), right.max(x), bottom.max(y))
        })
    }

    #[test]
    fn text_stands_on_its_baseline_and_is_as_wide_as_it_claims() {
        let style = Style::new(40.0, BLACK.to_rgba());
        let mut scene = Scene::new(200, 100);
        scene.text((20.0, 70.0), "HEH", style);
        let (left, top, right, bottom) = inked(&scene);
        assert!(bottom.abs_diff(69) <= 1, "baseline at {bottom}");
        assert!(top.abs_diff(70 - 29) <= 1, "capitals are 0.73 em high; top at {top}");
        let middle = 20.0 + 0.5 * style.width("HEH");
        assert!(((left + right) as f64 / 2.0 - middle).abs() <= 1.0, "centred in its width: {left}..{right}");

        let mut scene = Scene::new(100, 200);
        scene.text((70.0, 100.0), "HEH", style.vertical().anchor(Anchor::Middle));
        let (left, top, right, bottom) = inked(&scene);
        assert!(right.abs_diff(69) <= 1 && left.abs_diff(41) <= 1, "reads upwards: {left}..{right}");
        assert!((top + bottom).abs_diff(199) <= 2, "centred: {top}..{bottom}");
    }

    #[test]
    fn a_broken_line_has_strokes_of_its_pattern_round_corners_too_and_one_element_in_the_svg() {
        let bent = [(0.0, 0.0), (20.0, 0.0), (20.0, 10.0)];
        // 16 on, 6 off, 8 left of the next stroke.
        let expected = [vec![(0.0, 0.0), (16.0, 0.0)], vec![(20.0, 2.0), (20.0, 10.0)]];
        assert_eq!(strokes(&bent, Dash::Long), expected);
        assert_eq!(strokes(&bent, Dash::Solid), [bent.to_vec()]);
        let mut scene = Scene::new(40, 40);
        scene.line(bent, 1.0, BLACK);
        scene.dashed(bent, 1.0, BLACK, Dash::Long);
        let svg = scene.svg().unwrap();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("stroke-dasharray=\"48,18\"").count()), (2, 1));
    }
}
