//! A root key in a token that speaks PKCS#11 (OASIS, 2.40 and later): an AES key that encrypts the ring's key with
//! AES-GCM inside the token and never leaves it.
//!
//! The library is loaded, used and finalized for each request, of which there are few: no session stays logged in.

use std::sync::{Mutex, PoisonError};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use records::{
    ambient::Random,
    keys::{KeeperError, RootKeeper, Secret},
};

use crate::config::{Problem, root::MeantPkcs11};

/// What the ring's key is bound to.
const PLACE: &[u8] = b"sallyport: key of a ring, version 1";
const NONCE_BYTES: usize = 12;
const TAG_BITS: u64 = 128;
const KEY_BYTES: u64 = 32;

/// A library has one state for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// A key in a token.
#[derive(Debug)]
pub(super) struct Token(pub(super) MeantPkcs11);

/// What is done when there is no key of the name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Missing {
    Make,
    Refuse,
}

impl RootKeeper for Token {
    fn name(&self) -> String {
        format!("pkcs11:{}/{}", self.0.token, self.0.key)
    }

    fn wrap(&self, key: &Secret) -> Result<Vec<u8>, KeeperError> {
        let mut nonce: [u8; NONCE_BYTES] = Random::system().array()?;
        self.with_key(Missing::Make, |session, handle| {
            let sealed = session.encrypt(&gcm(&mut nonce)?, handle, key.expose())?;
            // A token in its certified mode may choose another nonce; what it chose is where ours was.
            Ok([nonce.as_slice(), &sealed].concat())
        })
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret, KeeperError> {
        let (nonce, sealed) = wrapped
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(|| self.refused("the wrapped key is cut", "restore the key ring from a copy"))?;
        let mut nonce = *nonce;
        self.with_key(Missing::Refuse, |session, handle| {
            session
                .decrypt(&gcm(&mut nonce)?, handle, sealed)
                .map(Secret::new)
        })
    }
}

fn gcm(nonce: &mut [u8]) -> Result<Mechanism<'_>, Error> {
    GcmParams::new(nonce, PLACE, TAG_BITS.into()).map(Mechanism::AesGcm)
}

