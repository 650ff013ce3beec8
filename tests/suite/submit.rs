//! `tauscope submit` without a scheduler: what it writes, what it asks Slurm's commands for, and that its scripts do what
//! they say when they are run by hand. `scripts/slurm-check` does the same with a real Slurm.

use crate::folders::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

const SWEEP: [&str; 8] =
    ["--model", "quadratic:1,0.5", "--rules", "sgd,shifted", "--delays", "0..6", "--engine", "cpu"];

/// A folder whose `bin` has programs in the place of Slurm's: sbatch counts jobs and notes what it is given, squeue says
/// what the file `queue` says, scontrol knows one exit code and notes all but questions.
fn cluster() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let at = folder.path().display();
    let programs = [
        ("sbatch", format!("echo \"sbatch $*\" >> {at}/asked; echo $(grep -c sbatch {at}/asked)")),
        ("squeue", format!("cat {at}/queue")),
        ("scancel", format!("echo \"scancel $*\" >> {at}/asked")),
        (
            "scontrol",
            format!(
                "[ $1 = show ] || echo \"scontrol $*\" >> {at}/asked; echo 'JobId=1 JobState=FAILED ExitCode=2:0 Reason=NonZeroExitCode'"
            ),
        ),
    ];
    for (name, text) in programs {
        fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn submit(folder: &Path, flags: &[&str]) -> Command {
    let mut command = tauscope(folder);
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).arg("submit").args(flags);
    command
}

