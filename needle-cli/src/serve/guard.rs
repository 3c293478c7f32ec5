//! What stands before every request: the token, and room for it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::Server;
use super::answer::error;

/// A header for the token, where `Authorization` is meant for the large model.
pub(super) const TOKEN_HEADER: &str = "x-needle-token";

pub(super) async fn guard(State(server): State<Arc<Server>>, mut request: Request, next: Next) -> Response {
    if let Some(token) = &server.settings.token
        && !admitted(request.headers_mut(), token)
    {
        return error(
            StatusCode::UNAUTHORIZED,
            "needle wants its token, as a bearer token or as x-needle-token",
        );
    }
    let Ok(_room) = server.room.try_acquire() else {
        let busy = error(StatusCode::SERVICE_UNAVAILABLE, "needle is handling as many requests as it may");
        return ([(header::RETRY_AFTER, "1")], busy).into_response();
    };
    next.run(request).await
}

/// Looks for the token and takes it out of the headers, so that it is not forwarded.
fn admitted(headers: &mut HeaderMap, token: &str) -> bool {
    let same = |given: &[u8]| bool::from(given.ct_eq(token.as_bytes()));
    if let Some(given) = headers.remove(TOKEN_HEADER) {
        return same(given.as_bytes());
    }
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let admitted = bearer.is_some_and(same);
    if admitted {
        headers.remove(header::AUTHORIZATION);
    }
    admitted
}
