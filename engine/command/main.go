// Command pulumi-resource-command is a Pulumi plugin for local.Command of the pulumi_command SDK.
//
// The official plugin is not published as a Go module. This one answers to the SDK's docstrings;
// the SDK's other resources and functions are refused with the official plugin's name.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/ovms-numa/engine/command/local"
	p "github.com/pulumi/pulumi-go-provider"
)

// version is the version of the pulumi_command SDK whose requests this plugin answers.
const version = "1.2.1"

func main() {
	provider, err := newProvider()
	if err != nil {
		fail(err)
	}
	go cancelOnSignal(provider)
	if err := p.RunProvider(context.Background(), "command", version, provider); err != nil {
		fail(err)
	}
}

// cancelOnSignal ends the running commands before the plugin: they are in process groups of their
// own, which an engine that ends the plugin's group does not reach.
func cancelOnSignal(provider p.Provider) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	_ = provider.Cancel(context.Background())
	local.Running.Wait()
	os.Exit(1)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
