//! Lines of text on a terminal, broken between words where it ends.
//!
//! Not here: tables ([`super::shown`]).

/// Columns that a paragraph has at least, however narrow the terminal.
const LEAST: usize = 24;

/// A paragraph on lines no longer than `width`. A word that is longer than a line stays whole: names of files can be copied.
pub fn wrapped(text: &str, width: Option<usize>) -> String {
    fill(String::new(), text, 0, width)
}

/// A label and what is said of it; further lines begin `place` columns from the left, below its first word.
pub fn labelled(label: &str, text: &str, place: usize, width: Option<usize>) -> String {
    fill(format!("{label:<place$}"), text, place, width)
}

/// Every line of a text as a paragraph, but those of tables. What begins with spaces goes on two farther to the right.
pub fn paragraphs(text: &str, width: Option<usize>) -> String {
    let is_of_table = |line: &str| line.starts_with(['┌', '│', '╞', '└']);
    let indent = |line: &str| match line.len() - line.trim_start_matches(' ').len() {
        0 => 0,
        spaces => spaces + 2,
    };
    let lines = text
        .split('\n')
        .map(|line| if is_of_table(line) { line.to_owned() } else { fill(String::new(), line, indent(line), width) });
    lines.collect::<Vec<_>>().join("\n")
}

/// Puts the words of `text` behind `line`, and on further lines behind `indent` spaces.
fn fill(line: String, text: &str, indent: usize, width: Option<usize>) -> String {
    let most = width.map_or(usize::MAX, |width| width.max(indent + LEAST));
    let mut length = line.chars().count();
    let (mut filled, mut is_first) = (line, true);
    for word in text.split(' ') {
        let letters = word.chars().count();
        if !is_first && length + 1 + letters > most {
            filled.push('\n');
            filled.push_str(&" ".repeat(indent));
            (length, is_first) = (indent, true);
        }
        if !is_first {
            filled.push(' ');
            length += 1;
        }
        filled.push_str(word);
        (length, is_first) = (length + letters, false);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_between_words_and_begin_below_the_first() {
        let text = "one two three four five six seven";
        assert_eq!(wrapped(text, None), text);
        assert_eq!(wrapped(text, Some(26)), "one two three four five\nsix seven");
        assert_eq!(
            labelled("label", "1234567890 12345678901234567 x", 8, Some(0)),
            "label   1234567890\n        12345678901234567 x"
        );
        assert_eq!(wrapped("a-name-that-is-longer-than-a-line /x", Some(24)), "a-name-that-is-longer-than-a-line\n/x");
        assert_eq!(wrapped("", Some(24)), "");
        assert_eq!(
            paragraphs(
                "one two three four five six\n  why: one two three four five\n│ a table stays as it is, and as wide │\n",
                Some(26)
            ),
            "one two three four five\nsix\n  why: one two three four\n    five\n│ a table stays as it is, and as wide │\n"
        );
    }
}
