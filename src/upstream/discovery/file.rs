//! A file of targets, read again when it changes: written over, renamed into place, or behind a link that leads
//! elsewhere now, as Kubernetes does it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::targets;
use crate::config::units::TargetUrl;

/// By what a change shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// Targets with their weights.
pub type Listed = Vec<(TargetUrl, u32)>;

/// Looks at the file on a thread that may wait for a disk. `None`: it is as it was at `known`.
pub async fn read(path: PathBuf, known: Option<Stamp>) -> (Option<Stamp>, Option<Result<Listed, String>>) {
    let look = move || {
        let stamp = stamp(&path);
        let is_new = stamp.as_ref().ok() != known.as_ref() || known.is_none();
        let found = is_new.then(|| stamp.clone().and_then(|_| parse(&path)));
        (stamp.ok(), found)
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.unwrap_or_else(|error| (None, Some(Err(error.to_string()))))
}

fn stamp(path: &Path) -> Result<Stamp, String> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        seconds: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec(),
    })
}

fn parse(path: &Path) -> Result<Listed, String> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let listed = targets::parse(&path.display().to_string(), &text).map_err(|error| error.to_string())?;
    Ok(listed.into_iter().map(|(url, weight)| (url, weight.get())).collect())
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    format!("cannot read {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_is_seen_whichever_way_it_comes_and_nothing_else_is_read() {
        let folder = std::env::temp_dir().join(format!("aegis-targets-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
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
}
