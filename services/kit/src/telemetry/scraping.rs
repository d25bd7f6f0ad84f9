//! The page that Prometheus reads metrics from: `GET /metrics`, over HTTP/1.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tonic::codegen::http::{
    HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE,
};

/// More than there are scrapers; who comes beyond that waits.
const CONNECTIONS: usize = 16;
/// How long a scraper may keep its place; then it connects again.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);
/// After a failure to accept, such as a lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves what `registry` gathers, for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, registry: Registry) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&free).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = answer(stream, registry.clone());
                tokio::spawn(async move {
                    serving.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a scraper of metrics could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, registry: Registry) {
    let page = tower::service_fn(move |request: Request<_>| {
        let response = respond(request.method(), request.uri().path(), &registry);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(page));
    // A scraper that goes away in the middle is its own affair.
    let _ = tokio::time::timeout(CONNECTION_LIMIT, serving).await;
}

fn respond(method: &Method, path: &str, registry: &Registry) -> Response<String> {
    let (status, content_type, text) = match (method, path) {
        (&Method::GET, "/metrics") => {
            match TextEncoder::new().encode_to_string(&registry.gather()) {
                Ok(text) => (StatusCode::OK, TEXT_FORMAT, text),
                Err(error) => {
                    tracing::error!(%error, "metrics cannot be written down");
                    (
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "text/plain",
                        String::new(),
                    )
                }
            }
        }
        _ => (StatusCode::NOT_FOUND, "text/plain", String::new()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
