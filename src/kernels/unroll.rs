//! Unrolled shader text: what a loop over an array in registers would be, if WGSL compilers kept such arrays there.
//!
//! Lines between `// unrolled NAME` and `// end` stand in the shader as often as the variant's constant NAME says. Names that
//! end in `_0` are numbered from copy to copy; so a shader is valid as it lies in its file, with one copy of everything.
//! Not here: conditions or nesting; a shader that wants them is two shaders.

/// `source` with every marked part repeated as `variant` says; parts whose constant is not in it are left as they are.
pub fn unroll(source: &str, variant: &[(&'static str, f64)]) -> String {
    let mut text = String::with_capacity(2 * source.len());
    let mut rest = source;
    while let Some((before, marked)) = rest.split_once("// unrolled ") {
        let (name, body) = marked.split_once('\n').unwrap_or((marked, ""));
        let (body, after) = body.split_once("// end\n").unwrap_or((body, ""));
        let copies = variant.iter().find(|(constant, _)| *constant == name).map_or(1, |(_, copies)| *copies as usize);
        text.push_str(before.trim_end_matches(' '));
        for copy in 0..copies {
            text.push_str(&numbered(body.trim_end_matches(' '), copy));
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// Names that end in `_0` end in `_copy`.
fn numbered(body: &str, copy: usize) -> String {
    let mut pieces = body.split("_0");
    let mut text: String = pieces.next().unwrap_or_default().into();
    for piece in pieces {
        let is_name = !piece.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
        let number = if is_name { copy } else { 0 };
        text.push_str(&format!("_{number}{piece}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str =
        "a\n    // unrolled N\n    let x_0 = f(x_01, y_0);\n    // end\nb\n// unrolled M\nz_0\n// end\n";

    #[test]
    fn marked_lines_are_repeated_and_their_names_numbered() {
        let expected =
            "a\n    let x_0 = f(x_01, y_0);\n    let x_1 = f(x_01, y_1);\n    let x_2 = f(x_01, y_2);\nb\nz_0\n";
        assert_eq!(unroll(SOURCE, &[("N", 3.0)]), expected);
    }

    #[test]
    fn what_is_not_marked_stays() {
        assert_eq!(unroll("a\nx_0\n// unrolling\n", &[("N", 2.0)]), "a\nx_0\n// unrolling\n");
        assert_eq!(unroll(SOURCE, &[("N", 0.0)]), "a\nb\nz_0\n");
    }
}
