import native from './native.js'

/** Works until it is done or the signal aborts it. */
export async function aborting<T>(signal: AbortSignal | undefined, cancel: native.Cancel, work: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted()
  const abort = () => cancel.cancel()
  signal?.addEventListener('abort', abort)
  try {
    return await work()
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', abort)
  }
}