/// The submission of three shards into `out`.
fn three(folder: &Path, out: &str, flags: &[&str]) -> Command {
    let mut command = submit(folder, &["--scheduler", "slurm", "--shards", "3", "--out", out]);
    command.args(flags).args(["--", "sweep"]).args(SWEEP);
    command
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (code, error) = outcome(&output);
    assert_eq!(code, Some(0), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn asked(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("asked")).unwrap_or_default().lines().map(Into::into).collect()
}

/// Runs a script as Slurm would.
fn script(path: &Path, task: Option<&str>) {
    let mut command = Command::new("sh");
    command.arg(path).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(task) = task {
        command.env("SLURM_ARRAY_TASK_ID", task);
    }
    succeed(&mut command);
}

#[test]
fn shards_are_submitted_watched_submitted_again_and_merged() {
    let folder = cluster();
    let folder = folder.path();
    let out = "the results"; // Names with spaces must survive every script.
    let said = stdout(&mut three(folder, out, &["--sbatch=--partition=p", "--sbatch=--mem 1G"]));
    assert!(said.contains("12 cells in 3 shards as job 1") && said.contains("merge as job 2"), "{said}");
    let shards = folder.join("the results.shards");
    let at = shards.display();
    assert_eq!(
        asked(folder),
        [
            format!("sbatch --parsable --array=1-3 {at}/shard.sh"),
            format!("sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:1 {at}/merge.sh"),
        ]
    );
    let text = fs::read_to_string(shards.join("shard.sh")).unwrap();
    let directory = folder.canonicalize().unwrap();
    for line in [
        "#SBATCH --partition=p",
        "#SBATCH --mem 1G",
        &format!("#SBATCH --chdir={}", directory.display()),
        &format!("#SBATCH --output=\"{at}/log/shard-%a.txt\""),
    ] {
        assert!(text.lines().any(|other| other == line), "{line}: {text}");
    }

    // Shard 1 runs to its end, 2 fails, 3 is still running.
    script(&shards.join("shard.sh"), Some("1"));
    fs::write(folder.join("queue"), "1|2|FAILED|NonZeroExitCode\n1|3|RUNNING|None\n2|N/A|PENDING|Dependency\n")
        .unwrap();
    let said = stdout(&mut submit(folder, &["--status", out]));
    for part in [
        "1/3     finished",
        "2/3     FAILED, exit code 2:0 in job 1",
        "3/3     RUNNING in job 1",
        "1 of 3 shards are finished, to be merged by job 2; tauscope submit --resubmit",
    ] {
        assert!(said.contains(part), "'{part}' in: {said}");
    }
    let said = stdout(&mut submit(folder, &["--resubmit", out]));
    assert!(said.contains("submitted shards 2 as job 3, and the merge as job 4"), "{said}");
    assert_eq!(
        asked(folder)[2..],
        [
            "scancel 2".to_owned(),
            format!("sbatch --parsable --array=2 {at}/shard.sh"),
            format!("sbatch --parsable --kill-on-invalid-dep=yes --dependency=afterok:3,afterany:1 {at}/merge.sh"),
        ]
    );
    // The others end; the scripts may be run again at any time.
    for task in ["2", "3", "1"] {
        script(&shards.join("shard.sh"), Some(task));
    }
    fs::write(folder.join("queue"), "4|N/A|PENDING|Dependency\n").unwrap();
    let said = stdout(&mut submit(folder, &["--resubmit", out]));
    assert!(said.contains("nothing to submit"), "{said}");
    script(&shards.join("merge.sh"), None);
    let said = stdout(&mut submit(folder, &["--status", out]));
    assert!(said.contains("3 of 3 shards are finished, merged into"), "{said}");
    succeed(tauscope(folder).arg("sweep").args(SWEEP).args(["--out", "whole"]));
    assert_same(folder, "whole", out);
}

#[test]
fn what_was_forgotten_by_slurm_can_be_submitted_again() {
    let folder = cluster();
    let folder = folder.path();
    stdout(&mut three(folder, "out", &[]));
    fs::write(folder.join("queue"), "").unwrap();
    let said = stdout(&mut submit(folder, &["--status", "out"]));
    assert!(
        said.contains("job 1 is over, and Slurm has forgotten how") && said.contains("no merge is waiting"),
        "{said}"
    );
    let said = stdout(&mut submit(folder, &["--resubmit", "out"]));
    assert!(said.contains("submitted shards 1, 2, 3 as job 3, and the merge as job 4"), "{said}");
}

/// As a cluster with GPUs, modules and a limit on what one user may run.
#[test]
fn options_throttle_and_prologue_are_in_the_scripts_that_they_belong_to() {
    let folder = cluster();
    let folder = folder.path();
    fs::write(folder.join("modules.sh"), "#!/bin/bash\nexport LOADED='yes and yes'\necho \"loaded $LOADED\"").unwrap();
    let flags =
        ["--sbatch=--comment=nightly run #3", "--sbatch=--gres=gpu:1", "--sbatch=-p gpu", "--array-throttle", "2"];
    stdout(&mut three(folder, "out", &[&flags[..], &["--prologue", "modules.sh"]].concat()));
    let at = folder.join("out.shards").display().to_string();
    assert_eq!(asked(folder)[0], format!("sbatch --parsable --array=1-3%2 {at}/shard.sh"));
    let [shard, merge] =
        ["shard.sh", "merge.sh"].map(|name| fs::read_to_string(folder.join("out.shards").join(name)).unwrap());
    for text in [&shard, &merge] {
        for line in ["#SBATCH --comment=\"nightly run \\#3\"", "#SBATCH -p gpu", "export LOADED='yes and yes'"] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
        assert!(text.starts_with("#!/bin/bash\n#SBATCH") && text.matches("#!").count() == 1, "{text}");
    }
    assert!(shard.contains("\n#SBATCH --gres=gpu:1\n") && !merge.contains("gres"), "{merge}");
    let mut command = Command::new("bash");
    command.arg(folder.join("out.shards/shard.sh")).env("SLURM_ARRAY_TASK_ID", "2");
    let output = command.output().unwrap();
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("loaded yes and yes"),
        "{output:?}"
    );
    // What is submitted again is throttled as well.
    fs::write(folder.join("queue"), "").unwrap();
    stdout(&mut submit(folder, &["--resubmit", "out"]));
    assert!(asked(folder).iter().any(|line| line.contains("--array=1,3%2 ")), "{:?}", asked(folder));
}

