//! What a verified token is worth as time goes by.
//!
//! A call is checked once, when it begins; a stream as long as it lasts.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::coop,
};

use super::{Claims, Principal, Revocations};
use crate::{clock::Clock, error::CallError};

/// How often it is looked whether the callers of streams may go on, well within the second that SPEC 59
/// gives. Nobody is told, so the cost does not grow with the number of sessions that end.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// A caller whose token was verified. He loses his standing when the token expires or is revoked, when
/// his Brand is suspended, and while identity is not heard of.
#[derive(Clone)]
pub struct Standing {
    principal: Principal,
    claims: Arc<Claims>,
    revocations: Revocations,
    clock: Clock,
}

impl Standing {
    /// Returns the standing of a verified token, which nobody has checked yet.
    ///
    /// # Errors
    ///
    /// [`CallError::Unauthenticated`] when the claims speak for no caller.
    pub(super) fn new(
        claims: Arc<Claims>,
        revocations: Revocations,
        clock: Clock,
    ) -> Result<Self, CallError> {
        Ok(Self {
            principal: claims.principal().ok_or(CallError::Unauthenticated)?,
            claims,
            revocations,
            clock,
        })
    }

    /// Returns who calls.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Looks whether the caller may be served now.
    ///
    /// # Errors
    ///
    /// What [`TokenVerifier::verify`](super::TokenVerifier::verify) says.
    pub(super) fn check(&self) -> Result<(), CallError> {
        if self.clock.now().timestamp() >= self.claims.exp {
            return Err(CallError::Unauthenticated);
        }
        if !self.revocations.is_current() {
            return Err(CallError::IdentityUnavailable);
        }
        if self.revocations.is_revoked(&self.claims) {
            return Err(CallError::Unauthenticated);
        }
        match self.principal.brand_id() {
            Some(brand_id) if self.revocations.is_suspended(brand_id) => {
                Err(CallError::BrandSuspended)
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Standing").field(&self.principal).finish()
    }
}

/// Looks after the callers of all streams: one task, so that a stream that waits costs no timer.
pub(super) struct Lookout(mpsc::UnboundedSender<Watched>);

/// A stream's caller, and where it is told that he may not be served any more.
struct Watched {
    standing: Standing,
    lost: oneshot::Sender<CallError>,
}

impl Lookout {
    /// Starts the task, which ends with the value and the last stream.
    pub(super) fn start() -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(look(arrivals));
        Self(sender)
    }

    /// Returns where it is told why the caller may not be served any more, once he may not.
    pub(super) fn watch(&self, standing: Standing) -> oneshot::Receiver<CallError> {
        let (lost, told) = oneshot::channel();
        // Were nobody there to look, the receiver would say so.
        let _ = self.0.send(Watched { standing, lost });
        told
    }
}

async fn look(mut arrivals: mpsc::UnboundedReceiver<Watched>) {
    let mut watched = Vec::new();
    while !watched.is_empty() || arrivals.recv_many(&mut watched, 1).await > 0 {
        tokio::time::sleep(LOOK_INTERVAL).await;
        while let Ok(arrived) = arrivals.try_recv() {
            watched.push(arrived);
        }
        let mut kept = Vec::with_capacity(watched.len());
        for one in watched {
            kept.extend(one.look());
            coop::consume_budget().await;
        }
        watched = kept;
    }
}

impl Watched {
    /// Returns the value if the stream goes on.
    fn look(self) -> Option<Self> {
        if self.lost.is_closed() {
            return None;
        }
        match self.standing.check() {
            Ok(()) => Some(self),
            Err(error) => {
                // It may have ended by itself.
                let _ = self.lost.send(error);
                None
            }
        }
    }
}
