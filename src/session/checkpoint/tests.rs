//! Files as they are written, damaged and read back.

use super::*;
use serde_json::json;

struct Job {
    dir: tempfile::TempDir,
    checkpoints: Checkpoints,
}

impl Job {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(dir.path(), json!({"plan": {"lr": 0.1}}), Duration::from_secs(60));
        Self { dir, checkpoints }
    }

    fn write(&mut self, content: &[u8]) {
        self.checkpoints.write(|out| out.write_all(content)).unwrap();
    }

    fn newest(&self) -> (Option<Vec<u8>>, Vec<String>) {
        let (content, warnings) = self.checkpoints.newest().unwrap();
        let bytes = content.map(|mut content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            bytes
        });
        (bytes, warnings)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn the_newest_whole_checkpoint_is_read() {
    let mut job = Job::new();
    assert_eq!(job.newest(), (None, vec![]));
    job.write(b"");
    assert_eq!(job.newest(), (Some(vec![]), vec![]));
    job.write(b"one");
    job.write(b"two");
    assert_eq!(job.newest(), (Some(b"two".to_vec()), vec![]));
    assert_eq!(job.names(), [NEWEST, BEFORE]);
    // The process died between the two renames.
    fs::remove_file(job.dir.path().join(NEWEST)).unwrap();
    assert_eq!(job.newest(), (Some(b"one".to_vec()), vec![]));
    let Job { dir, checkpoints } = job;
    checkpoints.remove().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn content_is_sought_as_a_file_of_its_own_also_when_newer_ones_are_made() {
    let mut job = Job::new();
    job.write(b"0123456789");
    let (content, _) = job.checkpoints.newest().unwrap();
    let mut content = content.unwrap();
    (0..3).for_each(|_| job.write(b"later"));
    let mut three = [0; 3];
    for (to, at, expected) in [
        (SeekFrom::Start(2), 2, b"234"),
        (SeekFrom::Current(1), 6, b"678"),
        (SeekFrom::End(-3), 7, b"789"),
        (SeekFrom::Start(0), 0, b"012"),
    ] {
        assert_eq!(content.seek(to).unwrap(), at);
        content.read_exact(&mut three).unwrap();
        assert_eq!(&three, expected);
    }
    assert!(content.seek(SeekFrom::Current(-4)).is_err());
    content.seek(SeekFrom::Start(8)).unwrap();
    assert!(content.read_exact(&mut three).is_err(), "the checksum is none of the content");
    assert_eq!(content.seek(SeekFrom::Start(99)).unwrap(), 99);
    assert_eq!(content.read(&mut three).unwrap(), 0);
}

#[test]
fn a_damaged_file_is_set_aside_and_the_one_before_it_taken() {
    let [before, whole] = [b"one", b"two"].map(|content| {
        let mut job = Job::new();
        job.write(content);
        fs::read(job.dir.path().join(NEWEST)).unwrap()
    });
    // Every byte matters, and so does the length.
    let flipped = (0..whole.len()).map(|index| {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x10;
        bytes
    });
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    for damaged in flipped.chain(cut).chain([[&whole[..], b"x"].concat()]) {
        let job = Job::new();
        fs::write(job.dir.path().join(BEFORE), &before).unwrap();
        fs::write(job.dir.path().join(NEWEST), &damaged).unwrap();
        let (content, warnings) = job.newest();
        assert_eq!(content.unwrap(), b"one");
        assert!(warnings.len() == 1 && warnings[0].contains("checkpoint.damaged"), "{warnings:?}");
        assert!(warnings[0].contains("the checkpoint before it is taken"), "{warnings:?}");
        assert_eq!(job.names(), [BEFORE, "checkpoint.damaged"]);
        fs::write(job.dir.path().join(BEFORE), &damaged).unwrap();
        let (content, warnings) = job.newest();
        assert!(content.is_none() && warnings[0].contains("runs that are not finished start again"), "{warnings:?}");
    }
}

#[test]
fn another_version_of_the_format_and_another_identity_are_told() {
    let mut job = Job::new();
    job.write(b"one");
    let path = job.dir.path().join(NEWEST);
    let mut bytes = fs::read(&path).unwrap();
    bytes[14] = b'0';
    let end = bytes.len() - CHECKSUM as usize;
    let checksum = blake3::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(checksum.as_bytes());
    fs::write(&path, &bytes).unwrap();
    let (content, warnings) = job.newest();
    assert!(content.is_none() && warnings[0].contains("no checkpoint of this version"), "{warnings:?}");

    job.write(b"two");
    let other = Checkpoints::new(job.dir.path(), json!({"plan": {"lr": 0.2}}), Duration::ZERO);
    let error = other.newest().unwrap_err().to_string();
    assert!(error.contains("plan.lr is 0.1 there and 0.2 here") && error.contains("accepted: "), "{error}");
    assert!(job.names().contains(&NEWEST.to_owned()), "what is another's is not touched");
}

#[test]
fn what_fails_leaves_the_checkpoints_as_they_were() {
    let mut job = Job::new();
    job.write(b"one");
    let failed = job.checkpoints.write(|out| {
        out.write_all(&vec![0; 1 << 21])?;
        Err(io::Error::from(ErrorKind::StorageFull))
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!((job.newest(), job.names()), ((Some(b"one".to_vec()), vec![]), vec![NEWEST.to_owned()]));
    assert!(!job.checkpoints.is_due());
    job.checkpoints.every = Duration::ZERO;
    assert!(job.checkpoints.is_due());
    let gone =
        Checkpoints::new(&job.dir.path().join("gone"), json!({}), Duration::ZERO).write(|_| Ok::<_, io::Error>(()));
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
}
