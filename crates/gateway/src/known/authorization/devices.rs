//! Devices without a browser (RFC 8628): each shows a short code, which a person who is logged in enters elsewhere.
//!
//! INVARIANT (one answer, once): a device code is good for ten minutes and for one answer, which only the client that
//! asked gets, no faster than it was told. None is kept over a restart, like other codes.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use identity::{oauth::Leave, sha256};

use super::{Issue, throttle::Throttle};
use crate::{ambient::Ambient, outside::addresses::network};

/// How long a code is good, and how often it may be asked about at first, in milliseconds.
pub(crate) const LIFE_MS: i64 = 10 * 60 * 1000;
pub(crate) const PACE_MS: i64 = 5 * 1000;
/// Most at a time, and most that one address (of IPv6, one network) begins in a minute.
const DEVICES_MAX: usize = 4096;
const OF_ADDRESS_MAX: usize = 10;
const MINUTE_MS: i64 = 60 * 1000;
/// Letters of what people type: no vowels, so no words; none that looks like another. 20^8 codes.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;

/// See the module. Device codes are known by their digests.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    all: Mutex<All>,
    guesses: Throttle,
}

#[derive(Debug, Default)]
struct All {
    devices: HashMap<[u8; 32], Device>,
    lately: Vec<(IpAddr, i64)>,
}

#[derive(Debug)]
struct Device {
    user_code: String,
    leave: Leave,
    until_ms: i64,
    pace_ms: i64,
    asked_ms: Option<i64>,
    said: Said,
}

#[derive(Debug)]
enum Said {
    Nothing,
    No,
    Yes(Box<Issue>),
}

/// What a device is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// The person said yes. The code is used up.
    Yes(Box<Issue>),
    /// The person said no. The code is used up.
    No,
    /// Nothing yet.
    Wait,
    /// Nothing yet, and it asks too often.
    Slower,
    /// There is no such code, or no longer, or it is another client's.
    Unknown,
}

/// What a new device shows and keeps.
pub(crate) struct Begun {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
}

impl Devices {
    /// Takes a device in; none when too many came.
    pub(crate) fn begin(&self, leave: Leave, from: IpAddr, ambient: &Ambient) -> Option<Begun> {
        let (from, now_ms) = (network(from), ambient.now_ms());
        let mut all = self.lock();
        all.lately.retain(|(_, at_ms)| now_ms - at_ms < MINUTE_MS);
        all.devices.retain(|_, device| now_ms < device.until_ms);
        let of_address = all.lately.iter().filter(|(address, _)| *address == from).count();
        if of_address >= OF_ADDRESS_MAX || all.devices.len() >= DEVICES_MAX {
            return None;
        }
        let begun = Begun {
            device_code: ambient.secret(),
            user_code: user_code(ambient),
        };
        if all.find(&begun.user_code, now_ms).is_some() {
            return None;
        }
        all.lately.push((from, now_ms));
        let device = Device {
            user_code: begun.user_code.clone(),
            leave,
            until_ms: now_ms + LIFE_MS,
            pace_ms: PACE_MS,
            asked_ms: None,
            said: Said::Nothing,
        };
        all.devices.insert(sha256(begun.device_code.as_bytes()), device);
        Some(begun)
    }

    /// What the device with this code wants. Whoever guesses waits; the error says how long, in seconds.
    pub(crate) fn look(
        &self,
        typed: &str,
        from: IpAddr,
        now_ms: i64,
    ) -> Result<Option<(String, Leave)>, i64> {
        // By address alone: guesses from one must not keep others from their codes.
        let name = network(from).to_string();
        self.guesses.may_try(&name, from, now_ms)?;
        let code = normal(typed);
        let mut all = self.lock();
        let leave = all.find(&code, now_ms).map(|device| device.leave.clone());
        drop(all);
        self.guesses.note(&name, from, leave.is_some(), now_ms);
        Ok(leave.map(|leave| (code, leave)))
    }

    /// The person's answer: to one device, once.
    pub(crate) fn answer(&self, user_code: &str, issue: Option<Issue>, now_ms: i64) -> Option<()> {
        let mut all = self.lock();
        let device = all.find(user_code, now_ms)?;
        device.said = match issue {
            Some(issue) => Said::Yes(Box::new(issue)),
            None => Said::No,
        };
        Some(())
    }

    /// A device asks what was said.
    pub(crate) fn ask(&self, device_code: &str, client: &str, now_ms: i64) -> Told {
        let mut all = self.lock();
        let digest = sha256(device_code.as_bytes());
        let Some(device) = all.devices.get_mut(&digest) else {
            return Told::Unknown;
        };
        if device.leave.client != client || now_ms >= device.until_ms {
            return Told::Unknown;
        }
        let is_early = device
            .asked_ms
            .is_some_and(|asked_ms| now_ms - asked_ms < device.pace_ms);
        device.asked_ms = Some(now_ms);
        if is_early {
            device.pace_ms += PACE_MS;
            return Told::Slower;
        }
        if matches!(device.said, Said::Nothing) {
            return Told::Wait;
        }
        match all.devices.remove(&digest).map(|device| device.said) {
            Some(Said::Yes(issue)) => Told::Yes(issue),
            Some(Said::No | Said::Nothing) | None => Told::No,
        }
    }

