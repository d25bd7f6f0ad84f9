//! The second try of a call that does no harm when it is made twice: one that only reads, or that carries an
//! id of its own.
//!
//! A call may meet a replica that just goes. Made again, once and at once, it reaches another. Where most
//! calls fail a second try helps nobody, so it costs from a budget that only answers fill (gRFC A6).

use std::{
    error::Error,
    sync::atomic::{AtomicU32, Ordering},
};

use tonic::{Code, Status};

use crate::telemetry::Count;

/// A failure costs one token, which ten answers bring back.
const TOKEN: u32 = 10;
/// A replica that goes may lose hundreds of calls at once.
const FULL: u32 = 1_000 * TOKEN;

static RETRIES: Count<1> = Count::new(
    "rapport.call.retries",
    "{call}",
    "Calls to another service that were made again because nobody took them",
    ["peer"],
);

/// Of this process's calls to identity.
pub(crate) static IDENTITY: RetryBudget = RetryBudget::new("identity");

/// What the calls to one service share.
pub struct RetryBudget {
    /// Whom they go to.
    peer: &'static str,
    tokens: AtomicU32,
}

impl RetryBudget {
    /// Returns a full one, of the calls to `peer`.
    pub const fn new(peer: &'static str) -> Self {
        Self {
            peer,
            tokens: AtomicU32::new(FULL),
        }
    }

    /// Makes a call that may be made twice, and makes it once more if nobody could take it and the budget is
    /// more than half full.
    ///
    /// # Errors
    ///
    /// How the last try ended.
    pub async fn call<T, Answer>(&self, call: impl Fn() -> Answer) -> Result<T, Status>
    where
        Answer: Future<Output = Result<T, Status>>,
    {
        let answer = call().await;
        if !self.count(&answer) {
            return answer;
        }
        RETRIES.add(1, [self.peer]);
        let answer = call().await;
        self.count(&answer);
        answer
    }

    /// Tells whether the call may be made again.
    fn count<T>(&self, answer: &Result<T, Status>) -> bool {
        let is_lost = answer.as_ref().is_err_and(is_lost);
        let change = |tokens: u32| {
            Some(match is_lost {
                true => tokens.saturating_sub(TOKEN),
                false => FULL.min(tokens + 1),
            })
        };
        let before = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
        is_lost && before.is_ok_and(|tokens| tokens.saturating_sub(TOKEN) > FULL / 2)
    }
}

/// Tells whether nobody took the call, or one who goes gave it back.
fn is_lost(status: &Status) -> bool {
    // A connection that ends under a call is told as if the caller had given up, or as if the service had
    // failed.
    let is_of_connection = || {
        let source = status.source();
        source.is_some_and(|source| source.is::<tonic::transport::Error>())
    };
    match status.code() {
        Code::Unavailable => true,
        Code::Cancelled | Code::Internal => is_of_connection(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::telemetry::tests::{registry, sample};

    /// Makes a call that ends as `codes` say, one after the other, and returns how it ended and how many were
    /// not asked for.
    async fn call(budget: &RetryBudget, codes: &[Code]) -> (Code, usize) {
        let left = RefCell::new(codes.iter());
        let answer = budget.call(|| {
            let code = *left.borrow_mut().next().expect("it is tried twice at most");
            async move {
                match code {
                    Code::Ok => Ok(()),
                    code => Err(Status::new(code, "")),
                }
            }
        });
        let code = answer.await.err().map_or(Code::Ok, |status| status.code());
        (code, left.into_inner().count())
    }

    #[tokio::test]
    async fn what_nobody_took_is_tried_once_more() {
        let budget = RetryBudget::new("identity");
        for (codes, expected) in [
            (&[Code::Ok, Code::Ok], (Code::Ok, 1)),
            (&[Code::Unavailable, Code::Ok], (Code::Ok, 0)),
            (
                &[Code::Unavailable, Code::Unavailable],
                (Code::Unavailable, 0),
            ),
            (&[Code::NotFound, Code::Ok], (Code::NotFound, 1)),
            (
                &[Code::ResourceExhausted, Code::Ok],
                (Code::ResourceExhausted, 1),
            ),
            (
                &[Code::DeadlineExceeded, Code::Ok],
                (Code::DeadlineExceeded, 1),
            ),
        ] {
            assert_eq!(call(&budget, codes).await, expected, "{codes:?}");
        }
    }

    #[tokio::test]
    async fn where_most_fail_nothing_is_tried_again_until_there_are_answers() {
        const LOST: [Code; 2] = [Code::Unavailable, Code::Unavailable];
        let registry = registry();
        let budget = RetryBudget::new("identity");
        let mut tries = 0;
        for _ in 0..1_000 {
            tries += 2 - call(&budget, &LOST).await.1;
        }
        assert_eq!(tries, 1_000 + 250, "half of the budget, two for each call");
        let peer = [("peer", "identity")];
        let counted = sample(&registry, "rapport_call_retries_total", &peer).unwrap();
        assert_eq!(counted.get_counter().get_value(), 250.0);
        for _ in 0..5_100 {
            call(&budget, &[Code::Ok]).await;
        }
        assert_eq!(call(&budget, &LOST).await.1, 0);
    }
}
