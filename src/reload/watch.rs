//! Whether files have changed, and have been left alone since.

use crate::stamp::Stamp;

/// One look at each file; `None`: it cannot be looked at.
pub type Look = Vec<Option<Stamp>>;

/// What could not be read is tried again at the next look, and then less and less often, down to once in so many looks.
const SELDOM: u32 = 16;

/// What decides when files are read again. A file that is being written is not: a part of a config may be a good config.
#[derive(Debug, Default)]
pub struct Watch {
    /// As they were when they were read.
    read: Look,
    /// As they were seen last.
    seen: Look,
    /// Some could not be read, though they may be as they were.
    retry: Option<Retry>,
}

/// When they are tried again.
#[derive(Clone, Copy, Debug)]
struct Retry {
    /// In so many looks.
    left: u32,
    /// After so many.
    span: u32,
}

impl Watch {
    /// They were read as they were at this look; `are_whole` if each of them could be.
    pub fn reads(&mut self, look: Look, are_whole: bool) {
        self.seen.clone_from(&look);
        self.read = look;
        let span = self.retry.map_or(1, |retry| (2 * retry.span).min(SELDOM));
        self.retry = (!are_whole).then_some(Retry { left: span, span });
    }

    /// Whatever they say, they are not read again until they have changed.
    pub fn gives_up(&mut self) {
        self.read.clone_from(&self.seen);
        self.retry = None;
    }

    /// Whether it is time to read them: they have changed since they were read, and not since the last look.
    pub fn has_changed(&mut self, look: Look) -> bool {
        let is_still = look == self.seen;
        self.seen = look;
        let is_due = self.retry.as_mut().is_some_and(|retry| {
            retry.left = retry.left.saturating_sub(1);
            retry.left == 0
        });
        is_still && (is_due || self.seen != self.read)
    }
}

/// Looks at files.
pub fn look(files: &[String]) -> Look {
    files.iter().map(|file| Stamp::of(file).ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// They were not to be had for a moment, for want of descriptors, say, and were never read again.
    #[test]
    fn what_could_not_be_read_is_tried_again_though_nothing_has_changed() {
        let (mut watch, look) = (Watch::default(), || vec![None]);
        let tries = |watch: &mut Watch| {
            let mut tries = Vec::new();
            for nth in 1..=60 {
                if watch.has_changed(look()) {
                    watch.reads(look(), false);
                    tries.push(nth);
                }
            }
            tries
        };
        watch.reads(look(), true);
        assert!(tries(&mut watch).is_empty());
        watch.reads(look(), false);
        assert_eq!(tries(&mut watch), [1, 3, 7, 15, 31, 47]);
        watch.reads(look(), true);
        assert!(tries(&mut watch).is_empty());
        watch.reads(look(), false);
        watch.gives_up();
        assert!(tries(&mut watch).is_empty());
    }

    #[test]
    fn a_change_shows_once_it_has_lasted_for_a_look_however_it_came() {
        let folder = std::env::temp_dir().join(format!("aegis-watch-{}", std::process::id()));
        fs::create_dir_all(folder.join("v1")).expect("a folder");
        fs::create_dir_all(folder.join("v2")).expect("a folder");
        let at = |name: &str| folder.join(name);
        fs::write(at("v1/aegis.yaml"), "a").expect("written");
        fs::write(at("v2/aegis.yaml"), "a").expect("written");
        symlink(at("v1"), at("data")).expect("a link");
        let files = [at("data/aegis.yaml").display().to_string()];
        let mut watch = Watch::default();
        watch.reads(look(&files), true);
        assert!(!watch.has_changed(look(&files)) && !watch.has_changed(look(&files)));

        // A link that leads elsewhere.
        symlink(at("v2"), at("data-new")).expect("a link");
        fs::rename(at("data-new"), at("data")).expect("renamed");
        assert_eq!([watch.has_changed(look(&files)), watch.has_changed(look(&files))], [false, true]);
        watch.reads(look(&files), true);
        assert!(!watch.has_changed(look(&files)));

        // Written piece by piece.
        for piece in ["routes:", "routes: []", "routes: [1]"] {
            fs::write(at("v2/aegis.yaml"), piece).expect("written");
            assert!(!watch.has_changed(look(&files)), "{piece}");
        }
        assert!(watch.has_changed(look(&files)));
        watch.reads(look(&files), true);

        // Gone, and another in its place.
        fs::remove_file(at("v2/aegis.yaml")).expect("removed");
        assert_eq!([watch.has_changed(look(&files)), watch.has_changed(look(&files))], [false, true]);
        fs::remove_dir_all(folder).expect("removed");
    }
}
