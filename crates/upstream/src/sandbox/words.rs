//! A profile in plain words, for whoever approves it.

use super::{
    kernel::{Counted, Kernel},
    profile::{Access, Profile},
};

/// Hosts in plain words.
pub(super) fn reach(hosts: &[String]) -> String {
    let words = hosts.iter().map(|host| match host.strip_prefix('*') {
        Some("") => "any public host".to_owned(),
        Some(port) if port.starts_with(':') => format!("any public host at {}", port.replace(':', "port ")),
        Some(_) | None => host.clone(),
    });
    words.collect::<Vec<_>>().join(", ")
}

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
            hosts => words.push(format!("may reach {}", reach(hosts))),
        }
        words.push("nothing else".to_owned());
        for wall in &self.without {
            words.push(format!("WITHOUT {}", wall.as_str()));
        }
        words.join(", ")
    }

    /// What limits it here: what each number is held by, and what nothing holds.
    #[must_use]
    pub fn limits(&self, kernel: &Kernel) -> String {
        let caps = &self.caps;
        let mib = |bytes: u64| format!("{}M", bytes >> 20);
        let memory = mib(caps.memory_bytes);
        let processors = format!(
            "{}.{:02} processors",
            caps.cpu_percent / 100,
            caps.cpu_percent % 100
        );
        let together = if kernel.groups {
            format!(
                "{memory} of memory, {} processes and {processors} for all together, by a control group",
                caps.pids
            )
        } else {
            let processes = match kernel.processes {
                Counted::No => format!("processes {}", Counted::No),
                by => format!("{} processes, {by}", caps.pids),
            };
            format!(
                "{memory} of memory for each process, and for all together as looked at four times a second; \
                 {processes}; processors NOT limited (no control group here)"
            )
        };
        let (files, output) = (caps.open_files, mib(caps.file_bytes));
        format!("{together}; {files} open files for each process, {output} a file")
    }

    fn shortened(&self, path: &str) -> String {
        match path.strip_prefix(&self.home) {
            Some("") => "~ (its own, kept)".to_owned(),
            Some(rest) if rest.starts_with('/') => format!("~{rest}"),
            Some(_) | None => path.to_owned(),
        }
    }
}