#[test]
fn a_refused_submission_leaves_nothing_and_nothing_that_is_in_the_way() {
    let folder = cluster();
    let folder = folder.path();
    let sbatch = folder.join("bin/sbatch");
    let sound = fs::read_to_string(&sbatch).unwrap();
    let names = || {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // Everything, or the merge alone, is refused, in several lines.
    let refusal = "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; echo 'sbatch: error: no' >&2; exit 1";
    for (script, canceled) in
        [("", None), (" case \"$*\" in *merge.sh) ;; *) echo 7; exit 0;; esac;", Some("scancel 7"))]
    {
        fs::write(&sbatch, format!("#!/bin/sh\n{script}{refusal}\n")).unwrap();
        let before = names();
        let error = refuse(
            &mut three(folder, "out", &[]),
            &["nothing was submitted", "AssocMaxSubmitJobLimit; sbatch: error: no"],
        );
        assert_eq!(error.trim().lines().count(), 1, "{error}");
        assert_eq!(asked(folder).last().map(String::as_str), canceled);
        let after: Vec<_> = names().into_iter().filter(|name| name != "asked").collect();
        assert_eq!(after, before);
    }
    // A process that was killed before it submitted anything.
    fs::create_dir_all(folder.join("out.shards/log")).unwrap();
    fs::write(folder.join("out.shards/shard.sh"), "").unwrap();
    fs::write(&sbatch, sound).unwrap();
    stdout(&mut three(folder, "out", &[]));
    // A folder that holds something else is nobody's to take over.
    fs::create_dir(folder.join("other.shards")).unwrap();
    fs::write(folder.join("other.shards/mine"), "").unwrap();
    refuse(&mut three(folder, "other", &[]), &["other.shards", "somebody else", "another --out"]);
}

#[test]
fn print_shows_everything_and_does_nothing() {
    let folder = cluster();
    let folder = folder.path();
    let said = stdout(&mut three(folder, "out", &["--print"]));
    for part in
        ["out.shards/shard.sh", "out.shards/merge.sh", "--shard \"$SLURM_ARRAY_TASK_ID/3\"", "sbatch --parsable"]
    {
        assert!(said.contains(part), "'{part}' in: {said}");
    }
    assert!(asked(folder).is_empty() && !folder.join("out.shards").exists());
}

#[test]
fn a_plan_file_may_stand_among_the_flags() {
    let folder = cluster();
    let folder = folder.path();
    fs::write(folder.join("plan.toml"), "model = \"quadratic:1,0.5\"\nrules = \"sgd\"\ndelays = \"0..5\"\n").unwrap();
    let flags =
        ["--scheduler", "slurm", "--shards", "2", "--out", "out", "--", "sweep", "plan.toml", "--engine", "cpu"];
    let said = stdout(&mut submit(folder, &flags));
    assert!(said.contains("5 cells in 2 shards"), "{said}");
    for task in ["1", "2"] {
        let mut command = Command::new("sh");
        command.arg(folder.join("out.shards/shard.sh")).env("SLURM_ARRAY_TASK_ID", task);
        succeed(command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped()));
    }
    script(&folder.join("out.shards/merge.sh"), None);
    succeed(tauscope(folder).args(["sweep", "plan.toml", "--engine", "cpu", "--out", "whole"]));
    assert_same(folder, "whole", "out");
    let flags = ["--scheduler", "slurm", "--shards", "2", "--out", "x", "--", "sweep", "none.toml"];
    refuse(&mut submit(folder, &flags), &["none.toml", "cannot read"]);
}

