//! Group verification: many callers who want to know that something holds *now* share one look.
//!
//! A look serves whoever asked before it began. So nobody is served by a look that is older than its
//! question, and under load one look serves many, as one fsync serves many commits.

use std::{future::Future, sync::Arc};

use tokio::{sync::Mutex, time::Instant};

/// See the module.
#[derive(Debug)]
pub(crate) struct Group<T> {
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
        }
    }
}

impl<T> Group<T> {
    /// The result of a look that began after this call did.
    ///
    /// `look` gets the result of the one before, to compare with.
    ///
    /// # Errors
    /// Those of the look, for the one who looked; the others look again.
    pub(crate) async fn now<E, F>(&self, look: impl FnOnce(Option<Arc<T>>) -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<Arc<T>, E>>,
    {
        let asked = Instant::now();
        // Waits while somebody looks. That look began before we asked, so it does not serve us; but the
        // first of those who waited looks for all of them.
        let mut last = self.last.lock().await;
        if let Some((began, seen)) = &*last
            && *began >= asked
        {
            return Ok(Arc::clone(seen));
        }
        let began = Instant::now();
        let seen = look(last.as_ref().map(|(_, seen)| Arc::clone(seen))).await?;
        *last = Some((began, Arc::clone(&seen)));
        Ok(seen)
    }
}
