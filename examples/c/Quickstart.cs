// mcs -unsafe examples/c/Quickstart.cs needle-c/csharp/NeedleRs.cs && LD_LIBRARY_PATH=DIR/lib mono Quickstart.exe
using System;
using NeedleRs;

static class Quickstart
{
    const string Tools = @"[{""name"": ""dim_lights"",
        ""description"": ""Dim the lights in a room to a brightness level."",
        ""parameters"": {""type"": ""object"", ""properties"": {
            ""room"": {""type"": ""string"", ""description"": ""Room where the lights are""},
            ""level"": {""type"": ""integer"", ""minimum"": 0, ""maximum"": 100}},
        ""required"": [""room"", ""level""]}}]";

    static void Main()
    {
        using (Model model = Model.Embedded())
        using (Catalogue catalogue = new Catalogue(model, Tools))
        using (Session session = new Session(model))
        {
            Options options = Options.Default;
            options.Threshold = 0;
            Decision decision = session.Decide(catalogue, "dim the lights in the bedroom to 30 percent", options);
            foreach (Call call in decision.Calls) Console.WriteLine("{0} {1}", call.Name, call.Arguments);
            if (decision.Reason != Reason.None) Console.WriteLine("ask the large model: {0}", decision.Reason);
            try { new Catalogue(model, "{").Dispose(); }
            catch (NeedleException error) { Console.WriteLine("{0} {1}", error.Status, error.Message); }
        }
    }
}
