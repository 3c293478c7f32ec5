// needle-rs for C#, also under Unity's IL2CPP: blittable types only, no callbacks, bytes instead of marshalled strings.
// Put libneedle_rs.so (needle_rs.dll, libneedle_rs.dylib) under Assets/Plugins; on iOS link the static library.
using System;
using System.Runtime.InteropServices;
using System.Text;

namespace NeedleRs
{
    /// <summary>Why a query is handed off; None if there are calls to make.</summary>
    public enum Reason
    {
        None = 0, LowConfidence = 1, NoMatchingTool = 2, MultiStep = 3, UnsupportedSchema = 4, InputTooLong = 5,
        NotAUserTurn = 6, UngroundedArguments = 7, OutputLimit = 8, InvalidArguments = 9,
        UnsupportedRequest = 10, DeniedTool = 11, Deadline = 12, Other = 1000,
    }

    /// <summary>What the library reports; Status is its number in needle_rs.h.</summary>
    public sealed class NeedleException : Exception
    {
        public readonly int Status;
        internal NeedleException(int status, string message) : base(message) { Status = status; }
    }

    /// <summary>Settings of one decision; begin with Options.Default.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Options
    {
        UIntPtr structSize;
        /// <summary>0 to 1, or -1 for the model's own.</summary>
        public float Threshold;
        public uint MaxCalls, MaxOutputTokens, MaxCandidates;
        /// <summary>Milliseconds; ulong.MaxValue for none.</summary>
        public ulong DeadlineMs;
        /// <summary>0 off, 1 report, 2 enforce.</summary>
        public int Grounding;

        public static Options Default
        {
            get { Native.ndl_options_init(out Options options); return options; }
        }
    }

    /// <summary>A network; immutable, any thread may use it.</summary>
    public sealed class Model : Handle
    {
        Model(IntPtr handle) : base(handle) { }
        protected override void Free(IntPtr handle) { Native.ndl_model_free(handle); }

        /// <summary>The model that is compiled into the library.</summary>
        public static Model Embedded()
        {
            Error error = Error.Empty;
            int status = Native.ndl_model_embedded(out IntPtr model, ref error);
            return new Model(error.Check(status, model));
        }

        /// <summary>A bundle in one file, such as the bytes of an asset; they are copied.</summary>
        public static Model FromBytes(byte[] bundle)
        {
            Error error = Error.Empty;
            int status = Native.ndl_model_from_buffer(
                bundle, (UIntPtr)bundle.Length, out IntPtr model, ref error);
            return new Model(error.Check(status, model));
        }

        /// <summary>A bundle directory, or a bundle in one file.</summary>
        public static Model Open(string path)
        {
            byte[] text = Encoding.UTF8.GetBytes(path);
            Error error = Error.Empty;
            int status = Native.ndl_model_open(
                text, (UIntPtr)text.Length, out IntPtr model, ref error);
            return new Model(error.Check(status, model));
        }
    }

    /// <summary>Compiled tools; immutable, any thread may use it.</summary>
    public sealed class Catalogue : Handle
    {
        /// <param name="tools">A JSON list of definitions of any common format.</param>
        public Catalogue(Model model, string tools) : base(Compile(model, tools)) { }
        protected override void Free(IntPtr handle) { Native.ndl_catalogue_free(handle); }

        static IntPtr Compile(Model model, string tools)
        {
            byte[] text = Encoding.UTF8.GetBytes(tools);
            Error error = Error.Empty;
            int status = Native.ndl_catalogue_compile(
                model.Pointer, text, (UIntPtr)text.Length, out IntPtr catalogue, ref error);
            GC.KeepAlive(model);
            return error.Check(status, catalogue);
        }
    }

    /// <summary>Buffers of one thread's decisions; one thread at a time may use it. Decide on a thread of your own.</summary>
    public sealed class Session : Handle
    {
        public Session(Model model, uint threads = 1) : base(Make(model, threads)) { }
        protected override void Free(IntPtr handle) { Native.ndl_session_free(handle); }

        static IntPtr Make(Model model, uint threads)
        {
            Error error = Error.Empty;
            int status = Native.ndl_session_new(
                model.Pointer, threads, out IntPtr session, ref error);
            GC.KeepAlive(model);
            return error.Check(status, session);
        }

        public Decision Decide(Catalogue catalogue, string query) { return Decide(catalogue, query, Options.Default); }

        public Decision Decide(Catalogue catalogue, string query, Options options)
        {
            byte[] text = Encoding.UTF8.GetBytes(query);
            Error error = Error.Empty;
            int status = Native.ndl_decide(
                Pointer, catalogue.Pointer, text, (UIntPtr)text.Length, ref options, IntPtr.Zero, out IntPtr decision,
                ref error);
            GC.KeepAlive(this);
            GC.KeepAlive(catalogue);
            error.Check(status, decision);
            try { return new Decision(decision); }
            finally { Native.ndl_decision_free(decision); }
        }
    }

