//! Server-sent events.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use serde_json::Value;

/// One event.
pub(super) struct Event {
    pub(super) name: Option<&'static str>,
    pub(super) data: String,
}

impl Event {
    /// Without a name.
    pub(super) fn data(value: &Value) -> Self {
        Self { name: None, data: value.to_string() }
    }

    /// JSON text holds no line breaks, so that its data is one line.
    fn text(&self) -> String {
        let name = self.name.map_or_else(String::new, |name| format!("event: {name}\n"));
        format!("{name}data: {}\n\n", self.data)
    }
}

/// A response of events that are all known.
pub(super) fn events(events: &[Event]) -> Response {
    let text: Vec<String> = events.iter().map(Event::text).collect();
    let mut response = Response::new(Body::from(text.concat()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
