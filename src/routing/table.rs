//! Finding the route of a path: the longest prefix on whole segments wins.

use std::collections::HashMap;

/// Path prefixes and what they lead to.
///
/// A lookup costs one hash for each segment that the path has, never more than the deepest prefix of the
/// table has, and does not depend on the number of routes.
#[derive(Debug)]
pub struct Table<T> {
    routes: HashMap<Box<str>, T>,
    /// Segments of the deepest prefix.
    depth: usize,
}

impl<T> Table<T> {
    /// A table of the given prefixes, each in normal form and without a trailing slash (`/` stands for all).
    /// Of equal prefixes, the last remains.
    pub fn new(routes: impl IntoIterator<Item = (String, T)>) -> Self {
        let routes: HashMap<Box<str>, T> = routes
            .into_iter()
            .map(|(path, route)| (path.trim_end_matches('/').to_owned().into_boxed_str(), route))
            .collect();
        let depth = routes.keys().map(|path| path.matches('/').count()).max().unwrap_or(0);
        Table { routes, depth }
    }

    /// The route with the longest prefix of `path`, which must be in normal form.
    pub fn find(&self, path: &str) -> Option<&T> {
        // The end of every whole-segment prefix that can be in the table, the longest first.
        let mut end = path.match_indices('/').nth(self.depth).map_or(path.len(), |(slash, _)| slash);
        loop {
            let prefix = path[..end].trim_end_matches('/');
            if let Some(route) = self.routes.get(prefix) {
                return Some(route);
            }
            end = prefix.rfind('/')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&str]) -> Table<String> {
        Table::new(paths.iter().map(|path| ((*path).to_owned(), (*path).to_owned())))
    }

    #[test]
    fn the_longest_prefix_on_whole_segments_wins() {
        let table = table(&["/users", "/users/admin", "/v1/a/b"]);
        for (path, route) in [
            ("/users", Some("/users")),
            ("/users/", Some("/users")),
            ("/users/7", Some("/users")),
            ("/users/7/8/9/10", Some("/users")),
            ("/users-old", None),
            ("/usersx/7", None),
            ("/users/admin", Some("/users/admin")),
            ("/users/admin/x", Some("/users/admin")),
            ("/users/administrator", Some("/users")),
            ("/v1/a", None),
            ("/v1/a/b/c", Some("/v1/a/b")),
            ("/", None),
            ("/Users", None),
        ] {
            assert_eq!(table.find(path).map(String::as_str), route, "{path}");
        }
    }

    #[test]
    fn a_route_for_the_root_takes_the_rest() {
        let table = table(&["/", "/users"]);
        assert_eq!(table.find("/").map(String::as_str), Some("/"));
        assert_eq!(table.find("/anything/else").map(String::as_str), Some("/"));
        assert_eq!(table.find("/users/7").map(String::as_str), Some("/users"));
        assert_eq!(Table::<()>::new([]).find("/x"), None);
    }

    #[test]
    fn a_path_of_a_thousand_segments_costs_no_more_than_the_table_is_deep() {
        let table = table(&["/a/a"]);
        assert_eq!(table.find(&"/a".repeat(30_000)).map(String::as_str), Some("/a/a"));
    }
}
