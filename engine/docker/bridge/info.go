// Package bridge describes the Docker plugin: which Pulumi type stands for which upstream resource.
package bridge

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	shimv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	sdktokens "github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/terraform-providers/terraform-provider-docker/shim"
)

// Name is the package that programs ask the engine for.
const Name = "docker"

// Version is the version of the pulumi_docker SDK whose requests this plugin answers.
const Version = "5.2.0"

// Docker allows longer names; the official plugin stops at this length, and a name must not
// change with the plugin that made it.
const longestName = 255

// Info maps the upstream provider to the types of the pulumi_docker SDK.
func Info() tfbridge.ProviderInfo {
	info := tfbridge.ProviderInfo{
		P:           shimv2.NewProvider(shim.NewProvider(Version)),
		Name:        Name,
		Version:     Version,
		Description: "Docker resources, bridged from the Terraform provider for Docker.",
		License:     "Apache-2.0",
		GitHubOrg:   "kreuzwerker",
		Config: map[string]*tfbridge.SchemaInfo{
			"host": {Default: &tfbridge.DefaultInfo{
				EnvVars: []string{"DOCKER_HOST"},
				Value:   "unix:///var/run/docker.sock",
			}},
			// A list that the SDK names in the singular.
			"registry_auth": {Name: "registryAuth"},
		},
		Resources: map[string]*tfbridge.ResourceInfo{
			"docker_container": {
				// Names and ports are taken until the old container is gone.
				DeleteBeforeReplace: true,
				Fields: map[string]*tfbridge.SchemaInfo{
					// Lists that the SDK names in the singular.
					"command":           {Name: "command"},
					"networks_advanced": {Name: "networksAdvanced"},
				},
			},
			"docker_image": {
				Tok: resourceToken("remoteImage", "RemoteImage"),
				// The name of an image is a reference to pull or a tag to build: never made up.
				Fields: map[string]*tfbridge.SchemaInfo{"name": {Name: "name"}},
			},
			"docker_config": {Tok: resourceToken("serviceConfig", "ServiceConfig")},
		},
		DataSources: map[string]*tfbridge.DataSourceInfo{
			"docker_image": {Tok: functionToken("getRemoteImage")},
		},
	}
	info.MustComputeTokens(tokens.SingleModule("docker_", "index", tokens.MakeStandard(Name)))
	info.SetAutonaming(longestName, "-")
	return info
}

func resourceToken(module, name string) sdktokens.Type {
	return sdktokens.Type(Name + ":index/" + module + ":" + name)
}

func functionToken(name string) sdktokens.ModuleMember {
	return sdktokens.ModuleMember(Name + ":index/" + name + ":" + name)
}
