//! Importing orders: a stream of them, and an answer for each.
//!
//! What the caller has sent while a batch was being recorded is the next batch, and one is evaluated
//! while the next is recorded; who sends one at a time is answered at once. No more than a few batches
//! are taken before their answers are read: the rest waits with the caller.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use domain::id::{BrandId, OrderId};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kit::error::CallError;
use rapport_proto::attribution::v1::{
    ImportOrdersRequest, ImportOrdersResponse, import_orders_response::Result as Told,
};
use tonic::Status;

use crate::{
    app::{
        App,
        attributions::AttributionView,
        import_orders::{self, Answer, ImportedOrder},
    },
    convert,
    error::Error,
};

/// The most orders in one batch.
const BATCH_LENGTH: usize = 256;
/// How many batches that are recorded may wait to be evaluated and read.
const BATCHES_AHEAD: usize = 2;

/// What is told of the orders, in the order in which they came.
pub(crate) type Import = BoxStream<'static, Result<ImportOrdersResponse, Status>>;

/// An order as it was read, before it is known whether it can be recorded.
struct Line {
    number: i64,
    /// Empty where there is none that can be one.
    order_id: String,
    order: Result<ImportedOrder, Error>,
}

/// A batch whose orders are recorded or refused.
struct Recorded {
    answers: Vec<(i64, String, Answer)>,
    /// The marks on those of which there is something new.
    marks: Vec<i64>,
    /// Why nothing more can be read, where that is so.
    end: Option<Status>,
}

/// Returns an answer to each of `requests`, all of one Brand.
pub(crate) fn import(
    app: &Arc<App>,
    brand_id: BrandId,
    requests: impl Stream<Item = Result<ImportOrdersRequest, Status>> + Send + 'static,
) -> Import {
    let reading = (Arc::clone(app), brand_id.clone());
    let recording = (Arc::clone(app), brand_id.clone());
    let (app, shutdown) = (Arc::clone(app), app.shutdown.clone());
    let lines = requests
        .take_until(shutdown.clone().cancelled_owned())
        .map(move |request| request.map(|request| line(&reading.0, &reading.1, &request)));
    let answers = lines
        .ready_chunks(BATCH_LENGTH)
        .then(move |lines| record(Arc::clone(&recording.0), recording.1.clone(), lines))
        .map(move |recorded| told(Arc::clone(&app), brand_id.clone(), recorded))
        .buffered(BATCHES_AHEAD)
        .flat_map(stream::iter);
    let end = stream::once(async move {
        let error = Error::from(CallError::ShuttingDown);
        shutdown.is_cancelled().then(|| Err(error.into_status()))
    });
    let end = end.filter_map(std::future::ready);
    Box::pin(answers.chain(end))
}

fn line(app: &App, brand_id: &BrandId, request: &ImportOrdersRequest) -> Line {
    let order_id = request.order.as_ref().map(|order| &order.order_id);
    let order_id = order_id.and_then(|id| id.parse::<OrderId>().ok());
    Line {
        number: request.line_number,
        order_id: order_id.map_or_else(String::new, |id| id.to_string()),
        order: convert::imported_order(&app.email_digest_key, brand_id, request)
            .map_err(Error::from),
    }
}

/// Records those of a batch that can be. A batch begins after the one before is recorded, so of two
/// orders under one id the first counts.
async fn record(
    app: Arc<App>,
    brand_id: BrandId,
    lines: Vec<Result<Line, Status>>,
) -> Result<Recorded, Error> {
    let (mut names, mut orders, mut end) = (Vec::new(), Vec::new(), None);
    for line in lines {
        match line {
            Ok(Line {
                number,
                order_id,
                order,
            }) => {
                let refusal = order.map(|order| orders.push(order)).err();
                names.push((number, order_id, refusal));
            }
            Err(status) => end = Some(status),
        }
    }
    let recorded = import_orders::record(&app, &brand_id, orders).await?;
    let (marks, mut answers) = (recorded.marks, recorded.answers.into_iter());
    let answers = names.into_iter().map(|(number, order_id, refusal)| {
        let answer = match refusal {
            Some(error) => Err(error),
            None => answers
                .next()
                .expect("each order that can be read is answered"),
        };
        (number, order_id, answer)
    });
    Ok(Recorded {
        answers: answers.collect(),
        marks,
        end,
    })
}

/// Evaluates a batch, and returns what is told of it.
async fn told(
    app: Arc<App>,
    brand_id: BrandId,
    recorded: Result<Recorded, Error>,
) -> Vec<Result<ImportOrdersResponse, Status>> {
    let (recorded, views) = match evaluate(&app, &brand_id, recorded).await {
        Ok(evaluated) => evaluated,
        Err(error) => return vec![Err(error.into_status())],
    };
    let answers = recorded.answers.into_iter();
    let responses = answers.map(|(line_number, order_id, answer)| {
        Ok(ImportOrdersResponse {
            line_number,
            order_id,
            result: result(&answer, &views),
        })
    });
    responses.chain(recorded.end.map(Err)).collect()
}

type Views = BTreeMap<OrderId, AttributionView>;

async fn evaluate(
    app: &App,
    brand_id: &BrandId,
    recorded: Result<Recorded, Error>,
) -> Result<(Recorded, Views), Error> {
    let mut recorded = recorded?;
    let answers = recorded.answers.iter();
    let accepted: BTreeSet<OrderId> = answers
        .filter_map(|(_, _, answer)| answer.as_ref().ok().cloned())
        .collect();
    let marks = std::mem::take(&mut recorded.marks);
    let views = import_orders::evaluate(app, brand_id, &accepted, marks).await?;
    Ok((recorded, views))
}

fn result(answer: &Answer, views: &Views) -> Option<Told> {
    match answer {
        // An order that is recorded is there.
        Ok(order_id) => views
            .get(order_id)
            .map(|view| Told::Attribution(convert::attribution::attribution(view))),
        Err(error) => Some(Told::Refusal(convert::order_refusal(error))),
    }
}
