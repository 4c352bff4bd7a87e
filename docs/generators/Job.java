import java.nio.file.*;
import sigpersist.*;
import sigpersist.api.SignaturesApi;
import sigpersist.model.*;

class Job {
    public static void main(String[] args) throws Exception {
        ApiClient client = new ApiClient();
        client.updateBaseUri(System.getenv("URL"));
        client.setRequestInterceptor(request -> request.header("Authorization", "Bearer " + System.getenv("TOKEN")));
        SignaturesApi signatures = new SignaturesApi(client);

        SaveSignatureRequest first = new SaveSignatureRequest().document("java").thread("t").cms(data("first")).addTagsItem("draft");
        System.out.println("saved version " + signatures.saveSignature(first, null, null, null).getContent().getSignature().getVersion());
        SaveSignatureRequest next = new SaveSignatureRequest().document("java").thread("t").version(1).cms(data("countersigned")).addTagsItem("signed");
        System.out.println("saved version " + signatures.saveSignature(next, null, null, null).getContent().getSignature().getVersion());
        try {
            signatures.saveSignature(new SaveSignatureRequest().document("java").thread("t").version(1).cms("<Late/>"), null, null, null);
        } catch (ApiException error) {
            Failure failure = client.getObjectMapper().readValue(error.getResponseBody(), Failure.class);
            System.out.println(error.getCode() + " " + failure.getCode() + ": " + failure.getMessage());
        }
        SignatureContent current = signatures.getSignature("java", "t", null, null, null, null, null).getContent().getSignature();
        System.out.println("current: version " + current.getVersion() + ", the same bytes: " + current.getSignature().equals(data("countersigned")));
        EnvelopeListContentContent page = signatures.listSignatures("java", null, null, null, null, null, 10, null, null, null, null).getContent();
        System.out.println("listed: " + page.getSignatures().size());
    }

    static String data(String name) throws Exception {
        return Files.readString(Path.of(System.getenv("DATA"), name + ".cms.b64")).trim();
    }
}
