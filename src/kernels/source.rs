//! The text of a shader: its own file, the shared files that it uses and the numbers of its enums, joined and unrolled.
//!
//! *Joined:* WGSL may use a name before its declaration, so the shared files follow the kernel's own. *Unrolled:* lines
//! between `// unrolled NAME` and `// end` stand in the text as often as the variant's constant NAME says, since WGSL
//! compilers keep no array in registers. Names that end in `_0` are numbered from copy to copy; so a shader is valid as it
//! lies in its file, with one copy of everything.
//!
//! Not here: conditions or nesting; a shader that wants them is two shaders.

use super::{Constant, Kernel};

/// A file of `shaders/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShaderFile {
    /// Its path in the repository.
    pub name: &'static str,
    pub text: &'static str,
}

/// A file of `shaders/`, by its path there.
macro_rules! shader {
    ($path:literal) => {
        $crate::kernels::ShaderFile {
            name: concat!("shaders/", $path),
            text: include_str!(concat!("../../shaders/", $path)),
        }
    };
}
pub(super) use shader;

pub const LANE_STEP: ShaderFile = shader!("shared/lane_step.wgsl");
pub const UPDATE: ShaderFile = shader!("shared/update.wgsl");
pub const ACTIVATION: ShaderFile = shader!("shared/activation.wgsl");
pub const TILES: ShaderFile = shader!("shared/tiles.wgsl");
pub const NUMBERS: ShaderFile = shader!("shared/numbers.wgsl");

/// Where the lines come from that no file has.
const CODES: &str = "codes in src/kernels";

/// A joined text that remembers where each of its lines stands.
#[derive(Clone, Debug)]
pub struct Source {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    file: &'static str,
    /// Its number in the file, from 1.
    number: usize,
    text: String,
}

impl Source {
    /// The text of a variant of `kernel`; parts that it does not unroll stand once.
    pub(super) fn new(kernel: &Kernel, variant: &[Constant]) -> Self {
        let mut lines = Vec::new();
        for ShaderFile { name, text } in kernel.files {
            unroll(name, text, variant, &mut lines);
        }
        for (number, (name, code)) in (1..).zip(kernel.codes.iter().copied().flatten()) {
            lines.push(Line { file: CODES, number, text: format!("const {name} = {code}u;") });
        }
        Self { lines }
    }

    /// The same text, whose parameters lie in a buffer of one `Params`, all but the step of the block, which stays an immediate:
    /// for devices that have fewer bytes of them.
    #[must_use]
    pub fn with_params_bound(mut self, binding: usize) -> Self {
        for line in &mut self.lines {
            if line.text == "var<immediate> params: Params;" {
                line.text = format!(
                    "@group(0) @binding({binding}) var<storage, read> params: Params; var<immediate> block_step: u32;"
                );
            } else {
                line.text = renamed(&line.text, "params.step", "block_step");
            }
        }
        self
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// File and line of a line of the text, which is counted from 1.
    pub fn origin(&self, line: usize) -> String {
        let line = line.checked_sub(1).and_then(|index| self.lines.get(index)).or(self.lines.last());
        line.map_or_else(String::new, |line| format!("{}:{}", line.file, line.number))
    }

    /// The whole text, each line behind its file and number.
    pub fn listing(&self) -> String {
        self.lines.iter().map(|line| format!("{}:{}: {}\n", line.file, line.number, line.text)).collect()
    }
}

/// Adds the lines of a file, with every marked part repeated as `variant` says.
fn unroll(file: &'static str, text: &str, variant: &[Constant], lines: &mut Vec<Line>) {
    let mut numbered = (1..).zip(text.lines());
    while let Some((number, text)) = numbered.next() {
        let Some(name) = text.trim_start().strip_prefix("// unrolled ") else {
            lines.push(Line { file, number, text: text.into() });
            continue;
        };
        let body: Vec<(usize, &str)> = numbered.by_ref().take_while(|(_, text)| text.trim() != "// end").collect();
        let copies = variant.iter().find(|(constant, _)| *constant == name).map_or(1, |(_, copies)| *copies as usize);
        for copy in 0..copies {
            let copied = body.iter().map(|(number, text)| Line { file, number: *number, text: renumber(text, copy) });
            lines.extend(copied);
        }
    }
}

/// `text` with another word for `word`.
fn renamed(text: &str, word: &str, other: &str) -> String {
    let mut pieces = text.split(word);
    let mut renamed: String = pieces.next().unwrap_or_default().into();
    for piece in pieces {
        let is_longer = piece.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        renamed.push_str(if is_longer { word } else { other });
        renamed.push_str(piece);
    }
    renamed
}

/// Names that end in `_0` end in `_copy`.
fn renumber(text: &str, copy: usize) -> String {
    let mut pieces = text.split("_0");
    let mut renamed: String = pieces.next().unwrap_or_default().into();
    for piece in pieces {
        let is_name = !piece.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        let number = if is_name { copy } else { 0 };
        renamed.push_str(&format!("_{number}{piece}"));
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: Kernel = Kernel {
        name: "made_up",
        files: &[
            ShaderFile {
                name: "one",
                text: "a\n    // unrolled N\n    let x_0 = f(x_01, y_0);\n    // end\nb\n// unrolled M\nz_0\n// end\n",
            },
            ShaderFile { name: "two", text: "x_0\n// unrolling\n" },
        ],
        bindings: &[],
        structs: &[],
        codes: &[&[("RED", 0), ("BLUE", 1)]],
        constants: &[],
        variants: &["N"],
    };

    #[test]
    fn the_step_alone_stays_an_immediate_where_parameters_are_bound() {
        let text = "struct Params { step: u32 }\nvar<immediate> params: Params;\nlet a = params.step + params.steps * params.step;\n";
        let file = ShaderFile { name: "one", text };
        let source = Source::new(&Kernel { files: Box::leak(Box::new([file])), codes: &[], ..KERNEL }, &[]);
        let expected = "struct Params { step: u32 }\n\
                        @group(0) @binding(7) var<storage, read> params: Params; var<immediate> block_step: u32;\n\
                        let a = block_step + params.steps * block_step;\n";
        assert_eq!(source.with_params_bound(7).text(), expected);
    }

    #[test]
    fn marked_lines_are_repeated_and_their_names_numbered() {
        let end = "b\nz_0\nx_0\n// unrolling\nconst RED = 0u;\nconst BLUE = 1u;\n";
        let copies = "    let x_0 = f(x_01, y_0);\n    let x_1 = f(x_01, y_1);\n    let x_2 = f(x_01, y_2);\n";
        assert_eq!(KERNEL.source(&[("N", 3.0)]).text(), format!("a\n{copies}{end}"));
        assert_eq!(KERNEL.source(&[("N", 0.0)]).text(), format!("a\n{end}"));
        assert_eq!(KERNEL.source(&[]).text(), format!("a\n    let x_0 = f(x_01, y_0);\n{end}"));
    }

    #[test]
    fn every_line_knows_its_file_and_number() {
        let source = KERNEL.source(&[("N", 3.0)]);
        let lines = [1, 2, 4, 5, 6, 7, 8, 10].map(|line| source.origin(line));
        let codes = "codes in src/kernels:2";
        assert_eq!(lines, ["one:1", "one:3", "one:3", "one:5", "one:7", "two:1", "two:2", codes]);
        assert_eq!(source.origin(99), codes, "a line beyond the end is the last");
        assert!(source.listing().contains("\none:3:     let x_1 = f(x_01, y_1);\n"), "{}", source.listing());
    }
}
