//! The grammar of `--data`.
//!
//! ```text
//! digits
//! mnist[:DIR]    fashion-mnist[:DIR]    cifar10[:DIR]    cifar100[:DIR]
//! npz:FILE    npz:FILE#nchw    npz:FILE#nhwc
//! synthetic:clusters[:spread=S][:OPTIONS]
//! synthetic:teacher[:hidden=H][:OPTIONS]
//!     OPTIONS: classes=C; features=F, or shape=CHANNELSxHEIGHTxWIDTH; samples=N; test=N; seed=S
//! ```
//!
//! Shown and stored with every option, those too that were left out. Files are read when data is loaded, not when a flag is
//! parsed. Not here: where files are looked for ([`super::images`]).

use super::images::ImageSet;
use super::synthetic::{Law, Synthetic};
use crate::math::Shape;
use crate::text::{Options, as_flag_with_a_file, as_text};
use clap_lex::OsStrExt;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use strum::IntoEnumIterator;

/// Where samples come from: `--data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum DataSource {
    /// 1,797 handwritten digits, 8 x 8 pixels in [0, 1], 10 classes; shipped inside the program.
    Digits,
    Images {
        set: ImageSet,
        /// Where its files are; looked for in the usual places where `None`.
        folder: Option<PathBuf>,
    },
    Npz {
        file: PathBuf,
        /// Which axis of images has the channels; told by the shape where `None`.
        layout: Option<Layout>,
    },
    Synthetic(Synthetic),
}
as_text!(DataSource);
as_flag_with_a_file!(DataSource);

/// Order of the axes of images in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumIter, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Layout {
    /// (n, channels, height, width), PyTorch's.
    Nchw,
    /// (n, height, width, channels), TensorFlow's and that of image files.
    Nhwc,
}

const ACCEPTED: &str = "accepted: digits, mnist[:DIR], fashion-mnist[:DIR], cifar10[:DIR], cifar100[:DIR], npz:FILE[#nhwc], \
                        synthetic:clusters, synthetic:teacher";

impl FromStr for DataSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse_os(OsStr::new(text))
    }
}

impl DataSource {
    /// Reads what is typed, which may name a file by any bytes.
    ///
    /// # Errors
    /// Another text, with what would be accepted.
    pub fn parse_os(text: &OsStr) -> Result<Self, String> {
        let (name, detail) = match text.split_once(":") {
            Some((name, detail)) => (name, Some(detail)),
            None => (text, None),
        };
        let named = detail.filter(|detail| !detail.is_empty());
        let shown = name.to_string_lossy();
        if let Ok(set) = shown.parse::<ImageSet>() {
            return match (detail, named) {
                (Some(_), None) => Err(format!("{set}: names no folder; accepted: {set}, {set}:DIR")),
                _ => Ok(Self::Images { set, folder: named.map(PathBuf::from) }),
            };
        }
        match (&*shown, detail, named) {
            ("digits", None, _) => Ok(Self::Digits),
            ("digits", Some(_), _) => Err("digits are inside the program; accepted: digits".into()),
            ("npz", _, None) => Err("npz names no file; accepted: npz:FILE".into()),
            ("npz", _, Some(file)) => Ok(npz(file)),
            ("synthetic", detail, _) => {
                let text = detail.unwrap_or_default().to_str().ok_or_else(|| format!("not UTF-8; {ACCEPTED}"))?;
                synthetic(text).map(Self::Synthetic)
            }
            _ => Err(format!("no data '{shown}'; {ACCEPTED}")),
        }
    }
}

/// What follows `npz:`: a file, and behind its name perhaps a layout.
fn npz(text: &OsStr) -> DataSource {
    let parts: Vec<&OsStr> = text.split("#").collect();
    if let [before @ .., last] = &parts[..]
        && !before.is_empty()
        && let Some(layout) = Layout::iter().find(|layout| *last == layout.to_string().as_str())
    {
        return DataSource::Npz { file: before.join(OsStr::new("#")).into(), layout: Some(layout) };
    }
    DataSource::Npz { file: text.into(), layout: None }
}

