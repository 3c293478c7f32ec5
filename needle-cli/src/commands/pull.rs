//! `needle pull`: weights from a hub, as a bundle.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::header::{AUTHORIZATION, HeaderMap, LOCATION};
use reqwest::{Client, Response, Url, redirect};
use ring::digest::{SHA256, digest};

use super::convert::Target;
use crate::{Outcome, files};

/// The files of a repository in the published form: weights and tokenizer.
const FILES: [&str; 2] = ["needle.pkl", "tokenizer/needle.model"];

/// Largest file in bytes; the published weights are a twentieth of it.
const LIMIT: u64 = 1 << 30;

/// Where the hub says what a file's SHA-256 is.
const CHECKSUM: &str = "x-linked-etag";

const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 5;

/// Download weights in the published form from a hub and turn them into a bundle.
#[derive(Args)]
#[command(after_help = "Example:
  needle pull --out needle-v1 --quantize int8
  needle run --model needle-v1 --tools examples/tools.json --query \"what's the weather in Oslo\"")]
pub(crate) struct Pull {
    /// Repository with needle.pkl and tokenizer/needle.model
    #[arg(value_name = "OWNER/NAME", default_value = "Cactus-Compute/needle")]
    repository: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main")]
    revision: String,
    /// The hub
    #[arg(long, value_name = "URL", env = "HF_ENDPOINT", default_value = "https://huggingface.co")]
    endpoint: String,
    /// Bearer token for the hub, where the repository is not public
    #[arg(long, env = "HF_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    target: Target,
}

impl Pull {
    pub(crate) fn run(&self) -> Outcome {
        // Writing refuses it as well, but only after the download.
        if self.target.out.exists() && !self.target.force {
            return Err(format!("{} exists; --force replaces a bundle", self.target.out.display()).into());
        }
        let folder = Folder::beside(&self.target.out)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let paths = FILES.map(|name| folder.0.join(name.rsplit('/').next().unwrap_or(name)));
        let client = client()?;
        for (name, path) in FILES.iter().zip(&paths) {
            let bytes = runtime.block_on(self.fetch(&client, name))?;
            files::write(path, |out| Ok(out.write_all(&bytes)?))?;
        }
        self.target.write(&paths[0], Some(&paths[1]))
    }

    /// A whole file, compared with the checksum where the hub gives one.
    async fn fetch(&self, client: &Client, name: &str) -> Outcome<Vec<u8>> {
        let url = self.url(name)?;
        let failed = |problem: &str| format!("{url}: {problem}");
        let (response, checksum) =
            self.found(client, url.clone()).await.map_err(|error| failed(&causes(&*error)))?;
        let bytes = body(response, name).await.map_err(|error| failed(&causes(&*error)))?;
        match checksum {
            Some(wanted) if wanted != hexadecimal(digest(&SHA256, &bytes).as_ref()) => {
                Err(failed("what came is not what the hub has (another SHA-256); try again").into())
            }
            _ => Ok(bytes),
        }
    }

    fn url(&self, name: &str) -> Outcome<Url> {
        let wrong = || format!("{} is no repository; give OWNER/NAME", self.repository);
        let (owner, repository) = self.repository.split_once('/').ok_or_else(wrong)?;
        if [owner, repository].iter().any(|part| matches!(*part, "" | "." | "..") || part.contains('/')) {
            return Err(wrong().into());
        }
        let mut url =
            Url::parse(&self.endpoint).map_err(|error| format!("--endpoint {}: {error}", self.endpoint))?;
        url.path_segments_mut()
            .map_err(|()| format!("--endpoint {}: give a URL such as https://huggingface.co", self.endpoint))?
            .pop_if_empty()
            .extend([owner, repository, "resolve", &self.revision])
            .extend(name.split('/'));
        Ok(url)
    }

    /// Follows redirects, which lead to where the hub keeps large files; only the hub itself gets the token.
    async fn found(&self, client: &Client, mut url: Url) -> Outcome<(Response, Option<String>)> {
        let hub = url.origin();
        let mut checksum = None;
        for _ in 0..=REDIRECTS {
            let mut request = client.get(url.clone());
            if let Some(token) = self.token.as_ref().filter(|_| url.origin() == hub) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.send().await?;
            checksum = checksum.or_else(|| sha256(response.headers()));
            let status = response.status();
            if status.is_success() {
                return Ok((response, checksum));
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match location {
                Some(location) if status.is_redirection() => url = url.join(location)?,
                _ => return Err(format!("{status}; are repository, revision and token right?").into()),
            }
        }
        Err("redirects without end".into())
    }
}

fn client() -> Outcome<Client> {
    // Fails only if another is installed, which then serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder =
        Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT).read_timeout(SILENCE);
    Ok(builder.user_agent(concat!("needle-rs/", env!("CARGO_PKG_VERSION"))).build()?)
}

/// An error and what led to it.
fn causes(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Large files have a SHA-256 for a tag, others something else.
fn sha256(headers: &HeaderMap) -> Option<String> {
    let tag = headers.get(CHECKSUM)?.to_str().ok()?.trim_matches('"');
    (tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| tag.to_ascii_lowercase())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn body(mut response: Response, name: &str) -> Outcome<Vec<u8>> {
    let length = response.content_length();
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")?;
    bar.set_style(style);
    bar.set_message(name.to_owned());
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if (bytes.len() + chunk.len()) as u64 > LIMIT {
            return Err(format!("is larger than {LIMIT} bytes").into());
        }
        bytes.extend_from_slice(&chunk);
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    Ok(bytes)
}

/// A folder of our own beside the bundle, gone when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn beside(out: &Path) -> Outcome<Self> {
        let name = out.file_name().ok_or_else(|| format!("{} is no name of a directory", out.display()))?;
        let path = out.with_file_name(format!(".{}.pull.{}", name.display(), std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
