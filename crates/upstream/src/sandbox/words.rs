//! A profile in plain words, for whoever approves it.

use super::profile::{Access, Profile};

impl Profile {
    /// Such as: may write ~/project, may reach api.github.com, nothing else.
    #[must_use]
    pub fn words(&self) -> String {
        let listed = |access: fn(&Access) -> bool| {
            let places = self.grants.iter().filter(|grant| access(&grant.access));
            let mut places: Vec<_> = places.map(|grant| self.shortened(&grant.target)).collect();
            places.dedup();
            places.join(", ")
        };
        let mut words = Vec::new();
        for (verb, places) in [
            ("may run and read", listed(|access| *access == Access::CODE)),
            ("may read", listed(|access| *access == Access::READ)),
            ("may write", listed(|access| *access == Access::WRITE)),
            ("may write and run", listed(|access| *access == Access::OWN)),
        ] {
            if !places.is_empty() {
                words.push(format!("{verb} {places}"));
            }
        }
        match self.network.as_slice() {
            [] => {}
            _ if self.egress.is_none() => {}
            hosts => words.push(format!("may reach {}", hosts.join(", "))),
        }
        words.push("nothing else".to_owned());
        for wall in &self.without {
            words.push(format!("WITHOUT {}", wall.as_str()));
        }
        words.join(", ")
    }

    fn shortened(&self, path: &str) -> String {
        match path.strip_prefix(&self.home) {
            Some("") => "~ (its own, kept)".to_owned(),
            Some(rest) if rest.starts_with('/') => format!("~{rest}"),
            Some(_) | None => path.to_owned(),
        }
    }
}
