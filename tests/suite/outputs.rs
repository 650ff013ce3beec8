//! What is written for a user, and what is told: folders and files of others stay, names may be any bytes, unfinished folders
//! can be looked at, streams that are closed or full cost no run, and every end has its exit code and one line.

use crate::folders::{await_lines, outcome, refuse, signal, succeed, sweep, tauscope};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CELLS: [&str; 10] =
    ["sweep", "--model", "quadratic:1", "--rules", "sgd", "--delays", "0,1", "--engine", "cpu", "--quiet"];

fn quick(folder: &Path, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    command.args(CELLS).args(flags);
    command
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn whole(folder: &Path, out: &str) -> bool {
    folder.join(out).join("run.json").exists() && !folder.join(out).join("plan.json").exists()
}

/// Stdout of a command that must succeed.
fn answer(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (code, error) = outcome(&output);
    assert_eq!(code, Some(0), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn folders_and_links_of_others_are_named_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut quick(folder, &["--out", "ours"]));
    // Beside the name: a folder that no --force has made, and one whose lock is not ours.
    for name in ["ours.replaced", "other.partial"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("mine"), "mine").unwrap();
    }
    fs::write(folder.join("other.partial/lock"), "").unwrap();
    refuse(&mut quick(folder, &["--out", "ours", "--force"]), &["ours.replaced is in the way and was not made by"]);
    for flags in [&["--out", "other"][..], &["--out", "other", "--force"], &["--out", "other", "--resume"]] {
        refuse(&mut quick(folder, flags), &["other.partial is in the way and was not made by tauscope"]);
    }
    fs::write(folder.join("other.partial/lock"), "4711\n").unwrap();
    refuse(&mut quick(folder, &["--out", "other", "--force"]), &["other.partial is in the way"]);
    for name in ["ours.replaced/mine", "other.partial/mine"] {
        assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), "mine");
    }
    assert!(whole(folder, "ours"));
    // Links, and names that lead nowhere, before anything is measured.
    symlink("ours", folder.join("link")).unwrap();
    symlink("nowhere/run", folder.join("dangling")).unwrap();
    fs::write(folder.join("file"), "mine").unwrap();
    refuse(&mut quick(folder, &["--out", "link", "--force"]), &["--out link: it is a link to ours; accepted:"]);
    refuse(&mut quick(folder, &["--out", "link/", "--force"]), &["--out link: it is a link to ours"]);
    refuse(&mut quick(folder, &["--out", "dangling"]), &["it is a link to nowhere/run, which is not there"]);
    refuse(&mut quick(folder, &["--out", "file", "--force"]), &["--out file: exists already and is no folder"]);
    refuse(&mut quick(folder, &["--out", "a/b/c"]), &["--out a/b/c: a/b is no folder; accepted:"]);
    for flags in [&["--out", ".."][..], &["--dry-run", "--out", ".."]] {
        refuse(&mut quick(folder, flags), &["--out '..': accepted: a path that ends in a folder's name"]);
    }
    for flags in [&["--out", ""][..], &["--dry-run", "--out", ""]] {
        refuse(&mut quick(folder, flags), &["a value is required for '--out <DIR>' but none was supplied"]);
    }
    assert_eq!(names(folder), ["dangling", "file", "link", "other.partial", "ours", "ours.replaced"]);
}

#[test]
fn what_a_kill_leaves_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // A folder that was being emptied, one that was only made, and one that was being discarded.
    fs::create_dir_all(folder.join("a.partial/weights")).unwrap();
    fs::create_dir(folder.join("b.partial")).unwrap();
    fs::create_dir(folder.join("c.partial")).unwrap();
    fs::write(folder.join("c.partial/lock"), "process 1 on a host\n").unwrap();
    fs::write(folder.join("c.partial/thresholds.csv"), "half").unwrap();
    for out in ["a", "b", "c"] {
        succeed(&mut quick(folder, &["--out", out]));
        assert!(whole(folder, out));
    }
    // Shards that were killed after their rename merge as they are, and the next job of their name tidies up.
    for (shard, out) in [("1/2", "one"), ("2/2", "two")] {
        succeed(&mut quick(folder, &["--shard", shard, "--out", out]));
        fs::write(folder.join(out).join("plan.json"), "{}").unwrap();
        fs::write(folder.join(out).join("journal.jsonl"), "").unwrap();
        fs::write(folder.join(out).join("lock"), "process 1 on a host\n").unwrap();
    }
    succeed(tauscope(folder).args(["merge", "one", "two", "--out", "merged"]));
    refuse(&mut quick(folder, &["--shard", "2/2", "--out", "two", "--resume"]), &["--out two: it is finished"]);
    assert!(!folder.join("two/lock").exists() && whole(folder, "two"));
    assert_eq!(names(folder), ["a", "b", "c", "merged", "one", "two"]);
}

