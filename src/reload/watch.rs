//! Whether files have changed, and have been left alone since.

use crate::stamp::Stamp;

/// One look at each file; `None`: it cannot be looked at.
pub type Look = Vec<Option<Stamp>>;

/// What decides when files are read again. A file that is being written is not: a part of a config may be a good config.
#[derive(Debug, Default)]
pub struct Watch {
    /// As they were when they were read.
    read: Look,
    /// As they were seen last.
    seen: Look,
}

impl Watch {
    /// They are read as they are now.
    pub fn reads(&mut self, look: Look) {
        self.seen.clone_from(&look);
        self.read = look;
    }

    /// Whether they have changed since they were read, and not since the last look.
    pub fn has_changed(&mut self, look: Look) -> bool {
        let is_still = look == self.seen;
        self.seen = look;
        is_still && self.seen != self.read
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
        watch.reads(look(&files));
        assert!(!watch.has_changed(look(&files)) && !watch.has_changed(look(&files)));

        // A link that leads elsewhere.
        symlink(at("v2"), at("data-new")).expect("a link");
        fs::rename(at("data-new"), at("data")).expect("renamed");
        assert_eq!([watch.has_changed(look(&files)), watch.has_changed(look(&files))], [false, true]);
        watch.reads(look(&files));
        assert!(!watch.has_changed(look(&files)));

        // Written piece by piece.
        for piece in ["routes:", "routes: []", "routes: [1]"] {
            fs::write(at("v2/aegis.yaml"), piece).expect("written");
            assert!(!watch.has_changed(look(&files)), "{piece}");
        }
        assert!(watch.has_changed(look(&files)));
        watch.reads(look(&files));

        // Gone, and another in its place.
        fs::remove_file(at("v2/aegis.yaml")).expect("removed");
        assert_eq!([watch.has_changed(look(&files)), watch.has_changed(look(&files))], [false, true]);
        fs::remove_dir_all(folder).expect("removed");
    }
}