impl Token {
    fn with_key<T>(
        &self,
        missing: Missing,
        work: impl FnOnce(&Session, ObjectHandle) -> Result<T, Error>,
    ) -> Result<T, KeeperError> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let pin = self.0.pin.read().map_err(|problem| self.from(&problem))?;
        let library = Pkcs11::new(&self.0.module).map_err(|error| self.unusable(&error))?;
        let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        library
            .initialize(locking)
            .map_err(|error| self.unusable(&error))?;
        let done = self
            .slot(&library)
            .and_then(|slot| self.at_work(&library, slot, &pin, missing, work));
        let ended = library.finalize();
        drop(alone);
        let done = done?;
        ended.map_err(|error| self.unusable(&error))?;
        Ok(done)
    }

    /// The one token of the label.
    fn slot(&self, library: &Pkcs11) -> Result<Slot, KeeperError> {
        let slots = library
            .get_slots_with_initialized_token()
            .map_err(|error| self.unusable(&error))?;
        let labelled = slots.into_iter().filter(|slot| {
            let token = library.get_token_info(*slot);
            token.is_ok_and(|token| token.label() == self.0.token)
        });
        match labelled.collect::<Vec<_>>().as_slice() {
            [one] => Ok(*one),
            [] => Err(self.refused(
                "there is no token of this label",
                "plug it in, or correct `root_key.pkcs11.token`; `pkcs11-tool --module ... --list-slots` lists them",
            )),
            _ => Err(self.refused("there are several tokens of this label", "give one another label")),
        }
    }

    fn at_work<T>(
        &self,
        library: &Pkcs11,
        slot: Slot,
        pin: &str,
        missing: Missing,
        work: impl FnOnce(&Session, ObjectHandle) -> Result<T, Error>,
    ) -> Result<T, KeeperError> {
        let unusable = |error: Error| self.unusable(&error);
        let token = library.get_token_info(slot).map_err(unusable)?;
        // A service that is started again and again would lock the token with a wrong PIN.
        if token.user_pin_final_try() {
            return Err(self.refused(
                "one more wrong PIN locks the token, so it is not tried",
                "correct the PIN and log in once with another program, which resets the count",
            ));
        }
        let session = match missing {
            Missing::Make => library.open_rw_session(slot),
            Missing::Refuse => library.open_ro_session(slot),
        };
        let session = session.map_err(unusable)?;
        session
            .login(UserType::User, Some(&AuthPin::from(pin.to_owned())))
            .map_err(unusable)?;
        let handle = self.key(&session, missing)?;
        let done = work(&session, handle).map_err(unusable);
        let _ = session.logout();
        done
    }

    fn key(&self, session: &Session, missing: Missing) -> Result<ObjectHandle, KeeperError> {
        let unusable = |error: Error| self.unusable(&error);
        let label = || Attribute::Label(self.0.key.as_bytes().to_vec());
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            label(),
        ];
        let found = session.find_objects(&wanted).map_err(unusable)?;
        match found.as_slice() {
            [one] => Ok(*one),
            [] if missing == Missing::Make => {
                let template = [
                    label(),
                    Attribute::ValueLen(KEY_BYTES.into()),
                    Attribute::Token(true),
                    Attribute::Private(true),
                    Attribute::Sensitive(true),
                    Attribute::Extractable(false),
                    Attribute::Encrypt(true),
                    Attribute::Decrypt(true),
                ];
                session
                    .generate_key(&Mechanism::AesKeyGen, &template)
                    .map_err(unusable)
            }
            [] => Err(self.refused(
                "there is no such AES key in the token",
                "restore it from the token's own back-up, or correct `root_key.pkcs11.key`",
            )),
            _ => Err(self.refused("there are several keys of this label", "give one another label")),
        }
    }

    fn from(&self, problem: &Problem) -> KeeperError {
        self.refused(
            format!("{}: {}", problem.at, problem.what),
            problem.remedy.clone(),
        )
    }

    fn unusable(&self, error: &Error) -> KeeperError {
        let module = self.0.module.display();
        if let Error::LibraryLoading(_) | Error::MissingSymbol(_) = error {
            return self.refused(
                format!("`{module}` is no PKCS#11 library that can be loaded: {error}"),
                "install it, or correct `root_key.pkcs11.module`",
            );
        }
        let Error::Pkcs11(code, _) = error else {
            return self.refused(error.to_string(), "look at the token with its vendor's program");
        };
        let (what, remedy) = explained(*code);
        self.refused(what, remedy)
    }

    fn refused(&self, what: impl Into<String>, remedy: impl Into<String>) -> KeeperError {
        KeeperError::Refused {
            keeper: self.name(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// What a code means, and what to do. There are a hundred, and all are refusals.
fn explained(code: RvError) -> (String, &'static str) {
    use RvError as Code;
    if matches!(code, Code::PinIncorrect | Code::PinInvalid | Code::PinLenRange) {
        let remedy = "correct what `root_key.pkcs11.pin` names; several wrong ones lock the token";
        return ("the PIN is wrong".to_owned(), remedy);
    }
    if matches!(code, Code::PinLocked) {
        let remedy = "unlock it as its security officer, such as with `pkcs11-tool --init-pin`";
        return ("the PIN is locked".to_owned(), remedy);
    }
    if matches!(code, Code::UserPinNotInitialized) {
        let remedy = "set one as its security officer";
        return ("the token has no PIN yet".to_owned(), remedy);
    }
    if matches!(
        code,
        Code::TokenNotPresent | Code::DeviceRemoved | Code::DeviceError
    ) {
        return ("the token is away".to_owned(), "plug it in, and start again");
    }
    if matches!(
        code,
        Code::EncryptedDataInvalid | Code::EncryptedDataLenRange | Code::GeneralError
    ) {
        let what = format!("it does not open what it is given ({code:?})");
        let remedy =
            "this is not the key that sealed the ring, or the ring was altered; restore either from a copy";
        return (what, remedy);
    }
    let remedy = "look at the token with its vendor's program";
    (format!("the token refuses: {code:?}"), remedy)
}