#[test]
fn processes_that_start_together_each_get_a_default_folder_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..4).map(|_| quick(folder.path(), &[]).spawn().unwrap()).collect();
    for child in children {
        assert_eq!(outcome(&child.wait_with_output().unwrap()).0, Some(0));
    }
    let made = names(folder.path());
    assert!(
        made.len() == 4 && made.iter().all(|name| name.starts_with("tauscope-") && whole(folder.path(), name)),
        "{made:?}"
    );
}

#[test]
fn a_full_or_closed_stream_costs_no_run() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    let loud = |out: &str| {
        let mut command = tauscope(folder);
        command.args(&CELLS[..9]).args(["--out", out]);
        command
    };
    assert!(loud("full-stderr").stderr(full()).status().unwrap().success());
    assert!(loud("full-stdout").stdout(full()).status().unwrap().success());
    let mut events = loud("full-events");
    assert!(
        succeed(events.arg("--json").stdout(full())).contains("warning: events end here, stdout cannot be written")
    );
    // A reader that goes away after the first line.
    for (out, both) in [("closed-stderr", "2>&1"), ("closed-events", "--json")] {
        let script = format!("\"$@\" {both} | head -n 1");
        let mut command = Command::new("sh");
        let whole = loud(out);
        command.args(["-c", &script, "sh"]).arg(whole.get_program()).args(whole.get_args()).current_dir(folder);
        assert!(command.output().unwrap().status.success());
    }
    for out in ["full-stderr", "full-stdout", "full-events", "closed-stderr", "closed-events"] {
        assert!(whole(folder, out), "{out}");
    }
    // A table on stdout is what `theory` is for.
    let (code, error) = outcome(&tauscope(folder).arg("theory").stdout(full()).output().unwrap());
    assert!(code == Some(2) && error.starts_with("error: cannot write to stdout: "), "{code:?} {error}");
    assert_eq!(error.lines().count(), 1);
    let theory =
        Command::new("sh").args(["-c", "\"$0\" theory | head -n 1"]).arg(tauscope(folder).get_program()).output();
    assert!(theory.unwrap().status.success());
}

#[test]
fn names_of_any_bytes_are_good_for_folders() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let name = |ending: &str| PathBuf::from(OsStr::from_bytes(&[b"r\xe9s-", ending.as_bytes()].concat()));
    let job = |out: &Path, flags: &[&str]| {
        let mut command = quick(folder, flags);
        command.arg("--out").arg(out);
        command
    };
    succeed(&mut job(&name("one"), &["--shard", "1/2"]));
    succeed(&mut job(&name("two"), &["--shard", "2/2"]));
    refuse(&mut job(&name("two"), &["--shard", "2/2", "--resume"]), &["r\u{fffd}s-two: it is finished"]);
    succeed(tauscope(folder).arg("merge").args([name("one"), name("two")]).arg("--out").arg(name("all")));
    let run: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join(name("all")).join("run.json")).unwrap()).unwrap();
    assert_eq!(run["command"].as_array().unwrap().last().unwrap(), "r\u{fffd}s-all");
    for (command, file) in [("report", "report.html"), ("plot", "thresholds.svg"), ("compare", "compare.csv")] {
        let told = answer(tauscope(folder).arg(command).arg(name("all")));
        assert!(told.contains("r\u{fffd}s-all"), "{command}: {told}");
        assert!(folder.join(name("all")).join(file).exists());
    }
    // One that was interrupted goes on.
    let mut slow = tauscope(folder);
    let plain = sweep(folder, "plain", &[]);
    let arguments: Vec<_> = plain.get_args().filter(|word| *word != "--out" && *word != "plain").collect();
    slow.args(arguments).arg("--out").arg(name("slow"));
    let child = slow.spawn().unwrap();
    let partial = folder.join(name("slow.partial")).join("journal.jsonl");
    while fs::metadata(&partial).map_or(0, |there| there.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    signal(&child, "TERM");
    let (code, error) = outcome(&child.wait_with_output().unwrap());
    assert!(code == Some(143) && error.contains("r\u{fffd}s-slow.partial"), "{code:?} {error}");
    succeed(slow.arg("--resume"));
    assert!(folder.join(name("slow")).join("run.json").exists());
}

