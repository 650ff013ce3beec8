//! Sweeps that die: whatever ends one, nothing that was finished is lost, nothing is silent, and resuming ends with the
//! bytes of an undisturbed sweep. The real binary, killed, starved and corrupted.

use crate::folders::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The cells in whole lines of a journal.
fn cells(lines: &[String]) -> Vec<u64> {
    let cell = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap()[1]["cell"].as_u64().unwrap();
    lines.iter().map(cell).collect()
}

#[test]
fn killed_at_twenty_random_moments_a_sweep_ends_with_the_bytes_of_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let clock = Instant::now();
    succeed(&mut slow_sweep(folder, "whole", &[]));
    let longest = clock.elapsed() / 5;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut kills, mut round) = (0, 0);
    while kills < 20 {
        // Twenty kills may take more than one sweep: the machine decides.
        round += 1;
        let out = format!("round-{round}");
        let mut before: Vec<String> = Vec::new();
        loop {
            let resume: &[&str] = if folder.join(format!("{out}.partial")).exists() { &["--resume"] } else { &[] };
            let mut child = slow_sweep(folder, &out, resume).spawn().unwrap();
            if kills < 20 {
                std::thread::sleep(longest.mul_f64(random.random_range(0.0..1.0)));
                child.kill().unwrap(); // SIGKILL
            }
            let (code, error) = outcome(&child.wait_with_output().unwrap());
            if error.contains("resume ") {
                let counted = format!("{} of {CELLS} cells are in the journal", before.len());
                assert!(error.contains(&counted), "'{counted}' in: {error}");
            }
            if code == Some(0) {
                break;
            }
            assert_eq!(code, None, "{error}");
            kills += 1;
            if folder.join(&out).exists() {
                break; // It had got its name already.
            }
            let now = lines(folder, &out);
            assert!(now.starts_with(&before), "kill {kills}: a finished cell was lost or moved");
            let distinct: HashSet<u64> = cells(&now).into_iter().collect();
            assert_eq!(distinct.len(), now.len(), "kill {kills}: a finished cell was measured again");
            before = now;
        }
        assert_same(folder, "whole", &out);
        assert!(!folder.join(format!("{out}.partial")).exists());
    }
}

#[test]
fn ctrl_c_and_sigterm_finish_the_block_and_say_how_to_resume() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut sweep(folder, "whole", &["--quiet"]));
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = sweep(folder, name, &[]).spawn().unwrap();
        await_lines(&mut child, folder, name, 5);
        signal(&child, name);
        let (exit, error) = outcome(&child.wait_with_output().unwrap());
        let finished = lines(folder, name).len();
        assert_eq!(exit, Some(code), "{error}");
        let expected = format!("interrupted: {finished} of {CELLS} cells are safe in {name}.partial/journal.jsonl");
        assert!(error.contains(&expected) && error.contains("--resume"), "'{expected}' in: {error}");
        assert!((5..CELLS).contains(&finished));
        succeed(&mut sweep(folder, name, &["--resume"]));
        assert_same(folder, "whole", name);
    }
}

#[test]
fn a_second_ctrl_c_quits_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // A block of all samples takes about half a second; the search before it ends at once.
    let slow = ["--model", "linear", "--samples", "all", "--engine", "cpu", "--precision", "f64", "--out", "out"];
    let mut child = tauscope(folder.path()).arg("sweep").args(slow).spawn().unwrap();
    let patience = Instant::now();
    while !folder.path().join("out.partial/minimum.cbor").exists() {
        assert!(patience.elapsed() < Duration::from_secs(60), "the sweep does not begin");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "INT");
    std::thread::sleep(Duration::from_millis(30));
    assert!(child.try_wait().unwrap().is_none(), "the first signal waits for the block");
    signal(&child, "INT");
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{error}");
    assert!(!error.contains("interrupted"), "there was no time to say so: {error}");
}

#[test]
fn two_processes_cannot_write_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut first = sweep(folder, "out", &[]).spawn().unwrap();
    await_lines(&mut first, folder, "out", 3);
    signal(&first, "STOP");
    let (pid, host) = (format!("process {}", first.id()), sysinfo::System::host_name().unwrap());
    for flag in ["--resume", "--force"] {
        refuse(&mut sweep(folder, "out", &[flag]), &["out.partial is being written by", &pid, &host]);
    }
    refuse(&mut sweep(folder, "out", &[]), &["out.partial"]);
    signal(&first, "CONT");
    let (code, error) = outcome(&first.wait_with_output().unwrap());
    assert_eq!(code, Some(0), "the first is undisturbed: {error}");
    succeed(&mut sweep(folder, "alone", &[]));
    assert_same(folder, "out", "alone");
}

