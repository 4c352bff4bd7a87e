using System;
using System.Collections.Generic;
using System.IO;
using Newtonsoft.Json;
using Sigpersist.Api;
using Sigpersist.Client;
using Sigpersist.Model;

static class Job
{
    static string Data(string name) => File.ReadAllText(Environment.GetEnvironmentVariable("DATA") + "/" + name + ".cms.b64").Trim();

    static readonly SignaturesApi signatures = new SignaturesApi(new Configuration
    {
        BasePath = Environment.GetEnvironmentVariable("URL"),
        AccessToken = Environment.GetEnvironmentVariable("TOKEN"),
    });

    static SignatureContent Save(int version, string cms, params string[] tags) => signatures.SaveSignature(new SaveSignatureRequest(
        document: "csharp", thread: "t", varVersion: version, cms: cms, tags: new List<string>(tags))).Content.Signature;

    static void Main()
    {
        Console.WriteLine("saved version " + Save(0, Data("first"), "draft").VarVersion);
        Console.WriteLine("saved version " + Save(1, Data("countersigned"), "signed").VarVersion);
        try
        {
            Save(1, "<Late/>");
        }
        catch (ApiException error)
        {
            var failure = JsonConvert.DeserializeObject<Failure>((string)error.ErrorContent);
            Console.WriteLine(error.ErrorCode + " " + JsonConvert.SerializeObject(failure.Code).Trim('"') + ": " + failure.Message);
        }
        var current = signatures.GetSignature("csharp", "t").Content.Signature;
        Console.WriteLine("current: version " + current.VarVersion + ", the same bytes: " + (current.Signature == Data("countersigned") ? "true" : "false"));
        Console.WriteLine("listed: " + signatures.ListSignatures(document: "csharp", limit: 10).Content.Signatures.Count);
    }
}