#[test]
fn files_replace_regular_files_alone_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut quick(folder, &["--out", "r"]));
    succeed(Command::new("mkfifo").arg(folder.join("pipe")).stdout(Stdio::piped()).stderr(Stdio::piped()));
    fs::write(folder.join("target"), "mine").unwrap();
    symlink("target", folder.join("link")).unwrap();
    fs::create_dir(folder.join("dir")).unwrap();
    let bench = ["bench", "step", "--engine", "cpu", "--model", "mlp:2", "--samples", "16", "--batch", "8"];
    let bench = [
        &bench[..],
        &["--lanes", "2", "--steps", "2", "--rounds", "1", "--round-seconds", "0", "--slots", "2", "--export"],
    ]
    .concat();
    for (name, told) in [("pipe", "a device, pipe or socket"), ("link", "a link to target"), ("dir", "a folder")] {
        let commands: [&[&str]; 4] = [&["report", "r", "--out"], &["theory", "--svg"], &["init", "--force"], &bench];
        for command in commands {
            refuse(tauscope(folder).args(command).arg(name), &[name, "it is ", told, "accepted: a new name"]);
        }
    }
    assert_eq!(fs::read_to_string(folder.join("target")).unwrap(), "mine");
    for file in ["thresholds.svg", "compare.csv"] {
        let _ = fs::remove_file(folder.join("r").join(file));
        symlink("../target", folder.join("r").join(file)).unwrap();
    }
    refuse(tauscope(folder).args(["plot", "r"]), &["thresholds.svg", "a link to ../target"]);
    refuse(tauscope(folder).args(["compare", "r"]), &["compare.csv", "a link to ../target"]);
    for own in ["r/run.json", "r/thresholds.csv"] {
        refuse(tauscope(folder).args(["report", "r", "--out", own]), &[own, "it is a result in r", "ends in .html"]);
    }
    succeed(tauscope(folder).args(["report", "r", "--out", "target"]));
    assert!(fs::read_to_string(folder.join("target")).unwrap().starts_with("<!DOCTYPE html>"));
    assert_eq!(names(folder), ["dir", "link", "pipe", "r", "target"]);
}

#[test]
fn twelve_shards_merge_where_a_process_may_open_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut quick(folder, &["--out", "whole"]));
    let shards: Vec<String> = (1..=12).map(|index| format!("s{index}")).collect();
    for (index, out) in (1..).zip(&shards) {
        succeed(&mut quick(folder, &["--shard", &format!("{index}/12"), "--out", out]));
    }
    let mut command = Command::new("sh");
    let program = tauscope(folder);
    command.args(["-c", "ulimit -n 20; exec \"$@\"", "sh"]).arg(program.get_program()).arg("merge").args(&shards);
    succeed(command.args(["--out", "merged"]).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped()));
    for file in ["thresholds.csv", "runs.csv", "delays.csv", "thresholds.svg"] {
        assert!(
            fs::read(folder.join("whole").join(file)).unwrap() == fs::read(folder.join("merged").join(file)).unwrap()
        );
    }
    assert!(!folder.join("merged/journal.jsonl").exists());
}

#[test]
fn a_file_that_may_not_grow_is_an_error_that_can_be_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // 4 blocks of 512 bytes hold the plan and part of the journal.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 4; exec \"$@\"", "sh"]).arg(tauscope(folder).get_program());
    command.args(CELLS).args(["--out", "r"]);
    refuse(command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped()), &["File too large"]);
    succeed(&mut quick(folder, &["--out", "r", "--resume"]));
    assert!(whole(folder, "r"));
}