#[test]
fn another_sweep_may_not_go_on_with_a_journal_and_is_told_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    interrupted(folder, "out", 3);
    let before = lines(folder, "out");
    refuse(
        &mut sweep(folder, "out", &["--resume", "--tolerance", "0.02", "--seed-order", "7"]),
        &[
            "plan.limits.mean.tolerance is 0.01 there and 0.02 here",
            "plan.seed_order is 0 there and 7 here",
            "out.partial",
        ],
    );
    refuse(
        &mut sweep(folder, "out", &["--resume", "--precision", "f64"]),
        &["engine.precision is \"f32\" there and \"f64\" here"],
    );
    refuse(
        &mut sweep(folder, "out", &["--resume", "--shard", "1/2"]),
        &["shard is null there and {\"index\":1,\"of\":2} here"],
    );
    assert_eq!(lines(folder, "out"), before, "a refused sweep touches nothing");
}

#[test]
fn what_is_wrong_with_a_line_costs_its_cell_only_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut sweep(folder, "whole", &["--quiet"]));
    interrupted(folder, "broken", 200);
    let text = fs::read(folder.join("broken.partial/journal.jsonl")).unwrap();
    let ends: Vec<usize> = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    let (start, end, last) = (ends[5] + 1, ends[6], ends.len());
    let flip = |at: usize| {
        let mut text = text.clone();
        text[at] ^= 1;
        text
    };
    // What was done to the journal, the warnings that must follow, and how many cells are left in it.
    let cases: Vec<(&str, Vec<u8>, Vec<String>, usize)> = vec![
        ("cut short", text[..text.len() - 40].to_vec(), vec![format!("line {last}: cut short")], last - 1),
        (
            "cut before the end of its line",
            text[..text.len() - 1].to_vec(),
            vec![format!("line {last}: cut")],
            last - 1,
        ),
        ("flipped in its checksum", flip(start + 5), vec!["line 7: damaged".into()], last - 1),
        ("flipped in its bracket", flip(start), vec!["line 7: damaged".into()], last - 1),
        ("flipped in its cell", flip(start + 30), vec!["line 7: damaged".into()], last - 1),
        ("flipped in the middle", flip((start + end) / 2), vec!["line 7: damaged".into()], last - 1),
        ("joined with the next", flip(end), vec!["line 7: damaged".into()], last - 2),
        (
            "of no text",
            [&text[..start], b"\xff\xfe\0\n", &text[start..]].concat(),
            vec!["line 7: damaged".into()],
            last,
        ),
        ("empty", Vec::new(), vec![], 0),
    ];
    for (name, damaged, warnings, left) in cases {
        let out = name.replace(' ', "-");
        copy_partial(folder, "broken", &out);
        fs::write(folder.join(format!("{out}.partial/journal.jsonl")), damaged).unwrap();
        let error = succeed(&mut sweep(folder, &out, &["--resume"]));
        assert_eq!(error.matches("warning").count(), warnings.len(), "{name}: {error}");
        for warning in warnings {
            let warning = format!("{out}.partial/journal.jsonl, {warning}");
            assert!(error.contains(&warning), "{name}: '{warning}' in: {error}");
        }
        assert!(error.contains(&format!("{left} of {CELLS} cells are in the journal")), "{name}: {error}");
        assert_same(folder, "whole", &out);
    }
    // A sound line of another sweep is no damage, but a mistake.
    interrupted_other(folder);
    let foreign = lines(folder, "other").remove(0);
    fs::write(folder.join("broken.partial/journal.jsonl"), [text, foreign.into_bytes()].concat()).unwrap();
    let expected = format!("journal.jsonl, line {}: cell", last + 1);
    refuse(&mut sweep(folder, "broken", &["--resume"]), &[&expected, "none of this sweep's"]);
}

/// An unfinished sweep of another tolerance.
fn interrupted_other(folder: &Path) {
    let mut child = sweep(folder, "other", &["--tolerance", "0.02"]).spawn().unwrap();
    await_lines(&mut child, folder, "other", 1);
    signal(&child, "TERM");
    child.wait_with_output().unwrap();
}

/// The sweep with files of at most `kilobytes`: the next write fails as it does on a full disk, without the privilege that
/// it takes to make one.
fn starved(folder: &Path, out: &str, flags: &[&str], kilobytes: u32) -> Command {
    let whole = sweep(folder, out, flags);
    // Units are 512 bytes in a POSIX shell; bash takes 1024 unless told.
    let script = format!("trap '' XFSZ; [ -z \"$BASH\" ] || set -o posix; ulimit -f {}; exec \"$@\"", 2 * kilobytes);
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(whole.get_program()).args(whole.get_args()).current_dir(folder);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}

