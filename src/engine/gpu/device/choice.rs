//! Which of a machine's adapters is taken, decided from their names and places alone.
//!
//! Not here: how adapters are found and what they can do ([`super::adapter`]).

use std::fmt;
use std::time::Duration;

/// Which adapter to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdapterChoice {
    /// A hardware GPU, discrete before integrated before virtual; never a software adapter.
    Hardware,
    /// The same, but rather a software adapter than none: the one on which the self-test took the least time.
    Any,
    /// An index below the number of adapters, or a text that the name, UUID or PCI address of one of them contains, whatever its
    /// case; a software adapter too. A number of three digits or more may also stand in a name. Nothing else may be in the text of two.
    Named(String),
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hardware => formatter.write_str("hardware GPU"),
            Self::Any => formatter.write_str("adapter"),
            Self::Named(text) => write!(formatter, "adapter with this index, name, UUID or PCI address: '{text}'"),
        }
    }
}

/// What adapters are told apart by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterIdentity {
    pub name: String,
    /// As `nvidia-smi -L` writes it, without `GPU-`; empty where the system does not tell.
    pub uuid: String,
    /// As `lspci -D` writes it; empty where the system does not tell.
    pub pci: String,
    pub software: bool,
    /// How long the self-test took on a software adapter, where it is known.
    pub took: Option<Duration>,
    pub backend: String,
}

impl AdapterIdentity {
    /// Name and place, for messages about a machine with several.
    fn describe(&self, index: usize) -> String {
        let Self { name, uuid, pci, software, backend, took: _ } = self;
        let mut text = format!("{index}: '{name}' ({}{backend}", if *software { "software, " } else { "" });
        let places = [("PCI", pci), ("UUID", uuid)].into_iter().filter(|(_, place)| !place.is_empty());
        places.for_each(|(what, place)| text += &format!(", {what} {place}"));
        text + ")"
    }
}

/// The index of the adapter that is taken.
///
/// # Errors
/// None of them, or several: a message that lists all.
pub fn pick(choice: &AdapterChoice, all: &[AdapterIdentity]) -> Result<usize, String> {
    let listed = |indices: &[usize]| {
        let each: Vec<String> = indices.iter().map(|index| all[*index].describe(*index)).collect();
        each.join(", ")
    };
    let none = || match all.len() {
        0 => format!("no {choice}: no adapter was found (Vulkan, Metal or DirectX 12)"),
        count => format!("no {choice} among the adapters here, {}", listed(&(0..count).collect::<Vec<_>>())),
    };
    let AdapterChoice::Named(text) = choice else {
        let hardware = all.iter().position(|one| !one.software);
        let software = || (0..all.len()).min_by_key(|index| (all[*index].took.is_none(), all[*index].took));
        let any = if *choice == AdapterChoice::Any { software() } else { None };
        return hardware.or(any).ok_or_else(none);
    };
    if text.trim().is_empty() {
        return Err("'' names no adapter; accepted: an index, or a part of a name, UUID or PCI address".into());
    }
    if let Some(index) = text.trim().parse().ok().filter(|index| *index < all.len()) {
        return Ok(index);
    }
    let text = text.trim().to_lowercase();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let texts = |one: &AdapterIdentity| {
        let mut texts = vec![one.name.to_lowercase()];
        // A number is an index that is not there or stands in a name, as a whole; in a UUID it would be there by chance.
        if !is_number {
            texts.extend([format!("gpu-{}", one.uuid.to_lowercase()), one.pci.to_lowercase()]);
        }
        texts
    };
    let has = |name: &str| match is_number {
        true => {
            text.len() > 2 && name.split(|character: char| !character.is_ascii_digit()).any(|number| number == text)
        }
        false => name.contains(&text),
    };
    let matching = |fits: &dyn Fn(&String) -> bool| -> Vec<usize> {
        (0..all.len()).filter(|index| texts(&all[*index]).iter().any(fits)).collect()
    };
    // A name that is part of another one is still a name.
    let whole = matching(&|one| *one == text);
    let found = if whole.is_empty() { matching(&|one| has(one)) } else { whole };
    match found[..] {
        [index] => Ok(index),
        [] => Err(none()),
        _ => Err(format!("'{text}' fits several adapters: {}; accepted: an index", listed(&found))),
    }
}

