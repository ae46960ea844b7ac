package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
)

// findPlugins prints the pulumi-plugin.json of every SDK that the Python can import. Asking pip for
// the same costs ten times as long. sys.path[0] is the program's folder under -c: not installed.
const findPlugins = `
import json, pathlib, sys
found = {}
for folder in sys.path[1:]:
    for file in sorted(pathlib.Path(folder).glob("*/pulumi-plugin.json")):
        found.setdefault(file.parent.name, json.loads(file.read_text()))
print(json.dumps(list(found.values())))
`

// sdkPlugin is what an SDK says about its plugin, in its pulumi-plugin.json.
type sdkPlugin struct {
	Resource         bool   `json:"resource"`
	Name             string `json:"name"`
	Version          string `json:"version"`
	Server           string `json:"server"`
	Parameterization *struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Value   []byte `json:"value"`
	} `json:"parameterization"`
}

// GetRequiredPackages lists the plugins of the installed SDKs.
func (h *host) GetRequiredPackages(
	ctx context.Context, req *pulumirpc.GetRequiredPackagesRequest,
) (*pulumirpc.GetRequiredPackagesResponse, error) {
	found, err := installedPlugins(ctx, req.GetInfo())
	if err != nil {
		return nil, err
	}
	return &pulumirpc.GetRequiredPackagesResponse{Packages: packageDependencies(found)}, nil
}

// GetRequiredPlugins is what older engines ask instead of GetRequiredPackages.
func (h *host) GetRequiredPlugins(
	ctx context.Context, req *pulumirpc.GetRequiredPluginsRequest,
) (*pulumirpc.GetRequiredPluginsResponse, error) {
	found, err := installedPlugins(ctx, req.GetInfo())
	if err != nil {
		return nil, err
	}
	response := &pulumirpc.GetRequiredPluginsResponse{}
	for _, dependency := range packageDependencies(found) {
		response.Plugins = append(response.Plugins, &pulumirpc.PluginDependency{
			Name: dependency.Name, Version: dependency.Version, Kind: dependency.Kind, Server: dependency.Server,
		})
	}
	return response, nil
}

func installedPlugins(ctx context.Context, info *pulumirpc.ProgramInfo) ([]sdkPlugin, error) {
	parsed, err := parseSettings(info)
	if err != nil {
		return nil, err
	}
	tools, err := toolchain.ResolveToolchain(parsed.python)
	if err != nil {
		return nil, err
	}
	if err := tools.ValidateVenv(ctx); err != nil {
		return nil, err
	}
	cmd, err := tools.Command(ctx, "-c", findPlugins)
	if err != nil {
		return nil, err
	}
	cmd.Dir = info.GetProgramDirectory()
	printed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the installed Pulumi SDKs with %s: %w", cmd.Path, err)
	}
	var found []sdkPlugin
	if err := json.Unmarshal(printed, &found); err != nil {
		return nil, fmt.Errorf("read the installed SDKs' pulumi-plugin.json: %w", err)
	}
	return found, nil
}

func packageDependencies(found []sdkPlugin) []*pulumirpc.PackageDependency {
	var dependencies []*pulumirpc.PackageDependency
	for _, plugin := range found {
		if !plugin.Resource || plugin.Name == "" {
			continue
		}
		dependency := &pulumirpc.PackageDependency{
			Name: plugin.Name, Kind: "resource", Server: plugin.Server, Version: tag(plugin.Version),
		}
		if p := plugin.Parameterization; p != nil {
			dependency.Parameterization = &pulumirpc.PackageParameterization{
				Name: p.Name, Version: p.Version, Value: p.Value,
			}
		}
		dependencies = append(dependencies, dependency)
	}
	return dependencies
}

// tag is the version as plugins carry it: v5.2.0, where the file may say 5.2.0.
func tag(version string) string {
	if version == "" || strings.HasPrefix(version, "v") {
		return version
	}
	return "v" + version
}
