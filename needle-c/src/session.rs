//! Sessions, and the decisions made with them.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use needle_core::{Event, Hooks, Session};

use crate::catalogue::ndl_catalogue;
use crate::decision::ndl_decision;
use crate::error::{Failure, ndl_error, ndl_status};
use crate::guard::{alive, clear, free, guarded, hand_over};
use crate::model::ndl_model;
use crate::options::{ndl_options, to_core};
use crate::text::text;

/// Buffers of one thread's decisions. It carries nothing from one decision to the next.
pub struct ndl_session(Session);

/// A flag that ends a decision from another thread.
pub struct ndl_cancel(Arc<AtomicBool>);

/// What an event is about.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum ndl_event_kind {
    /// More of the answer's JSON text, in whole characters.
    NDL_EVENT_TEXT = 0,
    /// The tool of a call is known: its name is the text.
    NDL_EVENT_TOOL_NAME = 1,
    /// All arguments of a call are written.
    NDL_EVENT_CALL_FINISHED = 2,
    /// The model has finished; nothing follows.
    NDL_EVENT_DONE = 3,
}

use ndl_event_kind as Kind;

/// What may be attached to one decision. Set struct_size to sizeof(ndl_hooks) and what is not wanted to NULL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ndl_hooks {
    /// sizeof(ndl_hooks)
    pub struct_size: usize,
    /// Ends the decision once it is set.
    pub cancel: *const ndl_cancel,
    /// Called for every event, on the thread that decides; the text is only valid during the call. All events are
    /// provisional: only the decision says whether calls may be made. It must not throw or longjmp.
    pub on_event: Option<
        unsafe extern "C" fn(
            user: *mut c_void,
            kind: ndl_event_kind,
            call: usize,
            text: *const c_char,
            text_size: usize,
        ),
    >,
    /// Handed to on_event.
    pub user: *mut c_void,
}

/// Makes a session that shares its work among `threads` threads, 1 to 256, the caller's included; with 1 it starts none.
/// The decisions are the same, bit for bit.
///
/// Errors: NDL_ERROR_OPTION for an impossible number of threads; NDL_ERROR_INVALID_ARGUMENT.
/// Thread safety: any thread. A session is used by one thread at a time. Free it with ndl_session_free.
///
/// # Safety
/// `model` is a live handle, `session` may be written, `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_session_new(
    model: *const ndl_model,
    threads: u32,
    session: *mut *mut ndl_session,
    error: *mut ndl_error,
) -> ndl_status {
    let work = || {
        // SAFETY: the header demands a writable pointer and a live handle.
        let model = unsafe {
            clear(session)?;
            alive(model, "the model")?
        };
        let made = Session::with_threads(&model.0, threads as usize)?;
        // SAFETY: `clear` has written it.
        unsafe { hand_over(session, ndl_session(made)) };
        Ok(())
    };
    // SAFETY: the header demands that error may be written.
    unsafe { guarded(error, work) }
}

/// Frees a session and ends its threads. NULL is fine.
///
/// Thread safety: once, when no other thread uses this handle.
///
/// # Safety
/// `session` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_session_free(session: *mut ndl_session) {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { free(session) }
}