#[test]
fn a_full_disk_ends_the_sweep_with_its_name_and_the_journal_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut sweep(folder, "whole", &["--quiet"]));

    // While cells are measured.
    refuse(
        &mut starved(folder, "out", &[], 100),
        &["cannot write out.partial/journal.jsonl", "finished cells in it are safe"],
    );
    let finished = lines(folder, "out");
    assert!(finished.len() > 5 && finished.len() < CELLS, "{} lines", finished.len());
    let text = fs::read(folder.join("out.partial/journal.jsonl")).unwrap();
    assert_eq!(text.last(), Some(&b'\n'), "no half of a line stays");
    refuse(&mut starved(folder, "out", &["--resume"], 100), &["cannot write out.partial/journal.jsonl"]);
    assert_eq!(lines(folder, "out"), finished);
    let error = succeed(&mut sweep(folder, "out", &["--resume"]));
    assert!(error.contains(&format!("{} of {CELLS}", finished.len())) && !error.contains("warning"), "{error}");
    assert_same(folder, "whole", "out");

    // While the tables are written: first all cells, with something in the way of the folder's name.
    let mut child = sweep(folder, "last", &[]).spawn().unwrap();
    await_lines(&mut child, folder, "last", 1);
    fs::create_dir_all(folder.join("last/in/the/way")).unwrap();
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert!(code == Some(2) && error.contains("cannot rename last.partial to last"), "{error}");
    fs::remove_dir_all(folder.join("last")).unwrap();
    refuse(
        &mut starved(folder, "last", &["--resume"], 100),
        &["what was measured is safe in last.partial/journal.jsonl", "cannot write last.partial/runs.csv"],
    );
    assert!(!folder.join("last").exists());
    let error = succeed(&mut sweep(folder, "last", &["--resume"]));
    assert!(error.contains(&format!("{CELLS} of {CELLS}")), "{error}");
    assert_same(folder, "whole", "last");
}

/// Makes a command run without the right to write where only its owner may; root has it everywhere, so as root it runs as
/// nobody, with a copy of the binary that nobody may read.
fn unprivileged(folder: &Path, command: &Command) -> Command {
    let binary = folder.join("tauscope");
    if !binary.exists() {
        fs::copy(command.get_program(), &binary).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut unprivileged = Command::new(&binary);
    unprivileged.args(command.get_args()).current_dir(folder);
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if is_root {
        unprivileged.uid(65534).gid(65534);
    }
    unprivileged
}

#[test]
fn a_read_only_folder_is_named_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    interrupted(folder, "out", 3);
    let before = lines(folder, "out");
    let allow = |mode: u32| {
        let partial = folder.join("out.partial");
        for entry in fs::read_dir(&partial).unwrap() {
            fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(mode & 0o666)).unwrap();
        }
        fs::set_permissions(partial, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut resume = unprivileged(folder, &sweep(folder, "out", &["--resume"]));
    let mut fresh = unprivileged(folder, &sweep(folder, "new", &[]));
    allow(0o555);
    refuse(&mut resume, &["out.partial", "Permission denied"]);
    refuse(&mut fresh, &["cannot make new.partial", "Permission denied"]);
    allow(0o755);
    assert_eq!(lines(folder, "out"), before);
    succeed(&mut sweep(folder, "out", &["--resume"]));
}

#[test]
fn a_folder_that_vanishes_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for how in ["removed", "renamed"] {
        let mut child = sweep(folder, how, &[]).spawn().unwrap();
        await_lines(&mut child, folder, how, 3);
        let partial = folder.join(format!("{how}.partial"));
        match how {
            "removed" => fs::remove_dir_all(&partial).unwrap(),
            _ => fs::rename(&partial, folder.join("elsewhere.partial")).unwrap(),
        }
        let (code, error) = outcome(&child.wait_with_output().unwrap());
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(&format!("{how}.partial/journal.jsonl was removed or renamed")), "{error}");
    }
    // What was renamed can be resumed where it is.
    succeed(&mut sweep(folder, "elsewhere", &["--resume"]));
    succeed(&mut sweep(folder, "whole", &[]));
    assert_same(folder, "elsewhere", "whole");
}

#[test]
fn a_sweep_that_was_to_replace_a_folder_still_does_when_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut sweep(folder, "out", &["--tolerance", "0.02"]));
    let mut child = sweep(folder, "out", &["--force"]).spawn().unwrap();
    await_lines(&mut child, folder, "out", 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(folder.join("out/thresholds.csv").exists(), "the old folder stays until there is a new one");
    succeed(&mut sweep(folder, "out", &["--resume"]));
    succeed(&mut sweep(folder, "whole", &[]));
    assert_same(folder, "out", "whole");
    assert!(!folder.join("out.replaced").exists());
}