    /// <summary>One call: a tool's name and its arguments as JSON.</summary>
    public struct Call
    {
        public readonly string Name, Arguments;
        internal Call(string name, string arguments) { Name = name; Arguments = arguments; }
    }

    /// <summary>Calls to make, or a hand-off.</summary>
    public sealed class Decision
    {
        public readonly Reason Reason;
        public readonly Call[] Calls;
        /// <summary>The probability that the answer is right; null if it is not known.</summary>
        public readonly float? Confidence;
        /// <summary>All of it as JSON.</summary>
        public readonly string Json;

        internal Decision(IntPtr handle)
        {
            Reason = (Reason)Native.ndl_decision_reason(handle);
            Calls = new Call[(int)Native.ndl_decision_call_count(handle)];
            for (int i = 0; i < Calls.Length; i++)
            {
                string name = Text(Native.ndl_decision_call_name(handle, (UIntPtr)i, out UIntPtr size), size);
                Calls[i] = new Call(
                    name, Text(Native.ndl_decision_call_arguments(handle, (UIntPtr)i, out size), size));
            }
            if (Native.ndl_decision_confidence(handle, out float confidence) != 0) Confidence = confidence;
            Json = Text(Native.ndl_decision_json(handle, out UIntPtr length), length);
        }

        static string Text(IntPtr text, UIntPtr size)
        {
            byte[] bytes = new byte[(int)size];
            Marshal.Copy(text, bytes, 0, bytes.Length);
            return Encoding.UTF8.GetString(bytes);
        }
    }

    /// <summary>A handle of the library, freed once.</summary>
    public abstract class Handle : IDisposable
    {
        IntPtr pointer;
        internal Handle(IntPtr handle) { pointer = handle; }
        ~Handle() { Release(); }
        protected abstract void Free(IntPtr handle);

        internal IntPtr Pointer
        {
            get { return pointer != IntPtr.Zero ? pointer : throw new ObjectDisposedException(GetType().Name); }
        }

        public void Dispose() { Release(); GC.SuppressFinalize(this); }

        void Release()
        {
            if (pointer != IntPtr.Zero) Free(pointer);
            pointer = IntPtr.Zero;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    unsafe struct Error
    {
        const int MessageSize = 512;
        UIntPtr structSize;
        int status;
        fixed byte message[MessageSize];

        internal static Error Empty
        {
            get { return new Error { structSize = (UIntPtr)sizeof(Error) }; }
        }

        internal IntPtr Check(int status, IntPtr handle)
        {
            if (status == 0) return handle;
            fixed (byte* text = message)
            {
                int size = 0;
                while (size < MessageSize && text[size] != 0) size++;
                throw new NeedleException(status, Encoding.UTF8.GetString(text, size));
            }
        }
    }

    static class Native
    {
#if UNITY_IOS && !UNITY_EDITOR
        const string Library = "__Internal";
#else
        const string Library = "needle_rs";
#endif
        [DllImport(Library)] internal static extern int ndl_options_init(out Options options);
        [DllImport(Library)] internal static extern int ndl_model_embedded(out IntPtr model, ref Error error);
        [DllImport(Library)] internal static extern int ndl_model_open(
            byte[] path, UIntPtr size, out IntPtr model, ref Error error);
        [DllImport(Library)] internal static extern int ndl_model_from_buffer(
            byte[] data, UIntPtr size, out IntPtr model, ref Error error);
        [DllImport(Library)] internal static extern void ndl_model_free(IntPtr model);
        [DllImport(Library)] internal static extern int ndl_catalogue_compile(
            IntPtr model, byte[] tools, UIntPtr size, out IntPtr catalogue, ref Error error);
        [DllImport(Library)] internal static extern void ndl_catalogue_free(IntPtr catalogue);
        [DllImport(Library)] internal static extern int ndl_session_new(
            IntPtr model, uint threads, out IntPtr session, ref Error error);
        [DllImport(Library)] internal static extern void ndl_session_free(IntPtr session);
        [DllImport(Library)] internal static extern int ndl_decide(
            IntPtr session, IntPtr catalogue, byte[] query, UIntPtr size, ref Options options, IntPtr hooks,
            out IntPtr decision, ref Error error);
        [DllImport(Library)] internal static extern int ndl_decision_reason(IntPtr decision);
        [DllImport(Library)] internal static extern UIntPtr ndl_decision_call_count(IntPtr decision);
        [DllImport(Library)] internal static extern IntPtr ndl_decision_call_name(
            IntPtr decision, UIntPtr index, out UIntPtr size);
        [DllImport(Library)] internal static extern IntPtr ndl_decision_call_arguments(
            IntPtr decision, UIntPtr index, out UIntPtr size);
        [DllImport(Library)] internal static extern byte ndl_decision_confidence(IntPtr decision, out float confidence);
        [DllImport(Library)] internal static extern IntPtr ndl_decision_json(IntPtr decision, out UIntPtr size);
        [DllImport(Library)] internal static extern void ndl_decision_free(IntPtr decision);
    }
}
