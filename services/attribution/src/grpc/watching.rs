//! Following attributions and the ledger.

use std::{sync::Arc, time::Duration};

use domain::id::BrandId;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use kit::{convert::timestamp, error::CallError};
use rapport_proto::{
    attribution::v1::{WatchAttributionsResponse, watch_attributions_response::Update as Wire},
    event::v1::Heartbeat,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument;

use crate::{
    app::{
        App,
        watch::{self, BATCHES_AHEAD, Start, Told, Update},
    },
    convert,
    error::Error,
};

/// What is told, without end.
pub(crate) type Watch = BoxStream<'static, Result<WatchAttributionsResponse, Status>>;

/// Returns what happens in the Brand from behind `resume_position` on, or from now on where it is
/// empty.
///
/// # Errors
///
/// [`CallError::ResumePositionInvalid`].
pub(crate) fn watch(
    app: &Arc<App>,
    brand_id: BrandId,
    resume_position: &str,
    patience: Duration,
) -> Result<Watch, Error> {
    let start = match resume_position {
        "" => Start::Now,
        position => {
            let position = position.parse();
            Start::After(position.map_err(|_| CallError::ResumePositionInvalid)?)
        }
    };
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let (telling, told) = (Arc::clone(app), Arc::clone(app));
    let task = async move { watch::watch(&telling, &brand_id, start, patience, &sender).await };
    let task = tokio::spawn(task.in_current_span());
    let updates = ReceiverStream::new(receiver)
        .flat_map(stream::iter)
        .map(move |one| Ok(response(&told, &one)));
    let end = stream::once(task).filter_map(async |ended| match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Err(error.into_status())),
        Err(panic) => {
            let error = Error::from(CallError::Internal(Box::new(panic)));
            Some(Err(error.into_status()))
        }
    });
    Ok(updates.chain(end).boxed())
}

fn response(app: &App, told: &Told) -> WatchAttributionsResponse {
    let update = match &told.update {
        Update::Attribution(view) => Wire::Attribution(convert::attribution::attribution(view)),
        Update::Entry(entry) => Wire::LedgerEntry(convert::ledger::ledger_entry(entry)),
        Update::Heartbeat => Wire::Heartbeat(Heartbeat {
            heartbeat_time: Some(timestamp(app.clock.now())),
        }),
    };
    WatchAttributionsResponse {
        position: told.position.to_string(),
        update: Some(update),
    }
}