/// Adapters whose self-test has to be known before the fastest of several can be picked.
pub fn rivals(choice: &AdapterChoice, all: &[AdapterIdentity]) -> Vec<usize> {
    let matters = *choice == AdapterChoice::Any && all.len() > 1 && all.iter().all(|one| one.software);
    (0..all.len()).filter(|index| matters && all[*index].took.is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, uuid: &str, pci: &str) -> AdapterIdentity {
        let backend = "Vulkan".into();
        AdapterIdentity {
            name: name.into(),
            uuid: uuid.into(),
            pci: pci.into(),
            software: pci.is_empty(),
            took: None,
            backend,
        }
    }

    fn machine() -> [AdapterIdentity; 5] {
        [
            adapter("NVIDIA RTX 4090", "1b2c0000-0000-0000-0000-0000000000aa", "0000:01:00.0"),
            adapter("NVIDIA RTX 4090", "1b2c0000-0000-0000-0000-0000000000bb", "0000:41:00.0"),
            adapter("NVIDIA RTX 4090 D", "77770000-0000-0000-0000-0000000000cc", "0000:81:00.0"),
            adapter("AMD Radeon 780M", "", "0000:c1:00.0"),
            adapter("llvmpipe (LLVM 15.0.6, 256 bits)", "", ""),
        ]
    }

    #[test]
    fn an_adapter_is_taken_by_index_or_by_a_part_of_what_it_alone_has() {
        let asked = |text: &str| pick(&AdapterChoice::Named(text.into()), &machine());
        let cases = [
            ("0", 0),
            ("4", 4),
            (" 1 ", 1),
            ("780", 3), // a number, but no index
            ("llvmPIPE", 4),
            ("nvidia rtx 4090 d", 2),
            ("41:00", 1),
            ("0000:C1:00.0", 3),
            ("GPU-1b2c0000-0000-0000-0000-0000000000bb", 1),
            ("1b2c0000-0000-0000-0000-0000000000aa", 0),
            ("gpu-7777", 2),
        ];
        for (text, index) in cases {
            assert_eq!(asked(text), Ok(index), "{text}");
        }
        let two = asked("NVIDIA RTX 4090").unwrap_err();
        for part in ["several adapters: 0: 'NVIDIA RTX 4090'", "PCI 0000:41:00.0", "accepted: an index"] {
            assert!(two.contains(part) && !two.contains("4090 D"), "{two}");
        }
        // A number that is part of another one, of a UUID or of a version is none.
        for unknown in ["99", "7", "15", "409", "7777", "Arc", "0000:02"] {
            let error = asked(unknown).unwrap_err();
            assert!(error.contains(unknown) && error.contains("4: 'llvmpipe") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn hardware_comes_first_and_software_only_where_any_will_do() {
        let software = &machine()[4..];
        assert_eq!(pick(&AdapterChoice::Any, &machine()), Ok(0));
        assert_eq!(pick(&AdapterChoice::Hardware, &machine()), Ok(0));
        assert_eq!(pick(&AdapterChoice::Any, software), Ok(0));
        assert!(
            pick(&AdapterChoice::Hardware, software)
                .unwrap_err()
                .contains("no hardware GPU among the adapters here, 0: 'llvm")
        );
        assert!(pick(&AdapterChoice::Any, &[]).unwrap_err().contains("no adapter was found"));
    }

    #[test]
    fn of_several_software_adapters_the_fastest_is_taken_and_those_that_were_not_tried_come_last() {
        let software = |took: Option<u64>| AdapterIdentity {
            took: took.map(Duration::from_millis),
            ..adapter("llvmpipe", "", "")
        };
        let of = |times: [Option<u64>; 3]| times.map(software);
        for (times, index, untried) in [
            ([None, Some(9), Some(7)], 2, vec![0]),
            ([Some(5), Some(9), Some(7)], 0, vec![]),
            ([None, None, None], 0, vec![0, 1, 2]),
        ] {
            assert_eq!(pick(&AdapterChoice::Any, &of(times)), Ok(index), "{times:?}");
            assert_eq!(rivals(&AdapterChoice::Any, &of(times)), untried, "{times:?}");
            assert!(rivals(&AdapterChoice::Hardware, &of(times)).is_empty());
        }
        assert!(rivals(&AdapterChoice::Any, &machine()).is_empty(), "hardware is there");
        assert!(rivals(&AdapterChoice::Any, &machine()[4..]).is_empty(), "there is no choice");
    }

    #[test]
    fn nothing_is_the_name_of_no_adapter() {
        for text in ["", "  "] {
            let error = pick(&AdapterChoice::Named(text.into()), &machine()[4..]).unwrap_err();
            assert!(error.contains("accepted: an index"), "{error}");
        }
    }
}
