//! The border: work runs on Node's worker threads or at once, and what goes wrong comes back as an `Error` whose `code`
//! is the engine's.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName, Unknown};
use napi::{Env, JsError, Task};
use needle_core::{Error, Result};

/// An error whose JavaScript `code` is the engine's, such as `tool`.
pub(crate) type Thrown = napi::Error<&'static str>;

/// Runs work on the thread that asks; an error, or a panic, is thrown.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T, Thrown> {
    // What a panic leaves half done is dropped with the work: a session goes back to its pool only on success.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Internal(message(panic.as_ref()))))
        .map_err(|error| Thrown::new(error.code().name(), error.to_string()))
}

/// Data as it crosses; what the engine decides can always be written.
pub(crate) fn json(written: serde_json::Result<String>) -> Result<String> {
    written.map_err(|error| Error::Internal(error.to_string()))
}

/// Work on one of Node's worker threads.
pub struct Work<T>(Option<Box<dyn FnOnce() -> Result<T> + Send>>);

/// A promise of what the work returns.
pub(crate) fn promise<T>(work: impl FnOnce() -> Result<T> + Send + 'static) -> AsyncTask<Work<T>>
where
    T: Send + ToNapiValue + TypeName + 'static,
{
    AsyncTask::new(Work(Some(Box::new(work))))
}

impl<T: Send + ToNapiValue + TypeName + 'static> Task for Work<T> {
    type Output = Result<T, Thrown>;
    type JsValue = T;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(match self.0.take() {
            Some(work) => guarded(work),
            None => guarded(|| Err(Error::Internal("a task was run twice".into()))),
        })
    }

    fn resolve(&mut self, env: Env, output: Self::Output) -> napi::Result<T> {
        output.map_err(|thrown| {
            // A promise is rejected with a value, which keeps the code.
            let value: Unknown<'_> = JsError::from(thrown).into_unknown(env);
            napi::Error::from(value)
        })
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic").to_owned()
}
