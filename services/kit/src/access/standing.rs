//! What a verified token is worth as time goes by.
//!
//! A call is checked once, when it begins; a stream as long as it lasts.

use std::{fmt, sync::Arc, time::Duration};

use super::{Claims, Principal, Revocations};
use crate::{clock::Clock, error::CallError};

/// How often a stream looks whether its caller may go on, well within the second that SPEC 59 gives. It
/// looks, and is not told, so that its cost does not grow with the number of sessions that end.
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

    /// Returns why the caller may not be served any more, once he may not.
    pub(super) async fn lost(self) -> CallError {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Standing").field(&self.principal).finish()
    }
}
