// Command generate writes the plugin's Pulumi schema, and its recipe, to the file named.
//
// Run it by `go generate` in the folder above after a change to bridge/ or to go.mod.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/ovms-numa/engine/docker/bridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"
)

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(path string) error {
	sink := diag.DefaultSink(os.Stderr, os.Stderr, diag.FormatOptions{Color: colors.Never})
	spec, err := tfgen.GenerateSchema(bridge.Info(), sink)
	if err != nil {
		return fmt.Errorf("generate the schema: %w", err)
	}
	text, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		return fmt.Errorf("print the schema: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