    /// Forgets what is over.
    pub(crate) fn sweep(&self, now_ms: i64) {
        self.lock().devices.retain(|_, device| now_ms < device.until_ms);
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// The device that waits for its answer with this code.
    fn find(&mut self, user_code: &str, now_ms: i64) -> Option<&mut Device> {
        self.devices.values_mut().find(|device| {
            device.user_code == user_code && now_ms < device.until_ms && matches!(device.said, Said::Nothing)
        })
    }
}

fn user_code(ambient: &Ambient) -> String {
    let mut code = String::new();
    while code.len() < LENGTH {
        // Bytes past the last whole multiple would make some letters likelier.
        let letters = ambient.bytes::<16>().into_iter().filter(|byte| *byte < 240);
        let letters = letters.filter_map(|byte| LETTERS.get(usize::from(byte) % LETTERS.len()));
        code.extend(letters.map(|byte| char::from(*byte)));
    }
    code.truncate(LENGTH);
    code
}

/// How a code is shown: in two halves.
pub(crate) fn shown(user_code: &str) -> String {
    let (first, second) = user_code.split_at_checked(LENGTH / 2).unwrap_or((user_code, ""));
    format!("{first}-{second}")
}

/// A code as people type it: small letters, blanks and dashes do not count.
fn normal(typed: &str) -> String {
    let letters = typed.chars().filter(char::is_ascii_alphabetic).take(LENGTH + 1);
    letters.map(|c| c.to_ascii_uppercase()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use identity::{
        ResourceId,
        oauth::{AuthorizationRequest, Way},
    };

    use super::*;
    use crate::known::authorization::LoggedIn;

    fn leave() -> Leave {
        Leave {
            client: "tv".into(),
            resource: ResourceId::parse("https://g/mcp").expect("a resource"),
            scopes: BTreeSet::new(),
            declared: None,
            key: None,
        }
    }

    fn yes(code: &str) -> Issue {
        Issue {
            request: AuthorizationRequest {
                leave: leave(),
                wanted: identity::oauth::Wanted::default(),
                way: Way::Device { code: code.into() },
            },
            login: LoggedIn {
                user: "alice".into(),
                methods: Vec::new(),
                acr: String::new(),
                elsewhere: None,
                at_ms: 0,
                with: String::new(),
            },
            agent: None,
            refreshes: true,
        }
    }

    fn at(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn a_code_is_answered_once_for_its_client_and_for_ten_minutes() {
        let (devices, ambient) = (Devices::default(), Ambient::system());
        let begun = devices.begin(leave(), at(1), &ambient).expect("room");
        let now_ms = ambient.now_ms();
        assert!(matches!(
            devices.ask(&begun.device_code, "other", now_ms),
            Told::Unknown
        ));
        assert!(matches!(devices.ask("guess", "tv", now_ms), Told::Unknown));
        assert!(matches!(
            devices.ask(&begun.device_code, "tv", now_ms),
            Told::Wait
        ));
        assert!(matches!(
            devices.ask(&begun.device_code, "tv", now_ms + 1),
            Told::Slower
        ));
        let typed = format!(" {} ", shown(&begun.user_code).to_lowercase());
        let (code, found) = devices
            .look(&typed, at(2), now_ms)
            .expect("no guess")
            .expect("a device");
        assert_eq!(found, leave());
        devices
            .answer(&code, Some(yes(&code)), now_ms)
            .expect("the first answer");
        assert_eq!(devices.answer(&code, None, now_ms), None, "there is one answer");
        assert_eq!(devices.look(&typed, at(2), now_ms), Ok(None), "it is answered");
        // It was told to be slower.
        assert!(matches!(
            devices.ask(&begun.device_code, "tv", now_ms + PACE_MS),
            Told::Slower
        ));
        let later = now_ms + PACE_MS + 3 * PACE_MS;
        assert!(matches!(
            devices.ask(&begun.device_code, "tv", later),
            Told::Yes(_)
        ));
        assert!(matches!(
            devices.ask(&begun.device_code, "tv", later + LIFE_MS / 2),
            Told::Unknown
        ));
        let late = devices.begin(leave(), at(1), &ambient).expect("room");
        let over = ambient.now_ms() + LIFE_MS;
        assert_eq!(devices.look(&late.user_code, at(3), over), Ok(None));
        assert!(matches!(
            devices.ask(&late.device_code, "tv", over),
            Told::Unknown
        ));
    }

    #[test]
    fn who_guesses_waits_and_who_begins_too_many_gets_none() {
        let (devices, ambient) = (Devices::default(), Ambient::system());
        let begun = devices.begin(leave(), at(1), &ambient).expect("room");
        let now_ms = ambient.now_ms();
        for n in 0..5 {
            assert_eq!(devices.look(&format!("BBBB-BBB{n}"), at(9), now_ms), Ok(None));
        }
        devices.look("BBBB-BBBB", at(9), now_ms).map(|_| ()).unwrap_or(());
        devices
            .look(&begun.user_code, at(9), now_ms)
            .expect_err("it waits");
        assert!(
            devices
                .look(&begun.user_code, at(8), now_ms)
                .expect("others do not")
                .is_some()
        );
        for _ in 1..OF_ADDRESS_MAX {
            devices.begin(leave(), at(1), &ambient).expect("room");
        }
        assert!(devices.begin(leave(), at(1), &ambient).is_none());
        assert!(devices.begin(leave(), at(2), &ambient).is_some());
        // Whoever has one address of a network of IPv6 has all.
        let in_network = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        let begun = (0..20).filter(|n| devices.begin(leave(), in_network(*n), &ambient).is_some());
        assert_eq!(begun.count(), OF_ADDRESS_MAX);
    }
}
