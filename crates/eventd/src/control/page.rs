//! The page: how everything is, in a browser; the numbers for Prometheus; webhooks.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, extract::DefaultBodyLimit};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::webhook::is_genuine;
use super::{Operator, Request};

/// What the page needs.
#[derive(Clone)]
pub struct Page {
    /// Does what is asked for.
    pub operator: Arc<Operator>,
    /// What one has to know to press a button.
    pub token: Option<String>,
    /// The key of webhooks.
    pub webhook_secret: Option<String>,
    /// Wakes the polls.
    pub wake: Vec<Arc<Notify>>,
}

/// Serves the page forever.
pub async fn serve(listener: TcpListener, page: Page) {
    let router = Router::new()
        .route("/", get(async || html()))
        .route("/status", get(status))
        .route("/dead", get(dead))
        .route("/metrics", get(metrics))
        .route("/do", post(act))
        .route("/webhook", post(webhook))
        .layer(DefaultBodyLimit::max(4 << 20))
        .with_state(page);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the page is not served any more");
    }
}

fn html() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // Nothing from elsewhere; and no other site puts it into a frame, or guesses types.
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
             frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("page.html")).into_response()
}

fn failed(error: impl std::fmt::Display) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "error": error.to_string() }))).into_response()
}

async fn status(State(page): State<Page>) -> Response {
    match page.operator.status().await {
        Ok(status) => Json(status).into_response(),
        Err(error) => failed(error),
    }
}

async fn dead(State(page): State<Page>) -> Response {
    match page.operator.handle(Request::Dead { most: 100 }).await {
        Ok(letters) => Json(letters).into_response(),
        Err(error) => failed(error),
    }
}

async fn metrics(State(page): State<Page>) -> Response {
    // Lags are known by looking.
    if let Err(error) = page.operator.status().await {
        return failed(error);
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], page.operator.shared.metrics.text()).into_response()
}

/// Does what a button asks for. The token is in a header, which no other site's page can set.
async fn act(State(page): State<Page>, headers: HeaderMap, Json(request): Json<Request>) -> Response {
    let given = headers.get("x-token").map(|token| token.as_bytes()).unwrap_or_default();
    let Some(token) = &page.token else {
        let error = "set [eventd] http_token to press buttons here";
        return (StatusCode::FORBIDDEN, Json(json!({ "error": error }))).into_response();
    };
    if !same(token.as_bytes(), given) {
        return (StatusCode::FORBIDDEN, Json(json!({ "error": "the token is wrong" }))).into_response();
    }
    if matches!(request, Request::ExportIds { .. }) {
        return (StatusCode::FORBIDDEN, Json(json!({ "error": "by the command line alone" })))
            .into_response();
    }
    match page.operator.handle(request).await {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => (StatusCode::CONFLICT, Json(json!({ "error": error.to_string() }))).into_response(),
    }
}

/// Whether two texts are the same, in a time that does not depend on where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

async fn webhook(State(page): State<Page>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(secret) = &page.webhook_secret else { return StatusCode::NOT_FOUND };
    let signature = headers.get("x-sg-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_genuine(secret, &body, signature) {
        return StatusCode::FORBIDDEN;
    }
    page.wake.iter().for_each(|wake| wake.notify_one());
    StatusCode::NO_CONTENT
}
