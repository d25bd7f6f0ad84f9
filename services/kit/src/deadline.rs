//! How long a caller waits for an answer: read from his call, held to, and told to the services that are
//! called for him.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tonic::codegen::http::HeaderMap;

use crate::error::CallError;

/// The header in which gRPC tells it.
pub(crate) const HEADER: &str = "grpc-timeout";

tokio::task_local! {
    static DEADLINE: Instant;
}

/// Returns when the caller gives up, if ever.
///
/// # Errors
///
/// [`CallError::FieldInvalid`] when his header is not as gRPC writes it.
pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Instant>, CallError> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    let timeout = value.to_str().ok().and_then(parse).ok_or_else(|| {
        CallError::field(HEADER, "must be 1 to 8 digits and one of H, M, S, m, u, n")
    })?;
    Ok(Instant::now().checked_add(timeout))
}

/// Returns how long a call that is about to be made may take, where that is said already.
pub(crate) fn of<T>(request: &tonic::Request<T>) -> Option<Duration> {
    let value = request.metadata().get(HEADER)?.to_str().ok()?;
    parse(value)
}

fn parse(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// Does a caller's work, of which [`remaining`] then knows how long he waits, until he gives up.
pub(crate) async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    timeout_at(deadline, DEADLINE.scope(deadline, work))
        .await
        .ok()
}

/// Returns `work` for a task of its own, which works for whom the present task works.
pub(crate) fn inherited<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let deadline = DEADLINE.try_with(|deadline| *deadline).ok();
    async move {
        match deadline {
            Some(deadline) => DEADLINE.scope(deadline, work).await,
            None => work.await,
        }
    }
}

/// Returns how long he still waits for whom the present task works.
pub(crate) fn remaining() -> Option<Duration> {
    let deadline = DEADLINE.try_with(|deadline| *deadline).ok()?;
    Some(deadline.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_the_protocol_writes_it() {
        let read = parse;
        assert_eq!(read("1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("3S"), Some(Duration::from_secs(3)));
        assert_eq!(read("40m"), Some(Duration::from_millis(40)));
        assert_eq!(read("50u"), Some(Duration::from_micros(50)));
        assert_eq!(read("5n"), Some(Duration::from_nanos(5)));
        let longest = Duration::from_secs(99_999_999 * 3_600);
        assert_eq!(read("99999999H"), Some(longest));
        for malformed in ["", "S", "5", "123456789S", "-1S", "1.5S", "5x", "5µ"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }

    #[tokio::test]
    async fn it_is_known_to_the_work_alone() {
        assert_eq!(remaining(), None);
        let deadline = Instant::now() + Duration::from_secs(60);
        let left = within(deadline, async { remaining() }).await.flatten();
        assert!(left.unwrap() <= Duration::from_secs(60));
        assert_eq!(
            within(Instant::now(), std::future::pending::<()>()).await,
            None
        );
    }
}