impl fmt::Display for DataSource {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Digits => f.write_str("digits"),
            Self::Images { set, folder: None } => set.fmt(f),
            Self::Images { set, folder: Some(folder) } => write!(f, "{set}:{}", folder.display()),
            Self::Npz { file, layout: None } => write!(f, "npz:{}", file.display()),
            Self::Npz { file, layout: Some(layout) } => write!(f, "npz:{}#{layout}", file.display()),
            Self::Synthetic(Synthetic { law, shape, classes, samples, test, seed }) => {
                match law {
                    Law::Clusters { spread } => write!(f, "synthetic:clusters:spread={spread}"),
                    Law::Teacher { hidden } => write!(f, "synthetic:teacher:hidden={hidden}"),
                }?;
                write!(f, ":classes={classes}")?;
                match shape {
                    Shape { channels, .. } if shape.is_vector() => write!(f, ":features={channels}"),
                    Shape { channels, height, width } => write!(f, ":shape={channels}x{height}x{width}"),
                }?;
                write!(f, ":samples={samples}:test={test}:seed={seed}")
            }
        }
    }
}

/// Largest of each option. The numbers of all samples, of which each has 4 bytes, have a bound of their own.
const MOST_CLASSES: usize = 1 << 16;
const MOST_FEATURES: usize = 1 << 20;
const MOST_HIDDEN: usize = 1 << 16;
const MOST_SAMPLES: usize = 1 << 24;
const MOST_NUMBERS: usize = 1 << 30;

/// Accepted standard deviations of the noise, in units of the standard deviation of the centres.
const SPREADS: RangeInclusive<f64> = 1e-6..=1e6;

/// What follows `synthetic:`.
fn synthetic(text: &str) -> Result<Synthetic, String> {
    let (law, rest) = match text.split_once(':') {
        Some((law, rest)) => (law, Some(rest)),
        None => (text, None),
    };
    let own = match law {
        "clusters" => "spread",
        "teacher" => "hidden",
        _ => return Err(format!("no law '{law}' of synthetic data; accepted: synthetic:clusters, synthetic:teacher")),
    };
    let of = format!("synthetic:{law}");
    let options = Options::read(&of, rest, &[own, "classes", "features", "shape", "samples", "test", "seed"])?;
    let whole = |key: &str, usable: RangeInclusive<usize>, usual: usize| {
        let accepted = format!("a whole number from {} to {}", usable.start(), usable.end());
        options.value(key, |number| usable.contains(number), &accepted).map(|number| number.unwrap_or(usual))
    };
    let shape = match (options.get("features"), options.get("shape")) {
        (Some(_), Some(_)) => return Err("both features and shape; accepted: one of them".into()),
        (_, None) => Shape::vector(whole("features", 1..=MOST_FEATURES, 32)?),
        (None, Some(text)) => image(text).ok_or_else(|| {
            format!("shape={text}; accepted: CHANNELSxHEIGHTxWIDTH, as 3x32x32, of up to {MOST_FEATURES} numbers")
        })?,
    };
    let samples = whole("samples", 1..=MOST_SAMPLES, 4096)?;
    let test = whole("test", 1..=MOST_SAMPLES, 1024)?;
    let numbers = (samples + test).saturating_mul(shape.elements());
    if numbers > MOST_NUMBERS {
        return Err(format!(
            "samples={samples} and test={test} of {shape} have {numbers} numbers; accepted: up to {MOST_NUMBERS}"
        ));
    }
    let law = match law {
        "clusters" => {
            let accepted = format!("a number from {:e} to {:e}", SPREADS.start(), SPREADS.end());
            let spread = options.value("spread", |spread| SPREADS.contains(spread), &accepted)?;
            Law::Clusters { spread: spread.unwrap_or(1.0) }
        }
        _ => Law::Teacher { hidden: whole("hidden", 1..=MOST_HIDDEN, 32)? },
    };
    let classes = whole("classes", 2..=MOST_CLASSES, 10)?;
    let seed = options.value("seed", |_| true, "a whole number")?.unwrap_or(0);
    Ok(Synthetic { law, shape, classes, samples, test, seed })
}

