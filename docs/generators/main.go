package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"sigpersist"
)

func data(name string) string {
	bytes, err := os.ReadFile(os.Getenv("DATA") + "/" + name + ".cms.b64")
	check(err)
	return strings.TrimSpace(string(bytes))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	configuration := sigpersist.NewConfiguration()
	configuration.Servers = sigpersist.ServerConfigurations{{URL: os.Getenv("URL")}}
	ctx := context.WithValue(context.Background(), sigpersist.ContextAccessToken, os.Getenv("TOKEN"))
	signatures := sigpersist.NewAPIClient(configuration).SignaturesAPI

	save := func(version int32, cms string, tags ...string) (*sigpersist.EnvelopeOneContent, error) {
		body := sigpersist.NewSaveSignatureRequest("go", "t", cms)
		body.SetVersion(version)
		body.SetTags(tags)
		saved, _, err := signatures.SaveSignature(ctx).SaveSignatureRequest(*body).Execute()
		return saved, err
	}
	saved, err := save(0, data("first"), "draft")
	check(err)
	fmt.Println("saved version", saved.Content.Signature.Version)
	saved, err = save(1, data("countersigned"), "signed")
	check(err)
	fmt.Println("saved version", saved.Content.Signature.Version)
	_, err = save(1, "<Late/>")
	var failed *sigpersist.GenericOpenAPIError
	if errors.As(err, &failed) {
		failure := failed.Model().(sigpersist.Failure)
		fmt.Printf("%.3s %s: %s\n", failed.Error(), failure.GetCode(), failure.GetMessage())
	}
	read, _, err := signatures.GetSignature(ctx).Document("go").Thread("t").Execute()
	check(err)
	current := read.Content.Signature
	fmt.Printf("current: version %d, the same bytes: %t\n", current.Version, current.GetSignature() == data("countersigned"))
	page, _, err := signatures.ListSignatures(ctx).Document("go").Limit(10).Execute()
	check(err)
	fmt.Println("listed:", len(page.Content.Signatures))
}
