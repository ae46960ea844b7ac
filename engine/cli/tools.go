//go:build tools

// Package tools keeps the Pulumi CLI in this module's requirements.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
