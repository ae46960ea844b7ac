package main

import (
	"context"
	"fmt"

	"github.com/ovms-numa/engine/command/local"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// commandToken is the one resource type that this plugin has.
const commandToken = tokens.Type("command:local:Command")

func newProvider() (p.Provider, error) {
	provider, err := infer.NewProviderBuilder().
		WithDescription("Runs a command as part of a resource's life: create, update, delete.").
		WithLicense("Apache-2.0").
		WithResources(infer.Resource(&local.Command{})).
		Build()
	if err != nil {
		return p.Provider{}, fmt.Errorf("describe the command plugin: %w", err)
	}
	return refuseOthers(provider), nil
}

// refuseOthers answers for what the SDK declares and this plugin lacks. Check is the first request
// about any resource, and Invoke the only one about a function.
func refuseOthers(provider p.Provider) p.Provider {
	check := provider.Check
	provider.Check = func(ctx context.Context, req p.CheckRequest) (p.CheckResponse, error) {
		if req.Urn.Type() != commandToken {
			return p.CheckResponse{}, missing(string(req.Urn.Type()))
		}
		return check(ctx, req)
	}
	provider.Invoke = func(_ context.Context, req p.InvokeRequest) (p.InvokeResponse, error) {
		return p.InvokeResponse{}, missing(string(req.Token))
	}
	return provider
}

func missing(token string) error {
	return fmt.Errorf("%s is not in this build of the command plugin, which has %s alone. "+
		"Use the official plugin: pulumi plugin install resource command %s, with ENGINE=path or ENGINE=download",
		token, commandToken, version)
}
