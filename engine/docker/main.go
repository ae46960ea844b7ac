// Command pulumi-resource-docker is a Pulumi plugin for Docker: the Terraform bridge over the
// upstream provider that the official plugin is made of, without the official docker.Image.
package main

import (
	_ "embed"

	"github.com/ovms-numa/engine/docker/bridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
)

// The schema is generated and committed, because generating it compiles Pulumi's code generators.
//
//go:generate go run -tags no_compose ./generate schema.json
//go:embed schema.json
var schema []byte

func main() {
	tfbridge.Main(bridge.Name, bridge.Version, bridge.Info(), schema)
}
