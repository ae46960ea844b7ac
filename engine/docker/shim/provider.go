// Package shim hands out the upstream provider, whose constructor is in an internal package.
//
// Go decides by import path who may import an internal package, and this module's path lies
// below the upstream's, so nothing of the upstream is copied or patched.
package shim

import (
	"github.com/hashicorp/terraform-plugin-sdk/v2/helper/schema"
	"github.com/terraform-providers/terraform-provider-docker/internal/provider"
)

// NewProvider returns the upstream Terraform provider for Docker.
func NewProvider(version string) *schema.Provider {
	return provider.New(version)()
}
