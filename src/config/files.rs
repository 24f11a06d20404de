//! The files that a config depends on, each as it was when it was read.
//!
//! What came out of a pipe is kept: it cannot be read again, and the config may be, whenever another of its files changes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::contents::{self, Pipe, ReadError};
use crate::stamp::Stamp;

/// Those of one config.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// In the order in which they were read.
    names: Vec<String>,
    read: HashMap<String, Known>,
    pipes: HashMap<String, (Pipe, Arc<[u8]>)>,
    /// Whether one of them could not be read.
    is_lacking: bool,
}

/// One of them.
#[derive(Clone, Debug)]
struct Known {
    /// From before it was read: what changes meanwhile shows at the next look.
    stamp: Option<Stamp>,
    is_pipe: bool,
    /// While the config is being read: all that ask for a file see the same.
    contents: Option<Result<Arc<[u8]>, Arc<ReadError>>>,
}

impl Files {
    /// None yet, for the config to be read again. What came out of pipes is known.
    pub fn again(&self) -> Self {
        Files { pipes: self.pipes.clone(), ..Files::default() }
    }

    /// What is in the file of that name, which is one of them from now on; `most` bytes at the most.
    ///
    /// # Errors
    /// Why that cannot be had.
    pub fn read(&mut self, name: &str, most: u64) -> Result<Arc<[u8]>, Arc<ReadError>> {
        if let Some(contents) = self.read.get(name).and_then(|known| known.contents.clone()) {
            return contents;
        }
        let stamp = Stamp::of(name).ok();
        let (contents, is_pipe) = self.look(name, most);
        self.is_lacking |= contents.is_err();
        self.names.push(name.to_owned());
        self.read.insert(name.to_owned(), Known { stamp, is_pipe, contents: Some(contents.clone()) });
        contents
    }

    /// The same as text.
    ///
    /// # Errors
    /// As for [`Files::read`], and where it is not UTF-8 text.
    pub fn read_text(&mut self, name: &str, most: u64) -> Result<String, Arc<ReadError>> {
        let bytes = self.read(name, most)?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| ReadError::NoText.into())
    }

    fn look(&mut self, name: &str, most: u64) -> (Result<Arc<[u8]>, Arc<ReadError>>, bool) {
        let pipe = Pipe::at(Path::new(name));
        if let Some((_, bytes)) = self.pipes.get(name).filter(|(known, _)| Some(*known) == pipe) {
            return (Ok(bytes.clone()), true);
        }
        match contents::read(Path::new(name), most) {
            Ok(contents) => {
                let bytes: Arc<[u8]> = contents.bytes.into();
                if let Some(pipe) = contents.pipe {
                    self.pipes.insert(name.to_owned(), (pipe, bytes.clone()));
                }
                (Ok(bytes), contents.pipe.is_some())
            }
            Err(error) => (Err(error.into()), pipe.is_some()),
        }
    }

    /// The config has been read: what was in them is its to keep.
    pub fn close(&mut self) {
        self.read.values_mut().for_each(|known| known.contents = None);
        let read = &self.read;
        self.pipes.retain(|name, _| read.get(name).is_some_and(|known| known.is_pipe));
    }

    /// Whether one of them could not be read, which may be another time.
    pub fn are_lacking(&self) -> bool {
        self.is_lacking
    }

    /// Those that can change, as they were when they were read.
    pub fn watched(&self) -> impl Iterator<Item = (&str, Option<Stamp>)> {
        let known = self.names.iter().filter_map(|name| Some((name.as_str(), self.read.get(name)?)));
        known.filter(|(_, known)| !known.is_pipe).map(|(name, known)| (name, known.stamp))
    }

    /// Those that were read once and for all.
    pub fn pipes(&self) -> impl Iterator<Item = &str> {
        let is_pipe = |name: &&str| self.read.get(*name).is_some_and(|known| known.is_pipe);
        self.names.iter().map(String::as_str).filter(is_pipe)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::thread;

    use super::*;

    const MOST: u64 = 1_000;

    #[test]
    fn a_file_is_the_same_for_all_who_ask_and_another_one_the_next_time() {
        let path = std::env::temp_dir().join(format!("aegis-files-{}", std::process::id()));
        let name = path.display().to_string();
        fs::write(&path, "a").expect("written");
        let mut files = Files::default();
        assert_eq!(files.read_text(&name, MOST).expect("read"), "a");
        fs::write(&path, b"\xff").expect("written");
        assert_eq!(files.read_text(&name, MOST).expect("read"), "a");
        assert!(!files.are_lacking() && files.watched().count() == 1);
        files.close();
        let mut files = files.again();
        assert_eq!(files.read_text(&name, MOST).expect_err("no text").to_string(), "it is not UTF-8 text");
        assert!(!files.are_lacking(), "it is there, and will be the same");
        fs::remove_file(&path).expect("removed");
        let mut files = files.again();
        assert!(files.read(&name, MOST).is_err() && files.are_lacking());
        assert_eq!(files.watched().collect::<Vec<_>>(), [(name.as_str(), None)]);
    }

    #[test]
    fn what_came_out_of_a_pipe_is_known_for_as_long_as_that_pipe_is_named() {
        let path = std::env::temp_dir().join(format!("aegis-files-pipe-{}", std::process::id()));
        let name = path.display().to_string();
        let pipe = |text: &'static str| {
            // The inode of one that is removed may be given again.
            let _ = fs::rename(&path, path.with_extension("old"));
            assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
            let path = path.clone();
            thread::spawn(move || fs::write(path, text))
        };
        let writer = pipe("once");
        let mut files = Files::default();
        assert_eq!(files.read_text(&name, MOST).expect("read"), "once");
        writer.join().expect("a thread").expect("written");
        files.close();
        assert_eq!((files.watched().count(), files.pipes().collect::<Vec<_>>()), (0, vec![name.as_str()]));
        let mut files = files.again();
        assert_eq!(files.read_text(&name, MOST).expect("known"), "once");
        files.close();
        let writer = pipe("another");
        let mut files = files.again();
        assert_eq!(files.read_text(&name, MOST).expect("read"), "another");
        writer.join().expect("a thread").expect("written");
        let mut files = files.again();
        files.close();
        assert!(files.pipes.is_empty(), "nobody names it any more");
        fs::remove_file(&path).expect("removed");
        fs::remove_file(path.with_extension("old")).expect("removed");
    }
}
