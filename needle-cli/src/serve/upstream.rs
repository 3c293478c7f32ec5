//! The large model: requests go to it, and answers come back, as they are.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use reqwest::{Client, Url, redirect};

use super::answer::error;
use crate::Outcome;

/// What belongs to one connection, not to the message (RFC 9110, section 7.6.1), and what the client sets itself.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A large model's API.
pub(super) struct Upstream {
    client: Client,
    base: Url,
    /// Sent instead of the client's own.
    authorization: Option<HeaderValue>,
}

impl Upstream {
    pub(super) fn new(url: &str, key: Option<&str>, timeout: Duration) -> Outcome<Self> {
        let mut base = Url::parse(url).map_err(|error| format!("--upstream {url}: {error}"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(format!("--upstream {url}: give a URL such as https://api.openai.com").into());
        }
        // Paths are forwarded whole, `/v1` included.
        let path = base.path().trim_end_matches('/').trim_end_matches("/v1").to_owned();
        base.set_path(&path);
        // Fails only if another is installed, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(timeout)
            .build()?;
        let authorization = key
            .map(|key| {
                let mut value = HeaderValue::try_from(format!("Bearer {key}"))?;
                value.set_sensitive(true);
                Ok::<_, Box<dyn Error>>(value)
            })
            .transpose()?;
        Ok(Self { client, base, authorization })
    }

    /// Forwards a request; whatever the large model answers, errors included, is the answer.
    ///
    /// # Errors
    /// A 502 with the cause if there is no answer at all.
    pub(super) async fn forward(
        &self,
        method: Method,
        uri: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Response> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), uri.path()));
        url.set_query(uri.query());
        strip(&mut headers);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let sent = self.client.request(method, url).headers(headers).body(body).send().await;
        let answer = sent.map_err(|failure| unreachable(&failure))?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        strip(response.headers_mut());
        // A stream that breaks off breaks off for the client too.
        *response.body_mut() = Body::from_stream(answer.bytes_stream());
        Ok(response)
    }
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// The whole chain of causes: the first alone says only that sending failed.
fn unreachable(failure: &reqwest::Error) -> Response {
    let mut text = "the large model cannot be reached".to_owned();
    let mut cause: Option<&dyn Error> = Some(failure);
    while let Some(error) = cause {
        // The URL is the operator's affair.
        let line = error.to_string();
        if !line.contains("://") {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = error.source();
    }
    error(StatusCode::BAD_GATEWAY, &text)
}
