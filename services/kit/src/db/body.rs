//! Runs the body of a transaction under its rules, the same on both engines.
//!
//! PostgreSQL answers `COMMIT` with success and rolls back when a statement of the transaction has
//! failed before; SQLite commits the rest. So a body that swallows the error of a statement and
//! returns `Ok` is refused by both, or what it reports as done would not be. A panic ends the one
//! transaction, not the connection or the writer.

use std::{any::Any, cell::Cell, panic::AssertUnwindSafe};

use futures_util::FutureExt;

use super::{Connection, StoreError, TxBody, error::TxError};

tokio::task_local! {
    static STATEMENT_FAILED: Cell<bool>;
}

/// Remembers that a statement of the transaction that runs here, if one does, has failed.
pub(super) fn note_failed_statement() {
    // Outside of a transaction there is nothing to remember.
    let _ = STATEMENT_FAILED.try_with(|failed| failed.set(true));
}

/// Runs `body`; an `Err` means that its transaction must be rolled back.
pub(super) async fn run<I, T, E: TxError>(
    connection: &mut Connection,
    input: &I,
    body: TxBody<I, T, E>,
) -> Result<T, E> {
    let attempt = STATEMENT_FAILED.scope(Cell::new(false), async {
        let result = body(connection, input).await;
        if result.is_ok() && STATEMENT_FAILED.with(Cell::get) {
            return Err(
                StoreError::Defect("it went on after a statement had failed".into()).into(),
            );
        }
        result
    });
    AssertUnwindSafe(attempt)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(StoreError::Defect(panic_text(panic.as_ref()).into()).into()))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("it panicked: {}", text.unwrap_or_default())
}