#[test]
fn what_cannot_be_submitted_is_refused_before_anything_is() {
    let folder = cluster();
    let folder = folder.path();
    let with = |flags: &[&str]| {
        let mut command = submit(folder, &["--scheduler", "slurm", "--shards", "3", "--out", "out", "--", "sweep"]);
        command.args(flags);
        command
    };
    refuse(&mut with(&["--rules", "sdg"]), &["after --", "sdg", "--rules"]);
    refuse(&mut with(&["--tolerance", "3"]), &["--tolerance 3", "0.0001"]);
    let own: [(&[&str], &str); 5] = [
        (&["--out", "x"], "--out before --"),
        (&["--shard", "1/3"], "--shards before --"),
        (&["--force"], "no --force"),
        (&["--resume", "plan.toml"], "no --resume"),
        (&["--dry-run"], "--print before --"),
    ];
    for (flag, accepted) in own {
        refuse(&mut with(flag), &[flag[0], "every shard is given its own", accepted]);
    }
    // What lies where the results are to be: no advice that names flags which submit does not have.
    for name in ["there", "begun.partial"] {
        fs::create_dir(folder.join(name)).unwrap();
        let error =
            refuse(&mut three(folder, name.trim_end_matches(".partial"), &[]), &[name, "accepted: another folder"]);
        assert!(!error.contains("--force") && !error.contains("--resume"), "{error}");
    }
    refuse(&mut three(folder, "nowhere/out", &[]), &["nowhere/out.shards", "parent folder"]);
    refuse(&mut three(folder, "out", &["--array-throttle", "0"]), &["--array-throttle", "0"]);
    refuse(&mut three(folder, "out", &["--prologue", "none.sh"]), &["--prologue none.sh: cannot be read"]);
    fs::write(folder.join("own.sh"), "module load x\n#SBATCH --time=1\n").unwrap();
    refuse(&mut three(folder, "out", &["--prologue", "own.sh"]), &["own.sh, line 2", "#SBATCH", "--sbatch"]);
    refuse(&mut three(folder, "out", &["--sbatch=--array=1-9"]), &["--array is set by tauscope submit"]);
    refuse(&mut submit(folder, &["--shards", "3", "--out", "out"]), &["--scheduler"]);
    refuse(&mut submit(folder, &["--scheduler", "slurm", "--shards", "0", "--out", "out"]), &["--shards", "0"]);
    refuse(&mut submit(folder, &["--status", "out"]), &["out.shards/submit.json", "earlier tauscope submit"]);
    assert!(asked(folder).is_empty() && !folder.join("out.shards").exists());
    stdout(&mut three(folder, "out", &[]));
    refuse(&mut three(folder, "out", &[]), &["out.shards", "--resubmit "]);
    // Without Slurm.
    fs::remove_dir_all(folder.join("bin")).unwrap();
    refuse(
        submit(folder, &["--status", "out"]).env("PATH", "/nowhere"),
        &["squeue: no such command; accepted: a machine with Slurm's commands"],
    );
}

#[test]
fn a_shard_that_is_warned_of_its_time_limit_stops_with_a_checkpoint_and_goes_back_into_the_queue() {
    let folder = cluster();
    let folder = folder.path();
    let training = [
        "train",
        "--model",
        "mlp:8",
        "--samples",
        "200",
        "--test",
        "50",
        "--epochs",
        "400",
        "--delays",
        "1",
        "--seeds",
        "2",
        "--engine",
        "cpu",
        "--lr-scaling",
        "none",
        "--checkpoint-every",
        "10ms",
    ];
    let mut command =
        submit(folder, &["--scheduler", "slurm", "--shards", "1", "--out", "out", "--signal", "90", "--"]);
    let said = stdout(command.args(training));
    assert!(said.contains("2 runs in 1 shard "), "{said}");
    let path = folder.join("out.shards/shard.sh");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("#SBATCH --signal=B:USR1@90\n") && text.contains("#SBATCH --requeue\n"), "{text}");

    // As Slurm would: the shell is warned while the program trains.
    let bin = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap());
    let run = || {
        let mut shell = Command::new("sh");
        shell.arg(&path).env("PATH", &bin).env("SLURM_ARRAY_TASK_ID", "1").env("SLURM_ARRAY_JOB_ID", "7");
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    };
    let shell = run().spawn().unwrap();
    let patience = std::time::Instant::now();
    while !folder.join("out.shards/shard-1.partial/checkpoint").exists() {
        assert!(patience.elapsed().as_secs() < 60, "no checkpoint in a minute");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    signal(&shell, "USR1");
    let output = shell.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("back into the queue"), "{output:?}");
    assert_eq!(asked(folder).last().unwrap(), "scontrol requeue 7_1");
    // Back from the queue it goes on, and ends.
    let said = succeed(&mut run());
    assert!(said.contains("resume "), "{said}");
    assert!(folder.join("out.shards/shard-1/runs.csv").exists());
}
