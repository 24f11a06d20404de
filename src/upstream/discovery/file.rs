//! A file of targets, read again when it changes: written over, renamed into place, or behind a link that leads
//! elsewhere now, as Kubernetes does it.

use std::path::{Path, PathBuf};

use crate::config::targets;
use crate::config::units::TargetUrl;
use crate::contents::{self, MOST, ReadError};
use crate::stamp::Stamp;

/// Targets with their weights.
pub type Listed = Vec<(TargetUrl, u32)>;

/// Looks at the file on a thread that may wait for a disk. `None`: it is as it was at `known`. There is no stamp of a
/// file that could not be read, so that it is tried again.
pub async fn read(path: PathBuf, known: Option<Stamp>) -> (Option<Stamp>, Option<Result<Listed, String>>) {
    let looked = tokio::task::spawn_blocking(move || look(&path, known)).await;
    looked.unwrap_or_else(|error| (None, Some(Err(error.to_string()))))
}

fn look(path: &Path, known: Option<Stamp>) -> (Option<Stamp>, Option<Result<Listed, String>>) {
    // The stamp comes first: what changes while it is read is read again.
    let stamp = match Stamp::of(path) {
        Ok(stamp) => stamp,
        Err(error) => return (None, Some(Err(unreadable(path, &error.into())))),
    };
    if known == Some(stamp) {
        return (known, None);
    }
    match contents::read(path, MOST) {
        Ok(contents) => (Some(stamp), Some(parse(path, contents.bytes))),
        Err(error) => (None, Some(Err(unreadable(path, &error)))),
    }
}

fn parse(path: &Path, bytes: Vec<u8>) -> Result<Listed, String> {
    let text = String::from_utf8(bytes).map_err(|_| unreadable(path, &ReadError::NoText))?;
    let listed = targets::parse(&path.display().to_string(), &text).map_err(|error| error.to_string())?;
    Ok(listed.into_iter().map(|(url, weight)| (url, weight.get())).collect())
}

fn unreadable(path: &Path, error: &ReadError) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("aegis-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[tokio::test]
    async fn a_change_is_seen_whichever_way_it_comes_and_nothing_else_is_read() {
        let folder = folder("targets");
        let file = folder.join("t.yaml");
        let (missing, found) = read(file.clone(), None).await;
        assert!(missing.is_none() && found.expect("looked").is_err_and(|why| why.contains("t.yaml")));
        let urls = |found: Option<Result<Listed, String>>| {
            found.map(|found| found.expect("valid").iter().map(|(url, _)| url.to_string()).collect::<Vec<_>>())
        };
        fs::write(&file, "- http://a:1\n").expect("written");
        let (stamp, found) = read(file.clone(), missing).await;
        assert_eq!(urls(found), Some(vec!["http://a:1".to_owned()]));
        assert_eq!(read(file.clone(), stamp).await, (stamp, None));
        fs::write(folder.join("new"), "- http://b:1\n").expect("written");
        fs::rename(folder.join("new"), &file).expect("renamed");
        let (stamp, found) = read(file.clone(), stamp).await;
        assert_eq!(urls(found), Some(vec!["http://b:1".to_owned()]));
        fs::write(folder.join("elsewhere"), "- http://c:1\n").expect("written");
        fs::remove_file(&file).expect("removed");
        std::os::unix::fs::symlink(folder.join("elsewhere"), &file).expect("linked");
        assert_eq!(urls(read(file.clone(), stamp).await.1), Some(vec!["http://c:1".to_owned()]));
        fs::remove_dir_all(&folder).expect("removed");
    }

    /// Of the same size and time as before, as `rsync --times` leaves it.
    #[tokio::test]
    async fn a_change_is_seen_though_size_and_time_are_what_they_were() {
        let folder = folder("same");
        let file = folder.join("t.yaml");
        fs::write(&file, "- http://a:1\n").expect("written");
        let (stamp, _) = read(file.clone(), None).await;
        let modified = fs::metadata(&file).and_then(|metadata| metadata.modified()).expect("a time");
        // The clock of a file system ticks slowly.
        while Stamp::of(&file).ok() == stamp {
            fs::write(&file, "- http://b:1\n").expect("written");
            fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(modified)).expect("set back");
        }
        let (_, found) = read(file, stamp).await;
        assert_eq!(found.expect("read").expect("valid")[0].0.as_str(), "http://b:1");
        fs::remove_dir_all(&folder).expect("removed");
    }

    /// The file was not readable for a moment, and was never read again.
    #[tokio::test]
    async fn what_could_be_seen_but_not_read_is_tried_again() {
        // A folder can be seen and not read.
        let folder = folder("unread");
        let (stamp, found) = read(folder.clone(), None).await;
        assert!(found.expect("tried").is_err_and(|why| why.contains("cannot read")));
        let (_, found) = read(folder.clone(), stamp).await;
        assert!(found.expect("tried again").is_err());
        fs::remove_dir_all(&folder).expect("removed");
    }
}