/// `3x32x32`
fn image(text: &str) -> Option<Shape> {
    let sizes: Vec<usize> = text.split('x').map(|size| size.parse().ok()).collect::<Option<_>>()?;
    let &[channels, height, width] = &sizes[..] else { return None };
    let elements = channels.checked_mul(height)?.checked_mul(width)?;
    (1..=MOST_FEATURES).contains(&elements).then_some(Shape::new(channels, height, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_the_text_that_makes_them() {
        const CLUSTERS: &str = "synthetic:clusters:spread=1:classes=10:features=32:samples=4096:test=1024:seed=0";
        for (typed, shown) in [
            ("digits", "digits"),
            ("mnist", "mnist"),
            ("fashion-mnist:/a:b/c", "fashion-mnist:/a:b/c"),
            ("cifar10:.", "cifar10:."),
            ("cifar100", "cifar100"),
            ("npz:a b.npz", "npz:a b.npz"),
            ("npz:a#b.npz", "npz:a#b.npz"),
            ("npz:a#nchw#nhwc", "npz:a#nchw#nhwc"),
            ("synthetic:clusters", CLUSTERS),
            (
                "synthetic:clusters:seed=7:shape=3x32x32:spread=2.5",
                "synthetic:clusters:spread=2.5:classes=10:shape=3x32x32:samples=4096:test=1024:seed=7",
            ),
            (
                "synthetic:teacher:test=1:shape=5x1x1:classes=2:samples=3",
                "synthetic:teacher:hidden=32:classes=2:features=5:samples=3:test=1:seed=0",
            ),
        ] {
            let source: DataSource = typed.parse().unwrap();
            assert_eq!(source.to_string(), shown);
            assert_eq!(shown.parse(), Ok(source.clone()), "{shown}");
            let json = serde_json::to_string(&source).unwrap();
            assert_eq!(json, format!("\"{shown}\""));
            assert_eq!(serde_json::from_str::<DataSource>(&json).unwrap(), source);
        }
    }

    #[test]
    fn what_is_no_data_is_refused_with_what_is() {
        for (typed, part) in [
            ("", "no data ''; accepted: digits, mnist[:DIR]"),
            ("Digits", "no data 'Digits'"),
            ("digits:x", "accepted: digits"),
            ("mnist:", "mnist: names no folder; accepted: mnist, mnist:DIR"),
            ("npz", "accepted: npz:FILE"),
            ("npz:", "accepted: npz:FILE"),
            ("npzz", "npz:FILE[#nhwc]"),
            ("synthetic", "no law ''"),
            ("synthetic:spiral", "no law 'spiral' of synthetic data; accepted: synthetic:clusters, synthetic:teacher"),
            (
                "synthetic:clusters:hidden=3",
                "unknown key 'hidden' of synthetic:clusters; accepted: spread=VALUE, classes=",
            ),
            ("synthetic:teacher:spread=1", "unknown key 'spread' of synthetic:teacher; accepted: hidden=VALUE"),
            ("synthetic:clusters:32", "'32' of synthetic:clusters"),
            ("synthetic:clusters:seed=1:seed=1", "seed is given twice"),
            ("synthetic:clusters:seed=-1", "seed=-1; accepted: a whole number"),
            ("synthetic:clusters:spread=0", "spread=0; accepted: a number from 1e-6 to 1e6"),
            ("synthetic:clusters:spread=nan", "spread=nan"),
            ("synthetic:clusters:classes=1", "classes=1; accepted: a whole number from 2 to 65536"),
            ("synthetic:clusters:features=0", "features=0; accepted"),
            ("synthetic:clusters:features=1:shape=1x1x1", "both features and shape"),
            ("synthetic:clusters:shape=32x32", "shape=32x32; accepted: CHANNELSxHEIGHTxWIDTH"),
            ("synthetic:clusters:shape=0x3x3", "shape=0x3x3"),
            ("synthetic:clusters:shape=4294967296x4294967296x1", "of up to 1048576 numbers"),
            ("synthetic:teacher:hidden=65537", "hidden=65537; accepted: a whole number from 1 to 65536"),
            ("synthetic:teacher:samples=16777217", "samples=16777217"),
            ("synthetic:teacher:test=0", "test=0"),
            ("synthetic:teacher:samples=16777216:features=64", "have 1073807360 numbers; accepted: up to 1073741824"),
        ] {
            let error = typed.parse::<DataSource>().unwrap_err();
            assert!(error.contains(part), "{typed}: {error}");
        }
    }
}