#[test]
fn an_unfinished_folder_can_be_looked_at_and_says_that_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut child = sweep(folder, "out", &[]).spawn().unwrap();
    await_lines(&mut child, folder, "out", 20);
    signal(&child, "STOP");
    // While it runs, by the name that it will have and by the one that it has.
    let told = answer(tauscope(folder).args(["compare", "out.partial", "--to", "heavy-ball m=0.1", "--out-dir", "c"]));
    assert!(told.contains("out.partial is unfinished: ") && told.contains(" of 300 cells so far"), "{told}");
    assert!(fs::read_to_string(folder.join("c/compare.svg")).unwrap().contains("unfinished: "));
    for (command, named, file) in
        [("plot", "out", "thresholds.svg"), ("plot", "out.partial", "thresholds.svg"), ("report", "out", "report.html")]
    {
        let note = succeed(tauscope(folder).args([command, named]));
        assert!(note.contains("note: out.partial is unfinished: "), "{command}: {note}");
        let made = fs::read_to_string(folder.join("out.partial").join(file)).unwrap();
        assert!(made.to_lowercase().contains("unfinished: ") && made.contains(" of 300 cells"), "{command}");
    }
    signal(&child, "CONT");
    assert_eq!(outcome(&child.wait_with_output().unwrap()).0, Some(0));
    assert!(!folder.join("out/report.html").exists(), "a page about a part is no page about the whole");
    assert!(!fs::read_to_string(folder.join("out/thresholds.svg")).unwrap().contains("unfinished"));
    // Of nothing there is nothing to show.
    fs::create_dir(folder.join("new.partial")).unwrap();
    fs::copy(folder.join("out/run.json"), folder.join("new.partial/plan.json")).unwrap();
    refuse(tauscope(folder).args(["plot", "new.partial"]), &["new.partial: no cell is finished yet"]);
}

#[test]
fn a_disk_without_room_for_the_plan_is_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    // A look at the samples after every one of four billion epochs, for a thousand runs.
    let job =
        ["train", "--samples", "16", "--test", "8", "--batch", "8", "--model", "mlp:2", "--rules", "sgd", "--delays"];
    let long = ["0", "--epochs", "4294967296", "--seeds", "1000", "--engine", "cpu", "--out", "out"];
    let told = [
        "--out: the disk of out.partial has ",
        " free, and the job needs about 3.91 PiB",
        "accepted: a folder on a disk",
    ];
    refuse(tauscope(folder.path()).args(job).args(long), &told);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn several_folders_share_a_page_and_a_missing_file_is_told_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(&mut quick(folder, &["--out", "one"]));
    succeed(&mut quick(folder, &["--out", "two", "--tolerance", "0.05"]));
    refuse(tauscope(folder).args(["report", "one", "two"]), &["2 folders and no --out; accepted: --out FILE"]);
    fs::remove_file(folder.join("two/run.json")).unwrap();
    succeed(tauscope(folder).args(["report", "one", "two", "--out", "page.html"]));
    let page = fs::read_to_string(folder.join("page.html")).unwrap();
    assert_eq!(page.matches("This folder has no run.json.").count(), 1);
    for part in [
        "<article class=\"part\" id=\"part-1\" aria-label=\"one\">",
        "id=\"part-2-figure-thresholds\"",
        "<title>one, two · tauscope",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn every_end_has_its_exit_code_and_wrong_flags_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let help = answer(tauscope(folder).arg("--help"));
    for code in ["0  done", "1  some cells", "2  bad input", "130  interrupted", "143  interrupted"] {
        assert!(help.contains(code), "{code} in {help}");
    }
    for (words, told) in [
        (&["sweep", "--delay", "3"][..], "unexpected argument '--delay' found"),
        (&["sweep", "--engine", "tpu"], "accepted: auto, cpu, gpu"),
        (&["sweep", "--delays"], "see `tauscope sweep --help`"),
        (&["merge", "a"], "the following required arguments were not provided: --out <DIR>"),
        (&["sweap"], "unrecognized subcommand 'sweap'"),
        (&[], "no command is given; accepted: see `tauscope --help`"),
        (&["report"], "<DIR>..."),
    ] {
        let error = refuse(tauscope(folder).args(words), &[told]);
        assert!(error.starts_with("error: ") && error.lines().count() == 1, "{error}");
    }
    assert!(names(folder).is_empty());
}

#[test]
fn all_that_is_written_for_a_user_goes_through_one_mechanism() {
    // Journals, checkpoints and locks grow or have an order of their own.
    let own = ["files.rs", "session/journal.rs", "session/checkpoint.rs", "session/lock.rs"];
    let (mut folders, mut read) = (vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")], 0);
    let root = folders[0].clone();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().replace("WholeFile::create", "");
            read += 1;
            if own.contains(&name.as_str()) || name.ends_with("tests.rs") || name.contains("/tests/") {
                continue;
            }
            for call in ["fs::write(", "File::create", "OpenOptions", "File::options", "serialize_to_file", "fs::copy("]
            {
                assert!(!code.contains(call), "{name} calls {call}; accepted: crate::files");
            }
        }
    }
    assert!(read > 100);
}