/// Decides one query. Doubt is no error but a decision to hand off.
///
/// `options` may be NULL for the defaults, `hooks` for none. Free the decision with ndl_decision_free.
///
/// Errors: NDL_ERROR_OPTION, also for a catalogue of another model; NDL_ERROR_DEADLINE_EXCEEDED, NDL_ERROR_CANCELLED,
/// NDL_ERROR_UTF8, NDL_ERROR_INVALID_ARGUMENT.
/// Thread safety: one thread at a time for one session; catalogues are shared freely.
///
/// # Safety
/// `session` and `catalogue` are live handles, `query` points to `query_size` bytes, `options` and `hooks` are NULL or
/// structs as documented, `decision` may be written, `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_decide(
    session: *mut ndl_session,
    catalogue: *const ndl_catalogue,
    query: *const c_char,
    query_size: usize,
    options: *const ndl_options,
    hooks: *const ndl_hooks,
    decision: *mut *mut ndl_decision,
    error: *mut ndl_error,
) -> ndl_status {
    let work = || {
        // SAFETY: the header demands a writable pointer, live handles, readable text and documented structs.
        let (session, catalogue, query, options, hooks) = unsafe {
            clear(decision)?;
            let session = session.as_mut().ok_or_else(|| Failure::null("the session"))?;
            let catalogue = alive(catalogue, "the catalogue")?;
            (session, catalogue, text(query, query_size, "the query")?, to_core(options)?, read_hooks(hooks)?)
        };
        let mut listener = |event: Event<'_>| {
            if let Some(hooks) = &hooks {
                // SAFETY: the header describes on_event.
                unsafe { hooks.emit(event) }
            }
        };
        let cancel = match &hooks {
            // SAFETY: the header demands a live handle or NULL.
            Some(hooks) => unsafe { hooks.cancel.as_ref() }.map(|cancel| Arc::clone(&cancel.0)),
            None => None,
        };
        let attached = Hooks { cancel, on_event: Some(&mut listener) };
        let outcome = session.0.decide_with(&catalogue.compiled, query, &options, attached)?;
        let made = ndl_decision::new(&outcome.decision)?;
        // SAFETY: `clear` has written it.
        unsafe { hand_over(decision, made) };
        Ok(())
    };
    // SAFETY: the header demands that error may be written.
    unsafe { guarded(error, work) }
}

/// # Safety
/// `hooks` is NULL or points to a struct whose `struct_size` says how large it is.
unsafe fn read_hooks(hooks: *const ndl_hooks) -> Result<Option<ndl_hooks>, Failure> {
    // SAFETY: as above.
    let Some(hooks) = (unsafe { hooks.as_ref() }) else { return Ok(None) };
    if hooks.struct_size < size_of::<ndl_hooks>() {
        let message = "hooks.struct_size is too small; set it to sizeof(ndl_hooks)";
        return Err(Failure::new(ndl_status::NDL_ERROR_INVALID_ARGUMENT, message));
    }
    Ok(Some(*hooks))
}

impl ndl_hooks {
    /// # Safety
    /// `on_event` does as documented.
    unsafe fn emit(&self, event: Event<'_>) {
        let Some(on_event) = self.on_event else { return };
        let (kind, call, text) = match event {
            Event::Text(text) => (Kind::NDL_EVENT_TEXT, 0, text),
            Event::ToolName { call, name } => (Kind::NDL_EVENT_TOOL_NAME, call, name),
            Event::CallFinished { call } => (Kind::NDL_EVENT_CALL_FINISHED, call, ""),
            Event::Done => (Kind::NDL_EVENT_DONE, 0, ""),
        };
        // SAFETY: as above.
        unsafe { on_event(self.user, kind, call, text.as_ptr().cast(), text.len()) }
    }
}

/// A flag that is not set.
///
/// Thread safety: any thread. Free it with ndl_cancel_free.
#[unsafe(no_mangle)]
pub extern "C" fn ndl_cancel_new() -> *mut ndl_cancel {
    Box::into_raw(Box::new(ndl_cancel(Arc::default())))
}

/// Sets or clears the flag; NULL is fine.
///
/// Thread safety: any thread, also while a decision looks at it.
///
/// # Safety
/// `cancel` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_cancel_set(cancel: *const ndl_cancel, cancelled: bool) {
    // SAFETY: the header demands a live handle or NULL.
    if let Some(cancel) = unsafe { cancel.as_ref() } {
        cancel.0.store(cancelled, Ordering::Relaxed);
    }
}

/// Frees a flag, also while a decision looks at it. NULL is fine.
///
/// Thread safety: once, when no other thread sets it.
///
/// # Safety
/// `cancel` is NULL or a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ndl_cancel_free(cancel: *mut ndl_cancel) {
    // SAFETY: the header demands a live handle or NULL.
    unsafe { free(cancel) }
}
