//! What is in a file that somebody names, whatever it turns out to be: it is never waited for without end, and never more than is meant to
//! be there.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes that a config may have.
pub const MOST_OF_CONFIG: u64 = 16 << 20;
/// And any other file.
pub const MOST: u64 = 4 << 20;
/// All that is to come out of a pipe does by then.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was in a file.
#[derive(Debug)]
pub struct Contents {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Which pipe it came out of, where it did: it is not there any more.
    pub pipe: Option<Pipe>,
}

/// One pipe, told from others by its device and inode and, since inodes are given again, by when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pipe(u64, u64, Option<SystemTime>);

impl Pipe {
    /// The one at `path`, if that is a pipe.
    pub fn at(path: &Path) -> Option<Self> {
        Pipe::of(&fs::metadata(path).ok()?)
    }

    fn of(metadata: &Metadata) -> Option<Self> {
        metadata.file_type().is_fifo().then(|| Pipe(metadata.dev(), metadata.ino(), metadata.created().ok()))
    }
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system's reason.
    #[error("{0}")]
    System(#[from] io::Error),
    /// It is none of the kinds that can be read to an end.
    #[error("it is {0}, and no file")]
    Kind(&'static str),
    /// There is more than is meant to be there.
    #[error("it has more than {} MiB", .0 >> 20)]
    TooLarge(u64),
    /// Nobody writes to it, or does not come to an end.
    #[error("it is a pipe, and not all has come out of it within {} s", PATIENCE.as_secs())]
    Late,
    /// It holds bytes that are no text.
    #[error("it is not UTF-8 text")]
    NoText,
}

/// All that is in the file at `path`, if that is no more than `most` bytes.
///
/// # Errors
/// Why that cannot be had.
pub fn read(path: &Path, most: u64) -> Result<Contents, ReadError> {
    // Some devices do something when they are opened.
    is_readable(fs::metadata(path)?.file_type())?;
    // A pipe that nobody writes to would have us wait.
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    is_readable(metadata.file_type())?;
    if metadata.len() > most {
        return Err(ReadError::TooLarge(most));
    }
    let pipe = Pipe::of(&metadata);
    let bytes = match pipe {
        Some(_) => drain(&mut file, most, Instant::now() + PATIENCE)?,
        None => {
            let mut bytes = Vec::new();
            file.take(most + 1).read_to_end(&mut bytes)?;
            bytes
        }
    };
    if bytes.len() as u64 > most { Err(ReadError::TooLarge(most)) } else { Ok(Contents { bytes, pipe }) }
}

fn is_readable(kind: FileType) -> Result<(), ReadError> {
    match kind {
        kind if kind.is_file() || kind.is_fifo() => Ok(()),
        kind if kind.is_dir() => Err(ReadError::Kind("a directory")),
        kind if kind.is_socket() => Err(ReadError::Kind("a socket")),
        _ => Err(ReadError::Kind("a device")),
    }
}

/// What comes out of a pipe, to its end. Before anybody has opened it to write, it reads as if it had ended.
fn drain(pipe: &mut File, most: u64, until: Instant) -> Result<Vec<u8>, ReadError> {
    let (mut bytes, mut piece, mut has_ended) = (Vec::new(), [0; 8 << 10], false);
    while bytes.len() as u64 <= most {
        match pipe.read(&mut piece) {
            Ok(0) if has_ended || !bytes.is_empty() => break,
            Ok(length) if length > 0 => bytes.extend_from_slice(&piece[..length]),
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Err(error.into());
            }
            _ => has_ended = wait(pipe, until)?,
        }
    }
    Ok(bytes)
}

/// Until there is more in a pipe or nobody writes to it any more; tells whether that is so.
fn wait(pipe: &File, until: Instant) -> Result<bool, ReadError> {
    let left = until.saturating_duration_since(Instant::now());
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    // None that we give is too long for it.
    match poll(&mut polled, Timespec::try_from(left).ok().as_ref()) {
        Ok(0) => Err(ReadError::Late),
        Err(error) if error != rustix::io::Errno::INTR => Err(io::Error::from(error).into()),
        _ => Ok(polled[0].revents().contains(PollFlags::HUP)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::thread;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("aegis-contents-{}-{name}", std::process::id()));
        // Of a run before; mostly there is none.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn fifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    }

    #[test]
    fn what_is_no_file_or_too_much_of_one_is_told_for_what_it_is() {
        let folder = folder("kinds");
        let (file, socket) = (folder.join("file"), folder.join("socket"));
        fs::write(&file, "12345").expect("written");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        assert_eq!(read(&file, 5).expect("read").bytes, b"12345");
        for (path, said) in [
            (folder.as_path(), "it is a directory, and no file"),
            (Path::new("/dev/zero"), "it is a device, and no file"),
            (&socket, "it is a socket, and no file"),
            (&folder.join("none"), "No such file or directory (os error 2)"),
        ] {
            assert_eq!(read(path, MOST).expect_err(said).to_string(), said);
        }
        assert!(matches!(read(&file, 4), Err(ReadError::TooLarge(4))));
        // Its size is said to be 0.
        assert!(matches!(read(Path::new("/proc/self/maps"), 4), Err(ReadError::TooLarge(4))));
        assert_eq!(ReadError::TooLarge(MOST).to_string(), "it has more than 4 MiB");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_comes_out_of_a_pipe_is_waited_for_and_not_for_ever() {
        let folder = folder("pipes");
        let path = folder.join("fifo");
        fifo(&path);
        let writer = {
            let path = path.clone();
            thread::spawn(move || {
                // So that it is waited for; sooner, there would only be less to wait.
                thread::sleep(Duration::from_millis(50));
                fs::write(path, vec![b'x'; 100_000]).expect("written");
            })
        };
        let contents = read(&path, MOST).expect("read");
        assert_eq!((contents.bytes.len(), contents.pipe), (100_000, Pipe::at(&path)));
        writer.join().expect("written");
        let mut pipe = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("open");
        assert!(matches!(drain(&mut pipe, MOST, Instant::now() + Duration::from_millis(30)), Err(ReadError::Late)));
        // Who writes nothing has written all there is.
        drop(OpenOptions::new().write(true).open(&path).expect("open"));
        assert_eq!(drain(&mut pipe, MOST, Instant::now() + PATIENCE).expect("an end"), b"");
        // Of somebody who never ends, no more is taken than there may be.
        let writer = thread::spawn({
            let path = path.clone();
            move || fs::write(path, vec![b'x'; 1 << 20])
        });
        assert!(matches!(read(&path, 100), Err(ReadError::TooLarge(100))));
        drop(pipe);
        drop(writer.join().expect("ended"));
        fs::remove_dir_all(folder).expect("removed");
    }
}
